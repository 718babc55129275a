"""The action plugins run their modules and say what they wait for."""

from __future__ import annotations

import types
import typing as t

import pytest
from ansible.plugins.action.normal import ActionModule as NormalAction

from ansible_collections.resilient.platform.plugins.action import proxmox_fleet, proxmox_vm
from ansible_collections.resilient.platform.plugins.plugin_utils import _waiting


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"guests": [{"name": "a", "state": "started"}, {"name": "b", "state": "started"}], "wait_for": "cloud_init"}, "a, b to run (cloud_init)"),
        ({"guests": [{"name": "a", "state": "absent"}, {"name": "b"}], "wait_for": "agent"}, "a to be gone; b to be there"),
        ({"name": "a", "state": "stopped"}, "a to be stopped"),
        ({"guests": "{{ templated }}"}, "guests"),
        ({"guests": []}, "guests"),
    ],
)
def test_names_what_a_task_waits_for(args: dict[str, t.Any], text: str) -> None:
    assert proxmox_fleet.awaited(args) == text


@pytest.mark.parametrize("plugin", [proxmox_fleet, proxmox_vm])
def test_module_runs_under_the_heartbeat(plugin: types.ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    beats: list[str] = []

    class Beat:
        def __init__(self, _say: t.Any, what: str) -> None:
            self.what = what

        def __enter__(self) -> None:
            beats.append(self.what)

        def __exit__(self, *_exc: object) -> None:
            beats.append("end")

    monkeypatch.setattr(_waiting, "Heartbeat", Beat)
    monkeypatch.setattr(NormalAction, "run", lambda _self, _tmp, task_vars: {"changed": True, "host": task_vars["inventory_hostname"]})
    action = object.__new__(plugin.ActionModule)
    action._task = types.SimpleNamespace(args={"name": "a", "state": "started"})
    assert action.run(None, {"inventory_hostname": "pve1"}) == {"changed": True, "host": "pve1"}
    assert beats == ["[pve1] waiting for a to run", "end"]
