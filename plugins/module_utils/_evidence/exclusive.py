# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Which operations of one environment exclude one another.

A backup that runs into a disaster or a rebuild would record half a platform as its newest recovery point. The drill's own backup is a
step of the drill's run and begins no run of its own.
"""

from __future__ import annotations

import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import lock, records

REBUILDS = frozenset({"dr_drill", "dr_rebuild"})
EXCLUSIVE = frozenset({"backup"}) | REBUILDS


class Busy(Refused):
    """Another operation of the environment does not go together with this one."""


def _logs(evidence_dir: str, environment: str) -> list[tuple[str, list[records.Record]]]:
    """Return directory and records of all runs of *environment* that exclude others, oldest first."""
    found: list[tuple[str, list[records.Record]]] = []
    for name in sorted(os.listdir(evidence_dir)) if os.path.isdir(evidence_dir) else []:
        directory = os.path.join(evidence_dir, name)
        if not os.path.exists(os.path.join(directory, records.LOG_NAME)):
            continue
        try:
            log = records.read_log(directory)
        except records.ChainBroken:
            continue  # whoever resumes that run is told; it says nothing about this one
        about = log[0]["facts"].get("run", {}) if log else {}
        if about.get("environment") == environment and about.get("operation") in EXCLUSIVE:
            found.append((directory, log))
    return sorted(found, key=lambda item: str(item[1][0]["time"]))


def _closed(log: t.Sequence[records.Record]) -> bool:
    return bool(log[-1]["check"] == "run_finished")


def check(evidence_dir: str, environment: str, operation: str) -> None:
    """Refuse *operation* if another one that excludes it is at work, or left the platform half rebuilt.

    Raises:
        Busy: says which run, and what to do.
    """
    if operation not in EXCLUSIVE:
        return
    logs = _logs(evidence_dir, environment)
    for directory, log in logs:
        other = log[0]["facts"]["run"]["operation"]
        if other == operation or _closed(log):
            continue  # two runs of one operation are told apart by the lock of the run itself
        try:
            lock.check(directory)
        except lock.RunLocked as exc:
            raise Busy(
                f"{operation} of {environment} cannot run beside {other}. {exc.message} Nothing was changed.", hint=exc.hint, details=exc.details
            ) from exc
    if operation == "backup":
        _refuse_half_rebuilt(environment, logs)


def _refuse_half_rebuilt(environment: str, logs: t.Sequence[tuple[str, list[records.Record]]]) -> None:
    rebuilds = [log for _directory, log in logs if log[0]["facts"]["run"]["operation"] in REBUILDS]
    newest = rebuilds[-1] if rebuilds else None
    if newest is None or _closed(newest) or "disaster" not in records.merge_facts(newest):
        return
    about = newest[0]["facts"]["run"]
    raise Busy(
        f"The {about['operation']} {newest[0]['run']} of {environment} declared a disaster and did not finish: a backup would make half a platform the "
        "newest recovery point. Nothing was changed.",
        hint=f"Run {about['operation']} again, which goes on with it; or give it up with: "
        f"ansible-playbook resilient.platform.dr_finish -e dr_finish_operation={about['operation']}",
    )
