"""Errors as the middleware raises them, and what they look like on the wire."""

from __future__ import annotations

import errno as errno_
import traceback
from typing import Any

INVALID_REQUEST, METHOD_NOT_FOUND, INVALID_PARAMS, INTERNAL = -32600, -32601, -32602, -32603
TOO_MANY_CALLS, CALL_ERROR, PARSE_ERROR = -32000, -32001, -32700
ENOTAUTHENTICATED, EREBOOTREQUIRED = 207, 209
_OWN_NAMES = {201: "ENOMETHOD", 205: "EDATASETISLOCKED", ENOTAUTHENTICATED: "ENOTAUTHENTICATED", EREBOOTREQUIRED: "EREBOOTREQUIRED"}


def errname(code: int) -> str:
    """Return the name of an errno, the middleware's own ones included."""
    return _OWN_NAMES.get(code) or errno_.errorcode.get(code, "EUNKNOWN")


class CallError(Exception):
    """A call that failed: errno and text. ``extra`` is for the client's eyes."""

    def __init__(self, text: str, code: int = errno_.EFAULT, extra: Any = None) -> None:
        super().__init__(f"[{errname(code)}] {text}")
        self.text, self.errno, self.extra = text, code, extra


class MatchNotFound(CallError):
    """``query`` with ``get`` found nothing."""

    def __init__(self) -> None:
        super().__init__("Object not found", errno_.ENOENT)


class ValidationErrors(Exception):
    """Any number of ``[attribute, message, errno]``; false while empty."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[tuple[str | None, str, int]] = []

    def add(self, attribute: str | None, message: str, code: int = errno_.EINVAL) -> None:
        self.errors.append((attribute, message, code))

    def __bool__(self) -> bool:
        return bool(self.errors)

    def __str__(self) -> str:
        return "".join(f"[{errname(code)}] {attribute or 'ALL'}: {message}\n" for attribute, message, code in self.errors)

    def check(self) -> None:
        """Raise itself if anything was added."""
        if self.errors:
            raise self


def invalid(attribute: str | None, message: str, code: int = errno_.EINVAL) -> ValidationErrors:
    """Return a validation error with one entry, to be raised."""
    found = ValidationErrors()
    found.add(attribute, message, code)
    return found


def not_found(what: str, key: object) -> ValidationErrors:
    """Return what ``get_instance`` raises."""
    return invalid(None, f"{what} {key} does not exist", errno_.ENOENT)


class RpcError(Exception):
    """An error of the protocol itself."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def _trace(exc: BaseException) -> dict[str, Any]:
    return {"class": type(exc).__name__, "formatted": "".join(traceback.format_exception(exc)), "repr": repr(exc)}


def to_wire(exc: BaseException) -> dict[str, Any]:
    """Return the ``error`` member for an exception."""
    if isinstance(exc, RpcError):
        return {"code": exc.code, "message": str(exc)}
    if isinstance(exc, ValidationErrors):
        return {"code": INVALID_PARAMS, "message": "Invalid params", "data": {
            "error": errno_.EINVAL, "errname": "EINVAL", "reason": str(exc), "trace": _trace(exc), "extra": [list(error) for error in exc.errors]}}
    code, extra = (exc.errno, exc.extra) if isinstance(exc, CallError) else (errno_.EINVAL, None)
    return {"code": CALL_ERROR, "message": "Method call error", "data": {
        "error": code, "errname": errname(code), "reason": str(exc), "trace": _trace(exc), "extra": extra}}
