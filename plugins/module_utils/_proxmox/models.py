# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What the API returns, as data."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._proxmox.properties import parse_tags

Answer = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Guest:
    """A line of ``/cluster/resources``: a virtual machine or container."""

    vmid: int
    name: str
    node: str
    kind: str
    status: str
    template: bool
    tags: frozenset[str]
    pool: str | None
    lock: str | None
    cores: float | None = None
    memory_bytes: int | None = None

    @classmethod
    def from_api(cls, answer: Answer) -> Guest:
        """Read one line; a guest that was made this second may lack its name."""
        return cls(
            vmid=int(answer["vmid"]),
            name=str(answer.get("name") or ""),
            node=str(answer["node"]),
            kind=str(answer["type"]),
            status=str(answer.get("status") or "unknown"),
            template=bool(answer.get("template")),
            tags=parse_tags(answer.get("tags")),
            pool=answer.get("pool") or None,
            lock=answer.get("lock") or None,
            cores=answer.get("maxcpu"),
            memory_bytes=answer.get("maxmem"),
        )

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"nodes/{self.node}/{self.kind}/{self.vmid}"

    def as_result(self) -> dict[str, t.Any]:
        """Return it with the names of our options."""
        return {
            "name": self.name,
            "vmid": self.vmid,
            "node": self.node,
            "type": self.kind,
            "status": self.status,
            "template": self.template,
            "tags": sorted(self.tags),
            "pool": self.pool,
            "lock": self.lock,
        }


@dataclasses.dataclass(frozen=True)
class Storage:
    """A storage as one node sees it. ``content`` is empty where the server didn't say."""

    name: str
    node: str
    content: frozenset[str]
    available: bool
    kind: str = ""
    shared: bool = False
    total: int | None = None
    used: int | None = None

    @classmethod
    def from_api(cls, answer: Answer) -> Storage:
        """Read one line; sizes are bytes, and missing where the storage is not active."""
        total, used = answer.get("maxdisk"), answer.get("disk")
        return cls(
            name=str(answer["storage"]),
            node=str(answer["node"]),
            content=frozenset(str(answer.get("content") or "").split(",")) - {""},
            available=answer.get("status") != "unknown",
            kind=str(answer.get("plugintype") or ""),
            shared=bool(answer.get("shared")),
            total=int(total) if total else None,
            used=int(used) if used is not None else None,
        )

    @property
    def free(self) -> int | None:
        """Bytes that are left; ``None`` if the server doesn't say."""
        return None if self.total is None or self.used is None else max(0, self.total - self.used)


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Everything that one ``GET /cluster/resources`` says."""

    guests: tuple[Guest, ...]
    nodes: t.Mapping[str, bool]
    storages: tuple[Storage, ...]

    @classmethod
    def from_api(cls, answer: t.Iterable[Answer]) -> Cluster:
        """Sort the lines by type; unknown types (sdn, pool) are left out."""
        guests: list[Guest] = []
        nodes: dict[str, bool] = {}
        storages: list[Storage] = []
        for line in answer:
            if line.get("type") in ("qemu", "lxc"):
                guests.append(Guest.from_api(line))
            elif line.get("type") == "node":
                nodes[str(line["node"])] = line.get("status") == "online"
            elif line.get("type") == "storage":
                storages.append(Storage.from_api(line))
        return cls(tuple(guests), nodes, tuple(storages))

    def named(self, names: t.Mapping[int, str]) -> Cluster:
        """Return the cluster with better names for some guests, by id."""
        if not names:
            return self
        guests = tuple(dataclasses.replace(guest, name=names.get(guest.vmid, guest.name)) for guest in self.guests)
        return dataclasses.replace(self, guests=guests)

    def by_vmid(self, vmid: int) -> Guest | None:
        """Return the guest with this id."""
        return next((guest for guest in self.guests if guest.vmid == vmid), None)

    def by_name(self, name: str) -> list[Guest]:
        """Return the guests with this name: Proxmox lets several have it."""
        return [guest for guest in self.guests if guest.name == name]

    def storage(self, name: str, node: str) -> Storage | None:
        """Return a storage if *node* has it."""
        return next((storage for storage in self.storages if storage.name == name and storage.node == node), None)


@dataclasses.dataclass(frozen=True)
class GuestConfig:
    """A guest's configuration.

    Args:
        values: What it will be after the next start.
        pending: Keys that the running guest does not have yet; ``None`` stands for a key that will be gone.
        digest: For the optimistic lock; only ``GET config`` has it.
    """

    values: t.Mapping[str, str]
    pending: t.Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    digest: str | None = None

    @classmethod
    def from_pending(cls, answer: t.Iterable[Answer]) -> GuestConfig:
        """Read ``GET pending``: one request for what is and what waits for a restart."""
        values: dict[str, str] = {}
        pending: dict[str, str | None] = {}
        for line in answer:
            key = str(line["key"])
            if line.get("delete"):
                pending[key] = None
            elif "pending" in line and line.get("pending") is not None:
                pending[key] = values[key] = str(line["pending"])
            elif "value" in line:
                values[key] = str(line["value"])
        return cls(values, pending)

    def with_digest_of(self, answer: Answer) -> GuestConfig:
        """Return what ``GET config`` says, with our pending keys over it."""
        values = {key: str(value) for key, value in answer.items() if key not in ("digest", "pending")}
        for key, value in self.pending.items():
            if value is None:
                values.pop(key, None)
            else:
                values[key] = value
        return GuestConfig(values, self.pending, answer.get("digest"))
