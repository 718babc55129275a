#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_dataset_info
short_description: Read datasets of a TrueNAS system
version_added: 0.1.0
description:
  - Returns datasets with their properties as plain values.
  - Names that do not exist are left out; that is no error.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  names:
    description: Only these; all datasets if not set.
    type: list
    elements: str
  recursive:
    description: Whether everything below O(names) is returned too.
    type: bool
    default: false
seealso:
  - module: resilient.platform.truenas_dataset
"""

EXAMPLES = r"""
- name: Read one dataset
  resilient.platform.truenas_dataset_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    names: [tank/apps/db]
  register: found
"""

RETURN = r"""
datasets:
  description: The datasets, sorted by name. Sizes are bytes; C(sources) says where each value comes from.
  returned: success
  type: list
  elements: dict
  sample:
    - name: tank/apps/db
      type: FILESYSTEM
      mountpoint: /mnt/tank/apps/db
      quota: 53687091200
      used_bytes: 98304
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.properties import from_api


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"names": {"type": "list", "elements": "str"}, "recursive": {"type": "bool", "default": False}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    names: list[str] | None = module.params["names"]
    filters: list[t.Any] = []
    if names is not None:
        chosen: list[t.Any] = ["id", "in", names]
        filters = [["OR", [chosen, *(["id", "^", f"{name}/"] for name in names)]]] if module.params["recursive"] and names else [chosen]
    try:
        with client_from(module.params) as client:
            found = client.query("pool.dataset", filters, extra={"flat": True, "retrieve_children": True})
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, datasets=sorted((from_api(entry) for entry in found), key=lambda one: str(one["name"])))


if __name__ == "__main__":
    main()
