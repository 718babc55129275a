#!/usr/bin/python
# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: truenas_replication_verify
short_description: Prove that replicas on a second TrueNAS system can be relied on
version_added: 0.1.0
description:
  - Compares the snapshots of source and target by guid, for the pairs that are named or for the replications of a system.
  - "What it promises: V(verified) means that, when it was read, the newest snapshot that both sides have by guid was not older than
    O(max_age), the target had no hole, no newer snapshot of its own and no way to get changes of its own, and the replication was
    enabled, not on hold, and had ended without error and warnings. Anything else fails, each with a reason of a fixed list."
  - TrueNAS itself raises an alert only for an enabled replication whose last run failed. One that is disabled, on hold, never ran,
    or ran without anything to send, is silent there.
  - It compares guids, not files. What is in the files is proven by M(resilient.platform.truenas_restore_test).
  - The systems are only read. Two calls to log in, and at most three more for each of them, however many pairs there are, as long as
    their snapshots are not more than the server returns at once (10,000) and their names fit into a request (64 KiB).
author:
  - resilient.platform contributors (@resilient-platform)
extends_documentation_fragment:
  - resilient.platform._truenas
  - resilient.platform._truenas.peer
  - resilient.platform._attributes
  - resilient.platform._attributes.info_module
  - resilient.platform._attributes.actiongroup_truenas
options:
  peer:
    description:
      - The API of the second system, which holds the targets (of a replication that pulls, the sources).
      - Not needed where all is on one system.
  pairs:
    description:
      - What to compare, source on the system of O(api_host) and target on that of O(peer). Replications are not looked at then.
      - If not set, the replications of the system of O(api_host) say what to compare.
    type: list
    elements: dict
    suboptions:
      source:
        description: Dataset on the first system.
        type: str
        required: true
      target:
        description: Dataset on the second one.
        type: str
        required: true
      max_age:
        description: As O(max_age), for this pair.
        type: int
      naming_schema:
        description: Only snapshots with names of these schemas have to be on the target.
        type: list
        elements: str
      name_regex:
        description: Only snapshots whose whole name matches have to be on the target.
        type: str
      recursive:
        description: Whether everything below O(pairs[].source) is compared too.
        type: bool
        default: false
      exclude:
        description: Datasets below O(pairs[].source) that are left out, with all below them.
        type: list
        elements: str
        default: []
      readonly:
        description: Whether a target that is not read-only is a failure.
        type: bool
        default: true
  replications:
    description: Names of the replications to verify; all of the system if not set. One that does not exist is a failure.
    type: list
    elements: str
  max_age:
    description: Seconds that the newest snapshot on both sides may be old. It is the recovery point objective.
    type: int
    default: 86400
  gaps:
    description:
      - Whether it is a failure that the target lacks snapshots between the oldest and the newest common one.
      - Replications that leave snapshots out by their time (C(only_matching_schedule), C(restrict_schedule), C(lifetimes)) are not judged by this.
    type: bool
    default: true
  json_path:
    description: File on the host where the module runs to write the report to. Not written in check mode.
    type: path
  metrics_path:
    description: File for the textfile collector of Prometheus' node exporter. Not written in check mode.
    type: path
  fail:
    description: Whether the task fails unless everything is verified.
    type: bool
    default: true
notes:
  - Ages are those of the snapshots' creation, by the clock of the system that took them, against the clock of the host where the module runs.
  - The account needs the roles REPLICATION_TASK_READ, DATASET_READ and SNAPSHOT_READ on both systems.
seealso:
  - module: resilient.platform.truenas_replication
  - module: resilient.platform.truenas_restore_test
"""

EXAMPLES = r"""
- name: Verify all replications, and tell Prometheus
  resilient.platform.truenas_replication_verify:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    peer:
      api_host: nas2.example.org
      api_username: automation
      api_key: "{{ nas2_api_key }}"
    max_age: 3600
    metrics_path: /var/lib/prometheus/node-exporter/truenas_replicas.prom

- name: Compare two datasets and decide in the play
  resilient.platform.truenas_replication_verify:
    api_host: nas1.example.org
    api_username: automation
    api_key: "{{ nas1_api_key }}"
    peer:
      api_host: nas2.example.org
      api_username: automation
      api_key: "{{ nas2_api_key }}"
    pairs:
      - source: tank/apps
        target: backup/apps
        recursive: true
    fail: false
  register: replicas
"""

RETURN = r"""
verdict:
  description: V(verified) if every pair is, and there is at least one; V(failed) otherwise.
  returned: always
  type: str
  sample: failed
time:
  description: When it was judged, in seconds since 1970.
  returned: always
  type: float
system:
  description: The system of O(api_host).
  returned: always
  type: str
  sample: nas1.example.org:443
pairs:
  description: Each pair of datasets; those below a recursive one are pairs of their own.
  returned: always
  type: list
  elements: dict
  contains:
    source:
      description: Source dataset.
      type: str
    target:
      description: Target dataset.
      type: str
    replication:
      description: Name of the replication, null for O(pairs).
      type: str
    newest_common:
      description: The newest snapshot that both have by guid, null if there is none; C(name), C(guid), C(createtxg), C(target_createtxg), C(creation).
      type: dict
    age_seconds:
      description: Age of the newest snapshot of the source (that the replication would send).
      type: int
    rpo_seconds:
      description: Age of the newest common snapshot. What was written since would be lost with the source.
      type: int
    max_age:
      description: What C(rpo_seconds) was held against.
      type: int
    missing:
      description: Names of the newest 20 snapshots that the target lacks, those that are still on their way included.
      type: list
      elements: str
    missing_count:
      description: How many it lacks.
      type: int
    pending_count:
      description: How many of these are newer than the newest common one, so that the next run sends them.
      type: int
    verdict:
      description: V(verified) or V(failed).
      type: str
    reasons:
      description:
        - Why it failed, C(reason) and C(detail).
        - C(reason) is one of V(source_unreachable), V(target_unreachable), V(source_missing), V(target_missing), V(no_source_snapshots),
          V(schema_mismatch), V(source_stale), V(target_empty), V(no_common_snapshot), V(guid_mismatch), V(target_diverged), V(target_writable),
          V(gap), V(too_old), V(clock), V(task_missing), V(task_disabled), V(task_hold), V(task_pending), V(task_stuck), V(task_failed),
          V(task_warnings), V(last_snapshot_gone).
      type: list
      elements: dict
  sample:
    - source: tank/apps
      target: backup/apps
      replication: apps to nas2
      newest_common: {name: auto-2026-11-21_05-00, guid: "5488368625827383818", createtxg: 4711, target_createtxg: 815, creation: "2026-11-21T05:00:00Z"}
      age_seconds: 620
      rpo_seconds: 4220
      max_age: 3600
      missing: [auto-2026-11-21_06-00]
      missing_count: 1
      pending_count: 1
      verdict: failed
      reasons:
        - {reason: task_disabled, detail: apps to nas2 is disabled}
        - {reason: too_old, detail: "the newest common snapshot, auto-2026-11-21_05-00, is 4220 s old, allowed are 3600"}
calls:
  description: Calls to each system, those to log in included.
  returned: always
  type: dict
  sample: {first: 5, peer: 4}
"""

import re
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._argspec import ArgumentSpec
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import verify, verify_read, verify_report
from ansible_collections.resilient.platform.plugins.module_utils._truenas.argspec import api_spec, client_from, peer_spec, settings_from
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient


def argument_spec() -> ArgumentSpec:
    """Return the options."""
    pair: dict[str, t.Any] = {
        "source": {"type": "str", "required": True},
        "target": {"type": "str", "required": True},
        "max_age": {"type": "int"},
        "naming_schema": {"type": "list", "elements": "str"},
        "name_regex": {"type": "str"},
        "recursive": {"type": "bool", "default": False},
        "exclude": {"type": "list", "elements": "str", "default": []},
        "readonly": {"type": "bool", "default": True},
    }
    options: dict[str, t.Any] = {
        "peer": peer_spec(),
        "pairs": {"type": "list", "elements": "dict", "options": pair, "mutually_exclusive": [("naming_schema", "name_regex")]},
        "replications": {"type": "list", "elements": "str"},
        "max_age": {"type": "int", "default": 86400},
        "gaps": {"type": "bool", "default": True},
        "json_path": {"type": "path"},
        "metrics_path": {"type": "path"},
        "fail": {"type": "bool", "default": True},
    }
    return ArgumentSpec(options, mutually_exclusive=[("pairs", "replications")]).merge(api_spec())


def check(params: t.Mapping[str, t.Any]) -> None:
    """Refuse what can't be judged.

    Raises:
        Refused: an age that is none, an expression that is none.
    """
    for one in [params, *(params["pairs"] or [])]:
        if one["max_age"] is not None and one["max_age"] < 1:
            raise Refused(f"max_age is {one['max_age']}; it must be at least 1 second.")
        if one.get("name_regex") is not None:
            try:
                re.compile(one["name_regex"])
            except re.error as exc:
                raise Refused(f"name_regex {one['name_regex']!r} of {one['source']} is no regular expression: {exc}.") from exc


def wanted_from(params: t.Mapping[str, t.Any], client: TrueNasClient) -> tuple[list[verify_read.Wanted], list[str]]:
    """Return what is to be compared, and the replications that were asked for and do not exist."""
    if params["pairs"] is not None:
        return verify_read.from_pairs(params["pairs"], params), []
    names = params["replications"]
    entries = client.query("replication", [] if names is None else [["name", "in", names]])
    found = {entry["name"] for entry in entries}
    return verify_read.from_tasks(entries, params), [name for name in names or [] if name not in found]


def absent(name: str, max_age: int) -> dict[str, t.Any]:
    """Return the entry of a replication that does not exist."""
    head = {"source": None, "target": None, "replication": name, "max_age": max_age, "newest_common": None, "age_seconds": None, "rpo_seconds": None}
    reason = {"reason": "task_missing", "detail": f"there is no replication {name}"}
    return {**head, "missing": [], "missing_count": 0, "pending_count": 0, "verdict": "failed", "reasons": [reason]}


def told(report: t.Mapping[str, t.Any]) -> str:
    """Return what to say about a report that failed."""
    bad = [one for one in report["pairs"] if one["reasons"]]
    if not bad:
        return f"Nothing was verified: {report['system']} has no replication, and no pairs were given."
    reasons = [(one, "; ".join(f"{why['reason']} ({why['detail']})" for why in one["reasons"])) for one in bad[:10]]
    lines = [f"{one['source'] or one['replication']} -> {one['target'] or '?'}: {text}" for one, text in reasons]
    more = f" And {len(bad) - 10} more." if len(bad) > 10 else ""
    return f"{len(bad)} of {len(report['pairs'])} replicas can't be relied on. {' | '.join(lines)}{more}"


def report_of(params: t.Mapping[str, t.Any], client: TrueNasClient, peer: TrueNasClient | None) -> dict[str, t.Any]:
    """Read both systems and judge."""
    wanted, lost = wanted_from(params, client)
    sides = verify_read.collect(wanted, verify_read.Reader(client), verify_read.Reader(peer))
    now = time.time()
    pairs = [verify.judge(pair, source, target, now) for pair, source, target in sides]
    pairs += [absent(name, params["max_age"]) for name in lost]
    good = bool(pairs) and all(one["verdict"] == "verified" for one in pairs)
    calls = {"first": client.calls, "peer": peer.calls if peer else 0}
    return {"verdict": "verified" if good else "failed", "time": now, "system": client.settings.address, "pairs": pairs, "calls": calls}


def main() -> None:
    module = argument_spec().create_module()
    params = module.params
    peer = client_from(params["peer"]) if params["peer"] else None
    try:
        check(params)
        with client_from(params) as client:
            report = report_of(params, client, peer)
        for path, content in ((params["json_path"], verify_report.document), (params["metrics_path"], verify_report.metrics)):
            if path and not module.check_mode:
                verify_report.write(path, content(report))
    except PlatformError as exc:
        if params["metrics_path"] and not module.check_mode and not isinstance(exc, Refused):
            # An old file that says "verified" would be worse than none.
            nothing = {"verdict": "failed", "time": time.time(), "system": settings_from(params).address, "pairs": []}
            verify_report.write(params["metrics_path"], verify_report.metrics(nothing))
        exc.fail(module)
    finally:
        if peer is not None:
            peer.close()
    if report["verdict"] != "verified" and params["fail"]:
        module.fail_json(msg=told(report), changed=False, **report)
    module.exit_json(changed=False, **report)


if __name__ == "__main__":
    main()
