#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_secrets_engine
short_description: Manage a secrets engine of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Enables, tunes or disables a secrets engine.
  - What is not set is left alone. Durations are compared by length. An engine of another type at the same path is refused, not replaced.
  - Disabling an engine deletes all that is stored in it, so it has to be confirmed.
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
  - resilient.platform._wait
options:
  path:
    description: Where it is mounted. The type is used if not set.
    type: str
  type:
    description: Type, such as V(kv), V(pki) or V(transit).
    type: str
    required: true
  description:
    description: Description for people.
    type: str
  options:
    description: Options of the engine; C(version) is V("2") for a versioned V(kv).
    type: dict
  config:
    description: Configuration of the mount by the API's own names, such as C(default_lease_ttl) and C(max_lease_ttl).
    type: dict
  state:
    description: Whether the engine is enabled.
    type: str
    default: present
    choices: [present, absent]
  confirm:
    description: The path again. Required with O(state=absent), which deletes all that is stored in the engine.
    type: str
seealso:
  - module: resilient.platform.vault_secrets_engine_info
"""

EXAMPLES = r"""
- name: Keep versioned secrets
  resilient.platform.vault_secrets_engine:
    path: kv
    type: kv
    options:
      version: "2"
    description: Secrets of the platform

- name: Delete an engine with all that is in it
  resilient.platform.vault_secrets_engine:
    path: scratch
    type: kv
    state: absent
    confirm: scratch
"""

RETURN = r"""
secrets_engine:
  description: The engine after the task; V(null) if there is none.
  returned: success
  type: dict
  contains:
    path:
      description: Path, without slashes around it.
      type: str
      sample: kv
    type:
      description: Type.
      type: str
      sample: kv
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
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec, wait_spec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import mount
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

SPEC = ArgumentSpec(
    {
        "path": {"type": "str"},
        "type": {"type": "str", "required": True},
        "description": {"type": "str"},
        "options": {"type": "dict"},
        "config": {"type": "dict"},
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
        "confirm": {"type": "str"},
    }
)


def desired_from(params: t.Mapping[str, t.Any]) -> mount.Mount:
    """Return the wish, checked as far as that needs no server."""
    path = mount.mount_path(params["path"] or params["type"])
    if params["state"] == "absent" and (params["confirm"] or "").strip("/") != path:
        raise Refused(f"Disabling the secrets engine {path} deletes all that is stored in it.", hint=f"Set confirm to {path!r} if that is meant.")
    options = None if params["options"] is None else {key: str(value) for key, value in params["options"].items()}
    return mount.Mount(path, params["type"], params["description"], options, params["config"])


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC, wait_spec()).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        desired = desired_from(params)
        client = client_from_params(params)
        plan = mount.plan_mount(mount.SECRETS, desired, mount.find_mount(client, mount.SECRETS, desired.path), params["state"])
        found = plan.predicted()
        if plan.tracker.changed and not module.check_mode:
            mount.apply_mount(client, plan)
            found = mount.find_mount(client, mount.SECRETS, desired.path)
            mount.wait_usable(client, found, Waiter(timeout=params["wait_timeout"], interval=params["wait_sleep"]))
        result = None if found is None else found.as_dict()
        return {"changed": plan.tracker.changed, "secrets_engine": result, "diff": plan.tracker.as_result(plan.header)}

    run(module, body)


if __name__ == "__main__":
    main()
