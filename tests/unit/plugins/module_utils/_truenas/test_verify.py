"""Judging replicas: every reason is given for what it names, and for nothing else."""

from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError
from ansible_collections.resilient.platform.plugins.module_utils._truenas import history, verify, verify_read, verify_report
from ansible_collections.resilient.platform.plugins.module_utils._truenas.history import History, Snapshot
from ansible_collections.resilient.platform.plugins.module_utils._truenas.verify import Pair, Side
from helpers import truenas
from helpers.truenas import Server, Step, call_error

NOW = 1_800_000_000.0
HOUR = 3600
AUTO = "auto-%Y-%m-%d_%H-%M"


def name(number: int) -> str:
    return f"auto-2027-01-15_{number:02}-00"


def past(dataset: str, *snapshots: int | tuple[str, int], age: int = HOUR, shift: int = 0) -> History:
    """A history: numbers are guids of hourly snapshots, the last one *age* seconds old; pairs name one of another name or guid."""
    found = History(dataset)
    for index, one in enumerate(snapshots):
        label, guid = (name(one), one) if isinstance(one, int) else one
        found.add(Snapshot(label, guid, 100 + 10 * index + shift, int(NOW - age - HOUR * (len(snapshots) - 1 - index))))
    found.sort()
    return found


def task(**state: t.Any) -> dict[str, t.Any]:
    shown = {"state": "FINISHED", "error": None, "warnings": [], "last_snapshot": None, **state}
    return {"name": "apps", "enabled": shown.pop("enabled", True), "state": shown}


def judged(source: t.Any, target: t.Any, *, there: bool = True, **fields: t.Any) -> dict[str, t.Any]:
    pair = Pair("tank/a", "backup/a", **{"max_age": 2 * HOUR, **fields})
    sides = [one if isinstance(one, Side) else Side(one, there) for one in (source, target)]
    return verify.judge(pair, sides[0], sides[1], NOW)


def reasons(found: dict[str, t.Any]) -> list[str]:
    assert (found["verdict"] == "verified") == (not found["reasons"])
    return [one["reason"] for one in found["reasons"]]


S = past("tank/a", 1, 2, 3)
GOOD = past("backup/a", 1, 2, 3, shift=5000)
CASES: list[tuple[str, list[str], t.Any, t.Any, dict[str, t.Any]]] = [
    ("equal", [], S, GOOD, {}),
    ("the target keeps less", [], S, past("b", 3), {}),
    ("the target keeps more", [], past("a", 3), past("b", 1, 2, 3), {}),
    ("one is on its way", [], S, past("b", 1, 2, age=2 * HOUR), {}),
    ("a manual one need not go", [], past("a", 1, ("manual", 9), 3), past("b", 1, 3), {"schemas": (AUTO,)}),
    ("nothing there", ["target_missing"], S, None, {}),
    ("nothing here", ["source_missing"], None, GOOD, {}),
    ("source away", ["source_unreachable"], Side(error="refused"), GOOD, {}),
    ("target away", ["target_unreachable"], S, Side(error="refused"), {}),
    ("no snapshots here", ["no_source_snapshots"], past("a"), GOOD, {}),
    ("no snapshots there", ["target_empty"], S, past("b"), {}),
    ("nothing in common", ["no_common_snapshot"], S, past("b", ("x", 7)), {}),
    ("guid swapped", ["guid_mismatch"], S, past("b", 1, 2, (name(3), 33)), {}),
    ("all guids swapped", ["guid_mismatch", "no_common_snapshot"], past("a", 1), past("b", (name(1), 11)), {}),
    ("target went on", ["target_diverged"], S, past("b", 1, 2, 3, ("own", 9)), {}),
    ("target writable", ["target_writable"], S, GOOD, {"readonly_there": False}),
    ("a target that may be written", [], S, GOOD, {"readonly_there": False, "readonly": False}),
    ("a hole", ["gap"], S, past("b", 1, 3), {}),
    ("a hole that may be", [], S, past("b", 1, 3), {"gaps": False}),
    ("too old", ["too_old"], S, past("b", 1), {}),
    ("both too old", ["source_stale", "too_old"], past("a", 1, age=9 * HOUR), past("b", 1, age=9 * HOUR), {}),
    ("from the future", ["clock"], past("a", 1, age=-HOUR), past("b", 1, age=-HOUR), {}),
    ("nothing of the schema", ["schema_mismatch"], past("a", ("manual", 1)), past("b", ("manual", 1)), {"schemas": (AUTO,)}),
    ("nothing of the expression", ["schema_mismatch"], S, GOOD, {"regex": "man.*"}),
    ("disabled", ["task_disabled"], S, GOOD, {"task": task(enabled=False)}),
    ("on hold", ["task_hold"], S, GOOD, {"task": task(state="HOLD", error="pool is offline")}),
    ("failed", ["task_failed"], S, GOOD, {"task": task(state="ERROR", error="out of space")}),
    ("warnings", ["task_warnings"], S, GOOD, {"task": task(warnings=["no matching snapshots"])}),
    ("never ran", ["target_missing", "task_pending"], S, None, {"task": task(state="PENDING")}),
    ("waits, and the copy is too old", ["too_old", "task_pending"], S, past("b", 1), {"task": task(state="WAITING")}),
    ("not run since the restart, and in time", [], S, GOOD, {"task": task(state="PENDING")}),
    ("runs", [], S, GOOD, {"task": task(state="RUNNING"), "job_started": verify.moment(NOW - 60)}),
    ("runs and runs", ["task_stuck"], S, GOOD, {"task": task(state="RUNNING"), "job_started": verify.moment(NOW - 9 * HOUR)}),
    ("last one destroyed", ["last_snapshot_gone"], S, past("b", 1, 2), {"task": task(last_snapshot=f"tank/a@{name(3)}")}),
    ("last one of another dataset", [], S, GOOD, {"task": task(last_snapshot="tank/b@other")}),
]


@pytest.mark.parametrize(("what", "expected", "source", "target", "fields"), CASES, ids=[case[0] for case in CASES])
def test_each_reason_for_what_it_names(what: str, expected: list[str], source: t.Any, target: t.Any, fields: dict[str, t.Any]) -> None:
    del what
    there = fields.get("readonly_there", True)
    assert reasons(judged(source, target, there=there, **{key: value for key, value in fields.items() if key != "readonly_there"})) == expected


def test_every_reason_has_a_case() -> None:
    assert {one for case in CASES for one in case[1]} | {"task_missing"} == set(verify.REASONS)


def test_figures() -> None:
    found = judged(past("tank/a", 1, 2, 3, 4, 5), past("backup/a", 1, 3, shift=7))
    assert found["newest_common"] == {
        "name": name(3), "source": f"tank/a@{name(3)}", "target": f"backup/a@{name(3)}", "guid": "3", "createtxg": 120, "target_createtxg": 117,
        "creation": verify.moment(NOW - 3 * HOUR),
    }  # fmt: skip
    assert (found["age_seconds"], found["rpo_seconds"]) == (HOUR, 3 * HOUR)
    assert (found["missing"], found["missing_count"], found["pending_count"]) == ([name(2), name(4), name(5)], 3, 2)


def test_long_lists_are_cut_and_counted() -> None:
    found = judged(past("a", *range(1, 60)), past("b", 1, 59))
    assert found["missing_count"] == 57 and len(found["missing"]) == verify.SHOWN
    assert "57 of the snapshots" in found["reasons"][0]["detail"] and "and 52 more" in found["reasons"][0]["detail"]


@pytest.mark.parametrize(("schema", "good", "bad"), [
    (AUTO, "auto-2026-11-21_05-00", "auto-2026-11-21_05-00-x"), ("%s", "1700000000", "x"), ("a.%Y%m%d%H%M%z", "a.202611210500--0100", "ax202611210500--0100"),
    ("d%j-%Y-%m-%d_%H-%M", "d325-2026-11-21_05-00", "325-2026-11-21_05-00"),
])  # fmt: skip
def test_names_of_schemas(schema: str, good: str, bad: str) -> None:
    assert verify.schema_pattern(schema).fullmatch(good) and not verify.schema_pattern(schema).fullmatch(bad)


def test_history_is_ordered_by_transaction_group() -> None:
    """A clock can step back."""
    found = History("tank/a")
    for text, guid, txg, created in (("two", 2, 20, 5), ("one", 2**64 - 1, 10, 9), ("three", 3, 30, 7)):
        found.add(Snapshot(text, guid, txg, created))
    assert [one.name for one in found] == ["one", "two", "three"] and found.at(-1).guid == 3 and found.at(0).guid == 2**64 - 1
    assert [one.name for one in found.newest_first()] == ["three", "two", "one"]


def test_pages_are_taken_by_name() -> None:
    """truenas/middleware plugins/pool_/snapshot.py: `select` knows whole fields only, `properties` of extra are those that are read."""
    shown = [truenas.snapshot(f"tank/a@s{number}", str(number), txg=number) for number in range(5)]

    def page(entries: list[dict[str, t.Any]], *more: t.Any) -> Step:
        options = {"limit": 2, "order_by": ["id"], "select": ["id", "dataset", "snapshot_name", "createtxg", "properties"],
                   "extra": {"properties": ["guid", "creation"]}}  # fmt: skip
        return Step("pool.snapshot.query", [[["dataset", "in", ["tank/a", "tank/b"]], *more], options], entries)

    server = Server(page(shown[:2]), page(shown[2:4], ["id", ">", "tank/a@s1"]), page(shown[4:], ["id", ">", "tank/a@s3"]))
    with server.client() as client:
        found = history.read(client, ["tank/b", "tank/a"], page=2)
    server.finished()
    assert [one.guid for one in found["tank/a"]] == [0, 1, 2, 3, 4] and len(found["tank/b"]) == 0


def test_a_snapshot_without_guid_proves_nothing() -> None:
    with pytest.raises(ApiError, match="tank/a@x without guid"):
        history.from_api({"id": "tank/a@x", "snapshot_name": "x", "createtxg": "1", "properties": {}})


def test_many_names_are_asked_for_in_requests_that_fit() -> None:
    names = [f"tank/{'x' * 90}{number:04}" for number in range(1200)]
    server = Server(*[Step("pool.dataset.query", result=[])] * 3)
    with server.client() as client:
        assert history.datasets(client, names) == {}
    server.finished()
    assert sorted(one for _method, params in server.seen[1:] for one in params[0][0][2]) == names


def entry(**changes: t.Any) -> dict[str, t.Any]:
    return truenas.replication(1, "apps", **{"state": {"state": "FINISHED"}, **changes})


DEFAULTS = {"max_age": HOUR, "gaps": True}


def test_replications_become_pairs() -> None:
    one, = verify_read.from_tasks([entry(exclude=["tank/apps/x"])], DEFAULTS)
    assert (one.pair.source, one.pair.target, one.pair.schemas) == ("tank/apps", "backup/apps", (AUTO,))
    assert (one.recursive, one.exclude, one.reverse, one.local, one.pair.gaps, one.pair.readonly) == (True, ("tank/apps/x",), False, False, True, True)
    pulled, = verify_read.from_tasks([entry(direction="PULL", periodic_snapshot_tasks=[], naming_schema=["%s"], readonly="IGNORE")], DEFAULTS)
    assert pulled.reverse and pulled.pair.schemas == ("%s",) and not pulled.pair.readonly
    two = verify_read.from_tasks([entry(source_datasets=["tank/apps", "tank/db/main"], lifetimes=[{"schedule": {}}])], DEFAULTS)
    assert [(each.pair.source, each.pair.target) for each in two] == [("tank/apps", "backup/apps/apps"), ("tank/db/main", "backup/apps/db/main")]
    assert not two[0].pair.gaps


def tree(*names: str, **fields: t.Any) -> dict[str, t.Any]:
    """A dataset with those below it inside, as pool.dataset.query returns them."""
    return truenas.dataset(names[0], children=[tree(*names[1:], **fields)] if names[1:] else [], **fields)


def snaps(dataset: str, *guids: int) -> list[dict[str, t.Any]]:
    return [truenas.snapshot(f"{dataset}@{name(guid)}", str(guid), txg=guid, created=int(NOW) - HOUR) for guid in guids]


ON = truenas.prop("on", True)


def test_a_tree_is_a_pair_for_each_dataset() -> None:
    here = Server(
        Step("pool.dataset.query", result=[tree("tank/apps", "tank/apps/x", "tank/apps/x/y"), tree("tank/apps/z")]),
        Step("pool.snapshot.query", result=[*snaps("tank/apps", 1), *snaps("tank/apps/z", 2)]),
    )
    there = Server(
        Step("pool.dataset.query", [[["id", "in", ["backup/apps", "backup/apps/z"]]], ANY_OPTIONS], [tree("backup/apps", readonly=ON)]),
        Step("pool.snapshot.query", result=snaps("backup/apps", 1)),
    )
    with here.client() as first, there.client() as second:
        wanted = verify_read.from_tasks([entry(exclude=["tank/apps/x"])], DEFAULTS)
        found = verify_read.collect(wanted, verify_read.Reader(first), verify_read.Reader(second))
        assert (first.calls, second.calls) == (3, 3)
    assert [verify.judge(*one, NOW)["verdict"] for one in found] == ["verified", "failed"]
    assert [(pair.source, target.history is None) for pair, _source, target in found] == [("tank/apps", False), ("tank/apps/z", True)]


ANY_OPTIONS = {"extra": {"properties": ["readonly"], "retrieve_children": False, "retrieve_user_props": False}}


def test_a_side_that_cannot_be_read_is_a_reason() -> None:
    here = Server(Step("pool.dataset.query", result=[tree("tank/a")]), Step("pool.snapshot.query", error=call_error(14, "EFAULT", "broken")))
    there = Server(Step("pool.dataset.query", error=call_error(13, "EACCES", "Not authorized")))
    pairs = [{"source": "tank/a", "target": "backup/a"}]
    with here.client() as first, there.client() as second:
        found = verify_read.collect(verify_read.from_pairs(pairs, DEFAULTS), verify_read.Reader(first), verify_read.Reader(second))
    assert reasons(verify.judge(*found[0], NOW)) == ["source_unreachable", "target_unreachable"]
    here = Server(Step("pool.dataset.query", result=[tree("tank/a")]), Step("pool.snapshot.query", result=snaps("tank/a", 1)))
    with here.client() as first:
        found = verify_read.collect(verify_read.from_pairs(pairs, DEFAULTS), verify_read.Reader(first), verify_read.Reader(None))
    assert reasons(verify.judge(*found[0], NOW)) == ["target_unreachable"]


def test_one_system_is_asked_once_for_both_sides() -> None:
    local = Server(
        Step("pool.dataset.query", result=[tree("tank/apps")]),
        Step("pool.dataset.query", result=[tree("backup/apps", readonly=ON)]),
        Step("pool.snapshot.query", result=[*snaps("backup/apps", 1), *snaps("tank/apps", 1)]),
    )
    with local.client() as client:
        pairs = verify_read.from_tasks([entry(transport="LOCAL", ssh_credentials=None)], DEFAULTS)
        found = verify_read.collect(pairs, verify_read.Reader(client), verify_read.Reader(None))
    assert reasons(verify.judge(*found[0], NOW)) == []


def test_metrics_leave_out_what_is_not_known() -> None:
    pairs = [judged(S, GOOD, task=task()), judged(S, None)]
    text = verify_report.metrics({"verdict": "failed", "time": NOW, "system": 'n"s', "pairs": pairs}).decode()
    labels = '{system="n\\"s",replication="apps",source="tank/a",target="backup/a"}'
    assert f"resilient_platform_replica_rpo_seconds{labels} 3600" in text.splitlines()
    assert text.count("replica_rpo_seconds{") == 1 and text.count("replica_verified{") == 2
    assert 'target="backup/a",reason="target_missing"} 1' in text and 'replicas_verified{system="n\\"s"} 0' in text
