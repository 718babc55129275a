#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_vm_snapshot_info
short_description: Read snapshots of Proxmox VE guests
version_added: 0.1.0
description:
  - Lists the snapshots of one or several virtual machines and containers, oldest first. One request, and one more for each guest.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_proxmox
options:
  guests:
    description: Names or ids of the guests. Without it, all that can be seen and are no templates.
    type: list
    elements: str
  concurrency:
    description: How many requests may be on their way at once.
    type: int
    default: 6
seealso:
  - module: resilient.platform.proxmox_vm_snapshot
"""

EXAMPLES = r"""
- name: Snapshots that somebody forgot
  resilient.platform.proxmox_vm_snapshot_info:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
  register: found
"""

RETURN = r"""
guests:
  description: The guests by id, each with its snapshots.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the guest.
      type: str
      returned: always
    vmid:
      description: Its id.
      type: int
      returned: always
    node:
      description: Its node.
      type: str
      returned: always
    type:
      description: V(qemu) or V(lxc).
      type: str
      returned: always
    snapshots:
      description: The snapshots, oldest first.
      type: list
      elements: dict
      returned: always
      contains:
        name:
          description: Name.
          type: str
          returned: always
        description:
          description: Notes.
          type: str
          returned: always
        taken_at:
          description: When it was made, in UTC.
          type: str
          returned: always
        vmstate:
          description: Whether it holds the memory.
          type: bool
          returned: always
        parent:
          description: The snapshot before it.
          type: str
          returned: always
        incomplete:
          description: V(prepare) or V(delete) if making or removing it was cut off.
          type: str
          returned: always
"""

import concurrent.futures
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import find_guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.snapshot import read_snapshots


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec({"guests": {"type": "list", "elements": "str"}, "concurrency": {"type": "int", "default": 6}})
    return own.merge(argspec.connection_spec())


def main() -> None:
    """Read and return."""
    module = argument_spec().create_module()
    wanted, concurrency = module.params["guests"], max(1, module.params["concurrency"])
    try:
        client = ProxmoxClient(argspec.connection_from(module.params), concurrency=concurrency)
        cluster = read_cluster(client)
        found = [guest for guest in cluster.guests if not guest.template] if wanted is None else [find_guest(cluster, name) for name in wanted]

        def read(guest: Guest) -> dict[str, t.Any]:
            snapshots = [one.as_result() for one in read_snapshots(client, guest)]
            return {"name": guest.name, "vmid": guest.vmid, "node": guest.node, "type": guest.kind, "snapshots": snapshots}

        with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
            guests = list(pool.map(read, sorted(found, key=lambda guest: guest.vmid)))
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(guests=guests)


if __name__ == "__main__":
    main()
