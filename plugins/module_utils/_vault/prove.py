# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The proof that a cluster replicates: a value written through the leader, seen by every node.

Autopilot and health stay green for a node that gets no more data (measured after a restore, see docs of ``vault_raft_prove``).
"""

from __future__ import annotations

import dataclasses
import datetime
import secrets
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.node import NodeState, find_leader, read_node
from ansible_collections.resilient.platform.plugins.module_utils._vault.raft import check_capability
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter


class NotReplicated(PlatformError):
    """A node did not get the value; ``details`` names it."""


@dataclasses.dataclass(frozen=True)
class Target:
    """Where the value goes."""

    mount_point: str
    path: str
    kv_version: int

    @property
    def api_path(self) -> str:
        """Return the path of the API."""
        parts = [self.mount_point.strip("/"), *(["data"] if self.kv_version == 2 else []), self.path.strip("/")]
        return quote("/".join(parts))


def plan_prove(client: VaultClient, target: Target, urls: t.Sequence[str]) -> VaultClient:
    """Return the leader.

    Raises:
        Refused: no node is named, there is no leader, or the token may not write.
    """
    if not urls or len(set(urls)) != len(urls):
        raise Refused("node_urls names no node, or one twice.", hint="Name every node of the cluster once.")
    leader = find_leader(client)[0]
    check_capability(leader, target.api_path, "update", what="write the proof")
    check_capability(leader, target.api_path, "read", what="read the proof back")
    return leader


def write(leader: VaultClient, target: Target) -> tuple[str, int]:
    """Write a fresh value; return it and the raft index that contains it.

    Raises:
        Refused: the server has no raft index.
    """
    value = secrets.token_hex(16)
    fields = {"value": value, "written_at": datetime.datetime.now(datetime.timezone.utc).isoformat()}
    leader.post(target.api_path, {"data": fields} if target.kv_version == 2 else fields, what="write the proof")
    index = read_node(leader).applied_index
    if index is None:
        raise Refused(f"{leader.url} tells no raft_applied_index.", hint="Its storage is not raft, or it lost leadership just now: run again.")
    return value, index


def wait_replicated(client: VaultClient, urls: t.Sequence[str], index: int, waiter: Waiter) -> list[NodeState]:
    """Wait until every node has applied *index*.

    Raises:
        NotReplicated: some did not in time; the message names them.
    """

    def look() -> list[NodeState]:
        return [read_node(client.at(url)) for url in urls]

    def good(states: list[NodeState]) -> bool:
        return not any(_lags(state, index) for state in states)

    try:
        return waiter.until(look, good, what="every node to apply the write")
    except WaitTimeout as exc:
        states: list[NodeState] = exc.details["last"]
        late = [state for state in states if _lags(state, index)]
        said = ", ".join(f"{state.summary()} at index {state.applied_index}" for state in late)
        raise NotReplicated(
            f"A write at raft index {index} did not reach every node within {waiter.timeout:g} s: {said}.",
            hint="A node that answers but lags gets no data. After a restore, restart the restored node before others join, or all nodes together.",
            details={"index": index, "nodes": [state.as_dict() for state in states]},
        ) from exc


def _lags(state: NodeState, index: int) -> bool:
    return state.state not in ("active", "standby", "performance_standby") or state.applied_index is None or state.applied_index < index


def read_back(client: VaultClient, target: Target, urls: t.Sequence[str], value: str, waiter: Waiter) -> None:
    """Read the value through each node.

    Raises:
        NotReplicated: a node answers with something else.
    """
    what = "read the proof back"
    for url in urls:
        node = client.at(url)
        # A kv engine that was enabled just now is not ready on the standbys for a second, and says 400.
        waiter.until(
            lambda: node.raw("GET", target.api_path, what=what).status, lambda status: status != 400, what=f"the kv engine to be ready on {url}"
        )
        data = node.get(target.api_path, what=what).data
        found = (data.get("data") or {}) if target.kv_version == 2 else data
        if not isinstance(found, dict) or found.get("value") != value:
            raise NotReplicated(
                f"{url} has applied the write's raft index but does not return its value at {target.api_path}.",
                hint="It serves stale data: restart it and prove again.",
                details={"url": url},
            )
