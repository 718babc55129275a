# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Typed errors that clients raise and that only a module's ``main`` turns into ``fail_json``.

Every message says what was attempted, on what, what the other side said, and what to do.
"""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


class PlatformError(Exception):
    """Base of all errors of this collection.

    Args:
        message: What was attempted and on what, and what came back. One or two sentences, no secrets.
        hint: What the user can do about it.
        details: Machine-readable facts (no secrets) that are returned under ``error``.
    """

    def __init__(self, message: str, *, hint: str = "", details: t.Mapping[str, t.Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, t.Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()

    @property
    def kind(self) -> str:
        """Name of the error class, for tests of playbooks (``error.type``)."""
        return type(self).__name__

    def as_result(self) -> dict[str, t.Any]:
        """Return the keyword arguments for ``fail_json``."""
        return {"msg": str(self), "error": {"type": self.kind, "message": self.message, "hint": self.hint, **self.details}}

    def fail(self, module: AnsibleModule, **result: t.Any) -> t.NoReturn:
        """End *module* with this error; *result* is what is known to have been done so far."""
        module.fail_json(**{**result, **self.as_result()})
        raise AssertionError("fail_json does not return")


class Refused(PlatformError):
    """The input or the state forbids the operation; nothing was written."""


class ApiError(PlatformError):
    """A server answered with an error.

    Args:
        message: What was attempted, on what, and what the server said.
        status: HTTP status or JSON-RPC code, if there was one.
        method: HTTP verb or RPC method.
        path: Path or object.
        said: The server's own words, without secrets.
        errors: Errors by field, as the server named them.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        method: str = "",
        path: str = "",
        said: str = "",
        errors: t.Mapping[str, str] | None = None,
        hint: str = "",
    ) -> None:
        details: dict[str, t.Any] = {"status": status, "method": method, "path": path, "said": said}
        if errors:
            details["errors"] = dict(errors)
        super().__init__(message, hint=hint, details=details)
        self.status = status
        self.method = method
        self.path = path
        self.said = said
        self.errors = dict(errors or {})


class AuthenticationError(ApiError):
    """The server did not accept the credentials."""


class PermissionDenied(ApiError):
    """The credentials are good but not allowed to do this."""


class NotFound(ApiError):
    """The object does not exist."""


class Conflict(ApiError):
    """The object changed meanwhile, exists already, or is locked."""


class ConnectionFailed(ApiError):
    """No answer: refused, reset, timed out, or a certificate that is not trusted."""


class TaskFailed(ApiError):
    """A task or job of the server ended with an error.

    Args:
        message: What was attempted, and the exit status.
        log: The last lines of the task's log.
    """

    def __init__(self, message: str, *, log: t.Sequence[str] = (), **kwargs: t.Any) -> None:
        super().__init__(message, **kwargs)
        self.log = list(log)
        self.details["log"] = self.log


class WaitTimeout(PlatformError):
    """A condition did not become true in time; ``details['last']`` is what was seen last."""
