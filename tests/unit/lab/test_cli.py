from __future__ import annotations

import types

import pytest

from lab import cli, components
from lab.components import Component
from lab.state import LabError, LabState, Row


class Part(types.ModuleType):
    """A component that notes what is asked of it."""

    def __init__(self, name: str, calls: list[str], *, fails: bool = False) -> None:
        super().__init__(name)
        self.up = lambda state: calls.append(f"up {name}")
        self.status = lambda state: [Row(name, "down" if fails else "up", "detail")]
        self.FAULTS = {f"{name}-break": lambda state, args: f"broke {name} {args}"}

        def down(state: LabState) -> None:
            calls.append(f"down {name}")
            if fails:
                raise LabError("stuck")
        self.down = down


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    noted: list[str] = []
    parts = tuple(Component(name, Part(name, noted), "1 s") for name in ("one", "two"))
    monkeypatch.setattr(components, "COMPONENTS", parts)
    monkeypatch.setattr(cli, "COMPONENTS", parts)
    return noted


def test_up_goes_in_order_and_down_in_reverse(calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--name", "x", "up"]) == 0
    assert capsys.readouterr().out.strip().endswith("labs/x/connection.json")
    assert cli.main(["--name", "x", "down"]) == 0
    assert calls == ["up one", "up two", "down two", "down one"]


def test_only_selects_components(calls: list[str]) -> None:
    assert cli.main(["--name", "x", "up", "--only", "two"]) == 0
    assert calls == ["up two"]


def test_unknown_component_is_named_with_the_known_ones(calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["up", "--only", "three"]) == 1
    assert "Unknown component three: the lab has one, two." in capsys.readouterr().err
    assert calls == []


def test_down_goes_on_after_a_failure_and_keeps_the_state(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    noted: list[str] = []
    parts = (Component("one", Part("one", noted), "1 s"), Component("two", Part("two", noted, fails=True), "1 s"))
    monkeypatch.setattr(cli, "COMPONENTS", parts)
    state = LabState.open("x")
    assert cli.main(["--name", "x", "down"]) == 1
    assert noted == ["down two", "down one"] and state.dir.is_dir()
    assert "two: stuck" in capsys.readouterr().err


def test_status_tells_by_its_exit_code(calls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status"]) == 0
    assert capsys.readouterr().out.splitlines() == ["COMPONENT  STATE  DETAIL", "one        up     detail", "two        up     detail"]
    monkeypatch.setattr(cli, "COMPONENTS", (Component("one", Part("one", [], fails=True), "1 s"),))
    assert cli.main(["status"]) == 1


def test_fault_gets_its_arguments(calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["fault", "two-break", "nas=nas-b", "vmid=101"]) == 0
    assert capsys.readouterr().out == "broke two {'nas': 'nas-b', 'vmid': '101'}\n"
    assert cli.main(["fault", "nothing"]) == 1
    assert cli.main(["fault"]) == 0
    assert "one-break" in capsys.readouterr().out


def test_env_prints_what_a_shell_can_read(state: LabState, calls: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    state.update("ca_file", "/a b/ca.pem")
    state.update("proxmox", {"host": "10.93.0.1", "port": 8006, "user": "automation@pve", "token_id": "lab", "token_secret": "s"})
    assert cli.main(["--name", "unit", "env"]) == 0
    out = capsys.readouterr().out
    assert "export PROXMOX_CA_PATH='/a b/ca.pem'" in out and "export PROXMOX_TOKEN_SECRET=s" in out


def test_every_component_of_the_lab_is_complete() -> None:
    for component in components.COMPONENTS:
        for name in ("up", "down", "status"):
            assert callable(getattr(component.module, name)), f"{component.name}.{name}"
    assert [c.name for c in components.COMPONENTS] == ["limits", "network", "pki", "keys", "image", "proxmox", "s3", "kms", "nas"]
