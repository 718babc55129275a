#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_policy
short_description: Manage an ACL policy of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Creates, changes or deletes a policy. Blanks at line ends and empty lines around the text make no difference.
  - The diff is one of texts, line by line.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
options:
  name:
    description: Name of the policy. The server keeps it in lower case.
    type: str
    required: true
  policy:
    description: Text of the policy (HCL or JSON). Required with O(state=present).
    type: str
  state:
    description: Whether the policy exists.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: resilient.platform.vault_policy_info
"""

EXAMPLES = r"""
- name: Let the backup take snapshots and nothing else
  resilient.platform.vault_policy:
    name: backup
    policy: |
      path "sys/storage/raft/snapshot" {
        capabilities = ["read"]
      }

- name: Delete a policy
  resilient.platform.vault_policy:
    name: old
    state: absent
"""

RETURN = r"""
policy:
  description: The policy after the task; V(null) if there is none.
  returned: success
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: backup
    policy:
      description: Its text.
      type: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.policy import apply_policy, plan_policy, policy_name, read_policy

SPEC = ArgumentSpec(
    {
        "name": {"type": "str", "required": True},
        "policy": {"type": "str"},
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
    },
    required_if=[("state", "present", ("policy",))],
)


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        name = policy_name(params["name"])
        client = client_from_params(params)
        plan = plan_policy(name, read_policy(client, name), params["state"], params["policy"])
        if plan.changed and not module.check_mode:
            apply_policy(client, plan)
        policy = None if plan.after is None else {"name": name, "policy": plan.after}
        return {"changed": plan.changed, "policy": policy, "diff": plan.diff()}

    run(module, body)


if __name__ == "__main__":
    main()
