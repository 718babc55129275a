# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Members of a raft cluster: let one join, remove one, put a new machine in the place of one.

The server answers ``joined: true`` to a node that is in already, and even to one that was removed and still has its old data
(measured). So nothing here believes that answer: a node is in when the leader's raft configuration names it.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.node import NodeState, find_leader, read_node
from ansible_collections.resilient.platform.plugins.module_utils._vault.raft import check_capability, read_autopilot, read_servers
from ansible_collections.resilient.platform.plugins.module_utils._vault.seal import read_seal_status
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

REMOVE = "sys/storage/raft/remove-peer"
JOIN = "sys/storage/raft/join"
WIPE = "Stop it, delete the raft data below its storage path (vault.db and the directory raft), start it, and run again."
Servers = list[dict[str, t.Any]]


@dataclasses.dataclass(frozen=True)
class Wish:
    """What the task wants of one member."""

    node_id: str
    state: str
    node_url: str = ""
    non_voter: bool = False
    minimum_voters: int = 3


@dataclasses.dataclass
class PeerPlan:
    """What to do: remove, then join, or one of them, or nothing."""

    wish: Wish
    leader: VaultClient
    servers: Servers
    remove: bool = False
    join: bool = False
    tracker: DiffTracker = dataclasses.field(default_factory=DiffTracker)

    @property
    def header(self) -> str:
        """Return the object's name for people."""
        return f"raft peer {self.wish.node_id}"


def find_server(servers: Servers, node_id: str) -> dict[str, t.Any] | None:
    """Return the member of that id."""
    return next((server for server in servers if server["node_id"] == node_id), None)


def plan_peer(client: VaultClient, wish: Wish) -> PeerPlan:
    """Plan one member; nothing is written.

    Raises:
        Refused: the quorum would be in danger, the node has old data, or it cannot be reached.
    """
    leader = find_leader(client)[0]
    servers = read_servers(leader)
    plan = PeerPlan(wish, leader, servers)
    member = find_server(servers, wish.node_id)
    if wish.state == "absent":
        plan.remove = member is not None
    else:
        _plan_join(plan, member)
    if plan.remove and member is not None:
        check_capability(leader, REMOVE, "update", what="remove a raft peer")
        check_removal(plan, member)
        if not plan.join:
            plan.tracker.add("member", before=True, after=False)
            plan.tracker.add("voter", before=member["voter"], after=None)
        else:
            plan.tracker.add("member", before="the old machine", after="the new machine")
    elif plan.join:
        plan.tracker.add("member", before=False, after=True)
    if plan.join:
        plan.tracker.add("node_url", before=None, after=wish.node_url)
        plan.tracker.add("non_voter", before=None, after=wish.non_voter)
    return plan


def _plan_join(plan: PeerPlan, member: t.Mapping[str, t.Any] | None) -> None:
    """Decide by what the configuration and the node itself say."""
    wish = plan.wish
    state = read_node(plan.leader.at(wish.node_url).with_token(""))
    if not state.reachable:
        raise Refused(f"The node {wish.node_id} does not answer: {state.summary()}.", hint="Start its server; it has to have a raft storage of its own.")
    if member is not None and state.initialized:
        ours = read_node(plan.leader).cluster_id
        if state.cluster_id and state.cluster_id != ours:
            raise Refused(f"{wish.node_url} belongs to another cluster ({state.cluster_id}, not {ours}).", hint=WIPE)
        return
    if state.initialized:
        raise Refused(
            f"{wish.node_url} is initialised, but the raft configuration does not name {wish.node_id}: it was removed, or is of another cluster, "
            "and would say that it joined without doing so.",
            hint=WIPE,
        )
    plan.join = True
    if member is not None:
        if wish.state != "replaced":
            raise Refused(
                f"{wish.node_id} is in the raft configuration, but {wish.node_url} is an empty server: the machine was replaced.",
                hint="Set state to replaced, which removes the old entry first.",
            )
        plan.remove = True


def check_removal(plan: PeerPlan, member: t.Mapping[str, t.Any]) -> None:
    """Refuse to remove the leader, or to leave fewer living voters than a majority."""
    if member["leader"]:
        raise Refused(f"{plan.wish.node_id} is the leader.", hint="Stop its server, or step it down, and run again when another one leads.")
    if not member["voter"]:
        return
    pilot = read_autopilot(plan.leader)
    if pilot is None:
        raise Refused(f"{plan.leader.url} has no autopilot, so nobody tells which voters live.", hint="Remove the peer by hand.")
    voters = [server["node_id"] for server in plan.servers if server["voter"] and server["node_id"] != plan.wish.node_id]
    alive = [name for name in voters if is_alive(pilot, name)]
    details = {"voters": voters, "alive": alive}
    if len(alive) < len(voters) // 2 + 1:
        raise Refused(
            f"Without {plan.wish.node_id} there are {len(voters)} voters, of which {len(alive)} live: the cluster would have no quorum.",
            hint="Bring another node back first.",
            details=details,
        )
    if plan.wish.state == "absent" and len(voters) < plan.wish.minimum_voters:
        raise Refused(
            f"Without {plan.wish.node_id} there are {len(voters)} voters, fewer than minimum_voters ({plan.wish.minimum_voters}).",
            hint="Let another node join first, or lower minimum_voters if the cluster is to shrink.",
            details=details,
        )


def is_alive(pilot: t.Mapping[str, t.Any], node_id: str) -> bool:
    """Whether autopilot calls the node alive and healthy."""
    seen = pilot["servers"].get(node_id) or {}
    return seen.get("node_status") == "alive" and bool(seen.get("healthy"))


def remove(plan: PeerPlan, waiter: Waiter) -> None:
    """Remove the member, and see that it is out."""
    node_id = plan.wish.node_id
    plan.leader.post(REMOVE, {"server_id": node_id}, what=f"remove the {plan.header}")
    waiter.until(
        lambda: find_server(read_servers(plan.leader), node_id), lambda server: server is None, what=f"the raft configuration to lose {node_id}"
    )


def enter_keys(node: VaultClient, keys: t.Sequence[str]) -> None:
    """Enter keys until the joining node has enough. It then proves itself to the leader and unseals later than its answer.

    Raises:
        Refused: there were not enough.
        ApiError: the node refused one.
    """
    for key in dict.fromkeys(keys):
        body = node.post("sys/unseal", {"key": key}, what="enter an unseal key").body
        if not body.get("sealed") or not body.get("progress"):
            return
    raise Refused(f"{node.url} wants more than the {len(set(keys))} keys given.", hint="Give the file with all keys of the cluster that it joins.")


def join(plan: PeerPlan, body: t.Mapping[str, t.Any], keys: t.Sequence[str], waiter: Waiter) -> NodeState:
    """Let the node join, and wait until configuration and node both say so.

    Args:
        plan: The plan.
        body: Fields of the join request beyond the leader's address.
        keys: Unseal keys; a node with a Shamir seal joins only when it has them.
        waiter: How long to wait.

    Raises:
        Refused: it joined under another name.
        WaitTimeout: it is not in.
    """
    node = plan.leader.at(plan.wish.node_url)
    anonymous = node.with_token("")  # the path needs none, and an empty server is no place for a token
    request = {"leader_api_addr": plan.leader.url, "non_voter": plan.wish.non_voter, **body}
    anonymous.post(JOIN, request, what=f"let {plan.wish.node_url} join", timeout=max(node.timeout, 60.0))
    if keys and not read_seal_status(anonymous).automatic:
        enter_keys(anonymous, keys)
    known = {server["node_id"] for server in plan.servers}

    def look() -> tuple[Servers, NodeState]:
        return read_servers(plan.leader), read_node(anonymous)

    def good(seen: tuple[Servers, NodeState]) -> bool:
        strangers = {server["node_id"] for server in seen[0]} - known - {plan.wish.node_id}
        if strangers:
            raise Refused(
                f"{plan.wish.node_url} joined as {', '.join(sorted(strangers))}, not as {plan.wish.node_id}.",
                hint="node_id is what the server's storage stanza says; remove the other one if it is not wanted.",
            )
        return find_server(seen[0], plan.wish.node_id) is not None and seen[1].state in ("standby", "performance_standby", "active")

    try:
        return waiter.until(look, good, what=f"{plan.wish.node_id} to be in the raft configuration")[1]
    except WaitTimeout as exc:
        servers, state = exc.details["last"]
        named = find_server(servers, plan.wish.node_id) is not None
        raise WaitTimeout(
            f"Waited {waiter.timeout:g} s for {plan.wish.node_id} to join: the raft configuration {'names it' if named else 'does not name it'}, "
            f"{state.summary()}.",
            hint="Does it reach the leader's API and cluster address, does it trust its certificate, and is it unsealed (keys_file with Shamir)? See its log.",
            details={"last": state.as_dict(), "servers": servers},
        ) from exc
