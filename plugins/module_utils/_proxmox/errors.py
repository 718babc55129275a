# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What the Proxmox VE API says, as typed errors.

The server answers nearly everything that goes wrong with 500 and a sentence, so the sentence has to be read. The texts are
those of pve-manager, qemu-server and pve-guest-common; see ``said`` in each error.
"""

from __future__ import annotations

import re
import ssl
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    AuthenticationError,
    Conflict,
    ConnectionFailed,
    NotFound,
    PermissionDenied,
)


class DigestMismatch(Conflict):
    """Somebody else changed the configuration since it was read; nothing was written."""


class AlreadyExists(Conflict):
    """The id is taken."""


class Locked(Conflict):
    """The guest is locked by another operation."""


class WorkerNotStarted(Conflict):
    """The server was too busy to begin; nothing was done and the same request may be sent again."""


class StillRunning(Conflict):
    """The guest runs, and would have to be stopped for this."""


class AgentNotReady(ApiError):
    """The guest agent does not answer (yet)."""


class AgentMissing(ApiError):
    """The guest has no agent configured: waiting for it is in vain."""


class WriteUnanswered(ConnectionFailed):
    """A write was sent and no answer came back: it may have been done. Read before sending it again."""


class CertificateRejected(ConnectionFailed):
    """The server's certificate has expired, is not signed by a known authority, or is another host's."""


# (pattern, class, hint); the first that matches decides.
_SENTENCES: tuple[tuple[re.Pattern[str], type[ApiError], str], ...] = (
    (re.compile(r"checksum mismatch|detected modified configuration"), DigestMismatch, "Run the task again."),
    (re.compile(r"got no worker upid|can't lock file .* got timeout"), WorkerNotStarted, "The server is busy; run the task again."),
    (re.compile(r"VM is locked \((?P<lock>[^)]+)\)|CT is locked"), Locked, "Wait until the operation that holds the lock has ended."),
    (re.compile(r"is running - destroy failed"), StillRunning, "Stop it first."),
    (re.compile(r"already exists"), AlreadyExists, "Choose another id or name."),
    (re.compile(r"Configuration file '[^']*' does not exist|no such (?:storage|cluster node|VM)|storage '[^']*' does not exist"), NotFound, ""),
    (re.compile(r"No QEMU guest agent configured"), AgentMissing, "Set agent: true and restart the guest."),
    (re.compile(r"guest agent is not running|qmp command 'guest-[^']*' failed|VM \d+ (?:is )?not running"), AgentNotReady, ""),
    (re.compile(r"no quorum"), Conflict, "The cluster has lost its quorum; bring its nodes back first."),
)
_PRIVILEGE = re.compile(r"Permission check failed \((?P<path>/[^,)]*), (?P<privilege>[^)]+)\)")

_NO_ANSWER = {596: "the node did not answer in time", 597: "the node's answer broke off", 599: "the request to the node failed"}


def from_answer(
    *, method: str, path: str, status: int, said: str, errors: t.Mapping[str, str] | None, url: str, who: str
) -> ApiError:
    """Return the error for an answer with *status* >= 400.

    Args:
        method: HTTP verb.
        path: Path below ``/api2/json/``.
        status: HTTP status.
        said: The server's sentence.
        errors: Its words by parameter.
        url: The endpoint, for the message.
        who: User or token, for the hint.
    """
    said = said.strip()
    listed = "; ".join(f"{key}: {value}" for key, value in sorted((errors or {}).items()))
    message = f"{method} /{path} on {url} failed with {status}: {said or 'no reason given'}{f' ({listed})' if listed else ''}."
    common: dict[str, t.Any] = {"status": status, "method": method, "path": f"/{path}", "said": said, "errors": errors}
    if status == 401:
        return AuthenticationError(
            f"{url} does not accept the credentials of {who}: {said.rstrip('.!') or 'authentication failure'}.",
            hint="Check api_user (with its realm, such as root@pam) and api_password, or api_token_id and api_token_secret; tokens expire.",
            **common,
        )
    if status == 403:
        return PermissionDenied(message, hint=privilege_hint(said, who).strip() or f"Give {who} the privileges that this needs.", **common)
    if status == 404:
        return NotFound(message, **common)
    if status == 595:
        return ConnectionFailed(message, hint="The node is offline or not reachable from the API endpoint.", **common)
    if status in _NO_ANSWER:
        kind = ConnectionFailed if method == "GET" else WriteUnanswered
        return kind(f"{message} That is: {_NO_ANSWER[status]}.", hint="Look at the node's load and network.", **common)
    everything = f"{said} {listed}"
    for pattern, error, hint in _SENTENCES:
        if pattern.search(everything):
            return error(message, hint=hint, **common)
    return ApiError(message, hint="Correct the named parameters." if errors else "", **common)


def privilege_hint(said: str, who: str) -> str:
    """Name the missing privilege if the server did; a sentence with a blank behind it, or nothing."""
    match = _PRIVILEGE.search(said)
    return f"Give {who} the privilege {match.group('privilege')} on {match.group('path')}. " if match else ""


def from_tls(exc: BaseException, *, method: str, path: str, url: str) -> CertificateRejected:
    """Return the error for a certificate that was not accepted; says whether it expired or is foreign."""
    cause = _find_certificate_error(exc)
    reason = getattr(cause, "verify_message", "") or str(cause or exc)
    code = getattr(cause, "verify_code", 0)
    if code == 10:
        said, hint = "has expired", "Renew it on the server (pvenode cert, or its ACME job)."
    elif code in (62, 64):
        said, hint = "is another host's", "Use the host name or address that stands in the certificate as api_host."
    else:
        said, hint = "is not signed by an authority that this machine trusts", "Give the cluster's CA (/etc/pve/pve-root-ca.pem) as ca_path."
    return CertificateRejected(f"The certificate of {url} {said}: {reason}.", method=method, path=f"/{path}", said=reason, hint=hint)


def _find_certificate_error(exc: BaseException) -> BaseException | None:
    """Return the ``SSLError`` that lies below the layers of requests and urllib3."""
    seen: list[BaseException] = []
    queue: list[t.Any] = [exc]
    fallback: BaseException | None = None
    while queue:
        item = queue.pop(0)
        if not isinstance(item, BaseException) or item in seen:
            continue
        seen.append(item)
        if isinstance(item, ssl.SSLCertVerificationError):
            return item
        if isinstance(item, ssl.SSLError):
            fallback = fallback or item
        queue += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]
    return fallback
