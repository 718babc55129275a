#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_retention
short_description: Remove old Raft snapshots from all destinations, never the last one that a restore proved
version_added: 0.1.0
description:
  - Decides over all destinations at once, by signed manifests. Removes the copies of snapshots that are neither among the newest nor young.
  - The newest recovery point that a verified drill or rebuild has restored always stays, however old it is. Evidence counts if its signature is good.
    As long as no restore was ever proved, nothing is removed.
  - Files that no signed manifest names are left alone, and so are the manifests.
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
    support: full
options:
  environment:
    description: Name of the platform.
    type: str
    required: true
  asset:
    description: Asset whose snapshots these are.
    type: str
    default: vault
  keep_last:
    description: How many of the newest stay.
    type: int
    default: 7
  keep_days:
    description: Younger ones stay, too.
    type: int
    default: 30
  evidence_dir:
    description: Directory on the controller with the evidence of drills and rebuilds.
    type: path
    required: true
  public_key:
    description: PEM file of the public key of manifests and evidence.
    type: path
    required: true
seealso:
  - module: resilient.platform.backup_manifest
  - module: resilient.platform.backup_copy
"""

EXAMPLES = r"""
- name: Keep a month, and always what was last proved
  resilient.platform.backup_retention:
    environment: production
    keep_last: 7
    keep_days: 30
    evidence_dir: /var/lib/platform/evidence
    public_key: /etc/platform/signing.pub.pem
    destinations: "{{ platform_backup_destinations }}"
"""

RETURN = r"""
retention:
  description: What stays and what goes.
  returned: success
  type: dict
  contains:
    kept:
      description: Reasons by id of the recovery point, of V(newest), V(young), V(last_proven).
      type: dict
    removed:
      description: Copies that were removed, each with C(id), C(destination), C(key).
      type: list
      elements: dict
    last_proven:
      description: Id of the newest recovery point that a restore has proved; null if there is none.
      type: str
    last_proven_at:
      description: Destinations at which it lies.
      type: list
      elements: str
"""

import datetime
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations, retention, signing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import destinations_spec, run_module

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "environment": {"type": "str", "required": True},
            "asset": {"type": "str", "default": "vault"},
            "keep_last": {"type": "int", "default": 7},
            "keep_days": {"type": "int", "default": 30},
            "evidence_dir": {"type": "path", "required": True},
            "public_key": {"type": "path", "required": True},
        }
    ).merge(destinations_spec())


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    targets = destinations.build_all(params["destinations"])
    if not targets:
        raise Refused("Retention needs the destinations.", hint="Give all of them: it decides over all at once.")
    key = signing.load_public_key(params["public_key"])
    for target in targets:
        target.check()
    points = retention.all_points(targets, params["environment"], key, params["asset"])
    proven = retention.proven_ids(params["evidence_dir"], params["environment"], params["public_key"])
    now = datetime.datetime.now(datetime.timezone.utc)
    plan = retention.plan(points, proven, keep_last=params["keep_last"], keep_days=params["keep_days"], now=now)
    there = retention.check_proven(targets, points, plan.proven)
    doomed = retention.present(targets, plan.removed)
    diff = DiffTracker()
    for target, name, point_id in doomed:
        diff.add(target.location(name), before=point_id, after=None)
        if not module.check_mode:
            target.remove(name)
    removed = [{"id": point_id, "destination": target.name, "key": name} for target, name, point_id in doomed]
    result = {"kept": plan.kept, "removed": removed, "last_proven": plan.proven, "last_proven_at": there}
    return {"changed": bool(doomed), "retention": result, "diff": diff.as_result(f"snapshots of {params['asset']} in {params['environment']}")}


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
