"""``api_key``: keys of users; the text is shown once, the server keeps a hash."""

from __future__ import annotations

import datetime
import errno
import time
from typing import Any

from lab.nas.server.errors import ValidationErrors, not_found
from lab.nas.server.middleware import Call
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import IdArgs, Model, NonEmptyString, QueryArgs, for_update
from lab.nas.server.secret import hash_key, new_key
from lab.nas.server.user import account

Entry = dict[str, Any]


def _when(value: float | None) -> datetime.datetime | None:
    return None if value is None else datetime.datetime.fromtimestamp(value, datetime.timezone.utc)


def _show(entry: Entry, call: Call) -> Entry:
    user = account(call.mw, entry["username"])
    shown = {"id": entry["id"], "name": entry["name"], "username": entry["username"], "user_identifier": user["uid"] if user else "LEGACY_API_KEY",
             "keyhash": "********", "created_at": _when(entry["created_at"]), "expires_at": _when(entry["expires_at"]), "local": True,
             "revoked": entry["revoked"]}
    return shown | ({"revoked_reason": entry["revoked_reason"]} if call.mw.version >= "25.10" else {})


class Create(Model):
    """A new key."""

    name: NonEmptyString = "nobody"
    username: NonEmptyString
    expires_at: datetime.datetime | None = None


class CreateArgs(Model):
    """Arguments of create."""

    data: Create


class UpdateArgs(Model):
    """Arguments of update."""

    id: int
    data: for_update(Create, "ApiKeyUpdate", ("username",))  # type: ignore[valid-type]


@method("api_key.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """Keys, without their text."""
    return filter_list([_show(entry, call) for entry in call.mw.store.table("api_key")], filters, options)


@method("api_key.my_keys")
def my_keys(call: Call) -> Any:
    """The caller's keys."""
    assert call.session is not None and call.session.user is not None
    return query(call, [["username", "=", call.session.user["username"]]], {})


def _get(call: Call, key: int) -> Entry:
    entry = call.mw.store.find("api_key", key)
    if entry is None:
        raise not_found("ApiKey", key)
    return entry


@method("api_key.get_instance", IdArgs)
def get_instance(call: Call, key: int) -> Any:
    """One key, without its text."""
    return _show(_get(call, key), call)


@method("api_key.create", CreateArgs)
def create(call: Call, data: Entry) -> Any:
    """Make a key; the answer is the only place its text is ever in."""
    found = ValidationErrors()
    if any(entry["name"] == data["name"] for entry in call.mw.store.table("api_key")):
        found.add("api_key_create.name", "name must be unique", errno.EEXIST)
    if account(call.mw, data["username"]) is None:
        found.add("api_key_create", "User does not exist.")
    elif not (account(call.mw, data["username"]) or {})["roles"]:
        found.add("api_key_create", "User lacks privilege role membership.")
    if data["expires_at"] and data["expires_at"].timestamp() < time.time():
        found.add("api_key_create", "Expiration date is in the past")
    found.check()
    number, text = new_key(call.mw.store.next_id("api_key"))
    expires = data["expires_at"].timestamp() if data["expires_at"] else None
    entry = {**hash_key(text), "id": number, "name": data["name"], "username": data["username"], "revoked": False, "revoked_reason": None,
             "expires_at": expires, "created_at": time.time()}
    call.mw.store.insert("api_key", entry)
    return {**_show(entry, call), "key": text}


@method("api_key.update", UpdateArgs)
def update(call: Call, key: int, data: Entry) -> Any:
    """Change name or end of a key."""
    entry = _get(call, key)
    changes = {"expires_at": data["expires_at"].timestamp() if data["expires_at"] else None} if "expires_at" in data else {}
    changes |= {"name": data["name"]} if "name" in data else {}
    return _show(call.mw.store.update("api_key", entry["id"], changes), call)


@method("api_key.delete", IdArgs)
def delete(call: Call, key: int) -> Any:
    """Delete a key; whoever is logged in with it stays so."""
    call.mw.store.delete("api_key", _get(call, key)["id"])
    return True
