# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Datasets: check what is wanted, read what is, plan the calls between both. Only ``read`` and ``impact`` touch the network."""

from __future__ import annotations

import json
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Conflict, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import BATCH_BYTES, TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse, refuse_doubles
from ansible_collections.resilient.platform.plugins.module_utils._truenas.properties import (
    COMPRESSIONS,
    CREATE_ONLY,
    FIELDS,
    GIB,
    INHERIT,
    canonical,
    from_api,
    parse_size,
)

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.: -]*(/[A-Za-z0-9][A-Za-z0-9_.: -]*)*$")
Dataset = dict[str, t.Any]


def parent_of(name: str) -> str:
    """Return the dataset above *name*; empty for a pool's root."""
    return name.rpartition("/")[0]


def is_inside(name: str | None, tree: str) -> bool:
    """Whether a dataset or snapshot is *tree*, below it, or one of their snapshots."""
    return bool(name) and (name == tree or str(name).startswith((f"{tree}/", f"{tree}@")))


def wanted(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Dataset]:
    """Return the module's ``datasets`` in the form that is compared, after checking all that needs no server.

    Raises:
        Refused: anything is wrong; all of it is named.
    """
    refuse_doubles([item["name"] for item in options], noun="datasets")
    problems: list[str] = []
    result: list[Dataset] = []
    for item in options:
        dataset: Dataset = {key: value for key, value in item.items() if value is not None}
        for name, field in FIELDS.items():
            if name in dataset:
                try:
                    dataset[name] = canonical(field, dataset[name])
                except Refused as exc:
                    problems.append(f"{item['name']}: {name}: {exc.message}")
                    del dataset[name]
        problems += [f"{item['name']}: {text}" for text in _problems(dataset)]
        result.append(dataset)
    refuse(problems, noun="datasets")
    return result


def _problems(item: Dataset) -> list[str]:
    """Return what the server would refuse too, but only after having written the datasets before it in the list."""
    found: list[str] = []
    if not _NAME.match(item["name"]):
        found.append("the name is not pool/path in the characters that ZFS takes")
    if item.get("state") == "absent":
        return found if "/" in item["name"] else [*found, "the root dataset goes with its pool only (truenas_pool)"]
    kind = item.get("type") or "FILESYSTEM"
    for name, field in FIELDS.items():
        if name not in item:
            continue
        value = item[name]
        if field.of and field.of != kind:
            found.append(f"{name} is not a property of a {kind}")
        if value == INHERIT and field.kind == "size":
            found.append(f"{name} cannot be inherited; 0 removes it")
        if field.choices and value not in field.choices and value != INHERIT:
            found.append(f"{name} is {value}, not one of {', '.join(field.choices)}")
    for name in ("quota", "refquota"):
        if isinstance(item.get(name), int) and 0 < item[name] < GIB:
            found.append(f"{name} is {item[name]} bytes; TrueNAS takes 0 (none) or at least 1 GiB ({GIB})")
    for name in ("quota_warning", "quota_critical", "refquota_warning", "refquota_critical"):
        if isinstance(item.get(name), int) and not 0 <= item[name] <= 100:
            found.append(f"{name} is {item[name]}, not a percentage")
    if item.get("compression", "ON") not in COMPRESSIONS:
        found.append(f"compression {item['compression']} is not known")
    found += _acl_problems(item) + _volume_problems(item, kind)
    found += [f"user property {key} has no colon" for key in item.get("user_properties") or {} if ":" not in key]
    return found


def _acl_problems(item: Dataset) -> list[str]:
    acltype, aclmode = item.get("acltype"), item.get("aclmode")
    if acltype in ("POSIX", "OFF") and aclmode not in (None, "DISCARD"):
        return [f"aclmode must be DISCARD where acltype is {acltype}"]
    if acltype == "NFSV4" and aclmode == "DISCARD":
        return ["aclmode must not be DISCARD where acltype is NFSV4"]
    return []


def _volume_problems(item: Dataset, kind: str) -> list[str]:
    if kind != "VOLUME" or not isinstance(item.get("volsize"), int):
        return []
    block = parse_size(item.get("volblocksize") or "16K")
    if item["volsize"] <= 0:
        return ["volsize must be more than 0"]
    return [] if item["volsize"] % block == 0 else [f"volsize is not a multiple of volblocksize ({block} bytes)"]


def read(client: TrueNasClient, items: t.Sequence[Dataset]) -> dict[str, Dataset]:
    """Return the datasets named in *items*, those above them, and of the ones that shall go what is below and what was cloned from them.

    It is one call, whatever their number: a list too long for a message is asked for by its pools.
    """
    names = {item["name"] for item in items}
    names |= {parent_of(name) for name in names} - {""}
    filters: list[t.Any] = [["id", "in", sorted(names)]]
    going = sorted(item["name"] for item in items if item.get("state") == "absent")
    if going:
        below = [[key, "^", f"{name}{mark}"] for name in going for key, mark in (("id", "/"), ("origin.rawvalue", "@"), ("origin.rawvalue", "/"))]
        filters = [["OR", [*filters, *below]]]
    if len(json.dumps(filters)) > BATCH_BYTES:
        filters = [["pool", "in", sorted({name.partition("/")[0] for name in names})]]
    found = client.query("pool.dataset", filters, extra={"flat": True, "retrieve_children": True})
    return {entry["id"]: from_api(entry) for entry in found}


def impact(client: TrueNasClient, items: t.Sequence[Dataset], current: t.Mapping[str, Dataset]) -> dict[str, Dataset]:
    """Return what goes with each dataset that shall go, or keeps it: children, snapshots (a number), clones, holds and attachments by type."""
    found: dict[str, Dataset] = {}
    for name in [item["name"] for item in items if item.get("state") == "absent" and item["name"] in current]:
        attachments = client.call("pool.dataset.attachments", name, what=name)
        snapshots = client.snapshots("query", [["OR", [["dataset", "=", name], ["dataset", "^", f"{name}/"]]]], {"count": True}, what=name)
        held: list[t.Any] = []
        if snapshots:
            options = {"select": ["id", "holds"], "extra": {"holds": True, "properties": ["userrefs"]}}
            inside = ["OR", [["dataset", "=", name], ["dataset", "^", f"{name}/"]]]
            held = client.snapshots("query", [["pool", "=", name.partition("/")[0]], inside, ["holds", "!=", {}]], options, what=name)
        found[name] = {
            "clones": sorted(other for other, one in current.items() if is_inside(one["origin"], name) and not is_inside(other, name)),
            "holds": sorted(one["id"] for one in held),
            "children": sorted(other for other in current if other.startswith(f"{name}/")),
            "snapshots": snapshots if isinstance(snapshots, int) else len(snapshots),
            "attachments": {entry["type"]: sorted(entry.get("attachments") or []) for entry in attachments},
        }
    return found


def plan(
    items: t.Sequence[Dataset], current: t.Mapping[str, Dataset], losses: t.Mapping[str, Dataset], assumed: t.Collection[str] = ()
) -> Plan:
    """Return the calls: creations from the top, changes, then deletions from the bottom.

    Args:
        items: The datasets that are wanted.
        current: The datasets that are, with those above them.
        losses: What goes with each that shall go.
        assumed: Pools and datasets that an earlier task of a check-mode run would have made.

    Raises:
        Refused: a change is impossible, or a deletion takes more with it than is allowed.
    """
    made = Plan()
    problems: list[str] = []
    present = [item for item in items if item.get("state") != "absent"]
    coming = {item["name"] for item in present}
    for item in sorted(present, key=lambda one: one["name"].count("/")):
        known = current.get(item["name"])
        if known is None:
            problems += _create(made, item, current, coming, set(assumed))
        else:
            problems += _update(made, item, known, current.get(parent_of(item["name"])))
    for item in sorted((one for one in items if one.get("state") == "absent"), key=lambda one: _when(one["name"], losses)):
        if item["name"] in current:
            problems += _delete(made, item, losses[item["name"]], {one["name"] for one in items if one.get("state") == "absent"})
    refuse(problems, noun="datasets")
    order = {item["name"]: index for index, item in enumerate(items)}
    made.predicted.sort(key=lambda one: order[one["name"]])
    return made


def _create(made: Plan, item: Dataset, current: t.Mapping[str, Dataset], coming: set[str], assumed: set[str]) -> list[str]:
    name, kind = item["name"], item.get("type") or "FILESYSTEM"
    above = parent_of(name)
    if not above and name in assumed:
        # The root of a pool that does not exist yet: its properties can only be guessed.
        return _update(made, item, {"name": name, "type": "FILESYSTEM", "encrypted": False, "user_properties": {}, "sources": {}}, None)
    if not above:
        return [f"{name}: there is no such pool (truenas_pool makes one)"]
    if above not in current and above not in coming | assumed and not item.get("create_ancestors"):
        return [f"{name}: {above} does not exist; list it too, or set create_ancestors"]
    if current.get(above, {}).get("readonly") == "ON":
        return [f"{name}: {above} is read-only, so nothing can be created in it"]
    if kind == "VOLUME" and "volsize" not in item:
        return [f"{name}: a VOLUME needs volsize"]
    payload: Dataset = {"name": name, "type": kind}
    payload.update({key: item[key] for key in (*FIELDS, *CREATE_ONLY) if key in item})
    if "encryption_options" in payload:
        payload["encryption_options"] = {key: value for key, value in payload["encryption_options"].items() if value is not None}
    properties = {key: value for key, value in (item.get("user_properties") or {}).items() if value is not None}
    if properties:
        payload["user_properties"] = [{"key": key, "value": str(value)} for key, value in properties.items()]
    made.diff.add(f"{name}.state", before="absent", after="present")
    made.diff.add(f"{name}.type", before=None, after=kind)
    for key in (*FIELDS, "share_type", "encryption"):
        made.diff.add(f"{name}.{key}", before=None, after=item.get(key))
    for key, value in properties.items():
        made.diff.add(f"{name}.user_properties.{key}", before=None, after=str(value))
    made.add("pool.dataset.create", payload, what=name)
    shown = {key: item[key] for key in FIELDS if key in item}
    made.predicted.append({"name": name, "type": kind, **shown, "user_properties": {key: str(value) for key, value in properties.items()}})
    return []


def _inherits(name: str, known: Dataset, above: Dataset | None) -> bool:
    """Whether a property comes from above already."""
    if name not in known["sources"]:
        return True
    if known["sources"][name] not in ("LOCAL", "RECEIVED"):
        return True
    # For what ZFS keeps as a user property the server always says LOCAL; equal to the parent is the best there is.
    return FIELDS[name].user and above is not None and name in above and above[name] == known.get(name)


def _update(made: Plan, item: Dataset, known: Dataset, above: Dataset | None) -> list[str]:
    name = item["name"]
    problems: list[str] = []
    payload: Dataset = {}
    after = dict(known)
    if item.get("type") and item["type"] != known["type"]:
        problems.append(f"{name}: it is a {known['type']} and cannot become a {item['type']}")
    if "encryption" in item and item["encryption"] and not known["encrypted"]:
        problems.append(f"{name}: it is not encrypted; encryption is decided at creation")
    for key, field in FIELDS.items():
        if key not in item:
            continue
        value, now = item[key], known.get(key)
        if value == INHERIT:
            if _inherits(key, known, above):
                continue
        elif value == now:
            # Equal but inherited stays as it is: what counts is the value.
            continue
        if not field.update:
            problems.append(f"{name}: {key} is {now} and cannot be changed to {value} after creation")
        elif key == "volsize" and isinstance(now, int) and value < now:
            problems.append(f"{name}: volsize cannot shrink from {now} to {value} bytes")
        else:
            payload[key] = value
            after[key] = value
            made.diff.add(f"{name}.{key}", before=now, after=value)
    changes = _property_changes(item, known)
    if changes:
        payload["user_properties_update"] = changes
        after["user_properties"] = dict(known["user_properties"])
    for change in changes:
        before = known["user_properties"].get(change["key"])
        made.diff.add(f"{name}.user_properties.{change['key']}", before=before, after=change.get("value"))
        if change.get("remove"):
            after["user_properties"].pop(change["key"], None)
        else:
            after["user_properties"][change["key"]] = change["value"]
    if payload and item.get("force_size"):
        payload["force_size"] = True
    if payload and not problems:
        made.add("pool.dataset.update", name, payload, what=name)
    made.predicted.append(after)
    return problems


def _property_changes(item: Dataset, known: Dataset) -> list[Dataset]:
    desired = item.get("user_properties")
    if desired is None:
        return []
    now = known["user_properties"]
    changes: list[Dataset] = []
    for key, value in sorted(desired.items()):
        if value is None and key in now:
            changes.append({"key": key, "remove": True})
        elif value is not None and now.get(key) != str(value):
            changes.append({"key": key, "value": str(value)})
    if item.get("purge_user_properties"):
        changes += [{"key": key, "remove": True} for key in sorted(now.keys() - desired.keys())]
    return changes


def _delete(made: Plan, item: Dataset, loss: Dataset, going: set[str]) -> list[str]:
    name = item["name"]
    problems: list[str] = []
    staying = [child for child in loss["children"] if child not in going]
    if (staying or loss["snapshots"]) and not item.get("recursive"):
        problems.append(f"{name}: it has {len(staying)} children ({', '.join(staying[:5])}) and {loss['snapshots']} snapshots; recursive: true deletes them")
    cloned = [clone for clone in loss["clones"] if not any(is_inside(clone, other) for other in going)]
    if cloned:
        problems.append(f"{name}: {', '.join(cloned)} was cloned from its snapshots; promote or delete it first")
    if loss["holds"]:
        # 26 lets go of holds by itself and deletes (plugins/zfs/destroy_impl.py); whoever held them meant it.
        held = f"{', '.join(loss['holds'][:5])} {'is' if len(loss['holds']) == 1 else 'are'} held"
        problems.append(f"{name}: {held}; let go of the hold first (truenas_snapshot)")
    if loss["attachments"] and not item.get("allow_attachments"):
        listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in sorted(loss["attachments"].items()))
        problems.append(f"{name}: TrueNAS would delete what is attached to it ({listed}); allow_attachments: true lets it")
    made.diff.add(f"{name}.state", before="present", after="absent")
    for key in ("children", "snapshots", "clones", "holds", "attachments"):
        made.diff.add(f"{name}.{key}", before=loss[key] or None, after=None)
    made.add("pool.dataset.delete", name, {"recursive": bool(item.get("recursive")), "force": bool(item.get("force"))}, what=name)
    return problems


def _when(name: str, losses: t.Mapping[str, Dataset]) -> tuple[int, int]:
    """Order deletions: clones before what they were cloned from, then from the bottom."""
    clones = sum(1 for loss in losses.values() if any(is_inside(clone, name) for clone in loss["clones"]))
    return -clones, -name.count("/")


def confirm_gone(items: t.Sequence[Dataset], current: t.Mapping[str, Dataset]) -> None:
    """Check, after deletions, that they happened: some versions say true and keep the dataset.

    Raises:
        Conflict: a dataset is still there.
    """
    left = [item["name"] for item in items if item.get("state") == "absent" and item["name"] in current]
    if left:
        raise Conflict(
            f"TrueNAS said that it deleted {', '.join(left)}, but it is still there.",
            method="pool.dataset.delete",
            path=left[0],
            hint="Look for processes or clones that use it, then run again (force: true unmounts it).",
        )
