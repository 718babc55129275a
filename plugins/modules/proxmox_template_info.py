#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_template_info
short_description: Read Proxmox VE templates
version_added: 0.1.0
description:
  - Lists templates with their configuration, and the linked clones that stand on their disks.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_proxmox
options:
  names:
    description: Only templates with these names.
    type: list
    elements: str
  clones:
    description: Find linked clones. Costs one request for each guest that is no template.
    type: bool
    default: false
seealso:
  - module: resilient.platform.proxmox_template
"""

EXAMPLES = r"""
- name: Which templates are there?
  resilient.platform.proxmox_template_info:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
  register: found
"""

RETURN = r"""
templates:
  description: The templates by id.
  returned: always
  type: list
  elements: dict
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
    tags:
      description: Tags.
      type: list
      elements: str
      returned: always
    config:
      description: Configuration.
      type: dict
      returned: always
    clones:
      description: Names of its linked clones.
      type: list
      elements: str
      returned: O(clones=true)
"""

import re

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.fleet import read_configs
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.info import read_config


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec({"names": {"type": "list", "elements": "str"}, "clones": {"type": "bool", "default": False}})
    return own.merge(argspec.connection_spec())


def main() -> None:
    """Read and return."""
    module = argument_spec().create_module()
    names = module.params["names"]
    try:
        client = ProxmoxClient(argspec.connection_from(module.params))
        cluster = read_cluster(client)
        offered = (one for one in cluster.guests if one.template and one.kind == "qemu")
        found = sorted((one for one in offered if names is None or one.name in names), key=lambda one: one.vmid)
        templates = []
        for one in found:
            line = {"name": one.name, "vmid": one.vmid, "node": one.node, "tags": sorted(one.tags), "config": read_config(client, one)["config"]}
            templates.append(line)
        if module.params["clones"]:
            others = [guest for guest in cluster.guests if guest.kind == "qemu" and not guest.template]
            configs, failed = read_configs(client, others, cluster, 6)
            for error in failed.values():
                raise error
            for line in templates:
                base = re.compile(rf"[:/]base-{line['vmid']}-disk-\d+(?:\.\w+)?/")
                line["clones"] = [guest.name for guest in others if any(base.search(value) for value in configs[guest.vmid].values.values())]
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(templates=templates)


if __name__ == "__main__":
    main()
