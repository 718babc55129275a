#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_manifest
short_description: Write the signed manifest of a backup to every destination
version_added: 0.1.0
description:
  - A manifest lists the recovery points of a backup run. It is signed (DSSE, Ed25519), numbered, names the SHA-256 of the one before,
    and is put to every destination and read back.
  - It is an in-toto Statement whose subjects are the backup files, so ordinary tools can check a single file against it.
  - Refuses if a manifest at a destination cannot be trusted, and says which.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._attributes
  - resilient.platform._attributes.actiongroup_evidence
  - resilient.platform._evidence
  - resilient.platform._evidence.destinations
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  idempotent:
    support: partial
    details: With O(run_id), the same recovery points of the same run are not written twice; a destination that lacks the manifest gets it.
options:
  environment:
    description: Name of the platform.
    type: str
    required: true
  recovery_points:
    description:
      - What was backed up. Each has C(asset), C(kind) (V(vault_raft_snapshot) or V(zfs_snapshot)), C(id), C(taken_at) (ISO 8601), C(size_bytes),
        C(sha256) (not for ZFS snapshots), C(details), C(newest_canary) and C(copies), each copy with C(destination), C(key), C(sha256),
        C(read_back_sha256), C(size_bytes).
      - A file whose copy was not read back with its SHA-256 is refused.
    type: list
    elements: dict
    required: true
  signing_key:
    description: PEM file of the Ed25519 key.
    type: path
    required: true
  work_dir:
    description: Directory on the controller that gets a copy under C(manifests/). A rebuild does not read it.
    type: path
  run_id:
    description: The run that made the backup; makes writing it again harmless.
    type: str
seealso:
  - module: resilient.platform.backup_manifest_info
  - module: resilient.platform.backup_copy
"""

EXAMPLES = r"""
- name: Write the manifest
  resilient.platform.backup_manifest:
    environment: production
    run_id: "{{ backup.run.id }}"
    recovery_points: "{{ recovery_points }}"
    destinations: "{{ platform_backup_destinations }}"
    signing_key: /etc/platform/signing.pem
    work_dir: /var/lib/platform/work
"""

RETURN = r"""
manifest:
  description: The manifest.
  returned: success
  type: dict
  contains:
    sequence:
      description: Its number.
      type: int
    created_at:
      description: When it was made; in check mode the present.
      type: str
    previous_sha256:
      description: SHA-256 of the one before; null for the first.
      type: str
    sha256:
      description: Its own SHA-256.
      type: str
    recovery_points:
      description: What was backed up.
      type: list
      elements: dict
copies:
  description: Where it lies, as in M(resilient.platform.backup_copy).
  returned: success
  type: list
  elements: dict
"""

import os
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations, manifest, signing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import destinations_spec, run_module
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, normalise, sha256_hex, utc_now, write_atomically
from ansible_collections.resilient.platform.plugins.module_utils._evidence.redaction import refuse_secrets

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "environment": {"type": "str", "required": True},
            "recovery_points": {"type": "list", "elements": "dict", "required": True},
            "signing_key": {"type": "path", "required": True, "no_log": False},
            "work_dir": {"type": "path"},
            "run_id": {"type": "str"},
        }
    ).merge(destinations_spec())


def same_backup(found: manifest.Found, run_id: str | None, points: t.Sequence[dict[str, t.Any]]) -> bool:
    """Return whether *found* is the manifest of this very backup, written by an earlier try."""
    return bool(run_id and found.manifest["run_id"] == run_id and canonical(found.manifest["recovery_points"]) == canonical(list(points)))


def put_everywhere(targets: t.Sequence[destinations.Destination], key: str, data: bytes, work_dir: str | None) -> list[dict[str, t.Any]]:
    """Put the envelope *data* to each of *targets* and read it back."""
    if work_dir:
        local = os.path.join(work_dir, "manifests")
        os.makedirs(local, exist_ok=True)
        write_atomically(os.path.join(local, key.rsplit("/", 1)[-1]), data)
    with tempfile.TemporaryDirectory(prefix="resilient-manifest-") as directory:
        source = os.path.join(directory, "manifest")
        with open(source, "wb") as handle:
            handle.write(data)
        return [destinations.put_and_compare(target, key, source, sha256_hex(data)) for target in targets]


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    points: list[dict[str, t.Any]] = normalise(params["recovery_points"])
    manifest.check_points(points)
    refuse_secrets(points, "recovery_points")
    destinations.check_key(manifest.key_for(params["environment"], 1))
    key = signing.load_private_key(params["signing_key"])
    targets = destinations.build_all(params["destinations"])
    if not targets:
        raise Refused("A manifest needs a destination.", hint="Give destinations.")
    for target in targets:
        target.check()
    chain = manifest.find_newest(targets, params["environment"], key.public_key(), need_all=True)
    if chain.newest is not None and same_backup(chain.newest, params["run_id"], points):
        made, lacking = chain.newest.manifest, [target for target in targets if target.name not in chain.at]
    else:
        made, lacking = manifest.make(params["environment"], params["run_id"], points, chain.newest, utc_now()), targets
    name = manifest.key_for(params["environment"], made["sequence"])
    diff = DiffTracker()
    for target in lacking:
        diff.add(target.location(name), before=None, after={"sequence": made["sequence"], "recovery_points": [point["id"] for point in points]})
    data = manifest.seal(made, key)
    copies: list[dict[str, t.Any]] = []
    if not module.check_mode:
        copies = put_everywhere(lacking, name, data, params["work_dir"])
        copies += [destinations.compare(target, name, sha256_hex(data)) for target in targets if target not in lacking]
    result = {**made, "sha256": manifest.digest_of(made), "key": name}
    return {"changed": bool(lacking), "manifest": result, "copies": copies, "diff": diff.as_result(f"manifests of {params['environment']}")}


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
