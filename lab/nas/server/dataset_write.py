"""``pool.dataset``: create, update, delete, rename, promote."""

from __future__ import annotations

import errno
from typing import Any

from lab.nas.server import attachments, encryption_state, props
from lab.nas.server.dataset import Entry, instance
from lab.nas.server.dataset_models import CreateArgs, DeleteArgs, RenameArgs, UpdateArgs
from lab.nas.server.errors import CallError, ValidationErrors
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.registry import method
from lab.nas.server.schema import NameArgs
from lab.nas.server.zfs import ZfsError, unmount_all

MAX_NAME = 200
_SHARE_TYPES: dict[str, Entry] = {
    "GENERIC": {}, "SMB": {"casesensitivity": "INSENSITIVE", "acltype": "NFSV4", "aclmode": "RESTRICTED"},
    **dict.fromkeys(("NFS", "APPS", "MULTIPROTOCOL"), {"atime": "OFF", "acltype": "NFSV4", "aclmode": "PASSTHROUGH"}),
}
_NOT_PROPERTIES = {"name", "type", "share_type", "encryption", "encryption_options", "inherit_encryption", "user_properties", "user_properties_update",
                   "create_ancestors", "force_size", "sparse", "volsize", "volblocksize"}


def _check_common(found: ValidationErrors, schema: str, data: Entry, current: Entry | None) -> None:
    """The plugin's rules on values, the same for create and update."""
    if "recordsize" in data and data["recordsize"] not in (*props.RECORDSIZES, "INHERIT"):
        found.add(f"{schema}.recordsize", f"'{data['recordsize']}' is an invalid recordsize.")
    if isinstance(data.get("copies"), int) and data["copies"] not in (1, 2, 3):
        found.add(f"{schema}.copies", "'copies' must be 1, 2 or 3")
    acltype = data.get("acltype") or (current["acltype"]["value"] if current and "acltype" in current else "POSIX")
    aclmode = data.get("aclmode")
    if aclmode and aclmode != "INHERIT" and acltype in ("POSIX", "OFF") and aclmode != "DISCARD":
        found.add(f"{schema}.aclmode", "Must be set to DISCARD when acltype is POSIX or OFF")
    if data.get("acltype") == "NFSV4" and (aclmode or (current["aclmode"]["value"] if current and "aclmode" in current else "")) == "DISCARD":
        found.add(f"{schema}.aclmode", "DISCARD aclmode may not be set for NFSv4 acl type")


def _check_name(mw: Middleware, found: ValidationErrors, data: Entry) -> None:
    name, field = data["name"], "pool_dataset_create.name"
    parent = name.rpartition("/")[0]
    if not parent:
        found.add(field, "You need a full name, e.g. pool/newdataset")
    elif len(name) > MAX_NAME:
        found.add(field, f"Dataset name must not exceed {MAX_NAME} characters")
    elif mw.zfs.exists(name):
        found.add(field, f"Path {name} already exists", errno.EEXIST)
    elif not mw.zfs.exists(parent):
        if not data["create_ancestors"] or not mw.zfs.exists(name.partition("/")[0]):
            found.add(field, f"Parent dataset {parent} does not exist", errno.ENOENT)
    elif instance(mw, parent)["readonly"]["parsed"]:
        found.add(field, f"Turn off readonly mode on {parent} to create {name}")
    elif instance(mw, parent)["type"] == "VOLUME":
        found.add(field, "Cannot create dataset under a volume")


def _check_volume(mw: Middleware, found: ValidationErrors, schema: str, name: str, data: Entry, block: str) -> None:
    if data["volsize"] % props.parse_size(block):
        found.add(f"{schema}.volsize", "Volume size should be a multiple of volume block size")
    parent = name.rpartition("/")[0]
    above = mw.zfs.get(parent, properties="available") if mw.zfs.exists(parent) else {}
    available = int(above[parent]["available"].value) if above else 0
    if mw.zfs.exists(name):
        available += int(mw.zfs.get(name, properties="used")[name]["used"].value)
    if data["volsize"] > available * 0.8 and not data.get("force_size"):
        found.add(f"{schema}.volsize", "It is not recommended to use more than 80% of your available space for VOLUME")


def _properties(data: Entry, *, creating: bool) -> dict[str, str | None]:
    """Translate the fields of a call; on creation there is nothing to inherit away."""
    result: dict[str, str | None] = {}
    for name, value in data.items():
        if name not in _NOT_PROPERTIES:
            result.update(props.to_zfs(name, value))
    for one in data.get("user_properties") or []:
        result[one["key"]] = one["value"]
    return {key: value for key, value in result.items() if value is not None} if creating else result


@method("pool.dataset.create", CreateArgs)
def create(call: Call, data: Entry) -> Any:
    """Create a file system, or a volume (a directory with a sparse file here)."""
    mw, found = call.mw, ValidationErrors()
    _check_name(mw, found, data)
    encryption_state.check_creation(mw, found, data)
    _check_common(found, "pool_dataset_create", data, None)
    volume = data["type"] == "VOLUME"
    block = data.get("volblocksize", "16K")
    if volume and "/" in data["name"]:
        _check_volume(mw, found, "pool_dataset_create", data["name"], data, block)
    found.check()
    defaults = {} if volume else {key: value for key, value in _SHARE_TYPES[data["share_type"]].items() if key not in data}
    settings = _properties({**defaults, **data}, creating=True)
    if volume:
        settings |= {"double:type": "volume", "double:volsize": str(data["volsize"]), "double:volblocksize": block}
        settings |= {} if data.get("sparse") else {"refreservation": str(data["volsize"])}
    options = [text for key, value in settings.items() for text in ("-o", f"{key}={value}")]
    try:
        mw.zfs.run("zfs", "create", *(["-p"] if data["create_ancestors"] else []), *options, data["name"])
    except ZfsError as exc:
        raise CallError(f"Failed to create dataset: {exc}") from exc
    _check_mounted(mw, data["name"])
    if volume:
        with open(mw.mnt / data["name"] / "vol.img", "wb") as stream:
            stream.truncate(data["volsize"])
    if data["encryption"]:
        encryption_state.store_key(mw, data["name"], data["encryption_options"])
    return instance(mw, data["name"])


def _check_mounted(mw: Middleware, name: str) -> None:
    """zfs-fuse may say 'created' and not have mounted it: mount it or say so."""
    if mw.zfs.get(name, properties="mounted")[name]["mounted"].value != "yes":
        try:
            mw.zfs.run("zfs", "mount", name)
        except ZfsError as exc:
            raise CallError(f"Dataset {name} was created, but not mounted: {exc}") from exc


@method("pool.dataset.update", UpdateArgs)
def update(call: Call, name: str, data: Entry) -> Any:
    """Set what is given, inherit what is INHERIT, leave the rest."""
    mw, found, schema = call.mw, ValidationErrors(), "pool_dataset_update"
    current = instance(mw, name)
    if "user_properties" in data and "user_properties_update" in data:
        found.add(f"{schema}.user_properties_update", "Should not be specified when \"user_properties\" are explicitly specified")
    for index, one in enumerate(data.get("user_properties_update", [])):
        if ("value" in one) == bool(one.get("remove")):
            found.add(f"{schema}.user_properties_update.{index}", "Either \"value\" or \"remove\" must be specified")
    volume = current["type"] == "VOLUME"
    for field in ("quota", "refquota", "recordsize", "aclmode", "acltype", "atime") if volume else ("volsize", "force_size"):
        if field in data:
            found.add(f"{schema}.{field}", f"This field is not valid for {current['type']}")
    if volume and "volsize" in data:
        _check_volume(mw, found, schema, name, data, current["volblocksize"]["rawvalue"])
        if data["volsize"] < current["volsize"]["parsed"]:
            found.add(f"{schema}.volsize", "You cannot shrink a zvol from GUI, this may lead to data loss.")
    _check_common(found, schema, data, current)
    found.check()
    changes = _properties(data, creating=False)
    changes |= {one["key"]: None if one.get("remove") else one["value"] for one in data.get("user_properties_update", [])}
    if "user_properties" in data:
        changes |= {key: None for key in current["user_properties"] if key not in {one["key"] for one in data["user_properties"]}}
    if volume and "volsize" in data:
        changes["double:volsize"] = str(data["volsize"])
    _apply(mw, name, changes)
    return instance(mw, name)


def _apply(mw: Middleware, name: str, changes: dict[str, str | None]) -> None:
    try:
        for key, value in changes.items():
            mw.zfs.retry("zfs", *(["inherit", key] if value is None else ["set", f"{key}={value}"]), name)
    except ZfsError as exc:
        raise CallError(f"Failed to update dataset: {exc}") from exc


@method("pool.dataset.delete", DeleteArgs)
def delete(call: Call, name: str, options: Entry) -> Any:
    """Destroy a dataset and everything attached to it; of a pool's root, the children only."""
    mw = call.mw
    instance(mw, name)
    below = [one for one in mw.zfs.datasets(name) if one != name]
    if below and not options["recursive"]:
        raise CallError(f"Failed to delete dataset: cannot destroy {name!r}: filesystem has children", errno.ENOTEMPTY)
    victims = [one for one in below if one.count("/") == 1] if "/" not in name else [name]
    if "/" not in name and not victims:
        raise CallError(f"Failed to delete dataset: cannot destroy {name!r}: operation does not apply to pools", errno.EINVAL)
    for victim in victims:
        attachments.delete(mw, victim)
        _destroy(mw, victim, recursive=options["recursive"])
        encryption_state.forget(mw, victim)
    return True


def _destroy(mw: Middleware, name: str, *, recursive: bool) -> None:
    """Unmount first: a recursive destroy that then finds a busy dataset would already have deleted all its snapshots."""
    if not recursive and mw.zfs.snapshots(name):
        raise CallError(f"Failed to delete dataset: cannot destroy {name!r}: filesystem has children", errno.ENOTEMPTY)
    try:
        unmount_all(mw.zfs, name)
        mw.zfs.retry("zfs", "destroy", *(["-r"] if recursive else []), name)
    except ZfsError as exc:
        mw.zfs.run("zfs", "mount", "-a")
        code = errno.EBUSY if exc.busy else errno.ENOTEMPTY if "has children" in str(exc) else errno.EFAULT
        raise CallError(f"Failed to delete dataset: {exc}", code) from exc


@method("pool.dataset.rename", RenameArgs, since="25.10")
def rename(call: Call, name: str, data: Entry) -> Any:
    """Rename a dataset; wants ``force``, since nothing follows to the new name."""
    instance(call.mw, name)
    found = ValidationErrors()
    if not data["force"]:
        found.add("pool.dataset.rename.force", "No checks are performed when renaming ZFS resources. Set Force to continue.")
    if call.mw.zfs.exists(data["new_name"]):
        found.add("pool.dataset.rename.new_name", f"{data['new_name']} already exists", errno.EEXIST)
    found.check()
    try:
        # zfs-fuse does not move a mount: take it away and make it anew.
        unmount_all(call.mw.zfs, name)
        call.mw.zfs.retry("zfs", "rename", name, data["new_name"])
        for one in call.mw.zfs.datasets(data["new_name"]):
            _check_mounted(call.mw, one)
    except ZfsError as exc:
        call.mw.zfs.run("zfs", "mount", "-a")
        raise CallError(f"Failed to rename dataset: {exc}") from exc


@method("pool.dataset.promote", NameArgs)
def promote(call: Call, name: str) -> Any:
    """Make a clone independent of where it came from."""
    if not instance(call.mw, name)["origin"]["value"]:
        raise CallError("Only cloned filesystems can be promoted.", errno.EBADMSG)
    call.mw.zfs.run("zfs", "promote", name)
