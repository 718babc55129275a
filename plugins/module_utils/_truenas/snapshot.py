# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Snapshots: taken and deleted by name; their guid and transaction group are what a copy is proven by."""

from __future__ import annotations

import datetime
import json
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import BATCH_BYTES, TrueNasClient, batches
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
        "held": bool(entry.get("holds")) or int(_raw(entry, "userrefs") or 0) > 0,
        "properties": {
            **{key: _raw(entry, key) for key in sorted(entry.get("properties") or {}) if ":" in key},
            **{key: str(value) for key, value in sorted((entry.get("user_properties") or {}).items()) if ":" in key},
        },
    }


def query(client: TrueNasClient, filters: t.Sequence[t.Any], *, holds: bool = False) -> list[Snapshot]:
    """Return the snapshots that match, oldest first. Order is by transaction group: a machine's clock can step back.

    From 26 on users' properties come only with ``retention``, beside the others (plugins/pool_/snapshot.py).
    """
    extra: dict[str, t.Any] = {"holds": True} if holds else {}
    if (client.release or (0,)) >= (26,):
        extra.update(retention=True, properties=["guid", "creation", "createtxg", "referenced", "userrefs"])
    found = client.snapshots("query", list(filters), {"extra": extra} if extra else {}, what="snapshots")
    return sorted((from_api(entry) for entry in found), key=lambda one: (one["createtxg"] or 0, one["id"]))


def read(client: TrueNasClient, items: t.Sequence[Snapshot], datasets: t.Collection[str] | None = None) -> dict[str, Snapshot]:
    """Return those of *items* that exist, by id.

    Args:
        client: The system.
        items: The snapshots.
        datasets: Which of their datasets exist; asked for if not given. From 26 on a name that does not exist empties the whole answer.
    """
    ids = {id_of(item) for item in items}
    if len(ids) == 1:
        # The server reads one snapshot quickly.
        return {one["id"]: one for one in query(client, [["id", "=", *ids]], holds=True)}
    known = existing(client, items) if datasets is None else datasets
    found: dict[str, Snapshot] = {}
    for batch in batches(sorted({item["dataset"] for item in items} & set(known))):
        names = sorted({item["name"] for item in items if item["dataset"] in batch})
        filters: list[t.Any] = [["dataset", "in", batch]]
        if len(json.dumps(names)) < BATCH_BYTES // 3:
            filters.append(["snapshot_name", "in", names])
        found.update({one["id"]: one for one in query(client, filters, holds=True) if one["id"] in ids})
    return found


def existing(client: TrueNasClient, items: t.Sequence[Snapshot]) -> set[str]:
    """Return the datasets of *items* that exist."""
    found: set[str] = set()
    for batch in batches(sorted({item["dataset"] for item in items})):
        extra = {"properties": [], "retrieve_children": False, "retrieve_user_props": False}
        found |= {entry["id"] for entry in client.query("pool.dataset", [["id", "in", batch]], extra=extra)}
    return found


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
        if item.get("exclude") and item.get("properties"):
            found.append(f"{id_of(item)}: TrueNAS cannot set properties where exclude leaves datasets out")
        if item.get("state") == "absent" and item.get("hold"):
            found.append(f"{id_of(item)}: a snapshot cannot be absent and held")
        found += [f"{id_of(item)}: property {key} has no colon" for key in item.get("properties") or {} if ":" not in key]
    refuse(found, noun="snapshots")
    return items


def missing_datasets(client: TrueNasClient, items: t.Sequence[Snapshot], current: t.Mapping[str, Snapshot]) -> list[str]:
    """Return the datasets that snapshots shall be taken of and that do not exist."""
    lacking = [item for item in items if item.get("state") != "absent" and id_of(item) not in current]
    if not lacking:
        return []
    return sorted({item["dataset"] for item in lacking} - existing(client, lacking))


def _hold(made: Plan, item: Snapshot, held: bool) -> bool:
    """Add what makes the snapshot held as declared; return whether it then is."""
    wish = item.get("hold")
    if wish is None or wish is held:
        return held
    made.diff.add(f"{id_of(item)}.held", before=held, after=wish)
    made.add("snapshot:hold" if wish else "snapshot:release", id_of(item), {"recursive": bool(item.get("recursive"))}, what=id_of(item))
    return bool(wish)


def plan(items: t.Sequence[Snapshot], current: t.Mapping[str, Snapshot], missing: t.Sequence[str]) -> Plan:
    """Return the calls. A snapshot that exists is left alone: it cannot be taken again.

    Raises:
        Refused: a dataset is missing.
    """
    problems = [f"there is no dataset {name}" for name in missing]
    for item in items:
        if item.get("state") == "absent" and current.get(id_of(item), {}).get("held") and item.get("hold") is None:
            # 25.10 says EBUSY; 26 lets go of the hold by itself and deletes (plugins/zfs/destroy_impl.py).
            problems.append(f"{id_of(item)} is held; hold: false lets go of it and deletes it")
    refuse(problems, noun="snapshots")
    made = Plan()
    for item in items:
        known, name = current.get(id_of(item)), id_of(item)
        if item.get("state") == "absent":
            if known is not None:
                if known["held"]:
                    made.diff.add(f"{name}.held", before=True, after=None)
                    made.add("snapshot:release", name, {"recursive": bool(item.get("recursive"))}, what=name)
                made.diff.add(f"{name}.state", before="present", after="absent")
                made.diff.add(f"{name}.guid", before=known["guid"], after=None)
                options = {"defer": bool(item.get("defer")), "recursive": bool(item.get("recursive"))}
                made.add("snapshot:delete", name, options, what=name)
            continue
        if known is not None:
            made.predicted.append({**known, "held": _hold(made, item, known["held"])})
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
        blank = {"guid": ASSIGNED, "createtxg": None, "creation": ASSIGNED, "referenced_bytes": None, "held": _hold(made, item, False)}
        made.predicted.append({"id": name, "dataset": item["dataset"], "name": item["name"], **blank, "properties": properties})
    return made
