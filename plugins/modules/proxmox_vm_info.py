#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_vm_info
short_description: Read Proxmox VE guests
version_added: 0.1.0
description:
  - Lists virtual machines and, if asked for, their configuration, addresses and SSH host keys.
  - The list costs one request for any number of guests; O(config), O(addresses) and O(ssh_host_keys) one more for each guest.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_proxmox
options:
  names:
    description: Only guests with these names.
    type: list
    elements: str
  vmid:
    description: Only the guest with this id.
    type: int
  node:
    description: Only guests on this node.
    type: str
  pool:
    description: Only guests of this pool.
    type: str
  tags:
    description: Only guests with all these tags.
    type: list
    elements: str
  templates:
    description: Whether to list templates as well.
    type: bool
    default: false
  config:
    description: Read each guest's configuration, and which keys wait for a restart.
    type: bool
    default: false
  addresses:
    description: Ask the guest agent of each running guest for its addresses. A guest without agent has none.
    type: bool
    default: false
  ssh_host_keys:
    description:
      - Read each running guest's best public SSH host key through its agent. It comes through the authenticated API, so it can be
        trusted as much, unlike what C(ssh-keyscan) sees on the network.
      - Needs the privilege C(VM.GuestAgent.FileRead).
    type: bool
    default: false
  concurrency:
    description: How many requests may be on their way at once.
    type: int
    default: 6
seealso:
  - module: resilient.platform.proxmox_vm
  - module: resilient.platform.proxmox_fleet
"""

EXAMPLES = r"""
- name: All guests with a tag, with their addresses
  resilient.platform.proxmox_vm_info:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    tags: [vault]
    addresses: true
  register: found
"""

RETURN = r"""
vms:
  description: The guests by id; empty if nothing matches.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: Name.
      type: str
      returned: always
    vmid:
      description: Id.
      type: int
      returned: always
    node:
      description: Node.
      type: str
      returned: always
    status:
      description: Power state.
      type: str
      returned: always
    template:
      description: Whether it is a template.
      type: bool
      returned: always
    tags:
      description: Tags.
      type: list
      elements: str
      returned: always
    pool:
      description: Pool.
      type: str
      returned: always
    lock:
      description: Operation that locks the guest.
      type: str
      returned: always
    config:
      description: Configuration as it will be after the next start. SSH keys of cloud-init are decoded into a list.
      type: dict
      returned: O(config=true)
    pending:
      description: Keys that the running guest does not have yet.
      type: list
      elements: str
      returned: O(config=true)
    addresses:
      description: Addresses, IPv4 first, without loopback and link-local ones.
      type: list
      elements: str
      returned: O(addresses=true)
    ssh_host_keys:
      description: The best public key (Ed25519, ECDSA, RSA) as type and key without a comment; empty if the agent does not answer.
      type: list
      elements: str
      returned: O(ssh_host_keys=true)
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.info import Selection, read_guests


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec(
        {
            "names": {"type": "list", "elements": "str"},
            "vmid": {"type": "int"},
            "node": {"type": "str"},
            "pool": {"type": "str"},
            "tags": {"type": "list", "elements": "str"},
            "templates": {"type": "bool", "default": False},
            "config": {"type": "bool", "default": False},
            "addresses": {"type": "bool", "default": False},
            "ssh_host_keys": {"type": "bool", "default": False, "no_log": False},
            "concurrency": {"type": "int", "default": 6},
        }
    )
    return own.merge(argspec.connection_spec())


def main() -> None:
    """Read and return."""
    module = argument_spec().create_module()
    params = module.params
    selection = Selection(
        names=params["names"],
        vmid=params["vmid"],
        node=params["node"],
        pool=params["pool"],
        tags=params["tags"],
        templates=params["templates"],
    )
    concurrency = max(1, params["concurrency"])
    try:
        client = ProxmoxClient(argspec.connection_from(params), concurrency=concurrency)
        vms = read_guests(
            client,
            selection,
            config=params["config"],
            addresses=params["addresses"],
            ssh_host_keys=params["ssh_host_keys"],
            concurrency=concurrency,
        )
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(vms=vms)


if __name__ == "__main__":
    main()
