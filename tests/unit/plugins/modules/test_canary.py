"""The canary module in all its modes, on a file store."""

from __future__ import annotations

import pathlib
import threading
import time
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import canary_write as core
from ansible_collections.resilient.platform.plugins.module_utils._evidence import records
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import utc_now
from ansible_collections.resilient.platform.plugins.modules import canary

from helpers.evidence import HMAC_KEY
from helpers.modules import ModuleFailed, run_module

Args = dict[str, t.Any]


@pytest.fixture
def args(tmp_path: pathlib.Path) -> Args:
    for name in ("run", "a", "b"):
        (tmp_path / name).mkdir()
    (tmp_path / "key").write_bytes(HMAC_KEY)
    stores = [{"name": "files", "asset": "data", "type": "file", "path": str(tmp_path / "a")}, {"name": "other", "type": "file", "path": str(tmp_path / "b")}]
    return {"run_dir": str(tmp_path / "run"), "series": "s1", "stores": stores, "hmac_key_file": str(tmp_path / "key")}


def act(args: Args, mode: str, **options: t.Any) -> Args:
    return run_module(canary.main, {**args, "mode": mode, **options})


def test_write_status_read(args: Args) -> None:
    found = act(args, "write", count=3)
    assert found["changed"] and found["canary"]["stores"]["files"]["written"] == 3
    status = act(args, "status")
    assert not status["changed"] and status["canary"]["stores"]["files"]["newest"]["sequence"] == 3
    read = act(args, "read", disaster_at=utc_now(), minimum_sequences={"files": 3})
    assert not read["changed"] and read["canary"]["verdict"] == "verified"
    assert read["canary"]["stores"]["files"]["recovered"] == 3 and read["canary"]["skew_seconds"] < 1
    assert act(args, "verify")["canary"]["stores"]["files"]["rpo_seconds"] is None


def test_numbers_go_on_in_the_next_call(args: Args) -> None:
    act(args, "write", count=2)
    assert act(args, "write")["canary"]["stores"]["files"]["newest"]["sequence"] == 3


def test_store_that_does_not_take_a_record_fails_the_write_and_is_named(args: Args, tmp_path: pathlib.Path) -> None:
    (tmp_path / "b").rmdir()
    with pytest.raises(ModuleFailed, match="other: The directory .* does not exist") as caught:
        act(args, "write")
    assert caught.value.result["canary"]["stores"]["files"]["written"] == 1


@pytest.mark.parametrize("mode", ["write", "run"])
def test_check_mode_writes_nothing(args: Args, tmp_path: pathlib.Path, mode: str) -> None:
    found = run_module(canary.main, {**args, "mode": mode}, check=True)
    assert found["changed"] and list((tmp_path / "a").iterdir()) == []


def test_run_until_the_stop_file(args: Args, tmp_path: pathlib.Path) -> None:
    def stop() -> None:
        written = tmp_path / "run" / "canary-other.jsonl"
        while not written.exists() or written.read_bytes().count(b"\n") < 5:
            time.sleep(0.02)
        (tmp_path / "run" / core.STOP_NAME).touch()

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    found = act(args, "run", interval_seconds=0.05, max_seconds=20)
    thread.join()
    assert found["stopped"] and not found["already_running"] and found["canary"]["stores"]["other"]["written"] >= 3
    assert act(args, "run")["canary"]["stores"]["other"]["written"] == 0


def test_second_writer_ends_at_once(args: Args) -> None:
    first = core.OneWriter(args["run_dir"])
    assert first.take()
    found = act(args, "run")
    assert found["already_running"] and not found["changed"]
    first.release()


def test_write_beside_a_writer_at_work_waits_for_its_records(args: Args, tmp_path: pathlib.Path) -> None:
    # A process of its own: a module ends its process, and the lock belongs to it.
    thread = threading.Thread(target=lambda: act(args, "run", interval_seconds=0.1, max_seconds=30))
    thread.start()
    while not (tmp_path / "run" / "canary-other.jsonl").exists():
        time.sleep(0.05)
    found = act(args, "write", count=2)
    (tmp_path / "run" / core.STOP_NAME).touch()
    thread.join()
    assert not found["changed"] and found["canary"]["stores"]["files"]["newest"]["sequence"] >= 2
    assert act(args, "read", disaster_at=utc_now())["canary"]["verdict"] == "verified"


def test_writer_that_gets_nothing_done_is_not_waited_for_without_end(args: Args, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(canary, "_PATIENCE_SECONDS", 0.3)
    first = core.OneWriter(args["run_dir"])
    assert first.take()
    with pytest.raises(ModuleFailed, match="Another writer is at work in .*not every store has acknowledged"):
        act(args, "write")
    with pytest.raises(ModuleFailed, match="could be taken for lost"):
        act(args, "read", accept_loss=True)
    first.release()


def test_nothing_is_written_while_a_rebuild_holds_the_canaries(args: Args, tmp_path: pathlib.Path) -> None:
    (tmp_path / "run" / core.STOP_NAME).write_text("the dr_rebuild lab-7\n")
    with pytest.raises(ModuleFailed, match="was stopped by: the dr_rebuild lab-7. Nothing was written"):
        act(args, "write")
    assert list((tmp_path / "a").iterdir()) == []


def test_platform_s_series_survives_the_controller_and_a_loss(args: Args, tmp_path: pathlib.Path) -> None:
    (tmp_path / "nas").mkdir()
    shared = {**args, "environment": "lab", "destinations": [{"name": "nas", "type": "directory", "path": str(tmp_path / "nas")}]}
    assert act(shared, "write", count=3)["pushed"][0]["keys"] == ["lab/canaries/s1/canary-files.jsonl", "lab/canaries/s1/canary-other.jsonl"]
    data = tmp_path / "a" / "canary" / "s1.jsonl"
    data.write_bytes(b"".join(data.read_bytes().splitlines(keepends=True)[:2]))
    for path in (tmp_path / "run").iterdir():
        path.unlink()
    disaster = utc_now()
    told = run_module(canary.main, {**shared, "mode": "read", "disaster_at": disaster, "accept_loss": True}, check=True)
    assert told["canary"]["stores"]["files"]["verdict"] == "could_not_verify" and list((tmp_path / "run").glob("canary-*")) == []
    read = act(shared, "read", disaster_at=disaster, minimum_sequences={"files": 2}, accept_loss=True)
    assert read["changed"] and read["canary"]["stores"]["files"]["lost"] == 1 and read["canary"]["verdict"] == "verified"
    assert b'"kind":"lost"' in (tmp_path / "nas" / "lab" / "canaries" / "s1" / "canary-files.jsonl").read_bytes()
    again = act(shared, "read", disaster_at=disaster, accept_loss=True)
    assert not again["changed"] and "pushed" not in again
    newest = act(shared, "write")["canary"]["stores"]["files"]["newest"]
    assert (newest["series"], newest["store"], newest["sequence"]) == ("s1", "files", 4)
    assert act(shared, "read", disaster_at=utc_now())["canary"]["verdict"] == "verified"


def test_destination_that_is_down_is_a_warning_unless_nothing_is_known_here(args: Args, tmp_path: pathlib.Path) -> None:
    shared = {**args, "environment": "lab", "destinations": [{"name": "nas", "type": "directory", "path": str(tmp_path / "nas")}]}
    with pytest.raises(ModuleFailed, match="Nothing is known here of the series s1 in files, other, and no destination can be asked"):
        act(shared, "write")
    act(args, "write")
    found = act(shared, "write")
    assert found["pushed"] == [] and found["canary"]["stores"]["files"]["newest"]["sequence"] == 2
    assert act(shared, "status")["canary"]["stores"]["files"]["acknowledged"] == 2


def test_read_adds_records_of_each_store_to_the_evidence(args: Args, tmp_path: pathlib.Path) -> None:
    records.append(args["run_dir"], "r1", [records.Entry("run", "run_started", "info")])
    act(args, "write", count=2)
    (tmp_path / "b" / "canary" / "s1.jsonl").write_bytes(b"")
    assert run_module(canary.main, {**args, "mode": "read", "step": "prove"}, check=True)["changed"]
    assert len(records.read_log(args["run_dir"])) == 1
    act(args, "read", step="prove", disaster_at=utc_now())
    found = [(item["check"], item["asset"], item["outcome"], item["data"]) for item in records.read_log(args["run_dir"])[1:]]
    assert found == [("canary_files", "data", "passed", True), ("canary", "other", "failed", True)]
    assert records.merge_facts(records.read_log(args["run_dir"]))["canaries"]["files"]["recovered"] == 2


@pytest.mark.parametrize(
    ("remove", "fail_on", "fails"),
    [
        ("a/canary/s1.jsonl", "failed", True),
        ("a/canary/s1.jsonl", "never", False),
        ("run/canary-files.jsonl", "failed", False),
        ("run/canary-files.jsonl", "not_verified", True),
    ],
)
def test_read_fails_the_task_only_on_request(args: Args, tmp_path: pathlib.Path, remove: str, fail_on: str, fails: bool) -> None:
    act(args, "write", count=2)
    (tmp_path / remove).unlink()
    if not fails:
        assert act(args, "read", fail_on=fail_on)["canary"]["verdict"] != "verified"
        return
    with pytest.raises(ModuleFailed, match="files: no") as caught:
        act(args, "read", fail_on=fail_on)
    assert caught.value.result["canary"]["stores"]["other"]["verdict"] == "verified"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"run_dir": "/nonexistent"}, "does not exist"),
        ({"destinations": [{"name": "nas", "type": "directory", "path": "/x"}]}, "name of the environment"),
        ({"interval_seconds": 0}, "at least 0.01"),
        ({"disaster_at": "soon"}, "not a time"),
        ({"series": "a/b"}, "name of a series"),
        ({"hmac_key_file": "/nonexistent"}, "Cannot read the canary key"),
        ({"stores": []}, "name of its own"),
        ({"stores": [{"name": "a", "type": "file", "path": "/x"}] * 2}, "name of its own"),
        ({"stores": [{"name": "a", "type": "file"}]}, "without an absolute path"),
        ({"stores": [{"name": "a/b", "type": "file", "path": "/tmp"}]}, "name of a store"),
    ],
)
def test_bad_input_is_refused(args: Args, tmp_path: pathlib.Path, options: Args, said: str) -> None:
    with pytest.raises(ModuleFailed, match=said):
        act({**args, **options}, "write")
    assert list((tmp_path / "a").iterdir()) == []
