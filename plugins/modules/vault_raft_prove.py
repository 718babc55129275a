#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_prove
short_description: Prove that a raft cluster of Vault or OpenBao replicates
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Writes a fresh value through the leader, waits until every node has applied the raft index of that write, and reads the value back from each node.
  - Health and autopilot stay green for a node that gets no more data, as after a restore whose node was not restarted. This module names such a node.
  - The value takes the place of the one before it.
attributes:
  check_mode:
    support: full
    details: Finds the leader and asks for the rights; nothing is written.
  diff_mode:
    support: none
    details: The value is a random one.
  idempotent:
    support: none
    details: Each run writes a new value.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
  - resilient.platform._wait
options:
  node_urls:
    description: Addresses of all nodes of the cluster.
    type: list
    elements: str
    required: true
  mount_point:
    description: Path of the kv engine to write to.
    type: str
    default: kv
  path:
    description: Where in it to write. The policy needs C(create), C(update) and C(read) on it (below C(data/) for version 2).
    type: str
    default: resilient/raft_proof
  kv_version:
    description: Version of the kv engine.
    type: int
    default: 2
    choices: [1, 2]
seealso:
  - module: resilient.platform.vault_raft_info
  - module: resilient.platform.vault_raft_restore
"""

EXAMPLES = r"""
- name: Prove that all nodes get what is written
  resilient.platform.vault_raft_prove:
    url: https://vault-1.example.com:8200
    node_urls:
      - https://vault-1.example.com:8200
      - https://vault-2.example.com:8200
      - https://vault-3.example.com:8200
"""

RETURN = r"""
proof:
  description: The proof.
  returned: success
  type: dict
  contains:
    index:
      description: Raft index of the write; V(null) in check mode.
      type: int
      sample: 54
    nodes:
      description: Each node with the index it had applied when the wait was over; empty in check mode.
      type: list
      elements: dict
      sample: [{"url": "https://vault-1.example.com:8200", "applied_index": 54}]
    seconds:
      description: From the write until it was read back from every node; V(null) in check mode.
      type: float
    leader_address:
      description: The leader it was written through.
      type: str
"""

import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec, wait_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, normalise_url
from ansible_collections.resilient.platform.plugins.module_utils._vault.prove import Target, plan_prove, read_back, wait_replicated, write
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

SPEC = ArgumentSpec(
    {
        "node_urls": {"type": "list", "elements": "str", "required": True},
        "mount_point": {"type": "str", "default": "kv"},
        "path": {"type": "str", "default": "resilient/raft_proof"},
        "kv_version": {"type": "int", "default": 2, "choices": [1, 2]},
    }
)


def prove(leader: VaultClient, target: Target, urls: list[str], waiter: Waiter) -> dict[str, t.Any]:
    """Write, wait, read back."""
    begun = time.monotonic()
    value, index = write(leader, target)
    states = wait_replicated(leader, urls, index, waiter)
    read_back(leader, target, urls, value, waiter)
    nodes = [{"url": state.url, "applied_index": state.applied_index} for state in states]
    return {"index": index, "nodes": nodes, "seconds": round(time.monotonic() - begun, 3), "leader_address": leader.url}


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC, wait_spec()).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        urls = [normalise_url(url) for url in params["node_urls"]]
        target = Target(params["mount_point"], params["path"], params["kv_version"])
        leader = plan_prove(client_from_params(params), target, urls)
        if module.check_mode:
            return {"changed": True, "proof": {"index": None, "nodes": [], "seconds": None, "leader_address": leader.url}}
        return {"changed": True, "proof": prove(leader, target, urls, Waiter(timeout=params["wait_timeout"], interval=params["wait_sleep"]))}

    run(module, body)


if __name__ == "__main__":
    main()
