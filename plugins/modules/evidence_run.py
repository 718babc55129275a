#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: evidence_run
short_description: Begin, resume and finish a run whose evidence is kept
version_added: 0.1.0
description:
  - A run has a directory O(evidence_dir)C(/<run id>) with an append-only log of JSON lines, each chained to the one before by SHA-256.
  - With O(state=started) the newest run of this environment and operation is resumed unless it is finished; otherwise a new one begins.
    If the controller has no run and a destination holds the log of an unfinished one, that one is resumed.
  - Refuses while another live C(ansible-playbook) works on the same run.
  - With O(state=finished) the log is closed, the reports are written, and a DSSE envelope with an in-toto test-result about all of them is signed.
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
    details: Says which run it would be, and writes nothing.
  diff_mode:
    support: none
    details: A run is a record, not a state that can be compared.
  idempotent:
    support: partial
    details: Starting resumes an unfinished run and records that; finishing a finished run changes nothing.
options:
  state:
    description: Whether to begin (or resume) a run or to finish it.
    type: str
    choices: [started, finished]
    default: started
  evidence_dir:
    description: Directory of all runs on the controller. It is created.
    type: path
    required: true
  environment:
    description: Name of the platform.
    type: str
    required: true
  operation:
    description: What is done, such as V(dr_drill), V(dr_rebuild) or V(backup).
    type: str
    required: true
  run_id:
    description: This run and no other. Without it, the newest unfinished run or a new name.
    type: str
  signing_key:
    description:
      - PEM file of the Ed25519 key that signs the result. Required with O(state=finished).
      - With O(state=started) it is only looked at, so that a run does not find out at its end that it cannot be signed.
    type: path
  objectives:
    description:
      - 'Targets by asset, such as C({vault: {rto_seconds: 600, rpo_seconds: 300}}); the asset V(platform) stands for the whole.'
    type: dict
    default: {}
  required_checks:
    description:
      - The plan, what must pass for the verdict V(verified). A plan without a check on data is refused.
      - On a resumed run the plan can grow and not shrink.
    type: list
    elements: dict
    default: []
    suboptions:
      check:
        description: Name of the check.
        type: str
        required: true
      step:
        description: Its step; any if it is not given.
        type: str
      asset:
        description: Its asset; any if it is not given.
        type: str
      data:
        description: Whether it must prove something about data.
        type: bool
        default: false
seealso:
  - module: resilient.platform.evidence_record
  - module: resilient.platform.evidence_report
  - module: resilient.platform.evidence_verify
"""

EXAMPLES = r"""
- name: Begin or resume a drill
  resilient.platform.evidence_run:
    evidence_dir: /var/lib/platform/evidence
    environment: production
    operation: dr_drill
    signing_key: /etc/platform/signing.pem
    required_checks:
      - {check: canary, asset: vault, data: true}
  register: drill

- name: Finish it
  resilient.platform.evidence_run:
    state: finished
    evidence_dir: /var/lib/platform/evidence
    environment: production
    operation: dr_drill
    run_id: "{{ drill.run.id }}"
    signing_key: /etc/platform/signing.pem
    objectives:
      platform: {rto_seconds: 3600, rpo_seconds: 900}
"""

RETURN = r"""
run:
  description: The run.
  returned: success
  type: dict
  contains:
    id:
      description: Its name; null in check mode if a new one would begin.
      type: str
    dir:
      description: Its directory.
      type: str
    resumed:
      description: Whether it was there before.
      type: bool
    steps_done:
      description: Steps that are finished.
      type: list
      elements: str
    facts:
      description: Facts of all its records, merged.
      type: dict
    finished:
      description: Whether it is finished and signed.
      type: bool
    records:
      description: Number of records.
      type: int
    source:
      description: The destination that the log was fetched from; null if the controller had it.
      type: str
report:
  description: See M(resilient.platform.evidence_report).
  returned: with O(state=finished)
  type: dict
pushed:
  description: Destinations that now hold the run's files.
  returned: when O(destinations) are given and it is not check mode
  type: list
  elements: dict
"""

import getpass
import os
import platform
import socket
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import assess, destinations, lock, records, report, run, signing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.argspec import destinations_spec, run_module

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

_CHECK = {"check": {"type": "str", "required": True}, "step": {"type": "str"}, "asset": {"type": "str"}, "data": {"type": "bool", "default": False}}


def argument_spec() -> ArgumentSpec:
    return ArgumentSpec(
        {
            "state": {"type": "str", "choices": ["started", "finished"], "default": "started"},
            "evidence_dir": {"type": "path", "required": True},
            "environment": {"type": "str", "required": True},
            "operation": {"type": "str", "required": True},
            "run_id": {"type": "str"},
            "signing_key": {"type": "path", "no_log": False},
            "objectives": {"type": "dict", "default": {}},
            "required_checks": {"type": "list", "elements": "dict", "default": [], "options": _CHECK},
        },
        required_if=[("state", "finished", ("signing_key",))],
    ).merge(destinations_spec())


def controller(module: AnsibleModule) -> dict[str, t.Any]:
    """Return who runs this and with what, for the first record."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # a user id without a name, as in a container
    return {
        "hostname": socket.gethostname(),
        "user": user,
        "ansible": module.ansible_version,
        "python": platform.python_version(),
        "awx_job": os.environ.get("JOB_ID") or None,
    }


def start(module: AnsibleModule, wanted: run.Wanted, targets: t.Sequence[destinations.Destination]) -> dict[str, t.Any]:
    if module.check_mode:
        decision = run.decide(wanted, targets)
        if decision.run is not None:
            return {"changed": not decision.run.finished, "run": decision.run.as_result()}
        empty = run.Run("", "").as_result()
        if decision.remote is not None:
            name, destination = decision.remote
            return {"changed": True, "run": {**empty, "id": name, "dir": os.path.join(wanted.evidence_dir, name), "resumed": True, "source": destination.name}}
        return {"changed": True, "run": {**empty, "id": wanted.run_id, "dir": None}}
    begun, problems = run.begin(wanted, targets)
    for problem in problems:
        module.warn(f"Cannot look for an unfinished run at {problem}")
    return {"changed": not begun.finished, "run": begun.as_result(), **push(module, begun.dir, targets)}


def push(module: AnsibleModule, run_dir: str, targets: t.Sequence[destinations.Destination]) -> dict[str, t.Any]:
    """Push the run; a destination that is down is a warning."""
    if not targets:
        return {}
    pushed, problems = run.push(run_dir, targets)
    for problem in problems:
        module.warn(f"The evidence was not pushed to {problem}")
    return {"pushed": pushed}


def finish(module: AnsibleModule, wanted: run.Wanted, targets: t.Sequence[destinations.Destination]) -> dict[str, t.Any]:
    objectives = assess.validate_objectives(module.params["objectives"])
    if not module.params["signing_key"]:
        raise Refused("A run cannot be finished without a signing_key.", hint="Give signing_key.")
    key = signing.load_private_key(module.params["signing_key"])
    runs = run.local_runs(wanted)
    found = next((item for item in runs if item.id == wanted.run_id), None) if wanted.run_id else runs[-1] if runs else None
    if found is None:
        raise Refused(
            f"There is no run {wanted.run_id or ''} of {wanted.operation} of {wanted.environment} in {wanted.evidence_dir} to finish.".replace("  ", " "),
            hint="Begin one with state: started.",
        )
    if found.finished or module.check_mode:
        judged = report.build(found.records, "", objectives)
        return {"changed": not found.finished, "run": found.as_result(), "report": report.summary(judged, found.dir)}
    lock.check(found.dir)
    found.records = run.close(found.dir)
    written, files = report.compose(found.dir, objectives, key)
    report.write(found.dir, files)
    pushed = push(module, found.dir, targets)
    lock.release(found.dir)
    return {"changed": True, "run": found.as_result(), "report": report.summary(written, found.dir), **pushed}


def work(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    checks = [{key: value for key, value in check.items() if value is not None} for check in params["required_checks"]]
    wanted = run.Wanted(params["evidence_dir"], params["environment"], params["operation"], params["run_id"], checks, {"controller": controller(module)})
    run.validate(wanted)
    targets = destinations.build_all(params["destinations"])
    if params["state"] == "finished":
        return finish(module, wanted, targets)
    if params["signing_key"]:
        signing.load_private_key(params["signing_key"])
    records.check_entry(records.Entry("run", "run_started", "info", facts=wanted.facts))
    return start(module, wanted, targets)


def main() -> t.NoReturn:
    run_module(argument_spec(), work)


if __name__ == "__main__":
    main()
