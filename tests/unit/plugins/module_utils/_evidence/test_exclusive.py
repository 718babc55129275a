"""Backups, drills and rebuilds of one environment exclude one another."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import exclusive, lock, records, run
from ansible_collections.resilient.platform.plugins.module_utils._evidence.records import Entry

from helpers.evidence import add, wanted

DISASTER = Entry("rebuild_plan", "step_started", "info", facts={"disaster": {"declared_at": "2026-11-21T05:00:00.000000Z"}})


def begin(directory: pathlib.Path, operation: str, environment: str = "lab") -> run.Run:
    return run.begin(wanted(directory, operation=operation, environment=environment), [])[0]


@pytest.fixture
def other_play(monkeypatch: pytest.MonkeyPatch) -> t.Callable[[], None]:
    """From the call on, this process is another play than the one that began the runs, which is still alive."""
    mine = lock.myself()
    return lambda: monkeypatch.setattr(lock, "myself", lambda: {**mine, "pid": 1, "started": 0})


@pytest.mark.parametrize(
    ("first", "second"), [("dr_rebuild", "backup"), ("dr_drill", "backup"), ("backup", "dr_rebuild"), ("backup", "dr_drill"), ("dr_drill", "dr_rebuild")]
)
def test_one_at_a_time(tmp_path: pathlib.Path, other_play: t.Callable[[], None], first: str, second: str) -> None:
    begun = begin(tmp_path, first)
    other_play()
    with pytest.raises(exclusive.Busy, match=f"^{second} of lab cannot run beside {first}[.] .*{begun.id}.* Nothing was changed") as caught:
        begin(tmp_path, second)
    assert caught.value.hint.startswith("Wait until it has ended")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [begun.id]


def test_other_environments_and_operations_do_not_matter(tmp_path: pathlib.Path, other_play: t.Callable[[], None]) -> None:
    begin(tmp_path, "dr_rebuild", "other")
    begin(tmp_path, "backup_verify")
    other_play()
    assert begin(tmp_path, "backup").dir
    assert begin(tmp_path, "dr_drill_isolated").dir


def test_play_that_is_dead_does_not_matter(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(tmp_path, "backup")
    monkeypatch.setattr(lock, "_alive", lambda _holder, _run_dir: False)
    mine = lock.myself()
    monkeypatch.setattr(lock, "myself", lambda: {**mine, "pid": 1, "started": 0})
    assert begin(tmp_path, "dr_rebuild").dir


def test_the_own_play_may_do_both(tmp_path: pathlib.Path) -> None:
    begin(tmp_path, "dr_drill")
    assert begin(tmp_path, "backup").dir


@pytest.mark.parametrize("operation", ["dr_drill", "dr_rebuild"])
def test_half_a_platform_is_not_backed_up(tmp_path: pathlib.Path, operation: str) -> None:
    begun = begin(tmp_path, operation)
    add(begun.dir, DISASTER)
    with pytest.raises(exclusive.Busy, match=f"The {operation} {begun.id} of lab declared a disaster and did not finish") as caught:
        begin(tmp_path, "backup")
    assert f"dr_finish_operation={operation}" in caught.value.hint
    run.close(begun.dir)
    assert begin(tmp_path, "backup").dir


def test_drill_before_its_disaster_leaves_a_whole_platform(tmp_path: pathlib.Path) -> None:
    begin(tmp_path, "dr_drill")
    assert begin(tmp_path, "backup").dir


def test_only_the_newest_rebuild_counts(tmp_path: pathlib.Path) -> None:
    add(begin(tmp_path, "dr_drill").dir, DISASTER)
    run.close(begin(tmp_path, "dr_rebuild").dir)
    assert begin(tmp_path, "backup").dir


def test_broken_log_of_another_run_stops_nothing(tmp_path: pathlib.Path) -> None:
    begun = begin(tmp_path, "dr_rebuild")
    path = pathlib.Path(begun.dir, records.LOG_NAME)
    path.write_bytes(path.read_bytes().replace(b"dr_rebuild", b"dr_rebuilt"))
    exclusive.check(str(tmp_path), "lab", "backup")
    exclusive.check(str(tmp_path / "nothing"), "lab", "backup")
