# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Replications: by name, with credentials and snapshot tasks by theirs, so that a declaration fits any system."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas import snapshot_task
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse, refuse_doubles
from ansible_collections.resilient.platform.plugins.module_utils._truenas.replication_rules import problems

Task = dict[str, t.Any]
REQUIRED = ("direction", "transport", "source_datasets", "target_dataset", "recursive", "auto", "retention_policy")
# What the server fills in (api/v25_10_2/replication.py); the rules need all fields.
DEFAULTS: Task = {
    "direction": None,
    "transport": None,
    "ssh_credentials": None,
    "netcat_active_side": None,
    "netcat_active_side_listen_address": None,
    "netcat_active_side_port_min": None,
    "netcat_active_side_port_max": None,
    "netcat_passive_side_connect_address": None,
    "sudo": False,
    "source_datasets": [],
    "target_dataset": None,
    "recursive": None,
    "exclude": [],
    "properties": True,
    "properties_exclude": [],
    "properties_override": {},
    "replicate": False,
    "encryption": False,
    "encryption_inherit": None,
    "encryption_key": None,
    "encryption_key_format": None,
    "encryption_key_location": None,
    "periodic_snapshot_tasks": [],
    "naming_schema": [],
    "also_include_naming_schema": [],
    "name_regex": None,
    "auto": None,
    "schedule": None,
    "restrict_schedule": None,
    "only_matching_schedule": False,
    "allow_from_scratch": False,
    "readonly": "SET",
    "hold_pending_snapshots": False,
    "retention_policy": None,
    "lifetime_value": None,
    "lifetime_unit": None,
    "lifetimes": [],
    "compression": None,
    "speed_limit": None,
    "large_block": True,
    "embed": False,
    "compressed": True,
    "retries": 5,
    "logging_level": None,
    "enabled": True,
}
FIELDS = tuple(DEFAULTS)
# Never compared, never shown: the server answers with asterisks to most accounts.
SECRET = ("encryption_key",)
NOT_ONE_TIME = ("auto", "schedule", "only_matching_schedule", "enabled")
ONLY_ONE_TIME = ("exclude_mountpoint_property", "only_from_scratch", "mount")
_UNORDERED = ("exclude", "properties_exclude", "naming_schema", "also_include_naming_schema", "periodic_snapshot_tasks")


@dataclasses.dataclass
class References:
    """What replications refer to, by name.

    Args:
        credentials: Number of each SSH connection.
        tasks: Snapshot tasks by ``dataset@naming schema``.
        assumed: Names that an earlier task of a check-mode run would have made.
    """

    credentials: dict[str, int] = dataclasses.field(default_factory=dict)
    tasks: dict[str, Task] = dataclasses.field(default_factory=dict)
    assumed: frozenset[str] = frozenset()


def references(client: TrueNasClient, items: t.Sequence[Task], *, assumed: t.Iterable[str] = ()) -> References:
    """Read what *items* refer to; only what is needed is asked for."""
    found = References(assumed=frozenset(assumed))
    if any(item.get("ssh_credentials") for item in items):
        shown = client.query("keychaincredential", [["type", "=", "SSH_CREDENTIALS"]])
        found.credentials = {entry["name"]: entry["id"] for entry in shown}
    if any(item.get("periodic_snapshot_tasks") for item in items):
        found.tasks = snapshot_task.read(client)
    return found


def _cron(schedule: t.Mapping[str, t.Any]) -> dict[str, str]:
    """Return the schedule of a lifetime in full; it has no begin and end."""
    full = {"minute": "*", "hour": "*", "dom": "*", "month": "*", "dow": "*"}
    return {key: str(schedule.get(key) or value) for key, value in full.items()}


def canonical(values: t.Mapping[str, t.Any]) -> Task:
    """Return fields in the one form that is compared: full schedules, sorted lists."""
    found: Task = {}
    for name, value in values.items():
        if name in _UNORDERED and value is not None:
            value = sorted(value)
        elif name in ("schedule", "restrict_schedule") and value is not None:
            value = snapshot_task.full_schedule(value)
        elif name == "lifetimes" and value is not None:
            value = [{**one, "schedule": _cron(one["schedule"])} for one in value]
        elif name == "properties_override" and value is not None:
            value = {key: str(one) for key, one in value.items()}
        found[name] = value
    return found


def from_api(entry: t.Mapping[str, t.Any]) -> Task:
    """Return one replication with plain values: credentials and snapshot tasks by name, secrets left out."""
    found: Task = {"id": entry["id"], "name": entry["name"]}
    plain = {name: entry.get(name, default) for name, default in DEFAULTS.items() if name not in SECRET}
    credential = entry.get("ssh_credentials")
    plain["ssh_credentials"] = credential.get("name") if isinstance(credential, dict) else credential
    plain["periodic_snapshot_tasks"] = [snapshot_task.key_of(one) for one in entry.get("periodic_snapshot_tasks") or []]
    found.update(canonical(plain))
    state = entry.get("state") or {}
    found["state"] = {
        "state": state.get("state"),
        "datetime": state.get("datetime"),
        "error": state.get("error") or state.get("reason"),
        "warnings": list(state.get("warnings") or []),
        "last_snapshot": state.get("last_snapshot"),
    }
    # The rules need more of a bound task than its name.
    found["__bound"] = [snapshot_task.from_api(one) for one in entry.get("periodic_snapshot_tasks") or []]
    return found


def public(task: Task) -> Task:
    """Return *task* as a module shows it."""
    return {key: value for key, value in task.items() if not key.startswith("__") and key not in SECRET}


def read(client: TrueNasClient, names: t.Sequence[str] | None = None) -> dict[str, Task]:
    """Return the replications (those of *names*), by name."""
    filters = [] if names is None else [["name", "in", list(names)]]
    return {entry["name"]: from_api(entry) for entry in client.query("replication", filters)}


def wanted(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Task]:
    """Return the module's ``tasks`` in the form that is compared.

    Raises:
        Refused: a name is listed twice.
    """
    refuse_doubles([item["name"] for item in options], noun="replications")
    return [wanted_one(item) for item in options]


def wanted_one(item: t.Mapping[str, t.Any]) -> Task:
    """Return one declaration without what is not set, bound tasks by what identifies them."""
    found = {key: value for key, value in item.items() if value is not None}
    if "periodic_snapshot_tasks" in found:
        found["periodic_snapshot_tasks"] = [snapshot_task.key_of(one) for one in found["periodic_snapshot_tasks"]]
    return canonical(found)


def settle(item: Task, known: Task | None) -> Task:
    """Return *item* with what follows from it: fields that make no sense any more are cleared unless declared.

    Ansible has no way to say "set it to null", so a change of direction, transport or retention has to imply it.
    """
    full = {**DEFAULTS, **(known or {}), **item}
    implied: Task = {}
    if full["retention_policy"] != "CUSTOM":
        implied.update(lifetime_value=None, lifetime_unit=None, lifetimes=[])
    if full["transport"] == "LOCAL":
        implied["ssh_credentials"] = None
    if full["transport"] != "SSH":
        implied.update(compression=None, speed_limit=None)
    if full["auto"] is False:
        implied["schedule"] = None
    if full["direction"] == "PULL":
        implied.update(also_include_naming_schema=[], periodic_snapshot_tasks=[], hold_pending_snapshots=False)
    if full["direction"] == "PUSH":
        implied["naming_schema"] = []
    return {**{name: value for name, value in implied.items() if (known or DEFAULTS).get(name) != value}, **item}


def check(item: Task, known: Task | None, refs: References, *, one_time: bool = False) -> list[str]:
    """Return why *item* cannot be written: missing fields, names that lead nowhere, the server's rules."""
    lacking = [name for name in REQUIRED if name not in item and known is None and not (one_time and name == "auto")]
    if lacking:
        return [f"it does not exist, and a new one needs {', '.join(lacking)}"]
    full = {**DEFAULTS, **({"auto": False} if one_time else {}), **(known or {}), **item}
    found: list[str] = []
    credential = item.get("ssh_credentials")
    if credential and credential not in refs.credentials and credential not in refs.assumed:
        found.append(f"there is no SSH connection {credential!r} (there are {', '.join(sorted(refs.credentials)) or 'none'})")
    bound = list((known or {}).get("__bound", []))
    if "periodic_snapshot_tasks" in item:
        strange = [key for key in item["periodic_snapshot_tasks"] if key not in refs.tasks and key not in refs.assumed]
        found += [f"there is no snapshot task {key}" for key in strange]
        bound = [refs.tasks[key] for key in item["periodic_snapshot_tasks"] if key in refs.tasks]
    # A snapshot task that an earlier task of a check-mode run would have made, or enabled, counts as enabled.
    bound = [{**one, "enabled": True} if snapshot_task.key_of(one) in refs.assumed else one for one in bound]
    return found + problems(full, bound)


def payload_of(fields: t.Mapping[str, t.Any], refs: References) -> Task:
    """Return *fields* as the server takes them: numbers for credentials and snapshot tasks."""
    found = {name: value for name, value in fields.items() if name in (*FIELDS, *ONLY_ONE_TIME, "name")}
    if found.get("ssh_credentials"):
        found["ssh_credentials"] = refs.credentials.get(found["ssh_credentials"])
    if "periodic_snapshot_tasks" in found:
        found["periodic_snapshot_tasks"] = [refs.tasks[key]["id"] for key in found["periodic_snapshot_tasks"] if key in refs.tasks]
    return found


def plan(items: t.Sequence[Task], current: t.Mapping[str, Task], refs: References) -> Plan:
    """Return the calls.

    Raises:
        Refused: a task breaks a rule; all of them are named.
    """
    made = Plan()
    found: list[str] = []
    for item in items:
        name, known = item["name"], current.get(item["name"])
        if item.get("state") == "absent":
            if known is not None:
                made.diff.add(f"{name}.state", before="present", after="absent")
                made.add("replication.delete", known["id"], what=name)
            continue
        settled = settle(item, known)
        found += [f"{name}: {text}" for text in check(settled, known, refs)]
        fields = {key: settled[key] for key in FIELDS if key in settled}
        if known is None:
            made.diff.add(f"{name}.state", before="absent", after="present")
            for key, value in fields.items():
                made.diff.add(f"{name}.{key}", before=None, after=None if key in SECRET else value)
            made.add("replication.create", payload_of({"name": name, **fields}, refs), what=name)
            made.predicted.append({"id": None, "name": name, **public(fields), "state": {"state": "PENDING"}})
            continue
        different = {key: value for key, value in fields.items() if key not in SECRET and value != known.get(key)}
        for key, value in different.items():
            made.diff.add(f"{name}.{key}", before=known.get(key), after=value)
        if different:
            if "encryption_key" in fields and any(key.startswith("encryption") for key in different):
                different["encryption_key"] = fields["encryption_key"]
            made.add("replication.update", known["id"], payload_of(different, refs), what=name)
        made.predicted.append(public({**known, **different}))
    refuse(found, noun="replications")
    return made
