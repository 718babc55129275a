#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_backup
short_description: Back up Proxmox VE guests with vzdump
version_added: 0.1.0
description:
  - Backs up virtual machines and containers to a storage (a directory, NFS, Proxmox Backup Server, …), all guests of a node in one job, the
    nodes side by side, and waits until they are done. Reports the archive, size and time of each guest.
  - A guest that another operation has locked, that is on a node without the storage, or that does not exist, is refused before
    the first job.
  - If some guests fail, the others are done, and the module fails with the reason of each and the log's last lines.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._proxmox.vzdump
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_proxmox
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
    details: Which guests get a backup. What O(keep) removes is in RV(pruned) after a real run only.
  idempotent:
    support: partial
    details: With O(max_age), a guest whose newest backup is new enough gets no other one.
options:
  guests:
    description: Names or ids of the guests.
    type: list
    elements: str
    required: true
  storage:
    description: Storage for the archives. It needs the content C(backup).
    type: str
    required: true
  max_age:
    description: Seconds. A guest whose newest archive on O(storage) is not older is left alone. Without it, each run makes a backup.
    type: int
  mode:
    default: snapshot
  compress:
    description: Compression. A Proxmox Backup Server has its own, there it is not used.
    type: str
    choices: [none, lzo, gzip, zstd]
    default: zstd
  protected:
    default: false
  notes_template:
    description: Notes of the archives. C({{cluster}}), C({{guestname}}), C({{node}}) and C({{vmid}}) are filled in by the server.
    type: str
  keep:
    description:
      - Retention for the archives of each of these guests on this storage, used right after its backup. Protected ones do not count.
      - Without it, nothing is removed but what the storage's own setting says.
  bwlimit:
    description: Limit in KiB/s. Without it, the node's setting.
    type: int
  fleecing:
    description: Property string of backup fleecing, such as V(enabled=1,storage=local-lvm), which keeps a slow storage from slowing the guest.
    type: str
  wait_timeout:
    description: Seconds to wait for all jobs. They go on after that.
    type: int
    default: 14400
seealso:
  - module: resilient.platform.proxmox_backup_info
  - module: resilient.platform.proxmox_restore
"""

EXAMPLES = r"""
- name: Back up the cluster of Vault, once a day however often this runs
  resilient.platform.proxmox_backup:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    guests: [vault-1, vault-2, vault-3]
    storage: pbs-main
    max_age: 72000
    notes_template: !unsafe "{{guestname}} on {{node}}"
    keep: {last: 3, daily: 14, monthly: 6}
"""

RETURN = r"""
backups:
  description: The guests in the order of O(guests). Returned also when some failed.
  returned: always
  type: list
  elements: dict
  contains:
    name:
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
    type:
      description: V(qemu) or V(lxc).
      type: str
      returned: always
    changed:
      description: Whether a backup was made.
      type: bool
      returned: always
    volid:
      description: The archive; null if there is none (yet).
      type: str
      returned: always
    size_bytes:
      description: Its size.
      type: int
      returned: always
    taken_at:
      description: When it was begun, in UTC, by the node's clock.
      type: str
      returned: always
    verification:
      description: V(ok), V(failed), or null if no backup server has verified it.
      type: str
      returned: always
    seconds:
      description: How long it took.
      type: int
      returned: always
    error:
      description: Why there is no new backup.
      type: str
      returned: always
pruned:
  description: Archives that are gone since the beginning.
  returned: success
  type: list
  elements: str
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.archives import backup_storage
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.backup import KEEP, Job, apply_backup, check_keep, plan_backup
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session, find_guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec(
        {
            "guests": {"type": "list", "elements": "str", "required": True},
            "storage": {"type": "str", "required": True},
            "max_age": {"type": "int"},
            "mode": {"type": "str", "default": "snapshot", "choices": ["snapshot", "suspend", "stop"]},
            "compress": {"type": "str", "default": "zstd", "choices": ["none", "lzo", "gzip", "zstd"]},
            "protected": {"type": "bool", "default": False},
            "notes_template": {"type": "str"},
            "keep": {"type": "dict", "options": {kind: {"type": "bool" if kind == "all" else "int"} for kind in KEEP}},
            "bwlimit": {"type": "int"},
            "fleecing": {"type": "str"},
            "change_detection": {"type": "str", "choices": ["legacy", "data", "metadata"]},
            "wait_timeout": {"type": "int", "default": 14400},
        }
    )
    return own.merge(argspec.connection_spec())


def main() -> None:
    """Plan, apply unless in check mode, return."""
    module = argument_spec().create_module()
    params = module.params
    plan = None
    result: dict[str, list[str]] = {"pruned": []}
    try:
        job = Job(
            mode=params["mode"],
            compress="0" if params["compress"] == "none" else params["compress"],
            protected=params["protected"],
            notes_template=params["notes_template"],
            keep=check_keep(params["keep"]),
            bwlimit=params["bwlimit"],
            fleecing=params["fleecing"],
            change_detection=params["change_detection"],
        )
        client = ProxmoxClient(argspec.connection_from(params))
        lines = client.get("cluster/resources")
        cluster = Cluster.from_api(lines)
        guests = list({guest.vmid: guest for guest in (find_guest(cluster, name) for name in params["guests"])}.values())
        if not guests:
            raise Refused("guests is empty: there is nothing to back up.", hint="Name at least one guest.")
        plan = plan_backup(client, guests, backup_storage(lines, params["storage"]), max_age=params["max_age"])
        diff, due = plan.diff().as_result(params["storage"]), bool(plan.due)
        session = Session(client, params["wait_timeout"])
        if due and not module.check_mode:
            result = apply_backup(session, plan, job)
    except PlatformError as exc:
        if plan is None:
            exc.fail(module)
        exc.fail(module, changed=any(one.made for one in plan.outcomes), backups=[one.as_result() for one in plan.outcomes])
    for warning in session.warnings:
        module.warn(warning)
    backups = [{**one.as_result(), "changed": one.made or (module.check_mode and one.archive is None)} for one in plan.outcomes]
    module.exit_json(changed=due, backups=backups, diff=diff, **result)


if __name__ == "__main__":
    main()
