#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_audit
short_description: Manage an audit device of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Enables or disables an audit device, by the API of Vault, or of OpenBao where C(unsafe_allow_api_audit_creation) is set.
  - OpenBao since 2.3.2 takes audit devices from its configuration. There this module verifies that the device is in force as it is wanted, and
    fails with the stanza to write (C(error.stanza)) if it is not.
  - What is not set is left alone. No server can change a device, so other settings than the wanted ones are refused unless O(recreate) is set.
attributes:
  check_mode:
    support: full
    details: Where the token may not read C(sys/config/state/sanitized), check mode of OpenBao cannot tell whether the API would do it, and warns.
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
    description: Type, such as V(file), V(syslog), V(socket) or V(http).
    type: str
    required: true
  description:
    description: Description for people.
    type: str
  local:
    description: Whether it is of this cluster only and not replicated.
    type: bool
  options:
    description: Options of the type by the API's own names, such as C(file_path), C(mode).
    type: dict
  recreate:
    description: Whether a device with other settings is disabled and enabled anew. Requests of that moment are not in its log.
    type: bool
    default: false
  confirm:
    description: The path of the device, to be given with O(state=absent) and with O(recreate=true).
    type: str
  state:
    description: Whether the device is enabled.
    type: str
    default: present
    choices: [present, absent]
seealso:
  - module: resilient.platform.vault_audit_info
"""

EXAMPLES = r"""
- name: Write down every request
  resilient.platform.vault_audit:
    type: file
    description: Every request and answer, secrets hashed
    options:
      file_path: /var/log/vault/audit.log
      mode: "0600"
"""

RETURN = r"""
audit:
  description: The device after the task; V(null) if there is none.
  returned: success
  type: dict
  contains:
    path:
      description: Path, without slashes around it.
      type: str
      sample: file
    type:
      description: Type.
      type: str
      sample: file
    description:
      description: Description.
      type: str
    local:
      description: Whether it is of this cluster only.
      type: bool
    options:
      description: Options of the type.
      type: dict
managed_by:
  description: >-
    Where the server takes audit devices from, V(api) or V(configuration); V(unknown) if the token may not ask.
  returned: success
  type: str
  sample: api
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import audit
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec

SPEC = ArgumentSpec(
    {
        "path": {"type": "str"},
        "type": {"type": "str", "required": True},
        "description": {"type": "str"},
        "local": {"type": "bool"},
        "options": {"type": "dict"},
        "recreate": {"type": "bool", "default": False},
        "confirm": {"type": "str"},
        "state": {"type": "str", "default": "present", "choices": ["present", "absent"]},
    }
)


def wanted_from(params: t.Mapping[str, t.Any]) -> audit.Device:
    """Return the wish, checked as far as that needs no server."""
    path = (params["path"] or params["type"]).strip("/ ")
    if not path:
        raise Refused("The audit device has no path.", hint="Set path.")
    if (params["state"] == "absent" or params["recreate"]) and (params["confirm"] or "").strip("/") != path:
        raise Refused(f"While {path} is away, nobody writes to it what is done with the secrets.", hint=f"Set confirm to {path!r} if that is meant.")
    options = None if params["options"] is None else audit.texts(params["options"])
    return audit.Device(path, params["type"], params["description"], params["local"], options)


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        wanted = wanted_from(params)
        client = client_from_params(params)
        current = next((device for device in audit.list_devices(client) if device.path == wanted.path), None)
        management = audit.read_management(client)
        if management == audit.CONFIGURATION and current is not None and params["state"] == "present" and wanted.over(current) != current:
            audit.require_api(audit.AuditPlan(wanted, current, "replace"), management)
        plan = audit.plan_audit(wanted, current, state=params["state"], recreate=params["recreate"])
        audit.require_api(plan, management)
        found = plan.after
        if plan.action != "none" and module.check_mode and management == audit.UNKNOWN:
            module.warn("The token may not read sys/config/state/sanitized: whether the server takes audit devices by its API shows only on a run.")
        if plan.action != "none" and not module.check_mode:
            audit.apply_audit(client, plan)
            found = next((device for device in audit.list_devices(client) if device.path == wanted.path), None)
        return {
            "changed": plan.tracker.changed,
            "audit": None if found is None else found.as_dict(),
            "managed_by": management,
            "diff": plan.tracker.as_result(plan.header),
        }

    run(module, body)


if __name__ == "__main__":
    main()
