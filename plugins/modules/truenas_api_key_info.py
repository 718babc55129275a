#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_api_key_info
short_description: Read the API keys of a TrueNAS system
version_added: 0.1.0
description:
  - Returns the keys with their state, the days they have left, and what their account may do. The text of a key can never be read again.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  usernames:
    description: Only keys of these accounts; all if not set.
    type: list
    elements: str
seealso:
  - module: resilient.platform.truenas_api_key
"""

EXAMPLES = r"""
- name: Read the keys
  resilient.platform.truenas_api_key_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
  register: found
"""

RETURN = r"""
keys:
  description: The keys, by number.
  returned: success
  type: list
  elements: dict
  sample:
    - {id: 3, name: replication, username: replicator, state: valid, days_left: 89, roles: [REPLICATION_ADMIN], may_delete: false}
"""

import datetime

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import api_keys
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"usernames": {"type": "list", "elements": "str"}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    chosen, now = module.params["usernames"], datetime.datetime.now(datetime.timezone.utc)
    try:
        with client_from(module.params) as client:
            entries = client.query("api_key")
            roles = {one["username"]: sorted(one["roles"]) for one in client.query("user")}
    except PlatformError as exc:
        exc.fail(module)
    found = [api_keys.from_api(entry, now) for entry in entries if chosen is None or entry.get("username") in chosen]
    for one in found:
        one["roles"] = roles.get(str(one["username"]), [])
        one["may_delete"] = any(role == "FULL_ADMIN" or role.endswith("_DELETE") for role in one["roles"])
    module.exit_json(changed=False, keys=sorted(found, key=lambda one: int(one["id"])))


if __name__ == "__main__":
    main()
