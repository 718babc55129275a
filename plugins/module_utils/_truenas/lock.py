# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Locking and unlocking encrypted datasets, and whether the keys that were put away still fit."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import TaskFailed
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse, refuse_doubles

Entry = dict[str, t.Any]
SUMMARY = "pool.dataset.encryption_summary"
_HEX = frozenset("0123456789abcdefABCDEF")


def from_api(entry: t.Mapping[str, t.Any]) -> Entry:
    """Return one dataset with what concerns its lock."""
    form = entry.get("key_format") or {}
    return {
        "name": entry["id"],
        "encrypted": bool(entry.get("encrypted")),
        "encryption_root": entry.get("encryption_root"),
        "key_format": form.get("value") if entry.get("encrypted") else None,
        "locked": bool(entry.get("locked")),
        "mountpoint": entry.get("mountpoint"),
    }


def read(client: TrueNasClient, names: t.Sequence[str] | None) -> dict[str, Entry]:
    """Return the datasets of *names* and all below them, by name; all of the system for None."""
    filters: list[t.Any] = []
    if names is not None:
        filters = [["OR", [["id", "in", list(names)], *[["id", "^", f"{name}/"] for name in names]]]]
    options = {"extra": {"flat": True, "retrieve_children": False, "properties": ["encryption", "encryptionroot", "keyformat", "keystatus"]}}
    return {entry["id"]: from_api(entry) for entry in client.query("pool.dataset", filters, **options)}


def _secret(item: t.Mapping[str, t.Any]) -> Entry:
    return {name: item[name] for name in ("key", "passphrase") if item.get(name)}


def _key_problems(item: t.Mapping[str, t.Any]) -> list[str]:
    found = ["key and passphrase exclude each other"] if item.get("key") and item.get("passphrase") else []
    if item.get("key") and (len(item["key"]) != 64 or not set(item["key"]) <= _HEX):
        found.append("a key is 64 hexadecimal digits")
    return found


def secrets(item: t.Mapping[str, t.Any]) -> dict[str, Entry]:
    """Return the keys and passphrases that were given, by dataset."""
    found = {str(one["name"]): _secret(one) for one in item.get("keys") or [] if _secret(one)}
    return {**found, **({str(item["name"]): _secret(item)} if _secret(item) else {})}


def wanted(options: t.Sequence[t.Mapping[str, t.Any]]) -> list[Entry]:
    """Return the module's ``datasets``, checked as far as that needs no server.

    Raises:
        Refused: anything is wrong; no key is ever part of the message.
    """
    items = [dict(item) for item in options]
    refuse_doubles([item["name"] for item in items], noun="datasets")
    problems = [f"{item['name']}: {text}" for item in items for text in _key_problems(item)]
    for item in items:
        problems += [f"{one['name']}: {text}" for one in item.get("keys") or [] for text in _key_problems(one)]
        strange = sorted(one["name"] for one in item.get("keys") or [] if not f"{one['name']}/".startswith(f"{item['name']}/"))
        problems += [f"{item['name']}: {name} in keys is not below it" for name in strange]
    refuse(problems, noun="locks")
    return items


def summary(client: TrueNasClient, name: str, keys: t.Mapping[str, Entry], *, force: bool = False, timeout: float = 300.0) -> list[Entry]:
    """Return what the server says of each encryption root at or below *name*, trying *keys*. Changes nothing."""
    datasets = [{"name": root, **secret} for root, secret in sorted(keys.items())]
    return list(client.job(SUMMARY, name, {"datasets": datasets, "force": force}, what=name, timeout=timeout).result)


def plan(client: TrueNasClient, items: t.Sequence[Entry], current: t.Mapping[str, Entry], *, timeout: float = 300.0) -> Plan:
    """Return the calls. Keys are tried first, also in check mode, so a wrong one is refused before anything changes.

    Raises:
        Refused: a dataset cannot be locked or unlocked so.
    """
    made, problems = Plan(), [f"there is no dataset {item['name']}" for item in items if item["name"] not in current]
    for item in items:
        known = current.get(item["name"])
        if known is None:
            continue
        if item["state"] == "locked":
            problems += _lock(made, client, item, known, current)
        else:
            problems += _unlock(made, client, item, known, timeout)
    refuse(problems, noun="locks")
    return made


def _lock(made: Plan, client: TrueNasClient, item: Entry, known: Entry, current: t.Mapping[str, Entry]) -> list[str]:
    name = item["name"]
    if known["locked"]:
        return []
    if not known["encrypted"]:
        return [f"{name}: it is not encrypted"]
    if known["encryption_root"] != name:
        return [f"{name}: its key is that of {known['encryption_root']}; only that can be locked"]
    if known["key_format"] != "PASSPHRASE":
        return [f"{name}: it has a key, which TrueNAS keeps; only what has a passphrase can be locked"]
    stopped = [f"{one['type']} {what}" for one in client.call("pool.dataset.attachments", name, what=name) for what in one.get("attachments") or []]
    made.diff.add(f"{name}.locked", before=False, after=True)
    below = sorted(one["name"] for one in current.values() if one["name"].startswith(f"{name}/") and one["encrypted"] and not one["locked"])
    made.diff.add(f"{name}.unlocked_below", before=below or None, after=None)
    made.diff.add(f"{name}.served", before=sorted(stopped) or None, after=None)
    made.add("pool.dataset.lock", name, {"force_umount": bool(item.get("force"))}, what=name, job=True)
    return []


def _unlock(made: Plan, client: TrueNasClient, item: Entry, known: Entry, timeout: float) -> list[str]:
    name, force = item["name"], bool(item.get("force"))
    whole_pool = "/" not in name and item.get("recursive")
    if not known["encrypted"] and not whole_pool:
        return [f"{name}: it is not encrypted"]
    if known["encrypted"] and known["encryption_root"] != name and known["locked"]:
        return [f"{name}: its key is that of {known['encryption_root']}; unlock that"]
    if not known["locked"] and not item.get("recursive"):
        return []
    keys = secrets(item)
    found = [one for one in summary(client, name, keys, force=force, timeout=timeout) if one["locked"] and (item.get("recursive") or one["name"] == name)]
    if not found:
        return []
    problems = [f"{one['name']}: {one['unlock_error'] or 'the key does not fit'}" for one in found if not one["unlock_successful"]]
    for one in found:
        made.diff.add(f"{one['name']}.locked", before=True, after=False)
    # TrueNAS unlocks what is below a dataset only together with it, so where it is open already each root below has its own turn.
    shut = [one["name"] for one in found]
    tops = [name] if known["locked"] or whole_pool else [root for root in shut if not any(root.startswith(f"{other}/") for other in shut)]
    for top in tops:
        given = [{"name": root, **secret, "force": force, "recursive": False} for root, secret in sorted(keys.items()) if f"{root}/".startswith(f"{top}/")]
        options = {"force": force, "recursive": bool(item.get("recursive")), "toggle_attachments": bool(item["toggle_attachments"]), "datasets": given}
        made.add("pool.dataset.unlock", top, options, what=top, job=True)
    return problems


def apply(made: Plan, client: TrueNasClient, *, timeout: float = 300.0) -> list[str]:
    """Do the calls; return what was unlocked. A job of unlocking succeeds whatever became of its datasets, so its result is looked at.

    Raises:
        TaskFailed: a dataset was not unlocked; each is named with its reason.
    """
    unlocked: list[str] = []
    for call in made.calls:
        job = client.job(call.method, *call.params, what=call.what, timeout=timeout)
        made.done.append(f"{call.method} {call.what}")
        result = job.result if isinstance(job.result, dict) else {}
        unlocked += result.get("unlocked") or []
        failed = result.get("failed") or {}
        if failed:
            told = [f"{name}: {one['error']}" + (f" (and {', '.join(one['skipped'])} below it)" if one.get("skipped") else "") for name, one in failed.items()]
            error = TaskFailed(
                f"{call.method} of {call.what} at {client.settings.address} left datasets locked: {'; '.join(sorted(told))}.",
                method=call.method,
                path=call.what,
                said="; ".join(sorted(told)),
                hint="Give the right key or passphrase of each; those that were unlocked stay so.",
            )
            error.details.update(failed=failed, unlocked=unlocked)
            raise error
    return unlocked


def escrow(client: TrueNasClient, current: t.Mapping[str, Entry], keys: t.Mapping[str, Entry], *, timeout: float = 300.0) -> list[Entry]:
    """Return each encryption root with what is known of its key.

    ``verified``: the given key fits. ``wrong``: it does not. ``database_only``: none was given and the system alone has it, so it
    is lost with the system unless a configuration backup with its secret seed is kept. ``unknown``: nobody showed one.
    """
    roots = sorted({one["encryption_root"] for one in current.values() if one["encryption_root"]})
    tops = [name for name in roots if not any(name.startswith(f"{other}/") for other in roots)]
    found: list[Entry] = []
    for top in tops:
        below = {name: secret for name, secret in keys.items() if f"{name}/".startswith(f"{top}/") and name in roots}
        for one in summary(client, top, below, timeout=timeout):
            stored = bool(one["key_present_in_database"])
            state = "database_only" if stored else "unknown"
            if one["name"] in below:
                state = "verified" if one["valid_key"] else "wrong"
            found.append({"name": one["name"], "key_format": one["key_format"], "locked": one["locked"], "key_in_database": stored, "escrow": state})
    return [one for one in found if one["name"] in current]
