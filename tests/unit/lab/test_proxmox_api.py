"""The API double refuses and stores what the real server does (facts from the sources of pve-http-server and qemu-server).

VMs here have no system on their disk: nothing runs, the API is what is looked at.
"""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from helpers.lab_pve import QEMU, Api, api

from lab.proxmox import store
from lab.proxmox.room import Room, RoomTimeout
from lab.proxmox.server import LabPve
from lab.state import LabState

__all__ = ["api"]

# ------------------------------------------------------------------ transport


def test_body_on_delete_is_refused(api: Api) -> None:
    answer = api.raw("DELETE", f"{QEMU}/100", body=b"purge=1", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status, json.loads(answer.read())["message"]) == (501, "Unexpected content for method 'DELETE'\n")


def test_chunked_body_is_refused(api: Api) -> None:
    answer = api.raw("POST", QEMU, body=b"4\r\na=bc\r\n0\r\n\r\n", headers={"Transfer-Encoding": "chunked"})
    assert answer.status == 501


@pytest.mark.parametrize(("method", "path"), [("GET", "/nonsense"), ("PUT", "/version")])
def test_unknown_path_or_method_is_not_implemented(api: Api, method: str, path: str) -> None:
    answer = api.raw(method, path)
    assert answer.status == 501
    assert json.loads(answer.read())["message"] == f"Method '{method} {path}' not implemented\n"


@pytest.mark.parametrize(("token", "message"), [(None, "No ticket"), ("PVEAPIToken=automation@pve!lab=wrong", "Authentication failed!")])
def test_refused_login_is_late_and_closes_the_connection(api: Api, token: str | None, message: str) -> None:
    begun = time.monotonic()
    answer = api.raw("GET", "/version", token=token)
    assert (answer.status, json.loads(answer.read())["message"].strip()) == (401, message)
    assert time.monotonic() - begun >= 0.05
    assert answer.getheader("Connection") == "close"


def test_good_answer_keeps_the_connection(api: Api) -> None:
    assert api.raw("GET", "/version").getheader("Connection") != "close"


# --------------------------------------------------------------------- config


def test_nic_without_mac_gets_one_on_update(api: Api) -> None:
    api.create(100, net0="virtio,bridge=vmbr0")
    api("PUT", f"{QEMU}/100/config", net1="virtio,bridge=vmbr0,tag=7")
    value = api("GET", f"{QEMU}/100/config")["net1"]
    assert value.startswith("virtio=BC:24:11:") and value.endswith(",bridge=vmbr0,tag=7")


def test_new_disk_is_allocated_and_the_old_one_becomes_unused(api: Api) -> None:
    api.create(100, scsi0="local-lvm:8")
    api("PUT", f"{QEMU}/100/config", scsi0="local-lvm:4,discard=on")
    config = api("GET", f"{QEMU}/100/config")
    assert config["scsi0"] == "local-lvm:vm-100-disk-1,discard=on,size=4G"
    assert config["unused0"] == "local-lvm:vm-100-disk-0"
    volumes = {item["volid"]: item["size"] for item in api("GET", "/nodes/pve1/storage/local-lvm/content")}
    assert volumes["local-lvm:vm-100-disk-1"] == 4 * 1024**3


def test_deleted_disk_stays_as_unused_unless_forced(api: Api) -> None:
    api.create(100, scsi0="local-lvm:1", scsi1="local-lvm:1")
    api("PUT", f"{QEMU}/100/config", delete="scsi1")
    assert api("GET", f"{QEMU}/100/config")["unused0"] == "local-lvm:vm-100-disk-1"
    api("PUT", f"{QEMU}/100/config", delete="unused0")
    api("PUT", f"{QEMU}/100/config", delete="scsi0", force=1)
    config = api("GET", f"{QEMU}/100/config")
    assert not [key for key in config if key.startswith(("scsi", "unused"))]
    assert api("GET", "/nodes/pve1/storage/local-lvm/content") == []


def test_refused_write_allocates_nothing(api: Api) -> None:
    api.create(100)
    with pytest.raises(AssertionError, match="400"):
        api("PUT", f"{QEMU}/100/config", scsi0="local-lvm:8", boot="order=virtio7")
    assert api("GET", "/nodes/pve1/storage/local-lvm/content") == []


def test_disk_on_unknown_storage_is_refused(api: Api) -> None:
    api.create(100)
    with pytest.raises(AssertionError, match="500 storage 'nowhere' does not exist"):
        api("PUT", f"{QEMU}/100/config", scsi0="nowhere:8")


def test_second_cloud_init_drive_is_refused(api: Api) -> None:
    api.create(100)
    api("PUT", f"{QEMU}/100/config", ide2="local-lvm:cloudinit")
    assert api("GET", f"{QEMU}/100/config")["ide2"] == "local-lvm:vm-100-cloudinit,media=cdrom"
    with pytest.raises(AssertionError, match="500 cloud-init drive is already attached at 'ide2'"):
        api("PUT", f"{QEMU}/100/config", ide3="local-lvm:cloudinit")


@pytest.mark.parametrize(("given", "stored"), [("B;a", "a;b"), ("x, a a", "a;x")])
def test_tags_are_stored_sorted_and_once(api: Api, given: str, stored: str) -> None:
    api.create(100)
    api("PUT", f"{QEMU}/100/config", tags=given)
    assert api("GET", f"{QEMU}/100/config")["tags"] == stored


def test_types_of_the_answer(api: Api) -> None:
    api.create(100, cores=2, memory=1024, onboot=1)
    api("PUT", f"{QEMU}/100/config", cores=4, cipassword="secret")
    config = api("GET", f"{QEMU}/100/config")
    assert (config["cores"], config["memory"], config["onboot"], config["cipassword"]) == (4, "1024", 1, "**********")


@pytest.mark.parametrize(("values", "message"), [
    ({}, "500 no options specified"), ({"digest": "0" * 40, "cores": 2}, "500 checksum mismatch"),
    ({"delete": "cores", "cores": 2}, "400 .*cores"), ({"nonsense": 1}, "400 .*not defined in schema"), ({"cores": "x"}, "400 .*type check"),
    ({"sshkeys": "not%20a%20key"}, "400 .*sshkeys"),
])
def test_bad_update_is_refused(api: Api, values: dict[str, Any], message: str) -> None:
    api.create(100)
    before = api("GET", f"{QEMU}/100/config")
    with pytest.raises(AssertionError, match=message):
        api("PUT", f"{QEMU}/100/config", **values)
    assert api("GET", f"{QEMU}/100/config") == before


def test_background_delay_waits_and_answers_null(api: Api) -> None:
    api.create(100)
    assert api("POST", f"{QEMU}/100/config", cores=2, background_delay=5) is None
    config = api("GET", f"{QEMU}/100/config")
    assert config["cores"] == 2 and "background_delay" not in config
    with pytest.raises(AssertionError, match="500 failed to update VM 100: checksum mismatch"):
        api("POST", f"{QEMU}/100/config", cores=2, background_delay=5, digest="0" * 40)
    assert api.wait(api("POST", f"{QEMU}/100/config", cores=3)) == "OK"


@pytest.mark.parametrize(("size", "result", "stored"), [
    ("+2G", "OK", "size=10G"), ("20G", "OK", "size=20G"), ("8G", "OK", "size=8G"), ("10240M", "OK", "size=10G"),
    ("4G", "shrinking disks is not supported", "size=8G"),
])
def test_resize_grows_only(api: Api, size: str, result: str, stored: str) -> None:
    api.create(100, scsi0="local-lvm:8")
    assert api.wait(api("PUT", f"{QEMU}/100/resize", disk="scsi0", size=size)) == result
    assert api("GET", f"{QEMU}/100/config")["scsi0"].endswith(stored)


def test_resize_of_a_missing_disk_fails_as_a_task(api: Api) -> None:
    api.create(100)
    assert api.wait(api("PUT", f"{QEMU}/100/resize", disk="scsi5", size="8G")) == "disk 'scsi5' does not exist"


def test_protected_vm_keeps_its_disks(api: Api) -> None:
    api.create(100, scsi0="local-lvm:8", protection=1)
    with pytest.raises(AssertionError, match="can't remove drive 'scsi0' - protection mode enabled"):
        api("PUT", f"{QEMU}/100/config", delete="scsi0")


def test_nic_of_a_running_vm_is_hotplugged_and_memory_is_pending(api: Api) -> None:
    api.create(100, memory=512)
    assert api.wait(api("POST", f"{QEMU}/100/status/start")) == "OK"
    api("PUT", f"{QEMU}/100/config", net0="virtio,bridge=vmbr0", memory=1024)
    current = api("GET", f"{QEMU}/100/config", current=1)
    assert "net0" in current and current["memory"] == "512"
    assert api("GET", f"{QEMU}/100/config")["memory"] == "1024"
    assert [row for row in api("GET", f"{QEMU}/100/pending") if "pending" in row][0]["key"] == "memory"


def test_pending_change_that_is_taken_back_is_not_pending_any_more(api: Api) -> None:
    api.create(100, memory=512, description="kept")
    api.pve.vm(100).status = "running"
    api("PUT", f"{QEMU}/100/config", memory=1024)
    api("PUT", f"{QEMU}/100/config", delete="memory")
    assert [row for row in api("GET", f"{QEMU}/100/pending") if "delete" in row][0]["key"] == "memory"
    api("PUT", f"{QEMU}/100/config", memory=512)
    assert not [row for row in api("GET", f"{QEMU}/100/pending") if "pending" in row or "delete" in row]


# ---------------------------------------------------------------------- tasks


def test_clone_gets_a_mac_and_a_cloud_init_drive_of_its_own(api: Api) -> None:
    api.create(100, net0="virtio,bridge=vmbr0", ide2="local-lvm:cloudinit", scsi0="local-lvm:8")
    assert api.wait(api("POST", f"{QEMU}/100/clone", newid=101, name="copy")) == "OK"
    one, two = api("GET", f"{QEMU}/100/config"), api("GET", f"{QEMU}/101/config")
    assert two["ide2"] == "local-lvm:vm-101-cloudinit,media=cdrom" and two["net0"] != one["net0"]


def test_unexpected_failure_ends_the_task(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.create(100)

    async def broken(vm: Any) -> None:
        raise KeyError("bug")
    monkeypatch.setattr(api.pve, "_converge", broken)
    assert api.wait(api("POST", f"{QEMU}/100/status/start")) == "KeyError: 'bug'"


def test_unknown_task_is_a_parameter_error(api: Api) -> None:
    with pytest.raises(AssertionError, match="400 .*no such task"):
        api("GET", "/nodes/pve1/tasks/UPID:pve1:1:1:1:x:1:u:/status")


def test_task_list_filters(api: Api) -> None:
    api.create(100)
    api.create(101)
    rows = api("GET", "/nodes/pve1/tasks", source="all", typefilter="qmcreate", vmid=101)
    assert [(row["type"], row["id"], row["status"]) for row in rows] == [("qmcreate", "101", "OK")]
    assert api("GET", "/nodes/pve1/tasks", source="active") == []
    assert api("GET", "/nodes/pve1/tasks", since=int(time.time()) + 100) == []


def test_bulk_start_is_one_task_and_names_what_failed(api: Api) -> None:
    api.create(100)
    api.create(101)
    api.wait(api("POST", f"{QEMU}/101/template"))
    upid = api("POST", "/cluster/bulk-action/guest/start", vms="100")
    assert ":bulk-start:" in upid and api.wait(upid) == "OK"
    assert api("GET", f"{QEMU}/100/status/current")["status"] == "running"
    assert api.wait(api("POST", "/cluster/bulk-action/guest/start", vms="101")) == "Some guests failed to start: 101"


def test_node_lists_the_bridges_that_there_are_networks_for(api: Api) -> None:
    assert [line["iface"] for line in api("GET", "/nodes/pve1/network", type="any_bridge")] == ["vmbr0", "vmbr1"]
    assert api("GET", "/nodes/pve1/network", type="bond") == []


@pytest.mark.parametrize("command", ["ping", "network-get-interfaces"])
def test_agent_of_a_stopped_or_unconfigured_vm_is_refused(api: Api, command: str) -> None:
    api.create(100)
    method = "POST" if command == "ping" else "GET"
    with pytest.raises(AssertionError, match="500 No QEMU guest agent configured"):
        api(method, f"{QEMU}/100/agent/{command}")
    api("PUT", f"{QEMU}/100/config", agent="enabled=1,fstrim_cloned_disks=1")
    with pytest.raises(AssertionError, match="500 VM 100 is not running"):
        api(method, f"{QEMU}/100/agent/{command}")


# ---------------------------------------------------------------- persistence


def test_agent_that_does_not_answer_in_time_is_told_as_the_server_tells_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.create(100, agent=1)

    async def slow(*_args: Any) -> None:
        raise RoomTimeout("podman exec did not end within 30 s")

    monkeypatch.setattr(api.pve.agent, "call", slow)
    with pytest.raises(AssertionError, match="500 VM 100 qmp command 'guest-get-osinfo' failed - got timeout"):
        api("GET", f"{QEMU}/100/agent/get-osinfo")


def test_restart_of_the_api_forgets_nothing(api: Api, state: LabState) -> None:
    api.create(100, name="kept", scsi0="local-lvm:8", tags="a")
    api.wait(api("POST", f"{QEMU}/100/snapshot", snapname="s1"))
    api.wait(api("POST", f"{QEMU}/100/status/start"))
    config = api("GET", f"{QEMU}/100/config")
    again = LabPve(Room(state), "127.0.0.1", 0, api.pve.save_to, "x")
    assert store.load(again, again.save_to)
    vm = again.vm(100)
    assert (vm.name, vm.status, list(vm.snapshots), vm.digest()) == ("kept", "running", ["s1"], config["digest"])
    assert again.storages["local-lvm"]["volumes"]["vm-100-disk-0"]["size"] == 8 * 1024**3
    assert {task["type"] for task in again.tasklog} == {"qmcreate", "qmsnapshot", "qmstart"}


def test_task_that_ran_when_the_api_died_has_an_unexpected_status(api: Api, state: LabState) -> None:
    api.create(100)
    api.pve.tasklog[-1].update(status="running")
    api.pve.tasklog[-1].pop("exitstatus")
    store.save(api.pve, api.pve.save_to)
    again = LabPve(Room(state), "127.0.0.1", 0, api.pve.save_to, "x")
    store.load(again, again.save_to)
    assert again.tasklog[-1]["exitstatus"] == "unexpected status"


def test_state_file_is_for_the_owner_only(api: Api) -> None:
    api.create(100)
    assert api.pve.save_to.stat().st_mode & 0o777 == 0o600
