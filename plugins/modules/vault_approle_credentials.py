#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_approle_credentials
short_description: Put role id and secret id of an AppRole into a file
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Writes a JSON file with C(role_id) and C(secret_id), mode 0600, that appears whole or not at all. Neither id is in a result, diff or error.
  - A file whose secret id the server still knows for that role is left alone; otherwise a new secret id is made. Old ones are not destroyed.
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
  role:
    description: Name of the AppRole; M(resilient.platform.vault_auth_method) makes it.
    type: str
    required: true
  mount_point:
    description: Path of the AppRole method that has the role.
    type: str
    default: approle
  credentials_file:
    description: Where the ids go. Its directory has to exist.
    type: path
    required: true
seealso:
  - module: resilient.platform.vault_auth_method
"""

EXAMPLES = r"""
- name: Give the backup its login
  resilient.platform.vault_approle_credentials:
    role: backup
    credentials_file: /secure/vault/backup.json
"""

RETURN = r"""
approle_credentials:
  description: Whose ids are where.
  returned: success
  type: dict
  sample: {"role": "backup", "mount_point": "approle", "credentials_file": "/secure/vault/backup.json"}
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault import approle
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec

SPEC = ArgumentSpec(
    {
        "role": {"type": "str", "required": True},
        "mount_point": {"type": "str", "default": "approle"},
        # A file's name, not what is in it.
        "credentials_file": {"type": "path", "required": True, "no_log": False},
    }
)


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        role, mount, path = params["role"], params["mount_point"].strip("/"), params["credentials_file"]
        content = files.read_json(path)
        files.check_writable(path)
        client = client_from_params(params)
        role_id = approle.find_role_id(client, mount, role)
        if role_id is None:
            missing = approle.no_such_role(client, mount, role)
            if not module.check_mode:
                raise missing
            # A task before this one may be the one that would make it.
            module.warn(str(missing))
        changed = role_id is None or not approle.credentials_are_valid(client, mount, role, role_id, content)
        if role_id is not None and changed and not module.check_mode:
            approle.issue_credentials(client, mount, role, role_id, path)
        before, after = {"secret_id": "(none that is valid)" if changed else "(valid)"}, {"secret_id": "(valid)"}
        return {
            "changed": changed,
            "approle_credentials": {"role": role, "mount_point": mount, "credentials_file": path},
            "diff": {"before": before, "after": after, "before_header": path, "after_header": path},
        }

    run(module, body)


if __name__ == "__main__":
    main()
