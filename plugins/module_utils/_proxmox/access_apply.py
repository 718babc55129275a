# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Does what a plan about access says, in an order in which nobody ever has more than before and after."""

from __future__ import annotations

import contextlib

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access import AccessPlan
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access_state import Entry
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient


def apply_access(client: ProxmoxClient, plan: AccessPlan) -> str | None:
    """Do what *plan* says. Returns the secret of a new token.

    Raises:
        PermissionDenied: these credentials may not; with the privilege.
        Refused: the secret could not be written; a new token was removed again.
        ApiError: anything else that the server said.
    """
    # What is too much goes first, what is new comes last: a cut-off run leaves less, not more.
    for entry in plan.revoke:
        _put_entry(client, entry, remove=True)
    _remove(client, plan)
    _write_role(client, plan)
    _write_user(client, plan)
    secret = _write_token(client, plan)
    for entry in plan.grant:
        _put_entry(client, entry)
    return secret


def _put_entry(client: ProxmoxClient, entry: Entry, *, remove: bool = False) -> None:
    who = {"user": "users", "token": "tokens", "group": "groups"}[entry.kind]
    what = {"delete": 1} if remove else {"propagate": int(entry.propagate)}
    client.put("access/acl", path=entry.path, roles=entry.role, **{who: entry.who}, **what)


def _remove(client: ProxmoxClient, plan: AccessPlan) -> None:
    spec = plan.spec
    if plan.remove_token:
        client.delete(f"access/users/{spec.user}/token/{spec.token}", {})
    if plan.remove_user:
        client.delete(f"access/users/{spec.user}", {})
    if plan.remove_role:
        client.delete(f"access/roles/{spec.role}", {})


def _write_role(client: ProxmoxClient, plan: AccessPlan) -> None:
    if plan.role is None:
        return
    listed = ",".join(sorted(plan.role.privileges))
    if plan.spec.role in plan.state.roles:
        client.put(f"access/roles/{plan.role.name}", privs=listed)
    else:
        client.post("access/roles", roleid=plan.role.name, privs=listed)


def _write_user(client: ProxmoxClient, plan: AccessPlan) -> None:
    user = plan.user
    if user is None:
        return
    if plan.state.user is None:
        # Without a password nobody logs in as this user; its tokens do.
        client.post("access/users", userid=user.name, comment=user.comment or None, expire=user.expire)
    else:
        client.put(f"access/users/{user.name}", comment=user.comment, expire=user.expire)


def _write_token(client: ProxmoxClient, plan: AccessPlan) -> str | None:
    spec = plan.spec
    path = f"access/users/{spec.user}/token/{spec.token}"
    if plan.secret == "create":
        return _keep(client, plan, _create(client, plan, path), new=True)
    if plan.token:
        client.put(path, comment=plan.token.comment, expire=plan.token.expire, privsep=int(plan.token.separated))
    if plan.secret != "regenerate":
        return None
    try:
        answer = client.put(path, regenerate=1)
        value = str(answer["value"])
    except ApiError as exc:
        if "regenerate" not in exc.errors:
            raise
        value = _make_anew(client, plan, path)
    return _keep(client, plan, value, new=False)


def _create(client: ProxmoxClient, plan: AccessPlan, path: str) -> str:
    token = plan.token or plan.old_token
    if token is None:
        raise AssertionError("a token that is made is planned")
    return str(client.post(path, comment=token.comment or None, expire=token.expire, privsep=int(token.separated))["value"])


def _make_anew(client: ProxmoxClient, plan: AccessPlan, path: str) -> str:
    """An older server gives no new secret: the token is removed and made again, and its entries with it."""
    client.delete(path, {})
    value = _create(client, plan, path)
    for entry in plan.state.entries_of(str(plan.spec.token_id)):
        if entry not in plan.revoke:
            _put_entry(client, entry)
    return value


def _keep(client: ProxmoxClient, plan: AccessPlan, secret: str, *, new: bool) -> str:
    """Put the secret into its file; a new token whose secret nobody could keep does not stay."""
    spec = plan.spec
    if spec.secret_path:
        try:
            files.write_json(spec.secret_path, {"api_user": spec.user, "api_token_id": spec.token_id, "api_token_secret": secret})
        except PlatformError as exc:
            if new:
                with contextlib.suppress(PlatformError):
                    client.delete(f"access/users/{spec.user}/token/{spec.token}", {})
            else:
                exc.hint = f"{exc.hint} The old secret works no more; run again with regenerate: true."
            raise
    return secret
