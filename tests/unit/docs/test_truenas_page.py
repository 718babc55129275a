"""The page about TrueNAS says what is so: each feature has its line, each filled circle of ours its test, and the test is there."""

from __future__ import annotations

import pytest
from helpers.pages import exists, lines, named_tests, page

COMPARISON = page("comparison_truenas.md")
# The features that were looked for in the other tools, and the faults that issue 5 names.
FEATURES = (
    "without shell or root", "survives 26.0", "SCRAM", "idempotent datasets", "check mode", "diff", "safe delete", "snapshot tasks", "retention deletes",
    "full set of fields", "paired by SSH", "run, wait, progress", "RPO and age", "proof by guids", "restore test", "every PV", "leaked clones",
    "failover and failback", "encryption", "least rights", "real ZFS",
)  # fmt: skip
FAULTS = (
    "quota under 1 GiB", "not a multiple", "shrinks", "read-only parent", "naming schema without a time", "PUSH with `naming_schema`", "unknown credential",
    "no API access", "wrong key", "expired key", "second factor", "standby controller", "lost in a job", "25 tasks a minute", "middleware restarted",
    "secondary full", "destroyed on the target", "target dirty", "key rotated",
)  # fmt: skip


def wide() -> list[list[str]]:
    """The lines of the comparison."""
    return [cells for cells in lines(COMPARISON) if len(cells) == 12 and cells[0] != "feature"]


@pytest.mark.parametrize("named", named_tests(COMPARISON))
def test_named_test_exists(named: str) -> None:
    assert exists(named)


def test_nothing_that_was_compared_is_left_out() -> None:
    names = [cells[0] for cells in wide()]
    assert [feature for feature in FEATURES if not any(feature in name for name in names)] == []


def test_every_filled_circle_of_ours_has_its_test_and_no_open_one_has() -> None:
    assert len(wide()) >= 25
    for cells in wide():
        assert cells[10] in ("●", "◐", "○"), cells
        assert bool(named_tests(cells[11])) is (cells[10] != "○"), cells


def test_every_fault_has_its_test() -> None:
    rows = [cells for cells in lines(COMPARISON) if len(cells) == 2 and cells[0] != "what"]
    assert all(named_tests(cells[1]) for cells in rows)
    assert [fault for fault in FAULTS if not any(fault in cells[0] for cells in rows)] == []
