"""The evidence modules, from their parameters to their results."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import lock, records
from ansible_collections.resilient.platform.plugins.modules import evidence_record, evidence_report, evidence_run, evidence_verify

from helpers.evidence import good_run, make_keys
from helpers.modules import ModuleFailed, run_module

Args = dict[str, t.Any]


@pytest.fixture
def keys(tmp_path: pathlib.Path) -> tuple[str, str]:
    (tmp_path / "keys").mkdir()
    return make_keys(tmp_path / "keys")


@pytest.fixture
def args(tmp_path: pathlib.Path, keys: tuple[str, str]) -> Args:
    return {"evidence_dir": str(tmp_path / "evidence"), "environment": "lab", "operation": "dr_drill", "signing_key": keys[0]}


def start(args: Args, **options: t.Any) -> Args:
    return run_module(evidence_run.main, {**args, **options})


def record(run_dir: str, **options: t.Any) -> Args:
    base = {"run_dir": run_dir, "step": "backup", "check": "read_back", "outcome": "passed"}
    return run_module(evidence_record.main, {**base, **options})


def test_begin_record_finish_verify(args: Args, keys: tuple[str, str]) -> None:
    begun = start(args)["run"]
    record(begun["dir"], data=True, asset="vault", expected="a", actual="a")
    record(begun["dir"], check="declared", outcome="info", facts={"disaster": {}})
    record(
        begun["dir"],
        step="prove",
        check="canary",
        data=True,
        asset="vault",
        facts={
            "canaries": {
                "vault": {
                    "rpo_seconds": 1.0,
                    "verdict": "verified",
                    "recovered": 1,
                    "lost": 0,
                    "phantom": 0,
                    "acknowledged": 1,
                    "newest_recovered": 1,
                    "newest_recovered_at": None,
                    "reason": "",
                }
            }
        },
    )
    record(begun["dir"], check="step_finished")
    resumed = start(args)
    assert resumed["run"]["resumed"] and resumed["run"]["steps_done"] == ["backup"] and "boot_id" in resumed["run"]["facts"]["disaster"]
    done = start(args, state="finished", run_id=begun["id"], objectives={"platform": {"rto_seconds": 60, "rpo_seconds": 60}})
    assert done["changed"] and done["run"]["finished"] and done["report"]["verdict"] == "verified"
    assert done["report"]["rto_seconds"] < 60 and os.path.exists(done["report"]["path"])
    assert not os.path.exists(os.path.join(begun["dir"], lock.LOCK_NAME))
    found = run_module(evidence_verify.main, {"run_dir": begun["dir"], "public_key": keys[1]})
    assert found["verdict"] == "valid" and not found["changed"]


def test_finishing_twice_changes_nothing(args: Args) -> None:
    begun = start(args)["run"]
    start(args, state="finished")
    before = {name: pathlib.Path(begun["dir"], name).read_bytes() for name in os.listdir(begun["dir"])}
    again = start(args, state="finished")
    assert not again["changed"] and again["run"]["id"] == begun["id"] and again["report"]["verdict"] == "could_not_verify"
    assert before == {name: pathlib.Path(begun["dir"], name).read_bytes() for name in os.listdir(begun["dir"])}


def test_resuming_a_finished_run_by_name_changes_nothing(args: Args) -> None:
    begun = start(args)["run"]
    start(args, state="finished")
    again = start(args, run_id=begun["id"])
    assert not again["changed"] and again["run"]["finished"]
    assert not start(args)["run"]["resumed"]


def test_check_mode_says_which_run_it_would_be_and_writes_nothing(args: Args) -> None:
    found = run_module(evidence_run.main, args, check=True)
    assert found["changed"] and found["run"]["id"] is None and not found["run"]["resumed"]
    assert not os.path.exists(args["evidence_dir"])
    begun = start(args)["run"]
    log = pathlib.Path(begun["dir"], records.LOG_NAME)
    before = log.read_bytes()
    found = run_module(evidence_run.main, args, check=True)
    assert found["run"]["id"] == begun["id"] and found["run"]["resumed"]
    found = run_module(evidence_run.main, {**args, "state": "finished"}, check=True)
    assert found["changed"] and found["report"]["verdict"] == "could_not_verify" and log.read_bytes() == before


def test_check_mode_finds_the_run_at_a_destination(args: Args, tmp_path: pathlib.Path) -> None:
    (tmp_path / "nas").mkdir()
    nas = [{"name": "nas", "type": "directory", "path": str(tmp_path / "nas")}]
    begun = start(args, destinations=nas)
    assert begun["pushed"][0]["destination"] == "nas"
    found = run_module(evidence_run.main, {**args, "evidence_dir": str(tmp_path / "empty"), "destinations": nas}, check=True)
    assert found["run"]["id"] == begun["run"]["id"] and found["run"]["source"] == "nas" and not (tmp_path / "empty").exists()
    done = start(args, state="finished", destinations=nas)
    assert any(key.endswith("evidence.dsse.json") for key in done["pushed"][0]["keys"])


def test_destination_that_is_down_does_not_stop_the_run(args: Args, tmp_path: pathlib.Path) -> None:
    gone = [{"name": "gone", "type": "directory", "path": str(tmp_path / "absent")}]
    begun = start(args, destinations=gone)
    assert begun["pushed"] == []
    assert record(begun["run"]["dir"], destinations=gone)["pushed"] == []
    assert run_module(evidence_report.main, {"run_dir": begun["run"]["dir"], "destinations": gone})["pushed"] == []
    assert start(args, state="finished", destinations=gone)["run"]["finished"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"signing_key": "/nonexistent.pem"}, "Cannot read the signing key"),
        ({"required_checks": [{"check": "x"}]}, "no check on data"),
        ({"environment": "a/b"}, "cannot be the environment"),
        ({"destinations": [{"name": "a", "type": "directory"}]}, "without a path"),
        ({"state": "finished", "signing_key": None}, "without a signing_key"),
        ({"state": "finished"}, "There is no run of dr_drill"),
        ({"state": "finished", "run_id": "mine"}, "There is no run mine"),
        ({"state": "finished", "objectives": {"vault": 5}}, "rto_seconds"),
    ],
)
def test_bad_input_is_refused_before_the_first_write(args: Args, options: Args, said: str) -> None:
    with pytest.raises(ModuleFailed, match=said):
        start(args, **options)
    assert not os.path.exists(args["evidence_dir"])


def test_directory_that_cannot_be_made_is_named(args: Args, tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModuleFailed, match="Cannot use .*file"):
        start(args, evidence_dir=str(tmp_path / "file" / "x"))


def test_user_without_a_name(args: Args, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> t.NoReturn:
        raise KeyError("uid not found: 1000")

    monkeypatch.setattr(evidence_run.getpass, "getuser", refuse)
    assert start(args)["run"]["facts"]["controller"]["user"] == str(os.getuid())


def test_record_in_check_mode_writes_nothing(args: Args) -> None:
    begun = start(args)["run"]
    found = run_module(evidence_record.main, {"run_dir": begun["dir"], "step": "a", "check": "b", "outcome": "info", "facts": {"x": 1}}, check=True)
    assert found["changed"] and found["record"]["facts"] == {"x": 1} and len(records.read_log(begun["dir"])) == 1


def test_record_with_a_secret_is_refused_and_does_not_repeat_it(args: Args) -> None:
    begun = start(args)["run"]
    with pytest.raises(ModuleFailed) as caught:
        record(begun["dir"], facts={"login": {"password": "hunter2"}})
    assert "facts.login.password" in caught.value.result["msg"] and "hunter2" not in json.dumps(caught.value.result)
    assert len(records.read_log(begun["dir"])) == 1


@pytest.mark.parametrize(("options", "said"), [({"facts": {"disaster": {"declared_at": "soon"}}}, "not a time"), ({"step": ""}, "needs a step")])
def test_bad_record_is_refused(args: Args, options: Args, said: str) -> None:
    with pytest.raises(ModuleFailed, match=said):
        record(start(args)["run"]["dir"], **options)


def test_given_disaster_stays_as_it_is(args: Args) -> None:
    disaster = {"declared_at": "2026-11-21T05:45:00Z"}
    assert record(start(args)["run"]["dir"], facts={"disaster": disaster})["record"]["facts"] == {"disaster": disaster}


def test_record_needs_a_run_that_is_open(args: Args, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ModuleFailed, match="Cannot read the evidence log"):
        record(str(tmp_path))
    (tmp_path / records.LOG_NAME).touch()
    with pytest.raises(ModuleFailed, match="is empty"):
        record(str(tmp_path))
    begun = start(args)["run"]
    start(args, state="finished")
    with pytest.raises(ModuleFailed, match="it is finished"):
        record(begun["dir"])


def test_changed_log_is_named(args: Args) -> None:
    begun = start(args)["run"]
    log = pathlib.Path(begun["dir"], records.LOG_NAME)
    log.write_bytes(log.read_bytes().replace(b"info", b"infx"))
    with pytest.raises(ModuleFailed) as caught:
        record(begun["dir"])
    assert caught.value.result["error"]["type"] == "ChainBroken" and caught.value.result["error"]["record"] == 1


def test_report_is_idempotent_and_check_mode_predicts_it(args: Args, keys: tuple[str, str]) -> None:
    begun = start(args)["run"]
    report = {"run_dir": begun["dir"], "signing_key": keys[0]}
    assert run_module(evidence_report.main, report, check=True)["changed"]
    assert not os.path.exists(os.path.join(begun["dir"], "report.json"))
    assert run_module(evidence_report.main, report)["changed"]
    assert not run_module(evidence_report.main, report)["changed"] and not run_module(evidence_report.main, report, check=True)["changed"]
    assert not os.path.exists(os.path.join(begun["dir"], "evidence.dsse.json"))
    record(begun["dir"], data=True)
    assert run_module(evidence_report.main, report, check=True)["changed"]


@pytest.mark.parametrize(
    ("fail_on", "outcome", "fails"), [("never", "failed", False), ("failed", "failed", True), ("failed", "skipped", False), ("not_verified", "skipped", True)]
)
def test_report_fails_the_task_only_on_request(args: Args, fail_on: str, outcome: str, fails: bool) -> None:
    begun = start(args)["run"]
    record(begun["dir"], outcome=outcome)
    report = {"run_dir": begun["dir"], "fail_on": fail_on}
    if not fails:
        assert run_module(evidence_report.main, report)["changed"]
        return
    with pytest.raises(ModuleFailed, match="The verdict of the run is") as caught:
        run_module(evidence_report.main, report)
    assert caught.value.result["report"]["path"] and os.path.exists(caught.value.result["report"]["path"])


def test_verify_fails_on_a_changed_byte_unless_told_not_to(tmp_path: pathlib.Path, keys: tuple[str, str]) -> None:
    finished = good_run(tmp_path / "evidence", keys[0])
    path = finished / "report.html"
    path.write_bytes(path.read_bytes().replace(b"Verified", b"verified"))
    verify = {"run_dir": str(finished), "public_key": keys[1]}
    with pytest.raises(ModuleFailed, match="is invalid: files: report.html"):
        run_module(evidence_verify.main, verify)
    assert run_module(evidence_verify.main, {**verify, "fail_on": "never"})["verdict"] == "invalid"
    with pytest.raises(ModuleFailed, match="could not be verified"):
        run_module(evidence_verify.main, {"path": str(tmp_path / "absent"), "public_key": keys[1]})
