# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Doing what was planned. Decides nothing but how to get over a collision, a stale digest or a lost answer: by reading again."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import Census, read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.configure import Configurer, imports
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import Desired
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import Locked, StillRunning, WriteUnanswered
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.make import DESTROY, Made, Maker
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.outcome import Outcome
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import GuestPlan
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.power import Power, Ready
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import TaskPoller
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wait import GuestWaiter

# So often another play may destroy the guest that ours gave way to.
ROUNDS = 3


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
        self._configurer = Configurer(client, self._tasks)
        self._use(Census(client, clock=clock))

    def _use(self, census: Census) -> None:
        self._maker = Maker(self._client, self._tasks, census, timeout=self._timeout, clock=self._clock, sleep=self._sleep)
        self._power = Power(self._client, self._tasks, census, self._maker, self._clock)

    def wait_until_made(self, read: t.Callable[[], Cluster], vmids: t.Sequence[int]) -> Cluster:
        """Wait until guests that an interrupted run began to make are made (or gone)."""
        return self._maker.wait_until_made(read, vmids)

    def run(self, plans: t.Sequence[GuestPlan], *, threads: int, cluster: Cluster | None = None) -> list[Outcome]:
        """Carry out all plans; an error of one guest is in its outcome and stops no other.

        Args:
            plans: What to do.
            threads: How many at a time.
            cluster: What the plans were made from.
        """
        self._use(Census(self._client, clock=self._clock, cluster=cluster, read_at=self._clock()))
        self._maker.prepare(plans, cluster)
        self._power.ready.expect(sum(map(_comes_by, plans)))
        if len(plans) < 2:
            return [self._one(plan) for plan in plans]
        with concurrent.futures.ThreadPoolExecutor(min(threads, len(plans))) as pool:
            return list(pool.map(self._one, plans))

    def _one(self, plan: GuestPlan) -> Outcome:
        outcome = dataclasses.replace(Outcome.predicted(plan), status=plan.guest.status if plan.guest else "absent", changed=False)
        outcome.pending = list(plan.pending)
        deadline = self._clock() + self._timeout
        expected = _comes_by(plan)
        try:
            if plan.blocked:
                raise plan.blocked
            if plan.destroy and plan.guest:
                self._destroy(plan.guest, outcome, deadline)
            elif plan.desired and plan.desired.state != "absent":
                made = self._present(plan, plan.desired, outcome, deadline)
                guest = made.guest
                if expected:
                    expected = False
                    guest = self._settle_and_start(made, plan, plan.desired, outcome, deadline)
                elif plan.power or (plan.desired.reboot and outcome.pending and guest.status == "running"):
                    self._power.switch(guest, plan.power or "reboot", outcome, deadline)
                    outcome.pending = []
                self._wait(guest, plan.desired, outcome, deadline)
        except PlatformError as exc:
            outcome.error = exc
            if isinstance(exc, Locked) and plan.guest:
                self._power.name_holder(plan.guest, exc)
        finally:
            if expected:
                self._power.ready.leave()
        return outcome

    # -- to be there --------------------------------------------------------------------------------------------------

    def _present(self, plan: GuestPlan, desired: Desired, outcome: Outcome, deadline: float) -> Made:
        """Make the guest where it is missing, and configure it."""
        made = Made(plan.guest) if plan.guest else self._maker.make(plan, desired, deadline)
        guest = made.guest
        outcome.vmid, outcome.node, outcome.status = guest.vmid, guest.node, guest.status
        outcome.changed = outcome.changed or made.ours
        # A guest made without a source got its configuration with it; a clone has its source's, and an imported disk its image's size.
        if (plan.source or not made.ours or imports(plan.config)) if plan.create else plan.config.changes_anything:
            running = guest.status == "running"
            self._configurer.configure(guest, desired, outcome, existing=not made.ours, running=running, deadline=deadline)
        if plan.pool and not made.ours and guest.pool != plan.pool:
            self._join_pool(guest, plan.pool)
            outcome.changed = True
        return made

    def _join_pool(self, guest: Guest, pool: str) -> None:
        try:
            self._client.put("pools", **{"poolid": pool, "vms": str(guest.vmid), "allow-move": 1})
        except WriteUnanswered:
            found = read_cluster(self._client).by_vmid(guest.vmid)
            if found is None or found.pool != pool:
                raise

    def _settle_and_start(self, made: Made, plan: GuestPlan, desired: Desired, outcome: Outcome, deadline: float) -> Guest:
        """Give way to another guest of this name, or stay; then start, together with others that are ready."""
        guest = made.guest
        start = plan.power == "start" and guest.status != "running"
        verdict = self._power.ready.join(Ready(guest, made.unsettled, start, deadline))
        if not verdict.alone:
            guest = self._give_way(guest, plan, desired, outcome, deadline)
            start = plan.power == "start" and guest.status != "running"
        if verdict.started:
            outcome.status, outcome.changed = "running", True
            outcome.warn(f"Starting guest {guest.name} ({guest.vmid} on {guest.node}) with others", verdict.exit_status)
        elif start:
            self._power.switch(guest, "start", outcome, deadline)
        if plan.power:
            outcome.pending = []
        return guest

    def _give_way(self, guest: Guest, plan: GuestPlan, desired: Desired, outcome: Outcome, deadline: float) -> Guest:
        """Return the guest that is to stay: ours, or that of another play, brought into the same state."""
        for _round in range(ROUNDS):
            stays, other = self._maker.settle(guest, deadline)
            if stays:
                return guest
            made = self._present(dataclasses.replace(plan, guest=other), desired, outcome, deadline)
            if not made.unsettled:
                return made.guest
            guest = made.guest
        raise PlatformError(
            f"Guest {desired.name}: others make and destroy guests of this name at the same time.", hint="Run one play at a time, or declare a vmid."
        )

    def _wait(self, guest: Guest, desired: Desired, outcome: Outcome, deadline: float) -> None:
        if desired.state == "started" and self._wait_for != "task":
            seen = self._waiter.wait(guest, self._wait_for, addresses=desired.addresses, deadline=deadline)
            outcome.addresses, outcome.cloud_init = seen.addresses, seen.cloud_init

    # -- to be gone ---------------------------------------------------------------------------------------------------

    def _destroy(self, guest: Guest, outcome: Outcome, deadline: float) -> None:
        """Switch off and destroy, with its disks and its entries in backup and replication jobs."""
        if guest.status != "stopped":
            self._power.stop(guest, deadline)
        try:
            try:
                upid = self._client.delete(guest.path, DESTROY)
            except StillRunning:
                self._power.stop(guest, deadline)
                upid = self._client.delete(guest.path, DESTROY)
            what = f"Destroying guest {guest.name} ({guest.vmid} on {guest.node})"
            outcome.warn(what, self._tasks.wait(upid, what=what, deadline=deadline))
        except NotFound:
            pass
        except WriteUnanswered:
            if read_cluster(self._client).by_vmid(guest.vmid):
                raise
        outcome.status, outcome.changed = "absent", True


def _comes_by(plan: GuestPlan) -> bool:
    """Whether a plan goes through the gathering of those that are looked after and started together."""
    return not plan.destroy and not plan.blocked and (plan.create or plan.power == "start")
