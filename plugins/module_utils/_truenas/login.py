# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Logging in: by SCRAM where the server has it, by the plain key or password over TLS where it has not."""

from __future__ import annotations

import errno
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas import scram
from ansible_collections.resilient.platform.plugins.module_utils._truenas.errors import CALL_ERROR, login_error, to_error
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Settings

METHOD = "auth.login_ex"
Ask = t.Callable[[dict[str, t.Any]], dict[str, t.Any]]


class Busy(Exception):
    """Too many log-ins from this address; later is early enough."""


def _answer(reply: t.Mapping[str, t.Any], settings: Settings) -> dict[str, t.Any]:
    """Return the result of one message of a log-in.

    Raises:
        Busy: the server's limit is reached.
        ApiError: it is no result.
    """
    error = reply.get("error")
    if error and error.get("code") == CALL_ERROR and (error.get("data") or {}).get("error") == errno.EBUSY:
        raise Busy()
    if error:
        raise to_error(error, method=METHOD, what=settings.username, address=settings.address)
    result = reply.get("result")
    return result if isinstance(result, dict) else {}


def by_scram(ask: Ask, settings: Settings, certificate: bytes | None) -> None:
    """Log in without sending the key.

    The log-in is bound to the certificate where nobody checks that. Where it is checked it is not bound: a proxy with a trusted
    certificate may stand between.

    Raises:
        Busy: too many log-ins.
        ApiError: refused, or the server could not prove itself.
    """
    binding = None if settings.validate_certs else scram.endpoint(certificate)
    exchange = scram.Exchange(settings.username, settings.api_key, binding=binding)
    result = _answer(ask({"mechanism": "SCRAM", "scram_type": "CLIENT_FIRST_MESSAGE", "rfc_str": exchange.first()}), settings)
    if result.get("response_type") == "SCRAM_RESPONSE":
        result = _answer(ask({"mechanism": "SCRAM", "scram_type": "CLIENT_FINAL_MESSAGE", "rfc_str": exchange.final(str(result.get("rfc_str")))}), settings)
        if result.get("response_type") == "SCRAM_RESPONSE":
            exchange.check(result.get("rfc_str"))
            return
    raise login_error(result, username=settings.username, address=settings.address, told_apart=False)


def plain(ask: Ask, settings: Settings) -> None:
    """Log in with the key or password itself.

    Raises:
        Busy: too many log-ins.
        ApiError: refused.
    """
    data = {"mechanism": "API_KEY_PLAIN", "username": settings.username, "api_key": settings.api_key}
    if not settings.api_key:
        data = {"mechanism": "PASSWORD_PLAIN", "username": settings.username, "password": settings.password}
    result = _answer(ask({**data, "login_options": {"user_info": False}}), settings)
    if result.get("response_type") != "SUCCESS":
        raise login_error(result, username=settings.username, address=settings.address)
