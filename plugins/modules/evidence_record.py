#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_record
short_description: Add records to the evidence of a run
version_added: 0.1.0
description:
  - Appends to the hash-chained log of a run and flushes it to the disk before it returns.
  - A last line that was torn by a kill is cut off first, and a record says so.
  - Refuses facts that look like secrets, because evidence is kept and handed on.
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
    details: Checks the record and writes nothing.
  diff_mode:
    support: none
    details: A record is always new.
  idempotent:
    support: none
    details: Every call adds a record; that is its purpose.
options:
  run_dir:
    description: Directory of the run.
    type: path
    required: true
  step:
    description: Part of the run, such as V(backup).
    type: str
    required: true
  check:
    description:
      - What was looked at. V(step_started) and V(step_finished) keep the books; V(step_finished) with O(outcome=passed) puts the step into C(steps_done).
    type: str
    required: true
  outcome:
    description: What came out. V(info) is no check; a required check that is V(skipped) makes the verdict V(could_not_verify).
    type: str
    choices: [passed, failed, skipped, info]
    required: true
  asset:
    description: What it is about, such as V(vault).
    type: str
  required:
    description: Whether the verdict depends on it. What cannot apply here (and says why in O(actual)) is not required.
    type: bool
    default: true
  data:
    description: Whether it proves something about data. A run without a passed check on data is never V(verified).
    type: bool
    default: false
  expected:
    description: What should have been seen.
    type: raw
  actual:
    description: What was seen; of a skipped check, why.
    type: raw
  duration_seconds:
    description: How long it took.
    type: float
  facts:
    description:
      - What later steps and the report need; the facts of all records are merged.
      - The report knows C(disaster) (with C(declared_at), C(boottime_seconds) and C(boot_id); an empty one is filled in), C(recovery_points),
        C(canaries), C(hardening) (by host, with C(before) and C(after)), C(not_applicable) (by host, a list of C(control) and C(reason)) and
        C(not_tested) (a list of texts).
    type: dict
    default: {}
seealso:
  - module: resilient.platform.evidence_run
"""

EXAMPLES = r"""
- name: Say that the backup was read back
  resilient.platform.evidence_record:
    run_dir: "{{ drill.run.dir }}"
    step: backup
    check: read_back
    asset: vault
    outcome: passed
    data: true
    expected: "{{ snapshot.sha256 }}"
    actual: "{{ copy.read_back_sha256 }}"

- name: Declare the disaster
  resilient.platform.evidence_record:
    run_dir: "{{ drill.run.dir }}"
    step: disaster
    check: declared
    outcome: info
    facts:
      disaster: {}  # declared_at, boottime_seconds and boot_id are filled in
"""

RETURN = r"""
record:
  description: The record; in check mode without number, time and digests.
  returned: success
  type: dict
  contains:
    sequence:
      description: Its number.
      type: int
    digest:
      description: Its SHA-256, which the next one names.
      type: str
pushed:
  description: Destinations that now hold the log.
  returned: when O(destinations) are given and it is not check mode
  type: list
  elements: dict
"""

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations, records, run
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import destinations_spec, run_module
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import normalise, parse_time, utc_now

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "run_dir": {"type": "path", "required": True},
            "step": {"type": "str", "required": True},
            "check": {"type": "str", "required": True},
            "outcome": {"type": "str", "choices": ["passed", "failed", "skipped", "info"], "required": True},
            "asset": {"type": "str"},
            "required": {"type": "bool", "default": True},
            "data": {"type": "bool", "default": False},
            "expected": {"type": "raw"},
            "actual": {"type": "raw"},
            "duration_seconds": {"type": "float"},
            "facts": {"type": "dict", "default": {}},
        }
    ).merge(destinations_spec())


def complete_facts(facts: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return *facts* with the clocks of a disaster that is being declared now."""
    if "disaster" not in facts:
        return facts
    disaster = dict(facts["disaster"] or {})
    if not disaster.get("declared_at"):
        disaster = {**disaster, "declared_at": utc_now(), **records.read_clock()}
    parse_time(disaster["declared_at"])
    return {**facts, "disaster": disaster}


def entry_from(params: t.Mapping[str, t.Any]) -> records.Entry:
    names = {field.name for field in dataclasses.fields(records.Entry)}
    values = {name: value for name, value in params.items() if name in names}
    return records.Entry(**{**values, "asset": params["asset"] or None, "facts": complete_facts(params["facts"])})


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    entry = entry_from(params)
    targets = destinations.build_all(params["destinations"])
    records.check_entry(entry)
    log = records.read_log(params["run_dir"])
    if not log:
        raise Refused(f"The log in {params['run_dir']} is empty.", hint="Begin a run with evidence_run.")
    if run.is_closed(log):
        raise Refused(f"Cannot add to the run {log[0]['run']}: it is finished.", hint="Begin a new run.")
    if module.check_mode:
        return {"changed": True, "record": normalise(dataclasses.asdict(entry))}
    record = records.append(params["run_dir"], log[0]["run"], [entry])[-1]
    result: dict[str, t.Any] = {"changed": True, "record": record}
    if targets:
        result["pushed"], problems = run.push(params["run_dir"], targets)
        for problem in problems:
            module.warn(f"The evidence was not pushed to {problem}")
    return result


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
