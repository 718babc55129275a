# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What a run amounts to: verdict, RTO and RPO against objectives, from its records and from nothing else."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import seconds_between
from ansible_collections.resilient.platform.plugins.module_utils._evidence.records import BOOKKEEPING, Record, merge_facts

Verdict = t.Literal["verified", "failed", "could_not_verify"]
Objectives = t.Mapping[str, t.Mapping[str, t.Optional[float]]]
# The asset under which objectives of the whole platform are given.
PLATFORM = "platform"
# The row of the timeline for the time between the tries of a run.
INTERRUPTED = "interrupted"
# Operations that only make sense with a disaster in them.
_REBUILDS = ("dr_drill", "dr_rebuild")


@dataclasses.dataclass
class Timing:
    """Time since the disaster, on the best clock that there is.

    Args:
        disaster: ``{declared_at, boottime_seconds, boot_id}`` or empty.
        wall_clock_used: Set when a record could not be timed by the clock that is never set.
    """

    disaster: t.Mapping[str, t.Any]
    wall_clock_used: bool = False

    def since(self, record: Record) -> float:
        """Return the seconds from the disaster to *record*; negative before it."""
        clock = record["clock"]
        started, boot = self.disaster.get("boottime_seconds"), self.disaster.get("boot_id")
        if started is not None and boot and boot == clock.get("boot_id"):
            return round(float(clock["boottime_seconds"]) - float(started), 6)
        self.wall_clock_used = True
        return seconds_between(self.disaster["declared_at"], record["time"])


def is_check(record: Record) -> bool:
    """Return whether *record* says how something turned out (and does not only keep the books)."""
    return record["check"] not in BOOKKEEPING and record["outcome"] != "info"


def latest_checks(records: t.Sequence[Record]) -> list[Record]:
    """Return the newest outcome of each check, in the order in which they came up first."""
    newest: dict[tuple[str, str, str | None], Record] = {}
    for record in records:
        if is_check(record):
            newest[record["step"], record["check"], record["asset"]] = record
    return list(newest.values())


def plan_of(facts: t.Mapping[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return the checks that the run set out to make."""
    return list(facts.get("run", {}).get("required_checks", []))


def plan_gaps(plan: t.Sequence[t.Mapping[str, t.Any]], checks: t.Sequence[Record]) -> list[str]:
    """Return the planned checks that did not run, in words."""
    gaps: list[str] = []
    for wanted in plan:
        found = [
            check
            for check in checks
            if check["check"] == wanted["check"]
            and wanted.get("step") in (None, check["step"])
            and wanted.get("asset") in (None, check["asset"])
            and (check["data"] or not wanted.get("data"))
        ]
        if not found:
            place = " ".join(str(wanted[key]) for key in ("step", "asset") if wanted.get(key))
            gaps.append(f"{wanted['check']}{f' ({place})' if place else ''} did not run")
    return gaps


def seconds_from(first: Record, last: Record) -> float:
    """Return the seconds between two records: by the clock that is never set, or by the wall clock across a restart."""
    same_boot = first["clock"]["boot_id"] and first["clock"]["boot_id"] == last["clock"]["boot_id"]
    return float(last["clock"]["boottime_seconds"] - first["clock"]["boottime_seconds"]) if same_boot else seconds_between(first["time"], last["time"])


def interruptions(records: t.Sequence[Record]) -> list[tuple[int, int]]:
    """Return the places of the records between which no play worked on the run: the last of one try, and the first of the next."""
    return [(place - 1, place) for place, record in enumerate(records) if place and record["check"] == "run_resumed"]


def phases(records: t.Sequence[Record], timing: Timing | None) -> list[dict[str, t.Any]]:
    """Return each step with start, end, duration, and its place after the disaster (seconds, or None before it).

    The time from the last record of a try that ended early to the beginning of the next is no step's: it is a row of its own, *interrupted*,
    whose attempts are how often that was.
    """
    found: dict[tuple[str, bool], dict[str, t.Any]] = {}
    running: dict[str, bool] = {}
    for place, record in enumerate(records):
        step = record["step"]
        if step == "run":
            continue
        # The same step before and after the disaster is two phases; one that runs meanwhile stays where it began.
        after = running.get(step, timing is not None and timing.since(record) >= 0)
        if record["check"] == "step_started":
            after = timing is not None and timing.since(record) >= 0
            running[step] = after
        phase = found.setdefault((step, after), {"step": step, "after_disaster": after, "first": place, "last": place, "outcome": "info", "attempts": 0})
        phase["last"] = place
        if record["check"] == "step_started":
            phase["attempts"] += 1
            phase["outcome"] = "unfinished"
        if record["check"] == "step_finished":
            phase["outcome"] = record["outcome"]
            running.pop(step, None)
    gaps = interruptions(records)
    return [_phase(phase, records, gaps, timing) for phase in found.values()] + _interrupted(records, gaps, timing)


def _phase(phase: dict[str, t.Any], records: t.Sequence[Record], gaps: t.Sequence[tuple[int, int]], timing: Timing | None) -> dict[str, t.Any]:
    begin, end = phase.pop("first"), phase.pop("last")
    first, last = records[begin], records[end]
    idle = sum(seconds_from(records[left], records[right]) for left, right in gaps if begin <= left and right <= end)
    offset = timing.since(first) if timing is not None and phase["after_disaster"] else None
    seconds = max(0.0, round(seconds_from(first, last) - idle, 3))
    return {**phase, "started_at": first["time"], "ended_at": last["time"], "seconds": seconds, "offset_seconds": offset}


def _interrupted(records: t.Sequence[Record], gaps: t.Sequence[tuple[int, int]], timing: Timing | None) -> list[dict[str, t.Any]]:
    rows: list[dict[str, t.Any]] = []
    for after in (False, True):
        mine = [
            (records[left], records[right]) for left, right in gaps if after == (timing is not None and timing.since(records[right]) >= 0)
        ]
        if mine:
            first, last = mine[0][0], mine[-1][1]
            offset = max(0.0, timing.since(first)) if timing is not None and after else None
            row = {"step": INTERRUPTED, "after_disaster": after, "outcome": "info", "attempts": len(mine), "offset_seconds": offset}
            seconds = round(sum(seconds_from(left, right) for left, right in mine), 3)
            rows.append({**row, "started_at": first["time"], "ended_at": last["time"], "seconds": seconds})
    return rows


@dataclasses.dataclass
class Assessment:
    """The result: see ``docs/schemas/report-v1.schema.json`` for the meaning of its parts."""

    verdict: Verdict
    reasons: list[str]
    checks: list[Record]
    assets: list[dict[str, t.Any]]
    phases: list[dict[str, t.Any]]
    facts: dict[str, t.Any]
    rto_seconds: float | None
    rpo_seconds: float | None
    clock: str | None


def _green_times(checks: t.Sequence[Record], timing: Timing) -> dict[str | None, float]:
    """Return, by asset, when its last required check after the disaster became green (seconds)."""
    times: dict[str | None, float] = {}
    for check in checks:
        seconds = timing.since(check)
        if check["required"] and check["outcome"] == "passed" and seconds >= 0:
            times[check["asset"]] = max(seconds, times.get(check["asset"], 0.0))
    return times


def _open_assets(checks: t.Sequence[Record]) -> set[str | None]:
    """Return the assets with a required check that is not green: their recovery has no end."""
    return {check["asset"] for check in checks if check["required"] and check["outcome"] != "passed"}


def validate_objectives(objectives: t.Any) -> Objectives:
    """Return *objectives* with numbers as values.

    Raises:
        Refused: names the asset whose objective is no number of seconds.
    """
    checked: dict[str, dict[str, float | None]] = {}
    for asset, values in (objectives or {}).items():
        if not isinstance(values, t.Mapping) or set(values) - {"rto_seconds", "rpo_seconds"}:
            raise Refused(
                f"The objectives of {asset!r} are not rto_seconds and rpo_seconds.", hint="Give objectives: {asset: {rto_seconds: 600, rpo_seconds: 300}}."
            )
        try:
            checked[asset] = {name: None if value is None else float(value) for name, value in values.items()}
        except (TypeError, ValueError) as exc:
            raise Refused(f"The objectives of {asset!r} are no numbers.", hint="Give seconds.") from exc
    return checked


def _compare(name: str, measured: float | None, target: float | None) -> tuple[str, str]:
    """Return (met, missed, not_measured, no_target) and a reason against the verdict, if there is one."""
    if target is None:
        return "no_target", ""
    if measured is None:
        return "not_measured", f"{name} was not measured (target {target:g} s)"
    if measured > target:
        return "missed", f"{name} is {measured:.1f} s and the target {target:g} s"
    return "met", ""


def _asset(
    name: str, rto: float | None, rpo: float | None, target: t.Mapping[str, float | None], extra: t.Mapping[str, t.Any]
) -> tuple[dict[str, t.Any], list[tuple[str, str]]]:
    findings: list[tuple[str, str]] = []
    row: dict[str, t.Any] = {"asset": name, **extra}
    for kind, measured in (("rto", rto), ("rpo", rpo)):
        result, reason = _compare(f"{kind.upper()} of {name}", measured, target.get(f"{kind}_seconds"))
        row |= {f"{kind}_seconds": measured, f"{kind}_target_seconds": target.get(f"{kind}_seconds"), f"{kind}_result": result}
        if reason:
            findings.append((result, reason))
    return row, findings


def _data_rows(facts: t.Mapping[str, t.Any]) -> dict[str, dict[str, t.Any]]:
    """Return how old the recovered data are, by asset: as its canaries say, else as the fact ``data_age`` (age of the recovery point) does.

    Of two stores of an asset the one that lost more counts.
    """
    rows: dict[str, dict[str, t.Any]] = {}
    for store, found in facts.get("canaries", {}).items():
        asset = found.get("asset") or store
        known = rows.get(asset)
        if known is None or (found.get("rpo_seconds") or 0) > (known.get("rpo_seconds") or 0):
            rows[asset] = found
    return {**(facts.get("data_age") or {}), **rows}


def assess(records: t.Sequence[Record], objectives: Objectives) -> Assessment:
    """Judge a run by its *records*.

    The verdict is *failed* if a required check failed or an objective was missed, *could_not_verify* if one did not run,
    was skipped or not measured, or nothing about data was checked, and *verified* only if none of this is so.
    """
    facts = merge_facts(records)
    checks = latest_checks(records)
    disaster = facts.get("disaster") or {}
    timing = Timing(disaster) if disaster.get("declared_at") else None
    failed = [f"{check['step']}: {check['check']}{_of(check)} failed{_seen(check)}" for check in checks if check["required"] and check["outcome"] == "failed"]
    unknown = [f"{check['step']}: {check['check']}{_of(check)} was skipped" for check in checks if check["required"] and check["outcome"] == "skipped"]
    unknown += plan_gaps(plan_of(facts), checks)
    if not any(check["data"] and check["outcome"] == "passed" for check in checks):
        unknown.append("no check on data passed, so nothing is known about the data")
    unknown += [f"{phase['step']} began and did not finish" for phase in phases(records, timing) if phase["outcome"] == "unfinished"]
    rows, rto, rpo = _assets(checks, facts, objectives, timing, failed, unknown)
    operation = facts.get("run", {}).get("operation", "")
    if timing is None and operation in _REBUILDS:
        unknown.append("no disaster was declared, so there is nothing that was recovered from")
    verdict: Verdict = "failed" if failed else "could_not_verify" if unknown else "verified"
    clock = None if timing is None else "wall clock" if timing.wall_clock_used else "monotonic"
    return Assessment(verdict, failed + unknown, checks, rows, phases(records, timing), facts, rto, rpo, clock)


def _of(check: Record) -> str:
    return f" of {check['asset']}" if check["asset"] else ""


def _seen(check: Record) -> str:
    """Return what was seen instead, for people: which record is missing, which copy is damaged."""
    return f": {check['actual'].strip()}" if isinstance(check["actual"], str) and check["actual"].strip() else ""


def _assets(
    checks: t.Sequence[Record],
    facts: t.Mapping[str, t.Any],
    objectives: Objectives,
    timing: Timing | None,
    failed: list[str],
    unknown: list[str],
) -> tuple[list[dict[str, t.Any]], float | None, float | None]:
    if timing is None:
        return [], None, None  # nothing was recovered: objectives of a recovery say nothing about this run
    canaries = _data_rows(facts)
    green, still_open = _green_times(checks, timing), _open_assets(checks)
    names = sorted({name for name in green if name} | set(canaries) | set(objectives) - {PLATFORM})
    rpos = [found.get("rpo_seconds") for found in canaries.values()]
    rto = max(green.values()) if green and not still_open else None
    rpo = max(value for value in rpos if value is not None) if rpos and None not in rpos else None
    rows: list[dict[str, t.Any]] = []
    for name in [PLATFORM, *(name for name in names if name != PLATFORM)]:
        found = canaries.get(name, {})
        extra = {key: found.get(key) for key in ("lost", "phantom", "recovered", "acknowledged", "newest_recovered_at")}
        own_rto = rto if name == PLATFORM else None if name in still_open else green.get(name)
        row, findings = _asset(name, own_rto, rpo if name == PLATFORM else found.get("rpo_seconds"), objectives.get(name, {}), extra)
        rows.append(row)
        for result, reason in findings:
            (failed if result == "missed" else unknown).append(reason)
    return rows, rto, rpo


def age_seconds(point: t.Mapping[str, t.Any], at: str) -> float | None:
    """Return how old the recovery *point* was at the moment *at*."""
    try:
        return seconds_between(point["taken_at"], at)
    except (KeyError, Refused):
        return None
