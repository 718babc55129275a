#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_fleet
short_description: Bring a list of Proxmox VE guests into their declared state
version_added: 0.1.0
description:
  - Makes, configures, grows, starts, stops and destroys virtual machines, many in one session.
  - An option that is not given is left alone, an option that is given is made exactly so. Volumes and network addresses are kept.
  - N guests that are as declared cost 1 + N requests, or 1 if only power, tags and pool are declared.
  - What may not be (a disk that would shrink or move, another controller for the disk that a guest boots from, a name or id of another
    guest, an unknown node, storage, bridge, pool or template, too little space, an unknown field) is refused before anything is
    written, for all guests.
  - A guest that is locked (by a backup, say), or whose node is offline, fails by itself.
  - Two plays may bring the same guests into their state at the same time. No guest is made twice, and no change gets lost.
  - If some guests fail, the others are done, the result says what became of each, and the same task does what is missing.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._proxmox.wait_for
  - resilient.platform._wait
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_proxmox
attributes:
  check_mode:
    support: full
    details: The predicted diff equals that of the real run. Ids and network addresses that only the server can choose are named placeholders.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  guests:
    description: The guests. Each name, and each id, stands once.
    type: list
    elements: dict
    required: true
    suboptions:
        name:
          description: Name of the guest. It is what a guest is found by; a name that exists twice is refused unless O(guests[].vmid) is given.
          type: str
          required: true
        vmid:
          description:
            - Id of the guest. Without it, a new guest gets the next free id.
            - An id that belongs to a guest with another name is refused.
          type: int
        node:
          description:
            - Node of the guest. Without it, a new guest is made on its template's node, or on the only node there is.
            - A guest on another node is refused; it is not migrated.
          type: str
        state:
          description:
            - V(present) makes and configures the guest and leaves its power alone.
            - V(started) and V(stopped) also start it, or shut it down (and switch it off after 60 seconds).
            - V(absent) switches the guest off and destroys it with its disks and its entries in backup and replication jobs. Only
              the name is needed.
          type: str
          choices: [present, started, stopped, absent]
          default: present
        clone_from:
          description: Name or id of the template (or guest) a missing guest is cloned from. An existing guest is not compared with it.
          type: str
        full_clone:
          description: Whether to copy the disks. Default is a linked clone of a template and a full clone of any other guest.
          type: bool
        cores:
          description: Cores per socket.
          type: int
        sockets:
          description: Sockets.
          type: int
        memory:
          description: Memory in MiB.
          type: int
        cpu:
          description: CPU type, with flags if wanted, such as V(host) or V(x86-64-v2-AES,flags=+aes).
          type: str
        disks:
          description:
            - Disks by slot (V(scsi0), V(virtio1), …). Each has V(storage), V(size) (V(20G); a number alone is GiB; V(size_gib) is the same in
              GiB), V(format), V(import_from), V(cache), V(discard), V(iothread), V(ssd), V(backup), and V(options) for any other property.
            - An existing disk keeps its volume. It grows to V(size); a smaller size is refused before anything is written, and so is another
              storage unless the disk has V(move=true). Disks that are not listed are left alone.
            - A slot with V(iso), such as V(local:iso/debian.iso) or V(none), is a CD-ROM drive.
          type: dict
        networks:
          description:
            - Network devices by slot (V(net0), …). Each has V(model), V(bridge), V(mac), V(tag), V(firewall), V(link_down), V(mtu),
              V(queues), V(rate), V(trunks).
            - What is not given is left alone; above all a device keeps its address. V(tag=0) removes the tag. Devices that are not
              listed are left alone.
          type: dict
        cloud_init:
          description: What cloud-init is told. A guest without a cloud-init drive gets one.
          type: dict
          suboptions:
            user:
              description: User to make.
              type: str
            ssh_keys:
              description: Public keys of that user; exactly these.
              type: list
              elements: str
            ipconfig:
              description: Addresses by number of the network device. Each has V(ip) (address with prefix, or V(dhcp)), V(gw), V(ip6), V(gw6).
              type: dict
            nameservers:
              description: Name servers.
              type: list
              elements: str
            search_domain:
              description: Search domain, or several separated by blanks.
              type: str
            storage:
              description: Storage of a new cloud-init drive. Default is that of the first disk.
              type: str
            password:
              description: Password of that user. The server keeps it hashed, so it is compared by presence only.
              type: str
            update_password:
              description: V(always) writes the password at every run. V(on_create) writes it when the guest is made, or has none.
              type: str
              choices: [on_create, always]
              default: on_create
            custom:
              description: Files that replace the generated ones, as C(cicustom) has it, such as V(user=local:snippets/user.yml).
              type: str
            type:
              description: Format of the drive.
              type: str
              choices: [configdrive2, nocloud, opennebula]
            upgrade:
              description: Whether packages are upgraded at the first start.
              type: bool
        tags:
          description: Tags; exactly these. An empty list removes all.
          type: list
          elements: str
        pool:
          description: Resource pool the guest belongs to.
          type: str
        description:
          description: Notes. Empty text removes them.
          type: str
        onboot:
          description: Whether the guest starts with its node.
          type: bool
        agent:
          description: Whether QEMU's guest agent is used. Other properties of it are left alone.
          type: bool
        options:
          description: Any other key of the configuration, such as V(scsihw) or V(startup), as C(qm.conf) has it.
          type: dict
        remove:
          description:
            - Keys of the configuration that may not be there, such as V(net1), V(scsi2) or V(description).
            - The volume of a removed disk is kept as V(unusedN). The disk that the guest boots from is never removed.
          type: list
          elements: str
        reboot:
          description: Whether a running guest is restarted when keys of its configuration wait for that. It never is otherwise.
          type: bool
          default: false
  exclusive_tag:
    description:
      - Guests with this tag that are not in O(guests) are returned as RV(surplus). Templates never are.
    type: str
  prune:
    description: Destroy the surplus guests. Needs O(exclusive_tag).
    type: bool
    default: false
  concurrency:
    description: How many requests may be on their way at once.
    type: int
    default: 6
seealso:
  - module: resilient.platform.proxmox_vm
  - module: resilient.platform.proxmox_vm_info
"""

EXAMPLES = r"""
- name: Three guests from a template, usable when the task ends
  resilient.platform.proxmox_fleet:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    ca_path: /etc/ssl/pve-root-ca.pem
    wait_for: cloud_init
    guests:
      - name: vault-1
        state: started
        clone_from: debian12
        cores: 2
        memory: 2048
        disks:
          scsi0: {size_gib: 20}
        networks:
          net0: {bridge: vmbr0, tag: 10}
        cloud_init:
          user: platform
          ssh_keys: ["ssh-ed25519 AAAA… admin"]
          ipconfig:
            0: {ip: 192.0.2.11/24, gw: 192.0.2.1}
        tags: [vault]
        agent: true

- name: Destroy two guests, whatever state they are in
  resilient.platform.proxmox_fleet:
    guests:
      - {name: vault-1, state: absent}
      - {name: vault-2, state: absent}

- name: The list is all there is with this tag
  resilient.platform.proxmox_fleet:
    guests: "{{ platform_guests }}"
    exclusive_tag: platform
    prune: true
"""

RETURN = r"""
guests:
  description: The guests in the order of the list, then those that were destroyed as surplus.
  type: list
  elements: dict
  returned: always
  contains:
    name:
      description: Name.
      type: str
      returned: always
    vmid:
      description: Id. Null in check mode if the server is to choose it.
      type: int
      returned: always
    node:
      description: Node.
      type: str
      returned: always
    status:
      description: Power state (V(running), V(stopped)) or V(absent).
      type: str
      returned: always
    changed:
      description: Whether this guest was changed.
      type: bool
      returned: always
    addresses:
      description: Addresses that the guest agent names, without loopback and link-local ones.
      type: list
      elements: str
      returned: always, empty unless O(wait_for=address) or O(wait_for=cloud_init)
    cloud_init:
      description: How cloud-init ended, V(done), V(degraded) (with recoverable errors) or V(disabled).
      type: str
      returned: always, null unless O(wait_for=cloud_init)
    applied:
      description: Keys of the configuration that were written and that the running guest has already.
      type: list
      elements: str
      returned: always
    not_hotplugged:
      description: Why keys could not be changed in the running guest. They wait for a restart, and are in RV(guests[].pending) too.
      type: dict
      returned: always
    pending:
      description: Keys of the configuration that the running guest gets only by a restart.
      type: list
      elements: str
      returned: always
    reboot_required:
      description: Whether any key is pending.
      type: bool
      returned: always
    warnings:
      description: Tasks that ended with warnings.
      type: list
      elements: str
      returned: always
    error:
      description: Why this guest failed.
      type: dict
      returned: failure
surplus:
  description: Guests with O(exclusive_tag) that are not listed, as they were found.
  type: list
  elements: dict
  returned: always
api_requests:
  description: Requests that were sent.
  type: int
  returned: always
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.run import fail, run_fleet


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec(
        {
            "guests": {"type": "list", "elements": "dict", "required": True, "options": argspec.guest_options()},
            "exclusive_tag": {"type": "str"},
            "prune": {"type": "bool", "default": False},
            "concurrency": {"type": "int", "default": 6},
        },
        required_if=[("prune", True, ("exclusive_tag",))],
    )
    return own.merge(argspec.connection_spec(), argspec.waiting_spec())


def main() -> None:
    """Plan, and apply unless in check mode."""
    module = argument_spec().create_module()
    params = module.params
    try:
        result = run_fleet(
            module,
            params["guests"],
            concurrency=max(1, params["concurrency"]),
            exclusive_tag=params["exclusive_tag"],
            prune=params["prune"],
        )
    except PlatformError as exc:
        fail(module, exc)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
