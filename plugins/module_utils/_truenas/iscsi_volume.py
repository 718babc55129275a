# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""iSCSI volumes: from one declaration to a zvol, its extent, target and LUN, with portal and initiators, and back."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas import dataset as datasets
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.iscsi import MARK, Entry, Inventory, Made, NumberedPlan, disk_of, read, show
from ansible_collections.resilient.platform.plugins.module_utils._truenas.iscsi_delete import deletions
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import refuse, refuse_doubles

BLOCKSIZES = (512, 1024, 2048, 4096)
RPMS = ("UNKNOWN", "SSD", "5400", "7200", "10000", "15000")
AUTH = ("NONE", "CHAP", "CHAP_MUTUAL")
ZVOL = ("volsize", "volblocksize", "sparse", "force_size")
EXTENT = ("blocksize", "serial", "ro", "enabled", "rpm", "insecure_tpc", "xen", "comment")
_TARGET = re.compile(r"^[-a-z0-9.:]+$")
_LARGEST_SHARE = 0.8


def _last(dataset: str) -> str:
    return dataset.rpartition("/")[2]


def _problems(item: Entry) -> list[str]:
    found = []
    if "/" not in item["dataset"]:
        found.append("dataset is pool/path of the zvol")
    if not _TARGET.match(item["target"]) or len(item["target"]) > 120:
        found.append(f"target {item['target']!r} has characters other than a-z, 0-9, dot, dash and colon; name one")
    if '"' in item.get("extent", "") or not 1 <= len(item.get("extent", "x")) <= 64:
        found.append("extent has 1 to 64 characters and no double quotes")
    if len(item.get("serial", "")) > 20:
        found.append("serial has more than 20 characters")
    if not 0 <= item.get("lun", 0) <= 16382:
        found.append("lun is 0 to 16382")
    for text in item.get("portal", []):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            found.append(f"portal: {text} is not an address")
    for text in item.get("auth_networks", []):
        try:
            ipaddress.ip_network(text)
        except ValueError:
            found.append(f"auth_networks: {text} is not a network")
    if item.get("authmethod", "NONE") != "NONE" and not item.get("auth"):
        found.append(f"authmethod {item['authmethod']} needs auth")
    if "portal" in item and not item["portal"]:
        found.append("portal lists no address")
    return found


def wanted(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Entry]:
    """Return the module's ``volumes``, checked as far as that needs no server; ``zvol`` is the part of the dataset.

    Raises:
        Refused: anything is wrong; all of it is named.
    """
    items = [{key: value for key, value in item.items() if value is not None} for item in options]
    refuse_doubles([item["dataset"] for item in items], noun="volumes")
    problems: list[str] = []
    for item in items:
        item["named"] = "target" in item
        item.setdefault("target", _last(item["dataset"]).lower())
        for name in ("portal", "initiators", "auth_networks"):
            if name in item:
                item[name] = sorted(item[name])
        problems += [f"{item['dataset']}: {text}" for text in _problems(item)]
    present = [item for item in items if item["state"] == "present"]
    for name in {item["target"] for item in present}:
        group = [item for item in present if item["target"] == name]
        if len(group) > 1 and not all(item["named"] for item in group):
            problems.append(f"{', '.join(item['dataset'] for item in group)} would share the target {name}; name a target for each, or for all the same")
        for field in ("portal", "initiators", "auth_networks", "authmethod", "auth", "alias"):
            if len({str(item[field]) for item in group if field in item}) > 1:
                problems.append(f"target {name}: {field} differs between its volumes")
        luns = [item["lun"] for item in group if "lun" in item]
        if len(set(luns)) < len(luns):
            problems.append(f"target {name}: a lun is given twice")
    refuse(sorted(problems), noun="iSCSI volumes")
    zvols = datasets.wanted([{"name": item["dataset"], "type": "VOLUME", **{key: item[key] for key in ZVOL if key in item}} for item in items])
    for item, zvol in zip(items, zvols, strict=True):
        item["zvol"] = zvol
    return items


def look(client: TrueNasClient, items: t.Sequence[Entry]) -> tuple[Inventory, dict[str, Entry]]:
    """Return what there is of iSCSI, and the zvols of *items* with what is above them."""
    return read(client), datasets.read(client, [item["zvol"] for item in items])


def plan(
    client: TrueNasClient, items: t.Sequence[Entry], found: Inventory, current: t.Mapping[str, Entry], assumed: t.Collection[str] = ()
) -> NumberedPlan:
    """Return the calls: deletions from the LUN to the zvol, then zvols, portals, initiators, extents, targets, LUNs.

    Raises:
        Refused: something cannot be made so, stands in the way, or is in use.
    """
    made = NumberedPlan()
    problems = deletions(made, client, [item for item in items if item["state"] == "absent"], found, current)
    present = [item for item in items if item["state"] == "present"]
    problems += _zvols(made, present, current, assumed)
    first: dict[str, Entry] = {}
    for item in present:
        # What one volume says of a target holds for all of them.
        first.setdefault(item["target"], {}).update({key: value for key, value in item.items() if key not in first.get(item["target"], {})})
    for item in present:
        problems += _volume(made, item, first[item["target"]], found)
    refuse(problems, noun="iSCSI volumes")
    made.predicted = [_predict(item, found, current) for item in present]
    return made


def _zvols(made: NumberedPlan, items: t.Sequence[Entry], current: t.Mapping[str, Entry], assumed: t.Collection[str]) -> list[str]:
    problems = []
    for item in items:
        name, size = item["dataset"], item["zvol"].get("volsize")
        known, above = current.get(name), current.get(datasets.parent_of(name))
        room = int((above or {}).get("available_bytes") or 0) + int((known or {}).get("used_bytes") or 0)
        growing = size is not None and (known is None or size > known.get("volsize", 0))
        if growing and room and size > room * _LARGEST_SHARE and not item.get("force_size"):
            problems.append(f"{name}: volsize {size} is more than 80 % of the {room} bytes that are available; force_size: true lets it")
    zvols = datasets.plan([item["zvol"] for item in items], current, {}, assumed)
    made.calls += zvols.calls
    made.diff.before |= zvols.diff.before
    made.diff.after |= zvols.diff.after
    return problems


def _volume(made: NumberedPlan, item: Entry, target: Entry, found: Inventory) -> list[str]:
    """Add what leads to one zvol that is there or was planned just now."""
    name = item["dataset"]
    extent = found.extent_of(name)
    mapping = found.mapping_of(extent)
    mapped = found.target(number=mapping["target"]) if mapping else None
    problems: list[str] = []
    number = _extent(made, item, extent, found, problems)
    if mapped is not None and item["named"] and mapped["name"] != item["target"]:
        problems.append(f"{name}: it is a LUN of the target {mapped['name']}; state: absent takes it from there before it becomes one of {item['target']}")
        return problems
    aim = mapped or found.target(name=item["target"])
    if mapped is None and aim is not None and not item["named"]:
        problems.append(f"{name}: there is a target {item['target']} already; name it if the volume is to be one of its LUNs")
    goal = _target(made, target, aim, found, problems)
    if mapping is None:
        taken = [one["lunid"] for one in found.luns(aim)]
        if item.get("lun") in taken:
            problems.append(f"{name}: LUN {item['lun']} of the target {item['target']} is taken")
        payload = {"target": goal, "extent": number, **({"lunid": item["lun"]} if "lun" in item else {})}
        made.diff.add(f"{name}.target", before=None, after=item["target"])
        made.diff.add(f"{name}.lun", before=None, after=item.get("lun", "next"))
        made.add("iscsi.targetextent.create", payload, what=name)
    elif "lun" in item and item["lun"] != mapping["lunid"]:
        made.diff.add(f"{name}.lun", before=mapping["lunid"], after=item["lun"])
        made.add("iscsi.targetextent.update", mapping["id"], {"lunid": item["lun"]}, what=name)
    return problems


def _extent(made: NumberedPlan, item: Entry, known: Entry | None, found: Inventory, problems: list[str]) -> t.Any:
    name = item["dataset"]
    label = item.get("extent") or (known["name"] if known else _last(name))
    if any(one["name"] == label and one is not known for one in found.extents):
        problems.append(f"{name}: there is an extent {label} of something else; name another")
    wanted_now = {"name": label, **{key: item[key] for key in EXTENT if key in item}}
    if known is None:
        for key, value in wanted_now.items():
            made.diff.add(f"{name}.extent.{key}", before=None, after=value)
        made.add("iscsi.extent.create", {"type": "DISK", "disk": disk_of(name), **wanted_now}, what=label)
        return Made("iscsi.extent.create", label)
    different = {key: value for key, value in wanted_now.items() if known.get(key) != value}
    if "blocksize" in different:
        problems.append(f"{name}: blocksize is {known['blocksize']}; changing it makes what is on the volume unreadable")
    for key, value in different.items():
        made.diff.add(f"{name}.extent.{key}", before=known.get(key), after=value)
    if different:
        made.add("iscsi.extent.update", known["id"], different, what=label)
    return known["id"]


def _target(made: NumberedPlan, item: Entry, known: Entry | None, found: Inventory, problems: list[str]) -> t.Any:
    """Add what makes the target as declared; once, however many volumes it has."""
    name = known["name"] if known else item["target"]
    if any(call.what == name and call.method.startswith("iscsi.target.") for call in made.calls):
        return known["id"] if known else Made("iscsi.target.create", name)
    different: Entry = {key: item[key] for key in ("alias", "auth_networks") if key in item}
    if known is not None:
        different = {key: value for key, value in different.items() if (sorted(known[key]) if key == "auth_networks" else known[key]) != value}
    groups = _groups(made, item, known, found, problems)
    for key, value in different.items():
        made.diff.add(f"target {name}.{key}", before=(known or {}).get(key), after=value)
    if groups is not None:
        different["groups"] = groups
    if known is None:
        made.diff.add(f"target {name}.state", before="absent", after="present")
        made.add("iscsi.target.create", {"name": name, **different}, what=name)
        return Made("iscsi.target.create", name)
    if different:
        made.add("iscsi.target.update", known["id"], different, what=name)
    return known["id"]


def _groups(made: NumberedPlan, item: Entry, known: Entry | None, found: Inventory, problems: list[str]) -> list[Entry] | None:
    """Return the target's groups if they change; adds the portal and the initiators that they need."""
    given = [key for key in ("portal", "initiators", "authmethod", "auth") if key in item]
    now = (known or {}).get("groups") or []
    if known is not None and not given:
        return None
    name = known["name"] if known else item["target"]
    if len(now) > 1:
        problems.append(f"target {name} has {len(now)} groups; this module declares one, so change them by hand, or leave portal and initiators out")
        return None
    before = now[0] if now else {"portal": None, "initiator": None, "authmethod": "NONE", "auth": None}
    after: Entry = {**before, **{key: item[key] for key in ("authmethod", "auth") if key in item}}
    if item.get("authmethod") == "NONE":
        after["auth"] = None
    after["portal"] = _portal(made, item, before, found, problems)
    if "initiators" in item:
        after["initiator"] = _initiators(made, item["initiators"], before["initiator"], found)
    if known is not None and after == before:
        return None
    for key, field in (("portal", "portal"), ("initiator", "initiators")):
        made.diff.add(f"target {name}.{field}", before=found.shown(key, before[key]), after=found.shown(key, after[key]) or item.get(field))
    for key in ("authmethod", "auth"):
        made.diff.add(f"target {name}.{key}", before=before[key] if now else None, after=after[key])
    return [after]


def _portal(made: NumberedPlan, item: Entry, before: Entry, found: Inventory, problems: list[str]) -> t.Any:
    if "portal" not in item:
        if before["portal"] is not None:
            return before["portal"]
        if len(found.portals) == 1:
            return found.portals[0]["id"]
        problems.append(f"target {item['target']}: there are {len(found.portals)} portals; say with portal which addresses it listens on")
        return None
    exact = next((one["id"] for one in found.portals if sorted(listen["ip"] for listen in one["listen"]) == item["portal"]), None)
    if exact is not None:
        return exact
    taken = sorted({listen["ip"] for one in found.portals for listen in one["listen"]} & set(item["portal"]))
    what = ", ".join(item["portal"])
    if taken:
        problems.append(f"target {item['target']}: {', '.join(taken)} belongs to a portal with other addresses")
    if not any(call.what == what and call.method == "iscsi.portal.create" for call in made.calls):
        made.diff.add(f"portal {what}.state", before="absent", after="present")
        made.add("iscsi.portal.create", {"listen": [{"ip": text} for text in item["portal"]], "comment": MARK}, what=what)
    return Made("iscsi.portal.create", what)


def _initiators(made: NumberedPlan, names: list[str], now: t.Any, found: Inventory) -> t.Any:
    same = [one["id"] for one in found.initiators if sorted(one["initiators"]) == names]
    if now in same:
        return now
    if same:
        return same[0]
    if not names:
        return None
    what = ", ".join(names)
    if not any(call.what == what and call.method == "iscsi.initiator.create" for call in made.calls):
        made.diff.add(f"initiators {what}.state", before="absent", after="present")
        made.add("iscsi.initiator.create", {"initiators": names, "comment": MARK}, what=what)
    return Made("iscsi.initiator.create", what)


def _predict(item: Entry, found: Inventory, current: t.Mapping[str, Entry]) -> Entry:
    """Return one volume as it will be, as far as it can be known before."""
    shown = show(found, item["dataset"], current.get(item["dataset"]))
    shown |= {key: item["zvol"][key] for key in ("volsize", "volblocksize") if key in item["zvol"]}
    shown |= {key: item[key] for key in ("blocksize", "serial", "ro", "enabled", "rpm", "lun", "auth_networks") if key in item}
    shown["extent"] = item.get("extent") or shown["extent"] or _last(item["dataset"])
    shown["target"] = shown["target"] or item["target"]
    shown["iqn"] = found.iqn(shown["target"])
    return shown
