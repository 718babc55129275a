# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Snapshots: taken and deleted by name; their guid and transaction group are what a copy is proven by."""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse, refuse_doubles

ASSIGNED = "(assigned by the system)"
_NAME = re.compile(r"^[A-Za-z0-9_.: -]+$")
Snapshot = dict[str, t.Any]


def id_of(item: t.Mapping[str, t.Any]) -> str:
    """Return ``dataset@name``."""
    return f"{item['dataset']}@{item['name']}"


def _raw(entry: t.Mapping[str, t.Any], name: str) -> str | None:
    shown = (entry.get("properties") or {}).get(name)
    if isinstance(shown, dict):
        raw = shown.get("rawvalue")
        return None if raw is None else str(raw)
    return None if shown is None else str(shown)


def from_api(entry: t.Mapping[str, t.Any]) -> Snapshot:
    """Return one snapshot with plain values; times are ISO 8601 in UTC, ``createtxg`` and sizes numbers."""
    created = _raw(entry, "creation")
    if created is not None and created.isdigit():
        created = datetime.datetime.fromtimestamp(int(created), tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    txg = entry.get("createtxg") or _raw(entry, "createtxg")
    return {
        "id": entry.get("id") or entry["name"],
        "dataset": entry["dataset"],
        "name": entry["snapshot_name"],
        "guid": _raw(entry, "guid"),
        "createtxg": int(txg) if txg is not None else None,
        "creation": created,
        "referenced_bytes": int(_raw(entry, "referenced") or 0),
        "properties": {key: _raw(entry, key) for key in sorted(entry.get("properties") or {}) if ":" in key},
    }


def query(client: TrueNasClient, filters: t.Sequence[t.Any]) -> list[Snapshot]:
    """Return the snapshots that match, oldest first. Order is by transaction group: a machine's clock can step back."""
    found = client.snapshots("query", list(filters), {}, what="snapshots")
    return sorted((from_api(entry) for entry in found), key=lambda one: (one["createtxg"] or 0, one["id"]))


def read(client: TrueNasClient, items: t.Sequence[Snapshot]) -> dict[str, Snapshot]:
    """Return those of *items* that exist, by id."""
    ids = [id_of(item) for item in items]
    # The server reads one snapshot quickly and filters all of them for anything else.
    filters = [["id", "=", ids[0]]] if len(ids) == 1 else [["id", "in", ids]]
    return {one["id"]: one for one in query(client, filters)} if ids else {}


def wanted(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Snapshot]:
    """Return the module's ``snapshots``, checked as far as that needs no server.

    Raises:
        Refused: anything is wrong; all of it is named.
    """
    items = [{key: value for key, value in item.items() if value is not None} for item in options]
    refuse_doubles([id_of(item) for item in items], noun="snapshots")
    found: list[str] = []
    for item in items:
        if not _NAME.match(item["name"]):
            found.append(f"{id_of(item)}: {item['name']!r} is not a name for a snapshot")
        if item.get("exclude") and not item.get("recursive"):
            found.append(f"{id_of(item)}: exclude needs recursive: true")
        found += [f"{id_of(item)}: property {key} has no colon" for key in item.get("properties") or {} if ":" not in key]
    refuse(found, noun="snapshots")
    return items


def missing_datasets(client: TrueNasClient, items: t.Sequence[Snapshot], current: t.Mapping[str, Snapshot]) -> list[str]:
    """Return the datasets that snapshots shall be taken of and that do not exist."""
    needed = sorted({item["dataset"] for item in items if item.get("state") != "absent" and id_of(item) not in current})
    if not needed:
        return []
    found = {entry["id"] for entry in client.query("pool.dataset", [["id", "in", needed]])}
    return [name for name in needed if name not in found]


def plan(items: t.Sequence[Snapshot], current: t.Mapping[str, Snapshot], missing: t.Sequence[str]) -> Plan:
    """Return the calls. A snapshot that exists is left alone: it cannot be taken again.

    Raises:
        Refused: a dataset is missing.
    """
    refuse([f"there is no dataset {name}" for name in missing], noun="snapshots")
    made = Plan()
    for item in items:
        known, name = current.get(id_of(item)), id_of(item)
        if item.get("state") == "absent":
            if known is not None:
                made.diff.add(f"{name}.state", before="present", after="absent")
                made.diff.add(f"{name}.guid", before=known["guid"], after=None)
                options = {"defer": bool(item.get("defer")), "recursive": bool(item.get("recursive"))}
                made.add("snapshot:delete", name, options, what=name)
            continue
        if known is not None:
            made.predicted.append(known)
            continue
        payload = {"dataset": item["dataset"], "name": item["name"], "recursive": bool(item.get("recursive"))}
        if item.get("exclude"):
            payload["exclude"] = list(item["exclude"])
        properties = {key: str(value) for key, value in (item.get("properties") or {}).items()}
        if properties:
            payload["properties"] = properties
        made.diff.add(f"{name}.state", before="absent", after="present")
        made.diff.add(f"{name}.guid", before=None, after=ASSIGNED)
        made.diff.add(f"{name}.recursive", before=None, after=item.get("recursive") or None)
        for key, value in properties.items():
            made.diff.add(f"{name}.properties.{key}", before=None, after=value)
        made.add("snapshot:create", payload, what=name)
        blank = {"guid": ASSIGNED, "createtxg": None, "creation": ASSIGNED, "referenced_bytes": None}
        made.predicted.append({"id": name, "dataset": item["dataset"], "name": item["name"], **blank, "properties": properties})
    return made
