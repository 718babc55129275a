# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""New unseal or recovery keys in place of the old: ``sys/rotate`` in OpenBao, ``sys/rekey`` in Vault.

With verification the old keys stay valid until a threshold of the new ones has been shown to the server. So a run that is cut off
at any point loses nothing: its attempt is cancelled, or goes on with the verification of the keys that are in the file.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.custody import check_enough, open_path
from ansible_collections.resilient.platform.plugins.module_utils._vault.seal import SealStatus, Shares

STARTED = "started"
UNVERIFIED = "unverified"
COMPLETE = "complete"
_STATUSES = (STARTED, UNVERIFIED, COMPLETE)


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is to be made of which keys."""

    shares: Shares
    credentials_file: str
    verify: bool = True
    pgp_keys: tuple[str, ...] = ()
    backup: bool = False
    cancel_attempt: str | None = None


@dataclasses.dataclass(frozen=True)
class Server:
    """Where the server does it, and what attempt it knows of."""

    path: str
    started: bool
    nonce: str
    verification_nonce: str
    progress: int
    required: int


@dataclasses.dataclass
class RekeyPlan:
    """What to do: cancel an attempt, begin one, verify the keys in the file, or nothing."""

    wish: Wish
    seal: SealStatus
    server: Server
    cancel: bool = False
    begin: bool = False
    verify: bool = False

    def tracker(self) -> DiffTracker:
        """Return the diff; the same before and after the deed."""
        tracker = DiffTracker()
        if self.begin:
            tracker.add("shares", before=self.seal.shares, after=self.wish.shares.shares)
            tracker.add("threshold", before=self.seal.threshold, after=self.wish.shares.threshold)
            tracker.add("keys", before="the old ones", after="new ones")
        elif self.verify:
            tracker.add("verified", before=False, after=True)
        return tracker


def read_server(client: VaultClient, *, automatic: bool) -> Server:
    """Return the paths that the server offers, and the attempt under way."""
    new, old = ("sys/rotate/recovery/init", "sys/rekey-recovery-key/init") if automatic else ("sys/rotate/root/init", "sys/rekey/init")
    path, reply = open_path(client, new, old, what="ask for attempts to make new keys", listener_option="disable_unauthed_rekey_endpoints")
    data = reply.data
    return Server(
        path.rsplit("/", 1)[0],
        bool(data.get("started")),
        str(data.get("nonce") or ""),
        str(data.get("verification_nonce") or ""),
        int(data.get("progress") or 0),
        int(data.get("required") or 0),
    )


def plan_rekey(wish: Wish, seal: SealStatus, server: Server, *, may_verify: bool) -> RekeyPlan:
    """Plan by what the file and the server say of each other.

    Args:
        wish: What is wanted.
        seal: The seal, with the present numbers.
        server: The attempt that the server knows.
        may_verify: Whether there are new keys to show: those of the file in clear, or some that were given.

    Raises:
        Refused: they contradict each other, or somebody else is at work.
    """
    plan = RekeyPlan(wish, seal, server)
    content = files.read_json(wish.credentials_file)
    status = content.get("status") if content is not None else None
    if content is not None and (status not in _STATUSES or content.get("made_by") != "vault_rekey"):
        raise Refused(f"{wish.credentials_file} exists and was not written by this module.", hint="Name another file: nothing is overwritten.")
    ours = content is not None and bool(server.nonce) and content.get("nonce") == server.nonce
    if status == COMPLETE:
        if (seal.shares, seal.threshold) != (wish.shares.shares, wish.shares.threshold):
            raise Refused(
                f"{wish.credentials_file} holds the keys of a finished run, but the server now has {seal.threshold} of {seal.shares} keys.",
                hint="Name another file for new keys.",
            )
        return plan
    if content is not None and not content.get("verify") and not server.started and status == STARTED:
        raise Refused(
            f"A run without verification was cut off after it had begun ({wish.credentials_file}): whether the server has new keys is not known.",
            hint="If the old keys still make a root token (vault_generate_root), nothing has changed: delete the file and run again.",
        )
    if ours and status == UNVERIFIED and content is not None and content.get("verification_nonce") and server.verification_nonce:
        plan.verify = may_verify
        return plan
    if server.started:
        if not ours and wish.cancel_attempt != server.nonce:
            raise Refused(
                f"An attempt to make new keys is under way ({server.progress} of {server.required} keys, nonce {server.nonce}), which is not ours.",
                hint=f"If nobody is at work on it, set cancel_attempt to {server.nonce!r}.",
                details={"nonce": server.nonce, "progress": server.progress, "required": server.required},
            )
        plan.cancel = True
    plan.begin = True
    return plan


def begin(client: VaultClient, plan: RekeyPlan, keys: t.Sequence[str]) -> None:
    """Make new keys and put them into the file; they replace the old ones now, or when they are verified."""
    wish, base = plan.wish, plan.server.path
    check_enough(keys, plan.server.required)
    content: dict[str, t.Any] = {"made_by": "vault_rekey", "status": STARTED, "url": client.url, "verify": wish.verify}
    files.write_json(wish.credentials_file, content)
    if plan.cancel:
        client.delete(f"{base}/init", what="cancel the attempt to make new keys")
    body: dict[str, t.Any] = {
        "secret_shares": wish.shares.shares,
        "secret_threshold": wish.shares.threshold,
        "require_verification": wish.verify,
    }
    if wish.pgp_keys:
        body |= {"pgp_keys": list(wish.pgp_keys), "backup": wish.backup}
    begun = client.put(f"{base}/init", body, what="begin to make new keys").data
    content["nonce"] = str(begun.get("nonce") or "")
    files.write_json(wish.credentials_file, content)
    try:
        answer = _enter(client, base, content["nonce"], keys)
    except PlatformError:
        client.raw("DELETE", f"{base}/init", what="cancel the attempt to make new keys")
        files.remove(wish.credentials_file)
        raise
    prefix = "recovery_" if plan.seal.automatic else ""
    content |= {f"{prefix}{name}": answer[name] for name in ("keys", "keys_base64") if answer.get(name)}
    content |= {"seal_type": plan.seal.type, "encrypted": bool(wish.pgp_keys), "pgp_fingerprints": answer.get("pgp_fingerprints") or []}
    content |= {"shares": wish.shares.shares, "threshold": wish.shares.threshold, "verification_nonce": answer.get("verification_nonce") or ""}
    content["status"] = UNVERIFIED if content["verification_nonce"] else COMPLETE
    files.write_json(wish.credentials_file, content)


def _enter(client: VaultClient, base: str, nonce: str, keys: t.Sequence[str]) -> dict[str, t.Any]:
    for key in dict.fromkeys(keys):
        data = client.put(f"{base}/update", {"key": key, "nonce": nonce}, what="enter an old key").data
        if data.get("complete"):
            return data
    raise Refused(f"{client.url} wants more keys than the {len(set(keys))} given.", hint="Add more keys.")


def verify(client: VaultClient, plan: RekeyPlan, keys: t.Sequence[str]) -> None:
    """Show a threshold of the new keys to the server, which makes them valid and the old ones void.

    Raises:
        Refused: they were not enough; the old keys are valid.
        ApiError: one is wrong; the old keys are valid.
    """
    content = files.read_json(plan.wish.credentials_file) or {}
    check_enough(keys, int(content.get("threshold") or 1))
    path, nonce = f"{plan.server.path}/verify", str(content.get("verification_nonce"))
    for key in dict.fromkeys(keys):
        if client.put(path, {"key": key, "nonce": nonce}, what="show a new key").data.get("complete"):
            files.write_json(plan.wish.credentials_file, {**content, "status": COMPLETE})
            return
    raise Refused(f"{client.url} wants to see more than the {len(set(keys))} new keys given.", hint="Add more; the old keys are valid until then.")


def new_keys(path: str, *, automatic: bool) -> list[str]:
    """Return the new keys of the file if they are there in clear, and none otherwise."""
    content = files.read_json(path) or {}
    if content.get("encrypted"):
        return []
    name = "recovery_keys_base64" if automatic else "keys_base64"
    return [str(key) for key in content.get(name) or []]


def is_complete(path: str) -> bool:
    """Whether the file's keys are in force."""
    return (files.read_json(path) or {}).get("status") == COMPLETE
