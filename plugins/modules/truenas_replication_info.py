#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_replication_info
short_description: Read replications of a TrueNAS system
version_added: 0.1.0
description:
  - Returns the replications with their state. Credentials and snapshot tasks appear by name, secrets not at all.
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
  - module: resilient.platform.truenas_replication
"""

EXAMPLES = r"""
- name: Read the state of the replications
  resilient.platform.truenas_replication_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
  register: found
"""

RETURN = r"""
tasks:
  description: The replications, sorted by name.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1
      name: apps to nas2
      direction: PUSH
      state: {state: FINISHED, last_snapshot: "tank/apps@auto-2026-11-21_05-00", warnings: [], error: null}
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import replication
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"names": {"type": "list", "elements": "str"}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    try:
        with client_from(module.params) as client:
            found = replication.read(client, module.params["names"])
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, tasks=[replication.public(found[name]) for name in sorted(found)])


if __name__ == "__main__":
    main()
