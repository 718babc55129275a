#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_rekey
short_description: Replace the unseal or recovery keys of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Makes new recovery keys where the server unseals itself, new unseal keys otherwise, by C(sys/rotate) of OpenBao or C(sys/rekey) of Vault.
  - The new keys go into one file on the controller with mode 0600, in clear or each encrypted for a person by PGP. They are in no result, diff or error.
  - The old keys stay valid until a threshold of the new ones has been shown to the server. Keys in clear are shown by the same run; of encrypted ones,
    the people give theirs in O(verification_keys) of a second run.
  - A run that was cut off goes on, or begins anew where the server has forgotten it; nothing is lost meanwhile.
  - Each set of keys has a file of its own. To replace the keys again, name another file.
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
    description: Where the new keys go. Its directory has to exist. Nothing but an unfinished run of this module is overwritten.
    type: path
    required: true
  keys_file:
    description: File with the old keys, the C(credentials_file) of M(resilient.platform.vault_init) or of an earlier run of this module.
    type: path
  keys:
    description: The old keys.
    type: list
    elements: str
  shares:
    description: How many new keys to make.
    type: int
    default: 5
  threshold:
    description: How many of them are needed.
    type: int
    default: 3
  pgp_key_files:
    description: Files with one PGP public key for each new key, armoured or not, on the controller.
    type: list
    elements: path
  backup:
    description: Whether the server keeps a copy of the keys, encrypted by O(pgp_key_files).
    type: bool
    default: false
  verify:
    description: Whether the old keys stay valid until the new ones have been shown. Without it, a run that is cut off may lose the keys.
    type: bool
    default: true
  verification_keys:
    description: New keys that people have decrypted, to be shown to the server.
    type: list
    elements: str
  cancel_attempt:
    description: The nonce of an attempt that somebody left; it is cancelled. Every other one is refused.
    type: str
seealso:
  - module: resilient.platform.vault_init
  - module: resilient.platform.vault_generate_root
"""

EXAMPLES = r"""
- name: Replace the keys after somebody has left, each for its own person
  resilient.platform.vault_rekey:
    keys: "{{ old_keys_of_three_people }}"
    credentials_file: /secure/vault/keys-2027.json
    shares: 5
    threshold: 3
    pgp_key_files: "{{ people | map('regex_replace', '^(.*)$', 'files/\\1.asc') }}"

- name: Show the server that they can be read
  resilient.platform.vault_rekey:
    keys: "{{ old_keys_of_three_people }}"
    credentials_file: /secure/vault/keys-2027.json
    verification_keys: "{{ new_keys_of_three_people }}"
"""

RETURN = r"""
rekey:
  description: What there is after the task, or would be.
  returned: success
  type: dict
  contains:
    credentials_file:
      description: Where the new keys are.
      type: str
      sample: /secure/vault/keys-2027.json
    kind:
      description: Which keys they are, V(recovery) or V(unseal).
      type: str
      sample: recovery
    shares:
      description: How many there are.
      type: int
    threshold:
      description: How many of them are needed.
      type: int
    encrypted:
      description: Whether they are encrypted by PGP.
      type: bool
    in_force:
      description: Whether they have replaced the old ones. V(false) until they are verified.
      type: bool
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault import rekey
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import optional_client, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.custody import check_enough, read_authorising_keys, read_pgp_key
from ansible_collections.resilient.platform.plugins.module_utils._vault.seal import Shares, read_seal_status

SPEC = ArgumentSpec(
    {
        # A file's name, not what is in it.
        "credentials_file": {"type": "path", "required": True, "no_log": False},
        "keys_file": {"type": "path", "no_log": False},
        "keys": {"type": "list", "elements": "str", "no_log": True},
        "shares": {"type": "int", "default": 5},
        "threshold": {"type": "int", "default": 3},
        "pgp_key_files": {"type": "list", "elements": "path", "no_log": False},
        "backup": {"type": "bool", "default": False},
        "verify": {"type": "bool", "default": True},
        "verification_keys": {"type": "list", "elements": "str", "no_log": True},
        "cancel_attempt": {"type": "str"},
    },
    mutually_exclusive=[("keys", "keys_file")],
    required_one_of=[("keys", "keys_file")],
)


def wish_from(params: t.Mapping[str, t.Any]) -> rekey.Wish:
    """Return the wish, checked as far as that needs no server."""
    shares = Shares(params["shares"], params["threshold"])
    if not 1 <= shares.threshold <= shares.shares <= 255 or (shares.threshold == 1 and shares.shares > 1):
        raise Refused(
            f"shares is {shares.shares} and threshold is {shares.threshold}.",
            hint="The threshold is between 2 and the number of shares (at most 255), or both are 1.",
        )
    pgp = tuple(read_pgp_key(path) for path in params["pgp_key_files"] or [])
    if pgp and len(pgp) != shares.shares:
        raise Refused(f"{len(pgp)} PGP keys are given for {shares.shares} shares.", hint="Give one for each share.")
    if params["backup"] and not pgp:
        raise Refused("backup needs pgp_key_files: the server keeps no keys in clear.")
    files.check_writable(params["credentials_file"])
    return rekey.Wish(shares, params["credentials_file"], params["verify"], pgp, params["backup"], params["cancel_attempt"])


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        wish = wish_from(params)
        client = optional_client(params)
        seal = read_seal_status(client)
        given = params["verification_keys"] or []
        old = params["keys"] or read_authorising_keys(params["keys_file"], automatic=seal.automatic)
        shown = given or rekey.new_keys(wish.credentials_file, automatic=seal.automatic)
        plan = rekey.plan_rekey(wish, seal, rekey.read_server(client, automatic=seal.automatic), may_verify=bool(shown))
        if plan.begin:
            check_enough(old, plan.server.required)
        complete = plan.verify or (plan.begin and not (wish.pgp_keys and wish.verify)) or rekey.is_complete(wish.credentials_file)
        if not module.check_mode:
            if plan.begin:
                rekey.begin(client, plan, old)
                shown = rekey.new_keys(wish.credentials_file, automatic=seal.automatic)
            if plan.verify or (plan.begin and shown and not rekey.is_complete(wish.credentials_file)):
                rekey.verify(client, plan, shown)
            complete = rekey.is_complete(wish.credentials_file)
        if not complete:
            module.warn("The old keys stay valid: give a threshold of the new ones, decrypted, in verification_keys.")
        tracker = plan.tracker()
        return {
            "changed": tracker.changed,
            "rekey": {
                "credentials_file": wish.credentials_file,
                "kind": "recovery" if seal.automatic else "unseal",
                "shares": wish.shares.shares,
                "threshold": wish.shares.threshold,
                "encrypted": bool(wish.pgp_keys),
                "in_force": complete,
            },
            "diff": tracker.as_result(f"keys of {client.url}"),
        }

    run(module, body)


if __name__ == "__main__":
    main()
