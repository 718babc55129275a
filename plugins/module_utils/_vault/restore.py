# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Restoring a raft snapshot, and telling the truth about it.

The server answers 204 after it has checked the file and *before* it applies it (measured on OpenBao 2.7.2: health stays
200 for half a second, then 500 or no answer for about 5 s, then 200 or sealed). So a 204 proves nothing here: the deed is
done when the node shows another term of office (``active_time``) or another cluster id, or has sealed itself.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, PlatformError, Refused, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.errors import from_status
from ansible_collections.resilient.platform.plugins.module_utils._vault.node import NodeState, read_node, require_leader
from ansible_collections.resilient.platform.plugins.module_utils._vault.raft import SNAPSHOT, SNAPSHOT_FORCE, check_capability
from ansible_collections.resilient.platform.plugins.module_utils._vault.seal import SealStatus, read_seal_status
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_file import Snapshot, version_key
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_state import Seal
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_verify import FAILED, verify
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

# A node with automatic unseal may look sealed for a moment; after this many looks in a row it means it.
SEALED_LOOKS = 10
# The new term of office shows some 50 ms before the new cluster id (measured): so many looks in a row have to agree.
SETTLED_LOOKS = 3
# What a refusal means here. The server checks the file before it touches its data (measured), so these are as they were.
_REFUSED = {
    400: "Its data is as it was. The snapshot is sealed by other keys than the server's: set force with manifest and public_key if you have its keys.",
    500: "Its data is as it was: the server does not accept the file. Use another copy or another recovery point.",
}


@dataclasses.dataclass(frozen=True)
class RestorePlan:
    """A file that passed, and a node that may take it."""

    snapshot: Snapshot
    before: NodeState
    seal: SealStatus
    force: bool
    warnings: list[str]

    def diff(self) -> dict[str, t.Any]:
        """Return the diff; the same before and after the deed."""
        header = f"raft data of {self.before.url}"
        after = {"path": self.snapshot.path, "sha256": self.snapshot.sha256, "index": self.snapshot.index}
        return {"before": {"index": "(as it is)"}, "after": after, "before_header": header, "after_header": header}


def plan_restore(
    client: VaultClient, path: str, expected_sha256: str | None, *, force: bool, vouched: t.Collection[str] | None = None
) -> RestorePlan:
    """Check file, node, seal, versions and rights; nothing is written.

    Args:
        client: The node.
        path: The snapshot.
        expected_sha256: Its digest, if known.
        force: Whether it may be sealed by other keys.
        vouched: The digests that a signed manifest names, if one was given.

    Raises:
        Refused: the file is damaged or not the expected one, or the seal does not fit.
        NotLeader: the node is a standby.
    """
    if force and vouched is None:
        raise Refused(
            "force needs manifest and public_key: the server then skips its own check of the content.",
            hint="Give the signed manifest of the backup (backup_manifest) that names this snapshot.",
        )
    verification = verify(path, expected_sha256=expected_sha256)
    snapshot = verification.snapshot
    if verification.verdict == FAILED or snapshot is None or snapshot.seal is None:
        raise Refused(
            f"Will not restore {path}: {verification.reasons()}.",
            hint="Use another copy or another recovery point.",
            details={"checks": [check.as_dict() for check in verification.checks]},
        )
    if vouched is not None and snapshot.sha256 not in vouched:
        raise Refused(
            f"Will not restore {path}: the signed manifest vouches for no snapshot with its digest ({snapshot.sha256}).",
            hint="The file was changed or belongs to another backup: use the one that the manifest names.",
        )
    before = require_leader(client, what="restore a snapshot")
    seal = read_seal_status(client)
    warnings = check_seal(snapshot.seal, seal, force=force)
    if version_key(snapshot.version)[:2] > version_key(before.version)[:2]:
        warnings.append(f"The snapshot was written by version {snapshot.version}, the server is {before.version}: downgrades are not supported.")
    check_capability(client, SNAPSHOT, "update", what="restore a snapshot")
    if force:
        check_capability(client, SNAPSHOT_FORCE, "update", what="restore a snapshot by force")
    return RestorePlan(snapshot, before, seal, force, warnings)


def check_seal(source: Seal, seal: SealStatus, *, force: bool) -> list[str]:
    """Compare the seals; return what is worth a warning.

    Raises:
        Refused: the combination is known to end badly, or to need force.
    """
    if source.type != "shamir" and not seal.automatic:
        raise Refused(
            f"The snapshot needs a {source.type} seal (key {source.key_id or 'unknown'}), the server has {seal.type}: it could never be unsealed.",
            hint=f"Configure the {source.type} seal of the source on the server.",
        )
    if source.type != seal.type:
        if not force:
            raise Refused(
                f"The snapshot is sealed by {source.type}, the server by {seal.type}.",
                hint="Configure the same seal, or set force with manifest and public_key.",
            )
        return [f"The snapshot is sealed by {source.type}, the server by {seal.type}: restart it, then unseal it with the old keys and migrate=true."]
    if source.type == "shamir" and (source.shares, source.threshold) != (seal.shares, seal.threshold):
        return [
            f"The snapshot needs {source.threshold} of {source.shares} keys, the server was initialised with {seal.threshold} of {seal.shares}: "
            "if it is another cluster's, restart the server before you unseal it (it keeps the old numbers)."
        ]
    return []


def send(client: VaultClient, plan: RestorePlan, *, timeout: float) -> bool:
    """Send the snapshot: plainly, and by force only if that is refused and allowed. Return whether force was used.

    Raises:
        ApiError: the server refused it; its data is as it was.
    """
    refused = _send(client, plan.snapshot.path, SNAPSHOT, timeout=timeout)
    if refused is None:
        return False
    if refused.status != 400 or not plan.force:
        raise refused
    again = _send(client, plan.snapshot.path, SNAPSHOT_FORCE, timeout=timeout)
    if again is not None:
        raise again
    return True


def _send(client: VaultClient, path: str, api_path: str, *, timeout: float) -> ApiError | None:
    what = "restore the snapshot"
    try:
        with open(path, "rb") as file:
            reply = client.upload(api_path, file, what=what, timeout=timeout)
    except OSError as exc:
        raise Refused(f"Cannot read {path}: {exc.strerror}.") from exc
    if reply.status in (200, 204):
        return None
    error = from_status(reply.status, reply.body, what=what, url=client.url, method="POST", path=api_path)
    error.hint = _REFUSED.get(reply.status, error.hint)
    return error


class Watch:
    """Looks at the node until it shows that the snapshot has been applied."""

    def __init__(self, client: VaultClient, plan: RestorePlan) -> None:
        self._client = client
        self._plan = plan
        self.evidence = ""
        self.sealed_looks = 0
        self.settled_looks = 0
        self._cluster_id = ""

    def look(self) -> NodeState:
        """Look once."""
        state = read_node(self._client)
        before = self._plan.before
        if state.state == "active" and state.is_leader:
            if state.cluster_id and state.cluster_id != before.cluster_id:
                self.evidence = "cluster_id changed"
            elif state.active_time and state.active_time != before.active_time and (state.applied_index or 0) > (before.applied_index or 0):
                self.evidence = "active_time changed and the applied index went on"
        elif state.state == "sealed":
            self.evidence = "sealed"
        self._count(state)
        return state

    def _count(self, state: NodeState) -> None:
        self.sealed_looks = self.sealed_looks + 1 if state.state == "sealed" else 0
        settled = state.state == "active" and self.evidence not in ("", "sealed")
        same = settled and state.cluster_id == self._cluster_id
        self.settled_looks = self.settled_looks + 1 if same else int(settled)
        self._cluster_id = state.cluster_id

    def done(self, state: NodeState) -> bool:
        """Whether the end is reached."""
        if state.state == "sealed":
            return not self._plan.seal.automatic or self.sealed_looks >= SEALED_LOOKS
        return self.settled_looks >= SETTLED_LOOKS


def wait_applied(client: VaultClient, plan: RestorePlan, waiter: Waiter) -> tuple[NodeState, str]:
    """Wait until the restore has been seen to be applied; return the node's state and what showed it.

    Raises:
        WaitTimeout: that was not seen in time.
        PlatformError: the node sealed itself although it unseals automatically: it has not got the snapshot's key.
    """
    watch = Watch(client, plan)
    try:
        state = waiter.until(watch.look, watch.done, what=f"{client.url} to apply the snapshot it has accepted")
    except WaitTimeout as exc:
        last: NodeState = exc.details["last"]
        raise WaitTimeout(
            f"{client.url} accepted the snapshot, but within {waiter.timeout:g} s it was not seen to be applied: {last.summary()}.",
            hint="It may still be at work, or may have given up: look at its log and at vault_raft_info. Do not let other nodes join before that.",
            details={"last": last.as_dict()},
        ) from exc
    source = plan.snapshot.seal
    # Keys of another kind of seal are not expected to fit: people unseal it with migrate=true, as a warning of the plan has said.
    if state.state == "sealed" and plan.seal.automatic and source is not None and source.type == plan.seal.type:
        raise PlatformError(
            f"{client.url} applied the snapshot and then sealed itself: its {plan.seal.type} seal cannot decrypt the snapshot's keys.",
            hint=f"Make the key version that the snapshot needs ({source.key_id or 'unknown'}) usable "
            "(another key, or min_decryption_version above it?) and restart the node.",
            details={"node": state.as_dict()},
        )
    return state, watch.evidence
