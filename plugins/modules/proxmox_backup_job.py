#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_backup_job
short_description: Manage a scheduled backup of Proxmox VE guests
version_added: 0.1.0
description:
  - Makes, changes or removes a backup job of the cluster (Datacenter, Backup), which the cluster runs itself at its times.
  - An option that is not given is left alone, an option that is given is made exactly so. A new job needs O(schedule) and whom to back up.
  - Guests, storage and node that are not there are refused before anything is written. The server itself would take them.
  - The user needs C(Sys.Audit) and C(Sys.Modify) on C(/), C(Datastore.Allocate) on the storage, C(VM.Audit) on the guests, and for
    O(pool) C(VM.Backup) on it.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._proxmox.vzdump
  - resilient.platform._attributes
  - resilient.platform._attributes.converges
  - resilient.platform._attributes.actiongroup_proxmox
options:
  id:
    description: Id of the job. It is what the job is found by.
    type: str
    required: true
  state:
    description: Whether the job exists.
    type: str
    choices: [present, absent]
    default: present
  schedule:
    description: When it runs, as a calendar event of Proxmox VE such as V(21:00) or V(sat 03:30). The nodes' time zone counts.
    type: str
  enabled:
    description: Whether it runs at its times. A new job does unless this is V(false).
    type: bool
  guests:
    description: Back up these guests, by name or id. Takes the place of another selection.
    type: list
    elements: str
  all:
    description: Back up all guests of the cluster, those of tomorrow too. Takes the place of another selection.
    type: bool
  pool:
    description: Back up the guests of this pool. Takes the place of another selection.
    type: str
  exclude:
    description: Guests that are left out of O(all), by name or id. An empty list leaves out nobody.
    type: list
    elements: str
  storage:
    description: Storage for the archives. It needs the content C(backup).
    type: str
  node:
    description: Only on this node. An empty text means on all.
    type: str
  compress:
    description: Compression. A Proxmox Backup Server has its own, there it is not used.
    type: str
    choices: [none, lzo, gzip, zstd]
  repeat_missed:
    description: Whether a run that was missed, because the node was off, is done when it is back.
    type: bool
  comment:
    description: A note at the job. An empty text removes it.
    type: str
  notes_template:
    description:
      - Notes of the archives. C({{cluster}}), C({{guestname}}), C({{node}}) and C({{vmid}}) are filled in by the server.
      - An empty text removes it.
    type: str
  keep:
    description:
      - Retention for the archives of each guest on this storage, used right after its backup. Protected ones do not count.
      - A job without it keeps what the storage's own setting says.
  bwlimit:
    description: Limit in KiB/s; 0 is none.
    type: int
  fleecing:
    description:
      - Property string of backup fleecing, such as V(enabled=1,storage=local-lvm), which keeps a slow storage from slowing the guest.
      - An empty text removes it.
    type: str
seealso:
  - module: resilient.platform.proxmox_backup_job_info
  - module: resilient.platform.proxmox_backup
  - module: resilient.platform.proxmox_restore
"""

EXAMPLES = r"""
- name: Back up all guests but the scratch ones each night
  resilient.platform.proxmox_backup_job:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    id: nightly
    schedule: "21:00"
    storage: pbs-main
    all: true
    exclude: [scratch-1, scratch-2]
    notes_template: !unsafe "{{guestname}} on {{node}}"
    keep: {last: 3, daily: 14, monthly: 6}
    repeat_missed: true

- name: Remove a job
  resilient.platform.proxmox_backup_job:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    id: old
    state: absent
"""

RETURN = r"""
job:
  description: The job, and what was done. In check mode what would be done.
  returned: success
  type: dict
  sample: {"id": "nightly", "action": "update"}
  contains:
    id:
      description: Its id.
      type: str
      returned: always
    action:
      description: V(create), V(update), V(delete), or null if there was nothing to do.
      type: str
      returned: always
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.backup import KEEP, check_keep
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.jobs import PARAMETERS, SELECTIONS, apply_job, plan_job


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec(
        {
            "id": {"type": "str", "required": True},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "schedule": {"type": "str"},
            "enabled": {"type": "bool"},
            "guests": {"type": "list", "elements": "str"},
            "all": {"type": "bool"},
            "pool": {"type": "str"},
            "exclude": {"type": "list", "elements": "str"},
            "storage": {"type": "str"},
            "node": {"type": "str"},
            "mode": {"type": "str", "choices": ["snapshot", "suspend", "stop"]},
            "compress": {"type": "str", "choices": ["none", "lzo", "gzip", "zstd"]},
            "protected": {"type": "bool"},
            "repeat_missed": {"type": "bool"},
            "comment": {"type": "str"},
            "notes_template": {"type": "str"},
            "keep": {"type": "dict", "options": {kind: {"type": "bool" if kind == "all" else "int"} for kind in KEEP}},
            "bwlimit": {"type": "int"},
            "fleecing": {"type": "str"},
            "change_detection": {"type": "str", "choices": ["legacy", "data", "metadata"]},
        },
        mutually_exclusive=[("guests", "all", "pool")],
    )
    return own.merge(argspec.connection_spec())


def main() -> None:
    """Plan, apply unless in check mode, return."""
    module = argument_spec().create_module()
    params = module.params
    try:
        wanted = {name: params[name] for name in (*PARAMETERS, *SELECTIONS)}
        wanted["keep"] = {kind: number for kind, number in (check_keep(params["keep"]) or {}).items() if number} or None
        client = ProxmoxClient(argspec.connection_from(params))
        plan = plan_job(client, params["id"], params["state"], wanted)
        if not module.check_mode:
            apply_job(client, plan)
    except PlatformError as exc:
        exc.fail(module)
    result = {"id": plan.job_id, "action": plan.action}
    module.exit_json(changed=plan.action is not None, job=result, diff=plan.diff().as_result(f"backup job {plan.job_id}"))


if __name__ == "__main__":
    main()
