"""Whole rebuilds on damaged ground; minutes each, so they are in ``make test-all``."""

from __future__ import annotations

import json
import pathlib

import pytest
from harness import LONG_ONLY, looks
from harness.canaries import MIDDLE, file_forged
from harness.drill import COMMAND, Drill, Kill
from harness.refusals import Copies, Runner, flipped

pytestmark = [pytest.mark.fault, LONG_ONLY]
GUESTS = str(pathlib.Path(__file__).with_name("lose_guests.yml"))


def test_guests_that_are_lost_come_back_from_the_one_good_copy(runner: Runner, copies: Copies) -> None:
    copies.put(copies.snapshot, flipped(copies.offsite[copies.snapshot]), nas=False)
    assert runner.run(GUESTS).status == 0
    assert looks.guests(runner.state) == []
    known = len(runner.records())
    result = runner.rebuild()
    assert result.status == 0, f"see {result.log}"
    assert looks.guests(runner.state) == ["vault-1", "vault-2", "vault-3"]
    records = {record["check"]: record for record in runner.records()[known:] if record["asset"] == "vault"}
    assert (records["copy_at_offsite"]["outcome"], records["copy_chosen"]["outcome"]) == ("failed", "passed")
    assert records["restored"]["outcome"] == "passed"
    # The data of before: the canaries of the drill, under credentials that only the restored cluster knows.
    assert looks.vault(runner.state, "canary").adapter.list("/v1/kv/metadata/canary/")["data"]["keys"]


def test_drill_whose_canaries_were_forged_ends_failed_and_says_which(runner: Runner, drill: Drill) -> None:
    logs = drill.logs / "second"
    logs.mkdir()
    second = Drill(runner.state, logs, (*COMMAND, "-e", "harden_audit=false"))
    assert second.attempt(Kill("proof", 0)).killed is not None
    assert len(second.run_dirs) == 2
    run = second.run_dirs[-1]
    with file_forged(runner.state, run.name):
        attempt = second.attempt(None)
    assert attempt.status != 0, f"a drill that proved nothing ended well: see {attempt.log}"
    report = json.loads((run / "report.json").read_text())
    assert report["verdict"] == "failed"
    assert any(reason.startswith("prove: canaries of files failed") for reason in report["reasons"])
    proof = next(check for check in report["checks"] if (check["check"], check["asset"]) == ("canaries", "files"))
    assert (proof["outcome"], f"record {MIDDLE} forged" in proof["actual"]) == ("failed", True)
