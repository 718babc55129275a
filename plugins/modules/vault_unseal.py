#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_unseal
short_description: Unseal a node of Vault or OpenBao, or wait until it has unsealed itself
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - With a Shamir seal, enters keys until the node is unsealed. A node that is unsealed already is left alone.
  - With automatic unseal no key is sent. The module waits until the node has unsealed itself and is active or standby, and says what it saw last
    if it does not.
  - In both cases a node that is not initialised yet (one that is joining) is waited for.
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
  - resilient.platform._wait
options:
  keys:
    description: Unseal keys, hexadecimal or Base64. Exactly as many as needed are entered.
    type: list
    elements: str
  keys_file:
    description: File that M(resilient.platform.vault_init) wrote, to take the keys from.
    type: path
  migrate:
    description: >-
      Whether the node now has another kind of seal than its data, and the keys are those of the old one. So ends the restore of a Shamir snapshot on a server
      with automatic unseal, after a restart. Do it on each node.
    type: bool
    default: false
seealso:
  - module: resilient.platform.vault_init
  - module: resilient.platform.vault_raft_info
"""

EXAMPLES = r"""
- name: Unseal with the keys in custody
  resilient.platform.vault_unseal:
    url: https://vault-1.example.com:8200
    keys_file: /secure/vault/init.json

- name: Wait until a node with automatic unseal can be used
  resilient.platform.vault_unseal:
    url: https://vault-2.example.com:8200
    wait_timeout: 120
"""

RETURN = r"""
node:
  description: The node as it is seen at the end; in check mode, as it is.
  returned: success
  type: dict
  sample: {"url": "https://vault-1.example.com:8200", "state": "active", "sealed": false, "initialized": true, "standby": false, "version": "2.7.2"}
seal:
  description: The seal; C(automatic) says that the node unseals itself.
  returned: success
  type: dict
  sample: {"type": "shamir", "automatic": false, "shares": 5, "threshold": 3}
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec, wait_spec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import anonymous_client, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.node import read_node
from ansible_collections.resilient.platform.plugins.module_utils._vault.seal import (
    check_keys,
    read_keys,
    read_seal_status,
    unseal,
    wait_until_initialised,
    wait_until_usable,
)
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

SPEC = ArgumentSpec(
    {
        "keys": {"type": "list", "elements": "str", "no_log": True},
        "keys_file": {"type": "path", "no_log": False},
        "migrate": {"type": "bool", "default": False},
    },
    mutually_exclusive=[("keys", "keys_file")],
)


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC, wait_spec()).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        client = anonymous_client(params)
        waiter = Waiter(timeout=params["wait_timeout"], interval=params["wait_sleep"])
        seal = read_seal_status(client)
        if not seal.initialized and not module.check_mode:
            seal = wait_until_initialised(client, waiter)
        migrate = params["migrate"]
        changed = seal.sealed and (migrate or not seal.automatic)
        if changed:
            keys = params["keys"] or (read_keys(params["keys_file"]) if params["keys_file"] else [])
            if not keys:
                raise Refused(f"{client.url} is sealed by Shamir's method and no key was given.", hint="Set keys_file or keys.")
            if not migrate:  # Until it is unsealed, a node that migrates tells the numbers of its new seal.
                check_keys(seal, keys)
        if not module.check_mode:
            if changed:
                unseal(client, keys, migrate=migrate)
            node = wait_until_usable(client, waiter)
        else:
            node = read_node(client)
        return {
            "changed": changed,
            "node": node.as_dict(),
            "seal": {"type": seal.type, "automatic": seal.automatic, "shares": seal.shares, "threshold": seal.threshold},
            "diff": {"before": {"sealed": changed}, "after": {"sealed": False}, "before_header": client.url, "after_header": client.url},
        }

    run(module, body)


if __name__ == "__main__":
    main()
