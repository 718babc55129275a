#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_info
short_description: Look at a raft cluster of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Asks each node for its health, its leader and the raft index it has applied, and the leader for the configuration and for the opinion of
    autopilot.
  - A node that is down or sealed is a state, not an error. Without a token only the nodes are asked, which needs none.
  - Autopilot and health stay green for a node that gets no more data; M(resilient.platform.vault_raft_prove) proves replication.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
  - resilient.platform._attributes.info_module
options:
  node_urls:
    description: Addresses of the nodes to ask; O(url) alone if not set.
    type: list
    elements: str
seealso:
  - module: resilient.platform.vault_raft_prove
  - module: resilient.platform.vault_raft_snapshot
"""

EXAMPLES = r"""
- name: Look at all three nodes
  resilient.platform.vault_raft_info:
    url: https://vault-1.example.com:8200
    node_urls:
      - https://vault-1.example.com:8200
      - https://vault-2.example.com:8200
      - https://vault-3.example.com:8200
  register: cluster
"""

RETURN = r"""
raft:
  description: The cluster.
  returned: success
  type: dict
  contains:
    leader_address:
      description: Address of the leader; empty if nobody knows one.
      type: str
      sample: https://vault-1.example.com:8200
    nodes:
      description: Each asked node, in the order given.
      type: list
      elements: dict
      contains:
        url:
          description: Address that was asked.
          type: str
        reachable:
          description: Whether it answered.
          type: bool
        state:
          description: >-
            V(active), V(standby), V(performance_standby), V(dr_secondary), V(sealed), V(not_initialised), V(failing) (a restore may be at
            work) or V(unreachable).
          type: str
        health:
          description: HTTP status of C(sys/health).
          type: int
        initialized:
          description: Whether it is initialised.
          type: bool
        sealed:
          description: Whether it is sealed.
          type: bool
        standby:
          description: Whether it is a standby.
          type: bool
        is_leader:
          description: Whether it calls itself the leader.
          type: bool
        leader_address:
          description: Whom it calls the leader.
          type: str
        active_time:
          description: Since when the leader has been active.
          type: str
        applied_index:
          description: Raft index that it has applied.
          type: int
        committed_index:
          description: Raft index that it knows to be committed.
          type: int
        version:
          description: Version of the server.
          type: str
        cluster_id:
          description: Id of the cluster.
          type: str
        cluster_name:
          description: Name of the cluster.
          type: str
        error:
          description: What it said or why it did not answer.
          type: str
    servers:
      description: Members of the raft configuration; V(null) without a token or a leader.
      type: list
      elements: dict
      sample: [{"node_id": "vault-1", "address": "10.0.0.1:8201", "leader": true, "voter": true}]
    autopilot:
      description: State of autopilot; V(null) without a token or a leader.
      type: dict
      sample: {"healthy": true, "failure_tolerance": 1, "leader": "vault-1", "voters": ["vault-1", "vault-2", "vault-3"], "servers": {}}
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import anonymous_client, client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.raft import read_raft

SPEC = ArgumentSpec({"node_urls": {"type": "list", "elements": "str"}})


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        with_token = params["auth_method"] == "approle" or params["token"]
        client = client_from_params(params) if with_token else anonymous_client(params)
        return {"changed": False, "raft": read_raft(client, params["node_urls"] or [client.url])}

    run(module, body)


if __name__ == "__main__":
    main()
