#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_pool
short_description: Make or destroy a pool of a TrueNAS system
version_added: 0.1.0
description:
  - Makes a pool from declared disks. A pool of that name that exists is adopted as it is and never made again; a different topology is a warning.
  - Disks that are in use by another pool are refused before anything is written.
  - Destroying a pool, or making one over the remains of another, needs its name a second time in O(confirm).
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
  name:
    description: Name of the pool.
    type: str
    required: true
  state:
    description: Whether the pool should be there. V(absent) destroys it with all data.
    type: str
    choices: [present, absent]
    default: present
  topology:
    description: Vdevs of a new pool, by purpose.
    type: dict
    suboptions:
      data:
        description: Vdevs for data, all of one type.
        type: list
        elements: dict
        suboptions:
          type:
            description: Layout.
            type: str
            required: true
            choices: [STRIPE, MIRROR, RAIDZ1, RAIDZ2, RAIDZ3, DRAID1, DRAID2, DRAID3]
          disks:
            description: Names of the disks, such as V(sda).
            type: list
            elements: str
            required: true
          draid_data_disks:
            description: Data disks of a group, with DRAID.
            type: int
          draid_spare_disks:
            description: Distributed spares, with DRAID.
            type: int
      special:
        description: Vdevs for metadata.
        type: list
        elements: dict
        suboptions:
          type:
            description: Layout.
            type: str
            required: true
            choices: [STRIPE, MIRROR]
          disks:
            description: Names of the disks.
            type: list
            elements: str
            required: true
      dedup:
        description: Vdevs for the table of deduplication.
        type: list
        elements: dict
        suboptions:
          type:
            description: Layout.
            type: str
            required: true
            choices: [STRIPE, MIRROR]
          disks:
            description: Names of the disks.
            type: list
            elements: str
            required: true
      cache:
        description: Read cache; one entry.
        type: list
        elements: dict
        suboptions:
          type:
            description: Layout.
            type: str
            required: true
            choices: [STRIPE]
          disks:
            description: Names of the disks.
            type: list
            elements: str
            required: true
      log:
        description: Log of synchronous writes; one entry.
        type: list
        elements: dict
        suboptions:
          type:
            description: Layout.
            type: str
            required: true
            choices: [STRIPE, MIRROR]
          disks:
            description: Names of the disks.
            type: list
            elements: str
            required: true
      spares:
        description: Hot spares.
        type: list
        elements: str
  deduplication:
    description: Whether equal blocks of a new pool are stored once.
    type: str
    choices: ['ON', VERIFY, 'OFF']
  checksum:
    description: Checksum algorithm of a new pool.
    type: str
    choices: ['ON', 'OFF', FLETCHER2, FLETCHER4, SHA256, SHA512, SKEIN, EDONR, BLAKE3]
  allow_duplicate_serials:
    description: Whether disks may have equal serial numbers, as some virtual ones have.
    type: bool
  confirm:
    description:
      - The name of the pool again. Needed for O(state=absent).
      - With O(state=present) it allows to overwrite disks of an exported pool, and to replace a pool that is configured but whose disks are gone.
    type: str
  cascade:
    description: Lets V(absent) delete the shares and tasks that use the pool.
    type: bool
    default: false
  restart_services:
    description: Lets V(absent) restart services that have files open on the pool.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for the job.
    type: int
    default: 600
  wait_sleep:
    description: Seconds between two looks.
    type: float
    default: 1.0
seealso:
  - module: resilient.platform.truenas_pool_info
"""

EXAMPLES = r"""
- name: Make the pool, or leave it as it is
  resilient.platform.truenas_pool:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    name: tank
    topology:
      data:
        - type: MIRROR
          disks: [sda, sdb]

- name: Destroy a pool with all data in it
  resilient.platform.truenas_pool:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    name: scratch
    state: absent
    confirm: scratch
"""

RETURN = r"""
pool:
  description: The pool as it is afterwards (in check mode, as it would be); null if it is gone.
  returned: success
  type: dict
  sample:
    name: tank
    guid: "9912431783236489124"
    status: ONLINE
    healthy: true
    path: /mnt/tank
    size_bytes: 2130303778816
    topology: {data: [{type: MIRROR, disks: [sda, sdb]}]}
done:
  description: The calls that were done before a failure.
  returned: failure
  type: list
  elements: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec, wait_spec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import pool
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    groups: dict[str, t.Any] = {"spares": {"type": "list", "elements": "str"}}
    for group, kinds in pool.VDEV_TYPES.items():
        vdev: dict[str, t.Any] = {
            "type": {"type": "str", "required": True, "choices": list(kinds)},
            "disks": {"type": "list", "elements": "str", "required": True},
        }
        if group == "data":
            vdev.update(draid_data_disks={"type": "int"}, draid_spare_disks={"type": "int"})
        groups[group] = {"type": "list", "elements": "dict", "options": vdev}
    options: dict[str, t.Any] = {
        "name": {"type": "str", "required": True},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "topology": {"type": "dict", "options": groups},
        "deduplication": {"type": "str", "choices": ["ON", "VERIFY", "OFF"]},
        "checksum": {"type": "str", "choices": ["ON", "OFF", "FLETCHER2", "FLETCHER4", "SHA256", "SHA512", "SKEIN", "EDONR", "BLAKE3"]},
        "allow_duplicate_serials": {"type": "bool"},
        "confirm": {"type": "str"},
        "cascade": {"type": "bool", "default": False},
        "restart_services": {"type": "bool", "default": False},
    }
    return ArgumentSpec(options).merge(api_spec(), wait_spec(timeout=600))


def make_plan(client: TrueNasClient, params: t.Mapping[str, t.Any], current: pool.Pool | None) -> Plan:
    """Return the plan; only what it needs is read."""
    if params["state"] == "absent":
        return pool.plan_absent(params, current, pool.contents_of(client, current) if current else {})
    needs_disks = current is None or current["status"] == "OFFLINE"
    return pool.plan_present(params, current, pool.disks(client) if needs_disks else {})


def main() -> None:
    module = argument_spec().create_module()
    params, plan = module.params, Plan()
    try:
        with client_from(params) as client:
            current = pool.find(client, params["name"])
            plan = make_plan(client, params, current)
            found = plan.predicted[0] if plan.predicted else None
            if plan.changed and not module.check_mode:
                plan.apply(client, timeout=params["wait_timeout"], interval=params["wait_sleep"])
                found = pool.find(client, params["name"])
    except PlatformError as exc:
        exc.fail(module, **plan.so_far())
    declared = pool.wanted_topology(params["topology"])
    if current is not None and not plan.changed and not pool.same_topology(declared, current["topology"]):
        module.warn(f"Pool {params['name']} exists with another topology than declared; it was left as it is: {current['topology']}")
    result: dict[str, t.Any] = {"changed": plan.changed, "pool": found}
    if module._diff:
        result["diff"] = plan.diff.as_result("pool")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
