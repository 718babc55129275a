#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_generate_root
short_description: Make a root token of Vault or OpenBao out of recovery or unseal keys
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Makes a root token and puts it, or a token that unwraps it once, into a file on the controller with mode 0600; it is in no result, diff or error.
  - OpenBao wants a token for it since 2.5.3. In a disaster, when there is none, its listener needs C(disable_unauthed_generate_root_endpoints=false),
    and the module then needs no O(token). Vault never wants one.
  - The one-time password that hides the token on its way stays in memory. An attempt that fails is cancelled.
  - A file whose token the server still knows is left alone. Take the token back with M(resilient.platform.vault_token) when the work is done.
attributes:
  check_mode:
    support: full
    details: Keys are not tried.
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
    description: Where the token goes. Its directory has to exist. Required unless O(state=cancelled).
    type: path
  keys_file:
    description: The C(credentials_file) of M(resilient.platform.vault_init) or M(resilient.platform.vault_rekey).
    type: path
  keys:
    description: Recovery keys where the server unseals itself, unseal keys otherwise.
    type: list
    elements: str
  wrap_ttl:
    description: >-
      How long a wrapping token is valid that is put into the file instead of the root token, such as V(15m). It can be unwrapped once, by whoever has it.
    type: str
  cancel_attempt:
    description: The nonce of an attempt that somebody left; it is cancelled. Every other one is refused.
    type: str
  state:
    description: Whether there is a token, or only that a left-over attempt is cancelled.
    type: str
    default: present
    choices: [present, cancelled]
seealso:
  - module: resilient.platform.vault_token
  - module: resilient.platform.vault_rekey
"""

EXAMPLES = r"""
- name: Make a root token after a restore
  resilient.platform.vault_generate_root:
    url: http://127.0.0.1:8300
    keys_file: /secure/vault/init.json
    credentials_file: /secure/vault/root.json

- name: Hand it over so that nobody else has seen it
  resilient.platform.vault_generate_root:
    keys: "{{ keys_of_three_people }}"
    credentials_file: /secure/vault/wrapped.json
    wrap_ttl: 15m
"""

RETURN = r"""
credentials_file:
  description: Where the token is, or would be.
  returned: O(state=present)
  type: str
  sample: /secure/vault/root.json
wrapped:
  description: Whether the file holds a wrapping token instead of the root token.
  returned: O(state=present)
  type: bool
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import root_token
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import optional_client, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.custody import check_enough, read_authorising_keys
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import seconds
from ansible_collections.resilient.platform.plugins.module_utils._vault.seal import read_seal_status

SPEC = ArgumentSpec(
    {
        # A file's name, not what is in it.
        "credentials_file": {"type": "path", "no_log": False},
        "keys_file": {"type": "path", "no_log": False},
        "keys": {"type": "list", "elements": "str", "no_log": True},
        "wrap_ttl": {"type": "str"},
        "cancel_attempt": {"type": "str"},
        "state": {"type": "str", "default": "present", "choices": ["present", "cancelled"]},
    },
    mutually_exclusive=[("keys", "keys_file")],
    required_if=[("state", "present", ["credentials_file"]), ("state", "present", ["keys", "keys_file"], True), ("state", "cancelled", ["cancel_attempt"])],
)


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        params, path = module.params, module.params["credentials_file"]
        if params["wrap_ttl"] is not None and (seconds(params["wrap_ttl"]) or 0) < 1:
            raise Refused(f"wrap_ttl is {params['wrap_ttl']!r}.", hint="Write it as 15m or a number of seconds.")
        client = optional_client(params)
        header = f"root token of {client.url}"
        if params["state"] == "cancelled":
            attempt = root_token.read_attempt(client)
            changed = root_token.check_leftover(attempt, params["cancel_attempt"])
            if changed and not module.check_mode:
                root_token.cancel_attempt(client, attempt)
            before = {"attempt": attempt.nonce} if changed else {}
            return {"changed": changed, "diff": {"before": before, "after": {}, "before_header": header, "after_header": header}}
        files.check_writable(path)
        result = {"credentials_file": path, "wrapped": bool(params["wrap_ttl"])}
        if root_token.still_good(client, path):
            return {"changed": False, **result, "diff": {"before": {}, "after": {}, "before_header": header, "after_header": header}}
        keys = params["keys"] or read_authorising_keys(params["keys_file"], automatic=read_seal_status(client).automatic)
        attempt = root_token.read_attempt(client)
        leftover = root_token.check_leftover(attempt, params["cancel_attempt"])
        check_enough(keys, attempt.required)
        if not module.check_mode:
            if leftover:
                root_token.cancel_attempt(client, attempt)
            root_token.hand_over(client, root_token.generate(client, attempt, keys), path, params["wrap_ttl"])
        diff = {"before": {}, "after": result, "before_header": header, "after_header": header}
        return {"changed": True, **result, "diff": diff}

    run(module, body)


if __name__ == "__main__":
    main()
