#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_verify
short_description: Verify the evidence of a finished run
version_added: 0.1.0
description:
  - Checks the signature, the digest of every signed file, each record of the chain, and that the report does not contradict the log.
  - Reads only, and shares no code with what writes evidence. The same verifier runs without Ansible, see the module's notes.
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_evidence
  - resilient.platform._evidence
options:
  run_dir:
    description: Directory of the run, or a copy of it from a backup destination.
    type: path
    required: true
    aliases: [path]
  public_key:
    description: PEM file (PKIX) with the public half of the signing key. Take it from where you trust it, not from beside the evidence.
    type: path
    required: true
  fail_on:
    description: Whether the task fails if the verdict is not V(valid).
    type: str
    choices: [not_valid, never]
    default: not_valid
notes:
  - Without Ansible, C(python3 plugins/module_utils/_evidence/verify.py RUN_DIR --public-key KEY) needs the Python package cryptography only;
    its exit status is 0 for valid, 1 for invalid, 2 for could not verify.
requirements:
  - cryptography
"""

EXAMPLES = r"""
- name: Verify
  resilient.platform.evidence_verify:
    run_dir: /var/lib/platform/evidence/production-dr_drill-20261121T054500Z-1f2e
    public_key: /etc/platform/signing.pub.pem
"""

RETURN = r"""
verdict:
  description: V(valid), V(invalid) or V(could_not_verify).
  returned: always
  type: str
checks:
  description: Each check with its outcome, and what was expected and seen.
  returned: always
  type: list
  elements: dict
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import run_module
from ansible_collections.resilient.platform.plugins.module_utils._evidence.verify import verify

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


class EvidenceNotValid(PlatformError):
    """The evidence was changed, is incomplete, or cannot be judged."""


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "run_dir": {"type": "path", "required": True, "aliases": ["path"]},
            "public_key": {"type": "path", "required": True, "no_log": False},
            "fail_on": {"type": "str", "choices": ["not_valid", "never"], "default": "not_valid"},
        }
    )


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    verdict, checks = verify(params["run_dir"], params["public_key"])
    result: dict[str, t.Any] = {"changed": False, "verdict": verdict, "checks": checks}
    if verdict != "valid" and params["fail_on"] == "not_valid":
        reasons = "; ".join(f"{check['name']}: {check['actual']}" for check in checks if check["outcome"] != "passed")
        hint = "Do not rely on it; compare with the copy at a backup destination." if verdict == "invalid" else "Give what is missing and verify again."
        EvidenceNotValid(
            f"The evidence in {params['run_dir']} is {verdict.replace('_', ' ')}: {reasons}.".replace("is could not verify", "could not be verified"), hint=hint
        ).fail(module, **result)
    return result


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
