"""``pool.dataset``: reading."""

from __future__ import annotations

from typing import Any

from lab.nas.server import attachments, encryption_state, props
from lab.nas.server.errors import not_found
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import Model, NameArgs, QueryArgs, QueryOptions
from lab.nas.server.zfs import Value

Entry = dict[str, Any]
HIDDEN = (".system", "ix-apps", ".ix-virt")


def entry_of(mw: Middleware, name: str, found: dict[str, Value]) -> Entry:
    """Return one dataset as the API shows it, without children."""
    volume = found.get("double:type") == Value("volume", "local")
    shown = props.show(found)
    if volume:
        size, block = int(found["double:volsize"].value), found["double:volblocksize"].value
        shown |= {"volsize": props.shape(size, str(size), props.bytes_text(size), "local"), "volblocksize": props.shape(block, block, block, "local")}
        for key in ("quota", "refquota", "recordsize", "aclmode", "acltype", "atime", "exec", "casesensitivity"):
            shown.pop(key, None)
    mounted = found.get("mounted", Value("no", "-")).value == "yes"
    return {
        "id": name, "type": "VOLUME" if volume else "FILESYSTEM", "name": name, "pool": name.partition("/")[0], **encryption_state.show(mw, name),
        "children": [], "user_properties": props.user_properties(found, mw.version), **shown,
        "mountpoint": None if volume or not mounted else found["mountpoint"].value,
    }


def hidden(name: str) -> bool:
    """Say whether the API keeps quiet about a dataset."""
    return any(part in HIDDEN for part in name.split("/")[1:])


def entries(mw: Middleware, below: str | None = None, *, wanted: set[str] | None = None) -> list[Entry]:
    """Return all datasets (at and below one; those wanted and all below them), flat, parents first, each with its children inside."""
    names = [name for name in mw.zfs.datasets(below) if not hidden(name)]
    if wanted is not None:
        names = [name for name in names if any(name == one or name.startswith(f"{one}/") for one in wanted)]
    found = mw.zfs.get(*names) if names else {}
    flat = [entry_of(mw, name, found[name]) for name in names if name in found]
    by_name = {entry["id"]: entry for entry in flat}
    for entry in flat:
        parent = by_name.get(entry["id"].rpartition("/")[0])
        if parent is not None:
            parent["children"].append(entry)
    return flat


def _wanted_id(filters: list[Any]) -> str | None:
    """Return the dataset if the filters ask for exactly one: reading all properties of all datasets takes long."""
    return next((str(one[2]) for one in filters if isinstance(one, list) and len(one) == 3 and one[0] in ("id", "name") and one[1] == "="), None)


def _extras(mw: Middleware, flat: list[Entry], extra: Entry) -> list[Entry]:
    if extra.get("properties") is not None:
        keep = {*extra["properties"], *(name for name, zfs in props.NATIVE.items() if zfs in extra["properties"])}
        unwanted = {*props.NATIVE, *props.SHADOWED, *props.USER, "volsize", "volblocksize"} - keep
        flat = [{key: value for key, value in entry.items() if key not in unwanted} for entry in flat]
    if extra.get("snapshots") or extra.get("snapshots_count"):
        for entry in flat:
            taken = mw.zfs.snapshots(entry["id"])
            if extra.get("snapshots"):
                entry["snapshots"] = [{"id": one.id, "name": one.id, "snapshot_name": one.name, "dataset": one.dataset, "pool": entry["pool"],
                                       "type": "SNAPSHOT", "createtxg": str(one.createtxg)} for one in taken]
            if extra.get("snapshots_count"):
                entry["snapshot_count"] = len(taken)
    if extra.get("retrieve_user_props") is False:
        flat = [{key: value for key, value in entry.items() if key != "user_properties"} for entry in flat]
    if extra.get("retrieve_children") is False:
        flat = [{key: value for key, value in entry.items() if key != "children"} for entry in flat]
    return flat if extra.get("flat", True) else [entry for entry in flat if "/" not in entry["id"]]


@method("pool.dataset.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """Datasets, flat by default."""
    wanted = _wanted_id(filters)
    if wanted is not None and not call.mw.zfs.exists(wanted):
        return filter_list([], filters, options)
    several = next((one[2] for one in filters if isinstance(one, list) and len(one) == 3 and one[0] in ("id", "name") and one[1] == "in"), None)
    chosen = {str(name) for name in several} if isinstance(several, list) else None
    return filter_list(_extras(call.mw, entries(call.mw, wanted, wanted=chosen), options["extra"]), filters, options)


def instance(mw: Middleware, name: str) -> Entry:
    """Return one dataset with its children. ValidationErrors (ENOENT) if it is not there."""
    if "@" in name or not name or hidden(name) or not mw.zfs.exists(name):
        raise not_found("PoolDataset", name)
    return entries(mw, name)[0]


class InstanceArgs(Model):
    """Arguments of ``get_instance`` on something with a name."""

    id: str
    options: QueryOptions = QueryOptions()


@method("pool.dataset.get_instance", InstanceArgs)
def get_instance(call: Call, name: str, options: Entry) -> Any:
    """One dataset."""
    instance(call.mw, name)
    return filter_list(_extras(call.mw, entries(call.mw, name), options["extra"]), [["id", "=", name]], {**options, "get": True})


@method("pool.dataset.attachments", NameArgs)
def attached(call: Call, name: str) -> Any:
    """What deleting this dataset would take with it."""
    instance(call.mw, name)
    return attachments.show(call.mw, name)


@method("pool.dataset.processes", NameArgs)
def processes(call: Call, name: str) -> Any:
    """Processes that use the dataset: the double knows none."""
    instance(call.mw, name)
    return []


@method("pool.dataset.compression_choices")
def compression_choices(call: Call) -> Any:
    """Compression algorithms."""
    return {name: name for name in props.COMPRESSIONS}


@method("pool.dataset.checksum_choices")
def checksum_choices(call: Call) -> Any:
    """Checksums."""
    return {name: name for name in props.CHECKSUMS if name != "OFF"}


class PoolNameArgs(Model):
    """Arguments of ``recordsize_choices``."""

    pool_name: str | None = None


@method("pool.dataset.recordsize_choices", PoolNameArgs)
def recordsize_choices(call: Call, pool_name: str | None) -> Any:
    """Record sizes."""
    return [size for size in props.RECORDSIZES if size != "512B"]
