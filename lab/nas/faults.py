"""Disasters to order: ``fault(state, name, args)`` is what ``python -m lab fault`` calls."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lab.nas import lifecycle, namespace
from lab.nas.layout import DISK_BYTES, Nas, get
from lab.nas.server.client import RemoteError, call_once
from lab.state import LabError, LabState, say

Args = Mapping[str, Any]


def fault(state: LabState, name: str, args: Args | None = None) -> str:
    """Do what the fault called ``name`` says; returns one line about what happened. LabError for an unknown name."""
    if name not in FAULTS:
        raise LabError(f"There is no NAS fault '{name}': use one of {', '.join(FAULTS)}.")
    return FAULTS[name](state, args or {})


def _nas(state: LabState, args: Args) -> Nas:
    try:
        return get(state, str(args.get("nas", "nas-a")))
    except ValueError as exc:
        raise LabError(str(exc)) from exc


def nas_kill(state: LabState, args: Args) -> str:
    """SIGKILL the zfs-fuse daemon of ``nas`` (default nas-a), in the middle of whatever it does."""
    nas = _nas(state, args)
    pid = nas.daemon.pid()
    if pid is None:
        raise LabError(f"{nas.name} has no running daemon to kill: 'python -m lab status' shows what runs.")
    os.kill(pid, signal.SIGKILL)
    _wait_gone(pid)
    return f"{nas.name}: zfs-fuse (pid {pid}) killed; datasets answer ENOTCONN until 'nas-restart'"


def _wait_gone(pid: int) -> None:
    """Wait until every thread of a killed process has ended; a zombie may be left for its parent to collect."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        states = []
        for task in Path(f"/proc/{pid}/task").glob("*/stat"):
            try:
                states.append(task.read_text().rpartition(")")[2].split()[0])
            except OSError:
                continue
        if all(state in "ZX" for state in states):
            return
        time.sleep(0.05)


def nas_restart(state: LabState, args: Args) -> str:
    """Bring ``nas`` back after ``nas-kill``: stale mounts away, daemon up, pools from zpool.cache, datasets mounted."""
    nas = _nas(state, args)
    namespace.create(nas)
    lifecycle.start_daemon(nas)
    lifecycle.start_server(nas)
    pools = subprocess.run(namespace.enter(nas, "zpool", "list", "-H", "-o", "name,health"), capture_output=True, text=True, check=False)
    return f"{nas.name}: up, pools: {pools.stdout.strip() or 'none'}"


def server_kill(state: LabState, args: Args) -> str:
    """SIGKILL the API server of ``nas``; ``nas-restart`` starts it again with all its tasks and jobs."""
    nas = _nas(state, args)
    pid = nas.server.pid()
    if pid is None:
        raise LabError(f"{nas.name} has no running API server to kill.")
    os.kill(pid, signal.SIGKILL)
    return f"{nas.name}: API server (pid {pid}) killed"


def pool_destroy(state: LabState, args: Args) -> str:
    """Destroy ``pool`` (default: every pool) of ``nas`` through its API, as an administrator's mistake would."""
    nas = _nas(state, args)
    gone = []
    for pool in call_once(nas.config(), "pool.query", [[]]):
        if args.get("pool", pool["name"]) == pool["name"]:
            options = {"destroy": True, "cascade": str(args.get("cascade", "")).lower() in ("1", "true", "yes"), "restart_services": True}
            _destroy(state, nas, pool["id"], options)
            gone.append(str(pool["name"]))
    if not gone:
        raise LabError(f"{nas.name} has no pool {args.get('pool', 'at all')}: nothing was destroyed.")
    say(f"nas: pool {', '.join(gone)} of {nas.name} destroyed")
    return f"{nas.name}: destroyed {', '.join(gone)}"


def _destroy(state: LabState, nas: Nas, pool: int, options: dict[str, bool]) -> None:
    """Destroy a pool through the API; if somebody has a file open on it, take the disks from under it first."""
    try:
        call_once(nas.config(), "pool.export", [pool, options], timeout=120)
    except RemoteError as exc:
        if "[EBUSY]" not in str(exc):
            raise
        say(f"nas: {exc}: the disks go instead")
        pool_lost(state, {"nas": nas.name})
        call_once(nas.config(), "pool.export", [pool, options], timeout=120)


def pool_lost(state: LabState, args: Args) -> str:
    """Lose the disks of ``nas``: daemon killed, disks blank, cache gone. The API still lists the pool, as OFFLINE."""
    nas = _nas(state, args)
    if nas.daemon.pid() is not None:
        nas_kill(state, args)
    for disk in nas.disks.iterdir():
        disk.unlink()
        with open(disk, "wb") as stream:
            stream.truncate(DISK_BYTES)
    for cache in (nas.dir / "lib").glob("zpool.cache*"):
        cache.unlink()
    return nas_restart(state, args)


FAULTS: dict[str, Callable[[LabState, Args], str]] = {
    "nas-kill": nas_kill, "nas-restart": nas_restart, "server-kill": server_kill, "pool-destroy": pool_destroy, "pool-lost": pool_lost,
}
