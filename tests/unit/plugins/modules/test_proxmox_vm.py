"""proxmox_vm is a fleet of one."""

from __future__ import annotations

import typing as t

import pytest
import yaml
from helpers import proxmox
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import CONNECTION, Wire, get, guest, pending, post, resources, task, upid

from ansible_collections.resilient.platform.plugins.doc_fragments._proxmox import ModuleDocFragment
from ansible_collections.resilient.platform.plugins.modules import proxmox_fleet, proxmox_vm

# The fixture; pytest finds it by its name.
wire = proxmox.wire


def vm(check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_vm.main, {**CONNECTION, "name": "web-1", "wait_sleep": 0, **options}, check=check, diff=True)


def test_guest_as_declared_costs_two_requests(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", "running")), get("nodes/pve1/qemu/100/pending", pending({"memory": "1024"})))
    result = vm(memory=1024, state="started")
    assert not result["changed"] and result["api_requests"] == 2
    assert result["vm"]["vmid"] == 100 and "guests" not in result and "surplus" not in result


def test_check_mode_predicts_the_diff_of_the_run(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1"), times=2), get("nodes/pve1/qemu/100/pending", pending({"memory": "512"}), times=2))
    predicted = vm(check=True, memory=1024)
    assert wire.writes == []
    wire.expect(get("nodes/pve1/qemu/100/config", {"memory": "512", "digest": "d"}))
    wire.expect(post("nodes/pve1/qemu/100/config", params={"memory": "1024", "digest": "d", "background_delay": 30}))
    assert predicted["diff"] == vm(memory=1024)["diff"]


def test_failure_shows_what_is_known_of_the_guest(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")), post("nodes/pve1/qemu/100/status/start", upid("qmstart", 100)), task("qmstart", 100, "boom"))
    wire.expect(get(f"nodes/pve1/tasks/{upid('qmstart', 100)}/log", []), get("nodes/pve1/qemu/100/status/current", {"status": "stopped"}))
    with pytest.raises(ModuleFailed) as caught:
        vm(state="started")
    assert caught.value.result["vm"]["status"] == "stopped" and caught.value.result["error"]["type"] == "TaskFailed"


def test_refused_input_fails_without_a_guest(wire: Wire) -> None:
    with pytest.raises(ModuleFailed) as caught:
        vm(options={"nonsense": 1})
    assert "vm" not in caught.value.result and "unknown key nonsense" in caught.value.result["msg"]


def test_both_modules_document_a_guest_in_the_same_words() -> None:
    one = {**yaml.safe_load(ModuleDocFragment.GUEST)["options"], **yaml.safe_load(ModuleDocFragment.CONFIGURATION)["options"]}
    many = yaml.safe_load(proxmox_fleet.DOCUMENTATION)["options"]["guests"]["suboptions"]
    assert yaml.safe_load(yaml.safe_dump(many).replace("O(guests[].vmid)", "O(vmid)")) == one
