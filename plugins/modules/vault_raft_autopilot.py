#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_autopilot
short_description: Manage the settings of raft's autopilot in Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Writes the settings of autopilot. What is not set is left alone.
  - Durations are compared by length, so V(24h) and what the server makes of it (V(24h0m0s)) are the same.
  - The settings are part of a snapshot and come back with a restore.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.converges
  - resilient.platform._attributes.actiongroup_vault
options:
  cleanup_dead_servers:
    description: Whether servers that are gone are removed from the cluster. Needs O(min_quorum) of at least 3.
    type: bool
  dead_server_last_contact_threshold:
    description: After how long without contact a server is dead. With O(cleanup_dead_servers) at least V(1m).
    type: str
  last_contact_threshold:
    description: After how long without contact a server is unhealthy.
    type: str
  max_trailing_logs:
    description: By how many log entries a healthy server may lag.
    type: int
  min_quorum:
    description: Below how many servers nothing is cleaned up.
    type: int
  server_stabilization_time:
    description: How long a new server has to be healthy before it votes.
    type: str
seealso:
  - module: resilient.platform.vault_raft_autopilot_info
  - module: resilient.platform.vault_raft_peer
"""

EXAMPLES = r"""
- name: Forget nodes that were away for two days, but never below three
  resilient.platform.vault_raft_autopilot:
    cleanup_dead_servers: true
    dead_server_last_contact_threshold: 48h
    min_quorum: 3
"""

RETURN = r"""
autopilot:
  description: The settings after the task, by the API's own names.
  returned: success
  type: dict
  sample: {cleanup_dead_servers: true, dead_server_last_contact_threshold: 48h0m0s, min_quorum: 3}
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import autopilot
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec

SPEC = ArgumentSpec(
    {
        "cleanup_dead_servers": {"type": "bool"},
        "dead_server_last_contact_threshold": {"type": "str"},
        "last_contact_threshold": {"type": "str"},
        "max_trailing_logs": {"type": "int"},
        "min_quorum": {"type": "int"},
        "server_stabilization_time": {"type": "str"},
    }
)


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        wanted = {name: module.params[name] for name in autopilot.FIELDS if module.params[name] is not None}
        if not wanted:
            raise Refused("No setting of autopilot is given.", hint=f"There are: {', '.join(sorted(autopilot.FIELDS))}.")
        client = client_from_params(module.params)
        current = autopilot.read_configuration(client)
        after = {**current, **wanted}
        autopilot.check_configuration(wanted, after)
        write, tracker = autopilot.plan_configuration(wanted, current)
        after = {**current, **write}
        if write and not module.check_mode:
            autopilot.apply_configuration(client, write)
            after = autopilot.read_configuration(client)
        return {"changed": tracker.changed, "autopilot": after, "diff": tracker.as_result("autopilot")}

    run(module, body)


if __name__ == "__main__":
    main()
