"""``sharing.nfs``: models of ``api/v25_10_2/nfs.py`` and ``api/v25_04_0/nfs.py``, rules of ``plugins/nfs.py`` and ``plugins/nfs_/validators.py``."""

from __future__ import annotations

import ipaddress
import itertools
import re
from typing import Any, Literal

from lab.nas.server.errors import ValidationErrors, not_found
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import IdArgs, Model, NonEmptyString, QueryArgs, for_update
from lab.nas.server.sharing import check_path, is_locked
from lab.nas.server.user import account

Entry = dict[str, Any]
TABLE = "sharing_nfs"
MAX_25_04 = 42
GROUPS = ("root", "wheel", "nogroup", "users", "builtin_users", "apps")


class Share(Model):
    """A new share. The old ``paths`` is long gone and refused."""

    path: NonEmptyString
    aliases: list[NonEmptyString] = []
    comment: str = ""
    networks: list[NonEmptyString] = []
    hosts: list[NonEmptyString] = []
    ro: bool = False
    maproot_user: str | None = None
    maproot_group: str | None = None
    mapall_user: str | None = None
    mapall_group: str | None = None
    security: list[Literal["SYS", "KRB5", "KRB5I", "KRB5P"]] = []
    enabled: bool = True
    expose_snapshots: bool = False


class CreateArgs(Model):
    """Arguments of create."""

    data: Share


class UpdateArgs(Model):
    """Arguments of update."""

    id: int
    data: for_update(Share, "NfsShareUpdate")  # type: ignore[valid-type]


def _show(mw: Middleware, entry: Entry) -> Entry:
    return {**entry, "locked": is_locked(mw, entry["path"])}


@method("sharing.nfs.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """All shares."""
    return filter_list([_show(call.mw, entry) for entry in call.mw.store.table(TABLE)], filters, options)


def _get(mw: Middleware, key: int) -> Entry:
    found = mw.store.find(TABLE, key)
    if found is None:
        raise not_found("SharingNFS", key)
    return found


@method("sharing.nfs.get_instance", IdArgs)
def get_instance(call: Call, key: int) -> Any:
    """One share."""
    return _show(call.mw, _get(call.mw, key))


def _networks(found: ValidationErrors, schema: str, data: Entry) -> None:
    """Entries are made CIDR; all-networks and overlaps are refused."""
    for name in ("networks", "hosts"):
        twice = sorted({one for one in data[name] if data[name].count(one) > 1})
        if twice:
            found.add(f"{schema}.{name}", f"Entries must be unique, the following are not: {', '.join(twice)}")
    bad, everybody, clean = [], "", []
    for one in data["networks"]:
        try:
            network = ipaddress.ip_network(one, strict=False)
        except ValueError:
            bad.append(one)
            continue
        everybody = one if int(network.network_address) == 0 else everybody
        clean.append(str(network))
    if bad:
        found.add(f"{schema}.networks", f"The following do not appear to be valid IPv4 or IPv6 networks: {', '.join(bad)}")
    elif everybody:
        found.add(f"{schema}.networks", f"Do not use {everybody} to represent all-networks.  No entry is required to configure 'allow everybody'.  "
                                        f"Please remove {everybody}.")
    else:
        data["networks"] = clean
    spaced = [one for one in data["hosts"] if re.match(r'.*[\s"]', one)]
    if spaced:
        found.add(f"{schema}.hosts", f"Cannot contain spaces or quotes: {', '.join(spaced)}")
    if "0.0.0.0" in data["hosts"]:
        found.add(f"{schema}.hosts", "Do not use 0.0.0.0 to represent all-hosts.  No entry is required to configure 'allow everybody'.  "
                                     "Please remove 0.0.0.0 or replace with '*'.")


def _check_others(mw: Middleware, found: ValidationErrors, schema: str, data: Entry, key: int | None) -> None:
    """One path may have several shares, for different clients."""
    overlaps = [(one, two) for one, two in itertools.combinations([ipaddress.ip_network(one) for one in data["networks"]], 2)
                if one.version == two.version and one.overlaps(two)]
    if overlaps:
        found.add(f"{schema}.networks", f"ERROR - Overlapped subnets: {overlaps}")
    used_networks: list[Any] = []
    used_hosts: set[str] = set()
    for other in mw.store.table(TABLE):
        if other["id"] == key or other["path"].rstrip("/") != data["path"].rstrip("/"):
            continue
        used_hosts |= set(other["hosts"])
        used_networks += [ipaddress.ip_network(one) for one in other["networks"]]
        if not other["hosts"] and not other["networks"]:
            used_networks += [ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("::/0")]
    for text in data["networks"]:
        network = ipaddress.ip_network(text)
        clash = next((one for one in used_networks if one.version == network.version and one.overlaps(network)), None)
        if network in used_networks:
            found.add(f"{schema}.networks", f"ERROR - Another NFS share already exports {data['path']} for network {network}")
        elif clash is not None:
            found.add(f"{schema}.networks", f"ERROR - This or another NFS share exports {data['path']} to {clash} and overlaps network {network}")
    for host in sorted(set(data["hosts"]) & used_hosts):
        found.add(f"{schema}.hosts", f"ERROR - Another NFS share already exports {data['path']} for host {host}")


def _validate(mw: Middleware, schema: str, data: Entry, key: int | None = None) -> None:
    found = ValidationErrors()
    data["aliases"] = []
    if mw.version < "25.10":
        for name in ("networks", "hosts"):
            if len(data[name]) > MAX_25_04:
                found.add(f"data.{name}", f"List should have at most {MAX_25_04} items after validation, not {len(data[name])}")
    _networks(found, schema, data)
    found.check()
    check_path(mw, found, f"{schema}.path", data["path"])
    _check_others(mw, found, schema, data, key)
    found.check()
    for kind in ("maproot", "mapall"):
        user, group = data[f"{kind}_user"], data[f"{kind}_group"]
        if group and not user:
            found.add(f"{schema}.{kind}_user", "This field is required when map group is specified")
        if user and account(mw, user) is None and user != "nobody":
            found.add(f"{schema}.{kind}_user", f"User not found: {user}")
        if user and group and group not in GROUPS:
            found.add(f"{schema}.{kind}_group", f"Group not found: {group}")
    if data["maproot_user"] and data["mapall_user"]:
        found.add(f"{schema}.mapall_user", "maproot_user disqualifies mapall_user")
    kerberos = [one for one in data["security"] if one != "SYS"]
    if kerberos:
        found.add(f"{schema}.security", f"The following security flavor(s) require NFSv4 to be enabled: {','.join(kerberos)}.")
    if data["expose_snapshots"]:
        found.add(f"{schema}.expose_snapshots", "This is an enterprise feature and may not be enabled without a valid license.")
    found.check()


@method("sharing.nfs.create", CreateArgs)
def create(call: Call, data: Entry) -> Any:
    """Share a path."""
    _validate(call.mw, "sharingnfs_create", data)
    made = call.mw.store.insert(TABLE, data)
    call.mw.exports_changed()
    return _show(call.mw, made)


@method("sharing.nfs.update", UpdateArgs)
def update(call: Call, key: int, data: Entry) -> Any:
    """Change a share."""
    new = {**_get(call.mw, key), **data}
    _validate(call.mw, "sharingnfs_update", new, key)
    changed = call.mw.store.update(TABLE, key, new)
    call.mw.exports_changed()
    return _show(call.mw, changed)


@method("sharing.nfs.delete", IdArgs)
def delete(call: Call, key: int) -> Any:
    """End a share; the data stays."""
    call.mw.store.delete(TABLE, _get(call.mw, key)["id"])
    call.mw.exports_changed()
    return True
