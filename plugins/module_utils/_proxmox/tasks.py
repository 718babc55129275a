# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Waiting for the server's tasks: one poller for all threads, and a failed task fails at the first look."""

from __future__ import annotations

import dataclasses
import threading
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, ConnectionFailed, TaskFailed, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import CertificateRejected, privilege_hint

LOG_LINES = 20
# Seconds between two looks: quick for what is quick, easy on the server for what is not.
FIRST_PAUSE, LAST_PAUSE, BACK_OFF = 0.2, 2.0, 1.5
# More than any task of a guest writes; the log has to be read from its beginning.
WHOLE_LOG = 50000


def is_upid(value: t.Any) -> bool:
    """Whether an answer is a task's id; a POST of a configuration may have ended already."""
    return isinstance(value, str) and value.startswith("UPID:")


def node_of(upid: str) -> str:
    """Return the node that runs the task (``UPID:node:pid:pstart:start:type:id:user:``)."""
    return upid.split(":")[1]


def succeeded(exit_status: str) -> bool:
    """Whether an exit status means success; warnings do."""
    return exit_status == "OK" or exit_status.startswith("WARNINGS")


@dataclasses.dataclass
class _Task:
    what: str
    status: t.Mapping[str, t.Any] | None = None
    error: Exception | None = None
    # Why the last look saw nothing.
    unseen: ApiError | None = None


class TaskPoller:
    """Waits for tasks on behalf of several threads. Whichever thread waits first does the looking for all.

    Args:
        client: The endpoint.
        clock: A monotonic clock in seconds.
        sleep: Called with seconds.
    """

    def __init__(
        self,
        client: ProxmoxClient,
        *,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
    ) -> None:
        self._client, self._clock, self._sleep = client, clock, sleep
        self._condition = threading.Condition()
        self._tasks: dict[str, _Task] = {}
        self._looking = False
        self._pause = FIRST_PAUSE

    def wait(self, upid: t.Any, *, what: str, deadline: float) -> str:
        """Wait for a task and return its exit status (``OK`` or ``WARNINGS: n``).

        Args:
            upid: What the server answered; anything that is no task's id means that it has ended well already.
            what: What was attempted and on what, for messages.
            deadline: When to give up, by the clock.

        Raises:
            TaskFailed: with the exit status and the log's last lines.
            WaitTimeout: it is still running.
        """
        if not is_upid(upid):
            return "OK"
        with self._condition:
            task = self._tasks[upid] = _Task(what)
            self._pause = FIRST_PAUSE
        try:
            while task.status is None and task.error is None:
                self._take_part(upid, task, deadline)
        finally:
            with self._condition:
                self._tasks.pop(upid, None)
                self._condition.notify_all()
        if task.error:
            raise task.error
        return self._judge(upid, task)

    def _take_part(self, upid: str, task: _Task, deadline: float) -> None:
        """Look for everybody, or wait for the thread that does."""
        with self._condition:
            if self._clock() >= deadline:
                seen = f"nothing is known of the task: {task.unseen.message}" if task.unseen else "the task is still running after the time given."
                raise WaitTimeout(
                    f"{task.what}: {seen}",
                    hint="Raise wait_timeout; the task goes on, and the same command finds what it did.",
                    details={"upid": upid},
                )
            if self._looking:
                self._condition.wait(LAST_PAUSE)
                return
            self._looking = True
        try:
            self._look()
            with self._condition:
                self._condition.notify_all()
            if task.status is None and task.error is None:
                self._sleep(max(0.0, min(self._pause, deadline - self._clock())))
                self._pause = min(LAST_PAUSE, self._pause * BACK_OFF)
        finally:
            with self._condition:
                self._looking = False
                self._condition.notify_all()

    def _look(self) -> None:
        """Ask once for each node: the task itself where it is alone, the node's list where there are several."""
        with self._condition:
            waiting = {upid: task for upid, task in self._tasks.items() if task.status is None and task.error is None}
        by_node: dict[str, list[str]] = {}
        for upid in waiting:
            by_node.setdefault(node_of(upid), []).append(upid)
        for node, upids in by_node.items():
            for upid in upids if len(upids) == 1 else self._listed(node, upids, waiting):
                self._ask(upid, waiting[upid])

    def _listed(self, node: str, upids: list[str], waiting: t.Mapping[str, _Task]) -> list[str]:
        """Take from the node's list which tasks ended well; return those that it doesn't know or that failed, to be asked themselves."""
        try:
            listed = {str(line["upid"]): line for line in self._client.get(f"nodes/{node}/tasks", source="all", limit=500) or []}
        except ApiError as exc:
            for upid in upids:
                self._trouble(waiting[upid], exc)
            return []
        unsure = []
        for upid in upids:
            line = listed.get(upid)
            status = str((line or {}).get("status") or "RUNNING")
            if line is None or (line.get("endtime") and not succeeded(status)):
                unsure.append(upid)
            elif line.get("endtime"):
                waiting[upid].status = {"exitstatus": status}
        return unsure

    def _ask(self, upid: str, task: _Task) -> None:
        try:
            answer = self._client.get(f"nodes/{node_of(upid)}/tasks/{upid}/status")
        except ApiError as exc:
            # Just after the start the server may not know its own task yet.
            if exc.status != 400:
                self._trouble(task, exc)
            return
        task.unseen = None
        if answer.get("status") == "stopped":
            task.status = answer

    @staticmethod
    def _trouble(task: _Task, exc: ApiError) -> None:
        """A task goes on while nobody can be asked about it; everything else that goes wrong ends the wait."""
        if isinstance(exc, ConnectionFailed) and not isinstance(exc, CertificateRejected):
            task.unseen = exc
        else:
            task.error = exc

    def _judge(self, upid: str, task: _Task) -> str:
        exit_status = str((task.status or {}).get("exitstatus") or "unexpected status")
        if succeeded(exit_status):
            return exit_status
        raise TaskFailed(
            f"{task.what} failed: {exit_status}.",
            log=self._last_lines(upid),
            path=f"/nodes/{node_of(upid)}/tasks/{upid}",
            said=exit_status,
            hint=f"{privilege_hint(exit_status, self._client.connection.who)}The last lines of the task's log are in error.log.",
        )

    def _last_lines(self, upid: str) -> list[str]:
        try:
            lines = self._client.get(f"nodes/{node_of(upid)}/tasks/{upid}/log", limit=WHOLE_LOG)
        except ApiError as exc:
            return [f"(the log could not be read: {exc.message})"]
        return [str(line.get("t", "")) for line in lines or []][-LOG_LINES:]
