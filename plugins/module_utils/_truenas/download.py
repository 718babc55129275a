# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Files that the server makes, by HTTP beside the WebSocket: ``core.download`` gives out an address that is good once and for a minute."""

from __future__ import annotations

import http.client
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, ConnectionFailed, NotFound
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Settings, tls_context

PIECE = 1 << 20
_BROKEN = (OSError, http.client.HTTPException)


def connect(settings: Settings) -> http.client.HTTPConnection:
    """Return a connection to the web server of a system; it connects at its first request. Plaintext was refused at the log-in."""
    if settings.protocol == "ws":
        return http.client.HTTPConnection(settings.host, settings.port, timeout=settings.timeout)
    return http.client.HTTPSConnection(settings.host, settings.port, timeout=settings.timeout, context=tls_context(settings))


class Downloads:
    """Downloads of one session, over one connection that is kept.

    Args:
        client: The session that asks for them.
        connect: Makes the connection.
    """

    def __init__(self, client: TrueNasClient, *, connect: t.Callable[[Settings], http.client.HTTPConnection] = connect) -> None:
        self.client = client
        self._connect = connect
        self._http: http.client.HTTPConnection | None = None

    def __enter__(self) -> Downloads:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._http is not None:
            self._http.close()
        self._http = None

    def pieces(self, method: str, params: t.Sequence[t.Any], *, filename: str, what: str) -> t.Iterator[bytes]:
        """Yield what *method* writes. The server says neither how much that is nor whether it came to the end: the caller has to know.

        Raises:
            ApiError: the server refused; ConnectionFailed: it broke off.
        """
        try:
            answer = self._answer(method, params, filename, what)
            while piece := answer.read(PIECE):
                yield piece
        except _BROKEN as exc:
            self.close()
            raise ConnectionFailed(f"The download of {what} from {self.client.settings.address} broke off: {exc or type(exc).__name__}.", path=what) from exc

    def _answer(self, method: str, params: t.Sequence[t.Any], filename: str, what: str) -> http.client.HTTPResponse:
        kept = self._http is not None
        try:
            return self._get(method, params, filename, what)
        except _BROKEN:
            # A web server may close what was idle; the address may be used up by then, so a new one is asked for.
            self.close()
            if not kept:
                raise
        return self._get(method, params, filename, what)

    def _get(self, method: str, params: t.Sequence[t.Any], filename: str, what: str) -> http.client.HTTPResponse:
        _job, path = self.client.call("core.download", method, list(params), filename, False, what=what)
        if self._http is None:
            self._http = self._connect(self.client.settings)
        self._http.request("GET", path)
        answer = self._http.getresponse()
        if answer.status != 200:
            answer.read()
            kind = NotFound if answer.status in (404, 410) else ApiError
            # The address holds a token: it is not shown.
            raise kind(f"{self.client.settings.address} gave HTTP status {answer.status} for the download of {what}.", status=answer.status, path=what)
        return answer
