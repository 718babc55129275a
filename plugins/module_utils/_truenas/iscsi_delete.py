# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Taking iSCSI volumes away: from the LUN to the zvol, and never from under a session without being told so."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas import dataset as datasets
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.iscsi import MARK, Entry, Inventory, NumberedPlan, sessions

_ORDER = ("iscsi.targetextent.delete", "iscsi.target.delete", "iscsi.initiator.delete", "iscsi.extent.delete", "pool.dataset.delete")


def deletions(made: NumberedPlan, client: TrueNasClient, items: t.Sequence[Entry], found: Inventory, current: t.Mapping[str, Entry]) -> list[str]:
    """Add the deletion of *items* to an empty plan; a target goes with its last LUN, its initiators if nothing else uses them.

    Returns:
        What stands in the way.
    """
    leaving = {item["dataset"]: found.mapping_of(found.extent_of(item["dataset"])) for item in items}
    gone = {one["id"] for one in leaving.values() if one is not None}
    targets = {one["id"]: one for one in found.targets if any(mapping is not None and mapping["target"] == one["id"] for mapping in leaving.values())}
    used = sessions(client, sorted(found.iqn(one["name"]) for one in targets.values()))
    problems: list[str] = []
    forced: dict[int, bool] = {}
    for item in items:
        name, force, mapping = item["dataset"], bool(item.get("force")), leaving[item["dataset"]]
        extent = found.extent_of(name)
        if mapping is not None:
            target = targets[mapping["target"]]
            forced[target["id"]] = forced.get(target["id"], False) or force
            active = used.get(found.iqn(target["name"]), [])
            made.diff.add(f"{name}.sessions", before=active or None, after=None)
            if active and not force:
                problems.append(f"{name}: {', '.join(active)} use the target {target['name']}; log them out, or force: true takes it from under them")
            made.diff.add(f"{name}.target", before=target["name"], after=None)
            made.diff.add(f"{name}.lun", before=mapping["lunid"], after=None)
            made.add("iscsi.targetextent.delete", mapping["id"], force, what=name)
        if extent is not None:
            made.diff.add(f"{name}.extent.name", before=extent["name"], after=None)
            made.add("iscsi.extent.delete", extent["id"], False, force, what=extent["name"])
        if item.get("remove_volume") and name in current:
            _zvol(made, client, item, extent, current)
    dropped = [one for one in targets.values() if {lun["id"] for lun in found.luns(one)} <= gone]
    for one in dropped:
        made.diff.add(f"target {one['name']}.state", before="present", after="absent")
        made.add("iscsi.target.delete", one["id"], forced[one["id"]], False, what=one["name"])
    _initiators(made, dropped, found)
    made.calls.sort(key=lambda call: _ORDER.index(call.method))
    return problems


def _zvol(made: NumberedPlan, client: TrueNasClient, item: Entry, extent: Entry | None, current: t.Mapping[str, Entry]) -> None:
    going = {"name": item["dataset"], "state": "absent", "recursive": bool(item.get("recursive"))}
    loss = datasets.impact(client, [going], current)[item["dataset"]]
    # Its own extent goes before it.
    own = {extent["name"]} if extent else set()
    loss["attachments"] = {kind: left for kind, names in loss["attachments"].items() if (left := [name for name in names if name not in own])}
    removal = datasets.plan([going], current, {item["dataset"]: loss})
    made.calls += removal.calls
    made.diff.before |= removal.diff.before
    made.diff.after |= removal.diff.after


def _initiators(made: NumberedPlan, dropped: t.Sequence[Entry], found: Inventory) -> None:
    numbers = {one["id"] for one in dropped}
    used = {group["initiator"] for one in found.targets if one["id"] not in numbers for group in one["groups"]}
    freed = {group["initiator"] for one in dropped for group in one["groups"]} - used
    for one in found.initiators:
        if one["id"] in freed and one["comment"] == MARK:
            what = ", ".join(sorted(one["initiators"]))
            made.diff.add(f"initiators {what}.state", before="present", after="absent")
            made.add("iscsi.initiator.delete", one["id"], what=what)
