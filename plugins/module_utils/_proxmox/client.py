# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The Proxmox VE API: one session, typed errors, and only those retries that cannot do a thing twice."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
import typing as t

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, AuthenticationError, ConnectionFailed, PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import (
    CertificateRejected,
    WorkerNotStarted,
    WriteUnanswered,
    from_answer,
    from_tls,
)

try:
    import requests
    import requests.adapters
    import requests.cookies
    from proxmoxer.backends.https import JsonSerializer, ProxmoxHTTPApiTokenAuth, ProxmoxHttpSession
    from proxmoxer.core import ProxmoxResource, ResourceException

    LIBRARY_MISSING = ""
except ImportError as exc:
    LIBRARY_MISSING = str(exc)

# Seconds to connect, and to wait for an answer: the server holds a configuration change for up to 30 s, twice through a proxy node.
TIMEOUT = (10, 75)
# A ticket lives for two hours.
TICKET_AGE = 3600
RETRY_AFTER = (0.3, 1.0, 2.0)

Params = t.Mapping[str, t.Any]


@dataclasses.dataclass(frozen=True)
class Connection:
    """Where the API is and who asks.

    Args:
        host: Name or address.
        port: TCP port.
        user: User with realm.
        password: Password; or
        token_id: Name of an API token, with or without ``user@realm!`` before it, and
        token_secret: Its secret.
        validate_certs: Whether the server has to prove who it is.
        ca_path: File with the CA that signed the server's certificate.
    """

    host: str
    port: int = 8006
    user: str = "root@pam"
    password: str | None = dataclasses.field(default=None, repr=False)
    token_id: str | None = None
    token_secret: str | None = dataclasses.field(default=None, repr=False)
    validate_certs: bool = True
    ca_path: str | None = None

    @property
    def url(self) -> str:
        """The endpoint, as messages name it."""
        host = f"[{self.host}]" if ":" in self.host and not self.host.startswith("[") else self.host
        return f"https://{host}:{self.port}"

    @property
    def who(self) -> str:
        """User or token, as messages name it."""
        return f"token {self.user}!{self.token_name}" if self.token_id else f"user {self.user}"

    @property
    def token_name(self) -> str:
        """Name of the token without its owner."""
        return (self.token_id or "").rpartition("!")[2]

    @property
    def token_owner(self) -> str:
        """Owner of the token."""
        return (self.token_id or "").rpartition("!")[0] or self.user

    @property
    def verify(self) -> str | bool:
        """What ``requests`` calls *verify*. Given with every request, because REQUESTS_CA_BUNDLE overrides a session's own."""
        if not self.validate_certs:
            return False
        return self.ca_path or os.environ.get("REQUESTS_CA_BUNDLE") or True


class TicketAuth:
    """Password authentication: logs in at the first request, again when the ticket gets old. Shaped as proxmoxer's own classes."""

    def __init__(self, login: t.Callable[[], tuple[str, str]], verify: str | bool, clock: t.Callable[[], float] = time.monotonic) -> None:
        self.timeout, self.verify_ssl, self.cert = TIMEOUT, verify, None
        self._login, self._clock = login, clock
        self._lock = threading.Lock()
        self._tokens: tuple[str, str] | None = None
        self._born = 0.0

    def _current(self) -> tuple[str, str]:
        with self._lock:
            if self._tokens is None or self._clock() - self._born > TICKET_AGE:
                self._tokens = self._login()
                self._born = self._clock()
            return self._tokens

    def forget(self) -> None:
        """Log in again at the next request."""
        with self._lock:
            self._tokens = None

    def get_cookies(self) -> t.Any:
        """Called by proxmoxer's session."""
        return requests.cookies.cookiejar_from_dict({"PVEAuthCookie": self._current()[0]})  # type: ignore[no-untyped-call]

    def __call__(self, request: t.Any) -> t.Any:
        if request.method != "GET":
            request.headers["CSRFPreventionToken"] = self._current()[1]
        return request


class ProxmoxClient:
    """Speaks to one endpoint. Safe to be used by several threads.

    Args:
        connection: Where and who.
        concurrency: How many requests may be on their way at once.
        sleep: Called with seconds between retries.

    Raises:
        PlatformError: ``proxmoxer`` or ``requests`` is not installed.
    """

    def __init__(self, connection: Connection, *, concurrency: int = 6, sleep: t.Callable[[float], None] = time.sleep) -> None:
        if LIBRARY_MISSING:
            raise PlatformError(missing_required_lib("proxmoxer", reason="(and requests) on the host that runs this task"))
        self.connection = connection
        self.requests_sent = 0
        self._sleep = sleep
        self._count = threading.Lock()
        self._slots = threading.BoundedSemaphore(concurrency)
        self._session = self._configured(ProxmoxHttpSession(), concurrency)
        self._session.headers["accept"] = JsonSerializer().get_accept_types()
        self._session.auth = self._authentication(concurrency)
        self._api = ProxmoxResource(base_url=f"{connection.url}/api2/json", session=self._session, serializer=JsonSerializer())

    def _configured(self, session: t.Any, pool: int) -> t.Any:
        """Keep netrc, proxies and CA bundles of the environment away from *session*."""
        session.trust_env = False
        session.mount("https://", adapter(pool))
        return session

    def _authentication(self, pool: int) -> t.Any:
        connection = self.connection
        if connection.token_id:
            return ProxmoxHTTPApiTokenAuth(
                connection.token_owner, connection.token_name, connection.token_secret, verify_ssl=connection.verify, timeout=TIMEOUT
            )
        login = self._configured(requests.Session(), pool)
        return TicketAuth(lambda: self._log_in(login), connection.verify)

    def _log_in(self, session: t.Any) -> tuple[str, str]:
        """Return ticket and CSRF token for user and password."""
        connection = self.connection
        self._counted()
        data = {"username": connection.user, "password": connection.password}
        answer = session.post(f"{connection.url}/api2/json/access/ticket", data=data, verify=connection.verify, timeout=TIMEOUT)
        if answer.status_code != 200:
            raise self._error("POST", "access/ticket", answer.status_code, str(answer.reason), None)
        found = answer.json()["data"]
        if found.get("NeedTFA"):
            raise AuthenticationError(
                f"{connection.url} wants a second factor of {connection.who}.",
                status=200,
                method="POST",
                path="/access/ticket",
                hint="Use an API token: api_token_id and api_token_secret.",
            )
        return found["ticket"], found["CSRFPreventionToken"]

    def get(self, path: str, /, **params: t.Any) -> t.Any:
        """Read *path* and return its data."""
        return self.request("GET", path, params)

    def post(self, path: str, /, **params: t.Any) -> t.Any:
        """Send a POST; returns data, often a task's UPID."""
        return self.request("POST", path, params)

    def put(self, path: str, /, **params: t.Any) -> t.Any:
        """Send a PUT."""
        return self.request("PUT", path, params)

    def delete(self, path: str, params: Params) -> t.Any:
        """Send a DELETE; its parameters go into the query, a body is refused with 501."""
        return self.request("DELETE", path, params)

    def request(self, method: str, path: str, params: Params) -> t.Any:
        """Send a request, and again where that cannot do anything twice: a GET without an answer, a write that was not begun.

        Raises:
            AuthenticationError: 401.
            PermissionDenied: 403; the hint names the privilege.
            NotFound, DigestMismatch, AlreadyExists, Locked, AgentNotReady, ApiError: what the server said.
            CertificateRejected: the server's certificate.
            WriteUnanswered: a write got no answer: read before doing it again.
            ConnectionFailed: no connection.
            Refused: ca_path is no certificate file.
        """
        renewed = False
        for pause in (*RETRY_AFTER, None):
            try:
                return self._send(method, path, params)
            except AuthenticationError as exc:
                # A ticket may have been revoked or expired under us; a request that got 401 was not carried out.
                if renewed or not isinstance(self._session.auth, TicketAuth) or pause is None or exc.path == "/access/ticket":
                    raise
                renewed = True
                self._session.auth.forget()
            except CertificateRejected:
                raise
            except (ConnectionFailed, WorkerNotStarted) as exc:
                if pause is None or (method != "GET" and not isinstance(exc, WorkerNotStarted)):
                    raise
                self._sleep(pause)
        raise AssertionError("unreachable")

    def _counted(self) -> None:
        with self._count:
            self.requests_sent += 1

    def _send(self, method: str, path: str, params: Params) -> t.Any:
        """Send one request once."""
        resource = self._api(path)
        values = {key: value for key, value in params.items() if value is not None}
        call = {"GET": resource.get, "POST": resource.post, "PUT": resource.put, "DELETE": resource.delete}[method]
        try:
            with self._slots:
                self._counted()
                data = call(**values)
        except ResourceException as exc:
            raise self._error(method, path, exc.status_code, str(exc.content), exc.errors) from None
        except requests.exceptions.SSLError as exc:
            raise from_tls(exc, method=method, path=path, url=self.connection.url) from None
        except requests.exceptions.RequestException as exc:
            raise self._unanswered(method, path, exc) from None
        except OSError as exc:
            raise Refused(f"Cannot use ca_path {self.connection.ca_path}: {exc}.", hint="Give a readable PEM file.") from None
        if isinstance(data, dict) and isinstance(data.get("errors"), bytes):
            raise ApiError(
                f"{self.connection.url} answered {method} /{path} with something that is not JSON.",
                method=method,
                path=f"/{path}",
                hint="Is api_host with api_port a Proxmox VE API, without a proxy's page before it?",
            )
        return data

    def _error(self, method: str, path: str, status: int, said: str, errors: t.Any) -> ApiError:
        named = {str(key): str(value).strip() for key, value in errors.items()} if isinstance(errors, dict) else None
        if named and set(named) == {"errors"}:
            named = None  # proxmoxer's stand-in for a body that is not JSON
        return from_answer(
            method=method, path=path, status=status, said=said, errors=named, url=self.connection.url, who=self.connection.who
        )

    def _unanswered(self, method: str, path: str, exc: Exception) -> ConnectionFailed:
        """Tell apart what never left this machine from what may have been done."""
        never_sent = isinstance(exc, (requests.exceptions.ConnectTimeout, requests.exceptions.ProxyError)) or "NewConnectionError" in repr(exc)
        kind = ConnectionFailed if never_sent or method == "GET" else WriteUnanswered
        return kind(
            f"No answer from {self.connection.url} to {method} /{path}: {_reason(exc)}.",
            method=method,
            path=f"/{path}",
            said=_reason(exc),
            hint="Check api_host, api_port, the network and that pveproxy runs." if never_sent else "",
        )


def adapter(pool: int) -> t.Any:
    """Return the transport below the session; tests put theirs in its place."""
    return requests.adapters.HTTPAdapter(pool_connections=1, pool_maxsize=pool)


def _reason(exc: Exception) -> str:
    """Return the innermost reason of an error of ``requests`` without its object addresses."""
    inner: t.Any = exc
    while getattr(inner, "reason", None) or (inner.args and isinstance(inner.args[0], Exception)):
        inner = getattr(inner, "reason", None) or inner.args[0]
    text = str(inner.args[-1] if inner.args else inner) or type(inner).__name__
    return text.rpartition(">: ")[2] or text
