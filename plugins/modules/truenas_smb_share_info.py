#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_smb_share_info
short_description: Read SMB shares of a TrueNAS system
version_added: 0.1.0
description:
  - Returns the SMB shares in the notation of TrueNAS 25.10, whichever version the system has.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  names:
    description: Only shares of these names; all if not set.
    type: list
    elements: str
seealso:
  - module: resilient.platform.truenas_smb_share
"""

EXAMPLES = r"""
- name: Read the SMB shares
  resilient.platform.truenas_smb_share_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
  register: found
"""

RETURN = r"""
shares:
  description: The shares, by name.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1
      name: files
      path: /mnt/tank/files
      purpose: DEFAULT_SHARE
      options: {hostsallow: [], hostsdeny: [], aapl_name_mangling: false}
      enabled: true
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import smb
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.smb_layout import from_api


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"names": {"type": "list", "elements": "str"}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    names: list[str] | None = module.params["names"]
    chosen = None if names is None else {name.casefold() for name in names}
    try:
        with client_from(module.params) as client:
            found = client.query(smb.SERVICE)
    except PlatformError as exc:
        exc.fail(module)
    shares = [from_api(entry) for entry in found if chosen is None or entry["name"].casefold() in chosen]
    module.exit_json(changed=False, shares=sorted(shares, key=lambda one: str(one["name"])))


if __name__ == "__main__":
    main()
