#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_snapshot
short_description: Take and delete snapshots on a TrueNAS system
version_added: 0.1.0
description:
  - Takes and deletes many snapshots in one log-in. A snapshot that exists is left alone.
  - Returns what a copy can be proven by, C(guid) and C(createtxg), which are equal on a replica and rising on a system.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_truenas
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  snapshots:
    description: The snapshots.
    type: list
    elements: dict
    required: true
    suboptions:
      dataset:
        description: Dataset to take it of.
        type: str
        required: true
      name:
        description: Name without the dataset.
        type: str
        required: true
      state:
        description: Whether the snapshot should be there.
        type: str
        choices: [present, absent]
        default: present
      recursive:
        description: Whether it is taken (or deleted) of everything below the dataset too, all at one moment.
        type: bool
        default: false
      exclude:
        description: Datasets below that are left out, with O(snapshots[].recursive).
        type: list
        elements: str
      properties:
        description: Own properties of a new snapshot, C(namespace:name) to value; not together with O(snapshots[].exclude).
        type: dict
      hold:
        description:
          - Whether the snapshot is held, so that nobody deletes it. Left as it is if not set.
          - With O(snapshots[].recursive) those of the same name below are held or let go too.
          - TrueNAS 26 deletes held snapshots when it is asked to, where 25 refuses. This module refuses with both;
            V(false) together with V(absent) lets go and deletes.
        type: bool
      defer:
        description: Lets V(absent) mark a snapshot that has clones for deletion once they are gone.
        type: bool
        default: false
  assume_present:
    description:
      - Names of what earlier tasks of the same check-mode run would have made (datasets), so that check mode can go on where a real run could.
      - Ignored outside check mode.
    type: list
    elements: str
    default: []
seealso:
  - module: resilient.platform.truenas_snapshot_info
  - module: resilient.platform.truenas_snapshot_task
"""

EXAMPLES = r"""
- name: Take a snapshot of the applications before an upgrade
  resilient.platform.truenas_snapshot:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    snapshots:
      - dataset: tank/apps
        name: before-upgrade
        recursive: true
"""

RETURN = r"""
snapshots:
  description: The snapshots of the list that exist afterwards (in check mode, as they would be).
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
      referenced_bytes: 98304
      held: false
      properties: {}
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import snapshot
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    one: dict[str, t.Any] = {
        "dataset": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "recursive": {"type": "bool", "default": False},
        "exclude": {"type": "list", "elements": "str"},
        "properties": {"type": "dict"},
        "hold": {"type": "bool"},
        "defer": {"type": "bool", "default": False},
    }
    options: dict[str, t.Any] = {
        "snapshots": {"type": "list", "elements": "dict", "required": True, "options": one},
        "assume_present": {"type": "list", "elements": "str", "default": []},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    plan = Plan()
    assumed = module.params["assume_present"] if module.check_mode else []
    try:
        items = snapshot.wanted(module.params["snapshots"])
        with client_from(module.params) as client:
            current = snapshot.read(client, items)
            missing = [name for name in snapshot.missing_datasets(client, items, current) if name not in assumed]
            plan = snapshot.plan(items, current, missing)
            found = plan.predicted
            if plan.changed and not module.check_mode:
                plan.apply(client)
                current = snapshot.read(client, items)
                found = [current[snapshot.id_of(item)] for item in items if snapshot.id_of(item) in current]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result: dict[str, t.Any] = {"changed": plan.changed, "snapshots": found}
    if module._diff:
        result["diff"] = plan.diff.as_result("snapshots")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
