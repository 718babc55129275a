#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_token
short_description: Revoke the root token of a credentials file
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Revokes the C(root_token) in a file that M(resilient.platform.vault_init) wrote, and takes it out of the file, which appears whole or stays
    as it was.
  - A file without a root token is left alone. A token that the server does not know any more is only taken out.
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
  credentials_file:
    description: The file. It has to exist, so that a mistyped path does not look like a revoked token.
    type: path
    required: true
  state:
    description: V(absent) is the only state there is.
    type: str
    default: absent
    choices: [absent]
seealso:
  - module: resilient.platform.vault_init
"""

EXAMPLES = r"""
- name: Nobody needs the root token any more
  resilient.platform.vault_token:
    url: https://vault-1.example.com:8200
    credentials_file: /secure/vault/init.json
    state: absent
"""

RETURN = r"""
credentials_file:
  description: The file, without a root token after the task.
  returned: success
  type: str
  sample: /secure/vault/init.json
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault import token
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import anonymous_client, run, vault_spec

SPEC = ArgumentSpec(
    {
        # A file's name, not what is in it.
        "credentials_file": {"type": "path", "required": True, "no_log": False},
        "state": {"type": "str", "default": "absent", "choices": ["absent"]},
    }
)


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        path = module.params["credentials_file"]
        content = token.read_credentials(path)
        changed = bool(content.get("root_token"))
        if changed:
            client = anonymous_client(module.params)
            token.check_cluster(client, content, path)
            files.check_writable(path)
            if not module.check_mode:
                token.revoke(client, content, path)
        before, after = {"root_token": "(present)" if changed else "(absent)"}, {"root_token": "(absent)"}
        return {"changed": changed, "credentials_file": path, "diff": {"before": before, "after": after, "before_header": path, "after_header": path}}

    run(module, body)


if __name__ == "__main__":
    main()
