# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""NFS shares. What tells one from another is its path, and its comment where a path has several."""

from __future__ import annotations

import ipaddress
import itertools
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse
from ansible_collections.resilient.platform.plugins.module_utils._truenas.shares import Share, missing_paths, path_problem, plan_create, plan_delete

SERVICE = "sharing.nfs"
SECURITY = ("SYS", "KRB5", "KRB5I", "KRB5P")
MAPPED = ("maproot_user", "maproot_group", "mapall_user", "mapall_group")
FIELDS = ("comment", "networks", "hosts", "ro", *MAPPED, "security", "enabled", "expose_snapshots")
# What the server makes of a field that is not given; a field that is null in a declaration is left alone.
DEFAULTS: Share = {
    "comment": "", "networks": [], "hosts": [], "ro": False, **dict.fromkeys(MAPPED), "security": [], "enabled": True, "expose_snapshots": False,
}
_SPACE_OR_QUOTE = re.compile(r'[\s"]')


def _network(text: str) -> str:
    """Return a network as the server stores it."""
    return str(ipaddress.ip_network(text, strict=False))


def _canonical(name: str, value: t.Any) -> t.Any:
    """Return a field in the form that is compared: lists without order, an empty user for none."""
    if name in ("networks", "hosts", "security"):
        return sorted(value or [])
    return (value or None) if name in MAPPED else value


def from_api(entry: t.Mapping[str, t.Any]) -> Share:
    """Return one share with the fields of this module."""
    return {"id": entry["id"], "path": entry["path"], **{name: _canonical(name, entry.get(name)) for name in FIELDS}, "locked": entry.get("locked")}


def _problems(item: Share) -> list[str]:
    found = [text for text in [path_problem(item["path"])] if text]
    for text in item.get("networks", []):
        try:
            everybody = int(ipaddress.ip_network(text, strict=False).network_address) == 0
        except ValueError:
            found.append(f"networks: {text} is not a network")
            continue
        if everybody:
            found.append(f"networks: {text} is everybody; an empty list says so")
    for text in item.get("hosts", []):
        if not text or _SPACE_OR_QUOTE.search(text):
            found.append(f"hosts: {text!r} is empty or has a space or quote")
        if text in ("0.0.0.0", "::"):
            found.append(f"hosts: {text} is everybody; an empty list or '*' says so")
    found += [f"{name} lists an entry twice" for name in ("networks", "hosts") if len(set(item.get(name, []))) < len(item.get(name, []))]
    for kind in ("maproot", "mapall"):
        if item.get(f"{kind}_group") and not item.get(f"{kind}_user") and f"{kind}_user" in item:
            found.append(f"{kind}_group needs {kind}_user")
    if item.get("maproot_user") and item.get("mapall_user"):
        found.append("maproot_user and mapall_user exclude each other")
    return found


def wanted(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Share]:
    """Return the module's ``shares``, checked as far as that needs no server.

    Raises:
        Refused: anything is wrong; all of it is named.
    """
    items = [{key: value for key, value in item.items() if value is not None} for item in options]
    problems = [f"{item['path']}: {text}" for item in items for text in _problems(item)]
    refuse(problems, noun="NFS shares")
    for item in items:
        if "networks" in item:
            item["networks"] = [_network(text) for text in item["networks"]]
        for name in FIELDS:
            if name in item:
                item[name] = _canonical(name, item[name])
    for item in items:
        alike = [other for other in items if other["path"] == item["path"]]
        if len(alike) > 1 and len({other.get("comment") for other in alike}) < len(alike):
            problems.append(f"{item['path']} is listed {len(alike)} times; give each its own comment, which then tells one from another")
    refuse(sorted(set(problems)), noun="NFS shares")
    return items


def label(item: t.Mapping[str, t.Any], *, several: bool) -> str:
    """Return what a share is called in differences and messages."""
    return f"{item['path']} ({item.get('comment') or ''})" if several else str(item["path"])


def read(client: TrueNasClient) -> list[Share]:
    """Return all shares, in the order of their numbers."""
    return sorted((from_api(entry) for entry in client.query(SERVICE)), key=lambda one: int(one["id"]))


def match(items: t.Sequence[Share], current: t.Sequence[Share]) -> list[Share | None]:
    """Return, for each of *items*, the share that it means, or None.

    Raises:
        Refused: more than one fits.
    """
    found: list[Share | None] = []
    for item in items:
        here = [one for one in current if one["path"] == item["path"]]
        declared = sum(other["path"] == item["path"] for other in items)
        if len(here) > 1 or declared > 1:
            here = [one for one in here if one["comment"] == item.get("comment", "")]
        if len(here) > 1:
            raise Refused(
                f"TrueNAS has {len(here)} shares of {item['path']} with the same comment (ids {', '.join(str(one['id']) for one in here)}).",
                hint="Give each share of a path a comment of its own on the system, and name it here.",
            )
        found.append(here[0] if here else None)
    return found


def _clashes(result: t.Sequence[Share]) -> list[str]:
    """Return where two shares of a path would reach the same clients, which the server refuses."""
    problems: list[str] = []
    for one, two in itertools.combinations(result, 2):
        if one["path"] != two["path"]:
            continue
        hosts = sorted((set(one["hosts"]) & set(two["hosts"])) - {"*"})
        nets = [(ipaddress.ip_network(left), ipaddress.ip_network(right)) for left in one["networks"] for right in two["networks"]]
        both = [str(left) for left, right in nets if left.version == right.version and left.overlaps(right)]
        if hosts or both:
            problems.append(f"{one['path']}: two shares of it would reach the same clients ({', '.join([*hosts, *both])})")
    for one in result:
        for left, right in itertools.combinations([ipaddress.ip_network(text) for text in one["networks"]], 2):
            if left.version == right.version and left.overlaps(right):
                problems.append(f"{one['path']}: networks {left} and {right} overlap")
    return problems


def plan(client: TrueNasClient, items: t.Sequence[Share], current: t.Sequence[Share], assumed: t.Collection[str] = ()) -> Plan:
    """Return the calls. Deletions come first: a share that goes may stand in the way of one that comes.

    Raises:
        Refused: a path is missing, or two shares would clash.
    """
    made, matched = Plan(), match(items, current)
    pairs = list(zip(items, matched, strict=True))
    several = {item["path"] for item in items if any(sum(one["path"] == item["path"] for one in side) > 1 for side in (items, current))}
    coming = [item for item, known in pairs if item.get("state") != "absent" and known is None]
    problems = [f"{path}: there is no such path" for path in missing_paths(client, [item["path"] for item in coming], assumed)] if coming else []
    result = {one["id"]: one for one in current}
    for item, known in pairs:
        if item.get("state") == "absent" and known is not None:
            plan_delete(made, SERVICE, label(item, several=item["path"] in several), known)
            del result[known["id"]]
    fresh: list[Share] = []
    for item, known in pairs:
        if item.get("state") == "absent":
            continue
        key = label(item, several=item["path"] in several)
        if known is None:
            given = {name: item[name] for name in FIELDS if name in item}
            fresh.append({"path": item["path"], **DEFAULTS, **given})
            plan_create(made, SERVICE, key, {"path": item["path"], **given}, fresh[-1])
            problems += _mapping_problems(key, fresh[-1])
            continue
        different = {name: item[name] for name in FIELDS if name in item and item[name] != known[name]}
        for name, value in different.items():
            made.diff.add(f"{key}.{name}", before=known[name], after=value)
        if different:
            made.add(f"{SERVICE}.update", known["id"], different, what=key)
            problems += _mapping_problems(key, {**known, **different})
        result[known["id"]] = {**known, **different}
        made.predicted.append(result[known["id"]])
    if made.changed:
        touched = {item["path"] for item in items}
        problems += _clashes([one for one in [*result.values(), *fresh] if one["path"] in touched])
    refuse(problems, noun="NFS shares")
    return made


def _mapping_problems(key: str, share: Share) -> list[str]:
    """Return what is wrong with the users of a share as it will be."""
    found = [f"{key}: {kind}_group needs {kind}_user" for kind in ("maproot", "mapall") if share[f"{kind}_group"] and not share[f"{kind}_user"]]
    if share["maproot_user"] and share["mapall_user"]:
        found.append(f"{key}: maproot_user and mapall_user exclude each other; an empty string removes one")
    return found
