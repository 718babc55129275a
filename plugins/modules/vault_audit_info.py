#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_audit_info
short_description: Read the audit devices of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Returns one audit device or all of them, and whether the server takes them by its API or from its configuration.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
  - resilient.platform._attributes.info_module
options:
  path:
    description: Where it is mounted; all of them if not set.
    type: str
seealso:
  - module: resilient.platform.vault_audit
"""

EXAMPLES = r"""
- name: Read the audit devices
  resilient.platform.vault_audit_info:
  register: found

- name: Two of them, so that one may fail
  ansible.builtin.assert:
    that: found.audits | length >= 2
"""

RETURN = r"""
audits:
  description: The audit devices; none if nothing matches.
  returned: success
  type: list
  elements: dict
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
  sample: configuration
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault import audit
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec

SPEC = ArgumentSpec({"path": {"type": "str"}})


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        wanted = module.params["path"]
        client = client_from_params(module.params)
        found = [device.as_dict() for device in audit.list_devices(client) if wanted is None or device.path == wanted.strip("/")]
        return {"changed": False, "audits": found, "managed_by": audit.read_management(client)}

    run(module, body)


if __name__ == "__main__":
    main()
