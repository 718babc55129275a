"""``pool.snapshot`` (``zfs.snapshot`` up to 25.04)."""

from __future__ import annotations

import datetime
import errno
import re
from collections.abc import Callable
from typing import Any

from lab.nas.server import naming, retention
from lab.nas.server.attachments import is_child
from lab.nas.server.errors import CallError, ValidationErrors, not_found
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.props import bytes_text
from lab.nas.server.query import filter_list
from lab.nas.server.registry import Function, method
from lab.nas.server.schema import Model, QueryArgs
from lab.nas.server.snapshot_models import CloneArgs, CreateArgs, DeleteArgs, HoldArgs, InstanceArgs, RenameArgs, RollbackArgs, UpdateArgs
from lab.nas.server.zfs import Snapshot, Value, ZfsError

Entry = dict[str, Any]
_CHEAP = "guid,creation,createtxg,used,referenced,userrefs,defer_destroy,compressratio"
_NAME = re.compile(r"[A-Za-z0-9 _.:%-]+")


def snapshot_method(name: str, args: type[Model], *, since: str = "25.04") -> Callable[[Function], Function]:
    """Register a method under the name of each release."""

    def register(function: Function) -> Function:
        if since < "25.10":
            method(f"zfs.snapshot.{name}", args, until="25.04")(function)
        method(f"pool.snapshot.{name}", args, since="25.10")(function)
        return function

    return register


def _property(name: str, value: Value) -> Entry:
    source = {"local": "LOCAL", "received": "RECEIVED", "default": "DEFAULT"}.get(value.source, "INHERITED" if value.source.startswith("inherited") else "NONE")
    text, parsed = value.value, value.value
    shown: Any = parsed
    if name == "creation":
        shown = datetime.datetime.fromtimestamp(int(text), datetime.timezone.utc)
        return {"value": shown.strftime("%a %b %d %H:%M %Y"), "rawvalue": text, "source": source, "parsed": shown}
    if name in ("used", "referenced"):
        return {"value": bytes_text(int(text)), "rawvalue": text, "source": source, "parsed": int(text)}
    if name in ("createtxg", "userrefs"):
        shown = int(text)
    return {"value": text, "rawvalue": text, "source": source, "parsed": shown}


def show(snapshot: Snapshot) -> Entry:
    """Return a snapshot as the API shows it."""
    keep = {key: value for key, value in snapshot.properties.items() if value.value != "-" or key in _CHEAP}
    return {"id": snapshot.id, "name": snapshot.id, "pool": snapshot.dataset.partition("/")[0], "type": "SNAPSHOT", "snapshot_name": snapshot.name,
            "dataset": snapshot.dataset, "createtxg": str(snapshot.createtxg), "properties": {key: _property(key, value) for key, value in keep.items()}}


def _scope(mw: Middleware, filters: list[Any], *, full: bool) -> list[Snapshot]:
    """Read no more snapshots than the filters can match."""
    wanted = {one[0]: one[2] for one in filters if isinstance(one, list) and len(one) == 3 and one[1] == "="}
    key = wanted.get("id") or wanted.get("name")
    dataset = wanted.get("dataset") or (str(key).partition("@")[0] if key else None)
    if mw.version >= "26" and _one_is_missing(mw, filters):
        return []
    if dataset is not None and not mw.zfs.exists(dataset):
        return []
    several = next((one[2] for one in filters if isinstance(one, list) and len(one) == 3 and one[:2] == ["dataset", "in"] and isinstance(one[2], list)), None)
    if dataset is None and several is not None and len(several) <= 20:
        found = [one for name in several if mw.zfs.exists(name) for one in mw.zfs.snapshots(name, properties=_CHEAP)]
    else:
        found = mw.zfs.snapshots(dataset, properties=_CHEAP)
    if full and found:
        everything = mw.zfs.get(*(one.id for one in found))
        for one in found:
            one.properties.update(everything.get(one.id, {}))
    return found


def _one_is_missing(mw: Middleware, filters: list[Any]) -> bool:
    """From 26 on names in a filter are paths to open; one that is not there empties the answer (plugins/pool_/snapshot.py, query)."""
    several = [(one[0], one[2]) for one in filters if isinstance(one, list) and len(one) == 3 and one[1] == "in"]
    if any(name in ("dataset", "pool") and not mw.zfs.exists(path) for name, paths in several for path in paths):
        return True
    ids = {path for name, paths in several if name in ("id", "name") for path in paths}
    there = {one.id for dataset in {path.partition("@")[0] for path in ids} if mw.zfs.exists(dataset) for one in mw.zfs.snapshots(dataset)}
    return not ids <= there


@snapshot_method("query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """Snapshots, oldest first. ``extra``: holds, retention (the latter wants an id filter or a limit), properties (those that are read)."""
    wanted = options["extra"].get("properties")
    full = wanted is None or not set(wanted) <= {"name", *_CHEAP.split(",")}
    found = [show(one) for one in _scope(call.mw, filters, full=full)]
    if options["extra"].get("holds"):
        for one in found:
            one["holds"] = {"truenas": 1} if one["properties"].get("userrefs", {}).get("parsed") else {}
    if options["extra"].get("retention"):
        _add_retention(call.mw, found)
    if call.mw.version >= "26":
        # plugins/pool_/snapshot.py: users' properties stand beside the others, and only where retention is asked for.
        for one in found:
            users = {key: one["properties"].pop(key)["rawvalue"] for key in list(one["properties"]) if ":" in key}
            one |= {"user_properties": users} if options["extra"].get("retention") else {}
    if wanted:
        for one in found:
            one["properties"] = {key: value for key, value in one["properties"].items() if key in wanted}
    # Whole fields only: no paths, no other names for them, as everywhere else in the API.
    select = options["select"]
    result = filter_list(found, filters, {**options, "select": []})
    if not select or not isinstance(result, (list, dict)):
        return result
    chosen = [{key: value for key, value in one.items() if key in select} for one in ([result] if isinstance(result, dict) else result)]
    return chosen[0] if isinstance(result, dict) else chosen


def _add_retention(mw: Middleware, found: list[Entry]) -> None:
    tasks = [task for task in mw.store.table("snapshottask") if task["enabled"]]
    for one in found:
        properties = {retention.DESTROY_AT: Value(one["properties"][retention.DESTROY_AT]["rawvalue"], "local")} \
            if retention.DESTROY_AT in one["properties"] else {}
        snapshot = Snapshot(one["id"], "", 0, int(one["createtxg"]), properties)
        dates = [(date, task["id"]) for task in tasks if (date := retention.owner_of_task(task).removal(snapshot)) is not None]
        fixed = retention.fixed_date(snapshot)
        one["retention"] = None
        if dates:
            date, number = max(dates)
            one["retention"] = {"datetime": date.astimezone(), "source": "periodic_snapshot_task", "periodic_snapshot_task_id": number}
        elif fixed:
            one["retention"] = {"datetime": fixed.astimezone(), "source": "property"}


def instance(mw: Middleware, name: str) -> Entry:
    """Return one snapshot. ValidationErrors (ENOENT) if it is not there."""
    found = [one for one in _scope(mw, [["id", "=", name]], full=True) if one.id == name] if "@" in name else []
    if not found:
        raise not_found("Snapshot", name)
    return show(found[0])


@snapshot_method("get_instance", InstanceArgs)
def get_instance(call: Call, name: str, options: Entry) -> Any:
    """One snapshot."""
    instance(call.mw, name)
    return query(call, [["id", "=", name]], {**options, "get": True})


@snapshot_method("create", CreateArgs)
def create(call: Call, data: Entry) -> Any:
    """Take a snapshot."""
    found = ValidationErrors()
    if ("name" in data) == ("naming_schema" in data):
        found.add("data.name", "Field required or Extra inputs are not permitted: give one of name and naming_schema")
    if data["exclude"] and not data["recursive"]:
        found.add("snapshot_create.exclude", "This option has no sense for non-recursive snapshots")
    name = data.get("name") or naming.make(data.get("naming_schema", ""), datetime.datetime.now())
    if not _NAME.fullmatch(name):
        found.add("snapshot_create.name", "Invalid snapshot name")
    found.check()
    take(call.mw, data["dataset"], name, data["recursive"], data["exclude"], {key: str(value) for key, value in data["properties"].items()})
    return instance(call.mw, f"{data['dataset']}@{name}")


def take(mw: Middleware, dataset: str, name: str, recursive: bool, exclude: list[str], properties: dict[str, str]) -> None:
    """Take a snapshot of a dataset or a tree. CallError."""
    options = [text for key, value in properties.items() for text in ("-o", f"{key}={value}")]
    try:
        if recursive and exclude:
            chosen = [one for one in mw.zfs.datasets(dataset) if not any(is_child(one, excluded) for excluded in exclude)]
            for one in chosen:
                mw.zfs.run("zfs", "snapshot", *options, f"{one}@{name}")
        else:
            mw.zfs.run("zfs", "snapshot", *(["-r"] if recursive else []), *options, f"{dataset}@{name}")
    except ZfsError as exc:
        code = errno.EEXIST if "already exists" in str(exc) else errno.ENOENT if "does not exist" in str(exc) else errno.EFAULT
        raise CallError(f"Failed to snapshot {dataset}@{name}: {exc}", code) from exc


def _family(mw: Middleware, name: str, recursive: bool) -> list[str]:
    """Return a snapshot and, if asked for, those of the same name below."""
    dataset, _, tail = name.partition("@")
    if not recursive:
        return [name]
    return [one.id for one in mw.zfs.snapshots(dataset, recursive=True) if one.name == tail]


def _is_held(mw: Middleware, name: str) -> bool:
    return mw.zfs.get(name, properties="userrefs")[name]["userrefs"].value not in ("-", "0")


@snapshot_method("delete", DeleteArgs)
def delete(call: Call, name: str, options: Entry) -> Any:
    """Delete a snapshot; one with clones only by ``defer``."""
    mw = call.mw
    instance(mw, name)
    family = _family(mw, name, options["recursive"])
    origins = mw.zfs.get(*mw.zfs.datasets(), properties="origin")
    clones = [dataset for dataset, found in origins.items() if found["origin"].value in family]
    if clones and not options["defer"]:
        found = ValidationErrors()
        found.add("options.defer", f"Please set this attribute as {name!r} snapshot has dependent clones: {', '.join(clones)}")
        raise found
    try:
        for one in family:
            if mw.version >= "26" and _is_held(mw, one):
                # plugins/zfs/destroy_impl.py: it lets go of holds and tries again.
                mw.zfs.run("zfs", "release", "truenas", one)
            mw.zfs.run("zfs", "destroy", *(["-d"] if options["defer"] else []), one)
    except ZfsError as exc:
        raise CallError(f"Failed to delete snapshot: {exc}", errno.EBUSY if exc.busy else errno.EFAULT) from exc
    return True


@snapshot_method("hold", HoldArgs)
def hold(call: Call, name: str, options: Entry) -> Any:
    """Keep a snapshot from being deleted (tag ``truenas``)."""
    instance(call.mw, name)
    try:
        call.mw.zfs.run("zfs", "hold", *(["-r"] if options["recursive"] else []), "truenas", name)
    except ZfsError as exc:
        raise CallError(f"Failed to hold snapshot: {exc}") from exc


@snapshot_method("release", HoldArgs)
def release(call: Call, name: str, options: Entry) -> Any:
    """Let go of a held snapshot."""
    instance(call.mw, name)
    try:
        call.mw.zfs.run("zfs", "release", *(["-r"] if options["recursive"] else []), "truenas", name)
    except ZfsError as exc:
        if "no such tag" not in str(exc):
            raise CallError(f"Failed to release snapshot: {exc}") from exc


@snapshot_method("clone", CloneArgs)
def clone(call: Call, data: Entry) -> Any:
    """Make a dataset out of a snapshot."""
    options = [text for key, value in data["dataset_properties"].items() for text in ("-o", f"{key}={value}")]
    try:
        call.mw.zfs.run("zfs", "clone", *options, data["snapshot"], data["dataset_dst"])
    except ZfsError as exc:
        raise CallError(f"Failed to clone snapshot: {exc}", errno.EEXIST if "already exists" in str(exc) else errno.EFAULT) from exc
    return True


@snapshot_method("rollback", RollbackArgs)
def rollback(call: Call, name: str, options: Entry) -> Any:
    """Bring a dataset back to a snapshot; later snapshots must go (``recursive``)."""
    instance(call.mw, name)
    flags = ["-R"] if options["recursive_clones"] else ["-r"] if options["recursive"] else []
    flags += ["-f"] if options["force"] else []
    try:
        for one in _family(call.mw, name, options["recursive_rollback"]):
            call.mw.zfs.retry("zfs", "rollback", *flags, one)
    except ZfsError as exc:
        raise CallError(f"Failed to rollback snapshot: {exc}", errno.EBUSY if exc.busy else errno.EFAULT) from exc


@snapshot_method("update", UpdateArgs)
def update(call: Call, name: str, data: Entry) -> Any:
    """Set or remove user properties."""
    instance(call.mw, name)
    for one in data["user_properties_update"]:
        call.mw.zfs.run("zfs", "set", f"{one['key']}={one['value']}", name)
    for key in data["user_properties_remove"]:
        call.mw.zfs.run("zfs", "inherit", key, name)
    return instance(call.mw, name)


@snapshot_method("rename", RenameArgs, since="25.10")
def rename(call: Call, name: str, options: Entry) -> Any:
    """Rename a snapshot; wants ``force``."""
    instance(call.mw, name)
    if not options["force"]:
        found = ValidationErrors()
        found.add("options.force", "No checks are performed when renaming ZFS resources. Set Force to continue.")
        raise found
    try:
        call.mw.zfs.run("zfs", "rename", name, options["new_name"])
    except ZfsError as exc:
        raise CallError(f"Failed to rename snapshot: {exc}") from exc
