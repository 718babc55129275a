#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_autopilot_info
short_description: Read the settings and the opinion of raft's autopilot in Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Returns the settings of autopilot and what it thinks of the cluster.
  - A healthy autopilot is no proof of replication; M(resilient.platform.vault_raft_prove) is.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
  - resilient.platform._attributes.info_module
seealso:
  - module: resilient.platform.vault_raft_autopilot
  - module: resilient.platform.vault_raft_prove
"""

EXAMPLES = r"""
- name: Read autopilot
  resilient.platform.vault_raft_autopilot_info:
  register: found

- name: Go on only while a node may be lost
  ansible.builtin.assert:
    that: found.state.failure_tolerance >= 1
"""

RETURN = r"""
autopilot:
  description: The settings, by the API's own names.
  returned: success
  type: dict
  sample: {cleanup_dead_servers: false, min_quorum: 0}
state:
  description: What autopilot thinks of the cluster; V(null) if the server does not tell.
  returned: success
  type: dict
  contains:
    healthy:
      description: Whether every server is healthy.
      type: bool
    failure_tolerance:
      description: How many voters may be lost.
      type: int
    leader:
      description: Node id of the leader.
      type: str
    voters:
      description: Node ids of the voters.
      type: list
      elements: str
    servers:
      description: What it knows of each server, by node id.
      type: dict
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._vault import autopilot
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.raft import read_autopilot


def main() -> t.NoReturn:
    module = vault_spec().create_module()

    def body() -> dict[str, t.Any]:
        client = client_from_params(module.params)
        return {"changed": False, "autopilot": autopilot.read_configuration(client), "state": read_autopilot(client)}

    run(module, body)


if __name__ == "__main__":
    main()
