# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Making a root token out of recovery or unseal keys. The one-time password that hides it is never on disk."""

from __future__ import annotations

import base64
import binascii
import contextlib
import dataclasses
import datetime
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import Reply, VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.custody import check_enough, open_path

NEW = "sys/generate-root-token/attempt"
OLD = "sys/generate-root/attempt"
_MADE_BY = "vault_generate_root"


@dataclasses.dataclass(frozen=True)
class Attempt:
    """An attempt as the server sees it: at most one at a time, of anybody."""

    path: str
    started: bool
    nonce: str
    progress: int
    required: int

    @classmethod
    def from_reply(cls, path: str, reply: Reply) -> Attempt:
        """Return it from the server's answer."""
        data = reply.data
        return cls(path, bool(data.get("started")), str(data.get("nonce") or ""), int(data.get("progress") or 0), int(data.get("required") or 0))


def read_attempt(client: VaultClient) -> Attempt:
    """Return the attempt under way, if any."""
    path, reply = open_path(
        client, NEW, OLD, what="ask for attempts to make a root token", listener_option="disable_unauthed_generate_root_endpoints"
    )
    return Attempt.from_reply(path, reply)


def check_leftover(attempt: Attempt, cancel: str | None) -> bool:
    """Return whether an attempt that somebody left has to be cancelled first.

    Raises:
        Refused: there is one that was not named: it may be somebody at work.
    """
    if not attempt.started:
        return False
    if cancel != attempt.nonce:
        raise Refused(
            f"An attempt to make a root token is under way ({attempt.progress} of {attempt.required} keys, nonce {attempt.nonce}), and its "
            "one-time password is not ours.",
            hint=f"If nobody is at work on it, set cancel_attempt to {attempt.nonce!r}.",
            details={"nonce": attempt.nonce, "progress": attempt.progress, "required": attempt.required},
        )
    return True


def cancel_attempt(client: VaultClient, attempt: Attempt) -> None:
    """Forget the attempt."""
    client.delete(attempt.path, what="cancel the attempt to make a root token")


def still_good(client: VaultClient, path: str) -> bool:
    """Whether the file holds a root token, or one that wraps it, that the server still knows.

    Raises:
        Refused: the file is not one of this module.
    """
    content = files.read_json(path)
    if content is None:
        return False
    if content.get("made_by") != _MADE_BY:
        raise Refused(f"{path} exists and was not written by this module.", hint="Name another file: nothing is overwritten.")
    what = "look at the token of the file"
    if content.get("wrapping_token"):
        reply = client.with_token("").raw("POST", "sys/wrapping/lookup", what=what, json={"token": content["wrapping_token"]})
        return reply.status == 200
    reply = client.with_token(str(content.get("root_token") or "")).raw("GET", "auth/token/lookup-self", what=what)
    return reply.status == 200


def generate(client: VaultClient, attempt: Attempt, keys: t.Sequence[str]) -> str:
    """Return a new root token.

    Raises:
        ApiError: a key was refused; the attempt is cancelled.
        Refused: the keys were not enough; the attempt is cancelled.
    """
    check_enough(keys, attempt.required)
    begun = client.put(attempt.path, {}, what="begin to make a root token").data
    nonce, otp = str(begun.get("nonce") or ""), str(begun.get("otp") or "")
    try:
        if not otp:
            raise Refused(f"{client.url} gives no one-time password.", hint="It is older than what this module is made for.")
        for key in dict.fromkeys(keys):
            path = attempt.path.replace("/attempt", "/update")
            data = client.put(path, {"key": key, "nonce": nonce}, what="enter a key to make a root token").data
            if data.get("complete"):
                return decode(str(data.get("encoded_token") or data.get("encoded_root_token") or ""), otp)
        raise Refused(f"{client.url} wants more keys than the {len(set(keys))} given.", hint="Add more keys.")
    except PlatformError:
        with contextlib.suppress(ApiError):
            client.delete(attempt.path, what="cancel the attempt to make a root token")
        raise


def decode(encoded: str, otp: str) -> str:
    """Return the token: the server gives it exclusive-ored with the one-time password, in base64 without padding.

    Raises:
        PlatformError: that is not what it gave.
    """
    try:
        raw = base64.b64decode(encoded + "=" * (-len(encoded) % 4))
        if len(raw) != len(otp):
            raise ValueError(len(raw))
        return bytes(left ^ right for left, right in zip(raw, otp.encode("ascii"))).decode("ascii")
    except (ValueError, binascii.Error, UnicodeError) as exc:
        raise PlatformError("The server's encoded root token does not fit its one-time password.", hint="Nothing is known of the token; run again.") from exc


def hand_over(client: VaultClient, token: str, path: str, wrap_ttl: str | None) -> None:
    """Put the token into *path*, itself or wrapped; revoke it if that fails, since nobody would know it."""
    holder = client.with_token(token)
    content: dict[str, t.Any] = {"made_by": _MADE_BY, "url": client.url, "made_at": datetime.datetime.now(datetime.timezone.utc).isoformat()}
    try:
        if wrap_ttl:
            reply = holder.request(
                "POST", "sys/wrapping/wrap", what="wrap the root token", json={"root_token": token}, headers={"X-Vault-Wrap-TTL": wrap_ttl}
            )
            wrap = reply.body.get("wrap_info") or {}
            content |= {"wrapping_token": wrap["token"], "wrapping_accessor": wrap.get("accessor"), "ttl_seconds": wrap.get("ttl")}
        else:
            content["root_token"] = token
        files.write_json(path, content)
    except PlatformError:
        with contextlib.suppress(ApiError):
            holder.post("auth/token/revoke-self", {}, what="revoke the root token that could not be kept")
        raise
