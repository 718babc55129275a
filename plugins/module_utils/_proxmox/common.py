# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What the modules about snapshots, backups and templates share: finding guests, and running the server's tasks."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, NotFound, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import Locked
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import TaskPoller, is_upid, node_of

WHOLE_LOG = 50000
WARNING_LINES = 5


@dataclasses.dataclass
class Session:
    """A client with a deadline for everything that is waited for.

    Args:
        client: The endpoint.
        timeout: Seconds for the whole of it.
        clock: A monotonic clock in seconds.
        sleep: Called with seconds.
    """

    client: ProxmoxClient
    timeout: float = 300.0
    clock: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep
    warnings: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.deadline = self.clock() + self.timeout
        self.poller = TaskPoller(self.client, clock=self.clock, sleep=self.sleep)

    def wait(self, upid: t.Any, what: str, *, deadline: float | None = None) -> list[str]:
        """Wait for a task; one that ended with warnings adds them to ``warnings``. Returns the log's lines of such a task.

        Raises:
            TaskFailed: with the exit status and the log's last lines.
            WaitTimeout: it still runs.
        """
        status = self.poller.wait(upid, what=what, deadline=self.deadline if deadline is None else deadline)
        if status == "OK":
            return []
        lines = self.log(upid)
        said = [line for line in lines if line.startswith("WARN")] or lines[-WARNING_LINES:]
        self.warnings.append(f"{what} ended with {status}: {' '.join(said[-WARNING_LINES:])}")
        return lines

    def log(self, upid: t.Any) -> list[str]:
        """Return all lines of a task's log; none for what was no task."""
        if not is_upid(upid):
            return []
        lines = self.client.get(f"nodes/{node_of(upid)}/tasks/{upid}/log", limit=WHOLE_LOG)
        return [str(line.get("t", "")) for line in lines or []]


def find_guest(cluster: Cluster, wanted: str) -> Guest:
    """Return the guest with the name or, for digits that are nobody's name, the id *wanted*.

    Raises:
        NotFound: there is none that this user can see.
        Refused: several have the name.
    """
    named = cluster.by_name(wanted)
    if not named and wanted.isdigit():
        held = cluster.by_vmid(int(wanted))
        named = [held] if held else []
    if not named:
        raise NotFound(
            f"There is no guest {wanted} that this user can see.",
            hint="Correct the name or id; guests without the privilege VM.Audit are not seen.",
        )
    if len(named) > 1:
        ids = ", ".join(f"{guest.vmid} on {guest.node}" for guest in named)
        raise Refused(f"The name {wanted} exists {len(named)} times: {ids}.", hint="Give the id instead.")
    return named[0]


def title(guest: Guest) -> str:
    """Return the guest as messages name it."""
    kind = {"qemu": "Guest", "lxc": "Container"}.get(guest.kind, "Guest")
    return f"{kind} {guest.name or '(without name)'} ({guest.vmid} on {guest.node})"


def refuse_locked(guest: Guest, what: str) -> None:
    """Refuse to touch a guest on which another operation runs.

    Raises:
        Locked: it is locked.
    """
    if guest.lock:
        command = "qm" if guest.kind == "qemu" else "pct"
        raise Locked(
            f"{title(guest)} is locked ({guest.lock}), so there can be no {what} now.",
            hint=f"Wait until the {guest.lock} has ended; if nothing is running, unlock it with: {command} unlock {guest.vmid}.",
        )


def refuse_fresh_lock(client: ProxmoxClient, guest: Guest, what: str) -> None:
    """As ``refuse_locked``, by the configuration as it is now: the cluster's list may lag by seconds."""
    refuse_locked(dataclasses.replace(guest, lock=client.get(f"{guest.path}/config").get("lock")), what)


def still_there(client: ProxmoxClient, path: str) -> dict[str, t.Any] | None:
    """Return what a GET says, ``None`` if there is no such thing.

    Raises:
        ApiError: anything else went wrong.
    """
    try:
        return dict(client.get(path))
    except NotFound:
        return None
    except ApiError as exc:
        if "does not exist" in exc.said or "no such" in exc.said.lower():
            return None
        raise
