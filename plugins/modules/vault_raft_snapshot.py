#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_snapshot
short_description: Take a raft snapshot of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Finds the leader, notes the raft index it has applied, and streams its snapshot to a file on the controller.
  - The file appears under its name only when it is whole. The server answers 200 before it knows whether it can finish, so the module checks
    that C(SHA256SUMS.sealed) is there and not empty, that the checksums are right, that every entry can be read, and that the index is not below
    the noted one.
  - A file of that name is replaced by the new snapshot. The policy needs C(read) on C(sys/storage/raft/snapshot).
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: none
    details: Each run takes a new snapshot.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
options:
  dest:
    description: File to write. Its directory has to exist.
    type: path
    required: true
  mode:
    description: Mode of the file, in octal and in quotes.
    type: str
    default: "0600"
seealso:
  - module: resilient.platform.vault_raft_snapshot_verify
  - module: resilient.platform.vault_raft_restore
"""

EXAMPLES = r"""
- name: Take a snapshot
  resilient.platform.vault_raft_snapshot:
    url: https://vault-1.example.com:8200
    auth_method: approle
    role_id: "{{ backup.role_id }}"
    secret_id: "{{ backup.secret_id }}"
    dest: /backup/vault.snap
  register: taken
"""

RETURN = r"""
snapshot:
  description: >-
    The snapshot. In check mode only RV(snapshot.path), RV(snapshot.leader_address) and RV(snapshot.minimum_index) are known, the rest is
    V(null).
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
      sample: /backup/vault.snap
    size_bytes:
      description: Size of the file.
      type: int
      sample: 20505
    sha256:
      description: Digest of the whole file.
      type: str
    index:
      description: Raft index up to which it contains everything.
      type: int
      sample: 38
    term:
      description: Raft term.
      type: int
      sample: 3
    version:
      description: Newest server version that has worked on the data.
      type: str
      sample: 2.7.2
    seal:
      description: What a restore needs in order to unseal.
      type: dict
      sample: {"type": "transit", "shares": 1, "threshold": 1, "key_id": "v1", "recovery_shares": 5, "recovery_threshold": 3}
    peers:
      description: Members of the cluster it was taken from. A restore does not bring them back.
      type: list
      elements: dict
      sample: [{"id": "vault-1", "address": "10.0.0.1:8201", "voter": true}]
    entries:
      description: Number of keys.
      type: int
      sample: 37
    keys_by_prefix:
      description: Number of keys below each prefix.
      type: dict
      sample: {"core/": 10, "sys/policy/": 2}
    state_bytes:
      description: Size of the data, uncompressed.
      type: int
    archived_at:
      description: When it was made, by the server's clock (seconds).
      type: str
      sample: "2026-11-21T05:52:46.000000Z"
    taken_at:
      description: When it was asked for, by the controller's clock (UTC).
      type: str
      sample: "2026-11-21T05:52:45.540704Z"
    leader_address:
      description: The node that it was taken from.
      type: str
      sample: https://vault-1.example.com:8200
    minimum_index:
      description: Raft index that had been applied before it was asked for.
      type: int
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_file import Snapshot
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_take import plan_take, take

SPEC = ArgumentSpec({"dest": {"type": "path", "required": True}, "mode": {"type": "str", "default": "0600"}})


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC).create_module()

    def body() -> dict[str, t.Any]:
        plan = plan_take(client_from_params(module.params), module.params["dest"], module.params["mode"])
        if module.check_mode:
            result = {**dict.fromkeys(Snapshot(plan.dest, 0, "", {}).as_dict()), "path": plan.dest, "taken_at": None}
        else:
            snapshot, taken_at = take(plan)
            result = {**snapshot.as_dict(), "taken_at": taken_at}
        result |= {"leader_address": plan.leader.url, "minimum_index": plan.state.applied_index}
        return {"changed": True, "snapshot": result, "diff": plan.diff()}

    run(module, body)


if __name__ == "__main__":
    main()
