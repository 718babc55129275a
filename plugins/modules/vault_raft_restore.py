#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_restore
short_description: Restore a raft snapshot of Vault or OpenBao
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Replaces all data of the cluster by those of a snapshot. The file is verified, and seal, version and rights are compared, before anything is
    sent; check mode does all of that too.
  - Works on the leader only; a standby would answer 204 and then seal itself.
  - The server answers 204 before it applies anything. The module waits until it has seen the restore applied (another cluster id, another term
    of office, or the node sealed by keys that are not its own) and reports the state it ends in.
  - The plain way is taken first. With O(force) the server accepts a snapshot of other keys, and skips its own check of the content; that needs
    O(manifest) and O(public_key).
  - After a restore the node has to be restarted before other nodes join or restart. The running one keeps the raft
    certificates from before the restore, and a cluster that mixes both stops replicating while every health signal stays green.
    RV(restore.restart_required) says so.
attributes:
  check_mode:
    support: full
    details: Verifies the file and compares seal, version and rights; nothing is sent.
  diff_mode:
    support: full
  idempotent:
    support: none
    details: Each run restores.
extends_documentation_fragment:
  - resilient.platform._vault
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_vault
  - resilient.platform._wait
options:
  path:
    description: The snapshot.
    type: path
    required: true
  expected_sha256:
    description: Digest of the whole file, from a place that is not the file, such as the signed manifest.
    type: str
  force:
    description: >-
      Allow a snapshot that is sealed by other keys than the server's. Forged content would be accepted, so a signed manifest has to vouch for it.
    type: bool
    default: false
  manifest:
    description: The signed manifest of the backup (M(resilient.platform.backup_manifest)), a DSSE envelope. It has to name the snapshot's digest.
    type: path
  public_key:
    description: The public key (Ed25519, PEM) that O(manifest) is signed by.
    type: path
seealso:
  - module: resilient.platform.vault_raft_snapshot
  - module: resilient.platform.vault_raft_snapshot_verify
  - module: resilient.platform.vault_raft_prove
"""

EXAMPLES = r"""
- name: Bring the cluster back on its first node
  resilient.platform.vault_raft_restore:
    url: https://vault-1.example.com:8200
    token: "{{ throw_away_root_token }}"
    path: /tmp/restore/vault.snap
    expected_sha256: "{{ recovery_point.sha256 }}"
  register: restored
"""

RETURN = r"""
restore:
  description: What was done. In check mode, what is known before it.
  returned: success
  type: dict
  contains:
    path:
      description: The file.
      type: str
    sha256:
      description: Its digest.
      type: str
    index:
      description: Raft index of the snapshot.
      type: int
    state:
      description: State that the node ended in, V(active) or V(sealed); V(null) in check mode.
      type: str
      sample: active
    evidence:
      description: What showed that the snapshot was applied; V(null) in check mode.
      type: str
      sample: cluster_id changed
    forced:
      description: Whether it took force; V(null) in check mode.
      type: bool
    cluster_id_before:
      description: Id of the cluster before.
      type: str
    cluster_id_after:
      description: Id of the cluster after; empty while sealed, V(null) in check mode.
      type: str
    applied_index:
      description: Raft index that the node has applied after it; V(null) while sealed and in check mode.
      type: int
    seconds:
      description: From sending it until it was seen to be applied; V(null) in check mode.
      type: float
    restart_required:
      description: >-
        Always V(true): the running process keeps the raft certificates from before the restore. Restart the node before others join or restart;
        if others are in the cluster, restart all of them together.
      type: bool
    unseal_required:
      description: Whether the node has to be unsealed with the keys of the snapshot; V(null) in check mode.
      type: bool
"""

import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec, wait_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.argspec import client_from_params, run, vault_spec
from ansible_collections.resilient.platform.plugins.module_utils._vault.restore import RestorePlan, plan_restore, send, wait_applied
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.vouched import read_digests
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

SPEC = ArgumentSpec(
    {
        "path": {"type": "path", "required": True},
        "expected_sha256": {"type": "str"},
        "force": {"type": "bool", "default": False},
        "manifest": {"type": "path"},
        "public_key": {"type": "path", "no_log": False},
    },
    required_together=[("manifest", "public_key")],
)


def carry_out(client: VaultClient, plan: RestorePlan, waiter: Waiter) -> dict[str, t.Any]:
    """Restore and return what was seen."""
    begun = time.monotonic()
    forced = send(client, plan, timeout=max(waiter.timeout, client.timeout))
    node, evidence = wait_applied(client, plan, waiter)
    return {
        "state": node.state,
        "evidence": evidence,
        "forced": forced,
        "cluster_id_after": node.cluster_id,
        "applied_index": node.applied_index,
        "seconds": round(time.monotonic() - begun, 3),
        "unseal_required": node.state == "sealed",
    }


def main() -> t.NoReturn:
    module = vault_spec().merge(SPEC, wait_spec()).create_module()

    def body() -> dict[str, t.Any]:
        params = module.params
        client = client_from_params(params)
        vouched = read_digests(params["manifest"], params["public_key"]) if params["manifest"] else None
        plan = plan_restore(client, params["path"], params["expected_sha256"], force=params["force"], vouched=vouched)
        for warning in plan.warnings:
            module.warn(warning)
        known = {
            "path": plan.snapshot.path,
            "sha256": plan.snapshot.sha256,
            "index": plan.snapshot.index,
            "cluster_id_before": plan.before.cluster_id,
        }
        if module.check_mode:
            unknown = ("state", "evidence", "forced", "cluster_id_after", "applied_index", "seconds", "unseal_required")
            done: dict[str, t.Any] = dict.fromkeys(unknown)
        else:
            done = carry_out(client, plan, Waiter(timeout=params["wait_timeout"], interval=params["wait_sleep"]))
        # Always: the running process keeps the raft certificates from before the restore.
        return {"changed": True, "restore": {**known, **done, "restart_required": True}, "diff": plan.diff()}

    run(module, body)


if __name__ == "__main__":
    main()
