#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_report
short_description: Write the reports of a run from its evidence
version_added: 0.1.0
description:
  - Makes C(report.json), C(report.html) (one file, no network), C(junit.xml) and C(metrics.prom) from the records of a run and from nothing else.
  - The verdict has three values. V(failed) if a required check failed or an objective was missed, V(could_not_verify) if a required check
    did not run or nothing about data was checked, V(verified) otherwise.
  - If the run is finished and a O(signing_key) is given, the envelope with the signature is written too.
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
    details: Judges the run and writes nothing.
  diff_mode:
    support: none
    details: Reports are made from the log, which is the thing to look at.
  idempotent:
    support: full
    details: The same log gives the same files.
options:
  run_dir:
    description: Directory of the run.
    type: path
    required: true
  signing_key:
    description: PEM file of the Ed25519 key that signs the result of a finished run.
    type: path
  objectives:
    description:
      - 'Targets by asset, such as C({vault: {rto_seconds: 600, rpo_seconds: 300}}); the asset V(platform) stands for the whole.'
    type: dict
    default: {}
  fail_on:
    description: Whether the task fails on a verdict other than V(verified), after the reports were written.
    type: str
    choices: [never, failed, not_verified]
    default: never
seealso:
  - module: resilient.platform.evidence_verify
"""

EXAMPLES = r"""
- name: Report
  resilient.platform.evidence_report:
    run_dir: "{{ drill.run.dir }}"
    signing_key: /etc/platform/signing.pem
    objectives:
      platform: {rto_seconds: 3600, rpo_seconds: 900}
      vault: {rto_seconds: 1800, rpo_seconds: 300}
"""

RETURN = r"""
report:
  description: What the report says.
  returned: success
  type: dict
  contains:
    verdict:
      description: V(verified), V(failed) or V(could_not_verify).
      type: str
    reasons:
      description: What speaks against the verdict V(verified).
      type: list
      elements: str
    rto_seconds:
      description: From the disaster to the last required check that became green; null if there is no end.
      type: float
    rpo_seconds:
      description: From the newest recovered canary to the disaster, of the store that lost most.
      type: float
    assets:
      description: RTO and RPO by asset, with targets.
      type: list
      elements: dict
    path:
      description: Path of report.html.
      type: str
"""

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._evidence import assess, destinations, report, run, signing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import destinations_spec, run_module

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


class NotVerified(PlatformError):
    """The run is not verified, and the caller asked for a failure then."""


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "run_dir": {"type": "path", "required": True},
            "signing_key": {"type": "path", "no_log": False},
            "objectives": {"type": "dict", "default": {}},
            "fail_on": {"type": "str", "choices": ["never", "failed", "not_verified"], "default": "never"},
        }
    ).merge(destinations_spec())


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    objectives = assess.validate_objectives(params["objectives"])
    key = signing.load_private_key(params["signing_key"]) if params["signing_key"] else None
    targets = destinations.build_all(params["destinations"])
    written, files = report.compose(params["run_dir"], objectives, key)
    result: dict[str, t.Any] = {"report": report.summary(written, params["run_dir"])}
    if module.check_mode:
        result["changed"] = bool(report.other_than(params["run_dir"], files))
    else:
        result["changed"] = report.write(params["run_dir"], files)
        if targets:
            result["pushed"], problems = run.push(params["run_dir"], targets)
            for problem in problems:
                module.warn(f"The evidence was not pushed to {problem}")
    verdict = result["report"]["verdict"]
    if (params["fail_on"] == "not_verified" and verdict != "verified") or (params["fail_on"] == "failed" and verdict == "failed"):
        NotVerified(f"The verdict of the run is {verdict}: {'; '.join(result['report']['reasons'])}.", hint=f"See {result['report']['path']}.").fail(
            module, **result
        )
    return result


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
