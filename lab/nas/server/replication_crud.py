"""``replication``: stored tasks and the rules they must keep."""

from __future__ import annotations

import errno
import re
from typing import Any

from lab.nas.server.attachments import is_child, local_datasets
from lab.nas.server.errors import ValidationErrors, not_found
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.replication_models import CreateArgs, RestoreArgs, UpdateArgs
from lab.nas.server.schema import IdArgs, QueryArgs
from lab.nas.server.snapshottask import _dated, hold_reason

Entry = dict[str, Any]
TABLE = "replication"
_INTERNAL = ("state", "job_id")
_NETCAT = ("netcat_active_side_listen_address", "netcat_active_side_port_min", "netcat_active_side_port_max", "netcat_passive_side_connect_address")


def get(mw: Middleware, key: int) -> Entry:
    """Return a stored task. ValidationErrors (ENOENT)."""
    task = mw.store.find(TABLE, key)
    if task is None:
        raise not_found("Replication", key)
    return task


def hold(mw: Middleware, task: Entry) -> str | None:
    """Say why a task is on hold: a pool of this side is missing. None if it can run."""
    reasons = (hold_reason(mw, dataset) for dataset in local_datasets(task))
    return next((reason for reason in reasons if reason), None)


def show(mw: Middleware, task: Entry) -> Entry:
    """Return a task as the API shows it: credentials and snapshot tasks as objects."""
    state = task.get("state") or {"state": "PENDING"}
    reason = hold(mw, task)
    if reason and task["enabled"]:
        state = {"state": "HOLD", "reason": reason}
    bound = [mw.store.find("snapshottask", key) for key in task["periodic_snapshot_tasks"]]
    job = next((record for record in mw.jobs.records() if record["id"] == task.get("job_id")), None) if task.get("job_id") else None
    return {
        **{key: value for key, value in task.items() if key not in _INTERNAL},
        "ssh_credentials": mw.store.find("keychain", task["ssh_credentials"]) if task["ssh_credentials"] is not None else None,
        "periodic_snapshot_tasks": [{**{key: value for key, value in one.items() if key != "state"}, "state": "UNKNOWN"} for one in bound if one],
        "state": _dated(state), "job": job, "has_encrypted_dataset_keys": False,
    }


@method("replication.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """Tasks."""
    return filter_list([show(call.mw, task) for task in call.mw.store.table(TABLE)], filters, options)


@method("replication.get_instance", IdArgs)
def get_instance(call: Call, key: int) -> Any:
    """One task."""
    return show(call.mw, get(call.mw, key))


@method("replication.create", CreateArgs)
def create(call: Call, data: Entry) -> Any:
    """Store a task."""
    check(call.mw, "replication_create", data)
    task = call.mw.store.insert(TABLE, data)
    call.mw.publish("replication.query", "added", task["id"], show(call.mw, task))
    return show(call.mw, task)


@method("replication.update", UpdateArgs)
def update(call: Call, key: int, data: Entry) -> Any:
    """Change a task."""
    new = {name: value for name, value in get(call.mw, key).items() if name not in _INTERNAL}
    check(call.mw, "replication_update", {**new, **data}, key)
    task = call.mw.store.update(TABLE, key, data)
    call.mw.publish("replication.query", "changed", key, show(call.mw, task))
    return show(call.mw, task)


@method("replication.delete", IdArgs)
def delete(call: Call, key: int) -> Any:
    """Delete a task; what it replicated stays."""
    get(call.mw, key)
    call.mw.store.delete(TABLE, key)
    call.mw.publish("replication.query", "removed", key, {})
    return True


@method("replication.restore", RestoreArgs)
def restore(call: Call, key: int, data: Entry) -> Any:
    """Store the task that goes the other way, disabled for automatic runs."""
    old = get(call.mw, key)
    pulled = old["direction"] == "PUSH"
    bound = [call.mw.store.find("snapshottask", number) for number in old["periodic_snapshot_tasks"]]
    schemas = [*dict.fromkeys([*(task["naming_schema"] for task in bound if task), *old["also_include_naming_schema"], *old["naming_schema"]])]
    new = {**{name: value for name, value in old.items() if name not in (*_INTERNAL, "id")}, "name": data["name"],
           "direction": "PULL" if pulled else "PUSH", "source_datasets": [old["target_dataset"]], "target_dataset": data["target_dataset"],
           "periodic_snapshot_tasks": [], "naming_schema": schemas if pulled and not old["name_regex"] else [],
           "also_include_naming_schema": [] if pulled or old["name_regex"] else schemas, "auto": False, "schedule": None, "restrict_schedule": None,
           "only_matching_schedule": False, "readonly": "IGNORE", "hold_pending_snapshots": False, "retention_policy": "NONE",
           "lifetime_value": None, "lifetime_unit": None, "lifetimes": [], "exclude": [], "enabled": True}
    return create(call, new)


def check(mw: Middleware, schema: str, data: Entry, key: int | None = None) -> None:
    """Apply the middleware's rules. ValidationErrors."""
    found = ValidationErrors()

    def add(attribute: str, message: str) -> None:
        found.add(f"{schema}.{attribute}", message)

    if any(task["name"] == data.get("name") and task["id"] != key for task in mw.store.table(TABLE)):
        found.add(f"{schema}.name", "Object with this name already exists", errno.EEXIST)
    bound = _check_direction(mw, add, data)
    _check_transport(mw, add, data)
    _check_datasets(add, data, bound)
    _check_names_and_retention(add, data)
    if data["enabled"]:
        for index, task in enumerate(bound):
            if not task["enabled"]:
                add(f"periodic_snapshot_tasks.{index}", "You can't bind disabled periodic snapshot task to enabled replication task")
    if data["encryption"]:
        add("encryption", "This double cannot encrypt: see lab/nas/README.md")
    found.check()


def _check_direction(mw: Middleware, add: Any, data: Entry) -> list[Entry]:
    bound: list[Entry] = []
    if data["direction"] == "PUSH":
        for index, number in enumerate(data["periodic_snapshot_tasks"]):
            task = mw.store.find("snapshottask", number)
            if task is None:
                add(f"periodic_snapshot_tasks.{index}", "This snapshot task does not exist")
            else:
                bound.append(task)
        if data["naming_schema"]:
            add("naming_schema", "This field has no sense for push replication")
        if not bound and not data["also_include_naming_schema"] and not data["name_regex"]:
            add("periodic_snapshot_tasks", "You must at least either bind a periodic snapshot task or provide \"Also Include Naming Schema\" or "
                "\"Name Regex\" for push replication task")
        if data["schedule"] is None and data["auto"] and not data["periodic_snapshot_tasks"]:
            add("auto", "Push replication that runs automatically must be either bound to a periodic snapshot task or have a schedule")
        return bound
    if data["schedule"] is None and data["auto"]:
        add("auto", "Pull replication that runs automatically must have a schedule")
    if data["periodic_snapshot_tasks"]:
        add("periodic_snapshot_tasks", "Pull replication can't be bound to a periodic snapshot task")
    if not data["naming_schema"] and not data["name_regex"]:
        add("naming_schema", "Naming schema or Name regex are required for pull replication")
    if data["also_include_naming_schema"]:
        add("also_include_naming_schema", "This field has no sense for pull replication")
    if data["hold_pending_snapshots"]:
        add("hold_pending_snapshots", "Pull replication tasks can't hold pending snapshots because they don't do source retention")
    return bound


def _check_transport(mw: Middleware, add: Any, data: Entry) -> None:
    if data["transport"] == "SSH+NETCAT":
        if data["netcat_active_side"] is None:
            add("netcat_active_side", "You must choose active side for SSH+netcat replication")
        for name, title in (("compression", "Compression"), ("speed_limit", "Speed limit")):
            if data[name] is not None:
                add(name, f"{title} is not supported for SSH+netcat replication")
    else:
        for name in ("netcat_active_side", *_NETCAT):
            if data[name] is not None:
                add(name, "This field only has sense for SSH+netcat replication")
    if data["transport"] == "LOCAL":
        for name, title in (("ssh_credentials", "Remote credentials have"), ("compression", "Compression has"), ("speed_limit", "Speed limit has")):
            if data[name] is not None:
                add(name, f"{title} no sense for local replication")
        return
    if data["ssh_credentials"] is None:
        add("ssh_credentials", "SSH Credentials are required for non-local replication")
        return
    entry = mw.store.find("keychain", data["ssh_credentials"])
    if entry is None or entry["type"] != "SSH_CREDENTIALS":
        add("ssh_credentials", "[ENOENT] Credential does not exist" if entry is None else "Credential is not of type SSH_CREDENTIALS")


def _check_datasets(add: Any, data: Entry, bound: list[Entry]) -> None:
    for index, source in enumerate(data["source_datasets"]):
        for task in bound:
            if not is_child(source, task["dataset"]):
                continue
            if not data["recursive"] and source in task["exclude"]:
                add(f"source_datasets.{index}", f"Dataset {source!r} is excluded by bound periodic snapshot task for dataset {task['dataset']!r}")
            for excluded in task["exclude"] if data["recursive"] else []:
                if is_child(excluded, source) and excluded not in data["exclude"]:
                    add("exclude", f"You should exclude {excluded!r} as bound periodic snapshot task dataset {task['dataset']!r} does")
    if not data["recursive"] and data["exclude"]:
        add("exclude", "Excluding child datasets is only supported for recursive replication")
    for index, excluded in enumerate(data["exclude"]):
        if not any(excluded.startswith(f"{source}/") for source in data["source_datasets"]):
            add(f"exclude.{index}", "This dataset is not a child of any of source datasets")
    if data["replicate"]:
        if not data["recursive"]:
            add("recursive", "This option is required for full filesystem replication")
        if data["exclude"]:
            add("exclude", "This option is not supported for full filesystem replication")
        if not data["properties"]:
            add("properties", "This option is required for full filesystem replication")
        if data["retention_policy"] != "SOURCE":
            add("retention_policy", "Only `Same as Source` retention policy is supported for full filesystem replication")


def _check_names_and_retention(add: Any, data: Entry) -> None:
    if data["schedule"]:
        if not data["auto"]:
            add("schedule", "You can't have schedule for replication that does not run automatically")
    elif data["only_matching_schedule"] and not data["restrict_schedule"]:
        add("only_matching_schedule", "You can't have only-matching-schedule without schedule")
    if data["name_regex"]:
        try:
            re.compile(f"({data['name_regex']})$")
        except re.error as exc:
            add("name_regex", f"Invalid regex: {exc}")
        if data["naming_schema"] or data["also_include_naming_schema"]:
            add("name_regex", "Naming regex can't be used with Naming schema")
        if data["retention_policy"] == "CUSTOM":
            add("retention_policy", "Only `Same as Source` and `None` retention policies can be used with Naming regex")
    if data["retention_policy"] == "CUSTOM":
        for name in ("lifetime_value", "lifetime_unit"):
            if data[name] is None:
                add(name, "This field is required for custom retention policy")
        return
    for name in ("lifetime_value", "lifetime_unit", "lifetimes"):
        if data[name]:
            add(name, "This field has no sense for specified retention policy")
