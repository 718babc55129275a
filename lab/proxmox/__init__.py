"""The lab's Proxmox VE: an API double with real guests behind it."""

from __future__ import annotations

import hashlib
import os
import secrets
import ssl
import sys
import urllib.request
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab import pki, podman
from lab.daemon import Daemon
from lab.guest import image
from lab.guest.disk import Disk
from lab.proxmox.room import RUN_DIR, Room
from lab.state import LabError, LabState, Row, say, write_private

_PORT = 8006
_ROOT = Path(__file__).resolve().parents[2]


def _access(state: LabState) -> dict[str, object]:
    """Return the section of ``connection``; passwords are made once."""
    old = state.connection.get("proxmox") or {}
    return {
        "host": state.address, "port": _PORT, "node": "pve1", "user": "automation@pve", "password": old.get("password") or secrets.token_urlsafe(18),
        "token_id": "lab", "token_secret": old.get("token_secret") or str(uuid.uuid4()), "root_password": old.get("root_password") or secrets.token_urlsafe(18),
        "template": "debian12", "storage": "local-lvm", "bridge": "vmbr0", "isolated_bridge": "vmbr1",
    }


def _answers(state: LabState) -> bool:
    """Say whether the API answers over TLS with the lab's certificate."""
    access = state.connection["proxmox"]
    request = urllib.request.Request(f"https://{access['host']}:{access['port']}/api2/json/version", headers={
        "Authorization": f"PVEAPIToken={access['user']}!{access['token_id']}={access['token_secret']}"})
    context = ssl.create_default_context(cafile=str(state.connection["ca_file"]))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
    try:
        with opener.open(request, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _stamp() -> str:
    """Return a hash of the image's recipe and of the server's code: a server of another version is restarted."""
    digest = hashlib.sha256(image.recipe_hash().encode())
    for path in sorted([*Path(__file__).parent.glob("*.py"), *image.HERE.glob("*.py")]):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def up(state: LabState) -> None:
    """Start the API unless it answers; guests that run are adopted."""
    state.update("proxmox", _access(state))
    certificate, key = pki.server_certificate(state, "proxmox", "pve1")
    image.ensure()
    daemon = Daemon(state, "proxmox")
    stamp = state.path("run", "proxmox.stamp")
    current = stamp.exists() and stamp.read_text() == _stamp()
    if daemon.pid() is not None and not (current and _answers(state)):
        say(f"proxmox: the API {'does not answer' if current else 'is of an older version'}, restarting it")
        daemon.stop()
    argv = [sys.executable, "-m", "lab.proxmox", state.name, str(certificate), str(key)]
    if daemon.start(argv, ready=lambda: _answers(state), env={**os.environ, "PYTHONPATH": str(_ROOT)}, cwd=_ROOT):
        write_private(stamp, _stamp())
        say(f"proxmox: API on https://{state.address}:{_PORT}")


def down(state: LabState) -> None:
    """Stop the API, remove every guest of the lab with its disk."""
    if Daemon(state, "proxmox").stop():
        say("removed the Proxmox API")
    guests = podman.containers(f"resilient-lab={state.name}")
    if guests:
        podman.run("rm", "--force", "--time", "0", *(guest["Id"] for guest in guests))
        say(f"removed {len(guests)} guest(s): {', '.join(guest['Names'][0] for guest in guests)}")
    room = Room(state)
    disks = state.dir / "proxmox" / "disks"
    for path in [path for base in (disks, RUN_DIR / state.name) if base.is_dir() for path in base.iterdir()]:
        if path.name.isdigit():
            room.disk(int(path.name)).delete()
        else:  # what a backup or a restore left that was cut off
            Disk(path, path / "rootfs").delete()
    for directory in (RUN_DIR / state.name, RUN_DIR):
        try:
            directory.rmdir()
        except OSError:  # not there, or another lab's
            pass


def status(state: LabState) -> list[Row]:
    """The API, and one row a guest."""
    pid = Daemon(state, "proxmox").pid()
    if pid is None or "proxmox" not in state.connection:
        rows = [Row("proxmox", "down", "not running")]
    else:
        good = _answers(state)
        rows = [Row("proxmox", "up" if good else "broken", f"https://{state.address}:{_PORT} (pid {pid})" + ("" if good else ", does not answer"))]
    for guest in podman.containers(f"resilient-lab={state.name}"):
        rows.append(Row("guest", "up" if guest["State"] == "running" else "down", f"{guest['Names'][0]} {guest['State']}"))
    return rows


def _kill_guest(state: LabState, args: Mapping[str, Any]) -> str:
    """SIGKILL the guest ``vmid`` behind the API's back."""
    if not str(args.get("vmid", "")).isdigit():
        raise LabError("guest-kill needs vmid=NUMBER.")
    name = Room(state).name(int(args["vmid"]))
    podman.run("kill", "--signal", "KILL", name)
    return f"killed {name} behind the API's back"


def _kill_api(state: LabState, args: Mapping[str, Any]) -> str:
    """SIGKILL the API."""
    del args
    Daemon(state, "proxmox").stop(wait=0)
    return "killed the Proxmox API; guests keep running; 'up' starts it again"


FAULTS = {"guest-kill": _kill_guest, "proxmox-down": _kill_api}
