# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Speaks HTTP to one node of Vault or OpenBao through hvac's adapter. Knows no options of modules.

It never repeats a request by itself, sends the token nowhere but to the given address (a redirect is followed once,
for JSON requests, to the leader that the node itself names), and reads no environment variable: ``REQUESTS_CA_BUNDLE``
or ``HTTPS_PROXY`` of the controller would otherwise decide over trust and route.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t
import urllib.parse

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, AuthenticationError, PermissionDenied, Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.errors import NotLeader, from_exception, from_status

try:
    import requests
    from hvac.adapters import RawAdapter
except ImportError:  # the module says so: see _vault/argspec.py
    HAS_HVAC = False
else:
    HAS_HVAC = True

CHUNK = 1024 * 1024


def new_session() -> requests.Session:
    """Return the HTTP session; tests put a scripted one here."""
    session = requests.Session()
    session.trust_env = False
    return session


@dataclasses.dataclass(frozen=True)
class Reply:
    """An answer: HTTP status and decoded JSON (an empty dict without a body)."""

    status: int
    body: dict[str, t.Any]
    location: str = ""

    @property
    def data(self) -> dict[str, t.Any]:
        """The ``data`` object, or the body itself for the few paths that have none."""
        data = self.body.get("data")
        return data if isinstance(data, dict) else self.body


def normalise_url(url: str) -> str:
    """Return *url* without a slash at the end.

    Raises:
        Refused: it is no http(s) address, or carries credentials or a query.
    """
    parts = urllib.parse.urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Refused(f"The address {url!r} is not one of a Vault or OpenBao server.", hint="Write it as https://vault.example.com:8200.")
    if parts.username or parts.password or parts.query or parts.fragment:
        # Not quoted back: it may hold a password.
        raise Refused("The address of the server may not hold credentials, a query or a fragment.", hint="Use token, or role_id and secret_id.")
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def quote(name: str) -> str:
    """Return *name* for use inside an API path; slashes stay."""
    return urllib.parse.quote(name.strip("/"), safe="/")


class VaultClient:
    """One node.

    Args:
        url: Address, such as ``https://10.0.0.1:8200``.
        token: Token, or empty for the paths that need none.
        verify: ``True`` (public authorities), ``False`` (no check), or a path to CA certificates.
        namespace: Namespace, or empty.
        timeout: Seconds for connecting and between two pieces of an answer.
        session: HTTP session; by default one that ignores the environment.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str = "",
        verify: bool | str = True,
        namespace: str = "",
        timeout: float = 60.0,
        session: requests.Session | None = None,
    ) -> None:
        if isinstance(verify, str) and not os.path.exists(verify):
            raise Refused(f"The CA certificates {verify!r} do not exist.", hint="Set ca_path to a PEM file or a directory of hashed certificates.")
        self.url = normalise_url(url)
        self.token = token
        self._verify = verify
        self._namespace = namespace
        self.timeout = timeout
        self._session = session if session is not None else new_session()
        self._session.verify = verify  # hvac takes the session's over its own option
        self._adapter = self._make_adapter()

    def _make_adapter(self) -> t.Any:
        return RawAdapter(
            base_uri=self.url,
            token=self.token or None,
            verify=self._verify,
            timeout=self.timeout,
            allow_redirects=False,
            session=self._session,
            namespace=self._namespace or None,
            ignore_exceptions=True,
            strict_http=True,
        )

    def at(self, url: str) -> VaultClient:
        """Return a client for another node of the same cluster: same token, trust and session.

        Raises:
            Refused: *url* is plain HTTP while this node is reached by HTTPS: the token would be sent in clear.
        """
        if self.url.startswith("https:") and not normalise_url(url).startswith("https:"):
            raise Refused(
                f"Will not send the token to {url} in clear: {self.url} is reached by HTTPS.",
                hint="Correct api_addr of the nodes, or the address given.",
            )
        return VaultClient(url, token=self.token, verify=self._verify, namespace=self._namespace, timeout=self.timeout, session=self._session)

    def with_token(self, token: str) -> VaultClient:
        """Return a client for the same node with another token."""
        return VaultClient(self.url, token=token, verify=self._verify, namespace=self._namespace, timeout=self.timeout, session=self._session)

    def login_approle(self, role_id: str, secret_id: str, mount_point: str = "approle") -> VaultClient:
        """Return a client with the token of an AppRole login.

        Raises:
            AuthenticationError: role id or secret id were not accepted.
        """
        path = f"auth/{quote(mount_point)}/login"
        what = f"log in by the AppRole at {mount_point!r}"
        reply = self.raw("POST", path, what=what, json={"role_id": role_id, "secret_id": secret_id})
        if reply.status in (400, 401, 403, 404):
            cause = from_status(reply.status, reply.body, what=what, url=self.url, method="POST", path=path)
            raise AuthenticationError(
                cause.message,
                status=reply.status,
                method="POST",
                path=path,
                said=cause.said,
                hint="Check role_id, secret_id and auth_mount_point; a secret id may have expired or been used up.",
            )
        self.ensure_ok(reply, what=what, method="POST", path=path)
        return self.with_token(str((reply.body.get("auth") or {}).get("client_token", "")))

    def get(self, path: str, *, what: str, **kwargs: t.Any) -> Reply:
        """Read; raise the typed error unless it succeeds."""
        return self.request("GET", path, what=what, **kwargs)

    def find(self, path: str, *, what: str, **kwargs: t.Any) -> Reply | None:
        """Read something that may be absent (404)."""
        reply = self.raw("GET", path, what=what, **kwargs)
        if reply.status == 404:
            return None
        return self._checked(reply, what=what, method="GET", path=path, **kwargs)

    def list(self, path: str, *, what: str) -> list[str]:
        """Return the keys at *path*; none when the server says 404, which is how it says "empty"."""
        reply = self.raw("LIST", path, what=what)
        if reply.status == 404:
            return []
        keys = self._checked(reply, what=what, method="LIST", path=path).data.get("keys")
        return [str(key) for key in keys or []]

    def post(self, path: str, body: t.Mapping[str, t.Any], *, what: str, **kwargs: t.Any) -> Reply:
        """Write."""
        return self.request("POST", path, what=what, json=dict(body), **kwargs)

    def put(self, path: str, body: t.Mapping[str, t.Any], *, what: str, **kwargs: t.Any) -> Reply:
        """Write with PUT."""
        return self.request("PUT", path, what=what, json=dict(body), **kwargs)

    def delete(self, path: str, *, what: str) -> Reply:
        """Delete."""
        return self.request("DELETE", path, what=what)

    def request(self, method: str, path: str, *, what: str, **kwargs: t.Any) -> Reply:
        """Send one JSON request; follow a redirect to the leader once.

        Raises:
            ApiError: one of its kinds, by status.
            ConnectionFailed: there was no answer.
        """
        return self._checked(self.raw(method, path, what=what, **kwargs), what=what, method=method, path=path, **kwargs)

    def _checked(self, reply: Reply, *, what: str, method: str, path: str, **kwargs: t.Any) -> Reply:
        if reply.status in (301, 302, 307, 308):
            reply = self._leader_of(reply, what=what, method=method, path=path).raw(method, path, what=what, **kwargs)
        self.ensure_ok(reply, what=what, method=method, path=path)
        return reply

    def raw(self, method: str, path: str, *, what: str, timeout: float | None = None, **kwargs: t.Any) -> Reply:
        """Send one request and return any answer whatever its status."""
        return self._reply(self._send(method, path, what=what, timeout=timeout, **kwargs))

    def download(self, path: str, *, what: str, timeout: float | None = None) -> t.Iterator[bytes]:
        """Yield the pieces of a file that the server streams.

        Raises:
            ApiError: the answer is no 200.
            ConnectionFailed: the stream broke off. A stream that ends early without that is for the caller to notice.
        """
        response = self._send("GET", path, what=what, timeout=timeout, stream=True)
        with response:
            if response.status_code != 200:
                self.ensure_ok(self._reply(response), what=what, method="GET", path=path)
            pieces = response.iter_content(CHUNK)
            while True:
                try:
                    piece = next(pieces, None)
                except requests.exceptions.RequestException as exc:
                    raise from_exception(exc, what=f"{what}: the stream broke off", url=self.url, method="GET", path=path) from exc
                if piece is None:
                    return
                yield piece

    @staticmethod
    def _reply(response: requests.Response) -> Reply:
        try:
            body = response.json()
        except ValueError:
            body = {}
        return Reply(response.status_code, body if isinstance(body, dict) else {}, response.headers.get("Location", ""))

    def upload(self, path: str, file: t.BinaryIO, *, what: str, timeout: float | None = None) -> Reply:
        """POST *file* from its current position and return any answer: the caller decides what a 400 means."""
        return self.raw("POST", path, what=what, timeout=timeout, data=file)

    def _send(self, method: str, path: str, *, what: str, timeout: float | None, **kwargs: t.Any) -> requests.Response:
        try:
            response: requests.Response = self._adapter.request(method, f"v1/{path}", timeout=timeout or self.timeout, **kwargs)
        except (requests.exceptions.RequestException, OSError) as exc:
            raise from_exception(exc, what=what, url=self.url, method=method, path=path) from exc
        return response

    def ensure_ok(self, reply: Reply, *, what: str, method: str, path: str) -> None:
        """Raise the typed error for an answer of ``raw`` that is no success."""
        if 200 <= reply.status < 300:
            return
        if 300 <= reply.status < 400:
            raise NotLeader(
                f"Cannot {what} at {self.url}: it sends the request elsewhere ({method} {path}, {reply.status}).",
                status=reply.status,
                method=method,
                path=path,
                hint="Use the address of the leader.",
            )
        error = from_status(reply.status, reply.body, what=what, url=self.url, method=method, path=path)
        if isinstance(error, PermissionDenied) and not self._token_is_valid():
            raise AuthenticationError(
                error.message,
                status=error.status,
                method=method,
                path=path,
                said=error.said,
                hint="The token is missing, unknown, expired or revoked (looking itself up is refused too): log in again.",
            )
        raise error

    def _token_is_valid(self) -> bool:
        """Whether the token may look itself up: tells a bad token from a missing policy, which are both 403."""
        if not self.token:
            return False
        try:
            return self.raw("GET", "auth/token/lookup-self", what="look the token up").status == 200
        except ApiError:
            return True

    def _leader_of(self, reply: Reply, *, what: str, method: str, path: str) -> VaultClient:
        """Return the client for the node that a redirect names, if it is the leader by the node's own word."""
        leader = str(self.raw("GET", "sys/leader", what="ask for the leader").body.get("leader_address", ""))
        if not leader or not reply.location.startswith(f"{leader.rstrip('/')}/"):
            raise NotLeader(
                f"Cannot {what} at {self.url}: it redirects to {reply.location.split('?')[0]!r}, which is not the leader it names ({leader or 'none'}).",
                status=reply.status,
                method=method,
                path=path,
                leader_address=leader,
                hint="The token is sent to no unknown address: use the leader's.",
            )
        return self.at(leader)
