#!/usr/bin/python

# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vault_raft_snapshot_verify
short_description: Verify a raft snapshot of Vault or OpenBao offline
author:
  - resilient.platform contributors (@resilient-platform)
version_added: 0.1.0
description:
  - Reads the file once, in constant memory, without a server and without a binary.
  - Checks the whole file against a digest, the compressed stream and the archive (nothing but the members of a snapshot), C(SHA256SUMS.sealed)
    present and not empty, C(SHA256SUMS), C(meta.json), every entry of C(state.bin), and that the seal configuration is in it.
  - The verdict V(verified) says that the file is what was taken. It does not say that it can be restored; only a restore proves that.
  - Without O(expected_sha256) nothing outside of the file vouches for its content (who rewrites it can rewrite its checksums), so the verdict is
    at best V(could_not_verify).
extends_documentation_fragment:
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
options:
  path:
    description: The snapshot.
    type: path
    required: true
  expected_sha256:
    description: Digest of the whole file, from a place that is not the file, such as the signed manifest.
    type: str
  expected_size_bytes:
    description: Size of the file.
    type: int
  minimum_index:
    description: Smallest raft index that the snapshot has to contain.
    type: int
  fail_on:
    description:
      - Which verdicts fail the task.
      - V(not_verified) is any but V(verified), V(failed) leaves V(could_not_verify) to the caller, V(never) only reports.
    type: str
    default: not_verified
    choices: [not_verified, failed, never]
seealso:
  - module: resilient.platform.vault_raft_snapshot
  - module: resilient.platform.vault_raft_restore
"""

EXAMPLES = r"""
- name: Verify the copy that came back from the store
  resilient.platform.vault_raft_snapshot_verify:
    path: /tmp/restore/vault.snap
    expected_sha256: "{{ recovery_point.sha256 }}"
    minimum_index: "{{ recovery_point.details.index }}"
"""

RETURN = r"""
verdict:
  description: V(verified), V(failed) or V(could_not_verify).
  returned: always
  type: str
  sample: verified
checks:
  description: Each check. One that was V(skipped) keeps the verdict from being V(verified).
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: V(readable), V(digest), V(size), V(archive), V(sealed_sums), V(sums), V(meta), V(state), V(seal) or V(index).
      type: str
    outcome:
      description: V(passed), V(failed) or V(skipped).
      type: str
    expected:
      description: What should be.
      type: raw
    actual:
      description: What is.
      type: raw
snapshot:
  description: What was read from the file, as far as it could be; V(null) if there is no file that can be read.
  returned: always
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
"""

import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_verify import FAILED, VERIFIED, Verification, verify

SPEC = ArgumentSpec(
    {
        "path": {"type": "path", "required": True},
        "expected_sha256": {"type": "str"},
        "expected_size_bytes": {"type": "int"},
        "minimum_index": {"type": "int"},
        "fail_on": {"type": "str", "default": "not_verified", "choices": ["not_verified", "failed", "never"]},
    }
)


def fails(verification: Verification, fail_on: str) -> bool:
    """Whether the verdict fails the task."""
    return {"not_verified": verification.verdict != VERIFIED, "failed": verification.verdict == FAILED}.get(fail_on, False)


def main() -> t.NoReturn:
    module = SPEC.create_module()
    params = module.params
    if params["expected_sha256"] is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", params["expected_sha256"]):
        module.fail_json(msg="expected_sha256 is no SHA-256 digest: it has 64 hexadecimal digits.")
    verification = verify(
        params["path"],
        expected_sha256=params["expected_sha256"],
        expected_size_bytes=params["expected_size_bytes"],
        minimum_index=params["minimum_index"],
    )
    result: dict[str, t.Any] = {
        "changed": False,
        "verdict": verification.verdict,
        "checks": [check.as_dict() for check in verification.checks],
        "snapshot": verification.snapshot.as_dict() if verification.snapshot else None,
    }
    if fails(verification, params["fail_on"]):
        module.fail_json(msg=f"The snapshot {params['path']} is not verified ({verification.verdict}): {verification.reasons()}.", **result)
    module.exit_json(**result)
    raise AssertionError("exit_json does not return")


if __name__ == "__main__":
    main()
