# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Snapshots of guests: what is there, what there is to do, and doing it."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session, refuse_fresh_lock, title
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest

# What is reserved by the server: its pseudo snapshot, its section of pending changes, and vzdump's own of a container.
RESERVED = frozenset({"current", "pending", "vzdump"})
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{1,39}")


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """A snapshot as the server lists it. ``state`` is set while it is incomplete."""

    name: str
    description: str
    taken: int
    memory: bool
    parent: str | None
    state: str | None

    @classmethod
    def from_api(cls, answer: t.Mapping[str, t.Any]) -> Snapshot:
        """Read one line."""
        return cls(
            name=str(answer["name"]),
            description=str(answer.get("description") or "").strip(),
            taken=int(answer.get("snaptime") or 0),
            memory=bool(answer.get("vmstate")),
            parent=answer.get("parent") or None,
            state=answer.get("snapstate") or None,
        )

    def as_result(self) -> dict[str, t.Any]:
        """Return it with the names of our options."""
        taken = datetime.datetime.fromtimestamp(self.taken, datetime.timezone.utc)
        return {
            "name": self.name,
            "description": self.description,
            "taken_at": taken.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "vmstate": self.memory,
            "parent": self.parent,
            "incomplete": self.state,
        }


@dataclasses.dataclass
class SnapshotPlan:
    """What there is to do about one snapshot of one guest."""

    guest: Guest
    name: str
    state: str
    current: Snapshot | None
    description: str | None
    memory: bool
    start: bool

    @property
    def action(self) -> str | None:
        """What to do: ``create``, ``describe``, ``delete``, ``rollback``, or nothing."""
        if self.state == "rollback":
            return "rollback"
        if self.state == "absent":
            return "delete" if self.current else None
        if self.current is None:
            return "create"
        return "describe" if self.description is not None and self.description.strip() != self.current.description else None

    def diff(self) -> DiffTracker:
        """Return the differences; the time of a snapshot is not among them."""
        tracker = DiffTracker()
        if self.action == "create":
            tracker.add("snapshot", before=None, after=self.name)
            tracker.add("description", before=None, after=self.description)
            tracker.add("vmstate", before=None, after=self.memory)
        elif self.action == "delete":
            tracker.add("snapshot", before=self.name, after=None)
        elif self.action == "describe" and self.current:
            tracker.add("description", before=self.current.description, after=(self.description or "").strip())
        elif self.action == "rollback":
            tracker.add("state", before="current", after=f"as it was at {self.name}")
            tracker.add("power", before=self.guest.status, after="running" if self.start else "stopped")
        return tracker


def read_snapshots(client: ProxmoxClient, guest: Guest) -> list[Snapshot]:
    """Return a guest's snapshots, oldest first, without the server's pseudo entry."""
    lines = client.get(f"{guest.path}/snapshot")
    found = [Snapshot.from_api(line) for line in lines or [] if line.get("name") != "current"]
    return sorted(found, key=lambda one: (one.taken, one.name))


def plan_snapshot(
    client: ProxmoxClient,
    guest: Guest,
    name: str,
    state: str,
    *,
    description: str | None = None,
    memory: bool = False,
    start: bool | None = None,
    confirm: str | None = None,
    force: bool = False,
) -> SnapshotPlan:
    """Look at the guest and plan.

    Args:
        client: The endpoint.
        guest: Whose snapshot.
        name: The snapshot.
        state: ``present``, ``absent`` or ``rollback``.
        description: Notes; ``None`` leaves those of an existing one alone.
        memory: Whether a new one holds the memory of a running guest.
        start: Whether the guest runs after a rollback; ``None`` if it ran before.
        confirm: The guest's name, for a rollback.
        force: Whether an incomplete snapshot may be removed.

    Raises:
        Refused: it may not be; nothing was written.
        Locked: another operation holds the guest.
    """
    if not _NAME.fullmatch(name) or name.lower() in RESERVED:
        raise Refused(
            f"{name!r} cannot be the name of a snapshot.",
            hint=f"Use 2 to 40 letters, digits, '_' and '-', beginning with a letter, and none of {', '.join(sorted(RESERVED))}.",
        )
    if guest.template:
        raise Refused(f"{title(guest)} is a template, which has no snapshots.", hint="Choose another guest.")
    if memory and guest.kind == "lxc":
        raise Refused(f"{title(guest)} is a container: its memory cannot be kept.", hint="Leave vmstate out.")
    current = next((one for one in read_snapshots(client, guest) if one.name == name), None)
    runs = guest.status == "running"
    plan = SnapshotPlan(guest, name, state, current, description, memory and runs, runs if start is None else start)
    _check(plan, confirm=confirm, force=force)
    if plan.action:
        refuse_fresh_lock(client, guest, "snapshot operation")
    return plan


def _check(plan: SnapshotPlan, *, confirm: str | None, force: bool) -> None:
    """Refuse what cannot or must not be done."""
    who, current = title(plan.guest), plan.current
    if plan.state == "rollback":
        if current is None:
            raise Refused(f"{who} has no snapshot {plan.name}.", hint="proxmox_vm_snapshot_info lists those there are.")
        if confirm != plan.guest.name:
            raise Refused(
                f"Rolling {who} back to {plan.name} loses everything written since {current.as_result()['taken_at']}, and confirm is {confirm!r}.",
                hint=f"Set confirm: {plan.guest.name} if that is meant.",
            )
    if current and current.state and not (plan.state == "absent" and force):
        raise Refused(
            f"The snapshot {plan.name} of {who} is incomplete ({current.state}): making or removing it was cut off.",
            hint="Remove it with state: absent and force: true.",
        )


def apply_snapshot(session: Session, plan: SnapshotPlan, *, force: bool = False) -> None:
    """Do what the plan says, and wait.

    Raises:
        TaskFailed: the server could not; with its log.
        WaitTimeout: it still tries.
    """
    client, path, who = session.client, f"{plan.guest.path}/snapshot", title(plan.guest)
    one = f"{path}/{plan.name}"
    if plan.action == "create":
        memory = 1 if plan.memory else None
        upid = client.post(path, snapname=plan.name, description=plan.description, vmstate=memory)
        session.wait(upid, f"Snapshot {plan.name} of {who}")
    elif plan.action == "describe":
        client.put(f"{one}/config", description=plan.description or "")
    elif plan.action == "delete":
        session.wait(client.delete(one, {"force": 1} if force else {}), f"Removing the snapshot {plan.name} of {who}")
    elif plan.action == "rollback":
        session.wait(client.post(f"{one}/rollback", start=1 if plan.start else None), f"Rollback of {who} to {plan.name}")
