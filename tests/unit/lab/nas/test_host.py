"""The host's side: names, mounts, what is refused."""

from __future__ import annotations

import pathlib

import pytest

from lab import nas
from lab.nas import namespace
from lab.nas.layout import ROLES, Nas, Settings, all_nas, get, ports_of
from lab.state import LabError, LabState


def test_names_and_roles(state: LabState) -> None:
    assert [one.name for one in all_nas(state)] == list(ROLES)
    assert get(state, "secondary") == get(state, "nas-b") == Nas(state, "nas-b")
    with pytest.raises(ValueError, match="nas-a, nas-b, primary, secondary"):
        get(state, "third")
    assert ports_of(Settings(), "nas-b")["api"] == 8442


def test_unknown_faults_and_dead_daemons_are_refused(state: LabState) -> None:
    with pytest.raises(LabError, match="nas-kill, nas-restart"):
        nas.fault(state, "meteor")
    with pytest.raises(LabError, match="no running daemon"):
        nas.fault(state, "nas-kill", {"nas": "nas-b"})
    with pytest.raises(LabError, match="There is no NAS"):
        nas.fault(state, "nas-kill", {"nas": "nas-z"})


def test_nothing_runs_before_up_and_down_is_harmless(state: LabState) -> None:
    assert [row.state for row in nas.status(state)] == ["down", "down"]
    nas.down(state)
    assert not any(namespace.exists(one) for one in all_nas(state))


def test_configuration_is_kept(state: LabState) -> None:
    one = get(state, "nas-a")
    assert one.config() == {}
    one.write_config(password="p", version="25.10")
    assert one.write_config(version="25.04") == {"password": "p", "version": "25.04"} == one.config()
    assert oct(one.config_file.stat().st_mode & 0o777) == "0o600"


def test_mount_points_are_read_with_their_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "1 0 0:1 / / rw - ext4 x rw\n2 1 0:2 / /a\\040b rw - tmpfs x rw\n3 2 0:3 / /a\\040b/c rw - tmpfs x rw\n4 1 0:4 / /a\\040bc rw - tmpfs x rw\n"
    monkeypatch.setattr(pathlib.Path, "read_text", lambda self: text)
    assert namespace.mount_points(pathlib.Path("/a b")) == ["/a b", "/a b/c"]
