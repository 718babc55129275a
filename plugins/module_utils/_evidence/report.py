# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The report of a run, as data; ``report.json`` is this, and the other formats are made from it."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import records, render_html, render_junit, render_metrics, run, signing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.assess import Assessment, Objectives, age_seconds, assess, plan_of
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canary_read import skew_seconds
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, pretty, sha256_file, sha256_hex, write_atomically

if t.TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SCHEMA = "resilient.platform/report"
VERSION = 1
REPORT_NAME = "report.json"
_HISTORY = 10
Report = dict[str, t.Any]


def _check(record: records.Record) -> dict[str, t.Any]:
    names = ("sequence", "time", "step", "asset", "check", "outcome", "required", "data", "expected", "actual", "duration_seconds")
    return {name: record[name] for name in names}


def _points(facts: t.Mapping[str, t.Any], at: str) -> list[dict[str, t.Any]]:
    points = facts.get("recovery_points") or (facts.get("manifest") or {}).get("recovery_points") or []
    return [{**point, "age_seconds": age_seconds(point, at)} for point in points]


def _not_applicable(facts: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    rows: list[dict[str, t.Any]] = []
    for host, items in sorted((facts.get("not_applicable") or {}).items()):
        rows += [{"host": host, "control": str(item.get("control", "")), "reason": str(item.get("reason", ""))} for item in items or []]
    return rows


def _canaries(facts: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    return [{"store": store, **found} for store, found in sorted(facts.get("canaries", {}).items())]


def _attempts(log: t.Sequence[records.Record], judged: Assessment) -> list[dict[str, t.Any]]:
    """Return earlier outcomes of checks that were made again, when they were not green."""
    newest = {check["sequence"] for check in judged.checks}
    return [_check(record) for record in log if record["outcome"] == "failed" and record["sequence"] not in newest]


def build(log: t.Sequence[records.Record], log_sha256: str, objectives: Objectives, history: t.Sequence[dict[str, t.Any]] = ()) -> Report:
    """Return the report of the run with the records *log*.

    Args:
        log: All records, without gap.
        log_sha256: Digest of the log file.
        objectives: Targets by asset.
        history: Verdict, RTO and RPO of earlier runs of the same environment and operation, oldest first.
    """
    judged = assess(log, objectives)
    facts, about = judged.facts, judged.facts.get("run", {})
    disaster = facts.get("disaster") or None
    return {
        "schema": SCHEMA,
        "version": VERSION,
        "run": {
            "id": log[0]["run"],
            "environment": about.get("environment"),
            "operation": about.get("operation"),
            "started_at": log[0]["time"],
            "ended_at": log[-1]["time"],
            "finished": run.is_closed(log),
            "resumed": sum(record["check"] == "run_resumed" for record in log),
            "previous": about.get("previous"),
            "controller": facts.get("controller"),
        },
        "verdict": judged.verdict,
        "reasons": judged.reasons,
        "disaster": disaster,
        "clock": judged.clock,
        "rto_seconds": judged.rto_seconds,
        "rpo_seconds": judged.rpo_seconds,
        "assets": judged.assets,
        "phases": judged.phases,
        "recovery_points": _points(facts, disaster["declared_at"] if disaster else log[-1]["time"]),
        "canaries": _canaries(facts),
        "canary_skew_seconds": skew_seconds(facts.get("canaries", {})),
        "checks": [_check(record) for record in judged.checks],
        "earlier_failures": _attempts(log, judged),
        "hardening": facts.get("hardening") or {},
        "not_applicable": _not_applicable(facts),
        "skipped": [_check(record) for record in judged.checks if record["outcome"] == "skipped"],
        "not_tested": list(facts.get("not_tested") or []),
        "required_checks": plan_of(facts),
        "history": list(history),
        "evidence": {"file": records.LOG_NAME, "sha256": log_sha256, "records": len(log), "head": log[-1]["digest"]},
    }


def history_of(run_dir: str, about: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return verdict, RTO and RPO of the newest finished runs of the same kind beside *run_dir*, oldest first."""
    rows: list[dict[str, t.Any]] = []
    parent, own = os.path.split(os.path.abspath(run_dir))
    for name in sorted(os.listdir(parent)):
        path = os.path.join(parent, name, REPORT_NAME)
        if name == own or not os.path.isfile(path):
            continue
        try:
            with open(path, encoding="utf-8") as handle:
                report = json.load(handle)
            same = all(report["run"][key] == about.get(key) for key in ("environment", "operation"))
            if same and report["run"]["finished"]:
                rows.append({"run": name, "ended_at": report["run"]["ended_at"], **{key: report[key] for key in ("verdict", "rto_seconds", "rpo_seconds")}})
        except (OSError, ValueError, KeyError, TypeError):
            continue  # a trend is a service; another run's damaged report is no reason to have none
    return sorted(rows, key=lambda row: str(row["ended_at"]))[-_HISTORY:]


def compose(run_dir: str, objectives: Objectives, signing_key: Ed25519PrivateKey | None) -> tuple[Report, dict[str, bytes]]:
    """Return the report of the run in *run_dir* and the files that it is written to; writes nothing.

    The signed envelope is among them if the run is finished and there is a key.
    """
    log = records.read_log(run_dir)
    if not log:
        raise Refused(f"The log in {run_dir} is empty.", hint="Begin a run with evidence_run.")
    about = records.merge_facts(log).get("run", {})
    log_sha256 = sha256_file(os.path.join(run_dir, records.LOG_NAME))[0]
    history = _known_history(run_dir, log_sha256)
    report = build(log, log_sha256, objectives, history_of(run_dir, about) if history is None else history)
    files = {
        REPORT_NAME: pretty(report),
        "report.html": render_html.render(report),
        "junit.xml": render_junit.render(report),
        "metrics.prom": render_metrics.render(report),
    }
    if signing_key is not None and run.is_closed(log):
        subjects = [(records.LOG_NAME, log_sha256), *((name, sha256_hex(data)) for name, data in files.items())]
        files[run.ENVELOPE_NAME] = envelope(report, subjects, signing_key)  # last: its presence says that the run is complete
    return report, files


def other_than(run_dir: str, files: t.Mapping[str, bytes]) -> list[str]:
    """Return the names of those *files* that are not in *run_dir* as they should be."""
    return [name for name, data in files.items() if _content(os.path.join(run_dir, name)) != data]


def write(run_dir: str, files: t.Mapping[str, bytes]) -> bool:
    """Write *files* that are new or other than before; return whether there were any."""
    names = other_than(run_dir, files)
    for name in names:
        write_atomically(os.path.join(run_dir, name), files[name])
    return bool(names)


def _content(path: str) -> bytes | None:
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return None


def _known_history(run_dir: str, log_sha256: str) -> list[dict[str, t.Any]] | None:
    """Return the history that the report of this very log has, so that later runs do not change a signed report."""
    try:
        with open(os.path.join(run_dir, REPORT_NAME), encoding="utf-8") as handle:
            report = json.load(handle)
        return list(report["history"]) if report["evidence"]["sha256"] == log_sha256 else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def envelope(report: Report, subjects: t.Sequence[tuple[str, str]], key: Ed25519PrivateKey) -> bytes:
    """Return the signed in-toto test-result of *report* about the files *subjects*."""
    plan = report["required_checks"]
    names: dict[str, list[str]] = {"passed": [], "failed": [], "skipped": []}
    for check in report["checks"]:
        names[check["outcome"]].append("/".join(filter(None, (check["step"], check["asset"], check["check"]))))
    predicate = {
        # "Could not verify" is not PASSED, and WARNED would let it through a gate.
        "result": "PASSED" if report["verdict"] == "verified" else "FAILED",
        "configuration": [{"name": "required_checks", "digest": {"sha256": sha256_hex(canonical(plan))}}],
        "passedTests": names["passed"],
        "warnedTests": names["skipped"],
        "failedTests": names["failed"],
    }
    return signing.seal(canonical(signing.statement(subjects, signing.TEST_RESULT, predicate)), key)


def summary(report: Report, run_dir: str) -> dict[str, t.Any]:
    """Return what modules tell of *report*."""
    names = ("verdict", "reasons", "rto_seconds", "rpo_seconds", "assets", "clock")
    return {**{name: report[name] for name in names}, "path": os.path.join(run_dir, "report.html")}
