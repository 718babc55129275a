#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_vm_snapshot
short_description: Make, remove and roll back to snapshots of Proxmox VE guests
version_added: 0.1.0
description:
  - Works on one snapshot of one virtual machine or container, and waits until the server has done it.
  - A guest that another operation has locked is refused before anything is written, with the operation's name.
  - A rollback loses what was written since the snapshot, so it needs the guest's name a second time in O(confirm).
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_proxmox
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: O(state=rollback) rolls back each time it runs.
options:
  guest:
    description: Name of the guest, or its id. A name that exists twice is refused.
    type: str
    required: true
  snapshot:
    description: Name of the snapshot.
    type: str
    required: true
  state:
    description:
      - V(present) makes it if it is not there. One that is there is not made anew; only its description is compared.
      - V(absent) removes it; the guest goes on as it is.
      - V(rollback) makes the guest what it was. A running guest is switched off for it.
    type: str
    choices: [present, absent, rollback]
    default: present
  description:
    description: Notes of the snapshot. Without it, notes of an existing one are left alone.
    type: str
  vmstate:
    description: Whether a new snapshot of a running virtual machine holds its memory as well, so that a rollback resumes it.
    type: bool
    default: false
  start:
    description: Whether the guest runs after O(state=rollback). Without it, it runs if it ran before.
    type: bool
  confirm:
    description: Name of the guest once more, for O(state=rollback).
    type: str
  force:
    description: Remove a snapshot with O(state=absent) even if its disks' part cannot be removed, such as an incomplete one.
    type: bool
    default: false
  wait_timeout:
    description: Seconds to wait for the server's task. The task goes on after that.
    type: int
    default: 600
seealso:
  - module: resilient.platform.proxmox_vm_snapshot_info
  - module: resilient.platform.proxmox_backup
"""

EXAMPLES = r"""
- name: Keep the guest as it is before the upgrade
  resilient.platform.proxmox_vm_snapshot:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    guest: vault-1
    snapshot: before-upgrade
    description: Before version 2.7

- name: The upgrade went wrong
  resilient.platform.proxmox_vm_snapshot:
    guest: vault-1
    snapshot: before-upgrade
    state: rollback
    confirm: vault-1

- name: The upgrade went well
  resilient.platform.proxmox_vm_snapshot:
    guest: vault-1
    snapshot: before-upgrade
    state: absent
"""

RETURN = r"""
snapshot:
  description: The snapshot, and what was done. In check mode what would be done.
  returned: success
  type: dict
  sample: {"guest": "vault-1", "vmid": 101, "node": "pve1", "name": "before-upgrade", "action": "create"}
  contains:
    guest:
      description: Name of the guest.
      type: str
      returned: always
    vmid:
      description: Its id.
      type: int
      returned: always
    node:
      description: Its node.
      type: str
      returned: always
    name:
      description: Name of the snapshot.
      type: str
      returned: always
    action:
      description: V(create), V(describe), V(delete), V(rollback), or null if there was nothing to do.
      type: str
      returned: always
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session, find_guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.snapshot import apply_snapshot, plan_snapshot


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec(
        {
            "guest": {"type": "str", "required": True},
            "snapshot": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent", "rollback"]},
            "description": {"type": "str"},
            "vmstate": {"type": "bool", "default": False},
            "start": {"type": "bool"},
            "confirm": {"type": "str"},
            "force": {"type": "bool", "default": False},
            "wait_timeout": {"type": "int", "default": 600},
        }
    )
    return own.merge(argspec.connection_spec())


def main() -> None:
    """Plan, apply unless in check mode, return."""
    module = argument_spec().create_module()
    params = module.params
    try:
        client = ProxmoxClient(argspec.connection_from(params))
        guest = find_guest(read_cluster(client), params["guest"])
        plan = plan_snapshot(
            client,
            guest,
            params["snapshot"],
            params["state"],
            description=params["description"],
            memory=params["vmstate"],
            start=params["start"],
            confirm=params["confirm"],
            force=params["force"],
        )
        session = Session(client, params["wait_timeout"])
        if not module.check_mode:
            apply_snapshot(session, plan, force=params["force"])
    except PlatformError as exc:
        exc.fail(module)
    for warning in session.warnings:
        module.warn(warning)
    result = {"guest": guest.name, "vmid": guest.vmid, "node": guest.node, "name": plan.name, "action": plan.action}
    module.exit_json(changed=plan.action is not None, snapshot=result, diff=plan.diff().as_result(f"{guest.name} {plan.name}"))


if __name__ == "__main__":
    main()
