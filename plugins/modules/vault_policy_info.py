#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_policy_info
short_description: Read ACL policies of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Returns one policy or all of them, with their texts.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
  - resilient.platform._attributes.info_module
options:
  name:
    description: Name of the policy; all of them if not set.
    type: str
seealso:
  - module: resilient.platform.vault_policy
"""

EXAMPLES = r"""
- name: Read all policies
  resilient.platform.vault_policy_info:
  register: found
"""

RETURN = r"""
policies:
  description: The policies; none if nothing matches. The built-in V(root) has no text.
  returned: success
  type: list
  elements: dict
  sample: [{"name": "backup", "policy": "path 'sys/*' {}"}]
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.policy import list_policies, policy_name, read_policy

SPEC = ArgumentSpec({"name": {"type": "str"}})


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        wanted = module.params["name"]
        client = client_from_params(module.params)
        names = [policy_name(wanted)] if wanted is not None else list_policies(client)
        texts = [(name, read_policy(client, name)) for name in names]
        return {"changed": False, "policies": [{"name": name, "policy": text} for name, text in texts if text is not None]}

    run(module, body)


if __name__ == "__main__":
    main()
