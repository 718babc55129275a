#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_replication_pair
short_description: Let one TrueNAS system log in to another by SSH
version_added: 0.1.0
description:
  - Makes a key pair and an SSH connection in the keychain of a system, for replications.
  - Both are found by name, and what exists is adopted. The private key never leaves the system.
  - Where the account may not see the connection's attributes, they are taken to be right.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_truenas
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  name:
    description: Name of the SSH connection, which replications refer to.
    type: str
    required: true
  key_name:
    description: Name of the key pair; that of the connection with C( key) if not set.
    type: str
  state:
    description: Whether the pair should be there.
    type: str
    choices: [present, absent]
    default: present
  host:
    description: Name or address that the connection leads to; O(peer.api_host) if not set.
    type: str
  port:
    description: TCP port of SSH there. A new connection uses what the second system says, or 22.
    type: int
  username:
    description: User there; C(root) for a new connection.
    type: str
  connect_timeout:
    description: Seconds until a log-in counts as failed; 10 for a new connection.
    type: int
  remote_host_key:
    description: Host key of the second system. Without it, a new connection trusts the one that is shown when it is made.
    type: str
  peer:
    description:
      - The API of the second system. With it, the key is authorised there; without it, its public key must be put there by hand.
      - The second system gives out a token for one use, with which the first one sets itself up (the semi-automatic set-up of the web interface).
    type: dict
    suboptions:
      api_host:
        description: Name or address of the second system.
        type: str
        required: true
      api_port:
        description: TCP port of its API.
        type: int
        default: 443
      api_username:
        description: Account on it.
        type: str
        required: true
      api_key:
        description: API key of the account. Exactly one of this and O(peer.api_password) is needed.
        type: str
      api_password:
        description: Password of the account.
        type: str
      api_protocol:
        description: As O(api_protocol).
        type: str
        default: wss
        choices: [wss, ws]
      api_version:
        description: As O(api_version).
        type: str
        default: current
      api_timeout:
        description: As O(api_timeout).
        type: int
        default: 60
      validate_certs:
        description: Whether its certificate must be trusted.
        type: bool
        default: true
      ca_path:
        description: CA certificates to trust.
        type: path
      url:
        description: URL of it as the first system reaches it; C(https://) with host and port if not set.
        type: str
      verify_ssl:
        description: Whether the first system verifies the certificate of that URL; as O(peer.validate_certs) if not set.
        type: bool
      sudo:
        description: Whether the user may run zfs by sudo there.
        type: bool
        default: false
  verify:
    description: Whether the connection is used once, to prove that the second system lets the first one in.
    type: bool
    default: true
  cascade:
    description: Lets V(absent) delete a connection that replications use.
    type: bool
    default: false
seealso:
  - module: resilient.platform.truenas_replication_pair_info
  - module: resilient.platform.truenas_replication
"""

EXAMPLES = r"""
- name: Let the first system replicate to the second
  resilient.platform.truenas_replication_pair:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    name: nas2
    peer:
      api_host: nas2.example.org
      api_username: automation
      api_key: "{{ nas2_api_key }}"
"""

RETURN = r"""
pair:
  description: The connection as it is afterwards (in check mode, as it would be); null if it is gone. What the account may not see is null.
  returned: success
  type: dict
  sample:
    name: nas2
    id: 2
    key_name: nas2 key
    key_id: 1
    public_key: ssh-rsa AAAA…
    host: nas2.example.org
    port: 22
    username: root
remote_datasets:
  description: How many datasets were seen over the connection.
  returned: if O(verify) is true and it is not check mode
  type: int
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import pair
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from, peer_spec
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    peer = peer_spec()
    peer["options"] |= {"url": {"type": "str"}, "verify_ssl": {"type": "bool"}, "sudo": {"type": "bool", "default": False}}
    options: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "key_name": {"type": "str", "no_log": False},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "host": {"type": "str"},
        "port": {"type": "int"},
        "username": {"type": "str"},
        "connect_timeout": {"type": "int"},
        "remote_host_key": {"type": "str", "no_log": False},
        "peer": peer,
        "verify": {"type": "bool", "default": True},
        "cascade": {"type": "bool", "default": False},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    params = {**module.params, "key_name": module.params["key_name"] or f"{module.params['name']} key"}
    plan = Plan()
    result: dict[str, t.Any] = {"pair": None}
    try:
        with client_from(params) as client:
            current = pair.read(client, params["name"], params["key_name"])
            plan = pair.plan_absent(params, current) if params["state"] == "absent" else pair.plan_present(params, current)
            if params["state"] == "present":
                result["pair"] = plan.predicted[0]
            if not module.check_mode and params["state"] == "absent":
                plan.apply(client)
            elif not module.check_mode:
                if plan.changed:
                    pair.make_with(client, client_from(params["peer"]) if params["peer"] else None, params, current, plan)
                    current = pair.read(client, params["name"], params["key_name"])
                result["pair"] = pair.from_api(current["key"], current["connection"])
                if params["verify"]:
                    result["remote_datasets"] = pair.prove(client, result["pair"]["id"], params["name"])
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result["changed"] = plan.changed
    if module._diff:
        result["diff"] = plan.diff.as_result("pair")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
