"""``up``, ``down``, ``status``: both NASes, idempotent and resumable after a kill at any point."""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import subprocess
import sys
import time

from lab import pki
from lab.nas import namespace
from lab.nas.layout import DISK_BYTES, DISKS, REPO, ROLES, USERNAME, Nas, Settings, all_nas, ports_of
from lab.nas.server.registry import VERSIONS
from lab.nas.server.secret import hash_key, new_key
from lab.nas.server.store import Store
from lab.state import LabError, LabState, Row, say


def up(state: LabState, settings: Settings | None = None) -> None:
    """Start both NASes and write ``connection['truenas']``. No pool is made: that is the user's play."""
    settings = settings or _from_environment()
    for nas in all_nas(state):
        started = time.monotonic()
        if configure(nas, settings):
            nas.server.stop()
        namespace.create(nas)
        start_daemon(nas)
        start_server(nas)
        say(f"nas: {nas.name} answers on {state.address}:{nas.config()['ports']['api']} ({time.monotonic() - started:.1f} s)")
    state.update("truenas", {ROLES[nas.name]: _connection(nas) for nas in all_nas(state)})


def _from_environment() -> Settings:
    """Return what the knobs in README.md say. LabError for a release that the double does not play."""
    version = os.environ.get("RESILIENT_LAB_NAS_VERSION", Settings.version)
    if version not in VERSIONS:
        raise LabError(f"RESILIENT_LAB_NAS_VERSION is {version!r}: the NAS plays {', '.join(VERSIONS)}.")
    return Settings(version=version, rate_limit=int(os.environ.get("RESILIENT_LAB_NAS_RATE_LIMIT", "20")))


def configure(nas: Nas, settings: Settings) -> bool:
    """Write what the server needs to know; secrets and keys are made once and kept. Says whether anything changed."""
    nas.dir.mkdir(parents=True, exist_ok=True)
    nas.dir.chmod(0o700)
    old = nas.config()
    certificate, key = pki.server_certificate(nas.state, nas.name)
    new = nas.write_config(
        name=nas.name, role=ROLES[nas.name], dir=str(nas.dir), address=nas.state.address, ports=ports_of(settings, nas.name),
        certificate=str(certificate), certificate_key=str(key), ca=str(nas.state.dir / "pki" / "ca.pem"), version=settings.version,
        rate_limit=settings.rate_limit, scheduler=settings.scheduler, disks=list(DISKS), username=USERNAME,
        peers=[str(other.config_file) for other in all_nas(nas.state)],
        password=old.get("password") or secrets.token_urlsafe(18), api_key=old.get("api_key") or _first_key(nas),
    )
    nas.disks.mkdir(exist_ok=True)
    for disk in DISKS:
        with open(nas.disks / disk, "ab") as stream:
            stream.truncate(DISK_BYTES)
    _ssh_host_key(nas)
    return new != old


def _first_key(nas: Nas) -> str:
    """Put the automation user's API key (full admin) into a fresh store; the server keeps only its hash."""
    store = Store(nas.dir / "db.json")
    number, text = new_key(store.next_id("api_key"))
    store.table("api_key")[:] = [{**hash_key(text), "id": number, "name": "lab", "username": USERNAME, "revoked": False,
                                  "revoked_reason": None, "expires_at": None, "created_at": time.time()}]
    store.save()
    return text


def _ssh_host_key(nas: Nas) -> None:
    """Make the NAS's SSH host key once: nobody listens with it, but keys are scanned, stored and compared as usual."""
    path = nas.dir / "ssh_host_ed25519_key"
    if not path.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", nas.name, "-f", str(path)], check=True)


def start_daemon(nas: Nas, attempts: int = 10) -> None:
    """Start zfs-fuse and mount what its pools hold; cleans up first what a killed daemon left behind."""
    argv = namespace.enter(nas, "zfs-fuse", "--no-daemon", "--no-kstat-mount")
    for attempt in range(attempts):
        if nas.daemon.pid() is None:
            _clear_dead_mounts(nas)
            nas.socket.unlink(missing_ok=True)
        try:
            nas.daemon.start(argv, ready=lambda: _zpool_answers(nas), wait=60)
            break
        except LabError:
            # The threads of a killed daemon may still be on their way out and hold its lock: then a new one ends at once.
            if nas.daemon.pid() is not None or attempt + 1 == attempts:
                raise
            time.sleep(0.5)
    _run_in(nas, "zfs", "mount", "-a")


def _clear_dead_mounts(nas: Nas) -> None:
    """Unmount the pools of a killed daemon: the top mount only and lazily, which takes the children with it."""
    script = "awk '$5 ~ /^\\/mnt\\/[^\\/]+$/ && $0 ~ / - fuse/ {print $5}' /proc/self/mountinfo | while read -r at; do umount -l \"$at\"; done"
    subprocess.run(namespace.enter(nas, "sh", "-c", script), check=False, stdin=subprocess.DEVNULL)


def _zpool_answers(nas: Nas) -> bool:
    if not nas.socket.exists():
        return False
    try:
        return subprocess.run(
            namespace.enter(nas, "zpool", "list", "-H"), capture_output=True, stdin=subprocess.DEVNULL, timeout=20, check=False
        ).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _run_in(nas: Nas, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(namespace.enter(nas, *command), capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def start_server(nas: Nas) -> None:
    """Start the API server; it enters the namespace by itself, before it has a second thread."""
    env = {**os.environ, "PYTHONPATH": str(REPO), "PYTHONDONTWRITEBYTECODE": "1"}
    argv = [sys.executable, "-m", "lab.nas.server", "--config", str(nas.config_file), "--namespace", str(nas.namespace_file)]
    nas.server.start(argv, ready=lambda: _answers(nas), env=env, wait=30)


def _answers(nas: Nas) -> bool:
    """Say whether the port gives a TLS handshake with a certificate of the lab."""
    config = nas.config()
    context = ssl.create_default_context(cafile=config["ca"])
    try:
        with socket.create_connection((config["address"], config["ports"]["api"]), timeout=5) as raw:
            with context.wrap_socket(raw, server_hostname=config["address"]):
                return True
    except OSError:
        return False


def _connection(nas: Nas) -> dict[str, object]:
    config = nas.config()
    return {
        "host": config["address"], "port": config["ports"]["api"], "username": config["username"], "api_key": config["api_key"],
        "password": config["password"], "mount": str(nas.mnt), "disks": list(DISKS[:2]), "replication_host": config["address"],
        "ssh_port": config["ports"]["ssh"], "version": config["version"], "ca_file": config["ca"],
    }


def stop(nas: Nas) -> None:
    """Stop server, daemon and namespace of one NAS; its disks stay."""
    nas.server.stop()
    if nas.daemon.pid() is not None and namespace.held(nas):
        nas.daemon.stop(wait=20)  # unmounts everything: 5 to 6 s with hundreds of datasets
    nas.daemon.stop()
    namespace.remove(nas)
    nas.socket.unlink(missing_ok=True)


def down(state: LabState) -> None:
    """Stop both NASes: no process, mount or namespace is left. The files go with the state directory."""
    problems = []
    for nas in all_nas(state):
        try:
            stop(nas)
        except (LabError, OSError) as exc:  # the other one must go down all the same
            problems.append(f"{nas.name}: {exc}")
    if problems:
        raise LabError("; ".join(problems))


def status(state: LabState) -> list[Row]:
    """One row a NAS: both processes run, the API answers, which pools there are."""
    rows = []
    for nas in all_nas(state):
        parts = {"zfs": nas.daemon.pid() is not None, "api": nas.server.pid() is not None}
        if not any(parts.values()):
            rows.append(Row(nas.name, "down", "not running"))
            continue
        bad = [part for part, alive in parts.items() if not alive]
        if not bad and not _answers(nas):
            bad = ["api does not answer"]
        pools = "" if bad else _run_in(nas, "zpool", "list", "-H", "-o", "name,health").stdout
        detail = f"broken: {', '.join(bad)}" if bad else f"https://{state.address}:{nas.config()['ports']['api']}, pools: {_pools(pools)}"
        rows.append(Row(nas.name, "broken" if bad else "up", detail))
    return rows


def _pools(text: str) -> str:
    return ", ".join(line.replace("\t", " ") for line in text.splitlines()) or "none"
