"""Real OpenBao servers on loopback, for tests: one node or three, Shamir or transit seal, with or without TLS.

Everything lives in a directory of the caller, listens on 127.0.0.1, and is ended by its own process id.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import time
import typing as t

import requests

PORTS = range(20000, 21000)
START_SECONDS = 30.0
# Autopilot looks every ten seconds by default, which a test that needs voters would mostly wait for.
QUICK = {"autopilot_reconcile_interval": "500ms", "autopilot_update_interval": "500ms"}
_given: set[int] = set()


def binary() -> str | None:
    """Return the path of ``bao``, or ``None`` where it is not installed."""
    return os.environ.get("RESILIENT_BAO") or shutil.which("bao")


def free_port() -> int:
    """Return a port of ours that nobody listens on at the moment."""
    for port in random.SystemRandom().sample(sorted(set(PORTS) - _given), 200):
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            _given.add(port)
            return port
    raise AssertionError(f"no free port in {PORTS}")


def session() -> requests.Session:
    """Return a session that no environment variable (proxy, CA bundle) can change."""
    result = requests.Session()
    result.trust_env = False
    return result


@dataclasses.dataclass
class Process:
    """A server process with its log."""

    argv: list[str]
    log: pathlib.Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env={"PATH": os.environ["PATH"], "HOME": str(self.log.parent)}
            )

    def stop(self, *, kill: bool = False) -> None:
        if self.process is None:
            return
        (self.process.kill if kill else self.process.terminate)()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        self.process = None


@dataclasses.dataclass
class Kms:
    """A development server whose transit engine holds the seal key of others."""

    directory: pathlib.Path
    port: int = dataclasses.field(default_factory=free_port)
    token: str = "kms-root"  # of a server that lives for one test
    key: str = "autounseal"
    server: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Kms:
        self.directory.mkdir(parents=True, exist_ok=True)
        argv = [
            str(binary()),
            "server",
            "-dev",
            "-dev-no-store-token",
            f"-dev-root-token-id={self.token}",
            f"-dev-listen-address=127.0.0.1:{self.port}",
        ]
        self.server = Process(argv, self.directory / "kms.log")
        self.server.start()
        wait_for(lambda: health(self.url) == 200, "the KMS")
        self.write("sys/mounts/transit", {"type": "transit"})
        self.write(f"transit/keys/{self.key}", {})
        return self

    def write(self, path: str, body: dict[str, t.Any]) -> None:
        session().post(f"{self.url}/v1/{path}", json=body, headers={"X-Vault-Token": self.token}, timeout=30).raise_for_status()

    def stop(self) -> None:
        if self.server:
            self.server.stop(kill=True)


@dataclasses.dataclass
class Node:
    """One raft node."""

    name: str
    directory: pathlib.Path
    kms: Kms | None = None
    tls: tuple[pathlib.Path, pathlib.Path, pathlib.Path] | None = None  # CA, certificate, key
    peers: list[str] = dataclasses.field(default_factory=list)
    standby_reads: bool = True
    raft: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    telemetry: bool = False
    audit: pathlib.Path | None = None
    port: int = dataclasses.field(default_factory=free_port)
    cluster_port: int = dataclasses.field(default_factory=free_port)
    server: Process | None = None

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    @property
    def verify(self) -> bool | str:
        return str(self.tls[0]) if self.tls else True

    def config(self) -> dict[str, t.Any]:
        listener: dict[str, t.Any] = {"address": f"127.0.0.1:{self.port}", "cluster_address": f"127.0.0.1:{self.cluster_port}"}
        join: list[dict[str, t.Any]] = [{"leader_api_addr": url} for url in self.peers]
        if self.tls:
            listener |= {"tls_cert_file": str(self.tls[1]), "tls_key_file": str(self.tls[2])}
            for entry in join:
                entry["leader_ca_cert_file"] = str(self.tls[0])
        else:
            listener["tls_disable"] = True
        raft: dict[str, t.Any] = {"path": str(self.directory / "data"), "node_id": self.name, "performance_multiplier": 1, **self.raft}
        if join:
            raft["retry_join"] = join
        result: dict[str, t.Any] = {
            "listener": {"tcp": listener},
            "storage": {"raft": raft},
            "api_addr": self.url,
            "cluster_addr": f"https://127.0.0.1:{self.cluster_port}",
            "disable_standby_reads": not self.standby_reads,
        }
        if self.telemetry:
            result |= {"cluster_name": "vault", "telemetry": {"prometheus_retention_time": "5m", "disable_hostname": True, "usage_gauge_period": "10s"}}
            listener["telemetry"] = {"unauthenticated_metrics_access": True}
        if self.audit:
            result["audit"] = [{"type": "file", "path": "file", "options": {"file_path": str(self.audit)}}]
        if self.kms:
            result["seal"] = {
                "transit": {
                    "address": self.kms.url,
                    "token": self.kms.token,
                    "key_name": self.kms.key,
                    "mount_path": "transit/",
                    "disable_renewal": "true",
                }
            }
        return result

    def start(self) -> Node:
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        path = self.directory / "config.json"
        path.write_text(json.dumps(self.config()), encoding="utf-8")
        self.server = Process([str(binary()), "server", f"-config={path}"], self.directory / "server.log")
        self.server.start()
        wait_for(lambda: health(self.url, self.verify) is not None, f"{self.name} to listen")
        return self

    def stop(self, *, kill: bool = False) -> None:
        if self.server:
            self.server.stop(kill=kill)

    def restart(self) -> None:
        self.stop()
        self.start()

    def health(self) -> int | None:
        return health(self.url, self.verify)

    def call(self, method: str, path: str, body: dict[str, t.Any] | None = None, *, token: str = "") -> requests.Response:
        """Send one raw request, outside of the code under test."""
        return session().request(
            method, f"{self.url}/v1/{path}", json=body, headers={"X-Vault-Token": token} if token else {}, timeout=60, verify=self.verify
        )


def health(url: str, verify: bool | str = True) -> int | None:
    """Return the status of ``sys/health``; ``None`` when nothing answers."""
    try:
        return session().get(f"{url}/v1/sys/health", timeout=5, verify=verify).status_code
    except requests.RequestException:
        return None


def wait_for(condition: t.Callable[[], t.Any], what: str, *, seconds: float = START_SECONDS) -> None:
    """Poll *condition* until it is true; fail after *seconds*."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s for {what}"
        time.sleep(0.1)


def cluster(
    directory: pathlib.Path,
    *,
    kms: Kms | None,
    size: int = 3,
    tls: tuple[pathlib.Path, pathlib.Path, pathlib.Path] | None = None,
    prefix: str = "node",
) -> list[Node]:
    """Return *size* nodes that know each other, not started."""
    nodes = [Node(f"{prefix}-{number + 1}", directory / f"{prefix}-{number + 1}", kms=kms, tls=tls) for number in range(size)]
    if size > 1:
        for node in nodes:
            node.peers = [other.url for other in nodes if other is not node]
    return nodes
