from __future__ import annotations

import typing as t

import pytest
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import CONNECTION, Exchange, Wire, get, guest, post, resources, task, upid, wire

from ansible_collections.resilient.platform.plugins.modules import proxmox_vm_snapshot, proxmox_vm_snapshot_info

__all__ = ["wire"]
WEB = guest(101, "web", "running")
CONTAINER = {**guest(200, "ct", "running"), "type": "lxc", "id": "lxc/200"}
OLD = {"name": "old", "snaptime": 1763000000, "vmstate": 0, "description": "first\n", "parent": "older"}
CURRENT = {"name": "current", "running": 1, "description": "You are here!", "parent": "old"}
LIST = "nodes/pve1/qemu/101/snapshot"


def listed(*snapshots: dict[str, t.Any], path: str = LIST) -> Exchange:
    return get(path, [*snapshots, CURRENT])


def config(**values: t.Any) -> Exchange:
    return get("nodes/pve1/qemu/101/config", {"memory": "512", "digest": "0" * 40, **values})


def run(check: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_vm_snapshot.main, {**CONNECTION, "guest": "web", "snapshot": "new", **args}, check=check, diff=True)


def test_makes_and_waits(wire: Wire) -> None:
    reads = (resources(WEB), listed(OLD), config())
    wire.expect(*reads)
    predicted = run(check=True, description="why", vmstate=True)
    wire.expect(*reads, post(LIST, upid("qmsnapshot", 101), params={"snapname": "new", "description": "why", "vmstate": 1}), task("qmsnapshot", 101))
    made = run(description="why", vmstate=True)
    assert made["diff"] == predicted["diff"] and made["diff"]["after"] == {"snapshot": "new", "description": "why", "vmstate": True}
    assert (made["changed"], predicted["changed"], made["snapshot"]["action"]) == (True, True, "create")


def test_one_that_is_there_is_left_alone_but_for_its_notes(wire: Wire) -> None:
    wire.expect(resources(WEB), listed(OLD), resources(WEB), listed(OLD))
    assert not run(snapshot="old")["changed"] and not run(snapshot="old", description="first")["changed"]
    wire.expect(resources(WEB), listed(OLD), config(), Exchange("PUT", f"{LIST}/old/config", params={"description": "second"}))
    assert run(snapshot="old", description="second")["diff"]["before"] == {"description": "first"}


def test_removes_and_warns_of_a_tasks_warnings(wire: Wire) -> None:
    wire.expect(resources(WEB), listed())
    assert not run(state="absent")["changed"]
    one = upid("qmdelsnapshot", 101)
    wire.expect(
        resources(WEB), listed(OLD), config(), Exchange("DELETE", f"{LIST}/old", data=one), task("qmdelsnapshot", 101, "WARNINGS: 1"),
        get(f"nodes/pve1/tasks/{one}/log", [{"n": 1, "t": "WARN: volume is busy"}, {"n": 2, "t": "TASK WARNINGS: 1"}]),
    )  # fmt: skip
    assert run(snapshot="old", state="absent")["changed"]


def test_rolls_back_only_with_the_name_once_more_and_keeps_the_power_state(wire: Wire) -> None:
    wire.expect(resources(WEB), listed(OLD))
    with pytest.raises(ModuleFailed, match="loses everything written since 2025-11-13T02:13:20Z"):
        run(snapshot="old", state="rollback", confirm="other")
    wire.expect(resources(WEB), listed(OLD), config())
    wire.expect(post(f"{LIST}/old/rollback", upid("qmrollback", 101), params={"start": 1}), task("qmrollback", 101))
    assert run(snapshot="old", state="rollback", confirm="web")["diff"]["after"] == {"state": "as it was at old"}
    wire.expect(resources(WEB), listed(OLD), config())
    wire.expect(post(f"{LIST}/old/rollback", upid("qmrollback", 101), params={}), task("qmrollback", 101))
    assert run(snapshot="old", state="rollback", confirm="web", start=False)["diff"]["after"]["power"] == "stopped"


@pytest.mark.parametrize(
    ("args", "line", "message"),
    [
        ({"snapshot": "current"}, WEB, "cannot be the name"),
        ({"snapshot": "1st"}, WEB, "cannot be the name"),
        ({}, guest(101, "web", template=1), "is a template"),
        ({"guest": "ct", "vmstate": True}, CONTAINER, "is a container"),
    ],
)
def test_refuses_before_looking_further(wire: Wire, args: dict[str, t.Any], line: dict[str, t.Any], message: str) -> None:
    wire.expect(resources(line))
    with pytest.raises(ModuleFailed, match=message):
        run(**args)


def test_refuses_what_is_locked_incomplete_or_not_there(wire: Wire) -> None:
    wire.expect(resources(WEB), listed(), config(lock="backup"))
    with pytest.raises(ModuleFailed, match=r"is locked \(backup\)") as caught:
        run()
    assert caught.value.result["error"]["type"] == "Locked" and "qm unlock 101" in caught.value.result["msg"]
    half = {**OLD, "snapstate": "prepare"}
    wire.expect(resources(WEB), listed(half))
    with pytest.raises(ModuleFailed, match=r"is incomplete \(prepare\)"):
        run(snapshot="old")
    wire.expect(resources(WEB), listed(half), config(), Exchange("DELETE", f"{LIST}/old", params={"force": 1}, data=upid("qmdelsnapshot", 101)))
    wire.expect(task("qmdelsnapshot", 101))
    assert run(snapshot="old", state="absent", force=True)["changed"]
    wire.expect(resources(WEB), listed())
    with pytest.raises(ModuleFailed, match="has no snapshot new"):
        run(state="rollback", confirm="web")
    wire.expect(resources(WEB))
    with pytest.raises(ModuleFailed, match="There is no guest nobody"):
        run(guest="nobody")
    wire.expect(resources(WEB, guest(102, "web")))
    with pytest.raises(ModuleFailed, match="exists 2 times: 101 on pve1, 102 on pve1"):
        run()


def test_a_failed_task_fails_with_its_log(wire: Wire) -> None:
    one, log = upid("qmsnapshot", 101), [{"n": 1, "t": "TASK ERROR: no space left"}]
    wire.expect(resources(WEB), listed(), config(), post(LIST, one), task("qmsnapshot", 101, "no space left"), get(f"nodes/pve1/tasks/{one}/log", log))
    with pytest.raises(ModuleFailed, match="no space left") as caught:
        run()
    assert caught.value.result["error"]["log"] == ["TASK ERROR: no space left"]


def test_info_lists_containers_as_well_without_the_pseudo_entry(wire: Wire) -> None:
    wire.expect(resources(WEB, CONTAINER, guest(9000, "t", template=1)), listed(OLD, {**OLD, "name": "older", "snaptime": 1, "parent": None}))
    wire.expect(listed(path="nodes/pve1/lxc/200/snapshot"))
    found = run_module(proxmox_vm_snapshot_info.main, dict(CONNECTION))["guests"]
    assert [(one["name"], one["type"], [snap["name"] for snap in one["snapshots"]]) for one in found] == [
        ("web", "qemu", ["older", "old"]), ("ct", "lxc", [])]  # fmt: skip
    assert found[0]["snapshots"][1]["description"] == "first"
    wire.expect(resources(WEB))
    with pytest.raises(ModuleFailed, match="no guest nobody"):
        run_module(proxmox_vm_snapshot_info.main, {**CONNECTION, "guests": ["nobody"]})
