#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_snapshot_info
short_description: Read snapshots of a TrueNAS system
version_added: 0.1.0
description:
  - Returns snapshots with their guid and transaction group, oldest first by transaction group, because a clock can step back.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  datasets:
    description: Only snapshots of these datasets; of all if not set.
    type: list
    elements: str
  recursive:
    description: Whether snapshots of everything below O(datasets) are returned too.
    type: bool
    default: false
  ids:
    description: Only these, as V(tank/apps@name).
    type: list
    elements: str
seealso:
  - module: resilient.platform.truenas_snapshot
"""

EXAMPLES = r"""
- name: Read the snapshots of a dataset
  resilient.platform.truenas_snapshot_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    datasets: [tank/apps]
  register: found
"""

RETURN = r"""
snapshots:
  description: The snapshots, oldest first.
  returned: success
  type: list
  elements: dict
  sample:
    - id: tank/apps@before-upgrade
      dataset: tank/apps
      name: before-upgrade
      guid: "5488368625827383818"
      createtxg: 4711
      creation: "2026-11-21T05:00:00.000000Z"
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import snapshot
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    options: dict[str, t.Any] = {
        "datasets": {"type": "list", "elements": "str"},
        "recursive": {"type": "bool", "default": False},
        "ids": {"type": "list", "elements": "str"},
    }
    return ArgumentSpec(options).merge(api_spec())


def filters_from(params: t.Mapping[str, t.Any]) -> list[t.Any]:
    """Return the filters of the query. One id alone is what the server reads fastest."""
    filters: list[t.Any] = []
    ids, datasets = params["ids"], params["datasets"]
    if ids is not None:
        filters.append(["id", "=", ids[0]] if len(ids) == 1 else ["id", "in", ids])
    if datasets is not None:
        chosen: list[t.Any] = ["dataset", "in", datasets]
        below = [["dataset", "^", f"{name}/"] for name in datasets] if params["recursive"] else []
        filters.append(["OR", [chosen, *below]] if below else chosen)
    return filters


def main() -> None:
    module = argument_spec().create_module()
    try:
        with client_from(module.params) as client:
            found = snapshot.query(client, filters_from(module.params))
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, snapshots=found)


if __name__ == "__main__":
    main()
