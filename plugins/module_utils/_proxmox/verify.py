# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Proof that a backup can be used: restore it beside the original, cut off from the network, look at it, and remove it again."""

from __future__ import annotations

import dataclasses
import re
import signal
import types
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.commands import run_in_guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import AgentMissing, AlreadyExists
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.restore import Target, destroy, restore, untie
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wait import GuestWaiter

ID_TRIES = 5
OUTPUT_CHARACTERS = 500


class VerificationFailed(PlatformError):
    """The restored guest is not what it should be."""


class Stopped(BaseException):
    """The process was told to end; what was made has to be removed first."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command to be run in the restored guest, and what is expected of it."""

    name: str
    argv: t.Sequence[str]
    status: int = 0
    stdout: str | None = None


@dataclasses.dataclass
class Report:
    """What was found. ``checks`` have ``check, outcome (passed|failed|skipped), expected, actual``."""

    checks: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    drift: dict[str, dict[str, str | None]] = dataclasses.field(default_factory=dict)
    taken_away: list[str] = dataclasses.field(default_factory=list)
    rto_seconds: float | None = None
    vmid: int | None = None
    destroyed: bool = False

    def add(self, check: str, good: bool | None, *, expected: t.Any, actual: t.Any) -> bool:
        """Add a check; ``None`` is one that could not be made."""
        outcome = {True: "passed", False: "failed", None: "skipped"}[good]
        self.checks.append({"check": check, "outcome": outcome, "expected": expected, "actual": actual})
        return good is not False

    @property
    def verdict(self) -> str:
        """``failed`` if any check did, ``verified`` if the guest was seen to run and nothing is missing, else ``could_not_verify``."""
        outcomes = [one["outcome"] for one in self.checks]
        if "failed" in outcomes:
            return "failed"
        proven = any(one["check"] in ("agent", "running", "restored") and one["outcome"] == "passed" for one in self.checks)
        return "verified" if proven and "skipped" not in outcomes else "could_not_verify"

    @property
    def failures(self) -> str:
        """The failed checks in one sentence."""
        bad = [f"{one['check']}: expected {one['expected']}, saw {one['actual']}" for one in self.checks if one["outcome"] == "failed"]
        return "; ".join(bad)


class Drill:
    """One restore with its looks at the guest.

    Args:
        session: The endpoint with its deadline.
        target: What is restored as what.
        report: Where findings go.
        probe: ``agent``, ``running`` or ``none``.
        commands: To be run through the agent.
        interval: Seconds between two looks at the guest.
    """

    def __init__(self, session: Session, target: Target, report: Report, *, probe: str, commands: t.Sequence[Command] = (), interval: float = 1.0) -> None:
        self._session, self.target, self._report = session, target, report
        self._probe, self._commands, self._interval = probe, commands, interval
        self._made = False

    def run(self, next_id: t.Callable[[], int] | None, *, objective: float | None = None) -> None:
        """Restore and look; a guest restored for a test is removed whatever happens.

        Args:
            next_id: Gives another id when the first one is taken meanwhile; ``None`` if the user gave it.
            objective: Seconds that it may take until the guest is usable.

        Raises:
            TaskFailed: the archive could not be restored.
            LeftBehind: the guest could not be removed.
        """
        begun = self._session.clock()
        try:
            with stopping_is_an_exception():
                self._restore(next_id, begun)
                self._look(begun)
                if objective is not None and self._report.rto_seconds is not None:
                    self._report.add("rto", self._report.rto_seconds <= objective, expected=f"at most {objective:g} s", actual=self._report.rto_seconds)
        finally:
            if self._made and self.target.marker:
                self._report.destroyed = destroy(self._session.client, self.target)

    def _restore(self, next_id: t.Callable[[], int] | None, begun: float) -> None:
        for attempt in range(ID_TRIES):
            self._report.vmid = self.target.vmid
            # From the request on there may be a guest of ours; one of somebody else's lacks the marker.
            self._made = True
            try:
                restore(self._session, self.target)
                break
            except AlreadyExists:
                self._made = False
                if next_id is None or attempt == ID_TRIES - 1:
                    raise
                self.target = dataclasses.replace(self.target, vmid=next_id())
        self._report.seconds["restore"] = self._since(begun)
        self._report.add("restored", True, expected="the archive can be read", actual=self.target.archive.volid)
        if self.target.marker:
            self._report.taken_away = untie(self._session.client, self.target)

    def _look(self, begun: float) -> None:
        """Boot the guest and look at it as far as was asked for."""
        if self._probe == "none":
            self._report.rto_seconds = self._since(begun)
            return
        session, target = self._session, self.target
        started = session.clock()
        session.wait(session.client.post(f"{target.path}/status/start"), f"Starting {target.vmid}")
        if not self._boots():
            return
        self._report.seconds["boot"] = self._since(started)
        if self._run_commands():
            self._report.rto_seconds = self._since(begun)

    def _boots(self) -> bool:
        """Wait for the guest; what does not come is a finding, not an error."""
        stage = "agent" if self._probe == "agent" and self.target.archive.kind == "qemu" else "running"
        expected = "the guest agent answers" if stage == "agent" else "it runs"
        waiter = GuestWaiter(self._session.client, interval=self._interval, clock=self._session.clock, sleep=self._session.sleep)
        try:
            waiter.wait(self.target.guest, stage, addresses=(), deadline=self._session.deadline)
        except AgentMissing as exc:
            return self._report.add(stage, False, expected=expected, actual=exc.said or "no agent is configured")
        except WaitTimeout as exc:
            return self._report.add(stage, False, expected=expected, actual=f"not within {self._session.timeout:g} s ({exc.details.get('last')!r})")
        return self._report.add(stage, True, expected=expected, actual=expected)

    def _run_commands(self) -> bool:
        good = True
        for command in self._commands:
            if self.target.archive.kind != "qemu" or self._probe != "agent":
                self._report.add(command.name, None, expected=_expected(command), actual="commands need the guest agent of a virtual machine")
                continue
            good = self._run_command(command) and good
        return good

    def _run_command(self, command: Command) -> bool:
        session = self._session
        expected = _expected(command)
        try:
            done = run_in_guest(
                session.client, self.target.path, command.argv, deadline=session.deadline, clock=session.clock, sleep=session.sleep
            )
        except PlatformError as exc:
            return self._report.add(command.name, False, expected=expected, actual=exc.message)
        good = done.status == command.status and (command.stdout is None or re.search(command.stdout, done.stdout) is not None)
        said = (done.stdout if good or done.stdout.strip() else done.stderr).strip()[:OUTPUT_CHARACTERS]
        return self._report.add(command.name, good, expected=expected, actual=f"status {done.status}: {said}" if said else f"status {done.status}")

    def _since(self, begun: float) -> float:
        return round(self._session.clock() - begun, 2)


def _expected(command: Command) -> str:
    return f"status {command.status}" + (f", output like {command.stdout}" if command.stdout else "")


class stopping_is_an_exception:  # noqa: N801 (used as a function)
    """A context in which SIGTERM and SIGHUP raise ``Stopped``, so that what was made is removed."""

    def __enter__(self) -> None:
        def stop(number: int, _frame: types.FrameType | None) -> t.NoReturn:
            raise Stopped(f"signal {number}")

        self._old = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}

    def __exit__(self, *_exc: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)
