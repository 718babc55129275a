#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_access_info
short_description: Read who may do what on Proxmox VE, and what these credentials lack
version_added: 0.1.0
description:
  - Returns roles, users with their tokens, and access control entries, as far as these credentials may see them. There is no secret among them.
  - With O(profiles) it says which privileges of them the credentials that ask do not have anywhere. One more request.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_proxmox
options:
  user:
    description: Return only this user, and the entries of it and its tokens.
    type: str
  profiles:
    description: Profiles of M(resilient.platform.proxmox_access) that these credentials should have.
    type: list
    elements: str
    choices: [inventory, addresses, provision, template, snapshot, backup, retention, backup_jobs, restore, commands, all]
seealso:
  - module: resilient.platform.proxmox_access
"""

EXAMPLES = r"""
- name: May this token do what the play is going to do?
  resilient.platform.proxmox_access_info:
    api_host: pve.example.com
    api_user: automation@pve
    api_token_id: provision
    api_token_secret: "{{ proxmox_token_secret }}"
    profiles: [provision, backup]
  register: found
  failed_when: found.missing | length > 0
"""

RETURN = r"""
roles:
  description: All roles.
  returned: always
  type: list
  elements: dict
  sample: [{"name": "platform-inventory", "privileges": ["VM.Audit"], "special": false}]
users:
  description: Users by name. C(expire) is in UTC, or null for never.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: User with realm.
      type: str
      returned: always
    enabled:
      description: Whether it is let in.
      type: bool
      returned: always
    comment:
      description: Notes.
      type: str
      returned: always
    expire:
      description: When it ends.
      type: str
      returned: always
    groups:
      description: Its groups.
      type: list
      elements: str
      returned: always
    tokens:
      description: Its tokens, each with C(name), C(comment), C(expire) and C(privilege_separated).
      type: list
      elements: dict
      returned: always
acl:
  description: Access control entries, each with C(path), C(who), C(type), C(role) and C(propagate).
  returned: always
  type: list
  elements: dict
missing:
  description: Privileges of O(profiles) that the asking credentials have nowhere, in the server's words.
  returned: with O(profiles)
  type: list
  elements: str
"""

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec, privileges
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access_state import (
    ADMINISTRATOR,
    held_privileges,
    read_entries,
    read_roles,
    read_users,
)
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec({"user": {"type": "str"}, "profiles": {"type": "list", "elements": "str", "choices": list(privileges.NAMES)}})
    return own.merge(argspec.connection_spec())


def main() -> None:
    """Read and return."""
    module = argument_spec().create_module()
    only, profiles = module.params["user"], module.params["profiles"]
    missing = {}
    try:
        client = ProxmoxClient(argspec.connection_from(module.params))
        roles, users, entries = read_roles(client), read_users(client), read_entries(client)
        if profiles is not None:
            wanted, warnings = privileges.for_server(privileges.wanted_privileges(profiles), roles[ADMINISTRATOR].privileges)
            missing = {"missing": sorted(wanted - held_privileges(client))}
            for warning in warnings:
                module.warn(warning)
    except PlatformError as exc:
        exc.fail(module)
    module.exit_json(
        roles=[role.as_result() for _name, role in sorted(roles.items())],
        users=[user.as_result() for user in users if only in (None, user.name)],
        acl=[entry.as_result() for entry in entries if only is None or entry.who.partition("!")[0] == only],
        **missing,
    )


if __name__ == "__main__":
    main()
