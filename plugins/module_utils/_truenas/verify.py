# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Whether a replica can be relied on: what is judged of a pair of datasets, with a fixed vocabulary of reasons. No I/O."""

from __future__ import annotations

import dataclasses
import datetime
import functools
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas.history import History, Snapshot

# Every reason there is, with what it means; docs/detection_truenas.md shows each with what was broken.
REASONS = {
    "source_unreachable": "The source system could not be read.",
    "target_unreachable": "The target system could not be read.",
    "source_missing": "The source dataset does not exist.",
    "target_missing": "The target dataset does not exist.",
    "no_source_snapshots": "The source has no snapshot.",
    "schema_mismatch": "The source has snapshots, but none that the replication would send.",
    "source_stale": "The newest snapshot of the source is older than max_age: nobody takes snapshots any more.",
    "target_empty": "The target has no snapshot.",
    "no_common_snapshot": "No snapshot is on both sides by guid: the next run can't be incremental, and nothing proves the copy.",
    "guid_mismatch": "A snapshot has the same name on both sides and another guid: it is not the same data.",
    "target_diverged": "The target has snapshots of its own that are newer than the newest common one.",
    "target_writable": "The target dataset is not read-only, so it can get changes of its own.",
    "gap": "Snapshots between the oldest and the newest common one are missing on the target.",
    "too_old": "The newest common snapshot is older than max_age.",
    "clock": "The newest common snapshot is from the future: a clock is wrong, and no age can be trusted.",
    "task_missing": "There is no such replication.",
    "task_disabled": "The replication is disabled.",
    "task_hold": "The replication is on hold.",
    "task_pending": "The replication waits and has not run, while its copy is missing or too old.",
    "task_stuck": "The replication has been running for longer than max_age.",
    "task_failed": "The last run of the replication failed.",
    "task_warnings": "The last run of the replication ended with warnings.",
    "last_snapshot_gone": "What the last run says to have sent is not on the target.",
}
# A clock may be this far off, in seconds, before ages are not believed.
CLOCK_SKEW = 60
# So many names of missing snapshots are returned; the count is always whole.
SHOWN = 20
_CODES = {"%Y": r"\d{4}", "%m": r"\d\d", "%d": r"\d\d", "%H": r"\d\d", "%M": r"\d\d", "%S": r"\d\d", "%s": r"\d+", "%z": r"(?:--|\+|-)\d{4}", "%%": "%"}


@functools.lru_cache(maxsize=64)
def schema_pattern(schema: str) -> re.Pattern[str]:
    """Return a pattern for the names of a naming schema; what is not a number by rule is taken as it comes."""
    parts = re.split(r"(%.)", schema)
    return re.compile("".join(_CODES.get(part, r".+") if part.startswith("%") else re.escape(part) for part in parts))


@dataclasses.dataclass
class Pair:
    """Two datasets that should be copies.

    Args:
        source: Dataset on the source system.
        target: Dataset on the target system.
        max_age: Seconds that the newest common snapshot may be old.
        schemas: Naming schemas of the snapshots that are sent; empty for all.
        regex: Expression for their names instead of schemas.
        gaps: Whether a hole in the target's history is a failure.
        readonly: Whether the target must be read-only.
        task: The replication (as ``replication.from_api`` returns it), if there is one.
        job_started: When its job started, ISO 8601, if it runs.
    """

    source: str
    target: str
    max_age: int
    schemas: tuple[str, ...] = ()
    regex: str | None = None
    gaps: bool = True
    readonly: bool = True
    task: dict[str, t.Any] | None = None
    job_started: str | None = None
    reasons: list[dict[str, str]] = dataclasses.field(default_factory=list)

    def sent(self, snapshot: Snapshot) -> bool:
        """Whether the replication would send it."""
        if self.regex is not None:
            return re.fullmatch(self.regex, snapshot.name) is not None
        return not self.schemas or any(schema_pattern(schema).fullmatch(snapshot.name) for schema in self.schemas)

    def fail(self, reason: str, detail: str) -> None:
        """Note a reason of the vocabulary."""
        if reason not in REASONS:
            raise AssertionError(f"{reason} is no reason of the vocabulary")
        self.reasons.append({"reason": reason, "detail": detail})


@dataclasses.dataclass(frozen=True)
class Side:
    """One dataset as it was read; ``history`` is None if it does not exist, ``error`` is why the system could not be read."""

    history: History | None = None
    readonly: bool = False
    error: str = ""


def moment(seconds: int | float) -> str:
    """Return a time as ISO 8601 in UTC."""
    return datetime.datetime.fromtimestamp(seconds, tz=datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _shown(pair: Pair, one: Snapshot, created_there: int) -> dict[str, t.Any]:
    return {
        "name": one.name,
        "source": f"{pair.source}@{one.name}",
        "target": f"{pair.target}@{one.name}",
        "guid": str(one.guid),
        "createtxg": one.createtxg,
        "target_createtxg": created_there,
        "creation": moment(one.creation),
    }


def judge(pair: Pair, source: Side, target: Side, now: float) -> dict[str, t.Any]:
    """Return what is to be said about *pair*; ``reasons`` is empty where the copy can be relied on.

    Args:
        pair: What is judged.
        source: Its source as it was read.
        target: Its target as it was read.
        now: Seconds since 1970.
    """
    found: dict[str, t.Any] = {"newest_common": None, "age_seconds": None, "rpo_seconds": None, "missing": [], "missing_count": 0, "pending_count": 0}
    for side, which, name in ((source, "source", pair.source), (target, "target", pair.target)):
        if side.error:
            pair.fail(f"{which}_unreachable", side.error)
        elif side.history is None:
            pair.fail(f"{which}_missing", f"there is no dataset {name}")
    if source.history is not None:
        newest = _judge_source(pair, source.history, now)
        found["age_seconds"] = None if newest is None else max(0, round(now - newest.creation))
    if source.history is not None and target.history is not None:
        _compare(pair, source.history, target.history, now, found)
    if target.history is not None and pair.readonly and not target.readonly:
        pair.fail("target_writable", f"{pair.target} has readonly off")
    if pair.task is not None:
        _judge_task(pair, pair.task, found, target.history, now)
    head = {"source": pair.source, "target": pair.target, "replication": pair.task["name"] if pair.task else None, "max_age": pair.max_age}
    return {**head, **found, "verdict": "failed" if pair.reasons else "verified", "reasons": pair.reasons}


def _judge_source(pair: Pair, history: History, now: float) -> Snapshot | None:
    """Judge what the source has to send; returns its newest snapshot."""
    newest = next((one for one in history.newest_first() if pair.sent(one)), None)
    if not len(history):
        pair.fail("no_source_snapshots", f"{pair.source} has no snapshot")
    elif newest is None:
        wanted = pair.regex or ", ".join(pair.schemas)
        pair.fail("schema_mismatch", f"none of the {len(history)} snapshots of {pair.source} matches {wanted}, the newest is {history.at(-1).name}")
    elif now - newest.creation > pair.max_age:
        pair.fail("source_stale", f"the newest snapshot of the source, {newest.name}, is {round(now - newest.creation)} s old, allowed are {pair.max_age}")
    return newest


def _compare(pair: Pair, source: History, target: History, now: float, found: dict[str, t.Any]) -> None:
    """Compare both histories by guid."""
    here, there = source.guids(), target.guids()
    base = next((one for one in source.newest_first() if one.guid in there), None)
    if not len(target):
        pair.fail("target_empty", f"{pair.target} has no snapshot")
    names = {one.name: one.guid for one in source} if not here >= there else {}
    strange = [one for one in target.newest_first() if one.guid not in here] if names else []
    swapped = [one.name for one in strange if one.name in names]
    if swapped:
        pair.fail("guid_mismatch", f"{len(swapped)} snapshots have the same name and another guid: {_list(swapped)}")
    if base is None:
        if len(target) and len(source):
            pair.fail("no_common_snapshot", f"{len(source)} snapshots here and {len(target)} there have no guid in common")
        found["pending_count"] = sum(pair.sent(one) for one in source)
        return
    copy = next(one for one in target.newest_first() if one.guid == base.guid)
    own = [one.name for one in strange if one.createtxg > copy.createtxg and one.name not in swapped]
    if own:
        pair.fail("target_diverged", f"{len(own)} snapshots of the target are newer than {base.name} and not of the source: {_list(own)}")
    found["newest_common"] = _shown(pair, base, copy.createtxg)
    found["rpo_seconds"] = max(0, round(now - base.creation))
    _judge_age(pair, base, now)
    _judge_gaps(pair, source, target, base, there, found)


def _judge_age(pair: Pair, base: Snapshot, now: float) -> None:
    age = now - base.creation
    if age < -CLOCK_SKEW:
        pair.fail("clock", f"{base.name} was taken {round(-age)} s from now")
    elif age > pair.max_age:
        pair.fail("too_old", f"the newest common snapshot, {base.name}, is {round(age)} s old, allowed are {pair.max_age}")


def _judge_gaps(pair: Pair, source: History, target: History, base: Snapshot, there: set[int], found: dict[str, t.Any]) -> None:
    """Tell what the target lacks: newer than the newest common one is on its way, between is a hole."""
    oldest = next(one for one in source if one.guid in there)
    missing = [one for one in source if one.guid not in there and one.createtxg > oldest.createtxg and pair.sent(one)]
    holes = [one.name for one in missing if one.createtxg < base.createtxg]
    found["missing"] = [one.name for one in missing[-SHOWN:]]
    found["missing_count"] = len(missing)
    found["pending_count"] = len(missing) - len(holes)
    if holes and pair.gaps:
        pair.fail("gap", f"{len(holes)} of the snapshots before {base.name} are missing on the target: {_list(holes)}")


def _judge_task(pair: Pair, task: t.Mapping[str, t.Any], found: t.Mapping[str, t.Any], target: History | None, now: float) -> None:
    """Judge the replication itself. TrueNAS raises an alert for an enabled one that failed, and for nothing else."""
    state = task["state"]
    name, kind = task["name"], state["state"]
    if not task["enabled"]:
        pair.fail("task_disabled", f"{name} is disabled")
    if kind == "HOLD":
        pair.fail("task_hold", f"{name} is on hold: {state['error'] or 'no reason given'}")
    elif kind in ("ERROR", "ABORTED", "FAILED"):
        pair.fail("task_failed", f"the last run of {name} failed: {state['error'] or 'no reason given'}")
    elif kind in ("PENDING", "WAITING") and (found["rpo_seconds"] is None or found["rpo_seconds"] > pair.max_age):
        pair.fail("task_pending", f"{name} is {kind} and {'has no copy' if found['rpo_seconds'] is None else 'its copy is too old'}")
    elif kind == "RUNNING" and pair.job_started and now - _seconds(pair.job_started) > pair.max_age:
        pair.fail("task_stuck", f"{name} has been running since {pair.job_started}")
    if state["warnings"]:
        pair.fail("task_warnings", f"{name}: {'; '.join(map(str, state['warnings']))}")
    dataset, _at, last = str(state["last_snapshot"] or "").partition("@")
    if target is not None and last and dataset == pair.source and all(one.name != last for one in target.newest_first()):
        pair.fail("last_snapshot_gone", f"{name} says it sent {dataset}@{last}, and it is not on the target")


def _list(names: t.Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
