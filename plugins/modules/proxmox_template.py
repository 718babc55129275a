#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_template
short_description: Make Proxmox VE templates from cloud images or guests
version_added: 0.1.0
description:
  - Makes a virtual machine from a disk image (O(disks) with C(import_from), or O(image) that the node fetches itself), grows its disks, and turns
    it into a template; or converts a guest that is there and off.
  - A template that is there is compared by its configuration and changed in place. Its disks are left alone, because what they were made from cannot
    be told from them; give a new image a new name.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._proxmox.configuration
  - resilient.platform._attributes
  - resilient.platform._attributes.converges
  - resilient.platform._attributes.actiongroup_proxmox
options:
  name:
    description: Name of the template. It is what the template is found by.
    type: str
    required: true
  state:
    description: Whether there is such a template. V(absent) destroys it and needs O(confirm).
    type: str
    choices: [present, absent]
    default: present
  confirm:
    description: Name of the template once more, for O(state=absent).
    type: str
  convert:
    description: Turn a guest of that name, which must be off, into a template. There is no way back.
    type: bool
    default: false
  image:
    description: Disk image that the node fetches, unless it has a file of that name. It becomes the first disk on O(image_disk_storage).
    type: dict
    suboptions:
      url:
        description: Where from.
        type: str
        required: true
      storage:
        description: A storage with the content C(import).
        type: str
        required: true
      filename:
        description: Name of the file, ending in C(.qcow2), C(.raw), C(.vmdk) or C(.ova). Default is the last part of the URL.
        type: str
      checksum:
        description: Hexadecimal checksum. The server removes a file that has another.
        type: str
      checksum_algorithm:
        description: Its algorithm.
        type: str
        choices: [md5, sha1, sha224, sha256, sha384, sha512]
        default: sha256
      validate_certs:
        description: Whether the web server has to prove who it is.
        type: bool
        default: true
  image_disk:
    description: Slot of the disk that is made from O(image).
    type: str
    default: scsi0
  image_disk_storage:
    description: Storage of that disk. Needed with O(image).
    type: str
  vmid:
    description: Id of a new template. Default is the next free one.
    type: int
  node:
    description: Node of a new template. Default is the only one there is.
    type: str
  disks:
    description: Disks by slot, as in M(resilient.platform.proxmox_vm). Those of a template that is there are left alone.
  pool:
    description: Resource pool of a new template.
  onboot:
    description: Whether clones start with their node.
  remove:
    description: Keys of the configuration that may not be there, such as V(net1) or V(description).
  wait_timeout:
    description: Seconds for everything, the download included.
    type: int
    default: 1800
seealso:
  - module: resilient.platform.proxmox_template_info
  - module: resilient.platform.proxmox_fleet
"""

EXAMPLES = r"""
- name: A template of Debian's cloud image
  resilient.platform.proxmox_template:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    name: debian12-20261101
    image:
      url: https://cloud.debian.org/images/cloud/bookworm/20261101-0000/debian-12-genericcloud-amd64.qcow2
      checksum_algorithm: sha512
      checksum: "{{ debian12_sha512 }}"
      storage: local
    image_disk_storage: local-lvm
    disks: {scsi0: {size_gib: 8}}
    memory: 1024
    networks: {net0: {bridge: vmbr0}}
    cloud_init: {user: debian}
    agent: true
    options: {scsihw: virtio-scsi-single, serial0: socket, vga: serial0, ostype: l26}

- name: Make a template of a guest that was installed by hand
  resilient.platform.proxmox_template:
    name: appliance
    convert: true
"""

RETURN = r"""
template:
  description: The template; null after O(state=absent).
  returned: success
  type: dict
  contains:
    name:
      description: Name.
      type: str
      returned: always
    vmid:
      description: Id; null in check mode for one that does not exist yet.
      type: int
      returned: always
    node:
      description: Node.
      type: str
      returned: always
action:
  description: V(create), V(convert), V(destroy), or null where at most the configuration was changed.
  returned: success
  type: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.template import Image, apply_template, plan_template


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    image = {
        "url": {"type": "str", "required": True},
        "storage": {"type": "str", "required": True},
        "filename": {"type": "str"},
        "checksum": {"type": "str"},
        "checksum_algorithm": {"type": "str", "default": "sha256", "choices": ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"]},
        "validate_certs": {"type": "bool", "default": True},
    }
    guest = {key: spec for key, spec in argspec.guest_options().items() if key not in ("state", "clone_from", "full_clone", "reboot")}
    own = ArgumentSpec(
        {
            **guest,
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
            "confirm": {"type": "str"},
            "convert": {"type": "bool", "default": False},
            "image": {"type": "dict", "options": image},
            "image_disk": {"type": "str", "default": "scsi0"},
            "image_disk_storage": {"type": "str"},
            "wait_timeout": {"type": "int", "default": 1800},
        },
        required_by={"image": ("image_disk_storage",)},
    )
    return own.merge(argspec.connection_spec())


def with_image(params: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any], Image | None]:
    """Return the guest's options with the image's disk among them, and the image.

    Raises:
        Refused: the disk says another source, or the file's name cannot be told.
    """
    options = {key: params[key] for key in argspec.guest_options() if key in params}
    given = params["image"]
    if not given:
        return options, None
    filename = given["filename"] or given["url"].partition("?")[0].rpartition("/")[2]
    if not filename.endswith((".qcow2", ".raw", ".vmdk", ".ova")):
        raise Refused(f"{filename or given['url']} is no name of a disk image.", hint="Give image.filename, ending in .qcow2, .raw, .vmdk or .ova.")
    image = Image(given["url"], given["storage"], filename, given["checksum"], given["checksum_algorithm"], given["validate_certs"])
    disks = dict(options["disks"] or {})
    disk = dict(disks.get(params["image_disk"]) or {})
    if "import_from" in disk or disk.get("storage") not in (None, params["image_disk_storage"]):
        raise Refused(f"disks.{params['image_disk']} says another source or storage than image.", hint="Say each once.")
    disks[params["image_disk"]] = {**disk, "storage": params["image_disk_storage"], "import_from": image.volid}
    return {**options, "disks": disks}, image


def main() -> None:
    """Plan, apply unless in check mode, return."""
    module = argument_spec().create_module()
    params = module.params
    try:
        session = Session(ProxmoxClient(argspec.connection_from(params)), params["wait_timeout"])
        options, image = with_image(params)
        plan = plan_template(session, options, state=params["state"], convert=params["convert"], image=image, confirm=params["confirm"])
        guest = plan.guest if module.check_mode or not plan.changed else apply_template(session, plan)
    except PlatformError as exc:
        exc.fail(module)
    for warning in session.warnings:
        module.warn(warning)
    there = params["state"] == "present"
    template = {"name": plan.name, "vmid": guest.vmid if guest else None, "node": guest.node if guest else plan.node} if there else None
    module.exit_json(changed=plan.changed, template=template, action=plan.action, diff=plan.diff().as_result(plan.name))


if __name__ == "__main__":
    main()
