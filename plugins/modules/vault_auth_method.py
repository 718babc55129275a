#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_auth_method
short_description: Manage an auth method of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Enables, tunes or disables an auth method; for AppRole, JWT, OIDC and Kubernetes also its roles, and for the last three what it believes.
  - What is not set is left alone. Durations are compared by length, so V(10m) and V(600) are the same; lists are compared whatever their order.
  - A method of another type at the same path is refused, not replaced.
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: full
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
options:
  path:
    description: Where it is mounted. The type is used if not set.
    type: str
  type:
    description: Type, such as V(approle), V(jwt) or V(kubernetes).
    type: str
    required: true
  description:
    description: Description for people.
    type: str
  config:
    description: >-
      Configuration of the mount by the API's own names, such as C(default_lease_ttl), C(max_lease_ttl), C(listing_visibility),
      C(token_type).
    type: dict
  roles:
    description: >-
      Roles of an AppRole, JWT, OIDC or Kubernetes method, by name; each a mapping of the API's own fields, such as C(token_policies), C(token_ttl),
      C(bound_audiences), C(bound_service_account_names).
    type: dict
  method_config:
    description:
      - What a JWT, OIDC or Kubernetes method believes, by the API's own names, such as C(jwks_url), C(bound_issuer), C(kubernetes_host).
      - C(oidc_client_secret) and C(token_reviewer_jwt) are never told by the server; they are written when they are not set or something else changes.
    type: dict
  purge_roles:
    description: Delete the roles that O(roles) does not name.
    type: bool
    default: false
  state:
    description: Whether the method is enabled. Disabling it revokes all that was issued through it.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: resilient.platform.vault_auth_method_info
  - module: resilient.platform.vault_approle_credentials
"""

EXAMPLES = r"""
- name: Let machines log in
  resilient.platform.vault_auth_method:
    type: approle
    description: Machines
    config:
      default_lease_ttl: 10m
    roles:
      backup:
        token_policies: [backup]
        token_ttl: 10m
        token_max_ttl: 30m

- name: Let the secrets operator of a Kubernetes cluster log in
  resilient.platform.vault_auth_method:
    path: kubernetes/main
    type: kubernetes
    method_config:
      kubernetes_host: https://10.0.0.20:6443
      kubernetes_ca_cert: "{{ lookup('ansible.builtin.file', 'ca.crt') }}"
    roles:
      eso-shop:
        bound_service_account_names: [eso]
        bound_service_account_namespaces: [shop]
        audience: vault
        token_policies: [eso-shop]
        token_ttl: 10m
"""

RETURN = r"""
auth_method:
  description: The method after the task; V(null) if there is none.
  returned: success
  type: dict
  contains:
    path:
      description: Path, without slashes around it.
      type: str
      sample: approle
    type:
      description: Type.
      type: str
      sample: approle
    description:
      description: Description.
      type: str
    accessor:
      description: Accessor; empty before the server has given one (check mode).
      type: str
    config:
      description: Configuration of the mount.
      type: dict
    options:
      description: Options of the mount.
      type: dict
    roles:
      description: The named roles of the method. In check mode, with the fields that would be written.
      type: dict
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import approle, login, mount
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec

SPEC = ArgumentSpec(
    {
        "path": {"type": "str"},
        "type": {"type": "str", "required": True},
        "description": {"type": "str"},
        "config": {"type": "dict"},
        "roles": {"type": "dict"},
        "purge_roles": {"type": "bool", "default": False},
        "method_config": {"type": "dict"},
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
    }
)


def desired_from(params: t.Mapping[str, t.Any]) -> mount.Mount:
    """Return the wish, checked as far as that needs no server."""
    kind = params["type"]
    allowed = {"approle": approle.FIELDS, **login.ROLE_FIELDS}
    if (params["roles"] is not None or params["purge_roles"]) and kind not in allowed:
        raise Refused(f"roles are for {', '.join(sorted(allowed))}, not for {kind!r}.")
    approle.check_roles(params["roles"] or {}, allowed.get(kind, ()))
    login.check_config(kind, params["method_config"] or {})
    return mount.Mount(mount.mount_path(params["path"] or params["type"]), params["type"], params["description"], config=params["config"])


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()
    module.no_log_values.update(str(value) for key, value in (module.params["method_config"] or {}).items() if key in login.WRITE_ONLY and value)

    def body() -> dict[str, t.Any]:
        params = module.params
        desired, wanted, purge = desired_from(params), params["roles"] or {}, params["purge_roles"]
        client = client_from_params(params)
        plan = mount.plan_mount(mount.AUTH, desired, mount.find_mount(client, mount.AUTH, desired.path), params["state"])
        roles_plan, current, config_plan = approle.RolesPlan(), {}, login.ConfigPlan()
        if params["state"] == "present" and params["method_config"]:
            config_plan = login.plan_config(params["method_config"], login.read_config(client, desired.path) if plan.current else {}, plan.tracker)
        if params["state"] == "present" and (wanted or purge):
            current = approle.read_roles(client, desired.path, None if purge else wanted) if plan.current else {}
            roles_plan = approle.plan_roles(wanted, current, purge=purge, tracker=plan.tracker, whole=desired.type != "approle")
        if plan.tracker.changed and not module.check_mode:
            mount.apply_mount(client, plan)
            login.apply_config(client, desired.path, config_plan)
            approle.apply_roles(client, desired.path, roles_plan)
            found = mount.find_mount(client, mount.AUTH, desired.path)
            current = approle.read_roles(client, desired.path, wanted) if found else {}
        else:
            found = plan.predicted()
            current = {name: mount.overlay(current.get(name, {}), fields) for name, fields in wanted.items()} if found else {}
        result = None if found is None else {**found.as_dict(), "roles": current}
        return {"changed": plan.tracker.changed, "auth_method": result, "diff": plan.tracker.as_result(plan.header)}

    run(module, body)


if __name__ == "__main__":
    main()
