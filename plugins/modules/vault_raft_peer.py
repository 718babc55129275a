#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_peer
short_description: Let a node join a raft cluster of Vault or OpenBao, remove or replace one
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - A node is a member when the raft configuration of the leader names it; the answer of the node is not believed, because servers say that they joined
    when they did not.
  - With O(state=present), an empty server joins. One that is initialised already but not in the configuration is refused, since it was removed
    or is of another cluster; its data has to be deleted first.
  - With O(state=replaced), an empty server takes the place of a machine that is gone. The old entry is removed first. What is on the old machine is for
    you to delete; should it come back with its data, it stays sealed.
  - No removal leaves fewer living voters than a majority, and the leader is not removed.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._wait
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
options:
  node_id:
    description: The C(node_id) of the storage stanza of that server.
    type: str
    required: true
  node_url:
    description: Address of the API of the server that joins. Required unless O(state=absent).
    type: str
  state:
    description: Whether the node is a member, or is one on a new machine.
    type: str
    default: present
    choices: [present, absent, replaced]
  confirm:
    description: The node id, to be given with O(state=absent) and O(state=replaced).
    type: str
  non_voter:
    description: Whether the node that joins never votes.
    type: bool
    default: false
  leader_ca_path:
    description: File with the authority that the joining node trusts the leader by, on the controller. O(ca_path) if not set.
    type: path
  leader_tls_servername:
    description: Name that the leader's certificate has to match, if it is not the one of its address.
    type: str
  keys_file:
    description: The C(credentials_file) of M(resilient.platform.vault_init). A node with a Shamir seal joins only when it is unsealed by its keys.
    type: path
  minimum_voters:
    description: Fewer voters than these are not left behind by O(state=absent).
    type: int
    default: 3
seealso:
  - module: resilient.platform.vault_raft_info
  - module: resilient.platform.vault_raft_prove
  - module: resilient.platform.vault_raft_recover
"""

EXAMPLES = r"""
- name: Put a new machine in the place of the one that burnt
  resilient.platform.vault_raft_peer:
    url: https://vault-1.example.com:8200
    node_id: vault-3
    node_url: https://vault-3.example.com:8200
    state: replaced
    confirm: vault-3
"""

RETURN = r"""
peer:
  description: The member after the task; V(null) if it is none. In check mode, of a node that would join, what is known of it.
  returned: success
  type: dict
  contains:
    node_id:
      description: Its id.
      type: str
      sample: vault-3
    address:
      description: Address for the other nodes; empty in check mode of a join.
      type: str
    leader:
      description: Whether it leads.
      type: bool
    voter:
      description: Whether it votes. Autopilot lets a new node vote only when it has been healthy for a while.
      type: bool
leader_address:
  description: Address of the leader.
  returned: success
  type: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec, wait_spec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import peer
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import normalise_url
from ansible_collections.resilient.platform.plugins.module_utils._vault.raft import read_servers
from ansible_collections.resilient.platform.plugins.module_utils._vault.seal import read_keys
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

SPEC = ArgumentSpec(
    {
        "node_id": {"type": "str", "required": True},
        "node_url": {"type": "str"},
        "state": {"type": "str", "default": "present", "choices": ["present", "absent", "replaced"]},
        "confirm": {"type": "str"},
        "non_voter": {"type": "bool", "default": False},
        "leader_ca_path": {"type": "path"},
        "leader_tls_servername": {"type": "str"},
        # A file's name, not what is in it.
        "keys_file": {"type": "path", "no_log": False},
        "minimum_voters": {"type": "int", "default": 3},
    },
    required_if=[("state", "present", ["node_url"]), ("state", "replaced", ["node_url"])],
)


def wish_from(params: t.Mapping[str, t.Any]) -> peer.Wish:
    """Return the wish, checked as far as that needs no server."""
    node_id = params["node_id"].strip()
    if not node_id:
        raise Refused("node_id is empty.")
    if params["state"] != "present" and params["confirm"] != node_id:
        raise Refused(f"This removes {node_id} from the raft cluster; its data is of no use after that.", hint=f"Set confirm to {node_id!r} if that is meant.")
    url = normalise_url(params["node_url"]) if params["node_url"] else ""
    return peer.Wish(node_id, params["state"], url, params["non_voter"], params["minimum_voters"])


def join_fields(params: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return what the joining node has to know of the leader beyond its address.

    Raises:
        Refused: the authority cannot be read.
    """
    fields: dict[str, t.Any] = {}
    path = params["leader_ca_path"] or (params["ca_path"] if params["validate_certs"] else None)
    if path:
        try:
            with open(path, encoding="utf-8") as file:
                fields["leader_ca_cert"] = file.read()
        except OSError as exc:
            raise Refused(f"Cannot read {path}: {exc.strerror}.", hint="leader_ca_path is a file with certificates in PEM.") from exc
    if params["leader_tls_servername"]:
        fields["leader_tls_servername"] = params["leader_tls_servername"]
    return fields


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC, wait_spec()).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        wish = wish_from(params)
        fields = join_fields(params)
        keys = read_keys(params["keys_file"]) if params["keys_file"] else []
        plan = peer.plan_peer(client_from_params(params), wish)
        waiter = Waiter(timeout=params["wait_timeout"], interval=params["wait_sleep"])
        found = peer.find_server(plan.servers, wish.node_id)
        if plan.join:
            found = {"node_id": wish.node_id, "address": "", "leader": False, "voter": False}
        elif plan.remove:
            found = None
        if not module.check_mode:
            if plan.remove:
                peer.remove(plan, waiter)
            if plan.join:
                peer.join(plan, fields, keys, waiter)
                found = peer.find_server(read_servers(plan.leader), wish.node_id)
        return {
            "changed": plan.tracker.changed,
            "peer": found,
            "leader_address": plan.leader.url,
            "diff": plan.tracker.as_result(plan.header),
        }

    run(module, body)


if __name__ == "__main__":
    main()
