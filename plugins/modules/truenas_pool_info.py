#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_pool_info
short_description: Read pools of a TrueNAS system
version_added: 0.1.0
description:
  - Returns pools with their state and topology, and the disks of the system with their use.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  names:
    description: Only these; all pools if not set. A name that does not exist is left out.
    type: list
    elements: str
  disks:
    description: Whether the disks of the system are read too.
    type: bool
    default: false
seealso:
  - module: resilient.platform.truenas_pool
"""

EXAMPLES = r"""
- name: Look at the pools and at the disks
  resilient.platform.truenas_pool_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    disks: true
  register: found
"""

RETURN = r"""
pools:
  description: The pools, sorted by name.
  returned: success
  type: list
  elements: dict
  sample:
    - name: tank
      guid: "9912431783236489124"
      status: ONLINE
      healthy: true
      topology: {data: [{type: MIRROR, disks: [sda, sdb]}]}
disks:
  description: Use of each disk by name; empty where it is free.
  returned: if O(disks) is true
  type: dict
  sample: {sda: pool tank, sdb: pool tank, sdc: ""}
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import pool
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"names": {"type": "list", "elements": "str"}, "disks": {"type": "bool", "default": False}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    names: list[str] | None = module.params["names"]
    result: dict[str, t.Any] = {"changed": False}
    try:
        with client_from(module.params) as client:
            found = client.query("pool", [] if names is None else [["name", "in", names]])
            if module.params["disks"]:
                result["disks"] = pool.disks(client)
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(**result, pools=sorted((pool.from_api(entry) for entry in found), key=lambda one: str(one["name"])))


if __name__ == "__main__":
    main()
