"""S3 of the lab: a real SeaweedFS, where only the S3 gateway is reachable from the guests, over TLS."""

from __future__ import annotations

import io
import json
import os
import random
import secrets
import signal
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import minio
import urllib3

from lab import pki
from lab.daemon import Daemon
from lab.state import LabError, LabState, Row, say, write_private

PORT = 8333
BUCKET = "resilient-backups"
REGION = "us-east-1"
_PROBE = "lab-probe"
# SeaweedFS's inner servers. It also talks to itself through /tmp/seaweedfs-<server>-grpc-<port>.sock, so two labs with
# the same numbers would talk to each other's: each lab has a block of its own, kept for its life (volumes remember it).
_INNER = ("master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc")
_BLOCKS = range(20000, 30000, 10)


def _free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _find_ports() -> dict[str, int]:
    """Return a free port for each inner server. LabError if no block of numbers is free."""
    for base in random.sample(_BLOCKS, 50):
        if all(_free("127.0.0.1", base + offset) for offset in range(len(_INNER))):
            return {name: base + offset for offset, name in enumerate(_INNER)}
    raise LabError("No block of seven free ports was found between 20000 and 30000: end what listens there.")


def _settings(state: LabState) -> dict[str, Any]:
    """Return ports and keys of this lab's S3; they are made once."""
    path = state.path("s3", "settings.json")
    if not path.exists():
        keys = {"access_key": f"LAB{secrets.token_hex(8).upper()}", "secret_key": secrets.token_urlsafe(30)}
        write_private(path, json.dumps({"ports": _find_ports(), **keys}))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _identities(settings: dict[str, Any]) -> str:
    credentials = [{"accessKey": settings["access_key"], "secretKey": settings["secret_key"]}]
    return json.dumps({"identities": [{"name": "lab", "credentials": credentials, "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]})


def _argv(state: LabState, settings: dict[str, Any]) -> list[str]:
    cert_file, key_file = pki.server_certificate(state, "s3")
    identities = state.path("s3", "identities.json")
    write_private(identities, _identities(settings))
    data = state.path("s3", "data")
    data.mkdir(exist_ok=True)
    return [
        str(Path(sys.executable).parent / "weed"), "server", f"-dir={data}",
        # Master, volume server and filer know no passwords, so they stay on loopback.
        "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *(f"-{name}={port}" for name, port in settings["ports"].items()),
        f"-filer.localSocket={state.path('run', 's3-filer.sock')}",
        "-s3", f"-s3.ip.bind={state.address}", f"-s3.port={PORT}", f"-s3.config={identities}",
        f"-s3.cert.file={cert_file}", f"-s3.key.file={key_file}", f"-s3.localSocket={state.path('run', 's3.sock')}",
        "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
        "-volume.max=50", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64", "-volume.preStopSeconds=0", "-master.telemetry=false",
    ]


def _answers(state: LabState) -> bool:
    """Say whether the gateway answers an anonymous request as it should: 403 over the lab's TLS."""
    context = ssl.create_default_context(cafile=str(state.dir / "pki" / "ca.pem"))
    try:
        urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)).open(
            f"https://{state.address}:{PORT}/", timeout=5
        ).close()
    except urllib.error.HTTPError as exc:
        return exc.code == 403
    except OSError:
        return False
    return True


def client(state: LabState) -> minio.Minio:
    """Return an S3 client with the lab's own keys."""
    s3 = state.connection["s3"]
    pool = urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=state.connection["ca_file"], timeout=10, retries=False)
    host = s3["endpoint"].removeprefix("https://")
    return minio.Minio(host, access_key=s3["access_key"], secret_key=s3["secret_key"], region=s3["region"], http_client=pool)


def _make_buckets(state: LabState, wait: float = 60) -> None:
    """Create the buckets that are missing, and write and read an object: after a start the gateway answers some seconds
    before it knows where the objects are."""
    deadline = time.monotonic() + wait
    word = secrets.token_bytes(8)
    while True:
        try:
            s3 = client(state)
            for bucket in (BUCKET, _PROBE):
                if not s3.bucket_exists(bucket):
                    s3.make_bucket(bucket)
            s3.put_object(_PROBE, "probe", io.BytesIO(word), len(word))
            with s3.get_object(_PROBE, "probe") as answer:
                if answer.read() == word:
                    return
            seen = "an old object was read"
        except (minio.error.MinioException, urllib3.exceptions.HTTPError) as exc:
            seen = str(exc)
        if time.monotonic() > deadline:
            raise LabError(f"S3 did not store and return an object within {wait:g} s: {seen}. See {_daemon(state).log}.")
        time.sleep(0.3)


def _daemon(state: LabState) -> Daemon:
    return Daemon(state, "s3")


def up(state: LabState) -> None:
    """Start SeaweedFS unless it runs, and make its buckets; data survives ``up`` after a crash."""
    settings = _settings(state)
    argv = _argv(state, settings)
    if _daemon(state).start(argv, ready=lambda: _answers(state), wait=60):
        say(f"s3: SeaweedFS on https://{state.address}:{PORT}")
    state.update("s3", {
        "endpoint": f"https://{state.address}:{PORT}", "bucket": BUCKET, "region": REGION,
        "access_key": settings["access_key"], "secret_key": settings["secret_key"],
    })
    _make_buckets(state)


def down(state: LabState) -> None:
    """Stop it and remove the sockets that it leaves in /tmp; the data goes with the state directory."""
    _daemon(state).stop(wait=3)
    settings = state.dir / "s3" / "settings.json"
    if settings.exists():
        for name, port in json.loads(settings.read_text())["ports"].items():
            if name.endswith(".grpc"):
                Path(f"/tmp/seaweedfs-{name.partition('.')[0]}-grpc-{port}.sock").unlink(missing_ok=True)


def status(state: LabState) -> list[Row]:
    """One row: the gateway and what it answers."""
    pid = _daemon(state).pid()
    if pid is None:
        return [Row("s3", "down", "SeaweedFS does not run")]
    if not _answers(state):
        return [Row("s3", "broken", f"SeaweedFS (pid {pid}) does not answer on https://{state.address}:{PORT}; see {_daemon(state).log}")]
    return [Row("s3", "up", f"https://{state.address}:{PORT} bucket {BUCKET} (pid {pid})")]


def _object(state: LabState, args: Mapping[str, Any]) -> tuple[str, bytes]:
    """Return key and content of the object that the fault is about: ``key=...``, or the newest whose key holds ``match=...``."""
    s3 = client(state)
    found = [item for item in s3.list_objects(BUCKET, prefix=str(args.get("key", "")), recursive=True) if str(args.get("match", "")) in str(item.object_name)]
    if not found:
        raise LabError(f"No object in {BUCKET} fits {dict(args)}: give key=<key> or match=<part of a key>.")
    key = str(max(found, key=lambda item: str(item.last_modified)).object_name)
    with s3.get_object(BUCKET, key) as answer:
        return key, answer.read()


def _put(state: LabState, key: str, content: bytes) -> None:
    client(state).put_object(BUCKET, key, io.BytesIO(content), len(content))


def _flip(state: LabState, args: Mapping[str, Any]) -> str:
    """Flip one bit in the middle of an object (``offset=...`` for another place)."""
    key, content = _object(state, args)
    offset = int(args.get("offset", len(content) // 2))
    _put(state, key, content[:offset] + bytes([content[offset] ^ 1]) + content[offset + 1:])
    return f"flipped a bit at byte {offset} of {key}"


def _truncate(state: LabState, args: Mapping[str, Any]) -> str:
    """Leave the first half of an object."""
    key, content = _object(state, args)
    _put(state, key, content[: len(content) // 2])
    return f"cut {key} from {len(content)} to {len(content) // 2} bytes"


def _delete(state: LabState, args: Mapping[str, Any]) -> str:
    """Remove an object."""
    key, _ = _object(state, args)
    client(state).remove_object(BUCKET, key)
    return f"removed {key}"


def _kill(state: LabState, args: Mapping[str, Any]) -> str:
    """Kill the server; ``up --only s3`` starts it again."""
    del args
    pid = _daemon(state).pid()
    if pid is None:
        raise LabError("SeaweedFS does not run.")
    os.kill(pid, signal.SIGKILL)
    return f"killed SeaweedFS (pid {pid})"


FAULTS: dict[str, Callable[[LabState, Mapping[str, Any]], str]] = {
    "s3-flip-bit": _flip, "s3-truncate": _truncate, "s3-delete": _delete, "s3-kill": _kill,
}
