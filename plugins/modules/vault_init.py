#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_init
short_description: Initialise a Vault or OpenBao server
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Initialises a server that is not, and puts the keys and the root token into one file on the controller; they are in no result, diff or error.
  - The promise is this. A server that is initialised is left alone. The file is written as pending before the server is asked, so an unwritable
    place is found before there are secrets, and a run that was cut off in between can be told from one that never began. The file appears whole,
    with mode 0600, or not at all.
  - With PGP keys, and with the root token encrypted or wrapped, the file alone opens nothing. Of a wrapped root token the file has it for the moments
    until the server can wrap it.
  - With automatic unseal the file holds recovery keys, which cannot unseal the cluster; with Shamir it holds the unseal keys.
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
    description:
      - Where keys and root token go. Its directory has to exist.
      - Nothing is overwritten. A file of another cluster is refused before the server is initialised.
    type: path
    required: true
  recovery_shares:
    description: How many recovery keys to make where the server unseals itself.
    type: int
    default: 5
  recovery_threshold:
    description: How many recovery keys are needed.
    type: int
    default: 3
  secret_shares:
    description: How many unseal keys to make where the seal is Shamir's.
    type: int
    default: 5
  secret_threshold:
    description: How many unseal keys are needed.
    type: int
    default: 3
  pgp_key_files:
    description: Files with one PGP public key for each key, armoured or not, on the controller. The keys in the file are then encrypted, in hex and base64.
    type: list
    elements: path
  root_token_pgp_key_file:
    description: File with the PGP public key that the root token is encrypted for.
    type: path
  wrap_ttl:
    description: >-
      How long a token is valid that unwraps the root token once, and which is in the file instead of it, such as V(15m). With automatic unseal only.
    type: str
seealso:
  - module: resilient.platform.vault_unseal
  - module: resilient.platform.vault_rekey
  - module: resilient.platform.vault_token
"""

EXAMPLES = r"""
- name: Initialise the first node
  resilient.platform.vault_init:
    url: https://vault-1.example.com:8200
    ca_path: /etc/ssl/private-ca.pem
    credentials_file: /secure/vault/init.json

- name: So that nobody can read the keys but their holders
  resilient.platform.vault_init:
    credentials_file: /secure/vault/init.json
    recovery_shares: 3
    recovery_threshold: 2
    pgp_key_files: [files/ann.asc, files/bob.asc, files/eve.asc]
    root_token_pgp_key_file: files/ann.asc
"""

RETURN = r"""
initialized:
  description: Whether the server is initialised. In check mode, what it would be.
  returned: success
  type: bool
  sample: true
credentials_file:
  description: Where keys and root token are, or would be.
  returned: success
  type: str
  sample: /secure/vault/init.json
seal:
  description: The seal of the server.
  returned: success
  type: dict
  contains:
    type:
      description: Type, such as V(shamir) or V(transit).
      type: str
      sample: transit
    automatic:
      description: Whether the server unseals itself.
      type: bool
    shares:
      description: Number of unseal keys, or of recovery keys if RV(seal.automatic).
      type: int
    threshold:
      description: How many of them are needed.
      type: int
"""

import datetime
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import anonymous_client, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.custody import read_pgp_key
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import seconds
from ansible_collections.resilient.platform.plugins.module_utils._vault.seal import Custody, Shares, init, plan_init, read_seal_status
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

SPEC = ArgumentSpec(
    {
        # A file's name, not what is in it.
        "credentials_file": {"type": "path", "required": True, "no_log": False},
        "recovery_shares": {"type": "int", "default": 5},
        "recovery_threshold": {"type": "int", "default": 3},
        "secret_shares": {"type": "int", "default": 5, "no_log": False},
        "secret_threshold": {"type": "int", "default": 3, "no_log": False},
        "pgp_key_files": {"type": "list", "elements": "path", "no_log": False},
        "root_token_pgp_key_file": {"type": "path", "no_log": False},
        "wrap_ttl": {"type": "str"},
    }
)


def custody_from(params: t.Mapping[str, t.Any]) -> Custody:
    """Return how keys and root token are to be kept.

    Raises:
        Refused: a file holds no public key, or the time is none.
    """
    if params["wrap_ttl"] is not None and (seconds(params["wrap_ttl"]) or 0) < 1:
        raise Refused(f"wrap_ttl is {params['wrap_ttl']!r}.", hint="Write it as 15m or a number of seconds.")
    root = params["root_token_pgp_key_file"]
    return Custody(tuple(read_pgp_key(path) for path in params["pgp_key_files"] or []), read_pgp_key(root) if root else "", params["wrap_ttl"] or "")


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        path = params["credentials_file"]
        client = anonymous_client(params)
        seal = read_seal_status(client)
        prefix = "recovery" if seal.automatic else "secret"
        shares = Shares(params[f"{prefix}_shares"], params[f"{prefix}_threshold"])
        shares.check(prefix)
        custody = custody_from(params)
        custody.check(shares, seal)
        changed = plan_init(client, path)
        if changed and not module.check_mode:
            init(client, seal, shares, path, waiter=Waiter(timeout=15), now=datetime.datetime.now(datetime.timezone.utc), custody=custody)
        known = shares if changed else Shares(seal.shares, seal.threshold)
        before, after = {"initialized": not changed}, {"initialized": True}
        return {
            "changed": changed,
            "initialized": True,
            "credentials_file": path,
            "seal": {"type": seal.type, "automatic": seal.automatic, "shares": known.shares, "threshold": known.threshold},
            "diff": {"before": before, "after": after, "before_header": client.url, "after_header": client.url},
        }

    run(module, body)


if __name__ == "__main__":
    main()
