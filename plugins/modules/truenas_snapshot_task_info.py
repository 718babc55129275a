#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_snapshot_task_info
short_description: Read periodic snapshot tasks of a TrueNAS system
version_added: 0.1.0
description:
  - Returns the periodic snapshot tasks with their state.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  datasets:
    description: Only tasks of these datasets; all if not set.
    type: list
    elements: str
seealso:
  - module: resilient.platform.truenas_snapshot_task
"""

EXAMPLES = r"""
- name: Read the snapshot tasks
  resilient.platform.truenas_snapshot_task_info:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
  register: found
"""

RETURN = r"""
tasks:
  description: The tasks, in the order of their numbers.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1
      dataset: tank/apps
      naming_schema: auto-%Y-%m-%d_%H-%M
      state: FINISHED
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import snapshot_task
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    return ArgumentSpec({"datasets": {"type": "list", "elements": "str"}}).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    datasets: list[str] | None = module.params["datasets"]
    filters: list[t.Any] = [] if datasets is None else [["dataset", "in", datasets]]
    try:
        with client_from(module.params) as client:
            found = client.query("pool.snapshottask", filters)
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(changed=False, tasks=sorted((snapshot_task.from_api(entry) for entry in found), key=lambda one: int(one["id"])))


if __name__ == "__main__":
    main()
