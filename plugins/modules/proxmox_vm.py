#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_vm
short_description: Bring one Proxmox VE guest into its declared state
version_added: 0.1.0
description:
  - Makes, configures, grows, starts, stops and destroys one virtual machine, in the way of M(resilient.platform.proxmox_fleet).
  - An option that is not given is left alone, an option that is given is made exactly so. Volumes and network addresses are kept.
  - A guest that is as declared costs two requests.
  - For more than one guest use M(resilient.platform.proxmox_fleet); it does them in one session.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._proxmox.guest
  - resilient.platform._proxmox.configuration
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
seealso:
  - module: resilient.platform.proxmox_fleet
  - module: resilient.platform.proxmox_vm_info
"""

EXAMPLES = r"""
- name: A guest from a template
  resilient.platform.proxmox_vm:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: ansible
    api_token_secret: "{{ proxmox_token_secret }}"
    name: web-1
    state: started
    clone_from: debian12
    memory: 2048
    networks:
      net0: {bridge: vmbr0}

- name: More memory; the rest stays as it is
  resilient.platform.proxmox_vm:
    name: web-1
    memory: 4096

- name: Destroy it
  resilient.platform.proxmox_vm:
    name: web-1
    state: absent
"""

RETURN = r"""
vm:
  description: The guest.
  type: dict
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
      description: Why keys could not be changed in the running guest. They wait for a restart, and are in RV(vm.pending) too.
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
api_requests:
  description: Requests that were sent.
  type: int
  returned: always
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.run import fail, run_fleet


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    return ArgumentSpec(argspec.guest_options()).merge(argspec.connection_spec(), argspec.waiting_spec())


def as_vm(result: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return a fleet of one as one guest."""
    return {"vm": result["guests"][0], **{key: value for key, value in result.items() if key not in ("guests", "surplus")}}


def main() -> None:
    """Plan, and apply unless in check mode."""
    module = argument_spec().create_module()
    guest = {key: module.params[key] for key in argspec.guest_options()}
    try:
        result = run_fleet(module, [guest], concurrency=2)
    except PlatformError as exc:
        fail(module, exc, as_vm)
    module.exit_json(**as_vm(result))


if __name__ == "__main__":
    main()
