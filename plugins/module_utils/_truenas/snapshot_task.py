# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Periodic snapshot tasks. They have no name; what tells one from another is its dataset and naming schema."""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.errors import MethodMissing
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse, refuse_doubles

DEFAULT_SCHEMA = "auto-%Y-%m-%d_%H-%M"
UNITS = ("HOUR", "DAY", "WEEK", "MONTH", "YEAR")
SCHEDULE = {"minute": "00", "hour": "*", "dom": "*", "month": "*", "dow": "*", "begin": "00:00", "end": "23:59"}
FIELDS = ("recursive", "exclude", "lifetime_value", "lifetime_unit", "enabled", "allow_empty", "schedule")
_CHARACTERS = re.compile(r"^[0-9A-Za-z %_.:-]+$")
_CRON = re.compile(r"^[0-9A-Za-z*/,-]+$")
_CLOCK = re.compile(r"^([01]\d|2[0-3]):[0-5]\d$")
Task = dict[str, t.Any]


def key_of(item: t.Mapping[str, t.Any]) -> str:
    """Return what identifies a task: ``dataset@naming schema``."""
    return f"{item['dataset']}@{item['naming_schema']}"


def schema_problem(schema: str) -> str:
    """Return why TrueNAS would refuse *schema*, or nothing.

    It reads a snapshot's age back from its name, so it wants every part of the time in it, and back in the same way.
    The rules are those of zettarepl/snapshot/name.py.
    """
    if not _CHARACTERS.match(schema):
        return f"naming schema {schema!r} has characters other than letters, digits, space and % _ . : -"
    if "%s" in schema:
        others = [code for code in ("%Y", "%m", "%d", "%H", "%M") if code in schema]
        return f"naming schema {schema!r} must not have {', '.join(others)} beside %s" if others else ""
    lacking = [code for code in ("%Y", "%m", "%d", "%H", "%M") if code not in schema]
    if lacking:
        return f"naming schema {schema!r} lacks {', '.join(lacking)}"
    if "%z" in schema and ":" in schema:
        return f"naming schema {schema!r} has both %z and a colon"
    moment = datetime.datetime(2000, 2, 29, 19, 40)
    try:
        same = datetime.datetime.strptime(moment.strftime(schema), schema.replace("%z", "")) == moment
    except (ValueError, re.error):
        same = False
    return "" if same else f"naming schema {schema!r} cannot be read back as a time"


def full_schedule(schedule: t.Mapping[str, t.Any] | None, *, minute: str = "00") -> dict[str, str] | None:
    """Return *schedule* with the server's defaults for what is not set; None stays None."""
    if schedule is None:
        return None
    shown = {key: str(value) for key, value in schedule.items() if value is not None and key in SCHEDULE}
    return {**SCHEDULE, "minute": minute, **shown}


def schedule_problems(schedule: t.Mapping[str, str] | None) -> list[str]:
    """Return what is wrong with a full schedule."""
    if not schedule:
        return []
    found = [f"schedule.{key} {schedule[key]!r} is not in cron notation" for key in ("minute", "hour", "dom", "month", "dow") if not _CRON.match(schedule[key])]
    clocks = [key for key in ("begin", "end") if not _CLOCK.match(schedule[key])]
    found += [f"schedule.{key} {schedule[key]!r} is not HH:MM" for key in clocks]
    if not clocks and schedule["begin"] > schedule["end"]:
        found.append("schedule.begin is later than schedule.end")
    return found


def from_api(entry: t.Mapping[str, t.Any]) -> Task:
    """Return one task with plain values."""
    state = entry.get("state")
    return {
        "id": entry["id"],
        "dataset": entry["dataset"],
        "naming_schema": entry["naming_schema"],
        **{name: entry.get(name) for name in FIELDS if name not in ("schedule", "exclude")},
        "exclude": sorted(entry.get("exclude") or []),
        "schedule": full_schedule(entry.get("schedule")),
        "state": state.get("state") if isinstance(state, dict) else state,
    }


def wanted(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Task]:
    """Return the module's ``tasks``, checked as far as that needs no server.

    Raises:
        Refused: anything is wrong; all of it is named.
    """
    items = [{key: value for key, value in item.items() if value is not None} for item in options]
    refuse_doubles([key_of(item) for item in items], noun="snapshot tasks")
    found: list[str] = []
    for item in items:
        if "schedule" in item:
            item["schedule"] = full_schedule(item["schedule"])
        if "exclude" in item:
            item["exclude"] = sorted(item["exclude"])
        told = [schema_problem(item["naming_schema"])] if schema_problem(item["naming_schema"]) else []
        told += schedule_problems(item.get("schedule"))
        if item.get("exclude") and item.get("recursive") is False:
            told.append("exclude needs recursive: true")
        told += [f"exclude {name} is not below the dataset" for name in item.get("exclude", []) if not name.startswith(f"{item['dataset']}/")]
        if item.get("lifetime_value", 1) < 1:
            told.append("lifetime_value must be at least 1")
        found += [f"{key_of(item)}: {text}" for text in told]
    refuse(found, noun="snapshot tasks")
    return items


def read(client: TrueNasClient) -> dict[str, Task]:
    """Return all tasks by what identifies them.

    Raises:
        Refused: two tasks of the system are alike, so that nobody can say which is meant.
    """
    found: dict[str, Task] = {}
    for entry in client.query("pool.snapshottask"):
        task = from_api(entry)
        key = key_of(task)
        if key in found:
            raise Refused(
                f"TrueNAS has two snapshot tasks for {task['dataset']} with the naming schema {task['naming_schema']} (ids {found[key]['id']}, {task['id']}).",
                hint="Delete one, or give it another naming schema; dataset and schema identify a task.",
            )
        found[key] = task
    return found


def missing_datasets(client: TrueNasClient, items: t.Sequence[Task], current: t.Mapping[str, Task]) -> list[str]:
    """Return the datasets that new tasks are for and that do not exist."""
    needed = sorted({item["dataset"] for item in items if item.get("state") != "absent" and key_of(item) not in current})
    if not needed:
        return []
    found = {entry["id"] for entry in client.query("pool.dataset", [["id", "in", needed]])}
    return [name for name in needed if name not in found]


def changes(item: Task, known: Task) -> Task:
    """Return the fields of *item* that differ from *known*."""
    return {name: item[name] for name in FIELDS if name in item and item[name] != known.get(name)}


def losses(client: TrueNasClient, items: t.Sequence[Task], current: t.Mapping[str, Task]) -> dict[str, dict[str, list[str]]]:
    """Return, by task, the snapshots whose life the change shortens or ends, as the server foretells it.

    Asked only where something changes; a version that cannot tell is taken to say none.
    """
    found: dict[str, dict[str, list[str]]] = {}
    for item in items:
        known = current.get(key_of(item))
        if known is None or item.get("fixate_removal_date"):
            continue
        try:
            if item.get("state") == "absent":
                told = client.call("pool.snapshottask.delete_will_change_retention_for", known["id"], what=key_of(item))
            elif changes(item, known):
                told = client.call("pool.snapshottask.update_will_change_retention_for", known["id"], changes(item, known), what=key_of(item))
            else:
                continue
        except MethodMissing:
            continue
        if told:
            found[key_of(item)] = {dataset: sorted(names) for dataset, names in sorted(told.items())}
    return found


def plan(
    items: t.Sequence[Task],
    current: t.Mapping[str, Task],
    missing: t.Sequence[str],
    affected: t.Mapping[str, t.Mapping[str, t.Sequence[str]]],
    limit: int | None,
) -> Plan:
    """Return the calls.

    Args:
        items: The tasks that are wanted.
        current: The tasks that are.
        missing: Datasets that do not exist.
        affected: Snapshots whose retention changes, by task and dataset.
        limit: How many such snapshots are allowed; None for any number.

    Raises:
        Refused: a dataset is missing, or more snapshots are affected than allowed.
    """
    problems = [f"there is no dataset {name}" for name in missing]
    total = sum(len(names) for datasets in affected.values() for names in datasets.values())
    if limit is not None and total > limit:
        problems.append(f"the retention of {total} snapshots would change, and max_snapshots_deleted is {limit}")
    refuse(problems, noun="snapshot tasks")
    made = Plan()
    for item in items:
        key, known = key_of(item), current.get(key_of(item))
        for dataset, names in affected.get(key, {}).items():
            made.diff.add(f"{key}.retention_changes.{dataset}", before=None, after=list(names))
        options = {"fixate_removal_date": True} if item.get("fixate_removal_date") else {}
        if item.get("state") == "absent":
            if known is not None:
                made.diff.add(f"{key}.state", before="present", after="absent")
                made.add("pool.snapshottask.delete", known["id"], options, what=key)
            continue
        if known is None:
            payload = {"dataset": item["dataset"], "naming_schema": item["naming_schema"], **{name: item[name] for name in FIELDS if name in item}}
            made.diff.add(f"{key}.state", before="absent", after="present")
            for name in FIELDS:
                made.diff.add(f"{key}.{name}", before=None, after=item.get(name))
            made.add("pool.snapshottask.create", payload, what=key)
            made.predicted.append({"id": None, **payload})
            continue
        different = changes(item, known)
        for name, value in different.items():
            made.diff.add(f"{key}.{name}", before=known.get(name), after=value)
        if different:
            made.add("pool.snapshottask.update", known["id"], {**different, **options}, what=key)
        made.predicted.append({**known, **different})
    return made
