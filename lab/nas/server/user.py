"""``user`` and ``privilege``, as far as logins and SSH keys need them."""

from __future__ import annotations

from typing import Any

from lab.nas.server.errors import not_found
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import NOT_REQUIRED, IdArgs, Model, QueryArgs

Entry = dict[str, Any]


def accounts(mw: Middleware) -> list[Entry]:
    """Return the accounts of this NAS. ``nobody-special`` has no privilege: its login is DENIED; ``second-factor`` is asked for a second one."""
    return [_account(mw, 1, "root", 0, privilege=True), _account(mw, 2, mw.config["username"], 3000, privilege=True),
            _account(mw, 3, "nobody-special", 3001, privilege=False),
            {**_account(mw, 5, "replicator", 3003, privilege=True), "roles": ["REPLICATION_ADMIN", "READONLY_ADMIN"]},
            {**_account(mw, 4, "second-factor", 3002, privilege=True), "twofactor_auth_configured": True}]


def _account(mw: Middleware, number: int, name: str, uid: int, *, privilege: bool) -> Entry:
    path = mw.dir / "home" / name / "authorized_keys"
    return {
        "id": number, "uid": uid, "username": name, "full_name": name.title(), "home": f"/home/{name}" if uid else "/root", "shell": "/usr/bin/zsh",
        "builtin": uid == 0, "locked": False, "smb": False, "local": True, "password_disabled": False, "ssh_password_enabled": False, "email": None,
        "sshpubkey": path.read_text() if path.exists() else None, "sudo_commands": [], "sudo_commands_nopasswd": ["ALL"] if privilege else [],
        "roles": ["FULL_ADMIN"] if privilege else [], "api_keys": [key["id"] for key in mw.store.table("api_key") if key["username"] == name],
        "twofactor_auth_configured": False, "groups": [], "immutable": uid == 0,
    }


def account(mw: Middleware, name: str) -> Entry | None:
    """Return the account with this name."""
    return next((one for one in accounts(mw) if one["username"] == name), None)


@method("user.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """Accounts."""
    return filter_list(accounts(call.mw), filters, options)


@method("user.get_instance", IdArgs)
def get_instance(call: Call, key: int) -> Any:
    """One account."""
    return _get(call.mw, key)


def _get(mw: Middleware, key: int) -> Entry:
    found = next((one for one in accounts(mw) if one["id"] == key), None)
    if found is None:
        raise not_found("User", key)
    return found


class Update(Model):
    """What can be changed of an account here."""

    sshpubkey: str | None = NOT_REQUIRED


class UpdateArgs(Model):
    """Arguments of update."""

    id: int
    data: Update


@method("user.update", UpdateArgs)
def update(call: Call, key: int, data: Entry) -> Any:
    """Set an account's SSH public keys; the rest of an account is fixed."""
    found = _get(call.mw, key)
    if "sshpubkey" in data:
        set_keys(call.mw, found["username"], data["sshpubkey"] or "")
    return _get(call.mw, key)


def set_keys(mw: Middleware, username: str, text: str) -> None:
    """Write an account's authorized_keys."""
    path = mw.dir / "home" / username / "authorized_keys"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if not text or text.endswith("\n") else f"{text}\n")
