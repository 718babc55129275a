#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_backup_job_info
short_description: Read the scheduled backups of a Proxmox VE cluster
version_added: 0.1.0
description:
  - Lists the backup jobs of the cluster, and the guests that no job backs up. Two requests.
  - The user needs C(Sys.Audit) on C(/), and C(VM.Audit) on the guests. Guests that it cannot see are not among those without a job.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_proxmox
options: {}
seealso:
  - module: resilient.platform.proxmox_backup_job
  - module: resilient.platform.proxmox_backup_info
"""

EXAMPLES = r"""
- name: Is there a guest that nobody backs up?
  resilient.platform.proxmox_backup_job_info:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
  register: found
  failed_when: found.not_backed_up | length > 0
"""

RETURN = r"""
jobs:
  description: The jobs by id, with the names of the options of M(resilient.platform.proxmox_backup_job).
  returned: always
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: str
      returned: always
    schedule:
      description: When it runs.
      type: str
      returned: always
    next_run:
      description: When it runs next, in UTC; null if it is not enabled or the server does not say.
      type: str
      returned: always
    enabled:
      description: Whether it runs.
      type: bool
      returned: always
    guests:
      description: Ids of the guests that it names.
      type: list
      elements: int
      returned: always
    all:
      description: Whether it takes all guests but those in RV(jobs[].exclude).
      type: bool
      returned: always
    exclude:
      description: Ids of the guests that are left out.
      type: list
      elements: int
      returned: always
    pool:
      description: Pool whose guests it takes.
      type: str
      returned: always
    storage:
      description: Where the archives go.
      type: str
      returned: always
    node:
      description: The only node it runs on; null for all.
      type: str
      returned: always
    mode:
      description: V(snapshot), V(suspend) or V(stop).
      type: str
      returned: always
    compress:
      description: Compression.
      type: str
      returned: always
    protected:
      description: Whether the archives are protected.
      type: bool
      returned: always
    repeat_missed:
      description: Whether missed runs are done later.
      type: bool
      returned: always
    comment:
      description: The note at the job.
      type: str
      returned: always
    notes_template:
      description: Notes of the archives.
      type: str
      returned: always
    keep:
      description: Its retention; null where that of the storage holds.
      type: dict
      returned: always
    bwlimit:
      description: Limit in KiB/s; null where that of the node holds.
      type: int
      returned: always
    fleecing:
      description: Property string of backup fleecing.
      type: str
      returned: always
    change_detection:
      description: How a backup server finds what changed in a container.
      type: str
      returned: always
not_backed_up:
  description:
    - Guests that no job backs up, by id. A job that is not enabled backs up nobody, nor does one for another node.
    - The server's own list (C(pvesh get /cluster/backup-info/not-backed-up)) counts jobs that are not enabled, too.
  returned: always
  type: list
  elements: dict
  contains:
    vmid:
      description: Id of the guest.
      type: int
      returned: always
    name:
      description: Its name.
      type: str
      returned: always
    type:
      description: V(qemu) or V(lxc).
      type: str
      returned: always
"""

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.jobs import not_backed_up, read_jobs


def main() -> None:
    """Read and return."""
    module = argspec.connection_spec().create_module()
    try:
        client = ProxmoxClient(argspec.connection_from(module.params))
        jobs = read_jobs(client)
        uncovered = not_backed_up(read_cluster(client), jobs)
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(jobs=[{"id": job_id, **jobs[job_id]} for job_id in sorted(jobs)], not_backed_up=uncovered)


if __name__ == "__main__":
    main()
