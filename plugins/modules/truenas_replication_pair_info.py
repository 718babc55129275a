#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_replication_pair_info
short_description: Read the SSH connections of a TrueNAS system
version_added: 0.1.0
description:
  - Returns the SSH connections of the keychain with their public keys. Private keys are never returned.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  names:
    description: Only these; all if not set. A name that does not exist is left out.
    type: list
    elements: str
seealso:
  - module: resilient.platform.truenas_replication_pair
"""

EXAMPLES = r"""
- name: Read the SSH connections
  resilient.platform.truenas_replication_pair_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
  register: found
"""

RETURN = r"""
pairs:
  description: The connections, sorted by name. What the account may not see is null.
  returned: success
  type: list
  elements: dict
  sample:
    - name: nas2
      id: 2
      key_name: nas2 key
      host: nas2.example.org
      port: 22
      username: root
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import pair
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"names": {"type": "list", "elements": "str"}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    names: list[str] | None = module.params["names"]
    try:
        with client_from(module.params) as client:
            found = pair.all_pairs(client)
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, pairs=[one for one in found if names is None or one["name"] in names])


if __name__ == "__main__":
    main()
