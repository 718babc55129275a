# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Doing what was planned. Decides nothing but how to get over a collision, a stale digest or a lost answer: by reading again."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import threading
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, PlatformError, TaskFailed, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import Desired
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import AlreadyExists, DigestMismatch, StillRunning, WriteUnanswered
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.fleet import BEING_MADE, read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.ids import IdAllocator
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest, GuestConfig
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import ConfigPlan, GuestPlan, plan_config
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.properties import format_size
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import TaskPoller
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wait import GuestWaiter

# The server waits this long for a change before it answers with a task's id; 30 is its maximum.
BACKGROUND_DELAY = 30
# More clones of one source at a time only wait for the storage's lock.
CLONES_PER_SOURCE = 4
# A guest gets this long to shut down before it is switched off.
SHUTDOWN_SECONDS = 60
IDS_TO_TRY = 20
# A plan that is older than this many seconds is no longer believed when it says that a guest does not exist.
FRESH_SECONDS = 1.0
# Seconds between looks at a guest that is being made.
MADE_PAUSE = 0.5
DESTROY = {"purge": 1, "destroy-unreferenced-disks": 1}


@dataclasses.dataclass
class Outcome:
    """What became of one guest."""

    name: str
    vmid: int | None
    node: str
    status: str
    changed: bool = False
    addresses: list[str] = dataclasses.field(default_factory=list)
    cloud_init: str | None = None
    pending: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    error: PlatformError | None = None

    @classmethod
    def predicted(cls, plan: GuestPlan) -> Outcome:
        """Return what check mode says."""
        vmid = plan.guest.vmid if plan.guest else plan.desired.vmid if plan.desired else None
        return cls(plan.name, vmid, plan.node, plan.status, plan.changed, pending=list(plan.pending))

    def as_result(self) -> dict[str, t.Any]:
        """Return it for a module's result."""
        result = dataclasses.asdict(dataclasses.replace(self, error=None))
        del result["error"]
        result["reboot_required"] = bool(self.pending)
        if self.error:
            result["error"] = self.error.as_result()["error"]
        return result


class Applier:
    """Carries out plans, several at a time.

    Args:
        client: The endpoint.
        timeout: Seconds for one guest, from its first request to its last stage.
        wait_for: Stage to wait for where a guest is to run.
        interval: Seconds between looks at a stage.
        clock: A monotonic clock in seconds.
        sleep: Called with seconds.
    """

    def __init__(
        self,
        client: ProxmoxClient,
        *,
        timeout: float = 300,
        wait_for: str = "task",
        interval: float = 1.0,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._timeout, self._wait_for, self._clock, self._sleep = client, timeout, wait_for, clock, sleep
        self._tasks = TaskPoller(client, clock=clock, sleep=sleep)
        self._waiter = GuestWaiter(client, interval=interval, clock=clock, sleep=sleep)
        self._ids = IdAllocator(client)
        self._clones: dict[int, threading.Semaphore] = {}
        self._names = threading.Lock()
        self._cluster: Cluster | None = None
        self._read_at = clock()

    def run(self, plans: t.Sequence[GuestPlan], *, threads: int) -> list[Outcome]:
        """Carry out all plans; an error of one guest is in its outcome and stops no other."""
        self._read_at = self._clock()
        self._ids.avoid(plan.desired.vmid for plan in plans if plan.desired and plan.desired.vmid)
        for plan in plans:
            if plan.source:
                self._clones.setdefault(plan.source.vmid, threading.Semaphore(CLONES_PER_SOURCE))
        if len(plans) < 2:
            return [self._one(plan) for plan in plans]
        with concurrent.futures.ThreadPoolExecutor(min(threads, len(plans))) as pool:
            return list(pool.map(self._one, plans))

    def wait_until_made(self, read: t.Callable[[], Cluster], vmids: t.Sequence[int]) -> Cluster:
        """Wait until guests that an interrupted run began to make are made (or gone)."""
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

    def _one(self, plan: GuestPlan) -> Outcome:
        outcome = dataclasses.replace(Outcome.predicted(plan), status=plan.guest.status if plan.guest else "absent", changed=False)
        deadline = self._clock() + self._timeout
        try:
            if plan.destroy and plan.guest:
                self._destroy(plan.guest, outcome, deadline)
            elif plan.desired and plan.desired.state != "absent":
                self._present(plan, plan.desired, outcome, deadline)
        except PlatformError as exc:
            outcome.error = exc
        return outcome

    # -- to be there --------------------------------------------------------------------------------------------------

    def _present(self, plan: GuestPlan, desired: Desired, outcome: Outcome, deadline: float) -> None:
        guest = plan.guest
        if guest is None:
            with self._clones[plan.source.vmid] if plan.source else contextlib.nullcontext():
                guest = self._make(plan, desired, deadline)
            outcome.vmid, outcome.node, outcome.status, outcome.changed = guest.vmid, guest.node, "stopped", True
        # A guest made without a source got its configuration with it; a clone has its source's.
        if plan.source if plan.create else plan.config.writes or plan.config.resizes:
            config = self._configure(guest, desired, outcome, deadline)
            self._grow(guest, config, outcome, deadline)
        if plan.pool and not plan.create:
            self._client.put("pools", **{"poolid": plan.pool, "vms": str(guest.vmid), "allow-move": 1})
            outcome.changed = True
        if plan.config.writes and plan.guest and plan.guest.status == "running":
            outcome.pending = sorted(GuestConfig.from_pending(self._client.get(f"{guest.path}/pending")).pending)
        if plan.power:
            self._power(guest, plan.power, outcome, deadline)
            if plan.power == "start":
                outcome.pending = []
        if desired.state == "started" and self._wait_for != "task":
            seen = self._waiter.wait(guest, self._wait_for, addresses=desired.addresses, deadline=deadline)
            outcome.addresses, outcome.cloud_init = seen.addresses, seen.cloud_init

    def _make(self, plan: GuestPlan, desired: Desired, deadline: float) -> Guest:
        """Clone or create the guest under a free id, and wait until it is there."""
        for _attempt in range(IDS_TO_TRY):
            found = self._made_meanwhile(desired)
            if found:
                return found
            vmid = desired.vmid if desired.vmid is not None else self._ids.allocate()
            guest = Guest(vmid, desired.name, plan.node, "qemu", "stopped", False, frozenset(), desired.pool, None)
            try:
                self._send_make(plan, desired, vmid, deadline)
            except AlreadyExists:
                # Somebody else was quicker. A declared id cannot be another one, but it may be our guest that has it.
                if desired.vmid is None:
                    continue
                if not self._was_made(guest):
                    raise
            except WriteUnanswered:
                if not self._was_made(guest):
                    raise
            return guest
        raise PlatformError(f"Guest {desired.name}: {IDS_TO_TRY} ids in a row were taken by others.", hint="Declare a vmid, or run the task again.")

    def _send_make(self, plan: GuestPlan, desired: Desired, vmid: int, deadline: float) -> None:
        what = f"Making guest {desired.name} ({vmid} on {plan.node})"
        source = plan.source
        if source is None:
            upid = self._client.post(f"nodes/{plan.node}/qemu", vmid=vmid, name=desired.name, pool=desired.pool, **plan.config.set)
            self._tasks.wait(upid, what=what, deadline=deadline)
            return
        upid = self._client.post(
            f"{source.path}/clone",
            newid=vmid,
            name=desired.name,
            full=int(plan.full_clone),
            pool=desired.pool,
            storage=plan.clone_storage,
            target=plan.node if plan.node != source.node else None,
        )
        self._tasks.wait(upid, what=f"{what} as a clone of {source.name}", deadline=deadline)

    def _made_meanwhile(self, desired: Desired) -> Guest | None:
        """Return the guest if another run made it since we looked, such as one that was killed but whose module lived on.

        Long lists are made in portions, so what was read at the beginning gets old.
        """
        with self._names:
            if self._clock() - self._read_at <= FRESH_SECONDS:
                named = self._cluster.by_name(desired.name) if self._cluster else []
            else:
                self._cluster = read_cluster(self._client)
                self._read_at = self._clock()
                named = self._cluster.by_name(desired.name)
        if not named:
            return None
        cluster = self.wait_until_made(lambda: read_cluster(self._client), [named[0].vmid])
        return cluster.by_vmid(named[0].vmid)

    def _was_made(self, guest: Guest) -> bool:
        """After a lost answer: whether the guest is there, with our name; waits until nobody works on it."""
        cluster = self.wait_until_made(lambda: read_cluster(self._client), [guest.vmid])
        found = cluster.by_vmid(guest.vmid)
        return found is not None and found.name in (guest.name, "")

    def _configure(self, guest: Guest, desired: Desired, outcome: Outcome, deadline: float) -> ConfigPlan:
        """Write the smallest set of keys with the digest of what was read; read and plan again, once, if that was stale."""
        for last in (False, True):
            answer = self._client.get(f"{guest.path}/config")
            config = GuestConfig({}, {}).with_digest_of(answer)
            todo = plan_config(desired, config.values)
            if not todo.writes:
                break
            try:
                self._write_config(guest, todo, config.digest, deadline)
                outcome.changed = True
                break
            except (DigestMismatch, WriteUnanswered):
                # Stale: nothing was written. Unanswered: it may have been. Both are told apart by reading again.
                if last:
                    raise
        return todo

    def _write_config(self, guest: Guest, todo: ConfigPlan, digest: str | None, deadline: float) -> None:
        delete = ",".join(todo.delete) or None
        upid = self._client.post(f"{guest.path}/config", digest=digest, delete=delete, background_delay=BACKGROUND_DELAY, **todo.set)
        self._tasks.wait(upid, what=f"Configuring guest {guest.name} ({guest.vmid} on {guest.node})", deadline=deadline)

    def _grow(self, guest: Guest, todo: ConfigPlan, outcome: Outcome, deadline: float) -> None:
        """Grow disks. Without a digest: the size is absolute and the server never shrinks, so doing it twice is harmless."""
        for resize in todo.resizes:
            size = format_size(resize.after)
            upid = self._client.put(f"{guest.path}/resize", disk=resize.disk, size=size)
            what = f"Growing {resize.disk} of guest {guest.name} ({guest.vmid} on {guest.node}) to {size}"
            self._tasks.wait(upid, what=what, deadline=deadline)
            outcome.changed = True

    # -- power and the end --------------------------------------------------------------------------------------------

    def _power(self, guest: Guest, action: str, outcome: Outcome, deadline: float) -> None:
        """Start or shut down; a guest that is already so is fine."""
        wanted = "running" if action == "start" else "stopped"
        params = {} if action == "start" else {"timeout": SHUTDOWN_SECONDS, "forceStop": 1}
        what = f"{'Starting' if action == 'start' else 'Shutting down'} guest {guest.name} ({guest.vmid} on {guest.node})"
        try:
            upid = self._client.post(f"{guest.path}/status/{action}", **params)
            self._warn(outcome, what, self._tasks.wait(upid, what=what, deadline=deadline))
        except (TaskFailed, WriteUnanswered):
            # The list of all guests lags by seconds, and a lost answer may have been a good one.
            if str(self._client.get(f"{guest.path}/status/current").get("status")) != wanted:
                raise
        outcome.status, outcome.changed = wanted, True

    def _warn(self, outcome: Outcome, what: str, exit_status: str) -> None:
        if exit_status != "OK":
            outcome.warnings.append(f"{what}: {exit_status}; see the task's log.")

    def _destroy(self, guest: Guest, outcome: Outcome, deadline: float) -> None:
        """Switch off and destroy, with its disks and its entries in backup and replication jobs."""
        if guest.status != "stopped":
            self._stop(guest, deadline)
        try:
            try:
                upid = self._client.delete(guest.path, DESTROY)
            except StillRunning:
                self._stop(guest, deadline)
                upid = self._client.delete(guest.path, DESTROY)
            self._tasks.wait(upid, what=f"Destroying guest {guest.name} ({guest.vmid} on {guest.node})", deadline=deadline)
        except NotFound:
            pass
        except WriteUnanswered:
            if read_cluster(self._client).by_vmid(guest.vmid):
                raise
        outcome.status, outcome.changed = "absent", True

    def _stop(self, guest: Guest, deadline: float) -> None:
        upid = self._client.post(f"{guest.path}/status/stop")
        self._tasks.wait(upid, what=f"Stopping guest {guest.name} ({guest.vmid} on {guest.node})", deadline=deadline)
