# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What one node says about itself, by the paths that need no token."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, Refused, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.errors import NotLeader, server_words
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

# Seconds for one look: a node that applies a restore answers nobody for a while, and the next look may find it back.
PROBE_TIMEOUT = 15.0
# 500: a restore is being applied; 472 and 473 are Vault Enterprise's secondaries.
_STATES = {200: "active", 429: "standby", 472: "dr_secondary", 473: "performance_standby", 501: "not_initialised", 503: "sealed"}


@dataclasses.dataclass(frozen=True)
class NodeState:
    """One look at a node. What it did not say is ``None`` or empty."""

    url: str
    reachable: bool
    health: int | None = None
    state: str = "unreachable"
    initialized: bool | None = None
    sealed: bool | None = None
    standby: bool | None = None
    version: str = ""
    cluster_id: str = ""
    cluster_name: str = ""
    is_leader: bool = False
    leader_address: str = ""
    active_time: str = ""
    applied_index: int | None = None
    committed_index: int | None = None
    error: str = ""

    def as_dict(self) -> dict[str, t.Any]:
        """Return it for a module's result."""
        return dataclasses.asdict(self)

    def summary(self) -> str:
        """Return it in a few words, for errors."""
        return f"{self.url} is {self.state}" + (f" ({self.error})" if self.error else "")


def read_node(client: VaultClient) -> NodeState:
    """Ask a node for its health and its leader. Never raises for a node that is down: that is a state."""
    what = "ask for the health"
    try:
        reply = client.raw("GET", "sys/health", what=what, timeout=min(client.timeout, PROBE_TIMEOUT))
    except ApiError as exc:
        return NodeState(client.url, reachable=False, error=exc.message)
    body = reply.body
    state = NodeState(
        client.url,
        reachable=True,
        health=reply.status,
        state=_STATES.get(reply.status, "failing"),
        initialized=body.get("initialized"),
        sealed=body.get("sealed"),
        standby=body.get("standby"),
        version=str(body.get("version") or ""),
        cluster_id=str(body.get("cluster_id") or ""),
        cluster_name=str(body.get("cluster_name") or ""),
        error=server_words(body),
    )
    if state.sealed or not state.initialized:
        return state
    return _with_leader(client, state)


def _with_leader(client: VaultClient, state: NodeState) -> NodeState:
    try:
        body = client.raw("GET", "sys/leader", what="ask for the leader", timeout=min(client.timeout, PROBE_TIMEOUT)).body
    except ApiError as exc:
        return dataclasses.replace(state, error=exc.message)
    return dataclasses.replace(
        state,
        is_leader=bool(body.get("is_self")),
        leader_address=str(body.get("leader_address") or ""),
        active_time=str(body.get("active_time") or ""),
        applied_index=body.get("raft_applied_index"),
        committed_index=body.get("raft_committed_index"),
        error=state.error or server_words(body),
    )


def find_leader(client: VaultClient) -> tuple[VaultClient, NodeState]:
    """Return the leader's client and state, asking *client*'s node who it is.

    Raises:
        Refused: the node is down, sealed, not initialised or knows no leader; or the named leader does not call itself one.
    """
    state = read_node(client)
    if state.is_leader:
        return client, state
    if not state.leader_address:
        raise Refused(f"There is no leader to be found: {state.summary()}.", hint="Start and unseal a majority of the nodes first.")
    leader = client.at(state.leader_address)
    leader_state = read_node(leader)
    if not leader_state.is_leader:
        raise Refused(
            f"{client.url} names {leader.url} as the leader, but that node does not say so: {leader_state.summary()}.",
            hint="An election may be under way: try again; check that the api_addr of the nodes can be reached from the controller.",
        )
    return leader, leader_state


def require_leader(client: VaultClient, *, what: str) -> NodeState:
    """Return the node's state if it is the leader.

    Raises:
        NotLeader: it is a standby.
        Refused: it is down, sealed or not initialised.
    """
    state = read_node(client)
    if state.is_leader:
        return state
    if state.leader_address:
        raise NotLeader(
            f"Will not {what} at {client.url}: it is a standby of {state.leader_address}.",
            leader_address=state.leader_address,
            hint=f"Set url to {state.leader_address}.",
        )
    raise Refused(f"Will not {what}: {state.summary()}.", hint="It has to be initialised, unsealed and active.")


def wait_for_state(client: VaultClient, good: t.Callable[[NodeState], bool], waiter: Waiter, *, what: str, hint: str) -> NodeState:
    """Wait until *good* says yes of the node's state, and return it.

    Raises:
        WaitTimeout: it did not in time; what was seen last is in the message and in the details.
    """
    try:
        return waiter.until(lambda: read_node(client), good, what=what)
    except WaitTimeout as exc:
        last: NodeState = exc.details["last"]
        raise WaitTimeout(
            f"Waited {waiter.timeout:g} s for {client.url} {what}; seen last: {last.summary()}.", hint=hint, details={"last": last.as_dict()}
        ) from exc
