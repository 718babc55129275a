# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""API keys: their state, and a key that is replaced in time while its predecessor still works for a while."""

from __future__ import annotations

import datetime
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, refuse

Entry = dict[str, t.Any]
FORM = "%Y-%m-%dT%H:%M:%S.%fZ"
_SUCCESSOR = re.compile(r"^(?P<name>.*) \((?P<number>\d+)\)$")


def moment(text: str | None) -> datetime.datetime | None:
    """Return a time as the client gives it; None for none."""
    return None if text is None else datetime.datetime.strptime(text, FORM).replace(tzinfo=datetime.timezone.utc)


def generation(entry: t.Mapping[str, t.Any], name: str) -> int:
    """Return which key of the line *name* this is: 1 for the first, 2 for its successor ``NAME (2)``; 0 for a stranger."""
    match = _SUCCESSOR.match(str(entry["name"]))
    if entry["name"] == name:
        return 1
    return int(match["number"]) if match and match["name"] == name else 0


def from_api(entry: t.Mapping[str, t.Any], now: datetime.datetime) -> Entry:
    """Return one key without its hash; ``state`` is ``valid``, ``expired`` or ``revoked``."""
    ends = moment(entry.get("expires_at"))
    state = "revoked" if entry.get("revoked") else "expired" if ends is not None and ends <= now else "valid"
    return {
        "id": entry["id"],
        "name": entry["name"],
        "username": entry.get("username"),
        "created_at": entry.get("created_at"),
        "expires_at": entry.get("expires_at"),
        "days_left": None if ends is None else max((ends - now).days, 0),
        "state": state,
        "revoked_reason": entry.get("revoked_reason"),
    }


def plan(item: t.Mapping[str, t.Any], keys: t.Sequence[Entry], users: t.Mapping[str, t.Sequence[str]], now: datetime.datetime, own: int | None) -> Plan:
    """Return the calls.

    Args:
        item: ``name``, ``username``, ``state``, ``expires_in`` and ``renew_before`` and ``overlap`` (days), ``rotate``, ``allow_delete``.
        keys: All keys, as ``from_api``.
        users: The roles of each account.
        now: The time.
        own: Number of the key of this session, which is never deleted.

    Raises:
        Refused: the account is missing, may not use the API, or may delete data.
    """
    made, name, username = Plan(), item["name"], item["username"]
    line = sorted((one for one in keys if generation(one, name)), key=lambda one: generation(one, name))
    if item["state"] == "absent":
        refuse([f"key {own} ({name}) is the one of this session" for one in line if one["id"] == own], noun="API keys")
        for one in line:
            _delete(made, one)
        return made
    problems = [f"{one['name']} belongs to {one['username']}, not {username}" for one in line if one["username"] != username]
    roles = users.get(username)
    if roles is None:
        problems.append(f"there is no account {username}")
    elif not roles:
        problems.append(f"{username} has no privilege, so its keys would be denied")
    elif not item["allow_delete"] and (deleting := sorted(role for role in roles if role == "FULL_ADMIN" or role.endswith("_DELETE"))):
        problems.append(f"{username} may delete data ({', '.join(deleting)}); give it a privilege without, or set allow_delete")
    refuse(problems, noun="API keys")
    valid = [one for one in line if one["state"] == "valid"]
    newest = valid[-1] if valid else None
    due = newest is not None and newest["days_left"] is not None and newest["days_left"] < item["renew_before"]
    if newest is None or due or item["rotate"]:
        number = max((generation(one, name) for one in line), default=0) + 1
        payload = {"name": name if number == 1 else f"{name} ({number})", "username": username}
        if item["expires_in"]:
            payload["expires_at"] = {"$date": int((now + datetime.timedelta(days=item["expires_in"])).timestamp() * 1000)}
        made.diff.add(f"{payload['name']}.state", before="absent", after="valid")
        made.diff.add(f"{payload['name']}.expires_in_days", before=None, after=item["expires_in"] or None)
        made.add("api_key.create", payload, what=payload["name"])
        return made
    began = moment(newest["created_at"]) or now
    if now - began >= datetime.timedelta(days=item["overlap"]):
        for one in line:
            if one["id"] not in (newest["id"], own):
                _delete(made, one)
    return made


def _delete(made: Plan, one: Entry) -> None:
    made.diff.add(f"{one['name']}.state", before=one["state"], after="absent")
    made.add("api_key.delete", one["id"], what=one["name"])
