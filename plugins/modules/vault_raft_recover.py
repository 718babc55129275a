#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_recover
short_description: Give a raft cluster of Vault or OpenBao without a quorum a new list of members
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Writes C(peers.json) on a survivor of a cluster that has lost its quorum for good. The server reads it when it starts, and deletes it.
  - It runs on the node, with become, and needs nothing installed there.
  - While a quorum lives, or a server with data still runs on any of O(node_urls), nothing is written. Name every node that the cluster had.
  - What the survivor had not yet agreed on with the others becomes true. Keep the node with the highest C(raft_applied_index), and take a copy of its data
    first. Never let a play do this by itself.
  - With more than one survivor, run it on each with the same O(peers) before the first is started.
extends_documentation_fragment:
  - resilient.platform._attributes
  - resilient.platform._attributes.converges
options:
  data_dir:
    description: The path of the storage stanza.
    type: path
    required: true
  node_id:
    description: The C(node_id) of this node's storage stanza.
    type: str
    required: true
  peers:
    description: All members of the new cluster.
    type: list
    elements: dict
    required: true
    suboptions:
      id:
        description: The C(node_id) of the member.
        type: str
        required: true
      address:
        description: Its cluster address, such as V(10.0.0.1:8201).
        type: str
        required: true
      non_voter:
        description: Whether it never votes.
        type: bool
        default: false
  node_urls:
    description: The API addresses of every node that the cluster had, the lost ones too.
    type: list
    elements: str
    required: true
  confirm:
    description: The ids of O(peers), joined by commas in their order.
    type: str
    required: true
  ca_path:
    description: File with the authorities that the nodes' certificates are signed by, on the node.
    type: path
  validate_certs:
    description: Whether the certificates have to be trusted.
    type: bool
    default: true
  request_timeout:
    description: Seconds to wait for an answer of a node.
    type: int
    default: 5
seealso:
  - module: resilient.platform.vault_raft_peer
  - module: resilient.platform.vault_raft_prove
"""

EXAMPLES = r"""
- name: Go on with the one node of three that is left
  resilient.platform.vault_raft_recover:
    data_dir: /opt/openbao/data
    node_id: vault-1
    peers:
      - id: vault-1
        address: 10.0.0.11:8201
    node_urls:
      - https://10.0.0.11:8200
      - https://10.0.0.12:8200
      - https://10.0.0.13:8200
    ca_path: /etc/openbao/tls/ca.crt
    confirm: vault-1
  become: true
"""

RETURN = r"""
path:
  description: The file that was, or would be, written.
  returned: success
  type: str
  sample: /opt/openbao/data/raft/peers.json
nodes:
  description: What was seen of each node.
  returned: success
  type: list
  elements: dict
  contains:
    url:
      description: Its address.
      type: str
    state:
      description: Its state; V(down) if nothing listens there.
      type: str
      sample: down
    leader_address:
      description: Who leads in its opinion.
      type: str
"""

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import recover

PEER = {
    "id": {"type": "str", "required": True},
    "address": {"type": "str", "required": True},
    "non_voter": {"type": "bool", "default": False},
}
SPEC = ArgumentSpec(
    {
        "data_dir": {"type": "path", "required": True},
        "node_id": {"type": "str", "required": True},
        "peers": {"type": "list", "elements": "dict", "required": True, "options": PEER},
        "node_urls": {"type": "list", "elements": "str", "required": True},
        "confirm": {"type": "str", "required": True},
        "ca_path": {"type": "path"},
        "validate_certs": {"type": "bool", "default": True},
        "request_timeout": {"type": "int", "default": 5},
    }
)


def check(params: t.Mapping[str, t.Any]) -> None:
    """Refuse what can be refused without looking at anything."""
    recover.check_peers(params["peers"], params["node_id"])
    urls = [url.rstrip("/") for url in params["node_urls"]]
    if len(set(urls)) != len(urls) or len(urls) < len(params["peers"]) or not all(url.startswith(("http://", "https://")) for url in urls):
        raise Refused("node_urls names a node twice, fewer nodes than peers, or no address.", hint="Name every node that the cluster had, once.")
    wanted = ",".join(peer["id"] for peer in params["peers"])
    if params["confirm"].replace(" ", "") != wanted:
        raise Refused(f"From now on the cluster would be {wanted} alone.", hint=f"Set confirm to {wanted!r} if that is meant.")


def main() -> t.NoReturn:
    module = SPEC.create_module()
    params = module.params
    try:
        check(params)
        path, owner = recover.plan_file(params["data_dir"])
        options = {"timeout": params["request_timeout"], "validate_certs": params["validate_certs"], "ca_path": params["ca_path"]}
        urls = [url.rstrip("/") for url in params["node_urls"]]
        nodes = [recover.look(url, **options) for url in urls]
        recover.check_quorum_is_gone(nodes, urls)
        before, after = recover.read_text(path), recover.text_of(params["peers"])
        if before != after and not module.check_mode:
            recover.write(path, after, owner)
    except PlatformError as exc:
        exc.fail(module)
    result: dict[str, t.Any] = {"changed": before != after, "path": path, "nodes": [dataclasses.asdict(node) for node in nodes]}
    if module._diff:
        result["diff"] = {"before": before, "after": after, "before_header": path, "after_header": path}
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")


if __name__ == "__main__":
    main()
