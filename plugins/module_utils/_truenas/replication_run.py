# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Running replications: wait for the job, then read what came of it."""

from __future__ import annotations

import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, TaskFailed
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse
from ansible_collections.resilient.platform.plugins.module_utils._truenas.replication import (
    NOT_ONE_TIME,
    SECRET,
    References,
    Task,
    check,
    payload_of,
    read,
    settle,
)
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter


def _one(client: TrueNasClient, name: str) -> Task:
    found = read(client, [name])
    if name not in found:
        raise NotFound(f"There is no replication {name!r} at {client.settings.address}.", method="replication.query", path=name)
    return found[name]


def run(client: TrueNasClient, name: str, *, waiter: Waiter) -> dict[str, t.Any]:
    """Run a stored replication and wait. One that is running already, as after a run that was killed, is waited for first.

    Returns:
        ``{name, job, state, last_snapshot, warnings, seconds}``.

    Raises:
        TaskFailed: it failed, or is on hold.
        WaitTimeout: it did not end in time.
    """
    began = waiter.clock()
    waiter.until(lambda: _one(client, name)["state"]["state"], lambda state: state != "RUNNING", what=f"the end of the replication {name} that runs already")
    number = _one(client, name)["id"]
    job = client.job("replication.run", number, what=name, timeout=waiter.timeout, interval=waiter.interval)
    task = waiter.until(lambda: _one(client, name), lambda seen: seen["state"]["state"] != "RUNNING", what=f"the state of replication {name}")
    state = task["state"]
    if state["state"] != "FINISHED":
        raise TaskFailed(
            f"Replication {name} at {client.settings.address} ended as {state['state']}: {state['error'] or 'no reason given'}.",
            method="replication.run",
            path=name,
            said=str(state["error"] or state["state"]),
            log=job.log,
        )
    return {
        "name": name,
        "job": job.id,
        "state": state["state"],
        "last_snapshot": state["last_snapshot"],
        "warnings": state["warnings"],
        "seconds": round(waiter.clock() - began, 3),
    }


def check_runnable(tasks: t.Sequence[t.Mapping[str, t.Any]], names: t.Collection[str]) -> None:
    """Refuse to run what the server would refuse to (plugins/replication.py, run), before anything is written.

    Args:
        tasks: The replications as they will be.
        names: Those to run.

    Raises:
        Refused: one is disabled, or on hold.
    """
    found: list[str] = []
    for task in tasks:
        state = task.get("state") or {}
        if task["name"] in names and task.get("enabled") is False:
            found.append(f"{task['name']}: it is disabled and cannot be run; enabled: true enables it")
        elif task["name"] in names and state.get("state") == "HOLD":
            found.append(f"{task['name']}: it is on hold and cannot be run: {state.get('error') or 'no reason given'}")
    refuse(found, noun="replications")


def show(made: Plan, names: t.Sequence[str], once: Task | None) -> None:
    """Add what is run to the difference; what comes of it nobody knows beforehand."""
    for name in names:
        made.diff.add(f"{name}.run", before=None, after="run and wait")
    for key, value in (once or {}).items():
        if key not in SECRET:
            made.diff.add(f"one_time.{key}", before=None, after=value)


def one_time_payload(item: Task, refs: References) -> Task:
    """Return the parameters of ``replication.run_onetime``.

    Raises:
        Refused: they break a rule of the server.
    """
    item = {key: value for key, value in item.items() if key not in NOT_ONE_TIME}
    settled = {key: value for key, value in settle({**item, "auto": False}, None).items() if key not in NOT_ONE_TIME}
    refuse(check(settled, None, refs, one_time=True), noun="one-time replication")
    return {key: value for key, value in payload_of(settled, refs).items() if key != "name"}


def _is_same(record: t.Mapping[str, t.Any], payload: Task) -> bool:
    """Whether a job was started with these parameters, as far as they are no secrets."""
    arguments = (record.get("arguments") or [{}])[0]
    return isinstance(arguments, dict) and all(arguments.get(key) == value for key, value in payload.items() if key not in SECRET)


def run_one_time(client: TrueNasClient, payload: Task, *, waiter: Waiter) -> dict[str, t.Any]:
    """Run a replication that is not stored, and wait. The same one that runs already, as after a run that was killed, is waited for instead.

    Returns:
        ``{name: null, job, state, last_snapshot: null, warnings: [], seconds}``.

    Raises:
        TaskFailed: it failed.
        WaitTimeout: it did not end in time.
    """
    began = time.monotonic()
    what = f"{', '.join(payload['source_datasets'])} to {payload['target_dataset']}"
    found = [record for record in client.running("replication.run_onetime") if _is_same(record, payload)]
    if found:
        job = client.follow(int(found[0]["id"]), "replication.run_onetime", what=what, timeout=waiter.timeout, interval=waiter.interval)
    else:
        job = client.job("replication.run_onetime", payload, what=what, timeout=waiter.timeout, interval=waiter.interval)
    return {"name": None, "job": job.id, "state": "FINISHED", "last_snapshot": None, "warnings": [], "seconds": round(time.monotonic() - began, 3)}
