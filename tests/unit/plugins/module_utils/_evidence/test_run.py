"""Begin, resume, finish and push."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import lock, records, run
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import DirectoryDestination
from ansible_collections.resilient.platform.plugins.module_utils._evidence.records import Entry

from helpers.evidence import add, finish, good_run, make_keys, wanted


@pytest.fixture
def private(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_keys(tmp_path_factory.mktemp("keys"))[0]


@pytest.fixture
def nas(tmp_path_factory: pytest.TempPathFactory) -> DirectoryDestination:
    return DirectoryDestination("nas", str(tmp_path_factory.mktemp("nas")))


def test_first_run_begins_with_who_and_what(tmp_path: pathlib.Path) -> None:
    begun, problems = run.begin(wanted(tmp_path, facts={"controller": {"user": "me"}}), [])
    assert not begun.resumed and not begun.finished and problems == []
    assert begun.id.startswith("lab-dr_drill-2") and begun.dir == str(tmp_path / begun.id)
    result = begun.as_result()
    assert result["facts"]["run"] == {"environment": "lab", "operation": "dr_drill", "previous": None, "required_checks": []}
    assert result["facts"]["controller"] == {"user": "me"} and result["records"] == 1
    assert (tmp_path / begun.id / lock.LOCK_NAME).exists()


def test_unfinished_run_is_resumed_with_its_progress(tmp_path: pathlib.Path) -> None:
    first, _problems = run.begin(wanted(tmp_path), [])
    add(first.dir, Entry("backup", "step_finished", "passed", facts={"x": 1}))
    second, _problems = run.begin(wanted(tmp_path), [])
    assert second.resumed and second.id == first.id
    assert second.as_result()["steps_done"] == ["backup"] and second.as_result()["facts"]["x"] == 1
    assert second.records[-1]["check"] == "run_resumed"


def test_torn_log_is_resumed(tmp_path: pathlib.Path) -> None:
    first, _problems = run.begin(wanted(tmp_path), [])
    add(first.dir, Entry("a", "b", "info"))
    log = pathlib.Path(first.dir, records.LOG_NAME)
    log.write_bytes(log.read_bytes()[:-7])
    second, _problems = run.begin(wanted(tmp_path), [])
    assert second.id == first.id
    assert [record["check"] for record in records.read_log(first.dir)] == ["run_started", "log_repaired", "run_resumed"]


def test_after_a_finished_run_a_new_one_begins_and_names_it(tmp_path: pathlib.Path, private: str) -> None:
    finished = good_run(tmp_path, private)
    begun, _problems = run.begin(wanted(tmp_path), [])
    assert not begun.resumed and begun.id != finished.name
    assert begun.as_result()["facts"]["run"]["previous"]["id"] == finished.name


@pytest.mark.parametrize("options", [{"environment": "prod"}, {"operation": "backup"}])
def test_other_environment_or_operation_has_runs_of_its_own(tmp_path: pathlib.Path, options: dict[str, str]) -> None:
    first, _problems = run.begin(wanted(tmp_path), [])
    second, _problems = run.begin(wanted(tmp_path, **options), [])
    assert second.id != first.id and not second.resumed


def test_named_run_is_begun_and_resumed(tmp_path: pathlib.Path) -> None:
    newest, _problems = run.begin(wanted(tmp_path), [])
    first, _problems = run.begin(wanted(tmp_path, run_id="mine"), [])
    again, _problems = run.begin(wanted(tmp_path, run_id="mine"), [])
    assert (first.id, first.resumed, again.resumed) == ("mine", False, True) and newest.id != "mine"


def test_named_finished_run_stays_as_it_is(tmp_path: pathlib.Path, private: str) -> None:
    finished = good_run(tmp_path, private)
    before = (finished / records.LOG_NAME).read_bytes()
    again, _problems = run.begin(wanted(tmp_path, run_id=finished.name), [])
    assert again.finished and again.resumed and (finished / records.LOG_NAME).read_bytes() == before


def test_run_killed_between_its_last_record_and_its_reports_is_resumed(tmp_path: pathlib.Path, private: str) -> None:
    first, _problems = run.begin(wanted(tmp_path), [])
    run.close(first.dir)
    again, _problems = run.begin(wanted(tmp_path), [])
    assert again.resumed and not again.finished
    finish(again.dir, private)
    assert run.begin(wanted(tmp_path, run_id=again.id), [])[0].finished


def test_closing_twice_adds_nothing(tmp_path: pathlib.Path) -> None:
    first, _problems = run.begin(wanted(tmp_path), [])
    assert run.close(first.dir) == run.close(first.dir)


def test_empty_log_cannot_be_closed(tmp_path: pathlib.Path) -> None:
    (tmp_path / records.LOG_NAME).touch()
    with pytest.raises(Refused, match="no run to finish"):
        run.close(str(tmp_path))


def test_run_of_a_live_play_is_refused(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run.begin(wanted(tmp_path), [])
    mine = lock.myself()
    monkeypatch.setattr(lock, "myself", lambda: {**mine, "pid": 1, "started": 0})
    with pytest.raises(lock.RunLocked):
        run.begin(wanted(tmp_path), [])


@pytest.mark.parametrize("options", [{"environment": "a/b"}, {"operation": ""}, {"run_id": "../x"}, {"environment": ".x"}])
def test_unusable_names_are_refused(tmp_path: pathlib.Path, options: dict[str, str]) -> None:
    with pytest.raises(Refused, match="cannot be the"):
        run.begin(wanted(tmp_path, **options), [])
    assert list(tmp_path.iterdir()) == []


def test_plan_without_a_check_on_data_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match="no check on data"):
        run.begin(wanted(tmp_path, required_checks=[{"check": "step_finished", "data": False}]), [])
    assert list(tmp_path.iterdir()) == []


def test_plan_can_grow_and_not_shrink(tmp_path: pathlib.Path) -> None:
    canary, write = {"check": "canary", "data": True}, {"check": "write", "data": False}
    run.begin(wanted(tmp_path, required_checks=[canary]), [])
    run.begin(wanted(tmp_path), [])
    grown, _problems = run.begin(wanted(tmp_path, required_checks=[canary, write]), [])
    assert grown.as_result()["facts"]["run"]["required_checks"] == [canary, write]


def test_changed_log_of_this_kind_stops_the_beginning(tmp_path: pathlib.Path) -> None:
    first, _problems = run.begin(wanted(tmp_path), [])
    log = pathlib.Path(first.dir, records.LOG_NAME)
    log.write_bytes(log.read_bytes().replace(b"run_started", b"run_stopped"))
    with pytest.raises(records.ChainBroken):
        run.begin(wanted(tmp_path), [])
    assert not run.begin(wanted(tmp_path, environment="prod"), [])[0].resumed  # another one's damage is no obstacle


def test_other_directories_are_no_runs(tmp_path: pathlib.Path) -> None:
    (tmp_path / "notes").mkdir()
    assert run.local_runs(wanted(tmp_path)) == [] == run.local_runs(wanted(tmp_path / "absent"))


def test_pushed_run_is_resumed_on_an_empty_controller(tmp_path: pathlib.Path, nas: DirectoryDestination) -> None:
    first, _problems = run.begin(wanted(tmp_path / "a"), [])
    add(first.dir, Entry("backup", "step_finished", "passed"))
    pathlib.Path(first.dir, "canary-files.jsonl").write_text("{}\n")
    done, problems = run.push(first.dir, [nas])
    assert problems == [] and done[0]["destination"] == "nas"
    assert nas.list("lab/") == [f"lab/evidence/dr_drill/{first.id}/{name}" for name in ("canary-files.jsonl", "evidence.jsonl")]
    second, _problems = run.begin(wanted(tmp_path / "b"), [nas])
    assert (second.id, second.resumed, second.source) == (first.id, True, "nas")
    assert second.as_result()["steps_done"] == ["backup"] and pathlib.Path(second.dir, "canary-files.jsonl").exists()


def test_pushed_finished_run_is_not_resumed(tmp_path: pathlib.Path, nas: DirectoryDestination, private: str) -> None:
    older, _problems = run.begin(wanted(tmp_path / "a", run_id="lab-dr_drill-1"), [])
    run.push(older.dir, [nas])
    finished = good_run(tmp_path / "b", private)
    run.push(str(finished), [nas])
    assert nas.list("lab/evidence/dr_drill/lab-dr_drill-2")[-1].endswith("report.json")
    begun, _problems = run.begin(wanted(tmp_path / "c"), [nas])
    assert not begun.resumed


def test_local_run_wins_over_a_pushed_one(tmp_path: pathlib.Path, nas: DirectoryDestination) -> None:
    first, _problems = run.begin(wanted(tmp_path / "a"), [])
    run.push(first.dir, [nas])
    local, _problems = run.begin(wanted(tmp_path / "b"), [])
    assert run.begin(wanted(tmp_path / "b"), [nas])[0].id == local.id


def test_named_run_is_fetched(tmp_path: pathlib.Path, nas: DirectoryDestination) -> None:
    first, _problems = run.begin(wanted(tmp_path / "a", run_id="mine"), [])
    run.push(first.dir, [nas])
    run.begin(wanted(tmp_path / "b"), [])
    assert run.begin(wanted(tmp_path / "b", run_id="mine"), [nas])[0].source == "nas"


def test_damaged_pushed_log_stops_the_beginning(tmp_path: pathlib.Path, nas: DirectoryDestination) -> None:
    first, _problems = run.begin(wanted(tmp_path / "a"), [])
    run.push(first.dir, [nas])
    path = pathlib.Path(nas.location(nas.list("lab/")[0]))
    path.write_bytes(path.read_bytes().replace(b"info", b"infx"))
    with pytest.raises(records.ChainBroken):
        run.begin(wanted(tmp_path / "b"), [nas])


def test_destination_that_is_gone_is_told_and_no_obstacle(tmp_path: pathlib.Path, nas: DirectoryDestination) -> None:
    gone = DirectoryDestination("gone", str(tmp_path / "absent"))
    begun, problems = run.begin(wanted(tmp_path / "a"), [gone, nas])
    assert problems and "gone:" in problems[0]
    done, problems = run.push(begun.dir, [gone, nas])
    assert [item["destination"] for item in done] == ["nas"] and "does not exist" in problems[0]


def test_push_writes_only_what_is_new(tmp_path: pathlib.Path, nas: DirectoryDestination) -> None:
    begun, _problems = run.begin(wanted(tmp_path), [])
    run.push(begun.dir, [nas])
    path = pathlib.Path(nas.location(nas.list("lab/")[0]))
    before = path.stat().st_ino
    run.push(begun.dir, [nas])
    assert path.stat().st_ino == before
    add(begun.dir, Entry("a", "b", "info"))
    run.push(begun.dir, [nas])
    assert path.stat().st_ino != before and path.read_bytes() == pathlib.Path(begun.dir, records.LOG_NAME).read_bytes()


def test_lock_and_hidden_files_are_not_pushed(tmp_path: pathlib.Path, nas: DirectoryDestination) -> None:
    begun, _problems = run.begin(wanted(tmp_path), [])
    for name in (".hidden.json", "canary.stop"):
        pathlib.Path(begun.dir, name).touch()
    run.push(begun.dir, [nas])
    assert [os.path.basename(key) for key in nas.list("lab/")] == ["evidence.jsonl"]


def test_decision_tells_without_writing(tmp_path: pathlib.Path, nas: DirectoryDestination) -> None:
    target = tmp_path / "a"
    decision: t.Any = run.decide(wanted(target), [nas])
    assert decision.run is None and decision.remote is None and not target.exists()
