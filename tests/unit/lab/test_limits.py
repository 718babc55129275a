from __future__ import annotations

import pathlib

import pytest

from lab import limits
from lab.state import LabError, LabState


@pytest.fixture(name="limit")
def _limit(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    path = tmp_path / "max_user_instances"
    monkeypatch.setattr(limits, "_INSTANCES", path)
    return path


@pytest.mark.parametrize(("found", "after"), [("128\n", "1024\n"), ("1024\n", "1024\n"), ("8192\n", "8192\n")])
def test_a_low_limit_is_raised_and_a_higher_one_left(limit: pathlib.Path, found: str, after: str) -> None:
    limit.write_text(found)
    limits.up(LabState.open("unit"))
    assert limit.read_text() == after


def test_a_machine_that_refuses_is_named_before_guests_hang(limit: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    limit.write_text("128\n")

    def refuse(*_args: object, **_kwargs: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pathlib.Path, "write_text", refuse)
    with pytest.raises(LabError, match="max_user_instances is 128 and cannot be raised"):
        limits.up(LabState.open("unit"))


def test_status_tells_when_it_is_too_low(limit: pathlib.Path) -> None:
    limit.write_text("128\n")
    assert limits.status(LabState.open("unit"))[0].state == "broken"
