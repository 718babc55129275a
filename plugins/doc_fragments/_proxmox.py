# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

from __future__ import annotations


class ModuleDocFragment:
    # Where the API is and who asks.
    DOCUMENTATION = r"""
options:
  api_host:
    description:
      - Name or address of a node of the Proxmox VE cluster.
      - If not given, the environment variable E(PROXMOX_HOST) is used.
    type: str
    required: true
  api_port:
    description:
      - Port of the API.
      - If not given, the environment variable E(PROXMOX_PORT) is used.
    type: int
    default: 8006
  api_user:
    description:
      - User with its realm, such as V(root@pam).
      - If not given, the environment variable E(PROXMOX_USER) is used.
    type: str
    required: true
  api_password:
    description:
      - Password of O(api_user). Not needed with O(api_token_id).
      - If not given, the environment variable E(PROXMOX_PASSWORD) is used.
    type: str
  api_token_id:
    description:
      - Name of an API token of O(api_user). With V(user@realm!) before it, it says its owner itself. Wins over O(api_password).
      - If not given, the environment variable E(PROXMOX_TOKEN_ID) is used.
    type: str
  api_token_secret:
    description:
      - Secret of the token.
      - If not given, the environment variable E(PROXMOX_TOKEN_SECRET) is used.
    type: str
  validate_certs:
    description:
      - Whether the server has to prove who it is.
      - If not given, the environment variable E(PROXMOX_VALIDATE_CERTS) is used.
    type: bool
    default: true
  ca_path:
    description:
      - File with the CA that signed the server's certificate, such as a copy of the cluster's C(/etc/pve/pve-root-ca.pem).
      - If not given, the environment variable E(PROXMOX_CA_PATH) is used.
    type: path
requirements:
  - proxmoxer >= 2.3.0 (on the host that runs the task, usually the controller)
  - requests
"""

    # Waiting for guests; the timing options are in the _wait fragment.
    WAIT_FOR = r"""
options:
  wait_for:
    description:
      - What to wait for where a guest is to be V(started). Each value includes those before it.
      - V(task) waits for the server's tasks. V(running) waits until QEMU runs the guest. V(agent) waits for the guest agent,
        V(address) for the declared static addresses (or any address), V(cloud_init) until C(cloud-init status --wait) has
        ended well in the guest.
      - O(wait_timeout) holds for each guest, from its first request to its last stage. In check mode nothing is waited for.
    type: str
    choices: [task, running, agent, address, cloud_init]
    default: task
  overcommit:
    description:
      - Whether new, copied and grown disks may together need more than a thin storage has left. If so, that is a warning.
      - What does not fit on LVM (which takes the whole size at once), or on a full storage, is refused in any case.
    type: bool
    default: true
"""

    # One guest, for proxmox_vm, together with CONFIGURATION. proxmox_fleet has the same options in each item of guests.
    GUEST = r"""
options:
  name:
    description: Name of the guest. It is what a guest is found by; a name that exists twice is refused unless O(vmid) is given.
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
  reboot:
    description: Whether a running guest is restarted when keys of its configuration wait for that. It never is otherwise.
    type: bool
    default: false
"""

    # What a guest or a template is configured with.
    CONFIGURATION = r"""
options:
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
"""

    # What a run or a job of vzdump takes in the same words.
    VZDUMP = r"""
options:
  mode:
    description: V(snapshot) lets the guest run, V(suspend) freezes it, V(stop) shuts it down and starts it again.
    type: str
    choices: [snapshot, suspend, stop]
  protected:
    description: Whether neither retention nor a user may remove the archives.
    type: bool
  keep:
    description: Retention for the archives of each guest on this storage, used right after its backup. Protected ones do not count.
    type: dict
    suboptions:
      all:
        description: Keep everything.
        type: bool
      last:
        description: The newest ones.
        type: int
      hourly:
        description: The newest of each of the last hours.
        type: int
      daily:
        description: The newest of each of the last days.
        type: int
      weekly:
        description: The newest of each of the last weeks.
        type: int
      monthly:
        description: The newest of each of the last months.
        type: int
      yearly:
        description: The newest of each of the last years.
        type: int
  change_detection:
    description: How a Proxmox Backup Server finds what changed in a container.
    type: str
    choices: [legacy, data, metadata]
"""
