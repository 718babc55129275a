"""A scripted server: real hvac and requests on top, an ordered list of exchanges below, and nothing else is answered."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import pathlib
import tarfile
import typing as t

import pytest
import requests
from ansible_collections.resilient.platform.plugins.module_utils._vault import client as client_module
from requests.adapters import BaseAdapter

URL = "https://vault.test:8200"
OTHER = "https://other.test:8200"
# As a server with a transit seal wrote them (OpenBao 2.7.2); the ciphertext is cut short.
SEAL_TRANSIT = b'{"type":"transit","secret_shares":1,"secret_threshold":1,"pgp_keys":null,"nonce":"","backup":false}'
SEAL_SHAMIR = b'{"type":"shamir","secret_shares":3,"secret_threshold":2,"pgp_keys":null,"nonce":"","backup":false}'
RECOVERY = b'{"type":"shamir","secret_shares":5,"secret_threshold":3,"pgp_keys":null,"nonce":"","backup":false}'
WRAPPED_KEY = b"\nqvault:v1:JlxJLROpfYi5KeuBBdC76zahxqcxXCJJGig32c6pgJT1l8OoOgthrfGgosN0YgLRsppo/OlOou4FwIuMhccsclakMBTPbHFoFhbpcg==*\x04\x1a\x02v1"


@dataclasses.dataclass
class Exchange:
    """One request that is expected, and its answer."""

    method: str
    url: str
    status: int = 200
    body: t.Any = None
    sent: t.Any = None
    token: str | None = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    raises: Exception | None = None
    content: bytes | t.Iterator[bytes] | None = None


class Script(BaseAdapter):
    """The transport. Each request has to be the next one of the script."""

    def __init__(self) -> None:
        super().__init__()
        self.exchanges: list[Exchange] = []
        self.seen: list[requests.PreparedRequest] = []
        self.options: list[dict[str, t.Any]] = []

    def session(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", self)
        session.mount("http://", self)
        return session

    def expect(self, method: str, path: str, status: int = 200, body: t.Any = None, *, url: str = URL, times: int = 1, **kwargs: t.Any) -> Script:
        """Expect a request for ``/v1/<path>``; *sent* is its JSON, *token* its token (empty: none)."""
        self.exchanges += [Exchange(method, f"{url}/v1/{path}", status, body, **kwargs)] * times
        return self

    def node(
        self,
        state: str = "active",
        *,
        url: str = URL,
        leader: str = URL,
        index: int = 40,
        cluster_id: str = "c1",
        active_time: str = "t1",
        times: int = 1,
    ) -> Script:
        """Expect one look at a node."""
        status = {"active": 200, "standby": 429, "sealed": 503, "not_initialised": 501, "failing": 500}[state]
        up = state in ("active", "standby")
        body = {
            "initialized": state != "not_initialised",
            "sealed": not up,
            "standby": state != "active",
            "version": "2.7.2",
            "cluster_id": cluster_id if up else "",
        }
        for _look in range(times):
            self.expect("GET", "sys/health", status, {"errors": ["decryption failed"]} if state == "failing" else body, url=url)
            if up:
                here = url == leader
                answer = {"is_self": here, "leader_address": leader, "raft_applied_index": index, "raft_committed_index": index}
                self.expect("GET", "sys/leader", 200, {**answer, **({"active_time": active_time} if here else {})}, url=url)
        return self

    def may(self, path: str, *capabilities: str, url: str = URL) -> Script:
        """Expect the question for capabilities."""
        return self.expect("POST", "sys/capabilities-self", 200, {"data": {path: list(capabilities)}}, sent={"paths": [path]}, url=url)

    def send(
        self, request: t.Any, stream: bool = False, timeout: t.Any = None, verify: t.Any = True, cert: t.Any = None, proxies: t.Any = None
    ) -> requests.Response:
        assert self.exchanges, f"unexpected request: {request.method} {request.url}"
        wanted = self.exchanges.pop(0)
        assert (request.method, request.url) == (wanted.method, wanted.url), f"{request.method} {request.url} instead of {wanted.method} {wanted.url}"
        self._check(request, wanted)
        self.seen.append(request)
        self.options.append({"timeout": timeout, "verify": verify, "proxies": proxies})
        if wanted.raises is not None:
            raise wanted.raises
        response = requests.Response()
        response.status_code, response.request, response.url = wanted.status, request, request.url
        response.headers.update(wanted.headers)
        if wanted.content is not None and not isinstance(wanted.content, bytes):
            response.raw = _Pieces(wanted.content)
        else:
            response.raw = io.BytesIO(
                wanted.content if wanted.content is not None else b"" if wanted.body is None else json.dumps(wanted.body).encode()
            )
        return response

    @staticmethod
    def _check(request: t.Any, wanted: Exchange) -> None:
        if wanted.sent is not None:
            assert json.loads(request.body) == wanted.sent, request.body
        if wanted.token is not None:
            assert request.headers.get("X-Vault-Token", "") == wanted.token

    def close(self) -> None:
        """Nothing to close."""

    def done(self) -> None:
        """Every expected request was made."""
        assert not self.exchanges, f"never asked for: {[(exchange.method, exchange.url) for exchange in self.exchanges]}"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Script]:
    """The script in place of the network; at the end every expected request must have been made."""
    for product in ("VAULT", "BAO"):
        for name in ("ADDR", "CACERT", "SKIP_VERIFY", "NAMESPACE", "TOKEN", "ROLE_ID", "SECRET_ID"):
            monkeypatch.delenv(f"{product}_{name}", raising=False)
    made = Script()
    monkeypatch.setattr(client_module, "new_session", made.session)
    yield made
    made.done()


def full_disk(_handle: int) -> None:
    """Stands for ``os.fsync`` on a full disk."""
    raise OSError(28, "No space left on device")


class _Pieces:
    """A stream that may break off: an exception among the pieces is raised."""

    def __init__(self, pieces: t.Iterator[bytes]) -> None:
        self._pieces = pieces

    def stream(self, size: int, decode_content: bool = True) -> t.Iterator[bytes]:
        yield from self._pieces

    def close(self) -> None:
        """Nothing to close."""

    def release_conn(self) -> None:
        """Nothing to release."""


def varint(number: int) -> bytes:
    """Return a protobuf varint."""
    result = b""
    while number > 0x7F:
        result += bytes([number & 0x7F | 0x80])
        number >>= 7
    return result + bytes([number])


def entry(key: bytes, value: bytes = b"") -> bytes:
    """Return one entry of ``state.bin``."""
    message = b"\x0a" + varint(len(key)) + key + (b"\x12" + varint(len(value)) + value if value else b"")
    return varint(len(message)) + message


def state_of(seal: bytes = SEAL_TRANSIT, extra: t.Mapping[bytes, bytes] | None = None) -> bytes:
    """Return a small ``state.bin``."""
    entries = {
        b"core/hsm/barrier-unseal-keys": WRAPPED_KEY,
        b"core/keyring": b"\0\0\0\1\2" + b"k" * 300,
        b"core/recovery-config": RECOVERY,
        b"core/seal-config": seal,
        b"core/versions/2.6.0": b"\0\0\0\1\2x",
        b"core/versions/2.7.2": b"\0\0\0\1\2x",
        b"logical/9543a1a1/metadata": b"\0\0\0\1\2" + b"m" * 2000,
        **(extra or {}),
    }
    if seal == SEAL_SHAMIR:
        del entries[b"core/hsm/barrier-unseal-keys"], entries[b"core/recovery-config"]
    return b"".join(entry(key, value) for key, value in entries.items())


def snapshot_members(state: bytes | None = None, *, index: int = 50) -> dict[str, bytes]:
    """Return the members of a whole snapshot, in the order of the server."""
    state = state_of() if state is None else state
    servers = [{"Suffrage": 0, "ID": "a", "Address": "127.0.0.1:8201"}]
    meta = {
        "Version": 1,
        "ID": "bolt-snapshot",
        "Index": index,
        "Term": 3,
        "Peers": None,
        "Configuration": {"Servers": servers},
        "ConfigurationIndex": 1,
        "Size": len(state),
    }
    members = {"meta.json": json.dumps(meta).encode(), "state.bin": state}
    members["SHA256SUMS"] = "".join(f"{hashlib.sha256(members[name]).hexdigest()}  {name}\n" for name in ("state.bin", "meta.json")).encode()
    members["SHA256SUMS.sealed"] = b"\ns" + b"e" * 200
    return members


def pack(members: t.Mapping[str, bytes] | t.Sequence[tuple[str, bytes]], *, tail: bytes = b"", pax: bool = False) -> bytes:
    """Return gzip(tar) of *members*; *tail* goes behind the archive, inside of the stream."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT if pax else tarfile.USTAR_FORMAT) as archive:
        for name, data in members.items() if isinstance(members, t.Mapping) else members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1795240366
            if pax:
                info.pax_headers = {"comment": "x", "size": str(len(data))}
            archive.addfile(info, io.BytesIO(data))
    return gzip.compress(raw.getvalue() + tail, 0)


def write_snapshot(path: pathlib.Path, seal: bytes = SEAL_TRANSIT, *, index: int = 50) -> str:
    """Write a whole snapshot to *path*; return its digest."""
    data = pack(snapshot_members(state_of(seal), index=index))
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def write_manifest(directory: pathlib.Path, *digests: str) -> dict[str, str]:
    """Write a signed manifest that names snapshots of these digests; the options of a restore that use it."""
    from ansible_collections.resilient.platform.plugins.module_utils._evidence import manifest
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    points = [{"asset": "vault", "kind": "vault_raft_snapshot", "id": str(number), "sha256": digest} for number, digest in enumerate(digests)]
    (directory / "manifest.dsse.json").write_bytes(manifest.seal(manifest.make("lab", None, points, None, "2026-11-21T00:00:00.000000Z"), key))
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (directory / "signing.pub.pem").write_bytes(pem)
    return {"manifest": str(directory / "manifest.dsse.json"), "public_key": str(directory / "signing.pub.pem")}
