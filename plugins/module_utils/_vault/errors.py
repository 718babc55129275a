# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""From an answer of Vault or OpenBao to a typed error. Decided by status, never by the text of the message."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
)


class Unavailable(ApiError):
    """The node answers but cannot serve: sealed, not initialised, without a leader, or applying a restore."""


class NotLeader(ApiError):
    """The request has to go to the leader; ``details['leader_address']`` names it if known."""

    def __init__(self, message: str, *, leader_address: str = "", **kwargs: t.Any) -> None:
        super().__init__(message, **kwargs)
        self.details["leader_address"] = leader_address


class Incomplete(ApiError):
    """A stream ended before its end: the server failed after it had answered 200, or the connection broke."""


_HINTS: dict[type[ApiError], str] = {
    PermissionDenied: "Give the token's policy that path and capability, or use another token.",
    AuthenticationError: "The token or the role id and secret id are unknown, expired or revoked: log in again.",
    NotFound: "Check the path and the namespace.",
    Unavailable: "Look at the node with resilient.platform.vault_raft_info: it may be sealed, not initialised or without a leader.",
}

_BY_STATUS: dict[int, type[ApiError]] = {
    401: AuthenticationError,
    403: PermissionDenied,
    404: NotFound,
    412: Conflict,
    500: Unavailable,
    501: Unavailable,
    502: Unavailable,
    503: Unavailable,
}


def server_words(body: t.Any) -> str:
    """Return what the server said, in one line of at most 600 characters; empty if it said nothing."""
    if not isinstance(body, dict):
        return ""
    errors = [error for error in body.get("errors") or [] if isinstance(error, str)]
    text = "; ".join(" ".join(error.split()) for error in errors)
    return text if len(text) <= 600 else f"{text[:600]}…"


def from_status(status: int, body: t.Any, *, what: str, url: str, method: str, path: str) -> ApiError:
    """Return the error for an answer that is no success.

    Args:
        status: HTTP status.
        body: The decoded JSON body, or ``None``.
        what: What was attempted, such as ``read the policy 'backup'``.
        url: Address of the node.
        method: HTTP verb.
        path: API path without ``/v1/``.
    """
    kind = _BY_STATUS.get(status, ApiError)
    said = server_words(body)
    return kind(
        f"Cannot {what} at {url}: {status} {said or 'without an explanation'} ({method} {path}).",
        status=status,
        method=method,
        path=path,
        said=said,
        hint=_HINTS.get(kind, ""),
    )


def from_exception(exc: Exception, *, what: str, url: str, method: str, path: str) -> ConnectionFailed:
    """Return the error for a request that got no answer. The exception's own text may hold an URL, never a header."""
    import requests  # its absence would have stopped the module before any request

    if isinstance(exc, requests.exceptions.SSLError):
        reason, hint = f"its certificate is not trusted ({_reason(exc)})", "Set ca_path to the certificate of the authority that signed it."
    elif isinstance(exc, requests.exceptions.ConnectTimeout):
        reason, hint = "no connection in time", "Check address, port and firewall."
    elif isinstance(exc, requests.exceptions.Timeout):
        reason, hint = "no answer in time", "The request may have been carried out: look before you repeat it, and raise request_timeout."
    else:
        reason, hint = f"no answer ({_reason(exc)})", "Check address, port and whether the server runs."
    return ConnectionFailed(f"Cannot {what} at {url}: {reason} ({method} {path}).", method=method, path=path, said=reason, hint=hint)


def _reason(exc: BaseException) -> str:
    """Return the innermost reason; requests and urllib3 wrap it several times."""
    seen: BaseException = exc
    while True:
        inner = getattr(seen, "reason", None) or (seen.args[0] if seen.args and isinstance(seen.args[0], BaseException) else None)
        if not isinstance(inner, BaseException):
            return " ".join(str(seen).split())[:300]
        seen = inner
