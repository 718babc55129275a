"""``iscsi.*``: portals, initiators, extents, targets and LUNs with the rules of ``plugins/iscsi_``. Nothing is served; sessions are told to it."""

from __future__ import annotations

import errno
import hashlib
import ipaddress
import secrets
import uuid
from typing import Any

from lab.nas.server.errors import CallError, ValidationErrors, not_found
from lab.nas.server.iscsi_models import (
    AuthArgs, ExtentArgs, ExtentDeleteArgs, ExtentUpdateArgs, InitiatorArgs, InitiatorUpdateArgs, MappingArgs, MappingDeleteArgs, MappingUpdateArgs,
    PortalArgs, PortalUpdateArgs, SessionArgs, TargetArgs, TargetDeleteArgs, TargetUpdateArgs)
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import IdArgs, QueryArgs
from lab.nas.server.sharing import is_locked
from lab.nas.server.zfs import Value

Entry = dict[str, Any]
BASENAME, PORT, MAX_LUN = "iqn.2005-10.org.freenas.ctl", 3260, 16382
_NAMES = {"iscsi_portal": "iSCSIPortal", "iscsi_initiator": "iSCSITargetAuthorizedInitiator", "iscsi_auth": "iSCSITargetAuthCredential",
          "iscsi_extent": "iSCSITargetExtent", "iscsi_target": "iSCSITarget", "iscsi_targetextent": "iSCSITargetToExtent"}


def _get(mw: Middleware, table: str, key: int) -> Entry:
    found = mw.store.find(table, key)
    if found is None:
        raise not_found(_NAMES[table], key)
    return found


def _show(mw: Middleware, table: str, entry: Entry) -> Entry:
    if table == "iscsi_extent":
        shown = {**entry, "locked": is_locked(mw, entry["path"] or "")}
        return shown if mw.version >= "25.10" else {key: value for key, value in shown.items() if key != "product_id"}
    return entry


def _register(table: str) -> None:
    """Register query and get_instance of a table."""
    service = table.replace("_", ".", 1)

    def query(call: Call, filters: list[Any], options: Entry) -> Any:
        return filter_list([_show(call.mw, table, entry) for entry in call.mw.store.table(table)], filters, options)

    def get_instance(call: Call, key: int) -> Any:
        return _show(call.mw, table, _get(call.mw, table, key))

    method(f"{service}.query", QueryArgs)(query)
    method(f"{service}.get_instance", IdArgs)(get_instance)


for _table in _NAMES:
    _register(_table)


@method("iscsi.global.config")
def config(call: Call) -> Any:
    """Settings of the service."""
    return {"id": 1, "basename": BASENAME, "isns_servers": [], "listen_port": PORT, "pool_avail_threshold": None, "alua": False, "iser": False}


@method("iscsi.global.sessions", QueryArgs)
def sessions(call: Call, filters: list[Any], options: Entry) -> Any:
    """Sessions, as ``lab.iscsi_session`` told them."""
    return filter_list([{
        "initiator": one["initiator"], "initiator_addr": "192.0.2.1", "initiator_alias": None, "target": f"{BASENAME}:{one['target']}",
        "target_alias": one["target"], "header_digest": None, "data_digest": None, "max_data_segment_length": 262144,
        "max_receive_data_segment_length": 262144, "max_xmit_data_segment_length": 262144, "max_burst_length": 1048576, "first_burst_length": 65536,
        "immediate_data": True, "iser": False, "offload": False} for one in call.mw.store.value("iscsi_sessions", [])], filters, options)


@method("lab.iscsi_session", SessionArgs)
def session(call: Call, target: str, initiator: str, present: bool) -> Any:
    """The double's own: an initiator logs in to a target, or out."""
    others = [one for one in call.mw.store.value("iscsi_sessions", []) if one != {"target": target, "initiator": initiator}]
    call.mw.store.set_value("iscsi_sessions", others + ([{"target": target, "initiator": initiator}] if present else []))


def _in_use(mw: Middleware, targets: list[int]) -> list[str]:
    names = {entry["name"] for entry in mw.store.table("iscsi_target") if entry["id"] in targets}
    return [f"{BASENAME}:{one['target']}" for one in mw.store.value("iscsi_sessions", []) if one["target"] in names]


# -- portals, initiators, credentials -------------------------------------------------------------------------------------


def _check_portal(mw: Middleware, schema: str, data: Entry, key: int | None = None) -> None:
    found = ValidationErrors()
    if not data["listen"]:
        found.add(f"{schema}.listen", "At least one listen entry is required.")
    for one in data["listen"]:
        if any(other["ip"] == one["ip"] for entry in mw.store.table("iscsi_portal") if entry["id"] != key for other in entry["listen"]):
            found.add(f"{schema}.listen", f"{one['ip']!r} IP is already in use.")
        if one["ip"] not in ("0.0.0.0", "::", mw.config["address"]):
            found.add(f"{schema}.listen", f"IP {one['ip']} not configured on this system.")
    found.check()
    data["listen"] = [{"ip": one["ip"], "port": PORT} for one in data["listen"]]


@method("iscsi.portal.create", PortalArgs)
def portal_create(call: Call, data: Entry) -> Any:
    """Listen somewhere."""
    _check_portal(call.mw, "iscsiportal_create", data)
    return call.mw.store.insert("iscsi_portal", {**data, "tag": len(call.mw.store.table("iscsi_portal")) + 1})


@method("iscsi.portal.update", PortalUpdateArgs)
def portal_update(call: Call, key: int, data: Entry) -> Any:
    """Change a portal."""
    new = {**_get(call.mw, "iscsi_portal", key), **data}
    _check_portal(call.mw, "iscsiportal_update", new, key)
    return call.mw.store.update("iscsi_portal", key, new)


@method("iscsi.portal.delete", IdArgs)
def portal_delete(call: Call, key: int) -> Any:
    """Delete a portal; the groups of targets that name it go too."""
    _get(call.mw, "iscsi_portal", key)
    for target in call.mw.store.table("iscsi_target"):
        target["groups"] = [group for group in target["groups"] if group["portal"] != key]
    call.mw.store.delete("iscsi_portal", key)
    return True


@method("iscsi.initiator.create", InitiatorArgs)
def initiator_create(call: Call, data: Entry) -> Any:
    """Make a group of initiators."""
    return call.mw.store.insert("iscsi_initiator", data)


@method("iscsi.initiator.update", InitiatorUpdateArgs)
def initiator_update(call: Call, key: int, data: Entry) -> Any:
    """Change a group of initiators."""
    _get(call.mw, "iscsi_initiator", key)
    return call.mw.store.update("iscsi_initiator", key, data)


@method("iscsi.initiator.delete", IdArgs)
def initiator_delete(call: Call, key: int) -> Any:
    """Delete a group of initiators."""
    call.mw.store.delete("iscsi_initiator", _get(call.mw, "iscsi_initiator", key)["id"])
    return True


@method("iscsi.auth.create", AuthArgs)
def auth_create(call: Call, data: Entry) -> Any:
    """Make a CHAP credential."""
    return call.mw.store.insert("iscsi_auth", data)


# -- extents --------------------------------------------------------------------------------------------------------------


def _check_extent(mw: Middleware, schema: str, data: Entry, key: int | None = None) -> None:
    found, others = ValidationErrors(), [entry for entry in mw.store.table("iscsi_extent") if entry["id"] != key]
    if mw.version < "25.10" and "product_id" in data and key is None:
        found.add("iscsi_extent_create.product_id", "Extra inputs are not permitted")
    if '"' in data["name"]:
        found.add(f"{schema}.name", "Double quotes are not allowed")
    if any(entry["name"] == data["name"] for entry in others):
        found.add(f"{schema}.name", "Extent name must be unique")
    if len(data["serial"]) > 20:
        found.add(f"{schema}.serial", "Extent serial can not exceed 20 characters")
    if any(entry["serial"] == data["serial"] for entry in others):
        found.add(f"{schema}.serial", "Serial number must be unique")
    if data["type"] == "FILE":
        found.add(f"{schema}.type", "This double has extents of type DISK only: see lab/nas/README.md")
    elif not data["disk"]:
        found.add(f"{schema}.disk", "This field is required")
    elif not data["disk"].startswith("zvol/"):
        found.add(f"{schema}.disk", 'Disk name must start with "zvol/"')
    else:
        name = data["disk"].removeprefix("zvol/").replace("+", " ")
        if not mw.zfs.exists(name) or mw.zfs.get(name)[name].get("double:type") != Value("volume", "local"):
            found.add(f"{schema}.disk", f"Device '/dev/{data['disk']}' for volume {name!r} does not exist")
        used = next((entry["name"] for entry in others if entry["disk"] == data["disk"]), None)
        if used:
            found.add(f"{schema}.disk", f"Disk currently in use by extent {used}")
    found.check()
    data["path"] = data["disk"]
    mw.zfs.run("zfs", "set", f"readonly={'on' if data['ro'] else 'off'}", data["disk"].removeprefix("zvol/").replace("+", " "))


@method("iscsi.extent.create", ExtentArgs)
def extent_create(call: Call, data: Entry) -> Any:
    """Make an extent of a zvol."""
    data["serial"] = data["serial"] or secrets.token_hex()[:15]
    data |= {"naa": "0x6589cfc000000" + hashlib.sha256(str(uuid.uuid4()).encode()).hexdigest()[:19], "vendor": "TrueNAS"}
    _check_extent(call.mw, "iscsi_extent_create", data)
    data["product_id"] = data.get("product_id") or "iSCSI Disk"
    return _show(call.mw, "iscsi_extent", call.mw.store.insert("iscsi_extent", data))


@method("iscsi.extent.update", ExtentUpdateArgs)
def extent_update(call: Call, key: int, data: Entry) -> Any:
    """Change an extent."""
    new = {**_get(call.mw, "iscsi_extent", key), **data}
    _check_extent(call.mw, "iscsi_extent_update", new, key)
    return _show(call.mw, "iscsi_extent", call.mw.store.update("iscsi_extent", key, new))


@method("iscsi.extent.delete", ExtentDeleteArgs)
def extent_delete(call: Call, key: int, remove: bool, force: bool) -> Any:
    """Delete an extent and its LUNs; refused while a target of it has sessions."""
    mw = call.mw
    _get(mw, "iscsi_extent", key)
    maps = [entry for entry in mw.store.table("iscsi_targetextent") if entry["extent"] == key]
    used = _in_use(mw, [entry["target"] for entry in maps])
    if used and not force:
        raise CallError(f"Associated target(s) {','.join(used)} {'is' if len(used) == 1 else 'are'} in use.")
    for entry in maps:
        mw.store.delete("iscsi_targetextent", entry["id"])
    mw.store.delete("iscsi_extent", key)
    return True


# -- targets and LUNs -----------------------------------------------------------------------------------------------------


def _check_target(mw: Middleware, schema: str, data: Entry, key: int | None = None) -> None:
    found, others = ValidationErrors(), [entry for entry in mw.store.table("iscsi_target") if entry["id"] != key]
    if any(entry["name"] == data["name"] for entry in others):
        found.add(f"{schema}.name", "Target with this name already exists")
    if data["alias"] is not None:
        if '"' in data["alias"]:
            found.add(f"{schema}.alias", "Double quotes are not allowed")
        elif data["alias"] == "target":
            found.add(f"{schema}.alias", "target is a reserved word")
        elif any(entry["alias"] == data["alias"] for entry in others):
            found.add(f"{schema}.alias", "Alias already exists")
    if data["mode"] != "ISCSI":
        found.add(f"{schema}.mode", "Fibre Channel not enabled")
    portals: list[int] = []
    for index, group in enumerate(data["groups"]):
        field = f"{schema}.groups.{index}"
        if group["portal"] in portals:
            found.add(f"{field}.portal", f"Portal {group['portal']} cannot be duplicated on a target")
        elif mw.store.find("iscsi_portal", group["portal"]) is None:
            found.add(f"{field}.portal", f"{group['portal']} Portal not found in database")
        portals.append(group["portal"])
        if group["initiator"] and mw.store.find("iscsi_initiator", group["initiator"]) is None:
            found.add(f"{field}.initiator", f"{group['initiator']} Initiator not found in database")
        credential = next((entry for entry in mw.store.table("iscsi_auth") if entry["tag"] == group["auth"]), None)
        if not group["auth"] and group["authmethod"] != "NONE":
            found.add(f"{field}.auth", "Authentication group is required for CHAP and CHAP Mutual")
        elif group["auth"] and group["authmethod"] == "CHAP_MUTUAL" and credential is None:
            found.add(f"{field}.auth", "Authentication group not found", errno.ENOENT)
        elif group["auth"] and group["authmethod"] == "CHAP_MUTUAL" and credential and not credential["peeruser"]:
            found.add(f"{field}.auth", f"Authentication group {group['auth']} does not support CHAP Mutual")
    for index, network in enumerate(data["auth_networks"]):
        try:
            ipaddress.ip_network(network)
        except ValueError:
            found.add(f"{schema}.auth_networks.{index}", f'Auth network "{network}" is not a valid IPv4 or IPv6 network')
    found.check()


@method("iscsi.target.create", TargetArgs)
def target_create(call: Call, data: Entry) -> Any:
    """Make a target."""
    _check_target(call.mw, "iscsi_target_create", data)
    used = {entry["rel_tgt_id"] for entry in call.mw.store.table("iscsi_target")}
    return call.mw.store.insert("iscsi_target", {**data, "rel_tgt_id": next(number for number in range(1, 32000) if number not in used)})


@method("iscsi.target.update", TargetUpdateArgs)
def target_update(call: Call, key: int, data: Entry) -> Any:
    """Change a target."""
    new = {**_get(call.mw, "iscsi_target", key), **data}
    _check_target(call.mw, "iscsi_target_update", new, key)
    return call.mw.store.update("iscsi_target", key, new)


@method("iscsi.target.delete", TargetDeleteArgs)
def target_delete(call: Call, key: int, force: bool, delete_extents: bool) -> Any:
    """Delete a target and its LUNs; refused while it has sessions."""
    mw = call.mw
    target = _get(mw, "iscsi_target", key)
    if _in_use(mw, [key]) and not force:
        raise CallError(f"Target {target['name']} is in use.")
    for entry in [one for one in mw.store.table("iscsi_targetextent") if one["target"] == key]:
        mw.store.delete("iscsi_targetextent", entry["id"])
        if delete_extents:
            mw.store.delete("iscsi_extent", entry["extent"])
    mw.store.delete("iscsi_target", key)
    return True


def _check_mapping(mw: Middleware, schema: str, data: Entry, old: Entry) -> None:
    found, others = ValidationErrors(), [entry for entry in mw.store.table("iscsi_targetextent") if entry["id"] != old.get("id")]
    taken = sorted(entry["lunid"] for entry in others if entry["target"] == data["target"])
    if data.get("lunid") is None:
        data["lunid"] = next(number for number in range(MAX_LUN) if number not in taken)
    if not 0 <= data["lunid"] <= MAX_LUN:
        found.add(f"{schema}.lunid", f"LUN ID must be a positive integer and lower than {MAX_LUN}")
    if data["lunid"] in taken:
        found.add(f"{schema}.lunid", "LUN ID is already being used for this target.")
    if old.get("extent") != data["extent"] and any(entry["extent"] == data["extent"] for entry in others):
        found.add(f"{schema}.extent", "Extent is already in use.")
    found.check()
    _get(mw, "iscsi_target", data["target"])
    _get(mw, "iscsi_extent", data["extent"])


@method("iscsi.targetextent.create", MappingArgs)
def mapping_create(call: Call, data: Entry) -> Any:
    """Make an extent a LUN of a target."""
    _check_mapping(call.mw, "iscsi_targetextent_create", data, {})
    return call.mw.store.insert("iscsi_targetextent", data)


@method("iscsi.targetextent.update", MappingUpdateArgs)
def mapping_update(call: Call, key: int, data: Entry) -> Any:
    """Change a LUN."""
    old = _get(call.mw, "iscsi_targetextent", key)
    new = {**old, **data}
    _check_mapping(call.mw, "iscsi_targetextent_update", new, old)
    return call.mw.store.update("iscsi_targetextent", key, new)


@method("iscsi.targetextent.delete", MappingDeleteArgs)
def mapping_delete(call: Call, key: int, force: bool) -> Any:
    """Take a LUN away; refused while its target has sessions."""
    entry = _get(call.mw, "iscsi_targetextent", key)
    used = _in_use(call.mw, [entry["target"]])
    if used and not force:
        raise CallError(f"Associated target {used[0]} is in use.")
    call.mw.store.delete("iscsi_targetextent", key)
    return True
