"""Verdict, RTO and RPO from records."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.assess import assess, validate_objectives

START = 1000.0


def record(
    seconds: float, step: str, check: str, outcome: str = "passed", *, boot: str | None = "b1", wall: float | None = None, **fields: t.Any
) -> dict[str, t.Any]:
    """A record *seconds* after the beginning; by the wall clock *wall* seconds."""
    moment = seconds if wall is None else wall
    return {
        "sequence": 0, "run": "r1", "time": f"2026-11-21T05:{int(moment // 60):02d}:{moment % 60:09.6f}Z",
        "clock": {"boottime_seconds": START + seconds, "boot_id": boot}, "step": step, "asset": None, "check": check, "outcome": outcome,
        "required": True, "data": False, "expected": None, "actual": None, "duration_seconds": None, "facts": {}, **fields,
    }  # fmt: skip


BEGIN = record(0, "run", "run_started", "info", facts={"run": {"environment": "lab", "operation": "dr_drill", "required_checks": []}})
DISASTER = record(
    100, "disaster", "declared", "info", facts={"disaster": {"declared_at": "2026-11-21T05:01:40.000000Z", "boottime_seconds": START + 100, "boot_id": "b1"}}
)


def canary(seconds: float, rpo: float | None = 5.0, store: str = "vault", outcome: str = "passed", **fields: t.Any) -> dict[str, t.Any]:
    found = {
        "asset": store,
        "rpo_seconds": rpo,
        "lost": 2,
        "phantom": 0,
        "recovered": 8,
        "acknowledged": 10,
        "newest_recovered_at": "2026-11-21T05:01:35.000000Z",
    }
    return record(seconds, "prove", "canary", outcome, asset=store, data=True, facts={"canaries": {store: found}}, **fields)


def backup() -> dict[str, t.Any]:
    return {**BEGIN, "facts": {"run": {"operation": "backup", "required_checks": []}}}


def row(judged: t.Any, asset: str) -> dict[str, t.Any]:
    return next(item for item in judged.assets if item["asset"] == asset)


def test_rto_is_to_the_last_required_check_that_became_green() -> None:
    log = [
        BEGIN,
        DISASTER,
        record(150, "rebuild", "ssh"),
        canary(160),
        record(190, "prove", "write", asset="vault"),
        record(500, "report", "pretty", required=False),
        record(600, "run", "run_finished", "info"),
    ]
    judged = assess(log, {})
    assert (judged.verdict, judged.rto_seconds, judged.rpo_seconds, judged.clock) == ("verified", 90, 5, "monotonic")
    assert row(judged, "vault")["rto_seconds"] == 90 and row(judged, "vault")["lost"] == 2


def test_rto_by_the_monotonic_clock_though_the_wall_clock_jumped() -> None:
    judged = assess([BEGIN, DISASTER, canary(160, wall=3000)], {})
    assert (judged.rto_seconds, judged.clock) == (60, "monotonic")


@pytest.mark.parametrize("boot", ["b2", None])
def test_rto_by_the_wall_clock_after_a_restart_and_it_says_so(boot: str | None) -> None:
    judged = assess([BEGIN, DISASTER, canary(160, boot=boot, wall=175)], {})
    assert (judged.rto_seconds, judged.clock) == (75, "wall clock")


def test_check_made_again_after_the_disaster_counts_for_its_newest_outcome() -> None:
    log = [
        BEGIN,
        record(50, "harden", "index", asset="vault"),
        DISASTER,
        record(150, "harden", "index", "failed", asset="vault"),
        record(170, "harden", "index", asset="vault"),
        canary(160),
    ]
    judged = assess(log, {})
    assert (judged.verdict, judged.rto_seconds) == ("verified", 70)


def test_rpo_of_the_platform_is_that_of_the_store_that_lost_most() -> None:
    judged = assess([BEGIN, DISASTER, canary(160, 5.0), canary(161, 50.0, "files")], {})
    assert judged.rpo_seconds == 50 and row(judged, "vault")["rpo_seconds"] == 5


def test_store_without_an_rpo_leaves_the_platform_without_one() -> None:
    judged = assess([BEGIN, DISASTER, canary(160), canary(161, None, "files", "skipped")], {"platform": {"rpo_seconds": 60}})
    assert judged.rpo_seconds is None and judged.verdict == "could_not_verify"


def test_two_stores_of_one_asset_count_by_the_worse() -> None:
    first, second = canary(160, 5.0), canary(161, 9.0)
    second["facts"] = {"canaries": {"second": {**second["facts"]["canaries"]["vault"], "asset": "vault"}}}
    assert row(assess([BEGIN, DISASTER, first, second], {}), "vault")["rpo_seconds"] == 9


def test_objectives_met() -> None:
    judged = assess([BEGIN, DISASTER, canary(160)], {"platform": {"rto_seconds": 60, "rpo_seconds": 5}, "vault": {"rto_seconds": 60}})
    assert judged.verdict == "verified" and row(judged, "platform")["rto_result"] == "met" and row(judged, "vault")["rpo_result"] == "no_target"


@pytest.mark.parametrize(("asset", "target"), [("platform", {"rto_seconds": 59}), ("vault", {"rpo_seconds": 4.9})])
def test_missed_objective_fails(asset: str, target: dict[str, float]) -> None:
    judged = assess([BEGIN, DISASTER, canary(160)], {asset: target})
    assert judged.verdict == "failed" and "and the target" in judged.reasons[0]


def test_objective_of_an_asset_that_nobody_looked_at_could_not_be_verified() -> None:
    judged = assess([BEGIN, DISASTER, canary(160)], {"files": {"rto_seconds": 60, "rpo_seconds": 60}})
    assert judged.verdict == "could_not_verify" and row(judged, "files")["rto_result"] == "not_measured"
    assert "RTO of files was not measured (target 60 s)" in judged.reasons


@pytest.mark.parametrize(
    ("extra", "verdict", "reason"),
    [
        ({"outcome": "failed"}, "failed", "prove: app of web failed"),
        ({"outcome": "failed", "actual": "record 7 is missing "}, "failed", "prove: app of web failed: record 7 is missing"),
        ({"outcome": "skipped"}, "could_not_verify", "prove: app of web was skipped"),
        ({"outcome": "failed", "required": False}, "verified", None),
        ({"outcome": "skipped", "required": False}, "verified", None),
        ({"outcome": "info"}, "verified", None),
    ],
)
def test_verdict_depends_on_required_checks(extra: dict[str, t.Any], verdict: str, reason: str | None) -> None:
    judged = assess([BEGIN, DISASTER, canary(160), record(170, "prove", "app", asset="web", **extra)], {})
    assert judged.verdict == verdict and judged.reasons == ([reason] if reason else [])


def test_failure_weighs_more_than_what_could_not_be_verified() -> None:
    judged = assess([BEGIN, DISASTER, record(150, "a", "b", "skipped"), record(160, "c", "d", "failed")], {})
    assert judged.verdict == "failed" and len(judged.reasons) >= 3


def test_without_a_check_on_data_nothing_is_verified() -> None:
    judged = assess([backup(), record(10, "backup", "snapshot")], {})
    assert judged.verdict == "could_not_verify" and "no check on data" in judged.reasons[0]
    assert assess([backup(), record(10, "backup", "snapshot", data=True)], {}).verdict == "verified"


def test_rebuild_without_a_disaster_could_not_be_verified() -> None:
    judged = assess([BEGIN, canary(160)], {"platform": {"rto_seconds": 1}})
    assert judged.verdict == "could_not_verify" and "no disaster was declared" in judged.reasons[0] and judged.clock is None


@pytest.mark.parametrize(("log", "rpo"), [([], 90.0), ([canary(161)], 5.0)])
def test_age_of_the_recovery_point_counts_where_no_canary_tells_it_better(log: list[t.Any], rpo: float) -> None:
    age = {"data_age": {"vault": {"asset": "vault", "rpo_seconds": 90.0, "newest_recovered_at": "2026-11-21T05:45:10.000000Z"}}}
    restored = record(160, "isolated_drill", "restored", asset="vault", data=True, facts=age)
    judged = assess([BEGIN, DISASTER, restored, *log], {"vault": {"rpo_seconds": 60}})
    vault = row(judged, "vault")
    assert (judged.rpo_seconds, vault["rpo_seconds"], vault["rpo_result"]) == (rpo, rpo, "missed" if rpo > 60 else "met")


def test_objectives_say_nothing_about_a_backup() -> None:
    judged = assess([backup(), record(10, "backup", "read_back", data=True)], {"vault": {"rto_seconds": 1, "rpo_seconds": 1}})
    assert (judged.verdict, judged.assets, judged.rto_seconds) == ("verified", [], None)


def test_step_that_began_and_did_not_finish_could_not_be_verified() -> None:
    log = [backup(), record(1, "backup", "step_started", "info"), record(2, "backup", "read_back", data=True)]
    assert assess(log, {}).reasons == ["backup began and did not finish"]
    assert assess([*log, record(3, "backup", "step_finished")], {}).verdict == "verified"


@pytest.mark.parametrize(
    ("wanted", "missing"),
    [
        ({"check": "canary", "asset": "vault", "data": True}, None),
        ({"check": "canary", "step": "prove", "data": False}, None),
        ({"check": "canary", "asset": "files", "data": True}, "canary (files) did not run"),
        ({"check": "canary", "step": "other", "asset": "vault"}, "canary (other vault) did not run"),
        ({"check": "write", "data": True}, "write did not run"),
        ({"check": "ssh", "data": True}, "ssh did not run"),
    ],
)
def test_planned_check_that_did_not_run_is_named(wanted: dict[str, t.Any], missing: str | None) -> None:
    begin = {**BEGIN, "facts": {"run": {"operation": "dr_drill", "required_checks": [wanted]}}}
    judged = assess([begin, DISASTER, canary(160), record(161, "prove", "ssh")], {})
    assert judged.reasons == ([missing] if missing else [])


def test_same_step_before_and_after_the_disaster_is_two_phases() -> None:
    log = [
        BEGIN, record(10, "harden", "step_started", "info"), record(40, "harden", "step_finished"), DISASTER,
        record(110, "harden", "step_started", "info"), record(120, "harden", "step_started", "info"), record(150, "harden", "step_finished"), canary(160),
    ]  # fmt: skip
    found = [
        (item["step"], item["after_disaster"], item["seconds"], item["offset_seconds"], item["outcome"], item["attempts"]) for item in assess(log, {}).phases
    ]
    assert found[0] == ("harden", False, 30, None, "passed", 1)
    assert found[2] == ("harden", True, 40, 10, "passed", 2)


def test_step_that_runs_while_the_disaster_is_declared_stays_where_it_began() -> None:
    log = [
        BEGIN,
        record(90, "backup", "step_started", "info"),
        DISASTER,
        record(110, "backup", "step_finished"),
        record(120, "backup", "late", "info"),
        canary(160),
    ]
    found = [(item["step"], item["after_disaster"], item["outcome"]) for item in assess(log, {}).phases]
    assert found[:3] == [("backup", False, "passed"), ("disaster", True, "info"), ("backup", True, "info")]
    assert assess(log, {}).verdict == "verified"


def test_phase_across_a_restart_is_timed_by_the_wall_clock() -> None:
    log = [BEGIN, record(10, "a", "step_started", "info"), record(5, "a", "step_finished", boot="b2", wall=70)]
    assert assess(log, {}).phases[0]["seconds"] == 60


@pytest.mark.parametrize("value", [{"vault": 5}, {"vault": {"rto": 5}}, {"vault": {"rto_seconds": "soon"}}, {"vault": {"rto_seconds": []}}])
def test_unusable_objectives_are_refused(value: t.Any) -> None:
    with pytest.raises(Refused, match="vault"):
        validate_objectives(value)


def test_objectives_become_numbers() -> None:
    assert validate_objectives({"vault": {"rto_seconds": "600", "rpo_seconds": None}}) == {"vault": {"rto_seconds": 600.0, "rpo_seconds": None}}
    assert validate_objectives(None) == {}


def test_time_between_tries_is_no_step_s_and_stands_by_itself() -> None:
    log = [
        BEGIN, DISASTER, record(110, "rebuild", "step_started", "info"), record(120, "rebuild", "ssh"),
        record(420, "run", "run_resumed", "info"), record(421, "rebuild", "step_started", "info"), record(430, "rebuild", "step_finished"),
        record(440, "prove", "step_started", "info"), record(500, "run", "run_resumed", "info"), canary(510), record(511, "prove", "step_finished"),
    ]  # fmt: skip
    judged = assess(log, {})
    found = {item["step"]: (item["seconds"], item["attempts"], item["offset_seconds"]) for item in judged.phases}
    assert found["rebuild"] == (20, 2, 10)  # 110 to 430, without 120 to 420
    assert found["prove"] == (11, 1, 340)
    assert found["interrupted"] == (360, 2, 20)
    assert judged.rto_seconds == 410  # the time between tries is lost to whoever waits
    assert sum(seconds for seconds, _attempts, _offset in found.values()) <= 411


def test_interruption_before_the_disaster_is_apart_from_one_after_it() -> None:
    log = [
        BEGIN, record(5, "harden", "step_started", "info"), record(50, "run", "run_resumed", "info"), record(60, "harden", "step_finished"), DISASTER,
        record(110, "rebuild", "step_started", "info"), record(5, "run", "run_resumed", "info", boot="b2", wall=170), canary(8, boot="b2", wall=180),
        record(9, "rebuild", "step_finished", boot="b2", wall=185),
    ]  # fmt: skip
    rows = [item for item in assess(log, {}).phases if item["step"] == "interrupted"]
    assert [(row["after_disaster"], row["seconds"], row["attempts"], row["offset_seconds"]) for row in rows] == [(False, 45, 1, None), (True, 60, 1, 10)]
    assert next(item["seconds"] for item in assess(log, {}).phases if item["step"] == "rebuild") == 15


def test_run_in_one_piece_was_not_interrupted() -> None:
    assert "interrupted" not in [item["step"] for item in assess([BEGIN, DISASTER, canary(160)], {}).phases]
