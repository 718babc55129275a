# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Backup archives on storages: what is there, how old it is, and what the backup server says about it."""

from __future__ import annotations

import dataclasses
import datetime
import re
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient

# A storage of Proxmox Backup Server: it verifies what it holds, and packs it in its own way.
BACKUP_SERVER = "pbs"
_KIND = re.compile(r"(?:vzdump-(?P<file>qemu|lxc|openvz)-|backup/(?P<pbs>vm|ct)/)(?P<vmid>\d+)")
_KINDS = {"qemu": "qemu", "vm": "qemu", "lxc": "lxc", "openvz": "lxc", "ct": "lxc"}


@dataclasses.dataclass(frozen=True)
class Archive:
    """One backup of one guest.

    Args:
        volid: Its id, with the storage.
        vmid: Of the guest that it was made of.
        kind: ``qemu`` or ``lxc``.
        taken: When it was begun, in seconds since the epoch, by the node's clock.
        size: Bytes; of the guest's data on a backup server.
        notes: As the server keeps them.
        protected: Whether it may not be removed.
        encrypted: Whether a backup server holds it encrypted.
        verification: ``ok``, ``failed``, or ``None`` where it was never verified.
        node: A node that can read it.
    """

    volid: str
    vmid: int
    kind: str
    taken: int
    size: int
    notes: str
    protected: bool
    encrypted: bool
    verification: str | None
    node: str

    @classmethod
    def from_api(cls, answer: t.Mapping[str, t.Any], node: str) -> Archive | None:
        """Read one line of a storage's content; ``None`` for what is no backup of a guest."""
        volid = str(answer["volid"])
        match = _KIND.search(volid)
        vmid = answer.get("vmid") or (match and match.group("vmid"))
        if not vmid:
            return None
        kind = answer.get("subtype") or (_KINDS[match.group("file") or match.group("pbs")] if match else "qemu")
        verification = answer.get("verification") or {}
        return cls(
            volid=volid,
            vmid=int(vmid),
            kind=_KINDS.get(str(kind), "qemu"),
            taken=int(answer.get("ctime") or 0),
            size=int(answer.get("size") or 0),
            notes=str(answer.get("notes") or ""),
            protected=bool(answer.get("protected")),
            encrypted=str(answer.get("encrypted") or "0") not in ("0", ""),
            verification=verification.get("state") if isinstance(verification, dict) else None,
            node=node,
        )

    @property
    def storage(self) -> str:
        """The storage that holds it."""
        return self.volid.partition(":")[0]

    def age(self, now: float | None = None) -> int:
        """Return its age in seconds; a node's clock that is ahead makes it 0, not negative."""
        return max(0, int((time.time() if now is None else now) - self.taken))

    def as_result(self, now: float | None = None) -> dict[str, t.Any]:
        """Return it for a module's result."""
        taken = datetime.datetime.fromtimestamp(self.taken, datetime.timezone.utc)
        return {
            "volid": self.volid,
            "storage": self.storage,
            "node": self.node,
            "vmid": self.vmid,
            "type": self.kind,
            "taken_at": taken.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "age_seconds": self.age(now),
            "size_bytes": self.size,
            "notes": self.notes,
            "protected": self.protected,
            "encrypted": self.encrypted,
            "verification": self.verification,
        }


@dataclasses.dataclass(frozen=True)
class BackupStorage:
    """A storage for backups and the nodes that see it."""

    name: str
    kind: str
    shared: bool
    nodes: tuple[str, ...]

    @property
    def is_backup_server(self) -> bool:
        """Whether it is a Proxmox Backup Server."""
        return self.kind == BACKUP_SERVER

    @property
    def readers(self) -> tuple[str, ...]:
        """The nodes to ask for everything on it: one where all see the same."""
        return self.nodes[:1] if self.shared else self.nodes


def backup_storage(lines: t.Iterable[t.Mapping[str, t.Any]], name: str) -> BackupStorage:
    """Return a storage by the lines of ``cluster/resources``.

    Raises:
        NotFound: no node has it, or this user may not see it.
        Refused: it is not for backups, or not available on any node.
    """
    lines = list(lines)
    online = {str(line["node"]) for line in lines if line.get("type") == "node" and line.get("status") == "online"}
    known = [line for line in lines if line.get("type") == "storage" and line.get("storage") == name]
    if not known:
        names = sorted({str(line["storage"]) for line in lines if line.get("type") == "storage" and "backup" in _contents(line)})
        raise NotFound(f"There is no storage {name} that this user can see.", hint=f"Storages for backups: {', '.join(names) or 'none is visible'}.")
    if not any("backup" in _contents(line) for line in known):
        raise Refused(f"The storage {name} does not take backups (content: {known[0].get('content') or 'none'}).", hint="Add backup to its content.")
    nodes = sorted(str(line["node"]) for line in known if line.get("status") != "unknown" and (not online or str(line["node"]) in online))
    if not nodes:
        raise Refused(f"The storage {name} is not available on any node that is online.", hint="Bring it back, or choose another.")
    return BackupStorage(name, str(known[0].get("plugintype") or ""), bool(known[0].get("shared")), tuple(nodes))


def _contents(line: t.Mapping[str, t.Any]) -> list[str]:
    return str(line.get("content") or "").split(",")


def read_archives(client: ProxmoxClient, storage: BackupStorage, *, vmid: int | None = None) -> list[Archive]:
    """Return the archives on a storage, newest first."""
    found: dict[tuple[str, str], Archive] = {}
    for node in storage.readers:
        for line in client.get(f"nodes/{node}/storage/{storage.name}/content", content="backup", vmid=vmid) or []:
            one = Archive.from_api(line, node)
            if one and (vmid is None or one.vmid == vmid):
                found.setdefault((one.volid, "" if storage.shared else node), one)
    return sorted(found.values(), key=lambda one: (-one.taken, one.volid))


def choose_archive(archives: t.Sequence[Archive], *, what: str, max_age: int | None = None, verified: bool = False, now: float | None = None) -> Archive:
    """Return the newest of *archives* if it is good enough; an older one is never taken in its place.

    Args:
        archives: Those of one guest, newest first.
        what: The guest and the storage, for messages.
        max_age: Seconds that it may be old.
        verified: Whether a backup server must have verified it.
        now: Seconds since the epoch.

    Raises:
        NotFound: there is none.
        Refused: it is too old, its verification failed, or it was not verified although that is asked for.
    """
    if not archives:
        raise NotFound(f"There is no backup of {what}.", hint="Make one with proxmox_backup.")
    newest = archives[0]
    age = newest.age(now)
    if newest.verification == "failed":
        raise Refused(f"The backup server could not verify the newest backup of {what}: {newest.volid} is damaged.", hint="Make a new one at once.")
    if verified and newest.verification != "ok":
        raise Refused(
            f"The newest backup of {what} ({newest.volid}) has not been verified by a backup server.",
            hint="Run a verify job on its datastore, or set require_verified: false.",
        )
    if max_age is not None and age > max_age:
        raise Refused(
            f"The newest backup of {what} ({newest.volid}) is {age} s old; at most {max_age} s are allowed.",
            hint="Make a new one; see why the regular job did not.",
        )
    return newest
