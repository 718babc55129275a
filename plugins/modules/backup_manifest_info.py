#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: backup_manifest_info
short_description: Find the newest manifest at the destinations
version_added: 0.1.0
description:
  - Reads the manifests at the destinations, checks the signature of the newest and that it follows the one before, and returns it.
  - An older manifest is never taken because the newest cannot be trusted; the module fails and says which one it is. If another destination
    holds the same manifest intact, or a newer one, that is a warning and the good one is returned.
  - A destination that cannot be asked is a warning as long as another one answers.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_evidence
  - resilient.platform._evidence
  - resilient.platform._evidence.destinations
options:
  environment:
    description: Name of the platform.
    type: str
    required: true
  public_key:
    description: PEM file (PKIX) with the public half of the signing key.
    type: path
    required: true
  sequence:
    description: This manifest instead of the newest.
    type: int
seealso:
  - module: resilient.platform.backup_manifest
"""

EXAMPLES = r"""
- name: Find what can be restored
  resilient.platform.backup_manifest_info:
    environment: production
    destinations: "{{ platform_backup_destinations }}"
    public_key: /etc/platform/signing.pub.pem
  register: newest
"""

RETURN = r"""
exists:
  description: Whether there is a manifest.
  returned: success
  type: bool
manifest:
  description: The manifest; null if there is none.
  returned: success
  type: dict
  contains:
    sequence:
      description: Its number.
      type: int
    created_at:
      description: When it was made.
      type: str
    recovery_points:
      description: What was backed up.
      type: list
      elements: dict
    sha256:
      description: Its SHA-256.
      type: str
    source:
      description: Name of the destination that it was read from.
      type: str
    location:
      description: Where it lies there.
      type: str
found_at:
  description: Names of the destinations that hold it.
  returned: success
  type: list
  elements: str
unreachable:
  description: What went wrong at destinations that could not be asked, by name.
  returned: success
  type: dict
untrusted:
  description: What is wrong with the manifest at destinations whose copy cannot be trusted while another one's can, by name.
  returned: success
  type: dict
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations, manifest, signing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import destinations_spec, run_module

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "environment": {"type": "str", "required": True},
            "public_key": {"type": "path", "required": True, "no_log": False},
            "sequence": {"type": "int"},
        }
    ).merge(destinations_spec())


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    environment = params["environment"]
    destinations.check_key(manifest.key_for(environment, 1))
    key = signing.load_public_key(params["public_key"])
    targets = destinations.build_all(params["destinations"])
    if not targets:
        raise Refused("Manifests are read at destinations, and there are none.", hint="Give destinations.")
    if params["sequence"] is None:
        chain = manifest.find_newest(targets, environment, key, need_all=False)
    else:
        chain = manifest.find_one(targets, environment, params["sequence"], key)
        if chain.newest is None and not chain.unreachable:
            raise NotFound(f"No destination holds the manifest {params['sequence']} of {environment}.", hint="Leave sequence out for the newest.")
    for name, problem in chain.unreachable.items():
        module.warn(f"The destination {name} was not asked for manifests: {problem}")
    for name, problem in chain.untrusted.items():
        module.warn(f"The manifest at the destination {name} was not used, {', '.join(chain.at)} has it intact: {problem}")
    return {
        "changed": False,
        "exists": chain.newest is not None,
        "manifest": chain.newest.as_result() if chain.newest else None,
        "found_at": chain.at,
        "unreachable": chain.unreachable,
        "untrusted": chain.untrusted,
    }


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
