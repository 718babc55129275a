# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""From the server's error objects to this collection's errors; by code and errno, never by message text."""

from __future__ import annotations

import errno
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
)

METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
CALL_ERROR = -32001
NOT_AUTHENTICATED = 207
DATASET_LOCKED = 205

_CONFLICTS = {errno.EEXIST, errno.EBUSY, errno.ENOTEMPTY, DATASET_LOCKED}
_DENIED = {errno.EACCES, errno.EPERM}


class CredentialExpired(AuthenticationError):
    """The key or account is known, but expired or revoked."""


class OtpRequired(AuthenticationError):
    """The account wants a one-time password, which no unattended run can give."""


class StandbyNode(ConnectionFailed):
    """This is the standby controller of a pair; ``details['urls']`` are the addresses of the active one."""


class MethodMissing(ApiError):
    """This version of TrueNAS does not have the method."""


def errors_by_field(extra: t.Any) -> dict[str, str]:
    """Return the messages by the last component of the attribute's name.

    The server names an attribute ``data.quota`` or ``pool_dataset_create.quota`` depending on which of its layers refused.
    Indexes of lists are kept: ``source_datasets.0``.
    """
    found: dict[str, str] = {}
    for item in extra or []:
        if not isinstance(item, (list, tuple)) or len(item) < 2:
            continue
        parts = str(item[0] or "").split(".")
        name = parts[-1]
        if name.isdigit() and len(parts) > 1:
            name = ".".join(parts[-2:])
        message = str(item[1])
        found[name] = f"{found[name]}; {message}" if name in found else message
    return found


def _class_for(code: int, data: t.Mapping[str, t.Any]) -> type[ApiError]:
    number = data.get("error")
    if code == METHOD_NOT_FOUND:
        return MethodMissing
    numbers = {item[2] for item in data.get("extra") or [] if isinstance(item, (list, tuple)) and len(item) > 2}
    if code == INVALID_PARAMS and numbers == {errno.ENOENT}:
        return NotFound
    if code == INVALID_PARAMS and numbers and numbers <= _CONFLICTS:
        return Conflict
    if code != CALL_ERROR:
        return ApiError
    trace = data.get("trace") or {}
    if number == errno.ENOENT or trace.get("class") == "MatchNotFound":
        return NotFound
    if number == NOT_AUTHENTICATED:
        return AuthenticationError
    if number in _DENIED:
        return PermissionDenied
    return Conflict if number in _CONFLICTS else ApiError


def hint_for(kind: type[ApiError]) -> str:
    """Return what can be done about an error of this kind."""
    if kind is MethodMissing:
        return "This version of TrueNAS does not offer it; see the module's requirements."
    if kind is PermissionDenied:
        return "Give the account a role that may do this."
    if kind is AuthenticationError:
        return "The session is not logged in any more; run again."
    return ""


def to_error(error: t.Mapping[str, t.Any], *, method: str, what: str, address: str) -> ApiError:
    """Return the error for a JSON-RPC error object.

    Args:
        error: ``{code, message, data: {error, errname, reason, extra, trace}}``.
        method: The method that was called.
        what: The object it was called on.
        address: ``host:port`` of the system.
    """
    code = int(error.get("code") or 0)
    data = error.get("data") or {}
    said = str(data.get("reason") or error.get("message") or "no reason given").strip()
    kind = _class_for(code, data)
    target = f" on {what}" if what else ""
    return kind(
        f"{method}{target} at {address} failed: {said}",
        status=code,
        method=method,
        path=what,
        said=said,
        errors=errors_by_field(data.get("extra")),
        hint=hint_for(kind),
    )


def login_error(reply: t.Mapping[str, t.Any], *, username: str, address: str, told_apart: bool = True) -> ApiError:
    """Return the error for a reply of ``auth.login_ex`` that is not a success. A refusal is a result there, not an error.

    Args:
        reply: What came back.
        username: The account.
        address: ``host:port`` of the system.
        told_apart: Whether the mechanism tells a wrong key from one that has ended; SCRAM does not.
    """
    kind = str(reply.get("response_type"))
    tried = f"Log-in of {username} to {address} failed: {kind}"
    common: dict[str, t.Any] = {"method": "auth.login_ex", "path": username, "said": kind}
    if kind == "AUTH_ERR":
        if told_apart:
            # From 26 on a key that was revoked and has no date of expiry is answered in this way too.
            hint = "Check api_username and api_key or api_password, and whether the key was revoked."
            return AuthenticationError(f"{tried}, wrong user name, key or password.", hint=hint, **common)
        hint = "Look at the keys of the account in TrueNAS: SCRAM does not tell a wrong key from one that has expired or was revoked."
        return AuthenticationError(f"{tried}, the key is wrong, expired or revoked, or belongs to somebody else.", hint=hint, **common)
    if kind == "DENIED":
        return PermissionDenied(
            f"{tried}, the log-in is right but the account may not use the API.", hint="Give the account's group a privilege with API access.", **common
        )
    if kind == "EXPIRED":
        return CredentialExpired(
            f"{tried}, the key or account has expired or was revoked.",
            hint="Make a new key. TrueNAS revokes a key that reached it over plaintext, also behind a TLS proxy that forwards plain HTTP.",
            **common,
        )
    if kind == "OTP_REQUIRED":
        return OtpRequired(f"{tried}, a second factor is asked for.", hint="Use api_key: an API key needs no second factor.", **common)
    if kind == "REDIRECT":
        urls = ", ".join(reply.get("urls") or []) or "unknown"
        hint = f"Set api_host to the pair's virtual address; active now: {urls}."
        found = StandbyNode(f"{tried}, this is the standby controller of a pair.", hint=hint, **common)
        found.details["urls"] = list(reply.get("urls") or [])
        return found
    return AuthenticationError(f"{tried}, which this collection does not know.", **common)
