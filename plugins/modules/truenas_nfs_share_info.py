#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_nfs_share_info
short_description: Read NFS shares of a TrueNAS system
version_added: 0.1.0
description:
  - Returns the NFS shares, with whether their dataset is locked.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  paths:
    description: Only shares of these paths; all if not set.
    type: list
    elements: str
seealso:
  - module: resilient.platform.truenas_nfs_share
"""

EXAMPLES = r"""
- name: Read the NFS shares
  resilient.platform.truenas_nfs_share_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
  register: found
"""

RETURN = r"""
shares:
  description: The shares, in the order of their numbers.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1
      path: /mnt/tank/apps
      networks: [192.0.2.0/24]
      enabled: true
      locked: false
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import nfs
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"paths": {"type": "list", "elements": "str"}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    paths: list[str] | None = module.params["paths"]
    filters: list[t.Any] = [] if paths is None else [["path", "in", paths]]
    try:
        with client_from(module.params) as client:
            found = client.query(nfs.SERVICE, filters)
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, shares=sorted((nfs.from_api(entry) for entry in found), key=lambda one: int(one["id"])))


if __name__ == "__main__":
    main()
