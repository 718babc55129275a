# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The wire: one WebSocket to a TrueNAS system, as text in and text out.

Only this file knows websocket-client. The server speaks HTTP/1.1 upgrades only, so ALPN must not offer h2.
"""

from __future__ import annotations

import dataclasses
import http.client
import ipaddress
import json
import pathlib
import socket
import ssl
import traceback
import typing as t
import urllib.error
import urllib.request

from ansible.module_utils.basic import missing_required_lib

from ansible_collections.resilient.platform.plugins.module_utils._errors import ConnectionFailed, PlatformError, Refused

try:
    import websocket
except ImportError:
    HAS_WEBSOCKET = False
    WEBSOCKET_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    HAS_WEBSOCKET = True
    WEBSOCKET_IMPORT_ERROR = None


# A system that lost its power says no good-bye: the kernel notices within a minute and a half, also in a job of hours.
_KEEP_ALIVE = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)] + [
    (socket.IPPROTO_TCP, getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
]


@dataclasses.dataclass(frozen=True)
class Settings:
    """Where a system is and who asks.

    Args:
        host: Name or address.
        port: TCP port.
        username: Account of the key or password.
        api_key: API key (``<id>-<64 characters>``), or
        password: the account's password.
        protocol: ``wss``, or ``ws`` (loopback only).
        validate_certs: Whether the server's certificate must be trusted.
        ca_path: File or directory of CA certificates; empty for the system's.
        api_version: ``current`` or a version such as ``v25.10.2``.
        timeout: Seconds to wait for the connection and for the answer of a call.
    """

    host: str
    port: int = 443
    username: str = ""
    api_key: str = dataclasses.field(default="", repr=False)
    password: str = dataclasses.field(default="", repr=False)
    protocol: str = "wss"
    validate_certs: bool = True
    ca_path: str = ""
    api_version: str = "current"
    timeout: float = 60.0

    @property
    def address(self) -> str:
        """``host:port``, with brackets around an IPv6 address."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The endpoint of JSON-RPC 2.0."""
        return f"{self.protocol}://{self.address}/api/{self.api_version}"


class Lost(Exception):
    """The connection broke while it was in use."""


class Socket(t.Protocol):
    """What the client needs of a connection."""

    def send(self, text: str) -> None:
        """Send one text frame. Raises ``Lost``."""

    def receive(self, timeout: float) -> str | None:
        """Return the next text frame, or None after *timeout* seconds. Raises ``Lost``."""

    def certificate(self) -> bytes | None:
        """Return the certificate that the server showed, in DER; None without TLS."""

    def close(self) -> None:
        """Close; never raises."""


def is_loopback(host: str) -> bool:
    """Whether *host* is this machine; names other than ``localhost`` count as elsewhere."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refuse_plaintext(settings: Settings) -> None:
    """Refuse to send a credential in the clear to another machine.

    TrueNAS revokes an API key at once when it arrives over plaintext from elsewhere, so this protects the key too.

    Raises:
        Refused: *settings* would do so.
    """
    if settings.protocol == "wss" or is_loopback(settings.host):
        return
    raise Refused(
        f"Will not log in to {settings.url}: the credential would cross the network in plaintext, and TrueNAS revokes a key that does.",
        hint="Use api_protocol: wss. Plaintext is for the loopback address only.",
    )


def tls_context(settings: Settings) -> ssl.SSLContext:
    """Return the TLS settings for a connection.

    Raises:
        Refused: ``ca_path`` does not exist or holds no certificates.
    """
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if not settings.validate_certs:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    if settings.ca_path:
        path = pathlib.Path(settings.ca_path)
        try:
            if path.is_dir():
                context.load_verify_locations(capath=str(path))
            else:
                context.load_verify_locations(cafile=str(path))
        except (OSError, ssl.SSLError) as exc:
            raise Refused(
                f"Cannot use ca_path {settings.ca_path}: {exc}.", hint="Give a PEM file, or a directory made by openssl rehash."
            ) from exc
    return context


class WebSocket:
    """A ``Socket`` on websocket-client."""

    def __init__(self, raw: t.Any) -> None:
        self._raw = raw

    def send(self, text: str) -> None:
        try:
            self._raw.send(text)
        except (OSError, websocket.WebSocketException) as exc:
            raise Lost(str(exc)) from exc

    def receive(self, timeout: float) -> str | None:
        self._raw.settimeout(max(timeout, 0.001))
        try:
            frame = self._raw.recv()
        except websocket.WebSocketTimeoutException:
            return None
        except (OSError, UnicodeDecodeError, websocket.WebSocketException) as exc:
            raise Lost(str(exc)) from exc
        if not frame:
            # websocket-client returns an empty string when the server has closed.
            raise Lost("the server closed the connection")
        return frame if isinstance(frame, str) else bytes(frame).decode()

    def certificate(self) -> bytes | None:
        shown = getattr(self._raw.sock, "getpeercert", None)
        return shown(binary_form=True) if shown else None

    def close(self) -> None:
        try:
            self._raw.close(timeout=1)
        except (OSError, websocket.WebSocketException):
            pass
        # close() leaves the socket open where the server was the first to say good-bye.
        self._raw.shutdown()


def _unreachable(settings: Settings, exc: BaseException) -> ConnectionFailed:
    """Return the error for a connection that does not come about."""
    cause = exc.reason if isinstance(exc, urllib.error.URLError) and isinstance(exc.reason, BaseException) else exc
    if isinstance(cause, ssl.SSLCertVerificationError):
        return ConnectionFailed(
            f"Cannot connect to {settings.url}: the certificate is not trusted: {cause.verify_message}.",
            said=str(cause.verify_message),
            hint="Give the CA in ca_path, or check that this is the right host. validate_certs: false is for tests only.",
        )
    return ConnectionFailed(f"Cannot connect to {settings.url}: {cause}.", said=str(cause), hint="Check api_host, api_port, and that the system is up.")


def served_versions(settings: Settings) -> list[str]:
    """Return the versions of the API that a system has, such as ``v25.10.2``; none where it does not say.

    Raises:
        ConnectionFailed: nobody answers, or the certificate is not trusted.
    """
    scheme = "https" if settings.protocol == "wss" else "http"
    handlers = [urllib.request.HTTPSHandler(context=tls_context(settings))] if scheme == "https" else []
    opener = urllib.request.build_opener(*handlers)
    try:
        with opener.open(f"{scheme}://{settings.address}/api/versions", timeout=settings.timeout) as answer:
            found = json.loads(answer.read(65536))
    except (urllib.error.HTTPError, ValueError):
        # An old system, or a proxy that lets only the WebSocket through.
        return []
    except (OSError, http.client.HTTPException) as exc:
        raise _unreachable(settings, exc) from exc
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def open_socket(settings: Settings) -> Socket:
    """Connect to a system.

    Raises:
        ConnectionFailed: nobody answers, the certificate is not trusted, or it is no TrueNAS API.
        PlatformError: websocket-client is missing.
    """
    if not HAS_WEBSOCKET:
        raise PlatformError(missing_required_lib("websocket-client"), details={"exception": WEBSOCKET_IMPORT_ERROR})
    refuse_plaintext(settings)
    options = {"context": tls_context(settings)} if settings.protocol == "wss" else {}
    try:
        # Its own check of UTF-8 is in Python and takes most of the time of a large answer; decoding checks it as well.
        more: dict[str, t.Any] = {"enable_multithread": False, "skip_utf8_validation": True}
        raw = websocket.create_connection(settings.url, timeout=settings.timeout, sslopt=options, sockopt=_KEEP_ALIVE, **more)
    except websocket.WebSocketBadStatusException as exc:
        raise ConnectionFailed(
            f"Cannot connect to {settings.url}: HTTP status {exc.status_code} instead of a WebSocket.",
            status=exc.status_code,
            hint="Check api_host, api_port and api_version; JSON-RPC needs TrueNAS 25.04 or later.",
        ) from exc
    except (OSError, websocket.WebSocketException) as exc:
        raise _unreachable(settings, exc) from exc
    return WebSocket(raw)
