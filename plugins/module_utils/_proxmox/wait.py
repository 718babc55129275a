# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Waiting until a guest can be used: running, agent, address, cloud-init. Every stage includes those before it."""

from __future__ import annotations

import dataclasses
import functools
import ipaddress
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, TaskFailed, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import AgentNotReady, WriteUnanswered
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

STAGES = ("task", "running", "agent", "address", "cloud_init")
# Blocks in the guest until cloud-init has ended, so that few polls are needed.
CLOUD_INIT = ("cloud-init", "status", "--wait", "--long")
# cloud-init's own exit codes: 1 is a failure, 2 is "done, with recoverable errors".
CLOUD_INIT_DEGRADED = 2


@dataclasses.dataclass
class Seen:
    """What the stages saw."""

    addresses: list[str] = dataclasses.field(default_factory=list)
    cloud_init: str | None = None


class GuestWaiter:
    """Waits for one stage after the other.

    Args:
        client: The endpoint.
        interval: Seconds between two looks.
        clock: A monotonic clock in seconds.
        sleep: Called with seconds.
    """

    def __init__(
        self,
        client: ProxmoxClient,
        *,
        interval: float = 1.0,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._interval, self._clock, self._sleep = client, interval, clock, sleep

    def wait(self, guest: Guest, stage: str, *, addresses: t.Sequence[str], deadline: float) -> Seen:
        """Wait until *guest* has reached *stage*.

        Args:
            guest: The guest; its path is used.
            stage: One of ``STAGES``.
            addresses: Declared static addresses; with none, any usable address will do.
            deadline: When to give up, by the clock.

        Raises:
            WaitTimeout: what was not reached, and what was seen last.
            AgentMissing: no agent is configured.
            TaskFailed: cloud-init reported an error.
        """
        seen = Seen()
        level = STAGES.index(stage)
        if level >= 1:
            self._until(lambda: self._status(guest), lambda status: status == "running", deadline, f"{guest.name} to run")
        if level >= 2:
            hint = "Is qemu-guest-agent installed and running in the guest?"
            self._until(lambda: self._ping(guest), lambda said: said == "", deadline, f"the guest agent of {guest.name}", hint)
        if level >= 3:
            what = f"the address {', '.join(addresses) or '(any)'} of {guest.name}"
            good = _has(addresses)
            seen.addresses = self._until(lambda: self.addresses(guest), good, deadline, what, "Look at the guest's network and its cloud-init.")
        if level >= 4:
            seen.cloud_init = self._cloud_init(guest, deadline)
        return seen

    def _until(
        self, probe: t.Callable[[], t.Any], good: t.Callable[[t.Any], bool], deadline: float, what: str, hint: str = ""
    ) -> t.Any:
        left = max(0.0, deadline - self._clock())
        return Waiter(left, self._interval, self._clock, self._sleep).until(probe, good, what=what, hint=hint)

    def _status(self, guest: Guest) -> str:
        answer = self._client.get(f"{guest.path}/status/current")
        return str(answer.get("qmpstatus") or answer.get("status"))

    def _ping(self, guest: Guest) -> str:
        """Return an empty text if the agent answers, else why not."""
        try:
            self._client.post(f"{guest.path}/agent/ping")
        except (AgentNotReady, WriteUnanswered) as exc:
            return exc.said or "no answer"
        return ""

    def addresses(self, guest: Guest) -> list[str]:
        """Return the guest's addresses, without loopback and link-local ones; empty while there is no answer."""
        try:
            answer = self._client.get(f"{guest.path}/agent/network-get-interfaces")
        except AgentNotReady:
            return []
        return usable_addresses(answer)

    def _cloud_init(self, guest: Guest, deadline: float) -> str:
        """Run ``cloud-init status --wait`` in the guest and return ``done``, ``degraded`` or ``disabled``."""
        what = f"cloud-init of {guest.name}"
        while True:
            pid = self._until(lambda: self._start(guest), lambda pid: pid is not None, deadline, what)
            answer = self._until(functools.partial(self._exec_status, guest, pid), lambda found: found is not None, deadline, what)
            if answer:
                return self._cloud_init_result(guest, answer)
            # The guest was restarted by cloud-init itself: its process is gone, ask again.
            if self._clock() >= deadline:
                raise WaitTimeout(f"{what} did not end in the time given.", hint="Look at /var/log/cloud-init.log in the guest.")
            self._sleep(self._interval)

    def _start(self, guest: Guest) -> int | None:
        try:
            return int(self._client.post(f"{guest.path}/agent/exec", command=list(CLOUD_INIT))["pid"])
        except (AgentNotReady, WriteUnanswered):
            return None

    def _exec_status(self, guest: Guest, pid: int) -> dict[str, t.Any] | None:
        """Return the result, ``None`` while it runs, and an empty dict if the process is not known any more."""
        try:
            answer = self._client.get(f"{guest.path}/agent/exec-status", pid=pid)
        except AgentNotReady:
            return None
        except ApiError as exc:
            if exc.status == 500:
                return {}
            raise
        return dict(answer) if answer.get("exited") else None

    def _cloud_init_result(self, guest: Guest, answer: t.Mapping[str, t.Any]) -> str:
        output = str(answer.get("out-data") or "") + str(answer.get("err-data") or "")
        code = int(answer.get("exitcode") or 0)
        if code == CLOUD_INIT_DEGRADED:
            return "degraded"
        if code or answer.get("signal"):
            raise TaskFailed(
                f"cloud-init of {guest.name} ({guest.vmid} on {guest.node}) ended with exit status {code}.",
                log=output.strip().splitlines()[-20:],
                hint="Look at /var/log/cloud-init.log in the guest; the last lines of its status are in error.log.",
            )
        return "disabled" if "status: disabled" in output else "done"


def _has(addresses: t.Sequence[str]) -> t.Callable[[list[str]], bool]:
    wanted = set(addresses)
    return lambda found: wanted <= set(found) if wanted else bool(found)


def usable_addresses(answer: t.Any) -> list[str]:
    """Return the addresses in an answer of ``network-get-interfaces``, IPv4 first; loopback and link-local are left out."""
    found = []
    interfaces = answer.get("result") if isinstance(answer, dict) else answer
    for interface in interfaces if isinstance(interfaces, list) else []:
        for line in interface.get("ip-addresses") or []:
            address = ipaddress.ip_address(str(line["ip-address"]).partition("%")[0])
            if not address.is_loopback and not address.is_link_local:
                found.append(address)
    return [str(address) for address in sorted(found, key=lambda one: one.version)]
