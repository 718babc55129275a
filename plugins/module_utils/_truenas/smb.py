# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""SMB shares. Their names, in which case does not count, tell one from another."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse, refuse_doubles
from ansible_collections.resilient.platform.plugins.module_utils._truenas.shares import missing_paths, path_problem, plan_create, plan_delete
from ansible_collections.resilient.platform.plugins.module_utils._truenas.smb_layout import COMMON, OPTIONS, Share, canonical, from_api, old_problems, to_api

SERVICE = "sharing.smb"
PURPOSES = tuple(OPTIONS)
_BAD = frozenset('%<>*?|/\\+=;:",[]')
_RESERVED = frozenset({"global", "printers", "homes", "admin$", "ipc$"})


def _problems(item: Share) -> list[str]:
    found = []
    bad = sorted(_BAD & set(item["name"]))
    if not item["name"] or len(item["name"]) > 80:
        found.append("a name has 1 to 80 characters")
    if bad:
        found.append(f"the name has {' '.join(bad)}, which Windows does not allow")
    if item["name"].casefold() in _RESERVED:
        found.append("the name is reserved")
    if item.get("state") == "absent":
        return found
    purpose = item.get("purpose")
    options = item.get("options") or {}
    if purpose:
        strange = sorted(set(options) - set(OPTIONS[purpose]))
        found += [f"options.{name} does not belong to {purpose}, which has {', '.join(sorted(OPTIONS[purpose]))}" for name in strange]
    if purpose == "EXTERNAL_SHARE" and item.get("path") not in (None, "EXTERNAL"):
        found.append("the path of an EXTERNAL_SHARE is EXTERNAL")
    if purpose == "EXTERNAL_SHARE" and not options.get("remote_path"):
        found.append("an EXTERNAL_SHARE needs options.remote_path")
    if item.get("path") == "EXTERNAL" and purpose not in (None, "EXTERNAL_SHARE"):
        found.append("only an EXTERNAL_SHARE has the path EXTERNAL")
    if item.get("path") and item["path"] != "EXTERNAL" and path_problem(item["path"]):
        found.append(path_problem(item["path"]))
    audit = item.get("audit") or {}
    if audit.get("enable") and not audit.get("watch_list") and not audit.get("ignore_list"):
        found.append("audit.enable needs a watch_list or an ignore_list")
    return found


def wanted(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Share]:
    """Return the module's ``shares``, checked as far as that needs no server.

    Raises:
        Refused: anything is wrong; all of it is named.
    """
    items = [{key: value for key, value in item.items() if value is not None} for item in options]
    refuse_doubles([item["name"].casefold() for item in items], noun="SMB shares")
    for item in items:
        for name in ("audit", "options"):
            if name in item:
                item[name] = {key: canonical(key, value) for key, value in item[name].items() if value is not None}
    refuse([f"{item['name']}: {text}" for item in items for text in _problems(item)], noun="SMB shares")
    return items


def is_flat(client: TrueNasClient, entries: t.Sequence[t.Mapping[str, t.Any]]) -> bool:
    """Say whether the API is that of 25.04. The shares tell; where there are none, the version that is spoken does."""
    return "options" not in entries[0] if entries else not client.has("SMB options")


def plan(
    client: TrueNasClient, items: t.Sequence[Share], entries: t.Sequence[t.Mapping[str, t.Any]], assumed: t.Collection[str] = ()
) -> Plan:
    """Return the calls, deletions first.

    Args:
        client: For looking at paths.
        items: The shares that are wanted.
        entries: The shares that are, as the server shows them.
        assumed: Pools and datasets that an earlier task of a check-mode run would have made.

    Raises:
        Refused: a path is missing, or the server's version cannot hold what is wanted.
    """
    made = Plan()
    current = {share["name"].casefold(): share for share in (from_api(entry) for entry in entries)}
    present = [item for item in items if item.get("state") != "absent"]
    coming = [item for item in present if item["name"].casefold() not in current]
    flat = is_flat(client, entries) if present else False
    problems = [f"{item['name']}: a new share needs a path" for item in coming if "path" not in item and item.get("purpose") != "EXTERNAL_SHARE"]
    moved = [item for item in present if item.get("path", "EXTERNAL") != "EXTERNAL" and _path_of(current, item) != item["path"]]
    missing = missing_paths(client, [item["path"] for item in moved], assumed) if moved else []
    problems += [f"{path}: there is no such path" for path in missing]
    for item in items:
        known = current.get(item["name"].casefold())
        if item.get("state") == "absent":
            if known is not None:
                plan_delete(made, SERVICE, known["name"], known)
        elif known is None:
            problems += _create(made, item, flat=flat)
    for item in present:
        known = current.get(item["name"].casefold())
        if known is not None:
            problems += _update(made, item, known, flat=flat)
    refuse(problems, noun="SMB shares")
    order = {item["name"].casefold(): index for index, item in enumerate(items)}
    made.calls.sort(key=lambda call: not call.method.endswith(".delete"))
    made.predicted.sort(key=lambda share: order[share["name"].casefold()])
    return made


def _path_of(current: t.Mapping[str, Share], item: Share) -> str | None:
    known = current.get(item["name"].casefold())
    return None if known is None else str(known["path"])


def _create(made: Plan, item: Share, *, flat: bool) -> list[str]:
    purpose = item.get("purpose") or "DEFAULT_SHARE"
    share = {"name": item["name"], "purpose": purpose, **{name: item[name] for name in COMMON if name in item}, "options": item.get("options") or {}}
    if purpose == "EXTERNAL_SHARE":
        share["path"] = "EXTERNAL"
    problems = [f"{item['name']}: {text}" for text in old_problems(share)] if flat else []
    strange = sorted(set(share["options"]) - set(OPTIONS[purpose]))
    problems += [f"{item['name']}: options.{name} does not belong to {purpose}" for name in strange]
    if not problems:
        plan_create(made, SERVICE, item["name"], to_api(share, flat=flat), share)
    return problems


def _update(made: Plan, item: Share, known: Share, *, flat: bool) -> list[str]:
    key = known["name"]
    different: Share = {name: item[name] for name in COMMON if name in item and name != "audit" and item[name] != known[name]}
    if item["name"] != known["name"]:
        different["name"] = item["name"]
    audit = {name: value for name, value in item.get("audit", {}).items() if value != known["audit"].get(name)}
    purpose = item.get("purpose") or known["purpose"]
    options = {name: value for name, value in item.get("options", {}).items() if purpose != known["purpose"] or value != known["options"].get(name)}
    problems = [f"{key}: options.{name} does not belong to {purpose}" for name in sorted(set(item.get("options", {})) - set(OPTIONS[purpose]))]
    after = {**known, **different, "audit": {**known["audit"], **audit}}
    for name, value in different.items():
        made.diff.add(f"{key}.{name}", before=known[name], after=value)
    for name, value in audit.items():
        made.diff.add(f"{key}.audit.{name}", before=known["audit"].get(name), after=value)
    if audit:
        different["audit"] = audit
    if purpose != known["purpose"] or options:
        # The server replaces options as a whole; of another purpose, nothing of the old ones fits.
        kept = known["options"] if purpose == known["purpose"] else {}
        different |= {"purpose": purpose, "options": {**kept, **options}}
        after |= {"purpose": purpose, "options": {**kept, **options}}
        made.diff.add(f"{key}.purpose", before=known["purpose"], after=purpose)
        for name, value in options.items():
            made.diff.add(f"{key}.options.{name}", before=known["options"].get(name), after=value)
    if flat and different:
        problems += [f"{key}: {text}" for text in old_problems({**after, "options": {**after["options"]}})]
    if different:
        made.add(f"{SERVICE}.update", known["id"], to_api(different, flat=flat), what=key)
    made.predicted.append(after)
    return problems
