# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Making a guest once, though nothing reserves an id or a name and others may be making it at the same time.

Ids collide: the server refuses the second, who then looks whose guest it is. Names do not collide: Proxmox lets several guests have
the same. So a guest counts as made only once a list that was asked for after it had its name shows no other of that name. Of two
plays the later one always sees the other's guest, so never do both count. Who is not alone gives way if the other's id is lower; the
lowest waits for the others to give way, and does so itself if they don't, for then they had counted before it came.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, PlatformError, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import Census
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import Desired
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import AlreadyExists, WriteUnanswered
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.fleet import BEING_MADE
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.ids import IdAllocator
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import GuestPlan
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import TaskPoller

# More clones from one storage at a time only wait for its lock.
CLONES_PER_STORAGE = 4
IDS_TO_TRY = 20
# A view of the cluster that is older than this many seconds is not believed when it says that a guest does not exist.
FRESH_SECONDS = 10.0
# The lowest of several guests with one name waits so long for the others to give way.
SETTLE_SECONDS = 10.0
# Seconds between looks at a guest that is being made.
MADE_PAUSE = 0.5
DESTROY = {"purge": 1, "destroy-unreferenced-disks": 1}


@dataclasses.dataclass(frozen=True)
class Made:
    """A guest that is there. ``ours``: this call surely made it; ``unsettled``: it may not be the only one of its name."""

    guest: Guest
    ours: bool = False
    unsettled: bool = False


class Maker:
    """Makes guests, several at a time.

    Args:
        client: The endpoint.
        tasks: Waits for the server's tasks.
        census: Who is there.
        timeout: Seconds to wait for a guest that somebody else is making.
        clock: A monotonic clock in seconds.
        sleep: Called with seconds.
    """

    def __init__(
        self,
        client: ProxmoxClient,
        tasks: TaskPoller,
        census: Census,
        *,
        timeout: float,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._tasks, self._census = client, tasks, census
        self._timeout, self._clock, self._sleep = timeout, clock, sleep
        self._ids = IdAllocator(client)
        self._vmids: dict[str, int] = {}
        self._storages: dict[str, threading.Semaphore] = {}

    def prepare(self, plans: t.Sequence[GuestPlan], cluster: Cluster | None) -> None:
        """Hand out ids in the order of the list: two plays of one list then choose the same, and the server tells the second."""
        new = [plan for plan in plans if plan.create and plan.desired]
        if cluster:
            self._ids.avoid(guest.vmid for guest in cluster.guests)
        self._ids.avoid(plan.desired.vmid for plan in new if plan.desired and plan.desired.vmid)
        for plan in new:
            if plan.desired and plan.desired.vmid is None:
                self._vmids[plan.name] = self._ids.allocate()
            self._storages.setdefault(plan.source_storage, threading.Semaphore(CLONES_PER_STORAGE))

    def wait_until_made(self, read: t.Callable[[], Cluster], vmids: t.Sequence[int]) -> Cluster:
        """Wait until guests that are being made, by an interrupted run or by another play, are made (or gone)."""
        deadline, pause = self._clock() + self._timeout, MADE_PAUSE
        while True:
            cluster = read()
            busy = [guest for vmid in vmids if (guest := cluster.by_vmid(vmid)) and guest.lock in BEING_MADE]
            if not busy:
                return cluster
            if self._clock() >= deadline:
                raise WaitTimeout(
                    f"Guest {busy[0].name} ({busy[0].vmid}) is still being made ({busy[0].lock}).",
                    hint=f"If no task is at work on it, destroy it: qm unlock {busy[0].vmid} && qm destroy {busy[0].vmid}.",
                )
            self._sleep(pause)
            pause = min(2.0, pause * 1.5)

    def make(self, plan: GuestPlan, desired: Desired, deadline: float) -> Made:
        """Clone or create the guest, and wait until it is there; or find that somebody else did."""
        for _attempt in range(IDS_TO_TRY):
            found = self._present(desired.name, self._census.recent(FRESH_SECONDS)) if desired.vmid is None else None
            if found:
                return Made(found)
            vmid = desired.vmid if desired.vmid is not None else self._vmids.pop(desired.name, 0) or self._ids.allocate()
            guest = Guest(vmid, desired.name, plan.node, "qemu", "stopped", False, frozenset(), desired.pool, None)
            try:
                with self._storages[plan.source_storage]:
                    self._send(plan, desired, guest, deadline)
            except (AlreadyExists, WriteUnanswered) as exc:
                # Somebody else was quicker with this id, perhaps with this very guest; or nobody knows whether it was made.
                found = self._present(desired.name, self._census.now(), vmid)
                if found:
                    return Made(found)
                if desired.vmid is not None or isinstance(exc, WriteUnanswered):
                    raise
                continue
            self._census.learn(vmid, desired.name)
            # A declared id says itself which guest is meant, whatever else has its name.
            return Made(guest, ours=True, unsettled=desired.vmid is None)
        raise PlatformError(f"Guest {desired.name}: {IDS_TO_TRY} ids in a row were taken by others.", hint="Declare a vmid, or run the task again.")

    def _present(self, name: str, cluster: Cluster, vmid: int | None = None) -> Guest | None:
        """Return the guest of that name (with that id, if it is given) when nobody works on it any more."""
        candidates = [guest for guest in cluster.by_name(name) if guest.kind == "qemu" and not guest.template]
        if vmid is not None:
            # Its maker may not have given it the name yet.
            held = cluster.by_vmid(vmid)
            candidates = [held] if held and held.name in (name, "") and held.kind == "qemu" else candidates
        if not candidates:
            return None
        first = min(candidates, key=lambda guest: guest.vmid)
        found = self.wait_until_made(self._census.now, [first.vmid]).by_vmid(first.vmid)
        return found if found and found.name == name else None

    def _send(self, plan: GuestPlan, desired: Desired, guest: Guest, deadline: float) -> None:
        what = f"Making guest {desired.name} ({guest.vmid} on {plan.node})"
        source = plan.source
        if source is None:
            upid = self._client.post(f"nodes/{plan.node}/qemu", vmid=guest.vmid, name=desired.name, pool=desired.pool, **plan.config.set)
            self._tasks.wait(upid, what=what, deadline=deadline)
            return
        upid = self._client.post(
            f"{source.path}/clone",
            newid=guest.vmid,
            name=desired.name,
            full=int(plan.full_clone),
            pool=desired.pool,
            storage=plan.clone_storage,
            target=plan.node if plan.node != source.node else None,
        )
        self._tasks.wait(upid, what=f"{what} as a clone of {source.name}", deadline=deadline)

    # -- the only one of its name -------------------------------------------------------------------------------------

    def is_alone(self, guest: Guest, cluster: Cluster) -> bool:
        """Whether *cluster*, asked for after the guest was made, shows no other of its name."""
        return not _rivals(guest, cluster)

    def settle(self, guest: Guest, deadline: float) -> tuple[bool, Guest | None]:
        """Return whether our guest stays; if not, it is gone, and the other is the one to be taken instead, if it is still there.

        Raises:
            WaitTimeout: the other one is still being made after the time given.
        """
        patience = None
        while True:
            rivals = _rivals(guest, self._census.now())
            if not rivals:
                return True, None
            if rivals[0].vmid < guest.vmid:
                break
            if not any(rival.lock in BEING_MADE for rival in rivals):
                patience = patience or self._clock() + SETTLE_SECONDS
            if self._clock() >= (patience or deadline):
                break
            self._sleep(MADE_PAUSE)
        self._discard(guest, deadline)
        return False, self._present(guest.name, self._census.now())

    def _discard(self, guest: Guest, deadline: float) -> None:
        """Destroy what this process made a moment ago and nobody uses."""
        try:
            upid = self._client.delete(guest.path, DESTROY)
            self._tasks.wait(upid, what=f"Destroying the second {guest.name} ({guest.vmid} on {guest.node})", deadline=deadline)
        except NotFound:
            pass
        self._census.learn(guest.vmid, None)


def _rivals(guest: Guest, cluster: Cluster) -> list[Guest]:
    """Return other guests of the same name, lowest id first."""
    found = [one for one in cluster.by_name(guest.name) if one.vmid != guest.vmid and one.kind == "qemu" and not one.template]
    return sorted(found, key=lambda one: one.vmid)
