# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Restoring a guest from its backup: the request, in which the network is down already, and the way back."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.archives import Archive
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session, still_there
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import is_upid, node_of

# What a copy must not share with the original: devices of the node, and scripts that run on it.
_TIES = re.compile(r"hookscript|hostpci\d+|usb\d+|ivshmem")
CLEANUP_SECONDS = 300


class LeftBehind(PlatformError):
    """The guest that was restored for a test could not be removed."""


@dataclasses.dataclass(frozen=True)
class Target:
    """What is restored, and as what.

    Args:
        archive: The backup.
        config: Its configuration.
        node: Where to.
        vmid: Id of the restored guest.
        name: Its name.
        network: ``down``, ``isolated`` or ``keep``.
        bridge: The isolated bridge.
        storage: For its disks; ``None`` takes those of the backup.
        marker: Stands in the notes of a guest that is restored for a test, to know it again; empty for one that is kept.
        unique: Whether it gets addresses and ids of its own.
        overrides: Other keys, as the server has them.
        force: Whether an existing guest with that id is overwritten.
    """

    archive: Archive
    config: t.Mapping[str, str]
    node: str
    vmid: int
    name: str | None
    network: str = "down"
    bridge: str | None = None
    storage: str | None = None
    marker: str = ""
    unique: bool = True
    tags: t.Sequence[str] = ()
    pool: str | None = None
    overrides: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)
    force: bool = False
    live: bool = False
    bwlimit: int | None = None

    @property
    def path(self) -> str:
        """Its path in the API."""
        return f"nodes/{self.node}/{self.archive.kind}/{self.vmid}"

    @property
    def guest(self) -> Guest:
        """The restored guest, for those that wait for it."""
        return Guest(self.vmid, self.name or str(self.vmid), self.node, self.archive.kind, "running", False, frozenset(), self.pool, None)

    def networks(self) -> dict[str, str]:
        """Return the network devices as they are overridden in the request that restores."""
        if self.network == "keep":
            return {}
        return {key: self._isolated(str(value)) for key, value in self.config.items() if props.NET_KEY.match(key)}

    def _isolated(self, value: str) -> str:
        """Return a device that reaches nobody: its link is down, or its bridge is the isolated one."""
        parts = [part.partition("=") for part in value.split(",") if part]
        kept: list[str] = []
        for key, _sign, given in parts:
            if key == "link_down" or (key == "hwaddr" and self.unique) or (key == "tag" and self.network == "isolated"):
                continue
            if key == "bridge":
                kept.append(f"bridge={self.bridge if self.network == 'isolated' else given}")
            elif key in props.NET_MODELS and self.unique:
                kept.append(key)  # without its address the server makes a new one
            else:
                kept.append(f"{key}={given}")
        return ",".join([*kept, "link_down=1"] if self.network == "down" else kept)

    def params(self) -> dict[str, t.Any]:
        """Return the parameters of the request."""
        container = self.archive.kind == "lxc"
        test = bool(self.marker)
        values: dict[str, t.Any] = {
            "vmid": self.vmid,
            **({"ostemplate": self.archive.volid, "restore": 1} if container else {"archive": self.archive.volid}),
            "storage": self.storage,
            "unique": 1 if self.unique else None,
            "force": 1 if self.force else None,
            "pool": self.pool,
            "bwlimit": self.bwlimit,
            "live-restore": 1 if self.live and not container else None,
            "hostname" if container else "name": self.name,
            "tags": ";".join(self.tags) or None,
            # It shall neither start with the node nor resist its removal.
            "onboot": 0 if test else None,
            "protection": 0 if test else None,
            "description": self.marker or None,
            **self.networks(),
        }
        return {**{key: value for key, value in values.items() if value is not None}, **self.overrides}


def check_overrides(overrides: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return overrides that the server takes together with an archive.

    Raises:
        Refused: a drive, a network device, or a key that has an option of its own.
    """
    own = {"vmid", "archive", "ostemplate", "restore", "storage", "unique", "force", "pool", "name", "hostname", "description", "start", "node"}
    wrong = sorted(key for key in overrides if key in own or props.DRIVE_KEY.match(key) or props.NET_KEY.match(key) or re.fullmatch(r"mp\d+|rootfs", key))
    if wrong:
        raise Refused(f"overrides cannot have {', '.join(wrong)}.", hint="Drives come from the archive; the rest has options of its own.")
    return {key: int(value) if isinstance(value, bool) else value for key, value in overrides.items()}


def restore(session: Session, target: Target) -> None:
    """Send the request and wait.

    Raises:
        AlreadyExists: the id was taken meanwhile; nothing was done.
        TaskFailed: the archive could not be restored; with the log.
    """
    what = f"Restoring {target.archive.volid} as {target.vmid} on {target.node}"
    upid = session.client.post(f"nodes/{target.node}/{target.archive.kind}", **target.params())
    try:
        session.wait(upid, what)
    except BaseException:
        if target.marker:
            abort(session.client, upid)
        raise


def untie(client: ProxmoxClient, target: Target) -> list[str]:
    """Take from a test copy what ties it to its node, and make sure that it reaches nobody. Returns what was taken.

    Raises:
        Refused: a network device is not isolated: the guest must not be started.
    """
    config = client.get(f"{target.path}/config")
    for key, value in config.items():
        if target.network != "keep" and props.NET_KEY.match(key) and not _is_isolated(str(value), target):
            raise Refused(f"{key} of the restored guest {target.vmid} is not isolated ({value}), so it is not started.", hint="Report this.")
    ties = sorted(key for key in config if _TIES.fullmatch(key))
    if ties:
        client.put(f"{target.path}/config", delete=",".join(ties), digest=config.get("digest"))
    return ties


def _is_isolated(value: str, target: Target) -> bool:
    parts = value.split(",")
    return "link_down=1" in parts if target.network == "down" else f"bridge={target.bridge}" in parts


def abort(client: ProxmoxClient, upid: t.Any) -> None:
    """Stop a task that still runs; what it has made is cleaned up by the server or by ``destroy``."""
    if is_upid(upid):
        try:
            if client.get(f"nodes/{node_of(upid)}/tasks/{upid}/status").get("status") == "running":
                client.delete(f"nodes/{node_of(upid)}/tasks/{upid}", {})
        except PlatformError:
            return  # destroy looks at what there is, and says what is wrong


def destroy(client: ProxmoxClient, target: Target, *, timeout: float = CLEANUP_SECONDS) -> bool:
    """Remove the restored guest, and only that: its notes have to hold the marker. Returns whether there was one.

    Raises:
        LeftBehind: it is still there; the message says what to do.
    """
    session = Session(client, timeout)
    try:
        config = _unlocked(session, target)
        if config is None:
            return False
        if not target.marker or target.marker not in str(config.get("description") or ""):
            raise Refused(f"{target.vmid} is not the guest that was restored here.", hint="It was left alone.")
        if client.get(f"{target.path}/status/current").get("status") != "stopped":
            session.wait(client.post(f"{target.path}/status/stop"), f"Stopping {target.vmid}")
        gone = client.delete(target.path, {"purge": 1, "destroy-unreferenced-disks": 1})
        session.wait(gone, f"Removing {target.vmid}")
    except PlatformError as exc:
        raise LeftBehind(
            f"The guest {target.vmid} on {target.node}, restored for a test from {target.archive.volid}, could not be removed: {exc.message}",
            hint=f"Remove it by hand, its notes hold {target.marker!r}.",
            details={"vmid": target.vmid, "node": target.node},
        ) from exc
    return True


def _unlocked(session: Session, target: Target) -> dict[str, t.Any] | None:
    """Return the configuration once the restore that was stopped has let go of it; ``None`` if there is no such guest."""
    while True:
        config = still_there(session.client, f"{target.path}/config")
        if config is None or not config.get("lock") or session.clock() >= session.deadline:
            return config
        session.sleep(1.0)
