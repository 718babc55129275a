"""Other NASes of the lab, reached as if by SSH: address and port of the credentials name the peer, its host key must be the
known one and the key pair's public key must be in the user's authorized_keys there. Only the transport itself is replaced,
by entering the peer's mount namespace."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from lab.nas.server.errors import CallError
from lab.nas.server.middleware import Middleware
from lab.nas.server.zfs import Zfs

Entry = dict[str, Any]


class Unreachable(CallError):
    """The other side did not answer: trying again may help."""


def find(mw: Middleware, host: str, port: int) -> Entry:
    """Return the configuration of the NAS that answers SSH at an address. Unreachable."""
    for peer in mw.peers():
        if peer["ports"]["ssh"] == port and host in (peer["address"], peer["name"], *(["localhost"] if peer["address"].startswith("127.") else [])):
            return peer
    raise Unreachable(f"[Errno None] Unable to connect to port {port} on {host}", errno.ECONNREFUSED)


def host_key(peer: Entry) -> str:
    """Return a NAS's SSH host key: type and key, without comment."""
    return " ".join((Path(peer["dir"]) / "ssh_host_ed25519_key.pub").read_text().split()[:2])


def _process(peer: Entry) -> int:
    """Return a live process inside the peer's namespace: its server's or its daemon's."""
    for part in ("api", "zfs"):
        try:
            pid, started = (Path(peer["dir"]).parent / "run" / f"{peer['name']}-{part}.pid").read_text().split()
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19] == started:
                return int(pid)
        except (OSError, ValueError):
            continue
    raise Unreachable(f"[Errno None] Unable to connect to port {peer['ports']['ssh']} on {peer['address']}", errno.EHOSTUNREACH)


def _normal(key: str) -> str:
    return " ".join(key.split()[:2])


def connect(mw: Middleware, credentials: int, *, sudo: bool = False) -> Zfs:
    """Return the ZFS of the NAS that an SSH_CREDENTIALS entry leads to. CallError as SSH would fail."""
    entry = mw.store.find("keychain", credentials)
    if entry is None or entry["type"] != "SSH_CREDENTIALS":
        raise CallError("Credential does not exist" if entry is None else "Credential is not of type SSH_CREDENTIALS", errno.ENOENT)
    attributes = entry["attributes"]
    peer = find(mw, attributes["host"], attributes["port"])
    pid = _process(peer)
    known = [_normal(line) for line in attributes["remote_host_key"].splitlines() if line.strip()]
    if host_key(peer) not in known:
        raise CallError(f"Host key for server '{attributes['host']}' does not match: got '{host_key(peer)}', expected '{', '.join(known)}'")
    pair = mw.store.find("keychain", attributes["private_key"])
    allowed = Path(peer["dir"]) / "home" / attributes["username"] / "authorized_keys"
    keys = [_normal(line) for line in allowed.read_text().splitlines()] if allowed.exists() else []
    if pair is None or _normal(pair["attributes"]["public_key"]) not in keys:
        raise CallError("Authentication failed.", errno.EACCES)
    if attributes["username"] != "root" and not sudo:
        raise CallError(f"User {attributes['username']} may not run zfs on {attributes['host']}: permission denied (set sudo)", errno.EPERM)
    return Zfs(["nsenter", f"--mount=/proc/{pid}/ns/mnt"])
