"""A drill where nothing is disposable: production stays as it is, the scratch guest goes, the verdict says what was seen.

Needs root and RESILIENT_LONG_TESTS=1: it starts a lab of its own and builds the whole platform in it.
"""

from __future__ import annotations

import re
import typing as t

import pytest
from plays import VAULT, Lab

from lab import podman, s3

pytestmark = pytest.mark.lab

DRILL = "resilient.platform.dr_drill"
EXTRA: dict[str, t.Any] = {"platform_disposable": False, "dr_drill_confirm": "lab"}
OWN = re.compile(r"lab-drill-\d{8}t\d{6}z-[0-9a-f]{4}")


def outcomes(report: dict[str, t.Any]) -> dict[str, str]:
    return {check["check"]: check["outcome"] for check in report["checks"]}


def started(lab: Lab) -> dict[str, str]:
    """When each production guest was started: one that was touched would have been started anew."""
    return {
        name: podman.run("inspect", f"{lab.state.prefix}-vm-{row['vmid']}", "--format", "{{.State.StartedAt}} {{.State.Pid}}").stdout.strip()
        for name, row in lab.guests().items() if name in VAULT
    }


def scratch_guests(lab: Lab) -> set[str]:
    return {name for name in lab.guests() if OWN.fullmatch(name)}


def left_over(lab: Lab) -> list[str]:
    return [str(path) for path in (lab.state.dir / "work").glob("drill*")]


@pytest.fixture(scope="module")
def first(site: Lab, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A drill that was killed once its scratch guest ran; the name of that guest."""
    site.play_until(DRILL, tmp_path_factory.mktemp("drill") / "killed.log",
                    lambda: any(row["status"] == "running" for name, row in site.guests().items() if OWN.fullmatch(name)), **EXTRA)
    left = scratch_guests(site)
    assert len(left) == 1
    return left.pop()


def test_killed_drill_is_cleaned_up_and_completed_by_the_same_command(site: Lab, first: str) -> None:
    before, old = started(site), site.guests()[first]["vmid"]
    container = podman.run("inspect", f"{site.state.prefix}-vm-{old}", "--format", "{{.Id}}").stdout.strip()
    done = site.play(DRILL, **EXTRA)
    assert done.returncode == 0, done.stdout[-4000:]
    report = site.report()
    assert (report["verdict"], report["run"]["resumed"]) == ("verified", 1)
    assert len(site.runs()) == 1
    assert podman.run("inspect", container, check=False).returncode != 0
    assert scratch_guests(site) == set() and left_over(site) == []
    assert started(site) == before and set(before) == VAULT


def test_report_says_what_was_proved_and_what_was_not(site: Lab, first: str) -> None:
    report = site.report()
    wanted = {"isolation", "bridge", "restored", "contents", "audit", "canaries", "production_untouched", "scratch_removed"}
    assert {check: outcome for check, outcome in outcomes(report).items() if check in wanted} == dict.fromkeys(wanted, "passed")
    assert report["run"]["operation"] == "dr_drill_isolated"
    assert 0 < report["rto_seconds"] < 1800 and report["rpo_seconds"] > 0
    vault = next(row for row in report["assets"] if row["asset"] == "vault")
    assert 0 < vault["rto_seconds"] <= report["rto_seconds"] and vault["lost"] == 0 and vault["recovered"] >= 1
    assert all("not tested" in text for text in report["not_tested"]) and any("files" in text for text in report["not_tested"])


def test_production_is_well_afterwards(site: Lab, first: str) -> None:
    done = site.play("resilient.platform.vault")
    assert done.returncode == 0 and re.findall(r"changed=(\d+)", done.stdout.rpartition("PLAY RECAP")[2]) == ["0"] * len(VAULT), done.stdout[-3000:]


def test_damaged_snapshot_fails_the_drill_and_leaves_nothing(site: Lab, first: str) -> None:
    before = started(site)
    s3.FAULTS["s3-flip-bit"](site.state, {"match": ".snap"})
    done = site.play(DRILL, **EXTRA)
    assert done.returncode != 0
    report = site.report()
    assert report["verdict"] == "failed"
    assert outcomes(report) | {"restored": "failed", "production_untouched": "passed", "scratch_removed": "passed"} == outcomes(report)
    assert scratch_guests(site) == set() and left_over(site) == []
    assert started(site) == before
