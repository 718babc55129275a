# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""A plan: the calls that lead from what is to what should be, with the difference they make."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient


@dataclasses.dataclass(frozen=True)
class Call:
    """One write.

    Args:
        method: Method of the server; ``snapshot:create`` stands for the snapshot service of whatever version it is.
        params: Its parameters. They may hold secrets, so they are kept out of ``repr``.
        what: The object, for messages.
        job: Whether it is a job to wait for.
    """

    method: str
    params: tuple[t.Any, ...] = dataclasses.field(repr=False)
    what: str
    job: bool = False


@dataclasses.dataclass
class Plan:
    """Calls in order, the difference, the objects as they will be, and (while applying) what has been done."""

    calls: list[Call] = dataclasses.field(default_factory=list)
    diff: DiffTracker = dataclasses.field(default_factory=DiffTracker)
    predicted: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    done: list[str] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.calls)

    def add(self, method: str, *params: t.Any, what: str, job: bool = False) -> None:
        """Append a call."""
        self.calls.append(Call(method, params, what, job))

    def apply(self, client: TrueNasClient, *, timeout: float = 300.0, interval: float = 1.0) -> None:
        """Do the calls in order. It decides nothing; ``done`` grows with each call, so that a failure can say how far it came."""
        for call in self.calls:
            if call.job:
                client.job(call.method, *call.params, what=call.what, timeout=timeout, interval=interval)
            elif call.method.startswith("snapshot:"):
                client.snapshots(call.method.partition(":")[2], *call.params, what=call.what)
            else:
                client.call(call.method, *call.params, what=call.what)
            self.done.append(f"{call.method} {call.what}")

    def so_far(self) -> dict[str, t.Any]:
        """Return what to add to a failure."""
        return {"changed": bool(self.done), "done": list(self.done)}


def given(options: t.Mapping[str, t.Any], names: t.Iterable[str]) -> dict[str, t.Any]:
    """Return those of *names* that are set in *options*."""
    return {name: options[name] for name in names if options.get(name) is not None}


def refuse_doubles(names: t.Sequence[str], *, noun: str) -> None:
    """Refuse a list that names an object twice.

    Raises:
        Refused: it does.
    """
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refused(f"These {noun} are listed twice: {', '.join(twice)}.", hint="List each once.")


def refuse(problems: t.Sequence[str], *, noun: str) -> None:
    """Refuse with all *problems* at once.

    Raises:
        Refused: there are any.
    """
    if problems:
        raise Refused(f"Refused before anything was written, {noun}: {'; '.join(problems)}.", hint="Correct the values and run again.")
