# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Initialising and unsealing: the paths that need no token."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.node import NodeState, read_node, wait_for_state
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

PENDING = "pending"
COMPLETE = "complete"
# The server counts a unit of custody by one of these lists, hex or base64 of the same bytes.
_KEY_LISTS = ("keys_base64", "keys")
_STORED = ("keys", "keys_base64", "recovery_keys", "recovery_keys_base64", "root_token")


@dataclasses.dataclass(frozen=True)
class SealStatus:
    """``sys/seal-status``."""

    type: str
    initialized: bool
    sealed: bool
    shares: int
    threshold: int
    progress: int
    automatic: bool
    migration: bool = False

    @classmethod
    def from_api(cls, body: t.Mapping[str, t.Any]) -> SealStatus:
        """Return it from the server's answer; *automatic* is any seal but Shamir's."""
        kind = str(body.get("type") or "")
        return cls(
            type=kind,
            initialized=bool(body.get("initialized")),
            sealed=bool(body.get("sealed")),
            shares=int(body.get("n") or 0),
            threshold=int(body.get("t") or 0),
            progress=int(body.get("progress") or 0),
            automatic=bool(body.get("recovery_seal")) or kind not in ("", "shamir"),
            migration=bool(body.get("migration")),
        )


def read_seal_status(client: VaultClient) -> SealStatus:
    """Ask a node for its seal."""
    return SealStatus.from_api(client.get("sys/seal-status", what="read the seal status").body)


@dataclasses.dataclass(frozen=True)
class Custody:
    """How keys and root token are kept: as they are, or so that the file alone opens nothing.

    Args:
        pgp_keys: One public key for each share (base64), or none.
        root_token_pgp_key: A public key for the root token, or empty.
        wrap_ttl: How long a token that unwraps the root token once is valid; empty keeps the root token itself.
    """

    pgp_keys: tuple[str, ...] = ()
    root_token_pgp_key: str = ""
    wrap_ttl: str = ""

    def check(self, shares: Shares, seal: SealStatus) -> None:
        """Refuse what cannot be done, before there is anything to lose."""
        if self.pgp_keys and len(self.pgp_keys) != shares.shares:
            raise Refused(f"{len(self.pgp_keys)} PGP keys are given for {shares.shares} shares.", hint="Give one for each share.")
        if self.wrap_ttl and self.root_token_pgp_key:
            raise Refused("The root token is either wrapped or encrypted by PGP.", hint="Set wrap_ttl or root_token_pgp_key_file.")
        if self.wrap_ttl and not seal.automatic:
            raise Refused("With a Shamir seal nobody can wrap the root token: the server is sealed when it is made.", hint="Set root_token_pgp_key_file.")

    def body(self, prefix: str) -> dict[str, t.Any]:
        """Return what the request says of it."""
        result: dict[str, t.Any] = {}
        if self.pgp_keys:
            result["recovery_pgp_keys" if prefix == "recovery" else "pgp_keys"] = list(self.pgp_keys)
        if self.root_token_pgp_key:
            result["root_token_pgp_key"] = self.root_token_pgp_key
        return result


@dataclasses.dataclass(frozen=True)
class Shares:
    """How many keys to make, and how many of them are needed."""

    shares: int
    threshold: int

    def check(self, name: str) -> None:
        """Refuse what the server would refuse."""
        if not 1 <= self.threshold <= self.shares <= 255 or (self.threshold == 1 and self.shares > 1):
            raise Refused(
                f"{name}_shares is {self.shares} and {name}_threshold is {self.threshold}.",
                hint="The threshold is between 2 and the number of shares (at most 255), or both are 1.",
            )


def plan_init(client: VaultClient, credentials_file: str) -> bool:
    """Return whether the server has to be initialised.

    Raises:
        Refused: server and file contradict each other.
    """
    initialized = bool(client.get("sys/init", what="ask whether it is initialised").body.get("initialized"))
    content = files.read_json(credentials_file)
    status = content.get("status") if content is not None else None
    if content is not None and status not in (PENDING, COMPLETE):
        raise Refused(f"{credentials_file} exists and was not written by this module.", hint="Name another file: nothing is overwritten.")
    if initialized and content is not None and status == PENDING:
        raise Refused(
            f"{client.url} is initialised, but {credentials_file} says that an initialisation begun at {content.get('begun_at')} never delivered its keys.",
            hint="If that run was cut off after the server had answered, the keys are lost: stop the server, delete its data, delete the file and run again. "
            "If somebody else initialised it, just delete the file.",
        )
    if not initialized and status == COMPLETE:
        raise Refused(
            f"{client.url} is not initialised, but {credentials_file} holds the keys of a cluster that was.",
            hint="Move it to a safe place if that cluster or its backups are still needed, and run again.",
        )
    return not initialized


def init(
    client: VaultClient,
    seal: SealStatus,
    shares: Shares,
    credentials_file: str,
    *,
    waiter: Waiter,
    now: datetime.datetime,
    custody: Custody = Custody(),
) -> None:
    """Initialise the server; keys and root token go to *credentials_file* and nowhere else.

    A marker is written first, so a run that is cut off between the server's answer and the file can be told from none.
    """
    marker = {"status": PENDING, "url": client.url, "begun_at": now.isoformat(timespec="seconds")}
    files.write_json(credentials_file, marker)
    prefix = "recovery" if seal.automatic else "secret"
    body = {f"{prefix}_shares": shares.shares, f"{prefix}_threshold": shares.threshold, **custody.body(prefix)}
    try:
        # The server writes through its seal: measured 2 to 8 seconds with a transit key.
        answer = client.put("sys/init", body, what="initialise the server", timeout=max(client.timeout, 60.0)).body
    except ApiError as exc:
        raise _init_failed(exc, credentials_file) from exc
    content: dict[str, t.Any] = {**marker, "status": COMPLETE, "seal_type": seal.type, **{key: answer[key] for key in _STORED if answer.get(key)}}
    content |= {"keys_encrypted": True} if custody.pgp_keys else {}
    if custody.root_token_pgp_key:
        content["root_token_pgp"] = content.pop("root_token", "")
    files.write_json(credentials_file, content)
    cluster_id = _cluster_id(client, waiter) if seal.automatic else ""
    if cluster_id:
        content["cluster_id"] = cluster_id
        files.write_json(credentials_file, content)
    if custody.wrap_ttl:
        files.write_json(credentials_file, _wrapped(client, content, custody.wrap_ttl, waiter))


def _wrapped(client: VaultClient, content: dict[str, t.Any], ttl: str, waiter: Waiter) -> dict[str, t.Any]:
    """Return *content* with a token that unwraps the root token in its place. Until then the file has the root token, so none is lost."""
    wait_for_state(client, lambda state: state.state == "active", waiter, what="to be active, to wrap the root token", hint="Wrap it by hand, or revoke it.")
    holder = client.with_token(content["root_token"])
    reply = holder.post(
        "sys/wrapping/wrap", {"root_token": content["root_token"]}, what="wrap the root token", headers={"X-Vault-Wrap-TTL": ttl}
    )
    wrap = reply.body.get("wrap_info") or {}
    rest = {key: value for key, value in content.items() if key != "root_token"}
    return {**rest, "wrapping_token": wrap["token"], "wrapping_accessor": wrap.get("accessor"), "wrapping_ttl_seconds": wrap.get("ttl")}


def _init_failed(exc: ApiError, credentials_file: str) -> PlatformError:
    if exc.status is None:
        hint = f"The server may have done it without us getting the keys. {credentials_file} stays marked as pending: run again, it says which."
    else:
        hint = "The server refused; nothing was initialised by this run."
    return PlatformError(exc.message, hint=hint, details=exc.details)


def _cluster_id(client: VaultClient, waiter: Waiter) -> str:
    """Return the new cluster's id if it appears in time; it only helps later to tell clusters apart."""
    try:
        return waiter.until(lambda: read_node(client), lambda state: bool(state.cluster_id), what="the cluster id").cluster_id
    except PlatformError:
        return ""


def read_keys(keys_file: str) -> list[str]:
    """Return the unseal keys of a file that ``init`` wrote.

    Raises:
        Refused: no such file, or none in it.
    """
    content = files.read_json(keys_file)
    if content is None:
        raise Refused(f"There is no {keys_file}.", hint="It is the credentials_file of vault_init.")
    for name in _KEY_LISTS:
        keys = content.get(name)
        if isinstance(keys, list) and keys:
            return [str(key) for key in keys]
    raise Refused(f"{keys_file} holds no unseal keys.", hint="A cluster with automatic unseal has recovery keys only, which cannot unseal it.")


def check_keys(seal: SealStatus, keys: t.Sequence[str]) -> None:
    """Refuse, before the first key is sent, what cannot succeed."""
    distinct = len(set(keys))
    if distinct + seal.progress < seal.threshold:
        raise Refused(
            f"{distinct} different keys were given, {seal.threshold} are needed ({seal.progress} were entered already).", hint="Add more keys."
        )


def unseal(client: VaultClient, keys: t.Sequence[str], *, migrate: bool = False) -> None:
    """Enter keys until the node is unsealed; with *migrate* they are those of the seal that it had before.

    Raises:
        ApiError: a key is wrong; what was entered is forgotten by the node.
        Refused: all keys are in and it is still sealed.
    """
    for key in dict.fromkeys(keys):
        reply = client.raw("POST", "sys/unseal", what="enter an unseal key", json={"key": key, **({"migrate": True} if migrate else {})})
        if reply.status != 200:
            # A wrong share spoils the attempt of everybody: start afresh.
            client.post("sys/unseal", {"reset": True}, what="forget the entered keys")
            raise ApiError(
                f"Cannot unseal {client.url}: the server refused the keys ({reply.status}).",
                status=reply.status,
                method="POST",
                path="sys/unseal",
                said="; ".join(map(str, reply.body.get("errors") or [])),
                hint="They may belong to another cluster. After a restore onto a node with other shares, restart it first: it keeps the old number.",
            )
        if not reply.body.get("sealed"):
            return
    raise Refused(
        f"{client.url} is still sealed after {len(set(keys))} keys.", hint="Somebody else's attempt may have been reset in between: run again."
    )


def wait_until_initialised(client: VaultClient, waiter: Waiter) -> SealStatus:
    """Wait until the node is initialised, which a joining one becomes when it has reached a leader."""
    hint = "Initialise the cluster with vault_init; a joining node has to reach a leader."
    wait_for_state(client, lambda state: bool(state.initialized), waiter, what="to be initialised or to join", hint=hint)
    return read_seal_status(client)


def wait_until_usable(client: VaultClient, waiter: Waiter) -> NodeState:
    """Wait until the node is unsealed and active or standby."""
    return wait_for_state(
        client,
        lambda state: state.state in ("active", "standby", "performance_standby", "dr_secondary"),
        waiter,
        what="to be unsealed and in the cluster",
        hint="With automatic unseal: can the node reach its key service, and is its token valid? A joining node: does it reach the leader? See its log.",
    )
