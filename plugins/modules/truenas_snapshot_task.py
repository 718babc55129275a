#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_snapshot_task
short_description: Make periodic snapshot tasks of a TrueNAS system as declared
version_added: 0.1.0
description:
  - Creates, changes and deletes many tasks in one log-in.
  - Tasks have no name in TrueNAS. O(tasks[].dataset) and O(tasks[].naming_schema) tell one from another.
  - The difference names the snapshots whose retention a change or deletion touches, as TrueNAS foretells it.
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
  tasks:
    description: The tasks.
    type: list
    elements: dict
    required: true
    suboptions:
      dataset:
        description: Dataset to take snapshots of.
        type: str
        required: true
      naming_schema:
        description: Names of the snapshots, in strftime notation. TrueNAS reads their age from it, so it needs C(%Y %m %d %H %M), or C(%s) alone.
        type: str
        default: auto-%Y-%m-%d_%H-%M
      state:
        description: Whether the task should be there.
        type: str
        choices: [present, absent]
        default: present
      recursive:
        description: Whether everything below the dataset is included.
        type: bool
      exclude:
        description: Datasets below that are left out.
        type: list
        elements: str
      lifetime_value:
        description: How long a snapshot is kept, in O(tasks[].lifetime_unit). A new task keeps them 2 weeks unless this says otherwise.
        type: int
      lifetime_unit:
        description: Unit of O(tasks[].lifetime_value).
        type: str
        choices: [HOUR, DAY, WEEK, MONTH, YEAR]
      enabled:
        description: Whether the task runs.
        type: bool
      allow_empty:
        description: Whether a snapshot is taken when nothing has changed.
        type: bool
      schedule:
        description: When to take snapshots; every hour if not set for a new task.
        type: dict
        suboptions:
          minute:
            description: Minutes, V(00) if not set.
            type: str
          hour:
            description: Hours, all if not set.
            type: str
          dom:
            description: Days of the month, all if not set.
            type: str
          month:
            description: Months, all if not set.
            type: str
          dow:
            description: Days of the week, V(1) is Monday, all if not set.
            type: str
          begin:
            description: Not before this time of day, V(HH:MM).
            type: str
          end:
            description: Not after this time of day, V(HH:MM).
            type: str
      fixate_removal_date:
        description: Whether snapshots that exist keep the date of removal they have, whatever changes.
        type: bool
        default: false
  max_snapshots_deleted:
    description:
      - Refuse if the retention of more snapshots than this would change, which is how many may be deleted; any number if not set.
      - TrueNAS foretells them. V(0) lets nothing go.
    type: int
    aliases: [max_snapshots_affected]
  assume_present:
    description:
      - Names of what earlier tasks of the same check-mode run would have made (datasets), so that check mode can go on where a real run could.
      - Ignored outside check mode.
    type: list
    elements: str
    default: []
seealso:
  - module: resilient.platform.truenas_snapshot_task_info
  - module: resilient.platform.truenas_snapshot
"""

EXAMPLES = r"""
- name: Take snapshots of the applications every quarter of an hour
  resilient.platform.truenas_snapshot_task:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    tasks:
      - dataset: tank/apps
        recursive: true
        lifetime_value: 2
        lifetime_unit: DAY
        schedule:
          minute: "*/15"
"""

RETURN = r"""
tasks:
  description: The tasks of the list that exist afterwards (in check mode, as they would be).
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1
      dataset: tank/apps
      naming_schema: auto-%Y-%m-%d_%H-%M
      recursive: true
      lifetime_value: 2
      lifetime_unit: DAY
      enabled: true
      schedule: {minute: "*/15", hour: "*", dom: "*", month: "*", dow: "*", begin: "00:00", end: "23:59"}
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import snapshot_task
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    one: dict[str, t.Any] = {
        "dataset": {"type": "str", "required": True},
        "naming_schema": {"type": "str", "default": snapshot_task.DEFAULT_SCHEMA},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "recursive": {"type": "bool"},
        "exclude": {"type": "list", "elements": "str"},
        "lifetime_value": {"type": "int"},
        "lifetime_unit": {"type": "str", "choices": list(snapshot_task.UNITS)},
        "enabled": {"type": "bool"},
        "allow_empty": {"type": "bool"},
        "schedule": {"type": "dict", "options": {name: {"type": "str"} for name in snapshot_task.SCHEDULE}},
        "fixate_removal_date": {"type": "bool", "default": False},
    }
    options: dict[str, t.Any] = {
        "tasks": {"type": "list", "elements": "dict", "required": True, "options": one},
        "max_snapshots_deleted": {"type": "int", "aliases": ["max_snapshots_affected"]},
        "assume_present": {"type": "list", "elements": "str", "default": []},
    }
    return ArgumentSpec(options).merge(api_spec())


def main() -> None:
    module = argument_spec().create_module()
    params, plan = module.params, Plan()
    assumed = params["assume_present"] if module.check_mode else []
    try:
        items = snapshot_task.wanted(params["tasks"])
        with client_from(params) as client:
            current = snapshot_task.read(client)
            missing = [name for name in snapshot_task.missing_datasets(client, items, current) if name not in assumed]
            affected = snapshot_task.losses(client, items, current)
            plan = snapshot_task.plan(items, current, missing, affected, params["max_snapshots_deleted"])
            found = plan.predicted
            if plan.changed and not module.check_mode:
                plan.apply(client)
                current = snapshot_task.read(client)
                found = [current[snapshot_task.key_of(item)] for item in items if snapshot_task.key_of(item) in current]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    result: dict[str, t.Any] = {"changed": plan.changed, "tasks": found}
    if module._diff:
        result["diff"] = plan.diff.as_result("snapshot tasks")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
