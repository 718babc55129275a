"""``pool.snapshottask``: periodic snapshots and their retention."""

from __future__ import annotations

import datetime
import threading
from typing import Any

from lab.nas.server import attachments, ejson, naming, retention
from lab.nas.server.attachments import is_child
from lab.nas.server.errors import CallError, ValidationErrors, not_found
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import IdArgs, QueryArgs
from lab.nas.server.snapshot import take
from lab.nas.server.snapshottask_models import CreateArgs, DeleteArgs, PreviewArgs, UpdateArgs
from lab.nas.server.zfs import Snapshot, ZfsError

Entry = dict[str, Any]
TABLE = "snapshottask"


def hold_reason(mw: Middleware, dataset: str) -> str | None:
    """Say why a task on a dataset is on hold; None if it can run."""
    pool = dataset.partition("/")[0]
    if pool not in mw.zfs.pools():
        return f"Pool {pool} is offline." if any(row["name"] == pool for row in mw.store.table("pool")) else f"Pool {pool} does not exist."
    return None


def show(mw: Middleware, task: Entry) -> Entry:
    """Return a task as the API shows it."""
    state = task.get("state") or {"state": "PENDING"}
    reason = hold_reason(mw, task["dataset"])
    if reason and task["enabled"]:
        state = {"state": "HOLD", "datetime": ejson.now(), "reason": reason}
    return {**{key: value for key, value in task.items() if key != "state"}, "vmware_sync": False, "state": _dated(state)}


def _dated(state: Entry) -> Entry:
    """Turn the stored number back into a date."""
    when = state.get("datetime")
    return {**state, "datetime": datetime.datetime.fromtimestamp(when / 1000, datetime.timezone.utc)} if isinstance(when, int) else dict(state)


def set_state(mw: Middleware, table: str, key: int, state: Entry) -> None:
    """Store a task's state and tell subscribers."""
    if mw.store.find(table, key) is None:
        return
    stamp = int(ejson.now().timestamp() * 1000)
    entry = mw.store.update(table, key, {"state": {**state, "datetime": stamp}})
    if state["state"] in ("ERROR", "FINISHED"):
        mw.store.set_value(f"settled:{table}:{key}", entry["state"])
    name = "pool.snapshottask.query" if table == TABLE else "replication.query"
    mw.publish(name, "changed", key, {"id": key, "state": _dated(entry["state"])})


@method("pool.snapshottask.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """Tasks."""
    return filter_list([show(call.mw, task) for task in call.mw.store.table(TABLE)], filters, options)


def get(mw: Middleware, key: int) -> Entry:
    """Return a stored task. ValidationErrors (ENOENT) if there is none."""
    task = mw.store.find(TABLE, key)
    if task is None:
        raise not_found("PeriodicSnapshotTask", key)
    return task


@method("pool.snapshottask.get_instance", IdArgs)
def get_instance(call: Call, key: int) -> Any:
    """One task."""
    return show(call.mw, get(call.mw, key))


def _validate(mw: Middleware, schema: str, data: Entry, *, check_dataset: bool) -> ValidationErrors:
    found = ValidationErrors()
    if check_dataset and not mw.zfs.exists(data["dataset"]):
        found.add(f"{schema}.dataset", "ZFS dataset or zvol not found")
    if data["exclude"] and not data["recursive"]:
        found.add(f"{schema}.exclude", "Excluding datasets has no sense for non-recursive periodic snapshot tasks")
    for index, excluded in enumerate(data["exclude"]):
        if not excluded.startswith(f"{data['dataset']}/"):
            found.add(f"{schema}.exclude.{index}", "Excluded dataset should be a child or other descendant of selected dataset")
    if data["lifetime_value"] < 1:
        found.add(f"{schema}.lifetime_value", "Should be greater than or equal to 1")
    return found


@method("pool.snapshottask.create", CreateArgs)
def create(call: Call, data: Entry) -> Any:
    """Make a task."""
    _validate(call.mw, "periodic_snapshot_create", data, check_dataset=True).check()
    task = call.mw.store.insert(TABLE, data)
    call.mw.publish("pool.snapshottask.query", "added", task["id"], show(call.mw, task))
    return show(call.mw, task)


@method("pool.snapshottask.update", UpdateArgs)
def update(call: Call, key: int, data: Entry) -> Any:
    """Change a task; ``fixate_removal_date`` keeps the dates of the snapshots it has."""
    mw, old = call.mw, get(call.mw, key)
    fixate = data.pop("fixate_removal_date", False)
    new = {**old, **data}
    found = _validate(mw, "periodic_snapshot_update", new, check_dataset=new["dataset"] != old["dataset"])
    bound = next((task for task in mw.store.table("replication") if task["enabled"] and key in task["periodic_snapshot_tasks"]), None)
    if bound is not None and not new["enabled"]:
        found.add("periodic_snapshot_update.enabled",
                  f"You can't disable this periodic snapshot task because it is bound to enabled replication task {bound['id']!r}")
    found.check()
    if fixate:
        _fixate(mw, old, _changed(mw, key, new))
    task = mw.store.update(TABLE, key, data)
    mw.publish("pool.snapshottask.query", "changed", key, show(mw, task))
    return show(mw, task)


@method("pool.snapshottask.delete", DeleteArgs)
def delete(call: Call, key: int, options: Entry) -> Any:
    """Delete a task; its snapshots stay, and nobody's retention removes them any more unless the date is fixated."""
    mw, task = call.mw, get(call.mw, key)
    for bound in mw.store.table("replication"):
        if bound["periodic_snapshot_tasks"] == [key] and bound["enabled"] and not bound["also_include_naming_schema"] and not bound["name_regex"]:
            raise CallError(f"You can't delete this periodic snapshot task because it is the only one bound to replication task {bound['name']!r}")
    if options["fixate_removal_date"]:
        _fixate(mw, task, _changed(mw, key, None))
    mw.store.delete(TABLE, key)
    attachments.forget_bindings(mw)
    mw.publish("pool.snapshottask.query", "removed", key, {})
    return True


def _changed(mw: Middleware, key: int, new: Entry | None) -> dict[str, list[str]]:
    """Return by dataset the snapshots whose removal date a change of a task would move."""
    tasks = [task for task in mw.store.table(TABLE) if task["enabled"]]
    before = [retention.owner_of_task(task) for task in tasks]
    after_tasks = [task for task in tasks if task["id"] != key] + ([new] if new and new["enabled"] else [])
    after = [retention.owner_of_task(task) for task in after_tasks]
    result: dict[str, list[str]] = {}
    roots = [get(mw, key)["dataset"], *([new["dataset"]] if new else [])]
    snapshots = {one.id: one for root in roots if mw.zfs.exists(root) for one in mw.zfs.snapshots(root, recursive=True)}
    for snapshot in snapshots.values():
        if retention.removal_date(before, snapshot) != retention.removal_date(after, snapshot):
            result.setdefault(snapshot.dataset, []).append(snapshot.name)
    return result


def _fixate(mw: Middleware, task: Entry, changed: dict[str, list[str]]) -> None:
    owner = retention.owner_of_task(task)
    for dataset, names in changed.items():
        for name in names:
            date = owner.removal(Snapshot(f"{dataset}@{name}", "", 0, 0))
            if date is not None:
                mw.zfs.run("zfs", "set", f"{retention.DESTROY_AT}={date.isoformat()}", f"{dataset}@{name}")


@method("pool.snapshottask.update_will_change_retention_for", PreviewArgs)
def update_preview(call: Call, key: int, data: Entry) -> Any:
    """The snapshots whose removal date an update would move."""
    return _changed(call.mw, key, {**get(call.mw, key), **data})


@method("pool.snapshottask.delete_will_change_retention_for", IdArgs)
def delete_preview(call: Call, key: int) -> Any:
    """The snapshots whose removal date a delete would move."""
    get(call.mw, key)
    return _changed(call.mw, key, None)


@method("pool.snapshottask.run", IdArgs)
def run(call: Call, key: int) -> Any:
    """Order the snapshot. Like the real thing it answers at once: whether it worked shows in the task's ``state``."""
    task = get(call.mw, key)
    if not task["enabled"]:
        raise CallError("Task is not enabled")
    threading.Thread(target=run_now, args=(call.mw, key), daemon=True, name=f"snapshottask-{key}").start()


def run_now(mw: Middleware, key: int) -> None:
    """Take a task's snapshot, apply retention, then run the replication tasks bound to it."""
    from lab.nas.server.scheduler import run_bound

    task, now = mw.store.find(TABLE, key), datetime.datetime.now()
    if task is None or hold_reason(mw, task["dataset"]):
        return
    try:
        execute(mw, task, now)
    except CallError:
        return  # it is in the task's state
    run_bound(mw, key, now)


def execute(mw: Middleware, task: Entry, when: datetime.datetime) -> None:
    """Take a task's snapshot for a minute and apply retention; the outcome is its state."""
    name = naming.make(task["naming_schema"], when.replace(second=0, microsecond=0))
    set_state(mw, TABLE, task["id"], {"state": "RUNNING"})
    try:
        if task["allow_empty"] or _has_news(mw, task):
            if mw.zfs.exists(f"{task['dataset']}@{name}"):
                raise CallError(f"cannot create snapshot '{task['dataset']}@{name}': dataset already exists")
            take(mw, task["dataset"], name, task["recursive"], task["exclude"], {})
        apply_retention(mw, when)
        set_state(mw, TABLE, task["id"], {"state": "FINISHED", "last_snapshot": f"{task['dataset']}@{name}"})
    except (CallError, ZfsError) as exc:
        set_state(mw, TABLE, task["id"], {"state": "ERROR", "error": str(exc)})
        raise exc if isinstance(exc, CallError) else CallError(str(exc)) from exc


def _has_news(mw: Middleware, task: Entry) -> bool:
    """Say whether a dataset has changed since its newest snapshot: the same data has the same referenced size."""
    snapshots = mw.zfs.snapshots(task["dataset"], properties="guid,creation,createtxg,referenced,used")
    if not snapshots or task["recursive"]:
        return True
    now = mw.zfs.get(task["dataset"], properties="referenced")[task["dataset"]]["referenced"].value
    newest = snapshots[-1].properties
    return newest["referenced"].value != now or newest["used"].value != "0"


def apply_retention(mw: Middleware, now: datetime.datetime) -> list[str]:
    """Delete the local snapshots that no task keeps any longer; returns their names. A held or cloned one stays."""
    from lab.nas.server.replication import pending_owners

    owners = [retention.owner_of_task(task) for task in mw.store.table(TABLE) if task["enabled"]] + pending_owners(mw)
    gone = []
    roots = {task["dataset"] for task in mw.store.table(TABLE)}
    roots = {root for root in roots if not any(other != root and is_child(root, other) for other in roots)}
    for root in roots:
        if not mw.zfs.exists(root):
            continue
        snapshots = mw.zfs.snapshots(root, recursive=True, properties=f"guid,creation,createtxg,{retention.DESTROY_AT}")
        for snapshot in retention.expired(owners, snapshots, now):
            try:
                mw.zfs.run("zfs", "destroy", snapshot.id)
                gone.append(snapshot.id)
            except ZfsError:
                continue
    return gone
