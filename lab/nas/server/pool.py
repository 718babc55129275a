"""``pool``: made of sparse files that play disks. A pool the database knows and ZFS does not is OFFLINE, as on the real thing."""

from __future__ import annotations

import errno
import re
import time
from pathlib import Path
from typing import Any

from lab.nas.server import attachments, zpool
from lab.nas.server.disk import disks, path_of
from lab.nas.server.errors import CallError, ValidationErrors, not_found
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.pool_models import ChoicesArgs, CreateArgs, ExportArgs, ImportArgs, ScrubArgs, ScrubByNameArgs
from lab.nas.server.props import parse_size, shape
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import IdArgs, QueryArgs
from lab.nas.server.zfs import ZfsError, unmount_all

Entry = dict[str, Any]
_AUTOTRIM = {**shape("off", "off", "off", "default")}
_MINIMUM = {"STRIPE": 1, "MIRROR": 2, "RAIDZ1": 3, "RAIDZ2": 4, "RAIDZ3": 5}
ROOT_PROPERTIES = {"atime": "off", "aclinherit": "passthrough", "double:compression": "lz4", "compression": "lzjb", "double:acltype": "posix",
                   "double:aclmode": "discard", "double:xattr": "sa"}


def _offline(row: Entry) -> Entry:
    return {**_base(row), "status": "OFFLINE", "scan": None, "healthy": False, "status_code": None, "status_detail": None, "topology": None,
            **dict.fromkeys(("size", "allocated", "free", "freeing", "fragmentation", "size_str", "allocated_str", "free_str", "freeing_str"))}


def _base(row: Entry) -> Entry:
    return {"id": row["id"], "name": row["name"], "guid": row["guid"], "path": f"/mnt/{row['name']}", "expand": None, "is_upgraded": True, "warning": False,
            "dedup_table_size": 0, "dedup_table_quota": "auto", "autotrim": _AUTOTRIM}


def _online(mw: Middleware, row: Entry, health: str) -> Entry:
    text = mw.zfs.run("zpool", "status", row["name"])
    size, allocated, free = (parse_size(item) for item in mw.zfs.run("zpool", "list", "-H", "-o", "size,allocated,free", row["name"]).split())
    damaged = zpool.errors(text)
    return {
        **_base(row), "status": health, "scan": zpool.scan(text), "healthy": health == "ONLINE" and not damaged, "warning": damaged,
        "status_code": "OK" if health == "ONLINE" and not damaged else "ERR", "status_detail": _detail(text), "size": size, "allocated": allocated,
        "free": free, "freeing": 0, "fragmentation": "0", "size_str": str(size), "allocated_str": str(allocated), "free_str": str(free),
        "freeing_str": "0", "topology": zpool.topology(text),
    }


def _detail(text: str) -> str | None:
    found = re.search(r"^status: (.+?)^\S", text, re.MULTILINE | re.DOTALL)
    return " ".join(found[1].split()) if found else None


def entries(mw: Middleware) -> list[Entry]:
    """Return all pools of the database."""
    health = mw.zfs.pools()
    return [_online(mw, row, health[row["name"]]) if row["name"] in health else _offline(row) for row in mw.store.table("pool")]


@method("pool.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """Pools."""
    return filter_list(entries(call.mw), filters, options)


def instance(mw: Middleware, key: int) -> Entry:
    """Return a pool by id. ValidationErrors (ENOENT) if the database has none."""
    found = next((one for one in entries(mw) if one["id"] == key), None)
    if found is None:
        raise not_found("Pool", key)
    return found


@method("pool.get_instance", IdArgs)
def get_instance(call: Call, key: int) -> Any:
    """One pool."""
    return instance(call.mw, key)


@method("pool.attachments", IdArgs)
def attached(call: Call, key: int) -> Any:
    """What hangs on a pool."""
    return attachments.show(call.mw, instance(call.mw, key)["name"])


@method("pool.processes", IdArgs)
def processes(call: Call, key: int) -> Any:
    """Processes that use the pool: the double knows none."""
    instance(call.mw, key)
    return []


@method("pool.filesystem_choices", ChoicesArgs)
def filesystem_choices(call: Call, types: list[Any]) -> Any:
    """Names of datasets."""
    return call.mw.zfs.datasets()


def _check_create(mw: Middleware, data: Entry) -> None:
    found, topology = ValidationErrors(), data["topology"]
    if any(row["name"] == data["name"] for row in mw.store.table("pool")):
        found.add("pool_create.name", "A pool with this name already exists.", errno.EEXIST)
    if not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9_.:-]*", data["name"]) or re.match(r"(mirror|raidz|draid|spare|log|c\d)", data["name"]):
        found.add("pool_create.name", "Invalid pool name", errno.EINVAL)
    if data["encryption"]:
        found.add("pool_create.encryption", "This double cannot encrypt: see lab/nas/README.md")
    if topology["special"] or topology["dedup"]:
        found.add("pool_create.topology", "This double has no special or dedup vdevs: see lab/nas/README.md")
    kinds = {vdev["type"] for vdev in topology["data"]}
    if len(kinds) > 1:
        found.add("pool_create.topology", f"You are not allowed to create a pool with different data vdev types ({', '.join(sorted(kinds))}).")
    for index, vdev in enumerate(topology["data"]):
        if len(vdev["disks"]) < _MINIMUM[vdev["type"]]:
            found.add(f"pool_create.topology.data.{index}.disks", f"You need at least {_MINIMUM[vdev['type']]} disk(s) for this vdev type.")
    _check_disks(mw, found, topology)
    found.check()


def _check_disks(mw: Middleware, found: ValidationErrors, topology: Entry) -> None:
    names = [disk for kind in ("data", "log", "cache") for vdev in topology[kind] for disk in vdev["disks"]] + topology["spares"]
    known = {one["name"]: one["pool"] for one in disks(mw)}
    missing = [name for name in names if name not in known]
    if missing:
        found.add("pool_create.topology", f"The following disks were not found in system: {','.join(missing)}.")
    used = [name for name in names if known.get(name)]
    if used:
        found.add("pool_create.topology", f"The following disks are already in use: {','.join(used)}.")
    if len(set(names)) != len(names):
        found.add("pool_create.topology", f"The following disks are used more than once: {','.join(sorted({n for n in names if names.count(n) > 1}))}.")


def _vdevs(mw: Middleware, topology: Entry) -> list[str]:
    words: list[str] = []
    for kind, keyword in (("data", None), ("log", "log"), ("cache", "cache")):
        for vdev in topology[kind]:
            words += [keyword] if keyword else []
            words += [] if vdev["type"] == "STRIPE" else [vdev["type"].lower()]
            words += [path_of(mw, disk) for disk in vdev["disks"]]
    return words + (["spare", *(path_of(mw, disk) for disk in topology["spares"])] if topology["spares"] else [])


@method("pool.create", CreateArgs, job=True, lock="pool")
def create(call: Call, data: Entry) -> Any:
    """Make a pool."""
    mw = call.mw
    _check_create(mw, data)
    call.progress(50, "Creating ZFS Pool")
    properties = ROOT_PROPERTIES | ({"dedup": data["deduplication"].lower()} if data["deduplication"] else {})
    if data["checksum"]:
        properties = properties | {"double:checksum": data["checksum"].lower()}
    options = [text for key, value in properties.items() for text in ("-O", f"{key}={value}")]
    at = Path("/mnt", data["name"])
    _clear_mountpoint(mw, data["name"])
    try:
        # -f: what is left on the disks of an earlier pool is gone with it; the real thing wipes them.
        mw.zfs.run("zpool", "create", "-f", "-m", str(at), *options, data["name"], *_vdevs(mw, data["topology"]))
    except ZfsError as exc:
        raise CallError(f"Failed to create ZFS Pool: {exc}") from exc
    row = mw.store.insert("pool", {"name": data["name"], "guid": _guid(mw, data["name"])})
    mw.publish("pool.query", "added", row["id"], {})
    return instance(mw, row["id"])


def _clear_mountpoint(mw: Middleware, name: str) -> None:
    """Remove the directory an earlier pool was mounted on; what somebody wrote there without a pool is put aside."""
    at = Path("/mnt", name)
    if not at.exists() or at.is_mount():
        return
    if any(at.iterdir()):
        aside = mw.dir / "stale"
        aside.mkdir(exist_ok=True)
        (mw.dir / "mnt" / name).rename(aside / f"{name}-{time.time_ns()}")
    else:
        at.rmdir()


def _guid(mw: Middleware, name: str) -> str:
    return mw.zfs.run("zpool", "list", "-H", "-o", "guid", name).strip()


@method("pool.export", ExportArgs, job=True, lock="pool")
def export(call: Call, key: int, options: Entry) -> Any:
    """Export or destroy a pool and forget it. Attached tasks are switched off, or deleted with ``cascade``."""
    mw = call.mw
    pool = instance(mw, key)
    name = pool["name"]
    if pool["status"] != "OFFLINE":
        call.progress(50, "Cleaning up attachments")
    if options["cascade"]:
        attachments.delete(mw, name)
    else:
        _switch_off(mw, name)
    if pool["status"] != "OFFLINE":
        call.progress(80, "Destroying pool" if options["destroy"] else "Exporting pool")
        _take_away(mw, name, destroy=options["destroy"])
        _clear_mountpoint(mw, name)
    mw.store.delete("pool", key)
    mw.publish("pool.query", "removed", key, {})


def _switch_off(mw: Middleware, name: str) -> None:
    """Switch off what hangs on a pool and remember it for the pool's import."""
    known = mw.store.value(f"enable_on_import.{name}", {})
    off = attachments.toggle(mw, name, False)
    mw.store.set_value(f"enable_on_import.{name}", {table: sorted({*known.get(table, []), *ids}) for table, ids in off.items()})


def _take_away(mw: Middleware, name: str, *, destroy: bool) -> None:
    """Unmount everything, then destroy or export. CallError (EBUSY) while a file is open, and then all is as before.

    Unmounting comes first and without force: zfs-fuse, forced off a file system with open files, keeps the pool busy for ever.
    """
    action = "destroy" if destroy else "export"
    try:
        unmount_all(mw.zfs, name)
        # What was unmounted is let go of when the last process ends that got a copy of the mounts: on a busy machine, seconds later.
        mw.zfs.retry("zpool", action, "-f", name, seconds=30)
    except ZfsError as exc:
        raise CallError(f"Failed to {action} pool {name}: {exc}", errno.EBUSY if exc.busy else errno.EFAULT) from exc


@method("pool.import_find", job=True)
def import_find(call: Call) -> Any:
    """Pools on the disks that are not imported."""
    try:
        text = call.mw.zfs.run("zpool", "import", "-d", str(call.mw.dir / "disks"))
    except ZfsError as exc:
        if "no pools available" in str(exc):
            return []
        raise CallError(f"Failed to search for pools: {exc}") from exc
    found = re.findall(r"^\s*pool: (\S+)\n\s+id: (\d+)\n\s+state: (\S+)", text, re.MULTILINE)
    return [{"name": name, "guid": guid, "status": state, "hostname": call.mw.config["name"]} for name, guid, state in found]


@method("pool.import_pool", ImportArgs, job=True, lock="pool")
def import_pool(call: Call, data: Entry) -> Any:
    """Import a pool found on the disks; tasks that its export switched off come back."""
    mw = call.mw
    found = next((one for one in import_find(call) if one["guid"] == data["guid"]), None)
    if found is None:
        raise CallError(f"Pool with guid \"{data['guid']}\" was not found", errno.ENOENT)
    name = data["name"] or found["name"]
    try:
        mw.zfs.run("zpool", "import", "-f", "-d", str(mw.dir / "disks"), data["guid"], name)
    except ZfsError as exc:
        raise CallError(f"Failed to import {found['name']!r} pool: {exc}") from exc
    mw.store.insert("pool", {"name": name, "guid": data["guid"]})
    for table, ids in mw.store.value(f"enable_on_import.{name}", {}).items():
        for key in ids if data["enable_attachments"] else []:
            if mw.store.find(table, key):
                mw.store.update(table, key, {"enabled": True})
    return True


def _scrub(call: Call, name: str, action: str) -> None:
    mw = call.mw
    try:
        mw.zfs.run("zpool", "scrub", *([] if action == "START" else ["-s"]), name)
    except ZfsError as exc:
        raise CallError(str(exc), errno.EBUSY if "currently scrubbing" in str(exc) else errno.EFAULT) from exc
    while action == "START":
        state = zpool.scan(mw.zfs.run("zpool", "status", name)) or {"state": "SCANNING", "percentage": 0.0}
        if state["state"] != "SCANNING":
            return
        call.progress(state["percentage"], "Scrubbing")
        if call.job:
            call.job.check()
        time.sleep(0.5)


@method("pool.scrub", ScrubArgs, job=True, abortable=True)
def scrub(call: Call, key: int, action: str) -> Any:
    """Scrub a pool and wait for the end."""
    _scrub(call, instance(call.mw, key)["name"], action)


@method("pool.scrub.scrub", ScrubByNameArgs, job=True, abortable=True)
def scrub_by_name(call: Call, name: str, action: str) -> Any:
    """Scrub a pool by name and wait for the end."""
    _scrub(call, name, action)


@method("pool.get_disks", IdArgs)
def get_disks(call: Call, key: int) -> Any:
    """The disks of a pool."""
    name = instance(call.mw, key)["name"]
    return [one["name"] for one in disks(call.mw) if one["pool"] == name]
