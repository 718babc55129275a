# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The server's rules for replications, checked before anything is written: TrueNAS itself applies them one task at a time.

They are those of ``ReplicationService._validate`` in truenas/middleware, plugins/replication.py (25.10), in its order.
"""

from __future__ import annotations

import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas.snapshot_task import schedule_problems, schema_problem

Task = t.Mapping[str, t.Any]
_NETCAT = (
    "netcat_active_side",
    "netcat_active_side_listen_address",
    "netcat_active_side_port_min",
    "netcat_active_side_port_max",
    "netcat_passive_side_connect_address",
)


def is_child(name: str, parent: str) -> bool:
    """Whether *name* is *parent* or below it."""
    return name == parent or name.startswith(f"{parent}/")


def problems(task: Task, bound: t.Sequence[Task]) -> list[str]:
    """Return why the server would refuse *task*.

    Args:
        task: All fields of a replication, with the defaults filled in.
        bound: The periodic snapshot tasks it is bound to.
    """
    found = [*_direction(task), *_transport(task), *_scope(task, bound), *_names(task, bound), *_retention(task), *_forms(task)]
    if task["enabled"]:
        found += [f"snapshot task of {one['dataset']} is disabled and cannot be bound to an enabled replication" for one in bound if not one["enabled"]]
    return found


def _direction(task: Task) -> list[str]:
    found: list[str] = []
    if task["direction"] == "PUSH":
        if task["naming_schema"]:
            found.append("naming_schema is for PULL; PUSH has also_include_naming_schema")
        if not (task["periodic_snapshot_tasks"] or task["also_include_naming_schema"] or task["name_regex"]):
            found.append("PUSH needs periodic_snapshot_tasks, also_include_naming_schema or name_regex, to know which snapshots to send")
        if task["auto"] and task["schedule"] is None and not task["periodic_snapshot_tasks"]:
            found.append("auto PUSH needs periodic_snapshot_tasks or a schedule")
        return found
    if task["auto"] and task["schedule"] is None:
        found.append("auto PULL needs a schedule")
    if task["periodic_snapshot_tasks"]:
        found.append("PULL cannot be bound to periodic_snapshot_tasks")
    if not (task["naming_schema"] or task["name_regex"]):
        found.append("PULL needs naming_schema or name_regex")
    if task["also_include_naming_schema"]:
        found.append("also_include_naming_schema is for PUSH; PULL has naming_schema")
    if task["hold_pending_snapshots"]:
        found.append("PULL cannot hold_pending_snapshots")
    return found


def _transport(task: Task) -> list[str]:
    found: list[str] = []
    transport = task["transport"]
    if transport == "SSH+NETCAT":
        low, high = task["netcat_active_side_port_min"], task["netcat_active_side_port_max"]
        if task["netcat_active_side"] is None:
            found.append("SSH+NETCAT needs netcat_active_side")
        if low is not None and high is not None and low > high:
            found.append("netcat_active_side_port_max is less than netcat_active_side_port_min")
    else:
        found += [f"{name} is for SSH+NETCAT" for name in _NETCAT if task[name] is not None]
    if transport != "SSH":
        found += [f"{name} is for SSH" for name in ("compression", "speed_limit") if task[name] is not None]
    if transport == "LOCAL" and task["ssh_credentials"] is not None:
        found.append("ssh_credentials make no sense with LOCAL")
    if transport != "LOCAL" and task["ssh_credentials"] is None:
        found.append(f"{transport} needs ssh_credentials")
    return found


def _scope(task: Task, bound: t.Sequence[Task]) -> list[str]:
    found: list[str] = []
    sources, exclude = task["source_datasets"], task["exclude"]
    if not sources:
        found.append("source_datasets is empty")
    for source in sources:
        for one in (one for one in bound if is_child(source, one["dataset"])):
            if task["recursive"]:
                lacking = [name for name in one["exclude"] if is_child(name, source) and name not in exclude]
                found += [f"exclude must name {name}, as the bound snapshot task of {one['dataset']} does" for name in lacking]
            elif source in one["exclude"]:
                found.append(f"{source} is excluded by the bound snapshot task of {one['dataset']}")
    if exclude and not task["recursive"]:
        found.append("exclude needs recursive: true")
    found += [f"exclude {name} is not below any of source_datasets" for name in exclude if not any(name.startswith(f"{source}/") for source in sources)]
    if task["replicate"]:
        found += _replicate(task, bound)
    if task["encryption"] and not task["encryption_inherit"]:
        keys = ("encryption_key", "encryption_key_format", "encryption_key_location")
        found += [f"encryption needs {name} unless it is inherited" for name in keys if task[name] is None]
    return found


def _replicate(task: Task, bound: t.Sequence[Task]) -> list[str]:
    found: list[str] = []
    sources = task["source_datasets"]
    if not task["recursive"]:
        found.append("replicate needs recursive: true")
    if task["exclude"]:
        found.append("replicate cannot exclude")
    if not task["properties"]:
        found.append("replicate needs properties: true")
    if task["retention_policy"] != "SOURCE":
        found.append("replicate needs retention_policy: SOURCE")
    for source in sources:
        found += [f"replicate cannot have both {other} and its child {source}" for other in sources if other != source and is_child(source, other)]
    for one in bound:
        if not one["recursive"] or not any(is_child(source, one["dataset"]) for source in sources):
            found.append(f"replicate needs snapshot tasks that are recursive and cover a source; that of {one['dataset']} does not")
    return found


def _names(task: Task, bound: t.Sequence[Task]) -> list[str]:
    found: list[str] = []
    if task["schedule"]:
        if not task["auto"]:
            found.append("a schedule needs auto: true")
    elif task["only_matching_schedule"]:
        found.append("only_matching_schedule needs a schedule")
    regex = task["name_regex"]
    if not regex:
        return found
    try:
        re.compile(f"({regex})$")
    except re.error as exc:
        found.append(f"name_regex is not a regular expression: {exc}")
    if bound:
        found.append("name_regex cannot be used with periodic_snapshot_tasks")
    if task["naming_schema"] or task["also_include_naming_schema"]:
        found.append("name_regex cannot be used with naming schemas")
    if task["retention_policy"] not in ("SOURCE", "NONE"):
        found.append("name_regex needs retention_policy SOURCE or NONE")
    return found


def _retention(task: Task) -> list[str]:
    if task["retention_policy"] == "CUSTOM":
        return [f"retention_policy CUSTOM needs {name}" for name in ("lifetime_value", "lifetime_unit") if task[name] is None]
    return [f"{name} is for retention_policy CUSTOM" for name in ("lifetime_value", "lifetime_unit", "lifetimes") if task[name]]


def _forms(task: Task) -> list[str]:
    schemas = [*task["naming_schema"], *task["also_include_naming_schema"]]
    found = [problem for problem in map(schema_problem, schemas) if problem]
    for name in ("schedule", "restrict_schedule"):
        found += [text.replace("schedule", name, 1) for text in schedule_problems(task[name])]
    found += [f"{name} must be at least 1" for name in ("lifetime_value", "speed_limit", "retries") if task[name] is not None and task[name] < 1]
    return found
