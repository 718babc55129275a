"""Canaries that did not come back as they were written: the verdict is failed, and names store and record."""

from __future__ import annotations

import pathlib

import pytest
from harness import LONG_ONLY
from harness.canaries import DAMAGES
from harness.drill import Drill
from harness.refusals import Runner

pytestmark = pytest.mark.fault

PLAY = str(pathlib.Path(__file__).with_name("canaries.yml"))


@pytest.mark.parametrize(
    "damage", [pytest.param(name, marks=[] if name in ("files-missing", "vault-forged") else LONG_ONLY) for name in sorted(DAMAGES)]
)
def test_canary_that_is_missing_or_forged_is_named(runner: Runner, drill: Drill, damage: str) -> None:
    run = drill.run_dirs[0]
    make, words = DAMAGES[damage]
    with make(runner.state, run.name):
        result = runner.run(PLAY, "-e", f"fault_run_dir={run}")
    assert result.status != 0, f"see {result.log}"
    assert f"The canaries of the series {run.name} are not what was written: {words}" in result.said
    assert "verdict: failed" in result.said


def test_canaries_that_were_put_back_are_good_again(runner: Runner, drill: Drill) -> None:
    result = runner.run(PLAY, "-e", f"fault_run_dir={drill.run_dirs[0]}")
    assert result.status == 0, f"see {result.log}"
