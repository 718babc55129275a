# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Running commands in a guest through its agent."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import AgentNotReady
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

# A guest answers slowly while it boots, and the agent while it forks.
INTERVAL = 0.3


@dataclasses.dataclass(frozen=True)
class CommandResult:
    """How a command in a guest ended. ``status`` is 128 + the signal for one that was killed."""

    status: int
    stdout: str
    stderr: str


def run_in_guest(
    client: ProxmoxClient, path: str, argv: t.Sequence[str], *, deadline: float, clock: t.Callable[[], float], sleep: t.Callable[[float], None]
) -> CommandResult:
    """Run *argv* as root in a guest and wait for its end.

    Args:
        client: The endpoint.
        path: The guest's path in the API.
        argv: Program and arguments; no shell.
        deadline: When to give up, by the clock.
        clock: A monotonic clock in seconds.
        sleep: Called with seconds.

    Raises:
        WaitTimeout: it still runs, or the agent went away.
        ApiError: the agent refused, such as for a program that is not there.
    """
    what = f"{argv[0]} in the guest to end"

    def left() -> float:
        seconds = deadline - clock()
        if seconds <= 0:
            raise WaitTimeout(f"There was no time left for {argv[0]} in the guest.", hint="Raise wait_timeout.")
        return seconds

    def look(pid: int) -> dict[str, t.Any] | None:
        try:
            answer = client.get(f"{path}/agent/exec-status", pid=pid)
        except AgentNotReady:
            return None
        return dict(answer) if answer.get("exited") else None

    left()
    pid = int(client.post(f"{path}/agent/exec", command=list(argv))["pid"])
    answer = Waiter(left(), INTERVAL, clock, sleep).until(lambda: look(pid), lambda found: found is not None, what=what) or {}
    signal = answer.get("signal")
    status = 128 + int(signal) if signal else int(answer.get("exitcode") or 0)
    return CommandResult(status, str(answer.get("out-data") or ""), str(answer.get("err-data") or ""))
