"""Keys, runs and a scripted HTTP server for the tests of evidence."""

from __future__ import annotations

import dataclasses
import http.server
import json
import pathlib
import threading
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._evidence import records, report, run, signing
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HMAC_KEY = b"0123456789abcdef0123456789abcdef"


def make_keys(directory: pathlib.Path, name: str = "signing") -> tuple[str, str]:
    """Write an Ed25519 pair; return the paths of the private and the public half."""
    key = Ed25519PrivateKey.generate()
    private, public = directory / f"{name}.pem", directory / f"{name}.pub.pem"
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    private.chmod(0o600)
    public.write_bytes(signing.public_pem(key.public_key()))
    return str(private), str(public)


def wanted(directory: pathlib.Path, **options: t.Any) -> run.Wanted:
    """What to begin in *directory*."""
    return run.Wanted(str(directory), **{"environment": "lab", "operation": "dr_drill", **options})


def good_run(directory: pathlib.Path, private: str, objectives: t.Mapping[str, t.Any] | None = None) -> pathlib.Path:
    """A finished, signed drill in which everything went well; returns its directory."""
    begun, _problems = run.begin(wanted(directory), [])
    add(begun.dir, records.Entry("backup", "step_started", "info"))
    add(begun.dir, records.Entry("backup", "read_back", "passed", asset="vault", data=True, expected="a1", actual="a1", facts={"recovery_points": [POINT]}))
    add(begun.dir, records.Entry("backup", "step_finished", "passed"))
    add(begun.dir, records.Entry("disaster", "declared", "info", facts={"disaster": {"declared_at": records.utc_now(), **records.read_clock()}}))
    add(begun.dir, records.Entry("prove", "canary", "passed", asset="vault", data=True, facts={"canaries": {"vault": CANARY}}))
    finish(begun.dir, private, objectives)
    return pathlib.Path(begun.dir)


def finish(run_dir: str, private: str, objectives: t.Mapping[str, t.Any] | None = None) -> report.Report:
    """Close the run, write its reports and sign them."""
    run.close(run_dir)
    written, files = report.compose(run_dir, objectives or {}, signing.load_private_key(private))
    report.write(run_dir, files)
    return written


def add(run_dir: str, *entries: records.Entry) -> list[records.Record]:
    """Append *entries* to the run."""
    return records.append(run_dir, records.read_log(run_dir)[0]["run"], list(entries))


DIGEST = "a" * 64
POINT: dict[str, t.Any] = {
    "asset": "vault",
    "kind": "vault_raft_snapshot",
    "id": "20261121T054500Z-42",
    "taken_at": "2026-11-21T05:45:00.000000Z",
    "size_bytes": 2048,
    "sha256": DIGEST,
    "details": {"index": 42},
    "newest_canary": {"store": "vault", "sequence": 3, "time": "2026-11-21T05:44:59.000000Z"},
    "copies": [{"destination": "nas", "key": "lab/vault/main/1.snap", "sha256": DIGEST, "read_back_sha256": DIGEST, "size_bytes": 2048}],
}
CANARY: dict[str, t.Any] = {
    "asset": "vault", "recovered": 10, "acknowledged": 12, "lost": 2, "phantom": 0, "forged": 0, "missing": [], "unacknowledged": 0,
    "newest_recovered": 10, "newest_recovered_at": "2026-11-21T05:44:59.000000Z", "newest_acknowledged": 12,
    "newest_acknowledged_at": "2026-11-21T05:45:01.000000Z", "rpo_seconds": 2.5, "verdict": "verified", "reason": "",
}  # fmt: skip


@dataclasses.dataclass
class Exchange:
    """One request that is expected, and the answer to it."""

    method: str
    path: str
    status: int = 200
    body: t.Any = None
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    sent: t.Any = None


class ScriptedServer:
    """Answers exactly the requests of a script, in their order, on loopback; any other is an error of the test."""

    def __init__(self, *script: Exchange) -> None:
        self.script = list(script)
        self.unexpected: list[str] = []
        self.seen: list[tuple[str, str, bytes]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.seen.append((self.command, self.path, body))
                step = outer.script.pop(0) if outer.script else None
                if step is None or (step.method, step.path) != (self.command, self.path.split("?")[0]):
                    outer.unexpected.append(f"{self.command} {self.path}")
                    step = Exchange("", "", 418, {"errors": ["unexpected"]})
                data = step.body if isinstance(step.body, bytes) else b"" if step.body is None else json.dumps(step.body).encode()
                self.send_response(step.status)
                for name, value in step.headers.items():
                    self.send_header(name, value)
                if "Content-Length" not in step.headers:
                    self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_HEAD = do_LIST = do_DELETE = answer

            def log_message(self, *_args: t.Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> ScriptedServer:
        self._thread.start()
        return self

    def __exit__(self, kind: t.Any, *_rest: t.Any) -> None:
        self._server.shutdown()
        self._server.server_close()
        if kind is None:
            assert self.unexpected == []
            assert self.script == [], "expected requests that did not come"
