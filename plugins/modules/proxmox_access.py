#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: proxmox_access
short_description: Give a Proxmox VE user and token no more than this collection needs
version_added: 0.1.0
description:
  - Makes a role with exactly the privileges of O(profiles), a user without a password, a privilege-separated API token, and the
    access control entries by which user and token have the role on O(pools), O(guests), O(storages), O(networks), O(nodes) and O(paths).
  - The privileges are those that the server checks for the requests of this collection's modules; a test compares them with the API's schema.
    They are given in the server's own words. Proxmox VE 8 knows only C(VM.Monitor) for the guest agent, which a warning says.
  - Drift is repaired. The role has these privileges and no others, the token is privilege-separated, the entries are inherited, and entries of
    O(role) on other paths are taken away from O(user) and O(token). What else user and token have is only named, unless O(exclusive) is set.
  - The server shows a token's secret once, when it is made. It goes to O(token_secret_path), and is never in a diff or a message.
  - Everything that can be refused is refused before the first write. Use other credentials than those that are managed.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._proxmox
  - resilient.platform._attributes
  - resilient.platform._attributes.converges
  - resilient.platform._attributes.actiongroup_proxmox
options:
  user:
    description: User with realm, such as V(automation@pve). Made without a password if it is not there; V(root@pam) is refused.
    type: str
    required: true
  token:
    description: Name of the API token of O(user). Without it, only the user gets the role.
    type: str
  role:
    description: Name of the role. What it has is given by O(profiles) and O(privileges) alone.
    type: str
    required: true
  profiles:
    description:
      - What is to be done with it. Several add up; V(all) is all but V(backup_jobs). One of O(profiles) and O(privileges) is needed.
      - V(inventory) reads guests and snapshots (the inventory plugin, M(resilient.platform.proxmox_vm_info)). V(addresses) adds asking the guest agent.
      - V(provision) is for M(resilient.platform.proxmox_fleet) and M(resilient.platform.proxmox_vm), with waiting for cloud-init, for which the agent
        runs a command.
      - V(template) is for M(resilient.platform.proxmox_template), V(snapshot) for M(resilient.platform.proxmox_vm_snapshot).
      - V(backup) is for M(resilient.platform.proxmox_backup). V(retention) adds its O(resilient.platform.proxmox_backup#module:keep), for which the
        server wants the right to change the storage.
      - V(backup_jobs) is for M(resilient.platform.proxmox_backup_job). It has C(Sys.Modify) on V(/), with which much of the cluster can be changed; it is not
        inherited, so that roles cannot. Such a scope has to be named, and V(all) does not have it.
      - V(restore) is for M(resilient.platform.proxmox_restore). V(commands) adds its commands in restored guests.
    type: list
    elements: str
    choices: [inventory, addresses, provision, template, snapshot, backup, retention, backup_jobs, restore, commands, all]
  privileges:
    description: More privileges by the server's names. One that the server does not know is refused.
    type: list
    elements: str
  pools:
    description:
      - Pools whose members, guests and storages, the role is given on.
      - Without any of O(pools), O(guests), O(storages), O(networks), O(nodes), O(paths) it is given on everything (V(/)). With some, a profile that needs
        more kinds than are given is refused.
    type: list
    elements: str
  guests:
    description: Ids of guests, such as that of the template that is cloned into a pool.
    type: list
    elements: int
  storages:
    description: Names of storages.
    type: list
    elements: str
  networks:
    description: Bridges such as V(vmbr0), or virtual networks as V(zone/vnet).
    type: list
    elements: str
  nodes:
    description: Nodes; only V(template) needs them, for fetching images.
    type: list
    elements: str
  paths:
    description: Any other paths of the access control list, such as V(/storage).
    type: list
    elements: str
  comment:
    description: Notes of the token, or of the user if no O(token) is given. Without it, they are left alone.
    type: str
  expire:
    description:
      - When the token ends, or the user if no O(token) is given. A date (V(2027-01-31)), a time (V(2027-01-31T12:00:00Z)), seconds since 1970, or V(never).
      - Without it, that is left alone.
    type: str
  exclusive:
    description:
      - Take all other access control entries away from O(user) and O(token), so that other tokens of the user lose them too.
      - Groups are not touched; a warning names them.
    type: bool
    default: false
  token_secret_path:
    description:
      - File for the secret, on the host that runs the task. JSON with C(api_user), C(api_token_id) and C(api_token_secret), mode 0600. Its
        directory has to exist.
      - A token that is there while this file does not hold a secret that works is refused, unless O(regenerate) is set. A file about another token is
        refused as well.
      - Without it, a token that is there is not looked into further, and for a new one O(return_secret) is needed.
    type: path
  return_secret:
    description: Return the secret of a new token as RV(token_secret). Set C(no_log) on the task then.
    type: bool
    default: false
  regenerate:
    description: Make a new secret where O(token_secret_path) does not hold one that works. The old one stops working everywhere.
    type: bool
    default: false
  state:
    description:
      - V(absent) takes away the token and its entries, the user's entries of O(role) that no other token needs, the user if nothing is left of it (other
        tokens, entries, groups), and the role if nobody has it. RV(access.kept) says what stayed. The file with the secret stays.
    type: str
    choices: [present, absent]
    default: present
seealso:
  - module: resilient.platform.proxmox_access_info
"""

EXAMPLES = r"""
- name: A token that may make and start guests of one pool, from one template, and nothing else
  resilient.platform.proxmox_access:
    api_host: pve.example.com
    api_user: root@pam
    api_password: "{{ proxmox_root_password }}"
    user: automation@pve
    token: provision
    role: platform-provision
    profiles: [provision]
    pools: [platform]
    guests: [9000]
    storages: [local-lvm]
    networks: [vmbr0]
    expire: "2027-12-31"
    token_secret_path: /secure/proxmox/provision.json

- name: Use it
  resilient.platform.proxmox_fleet:
    api_host: pve.example.com
    api_user: "{{ provision.api_user }}"
    api_token_id: "{{ provision.api_token_id }}"
    api_token_secret: "{{ provision.api_token_secret }}"
    guests:
      - name: web-1
        clone_from: debian12
        pool: platform
        state: started
  vars:
    provision: "{{ lookup('ansible.builtin.file', '/secure/proxmox/provision.json') | from_json }}"

- name: A token for the inventory, which reads and does nothing
  resilient.platform.proxmox_access:
    user: inventory@pve
    token: inventory
    role: platform-inventory
    profiles: [inventory, addresses]
    exclusive: true
    token_secret_path: /secure/proxmox/inventory.json
"""

RETURN = r"""
access:
  description: Who has what. In check mode, what would be.
  returned: success
  type: dict
  sample: {"user": "automation@pve", "token_id": "automation@pve!provision", "role": "platform-inventory", "privileges": ["VM.Audit"], "acl": [], "kept": []}
  contains:
    user:
      description: The user.
      type: str
      returned: always
    token_id:
      description: The token with its user; null without O(token).
      type: str
      returned: always
    role:
      description: The role.
      type: str
      returned: always
    privileges:
      description: What the role has, in the server's words.
      type: list
      elements: str
      returned: always
    acl:
      description: The entries that this task keeps, each with C(path), C(who), C(type), C(role) and C(propagate).
      type: list
      elements: dict
      returned: always
    surplus:
      description: Other entries of user and token, which were left alone.
      type: list
      elements: dict
      returned: always
    kept:
      description: What O(state=absent) left, and why.
      type: list
      elements: str
      returned: always
token_secret:
  description: The secret of a token that this task made.
  returned: with O(return_secret), when a token or its secret was made
  type: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import argspec, privileges
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access import AccessPlan, plan_absence, plan_access
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access_apply import apply_access
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access_spec import Scope, Spec, check_names, parse_expire
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.access_state import read_state
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient

_SCOPE = ("pools", "guests", "storages", "networks", "nodes", "paths")


def argument_spec() -> ArgumentSpec:
    """Return all options."""
    own = ArgumentSpec(
        {
            "user": {"type": "str", "required": True},
            "token": {"type": "str", "no_log": False},
            "role": {"type": "str", "required": True},
            "profiles": {"type": "list", "elements": "str", "choices": list(privileges.NAMES)},
            "privileges": {"type": "list", "elements": "str"},
            **{name: {"type": "list", "elements": "int" if name == "guests" else "str"} for name in _SCOPE},
            "comment": {"type": "str"},
            "expire": {"type": "str"},
            "exclusive": {"type": "bool", "default": False},
            "token_secret_path": {"type": "path", "no_log": False},
            "return_secret": {"type": "bool", "default": False, "no_log": False},
            "regenerate": {"type": "bool", "default": False},
            "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        },
        required_if=[("state", "present", ("profiles", "privileges"), True)],
        required_by={"token_secret_path": ("token",)},
    )
    return own.merge(argspec.connection_spec())


def plan(client: ProxmoxClient, params: t.Mapping[str, t.Any]) -> AccessPlan:
    """Read and compare.

    Raises:
        Refused: nothing was written.
    """
    check_names(params["user"], params["token"], params["role"])
    if params["state"] == "absent":
        return plan_absence(client, Spec(params["user"], params["token"], params["role"]), read_state(client, params["user"]))
    if not params["profiles"] and not params["privileges"]:
        raise Refused("profiles and privileges are both empty, so the role would allow nothing.", hint="Give one of them.")
    scope = Scope(**{name: tuple(params[name] or ()) for name in _SCOPE})
    paths, expire = scope.as_paths(), parse_expire(params["expire"])
    state = read_state(client, params["user"])
    named = params["privileges"] or ()
    # Explicitly named, a privilege is given as everything else is.
    whole = bool(privileges.NOT_IN_ALL & set(params["profiles"] or ()))
    if whole and "/" in paths:
        raise Refused(
            f"{', '.join(sorted(privileges.NOT_IN_ALL))} has Sys.Modify, with which on everything the token could change its own role.",
            hint="Name the scope; for all guests and storages give paths: [/vms, /storage].",
        )
    granted, warnings = privileges.for_server(privileges.wanted_privileges(params["profiles"] or (), named), state.known, named=named)
    scope.check(granted)
    found = plan_access(
        client,
        Spec(
            params["user"],
            params["token"],
            params["role"],
            privileges=granted,
            paths=paths,
            whole=whole,
            comment=params["comment"],
            expire=expire,
            exclusive=params["exclusive"],
            secret_path=params["token_secret_path"],
            return_secret=params["return_secret"],
            regenerate=params["regenerate"],
        ),
        state,
    )
    found.warnings[:0] = warnings
    return found


def main() -> None:
    """Plan, apply unless in check mode, return."""
    module = argument_spec().create_module()
    params, secret = module.params, None
    try:
        client = ProxmoxClient(argspec.connection_from(params))
        found = plan(client, params)
        if not module.check_mode:
            secret = apply_access(client, found)
    except PlatformError as exc:
        exc.fail(module)
    for warning in found.warnings:
        module.warn(warning)
    spec, there = found.spec, params["state"] == "present"
    access = {
        "user": spec.user,
        "token_id": spec.token_id,
        "role": spec.role,
        "privileges": sorted(spec.privileges),
        "acl": [entry.as_result() for entry in sorted(spec.entries())] if there else [],
        "surplus": [entry.as_result() for entry in found.surplus],
        "kept": found.kept,
    }
    shown = {"token_secret": secret} if secret and params["return_secret"] else {}
    module.exit_json(changed=found.changed, access=access, diff=found.diff().as_result(spec.token_id or spec.user), **shown)


if __name__ == "__main__":
    main()
