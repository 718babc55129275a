from __future__ import annotations

import pathlib
import stat

import pytest

from lab.state import LabError, LabState, write_private


def test_connection_survives_a_reload(state: LabState) -> None:
    state.update("s3", {"bucket": "b"})
    assert LabState.open("unit").connection["s3"] == {"bucket": "b"}
    assert LabState.open("unit").connection["state_dir"] == str(state.dir)


def test_sections_written_by_another_process_are_kept(state: LabState) -> None:
    other = LabState.open("unit")
    other.update("s3", {"bucket": "b"})
    state.update("kms", {"token": "t"})
    assert set(LabState.open("unit").connection) >= {"s3", "kms", "network"}


def test_connection_file_is_for_the_owner_only(state: LabState) -> None:
    assert stat.S_IMODE(state.connection_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(state.dir.stat().st_mode) == 0o700


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: pathlib.Path) -> None:
    target = tmp_path / "file"
    write_private(target, "old")
    with pytest.raises(TypeError):
        write_private(target, None)  # type: ignore[arg-type]
    assert target.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"file"}


@pytest.mark.parametrize("name", ["", "A", "1a", "a_b", "../x", "a" * 21, "a/b"])
def test_bad_names_are_refused(name: str) -> None:
    with pytest.raises(LabError, match="no name for a lab"):
        LabState.open(name)


def test_broken_connection_file_says_what_to_do(state: LabState) -> None:
    state.connection_file.write_text("{")
    with pytest.raises(LabError, match="down"):
        LabState.open("unit")


def test_state_directory_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> None:
    monkeypatch.setenv("RESILIENT_LAB_STATE", str(tmp_path / "elsewhere"))
    assert LabState.open("unit").dir == tmp_path / "elsewhere" / "unit"


def test_address_before_the_network_is_up_says_what_to_run() -> None:
    with pytest.raises(LabError, match="up --only network"):
        _unused = LabState.open("fresh").address
