# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What a raft cluster looks like: from each node, from the configuration, from autopilot."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.node import NodeState, read_node

SNAPSHOT = "sys/storage/raft/snapshot"
SNAPSHOT_FORCE = "sys/storage/raft/snapshot-force"


def read_nodes(client: VaultClient, urls: t.Sequence[str]) -> list[NodeState]:
    """Return the state of each node, in the order given."""
    return [read_node(client.at(url)) for url in urls]


def read_servers(client: VaultClient) -> list[dict[str, t.Any]]:
    """Return the members of the raft configuration."""
    data = client.get("sys/storage/raft/configuration", what="read the raft configuration").data
    servers = (data.get("config") or {}).get("servers") or []
    return [
        {
            "node_id": str(server.get("node_id", "")),
            "address": str(server.get("address", "")),
            "leader": bool(server.get("leader")),
            "voter": bool(server.get("voter")),
        }
        for server in servers
    ]


def read_autopilot(client: VaultClient) -> dict[str, t.Any] | None:
    """Return autopilot's opinion; ``None`` from a server that has no autopilot.

    It stays green for a standby that no longer gets data (measured): use ``prove`` for a proof.
    """
    reply = client.find("sys/storage/raft/autopilot/state", what="read the state of autopilot")
    if reply is None:
        return None
    data = reply.data
    return {
        "healthy": data.get("healthy"),
        "failure_tolerance": data.get("failure_tolerance"),
        "leader": data.get("leader"),
        "voters": data.get("voters") or [],
        "servers": data.get("servers") or {},
    }


def read_raft(client: VaultClient, urls: t.Sequence[str]) -> dict[str, t.Any]:
    """Return all of it. Without a token, or without a leader, ``servers`` and ``autopilot`` are ``None``."""
    nodes = read_nodes(client, urls)
    leader = next((node for node in nodes if node.is_leader), None)
    address = leader.leader_address if leader else next((node.leader_address for node in nodes if node.leader_address), "")
    servers = autopilot = None
    if client.token and address:
        asked = client.at(leader.url) if leader else client.at(address)
        servers, autopilot = read_servers(asked), read_autopilot(asked)
    return {"leader_address": address, "nodes": [node.as_dict() for node in nodes], "servers": servers, "autopilot": autopilot}


def check_capability(client: VaultClient, path: str, capability: str, *, what: str) -> bool:
    """Return whether the token may do it, asked before doing it.

    Returns:
        ``True`` if it may, ``False`` if the server does not tell (the token may not ask).

    Raises:
        Refused: it may not.
    """
    try:
        data = client.post("sys/capabilities-self", {"paths": [path]}, what="ask for the token's capabilities").data
    except ApiError as exc:
        if exc.status in (403, 404) and exc.kind != "AuthenticationError":
            return False
        raise
    granted = data.get(path) or data.get("capabilities") or []
    if capability not in granted and "root" not in granted:
        raise Refused(
            f"The token may not {what}: it has {', '.join(granted) or 'nothing'} on {path} at {client.url}.", hint=f"Grant {capability!r} on {path}."
        )
    return True
