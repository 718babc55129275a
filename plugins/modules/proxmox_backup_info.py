#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_backup_info
short_description: Read backups of Proxmox VE guests
version_added: 0.1.0
description:
  - Lists the archives of guests on a storage, newest first, with age, protection and what a Proxmox Backup Server found when it verified them.
  - Guests that do not exist any more are found by their id.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_proxmox
options:
  storage:
    description: Storage with the archives.
    type: str
    required: true
  guests:
    description: Only backups of these guests, by name or id. Without it, of all.
    type: list
    elements: str
seealso:
  - module: resilient.platform.proxmox_backup
  - module: resilient.platform.proxmox_restore
"""

EXAMPLES = r"""
- name: How old are the newest backups?
  resilient.platform.proxmox_backup_info:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    storage: pbs-main
    guests: [vault-1, vault-2, vault-3]
  register: found

- name: Refuse a guest without a backup of today
  ansible.builtin.assert:
    that: found.newest | dict2items | selectattr('value.age_seconds', 'lt', 86400) | length == 3
"""

RETURN = r"""
archives:
  description: The archives, newest first.
  returned: always
  type: list
  elements: dict
  contains:
    volid:
      description: Id of the archive.
      type: str
      returned: always
    storage:
      description: Storage.
      type: str
      returned: always
    node:
      description: A node that can read it.
      type: str
      returned: always
    vmid:
      description: Id of the guest.
      type: int
      returned: always
    guest:
      description: Name of the guest with that id now; null if there is none.
      type: str
      returned: always
    type:
      description: V(qemu) or V(lxc).
      type: str
      returned: always
    taken_at:
      description: When it was begun, in UTC.
      type: str
      returned: always
    age_seconds:
      description: Its age by this machine's clock.
      type: int
      returned: always
    size_bytes:
      description: Size.
      type: int
      returned: always
    notes:
      description: Notes.
      type: str
      returned: always
    protected:
      description: Whether it may not be removed.
      type: bool
      returned: always
    encrypted:
      description: Whether a backup server holds it encrypted.
      type: bool
      returned: always
    verification:
      description: V(ok), V(failed), or null if no backup server has verified it.
      type: str
      returned: always
newest:
  description: The newest archive of each guest, by its id. A guest without any has no entry.
  returned: always
  type: dict
without:
  description: Those of O(guests) without any archive.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.archives import backup_storage, read_archives
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import find_guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec({"storage": {"type": "str", "required": True}, "guests": {"type": "list", "elements": "str"}})
    return own.merge(argspec.connection_spec())


def vmid_of(cluster: Cluster, wanted: str) -> int:
    """Return the id of a guest; an id need not belong to one any more.

    Raises:
        NotFound: a name that nobody has.
        Refused: a name that several have.
    """
    try:
        return find_guest(cluster, wanted).vmid
    except NotFound:
        if wanted.isdigit():
            return int(wanted)
        raise


def main() -> None:
    """Read and return."""
    module = argument_spec().create_module()
    wanted = module.params["guests"]
    try:
        client = ProxmoxClient(argspec.connection_from(module.params))
        lines = client.get("cluster/resources")
        cluster = Cluster.from_api(lines)
        ids = None if wanted is None else {name: vmid_of(cluster, name) for name in wanted}
        found = read_archives(client, backup_storage(lines, module.params["storage"]))
    except PlatformError as exc:
        exc.fail(module)
    names = {guest.vmid: guest.name for guest in cluster.guests}
    chosen = [one for one in found if ids is None or one.vmid in ids.values()]
    archives = [{**one.as_result(), "guest": names.get(one.vmid)} for one in chosen]
    newest = {str(one["vmid"]): one for one in reversed(archives)}
    without = [name for name, vmid in (ids or {}).items() if str(vmid) not in newest]
    module.exit_json(archives=archives, newest=newest, without=without)


if __name__ == "__main__":
    main()
