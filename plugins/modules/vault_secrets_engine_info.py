#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_secrets_engine_info
short_description: Read the secrets engines of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Returns one secrets engine or all of them; never what is stored in it.
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
  - module: resilient.platform.vault_secrets_engine
"""

EXAMPLES = r"""
- name: Read one engine
  resilient.platform.vault_secrets_engine_info:
    path: kv
  register: found
"""

RETURN = r"""
secrets_engines:
  description: The engines; none if nothing matches.
  returned: success
  type: list
  elements: dict
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

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault import mount
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec

SPEC = ArgumentSpec({"path": {"type": "str"}})


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        wanted = module.params["path"]
        client = client_from_params(module.params)
        found = [each for each in mount.list_mounts(client, mount.SECRETS) if wanted is None or each.path == wanted.strip("/")]
        return {"changed": False, "secrets_engines": [each.as_dict() for each in found]}

    run(module, body)


if __name__ == "__main__":
    main()
