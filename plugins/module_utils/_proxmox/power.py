# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Starting, restarting and stopping guests; many at once where the server can."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, ConnectionFailed, PlatformError, TaskFailed
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import Census
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import Locked, WriteUnanswered
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.gather import Gather
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.make import Maker
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.outcome import Outcome
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import TaskPoller

# A guest gets this long to shut down before it is switched off.
SHUTDOWN_SECONDS = 60
# Guests that are ready within so many seconds are looked after, and started, together.
WINDOW = 0.5
_VERBS = {"start": "Starting", "shutdown": "Shutting down", "reboot": "Restarting"}


@dataclasses.dataclass
class Ready:
    """A guest that is configured. ``fresh``: nobody has looked yet whether it is the only one of its name."""

    guest: Guest
    fresh: bool
    start: bool
    deadline: float


@dataclasses.dataclass
class Verdict:
    """What was found out and done about a ready guest."""

    alone: bool = True
    started: bool = False
    exit_status: str = "OK"


class Power:
    """Starts, restarts and stops guests.

    Args:
        client: The endpoint.
        tasks: Waits for the server's tasks.
        census: Who is there.
        maker: Knows whether a guest is the only one of its name.
    """

    def __init__(self, client: ProxmoxClient, tasks: TaskPoller, census: Census, maker: Maker, clock: t.Callable[[], float] = time.monotonic) -> None:
        self._client, self._tasks, self._census, self._maker, self._clock = client, tasks, census, maker, clock
        self._bulk = True
        self.ready: Gather[Ready, Verdict] = Gather(self._look_and_start, WINDOW)

    def _look_and_start(self, items: list[Ready]) -> list[Verdict]:
        """Find out with one list for all who is alone, and start those in one request."""
        cluster = self._census.now() if any(item.fresh for item in items) else None
        verdicts = [Verdict(alone=cluster is None or not item.fresh or self._maker.is_alone(item.guest, cluster)) for item in items]
        starting = [(item, verdict) for item, verdict in zip(items, verdicts) if item.start and verdict.alone]
        if len(starting) > 1 and self._bulk:
            exit_status, running = self._start_many([item.guest for item, _verdict in starting], max(item.deadline for item in items))
            for item, verdict in starting:
                verdict.started, verdict.exit_status = item.guest.vmid in running, exit_status
        return verdicts

    def _start_many(self, guests: list[Guest], deadline: float) -> tuple[str, set[int]]:
        """Start guests with one request; returns the exit status and who runs now. Who doesn't is to be started alone, and says why not."""
        exit_status = "OK"
        try:
            upid = self._client.post("cluster/bulk-action/guest/start", vms=[guest.vmid for guest in guests])
        except (WriteUnanswered, ConnectionFailed):
            upid = None
        except ApiError:
            # Before PVE 9, or with too few privileges: each guest is started, and refused, by itself.
            self._bulk = False
            return exit_status, set()
        try:
            exit_status = self._tasks.wait(upid, what=f"Starting {len(guests)} guests", deadline=deadline)
        except PlatformError:
            pass
        running: set[int] = set()
        for node in sorted({guest.node for guest in guests}):
            for line in self._client.get(f"nodes/{node}/qemu") or []:
                if line.get("status") == "running":
                    running.add(int(line["vmid"]))
        return exit_status, running

    def switch(self, guest: Guest, action: str, outcome: Outcome, deadline: float) -> None:
        """Start, restart or shut down one guest; one that is already so is fine."""
        wanted = "stopped" if action == "shutdown" else "running"
        params = {"start": {}, "shutdown": {"timeout": SHUTDOWN_SECONDS, "forceStop": 1}, "reboot": {"timeout": SHUTDOWN_SECONDS}}[action]
        what = f"{_VERBS[action]} guest {guest.name} ({guest.vmid} on {guest.node})"
        try:
            upid = self._client.post(f"{guest.path}/status/{action}", **params)
            outcome.warn(what, self._tasks.wait(upid, what=what, deadline=deadline))
        except (TaskFailed, WriteUnanswered):
            # The list of all guests lags by seconds, and a lost answer may have been a good one. A restart can't be told from none.
            if action == "reboot" or str(self._client.get(f"{guest.path}/status/current").get("status")) != wanted:
                raise
        outcome.status, outcome.changed = wanted, True

    def stop(self, guest: Guest, deadline: float) -> None:
        """Switch a guest off."""
        upid = self._client.post(f"{guest.path}/status/stop")
        self._tasks.wait(upid, what=f"Stopping guest {guest.name} ({guest.vmid} on {guest.node})", deadline=deadline)

    def name_holder(self, guest: Guest, exc: Locked) -> None:
        """Add to an error which tasks are at work on the guest."""
        try:
            lines = self._client.get(f"nodes/{guest.node}/tasks", vmid=guest.vmid, source="active")
        except ApiError:
            return
        busy = [line for line in lines or [] if not line.get("endtime")]
        exc.details["holders"] = [{key: line.get(key) for key in ("upid", "type", "user", "starttime")} for line in busy]
        if busy:
            exc.hint = f"{exc.hint} At work on it: {', '.join(sorted(str(line.get('type')) for line in busy))}."
