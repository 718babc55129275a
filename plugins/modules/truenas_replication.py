#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_replication
short_description: Make replications of a TrueNAS system as declared, and run them
version_added: 0.1.0
description:
  - Creates, changes and deletes many replications in one log-in, by name, with all fields that the API has.
  - The rules that TrueNAS applies one task at a time are checked for the whole list before the first write, in check mode as well.
  - A field that stops to make sense by a change of direction, transport or retention is cleared unless it is declared.
  - With O(run) the declared replications are run and waited for; O(one_time) runs one that is not stored, for bringing a dataset back.
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
    support: partial
    details: O(tasks) is idempotent; O(run) and O(one_time) are operations that report a change each time.
options:
  tasks:
    description: The replications.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name.
        type: str
        required: true
      state:
        description: Whether the replication should be there.
        type: str
        choices: [present, absent]
        default: present
      direction:
        description: Whether snapshots are sent or fetched.
        type: str
        choices: [PUSH, PULL]
      transport:
        description: How they travel.
        type: str
        choices: [SSH, SSH+NETCAT, LOCAL]
      ssh_credentials:
        description: Name of the SSH connection (see M(resilient.platform.truenas_replication_pair)); needed unless LOCAL.
        type: str
      netcat_active_side:
        description: Which side listens, with SSH+NETCAT.
        type: str
        choices: [LOCAL, REMOTE]
      netcat_active_side_listen_address:
        description: Address that the active side listens on.
        type: str
      netcat_active_side_port_min:
        description: First port that may be used.
        type: int
      netcat_active_side_port_max:
        description: Last port that may be used.
        type: int
      netcat_passive_side_connect_address:
        description: Address that the passive side connects to.
        type: str
      sudo:
        description: Whether zfs is run by sudo on the other side.
        type: bool
      source_datasets:
        description: Datasets to replicate.
        type: list
        elements: str
      target_dataset:
        description: Dataset that takes the snapshots.
        type: str
      recursive:
        description: Whether everything below is replicated.
        type: bool
      exclude:
        description: Datasets below that are left out.
        type: list
        elements: str
      properties:
        description: Whether properties of the datasets are sent.
        type: bool
      properties_exclude:
        description: Properties that are not sent.
        type: list
        elements: str
      properties_override:
        description: Properties that get another value on the target.
        type: dict
      replicate:
        description: Whether the whole file system is replicated as it is, with clones and all; only with recursive and retention_policy SOURCE.
        type: bool
      encryption:
        description: Whether the target is encrypted on its own.
        type: bool
      encryption_inherit:
        description: Whether the target takes its encryption from above.
        type: bool
      encryption_key:
        description: Key or passphrase of the target. Never compared nor returned.
        type: str
      encryption_key_format:
        description: What the key is.
        type: str
        choices: [HEX, PASSPHRASE]
      encryption_key_location:
        description: Where the key is kept on the target, or C($TrueNAS).
        type: str
      periodic_snapshot_tasks:
        description: Periodic snapshot tasks whose snapshots are sent; for PUSH. Named by dataset and naming schema.
        type: list
        elements: dict
        suboptions:
          dataset:
            description: Dataset of the task.
            type: str
            required: true
          naming_schema:
            description: Naming schema of the task.
            type: str
            default: auto-%Y-%m-%d_%H-%M
      naming_schema:
        description: Schemas of the names of snapshots to fetch; for PULL.
        type: list
        elements: str
      also_include_naming_schema:
        description: Schemas of the names of snapshots to send beside those of bound tasks; for PUSH.
        type: list
        elements: str
      name_regex:
        description: Regular expression for the names of snapshots, instead of schemas and bound tasks.
        type: str
      auto:
        description: Whether it runs by itself.
        type: bool
      schedule:
        description: When it runs, if it is not bound to snapshot tasks.
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
      restrict_schedule:
        description: Only runs after bound snapshot tasks that match this.
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
      only_matching_schedule:
        description: Whether only snapshots that match the schedule are replicated.
        type: bool
      allow_from_scratch:
        description: Whether all snapshots of the target may be destroyed when it has none in common with the source.
        type: bool
      readonly:
        description: Whether the target is set read-only (V(SET)), must be so (V(REQUIRE)), or is left alone (V(IGNORE)).
        type: str
        choices: [SET, REQUIRE, IGNORE]
      hold_pending_snapshots:
        description: Whether snapshots that are not replicated yet are kept on the source; for PUSH.
        type: bool
      retention_policy:
        description: How old snapshots of the target go. V(SOURCE) means a mass deletion on the source follows on the target; V(CUSTOM) is safer.
        type: str
        choices: [SOURCE, CUSTOM, NONE]
      lifetime_value:
        description: How long they are kept, in lifetime_unit; for CUSTOM.
        type: int
      lifetime_unit:
        description: Unit of lifetime_value.
        type: str
        choices: [HOUR, DAY, WEEK, MONTH, YEAR]
      lifetimes:
        description: Further lifetimes by schedule; for CUSTOM.
        type: list
        elements: dict
        suboptions:
          schedule:
            description: Snapshots of these times.
            type: dict
            required: true
            suboptions:
              minute:
                description: Minutes, all if not set.
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
                description: Days of the week, all if not set.
                type: str
          lifetime_value:
            description: How long they are kept.
            type: int
            required: true
          lifetime_unit:
            description: Unit of that.
            type: str
            required: true
            choices: [HOUR, DAY, WEEK, MONTH, YEAR]
      compression:
        description: Compression on the way; for SSH.
        type: str
        choices: [LZ4, PIGZ, PLZIP]
      speed_limit:
        description: Bytes a second; for SSH.
        type: int
      large_block:
        description: Whether large blocks stay large.
        type: bool
      embed:
        description: Whether embedded blocks are sent so.
        type: bool
      compressed:
        description: Whether compressed blocks are sent so.
        type: bool
      retries:
        description: Tries before it counts as failed.
        type: int
      logging_level:
        description: How much is logged.
        type: str
        choices: [DEBUG, INFO, WARNING, ERROR]
      enabled:
        description: Whether it may run.
        type: bool
  run:
    description:
      - Whether the replications of O(tasks) are run now and waited for. This is an operation, it reports a change each time.
      - One that is running already is waited for and then run again.
    type: bool
    default: false
  one_time:
    description: A replication to run once without storing it. This is an operation, it reports a change each time.
    type: dict
    suboptions:
      direction:
        description: Whether snapshots are sent or fetched.
        type: str
        required: true
        choices: [PUSH, PULL]
      transport:
        description: How they travel.
        type: str
        required: true
        choices: [SSH, SSH+NETCAT, LOCAL]
      ssh_credentials:
        description: Name of the SSH connection (see M(resilient.platform.truenas_replication_pair)); needed unless LOCAL.
        type: str
      netcat_active_side:
        description: Which side listens, with SSH+NETCAT.
        type: str
        choices: [LOCAL, REMOTE]
      netcat_active_side_listen_address:
        description: Address that the active side listens on.
        type: str
      netcat_active_side_port_min:
        description: First port that may be used.
        type: int
      netcat_active_side_port_max:
        description: Last port that may be used.
        type: int
      netcat_passive_side_connect_address:
        description: Address that the passive side connects to.
        type: str
      sudo:
        description: Whether zfs is run by sudo on the other side.
        type: bool
      source_datasets:
        description: Datasets to replicate.
        type: list
        required: true
        elements: str
      target_dataset:
        description: Dataset that takes the snapshots.
        type: str
        required: true
      recursive:
        description: Whether everything below is replicated.
        type: bool
        required: true
      exclude:
        description: Datasets below that are left out.
        type: list
        elements: str
      properties:
        description: Whether properties of the datasets are sent.
        type: bool
      properties_exclude:
        description: Properties that are not sent.
        type: list
        elements: str
      properties_override:
        description: Properties that get another value on the target.
        type: dict
      replicate:
        description: Whether the whole file system is replicated as it is, with clones and all; only with recursive and retention_policy SOURCE.
        type: bool
      encryption:
        description: Whether the target is encrypted on its own.
        type: bool
      encryption_inherit:
        description: Whether the target takes its encryption from above.
        type: bool
      encryption_key:
        description: Key or passphrase of the target. Never compared nor returned.
        type: str
      encryption_key_format:
        description: What the key is.
        type: str
        choices: [HEX, PASSPHRASE]
      encryption_key_location:
        description: Where the key is kept on the target, or C($TrueNAS).
        type: str
      periodic_snapshot_tasks:
        description: Periodic snapshot tasks whose snapshots are sent; for PUSH. Named by dataset and naming schema.
        type: list
        elements: dict
        suboptions:
          dataset:
            description: Dataset of the task.
            type: str
            required: true
          naming_schema:
            description: Naming schema of the task.
            type: str
            default: auto-%Y-%m-%d_%H-%M
      naming_schema:
        description: Schemas of the names of snapshots to fetch; for PULL.
        type: list
        elements: str
      also_include_naming_schema:
        description: Schemas of the names of snapshots to send beside those of bound tasks; for PUSH.
        type: list
        elements: str
      name_regex:
        description: Regular expression for the names of snapshots, instead of schemas and bound tasks.
        type: str
      restrict_schedule:
        description: Only runs after bound snapshot tasks that match this.
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
      allow_from_scratch:
        description: Whether all snapshots of the target may be destroyed when it has none in common with the source.
        type: bool
      readonly:
        description: Whether the target is set read-only (V(SET)), must be so (V(REQUIRE)), or is left alone (V(IGNORE)).
        type: str
        choices: [SET, REQUIRE, IGNORE]
      hold_pending_snapshots:
        description: Whether snapshots that are not replicated yet are kept on the source; for PUSH.
        type: bool
      retention_policy:
        description: How old snapshots of the target go. V(SOURCE) means a mass deletion on the source follows on the target; V(CUSTOM) is safer.
        type: str
        required: true
        choices: [SOURCE, CUSTOM, NONE]
      lifetime_value:
        description: How long they are kept, in lifetime_unit; for CUSTOM.
        type: int
      lifetime_unit:
        description: Unit of lifetime_value.
        type: str
        choices: [HOUR, DAY, WEEK, MONTH, YEAR]
      lifetimes:
        description: Further lifetimes by schedule; for CUSTOM.
        type: list
        elements: dict
        suboptions:
          schedule:
            description: Snapshots of these times.
            type: dict
            required: true
            suboptions:
              minute:
                description: Minutes, all if not set.
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
                description: Days of the week, all if not set.
                type: str
          lifetime_value:
            description: How long they are kept.
            type: int
            required: true
          lifetime_unit:
            description: Unit of that.
            type: str
            required: true
            choices: [HOUR, DAY, WEEK, MONTH, YEAR]
      compression:
        description: Compression on the way; for SSH.
        type: str
        choices: [LZ4, PIGZ, PLZIP]
      speed_limit:
        description: Bytes a second; for SSH.
        type: int
      large_block:
        description: Whether large blocks stay large.
        type: bool
      embed:
        description: Whether embedded blocks are sent so.
        type: bool
      compressed:
        description: Whether compressed blocks are sent so.
        type: bool
      retries:
        description: Tries before it counts as failed.
        type: int
      logging_level:
        description: How much is logged.
        type: str
        choices: [DEBUG, INFO, WARNING, ERROR]
      exclude_mountpoint_property:
        description: Whether mount points are not sent.
        type: bool
      only_from_scratch:
        description: Whether it fails if the target exists.
        type: bool
      mount:
        description: Whether the target is mounted.
        type: bool
  assume_present:
    description:
      - Names of what earlier tasks of the same check-mode run would have made (SSH connections, and snapshot tasks as
        C(dataset@naming schema)), so that check mode can go on where a real run could.
      - Ignored outside check mode.
    type: list
    elements: str
    default: []
  wait_timeout:
    description: Seconds to wait for a run. The run itself goes on after it.
    type: int
    default: 3600
  wait_sleep:
    description: Seconds between two looks.
    type: float
    default: 1.0
seealso:
  - module: resilient.platform.truenas_replication_info
  - module: resilient.platform.truenas_replication_pair
"""

EXAMPLES = r"""
- name: Replicate the applications to the second system after each snapshot
  resilient.platform.truenas_replication:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    tasks:
      - name: apps to nas2
        direction: PUSH
        transport: SSH
        ssh_credentials: nas2
        source_datasets: [tank/apps]
        target_dataset: backup/apps
        recursive: true
        periodic_snapshot_tasks:
          - dataset: tank/apps
        auto: true
        retention_policy: CUSTOM
        lifetime_value: 2
        lifetime_unit: WEEK

- name: Bring a dataset back from the second system, up to one snapshot
  resilient.platform.truenas_replication:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    one_time:
      direction: PULL
      transport: SSH
      ssh_credentials: nas2
      source_datasets: [backup/apps]
      target_dataset: tank/apps
      recursive: true
      name_regex: auto-2026-11-21_05-00
      readonly: IGNORE
      retention_policy: NONE
"""

RETURN = r"""
tasks:
  description: The replications of O(tasks) that exist afterwards (in check mode, as they would be). Secrets are left out.
  returned: success
  type: list
  elements: dict
  sample:
    - id: 1
      name: apps to nas2
      direction: PUSH
      ssh_credentials: nas2
      periodic_snapshot_tasks: ["tank/apps@auto-%Y-%m-%d_%H-%M"]
      state: {state: FINISHED, last_snapshot: "tank/apps@auto-2026-11-21_05-00", warnings: [], error: null}
runs:
  description: What was run, with the number of the job and how long it took.
  returned: success
  type: list
  elements: dict
  sample:
    - name: apps to nas2
      job: 812
      state: FINISHED
      last_snapshot: tank/apps@auto-2026-11-21_05-00
      warnings: []
      seconds: 4.2
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec, wait_spec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import replication, replication_run, snapshot_task
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter


def _strings() -> dict[str, t.Any]:
    return {"type": "list", "elements": "str"}


def task_options(*, one_time: bool) -> dict[str, t.Any]:
    """Return the fields of a replication; the few that must be set for *one_time* are required there."""
    units = {"type": "str", "choices": list(snapshot_task.UNITS)}
    cron = {"type": "dict", "options": {name: {"type": "str"} for name in snapshot_task.SCHEDULE}}
    task = {
        "dataset": {"type": "str", "required": True},
        "naming_schema": {"type": "str", "default": snapshot_task.DEFAULT_SCHEMA},
    }
    lifetime = {
        "schedule": {"type": "dict", "required": True, "options": {name: {"type": "str"} for name in ("minute", "hour", "dom", "month", "dow")}},
        "lifetime_value": {"type": "int", "required": True},
        "lifetime_unit": {**units, "required": True},
    }
    special: dict[str, t.Any] = {
        "direction": {"type": "str", "choices": ["PUSH", "PULL"]},
        "transport": {"type": "str", "choices": ["SSH", "SSH+NETCAT", "LOCAL"]},
        "netcat_active_side": {"type": "str", "choices": ["LOCAL", "REMOTE"]},
        "encryption_key": {"type": "str", "no_log": True},
        "encryption_key_format": {"type": "str", "choices": ["HEX", "PASSPHRASE"], "no_log": False},
        "encryption_key_location": {"type": "str", "no_log": False},
        "encryption_inherit": {"type": "bool"},
        "periodic_snapshot_tasks": {"type": "list", "elements": "dict", "options": task},
        "schedule": cron,
        "restrict_schedule": cron,
        "readonly": {"type": "str", "choices": ["SET", "REQUIRE", "IGNORE"]},
        "retention_policy": {"type": "str", "choices": ["SOURCE", "CUSTOM", "NONE"]},
        "lifetime_unit": units,
        "lifetimes": {"type": "list", "elements": "dict", "options": lifetime},
        "properties_override": {"type": "dict"},
        "compression": {"type": "str", "choices": ["LZ4", "PIGZ", "PLZIP"]},
        "logging_level": {"type": "str", "choices": ["DEBUG", "INFO", "WARNING", "ERROR"]},
        "recursive": {"type": "bool"},
        "auto": {"type": "bool"},
        **{name: {"type": "int"} for name in ("netcat_active_side_port_min", "netcat_active_side_port_max", "lifetime_value", "speed_limit")},
    }
    found: dict[str, t.Any] = {}
    for name, default in replication.DEFAULTS.items():
        by_default = {bool: {"type": "bool"}, list: _strings(), int: {"type": "int"}}.get(type(default), {"type": "str"})
        found[name] = dict(special.get(name, by_default))
    if one_time:
        found = {name: spec for name, spec in found.items() if name not in replication.NOT_ONE_TIME}
        found.update({name: {"type": "bool"} for name in replication.ONLY_ONE_TIME})
        for name in set(replication.REQUIRED) & found.keys():
            found[name]["required"] = True
        return found
    state = {"type": "str", "choices": ["present", "absent"], "default": "present"}
    return {"name": {"type": "str", "required": True}, "state": state, **found}


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    options: dict[str, t.Any] = {
        "tasks": {"type": "list", "elements": "dict", "options": task_options(one_time=False)},
        "run": {"type": "bool", "default": False},
        "one_time": {"type": "dict", "options": task_options(one_time=True)},
        "assume_present": {"type": "list", "elements": "str", "default": []},
    }
    spec = ArgumentSpec(options, required_one_of=[("tasks", "one_time")])
    return spec.merge(api_spec(), wait_spec(timeout=3600))


def perform(client: TrueNasClient, names: t.Sequence[str], payload: replication.Task | None, waiter: Waiter) -> list[dict[str, t.Any]]:
    """Run what is to be run, in order."""
    runs = [replication_run.run(client, name, waiter=waiter) for name in names]
    return runs + ([replication_run.run_one_time(client, payload, waiter=waiter)] if payload else [])


def main() -> None:
    module = argument_spec().create_module()
    params, plan = module.params, Plan()
    waiter = Waiter(timeout=params["wait_timeout"], interval=params["wait_sleep"])
    runs: list[dict[str, t.Any]] = []
    try:
        items = replication.wanted(params["tasks"] or [])
        once = replication.wanted_one(params["one_time"]) if params["one_time"] else None
        with client_from(params) as client:
            assumed = params["assume_present"] if module.check_mode else []
            refs = replication.references(client, [*items, *([once] if once else [])], assumed=assumed)
            current = replication.read(client, [item["name"] for item in items]) if items else {}
            plan = replication.plan(items, current, refs)
            payload = replication_run.one_time_payload(once, refs) if once else None
            to_run = [item["name"] for item in items if params["run"] and item["state"] != "absent"]
            replication_run.check_runnable(plan.predicted, to_run)
            replication_run.show(plan, to_run, once)
            found = plan.predicted
            if not module.check_mode:
                plan.apply(client)
                runs = perform(client, to_run, payload, waiter)
                if plan.changed or runs:
                    current = replication.read(client, [item["name"] for item in items]) if items else {}
                found = [replication.public(current[item["name"]]) for item in items if item["name"] in current]
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    for run in runs:
        for warning in run["warnings"]:
            module.warn(f"Replication {run['name']} finished with a warning: {warning}")
    result: dict[str, t.Any] = {"changed": plan.changed or bool(to_run) or once is not None, "tasks": found, "runs": runs}
    if module._diff:
        result["diff"] = plan.diff.as_result("replications")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
