"""proxmox_fleet at the wire: what changes about a guest that is there, what keeps it from being changed, and many at once."""

from __future__ import annotations

import typing as t

import pytest
from helpers import proxmox
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import (
    CONNECTION,
    NODE,
    NODE2,
    TEMPLATE,
    TEMPLATE_CONFIG,
    Exchange,
    Wire,
    clone_of_template,
    get,
    guest,
    pending,
    post,
    resources,
    task,
    upid,
)

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import make
from ansible_collections.resilient.platform.plugins.modules import proxmox_fleet

# The fixture; pytest finds it by its name.
wire = proxmox.wire

Q = "nodes/pve1/qemu/100"
CONFIG = {
    "boot": "order=scsi0",
    "cores": "1",
    "ide2": "local-lvm:vm-100-cloudinit,media=cdrom,size=4M",
    "memory": "512",
    "name": "web-1",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0",
    "scsi0": "local-lvm:vm-100-disk-0,size=8G",
    "scsi1": "local-lvm:vm-100-disk-1,size=4G",
    "scsihw": "virtio-scsi-pci",
}


def fleet(*guests: dict[str, t.Any], check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    args = {**CONNECTION, "wait_sleep": 0, "wait_timeout": 30, "concurrency": 1, "guests": list(guests), **options}
    return run_module(proxmox_fleet.main, args, check=check, diff=True)


def failed(*guests: dict[str, t.Any], **options: t.Any) -> dict[str, t.Any]:
    with pytest.raises(ModuleFailed) as caught:
        fleet(*guests, **options)
    return caught.value.result


def existing(wire: Wire, status: str = "stopped", more: tuple[dict[str, t.Any], ...] = (), **values: str) -> dict[str, str]:
    """The script of reading web-1."""
    has = {**CONFIG, **values}
    wire.expect(resources(guest(100, "web-1", status), *more), get(f"{Q}/pending", pending(has)))
    return has


def writing(wire: Wire, has: dict[str, str], **params: t.Any) -> None:
    """The script of one write."""
    wire.expect(get(f"{Q}/config", {**has, "digest": "d"}))
    wire.expect(post(f"{Q}/config", upid("qmconfig", 100), params={**params, "digest": "d", "background_delay": 30}), task("qmconfig", 100))


# -- property strings, options, defaults --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "same",
    [
        {"disks": {"scsi0": {"storage": "local-lvm", "size": "8192M", "discard": False, "ssd": False, "backup": True}}},
        {"disks": {"scsi0": {"size": 8, "options": {"replicate": 1, "ro": False}}}},
        {"networks": {"net0": {"model": "virtio", "bridge": "vmbr0", "mac": "bc:24:11:00:00:01", "tag": 0, "firewall": False}}},
        {"options": {"kvm": True, "tablet": "yes", "bios": "seabios", "protection": False, "hotplug": "network,disk,usb"}},
        {"remove": ["net1", "scsi5", "description"]},
        {"cloud_init": {"upgrade": True}},
    ],
)
def test_what_means_the_same_is_no_drift(wire: Wire, same: dict[str, t.Any]) -> None:
    existing(wire, tablet="1")
    result = fleet({"name": "web-1", **same})
    assert not result["changed"], result["diff"]


def test_keys_are_removed_and_a_disk_stays_as_unused(wire: Wire) -> None:
    has = existing(wire, description="x")
    writing(wire, has, delete="description,scsi1")
    assert fleet({"name": "web-1", "remove": ["scsi1", "description", "net3"]})["changed"]


def test_cd_is_changed_and_ejected(wire: Wire) -> None:
    has = existing(wire, sata0="local:iso/old.iso,media=cdrom,size=600M")
    writing(wire, has, sata0="local:iso/new.iso,media=cdrom")
    assert fleet({"name": "web-1", "disks": {"sata0": {"iso": "local:iso/new.iso"}}})["changed"]
    existing(wire, sata0="none,media=cdrom")
    assert not fleet({"name": "web-1", "disks": {"sata0": {"iso": "none"}}})["changed"]


def test_disk_is_moved_only_when_asked(wire: Wire) -> None:
    other = {"id": "storage/pve1/ceph", "type": "storage", "storage": "ceph", "node": "pve1", "content": "images", "status": "available"}
    existing(wire, more=(other,))
    assert "is not moved unless that is asked for" in failed({"name": "web-1", "disks": {"scsi1": {"storage": "ceph"}}})["msg"] and wire.writes == []
    has = existing(wire, more=(other,))
    params = {"disk": "scsi1", "storage": "ceph", "delete": 1}
    wire.expect(get(f"{Q}/config", {**has, "digest": "d"}), post(f"{Q}/move_disk", upid("qmmove", 100), params=params))
    wire.expect(task("qmmove", 100), get(f"{Q}/config", {**has, "scsi1": "ceph:vm-100-disk-0,size=4G", "digest": "e"}))
    result = fleet({"name": "web-1", "disks": {"scsi1": {"storage": "ceph", "move": True}}})
    assert result["diff"]["before"] == {"web-1.scsi1.storage": "local-lvm"} and result["diff"]["after"] == {"web-1.scsi1.storage": "ceph"}


def test_imported_disk_is_grown_in_the_same_run(wire: Wire) -> None:
    disks = {"scsi2": {"storage": "local-lvm", "import_from": "local:import/a.qcow2", "size": "20G"}}
    has = existing(wire)
    writing(wire, has, scsi2="local-lvm:0,import-from=local:import/a.qcow2")
    wire.expect(get(f"{Q}/config", {**has, "scsi2": "local-lvm:vm-100-disk-2,size=3G", "digest": "e"}))
    wire.expect(Exchange("PUT", f"{Q}/resize", {"disk": "scsi2", "size": "20G"}, upid("resize", 100)), task("resize", 100))
    assert fleet({"name": "web-1", "disks": disks})["changed"]
    wire.expect(resources(), get("cluster/nextid", "100"), post("nodes/pve1/qemu", upid("qmcreate", 100)), task("qmcreate", 100))
    wire.expect(get(f"{Q}/config", {"scsi2": "local-lvm:vm-100-disk-0,size=3G", "digest": "e"}), resources(guest(100, "new")))
    wire.expect(Exchange("PUT", f"{Q}/resize", {"disk": "scsi2", "size": "20G"}, upid("resize", 100)), task("resize", 100))
    assert fleet({"name": "new", "disks": disks})["changed"]


def test_efi_disk_is_never_grown(wire: Wire) -> None:
    existing(wire, efidisk0="local-lvm:vm-100-disk-2,efitype=4m,size=4M")
    assert not fleet({"name": "web-1", "disks": {"efidisk0": {"storage": "local-lvm", "size": 1, "options": {"efitype": "4m"}}}})["changed"]


# -- passwords ----------------------------------------------------------------------------------------------------------------


def test_password_is_written_once_or_always_and_never_shown(wire: Wire) -> None:
    has = existing(wire)
    writing(wire, has, cipassword="hunter2-secret")
    result = fleet({"name": "web-1", "cloud_init": {"password": "hunter2-secret"}})
    assert result["diff"]["after"] == {"web-1.cipassword": "(a password)"} and "hunter2" not in str(result)
    existing(wire, cipassword="**********")
    assert not fleet({"name": "web-1", "cloud_init": {"password": "hunter2-secret"}})["changed"]
    has = existing(wire, cipassword="**********")
    writing(wire, has, cipassword="hunter2-secret")
    assert fleet({"name": "web-1", "cloud_init": {"password": "hunter2-secret", "update_password": "always"}})["changed"]


def test_password_of_the_template_is_replaced_in_a_clone(wire: Wire) -> None:
    has = {**TEMPLATE_CONFIG, "cipassword": "**********"}
    wire.expect(resources(TEMPLATE), get("nodes/pve1/qemu/9000/pending", pending(has)), get("cluster/nextid", "100"))
    wire.expect(post("nodes/pve1/qemu/9000/clone", upid("qmclone", 9000)), task("qmclone", 9000))
    writing(wire, clone_of_template(100, "web-1", cipassword="**********"), cipassword="hunter2-secret")
    wire.expect(resources(TEMPLATE, guest(100, "web-1")))
    assert fleet({"name": "web-1", "clone_from": "debian12", "cloud_init": {"password": "hunter2-secret"}})["changed"]


# -- a running guest ----------------------------------------------------------------------------------------------------------


def test_keys_that_cannot_be_plugged_are_told_with_their_reasons(wire: Wire) -> None:
    has = existing(wire, "running")
    said = "400 Parameter verification failed. net0: hotplug problem - error on hot-unplugging device 'net0' scsi1: hotplug problem - device busy"
    wire.expect(get(f"{Q}/config", {**has, "digest": "d"}), post(f"{Q}/config", upid("qmconfig", 100)), task("qmconfig", 100, said))
    wire.expect(get(f"nodes/pve1/tasks/{upid('qmconfig', 100)}/log", [{"n": 1, "t": f"TASK ERROR: {said}"}]))
    wire.expect(get("nodes/pve1/network", [{"iface": "vmbr0", "type": "bridge"}]))
    wire.expect(get(f"{Q}/pending", pending(has, net0="virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=7", scsi1="local-lvm:vm-100-disk-1,size=4G,ssd=1")))
    result = fleet({"name": "web-1", "description": "new", "networks": {"net0": {"tag": 7}}, "disks": {"scsi1": {"ssd": True}}})
    one = result["guests"][0]
    assert one["not_hotplugged"] == {"net0": "error on hot-unplugging device 'net0'", "scsi1": "device busy"}
    assert (one["applied"], one["pending"], one["reboot_required"]) == (["description"], ["net0", "scsi1"], True)
    assert "net0, scsi1 could not be changed while it runs" in one["warnings"][0] and "error" not in one


def test_hotplug_problem_in_the_answer_itself_is_the_same(wire: Wire) -> None:
    has = existing(wire, "running")
    errors = {"net0": "hotplug problem - no free slot"}
    wire.expect(get(f"{Q}/config", {**has, "digest": "d"}), get("nodes/pve1/network", [{"iface": "vmbr0", "type": "bridge"}]))
    wire.expect(post(f"{Q}/config", status=400, reason="Parameter verification failed.", errors=errors))
    wire.expect(get(f"{Q}/pending", pending(has, net0="virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=7")))
    assert fleet({"name": "web-1", "networks": {"net0": {"tag": 7}}})["guests"][0]["not_hotplugged"] == {"net0": "no free slot"}


def test_wrong_parameter_is_no_hotplug_problem(wire: Wire) -> None:
    has = existing(wire, "running")
    wire.expect(get(f"{Q}/config", {**has, "digest": "d"}))
    wire.expect(post(f"{Q}/config", status=400, reason="Parameter verification failed.", errors={"cpu": "invalid format"}))
    assert "cpu: invalid format" in failed({"name": "web-1", "cpu": "nonsense"})["msg"]


def test_checksum_that_only_the_task_compares_is_read_again(wire: Wire) -> None:
    has = existing(wire)
    wire.expect(get(f"{Q}/config", {**has, "digest": "d"}), post(f"{Q}/config", upid("qmconfig", 100)))
    wire.expect(task("qmconfig", 100, "checksum mismatch (file change by other user?)"), get(f"nodes/pve1/tasks/{upid('qmconfig', 100)}/log", []))
    wire.expect(get(f"{Q}/config", {**has, "memory": "1024", "digest": "e"}))
    fleet({"name": "web-1", "memory": 1024})
    assert len(wire.writes) == 1


@pytest.mark.parametrize("status", [200, 501])
def test_cloud_init_drive_of_a_running_guest_is_written_anew(wire: Wire, status: int) -> None:
    has = existing(wire, "running")
    writing(wire, has, ciuser="platform")
    wire.expect(Exchange("PUT", f"{Q}/cloudinit", status=status, reason="x"), get(f"{Q}/pending", pending(has)))
    assert fleet({"name": "web-1", "cloud_init": {"user": "platform"}})["guests"][0]["applied"] == ["ciuser"]


def test_restart_happens_only_when_asked_and_only_when_something_waits(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", "running")), get(f"{Q}/pending", pending(CONFIG, memory="1024")))
    wire.expect(post(f"{Q}/status/reboot", upid("qmreboot", 100), params={"timeout": 60}), task("qmreboot", 100))
    result = fleet({"name": "web-1", "memory": 1024, "reboot": True})
    assert result["diff"]["before"] == {"web-1.pending": ["memory"]} and result["guests"][0]["reboot_required"] is False
    existing(wire, "running")
    assert not fleet({"name": "web-1", "reboot": True})["changed"]
    has = existing(wire, "running")
    writing(wire, has, memory="1024")
    wire.expect(get(f"{Q}/pending", pending(has, memory="1024")), post(f"{Q}/status/reboot", upid("qmreboot", 100)), task("qmreboot", 100))
    assert fleet({"name": "web-1", "memory": 1024, "reboot": True})["guests"][0]["pending"] == []


# -- refused before the first write -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"options": {"scsihw": "lsi"}}, "boots from scsi0, whose controller would change from virtio-scsi-pci to lsi"),
        ({"remove": ["scsi0"]}, "boots from scsi0, which is to be removed"),
        ({"options": {"boot": "order=virtio0"}}, "boot order names virtio0, which it does not have"),
        ({"options": {"boot": "order=virtio0"}, "disks": {"virtio0": {"storage": "local-lvm", "size": 8}}}, "would boot from virtio0, a new disk"),
        ({"disks": {"scsi0": {"iso": "local:iso/x.iso"}}}, "scsi0 is no CD-ROM drive"),
        ({"disks": {"ide2": {"iso": "local:iso/x.iso"}}}, "ide2 is no CD-ROM drive"),
        ({"disks": {"scsi2": {"storage": "local-lvm"}}}, "storage and size"),
    ],
)
def test_guest_that_would_not_boot_any_more_is_refused(wire: Wire, options: dict[str, t.Any], message: str) -> None:
    existing(wire)
    result = failed({"name": "web-1", "memory": 1024, **options})
    assert message in result["msg"] and result["error"]["type"] == "Refused" and result["error"]["hint"] and wire.writes == []


def test_data_disk_and_boot_order_with_it_behind_are_fine(wire: Wire) -> None:
    has = existing(wire)
    writing(wire, has, boot="order=scsi0;virtio0", virtio0="local-lvm:8")
    assert fleet({"name": "web-1", "options": {"boot": "order=scsi0;virtio0"}, "disks": {"virtio0": {"storage": "local-lvm", "size": 8}}})["changed"]


GIB = 1024**3


def storage(kind: str, free_gib: int, **more: t.Any) -> dict[str, t.Any]:
    line = {"id": "storage/pve1/st", "type": "storage", "storage": "st", "node": "pve1", "content": "images", "status": "available", "plugintype": kind}
    return {**line, "maxdisk": 100 * GIB, "disk": (100 - free_gib) * GIB, **more}


NEW = [{"name": name, "disks": {"scsi0": {"storage": "st", "size": 10}}} for name in ("a", "b")]


@pytest.mark.parametrize(
    ("kind", "free", "options", "message"),
    [
        ("lvm", 19, {}, "need 20.0 GiB on storage st on pve1, which has 19.0 GiB left"),
        ("lvmthin", 19, {"overcommit": False}, "need 20.0 GiB"),
        ("lvmthin", 0, {}, "has 0.0 GiB left"),
    ],
)
def test_disks_that_do_not_fit_together_are_refused(wire: Wire, kind: str, free: int, options: dict[str, t.Any], message: str) -> None:
    wire.expect(get("cluster/resources", [NODE, storage(kind, free)]))
    assert message in failed(*NEW, **options)["msg"] and wire.writes == []


def test_thin_storage_that_is_promised_more_than_it_has_is_a_warning(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _self, text: warned.append(text))
    wire.expect(get("cluster/resources", [NODE, storage("lvmthin", 19)], times=2))
    assert fleet(*NEW, check=True)["changed"] and "The storage is thin" in warned[0]
    assert fleet(*NEW[:1], check=True)["changed"] and len(warned) == 1


def test_space_of_shared_storage_is_counted_once_for_all_nodes(wire: Wire) -> None:
    two = {**NODE2, "status": "online"}
    shared = [storage("lvm", 19, shared=1), storage("lvm", 19, shared=1, node="pve2", id="storage/pve2/st")]
    wire.expect(get("cluster/resources", [NODE, two, *shared]))
    assert "need 20.0 GiB on storage st, which" in failed({**NEW[0], "node": "pve1"}, {**NEW[1], "node": "pve2"})["msg"]


def test_copies_and_growth_need_space_too(wire: Wire) -> None:
    has = {**TEMPLATE_CONFIG, "scsi0": "st:base-9000-disk-0,size=8G"}
    wire.expect(get("cluster/resources", [NODE, storage("lvm", 19), TEMPLATE]), get("nodes/pve1/qemu/9000/pending", pending(has)))
    assert "need 20.0 GiB" in failed({"name": "a", "clone_from": "debian12", "full_clone": True, "disks": {"scsi0": {"size": 20}}})["msg"]


# -- what cannot be done now --------------------------------------------------------------------------------------------------


def test_locked_guest_fails_alone_and_names_who_holds_it(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", lock="backup"), guest(101, "b")))
    busy = {"upid": upid("vzdump", 100), "type": "vzdump", "user": "root@pam", "starttime": 1}
    wire.expect(get("nodes/pve1/tasks", [busy], params={"vmid": 100, "source": "active"}))
    wire.expect(post("nodes/pve1/qemu/101/status/start", upid("qmstart", 101)), task("qmstart", 101))
    result = failed({"name": "web-1", "state": "started"}, {"name": "b", "state": "started"})
    locked, other = result["guests"]
    assert other["changed"] and locked["status"] == "stopped" and locked["error"]["holders"] == [busy]
    assert "At work on it: vzdump." in locked["error"]["hint"]


def test_guest_on_an_offline_node_is_not_asked_for(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", "unknown", node="pve2")))
    result = failed({"name": "web-1", "memory": 1024})
    assert result["error"]["type"] == "ConnectionFailed" and "pve2, which is offline" in result["msg"]
    wire.expect(resources(guest(100, "web-1", "unknown", node="pve2")))
    assert "offline" in failed({"name": "web-1", "state": "started"})["msg"]
    wire.expect(resources(guest(100, "web-1", "unknown", node="pve2")))
    assert "offline" in failed({"name": "web-1", "state": "absent"})["msg"] and wire.writes == []


def test_guest_that_may_be_one_without_a_name_on_an_offline_node_is_not_made_again(wire: Wire) -> None:
    wire.expect(resources(TEMPLATE, guest(100, "", "unknown", node="pve2")))
    result = failed({"name": "web-1", "clone_from": "debian12"})
    assert "may be one of those on pve2" in result["msg"] and wire.writes == []


def test_guest_that_has_no_name_in_the_list_yet_is_asked_itself(wire: Wire) -> None:
    wire.expect(resources(guest(100, "")), get(f"{Q}/config", {"name": "web-1"}))
    assert fleet({"name": "web-1"})["guests"][0]["vmid"] == 100


def test_endpoint_that_nobody_reaches_is_an_error_of_all(wire: Wire) -> None:
    import requests

    broken = requests.exceptions.ConnectionError(ConnectionResetError(104, "reset"))
    wire.expect(resources(guest(100, "web-1")), get(f"{Q}/pending", raises=broken, times=4))
    assert failed({"name": "web-1", "memory": 1})["error"]["type"] == "ConnectionFailed"


def test_forbidden_configuration_is_an_error_of_all_and_a_vanished_one_of_its_guest(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")), get(f"{Q}/pending", status=403, reason="Permission check failed (/vms/100, VM.Audit)"))
    assert "the privilege VM.Audit on /vms/100" in failed({"name": "web-1", "memory": 1})["msg"]
    wire.expect(resources(guest(100, "web-1")), get(f"{Q}/pending", status=500, reason="Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"))
    assert failed({"name": "web-1", "memory": 1})["error"]["type"] == "NotFound"


# -- many at once -------------------------------------------------------------------------------------------------------------

BULK = "cluster/bulk-action/guest/start"
TWO = [{"name": "a", "state": "started"}, {"name": "b", "state": "started"}]


def bulk(wire: Wire, exit_status: str, running: tuple[int, ...]) -> None:
    wire.expect(resources(guest(100, "a"), guest(101, "b")))
    wire.expect(post(BULK, upid("bulk-start", 0), params={"vms": ["100", "101"]}), task("bulk-start", 0, exit_status))
    wire.expect(get("nodes/pve1/qemu", [{"vmid": vmid, "status": "running" if vmid in running else "stopped"} for vmid in (100, 101)]))


def test_guests_are_started_in_one_request(wire: Wire) -> None:
    bulk(wire, "OK", (100, 101))
    result = fleet(*TWO)
    assert [one["status"] for one in result["guests"]] == ["running", "running"] and len(wire.writes) == 1


def test_guest_that_did_not_start_with_the_others_is_started_alone_and_says_why_not(wire: Wire) -> None:
    bulk(wire, "Some guests failed to start: 101", (100,))
    wire.expect(get(f"nodes/pve1/tasks/{upid('bulk-start', 0)}/log", []))
    wire.expect(post("nodes/pve1/qemu/101/status/start", upid("qmstart", 101)), task("qmstart", 101, "no such disk"))
    wire.expect(get(f"nodes/pve1/tasks/{upid('qmstart', 101)}/log", [{"n": 1, "t": "no such disk"}]))
    wire.expect(get("nodes/pve1/qemu/101/status/current", {"status": "stopped"}))
    result = failed(*TWO)
    assert result["guests"][0]["status"] == "running" and result["guests"][1]["error"]["log"] == ["no such disk"]


def test_bulk_start_with_warnings_warns_for_each(wire: Wire) -> None:
    bulk(wire, "WARNINGS: 1", (100, 101))
    assert all("WARNINGS: 1" in one["warnings"][0] for one in fleet(*TWO)["guests"])


def test_bulk_start_without_an_answer_is_looked_after(wire: Wire) -> None:
    wire.expect(resources(guest(100, "a"), guest(101, "b")), post(BULK, status=596, reason="Connection timed out"))
    wire.expect(get("nodes/pve1/qemu", [{"vmid": 100, "status": "running"}, {"vmid": 101, "status": "running"}]))
    assert [one["changed"] for one in fleet(*TWO)["guests"]] == [True, True]


# -- the only one of its name -------------------------------------------------------------------------------------------------


def making(wire: Wire) -> None:
    wire.expect(resources(TEMPLATE), get("nodes/pve1/qemu/9000/pending", pending(TEMPLATE_CONFIG)), get("cluster/nextid", "100"))
    wire.expect(post("nodes/pve1/qemu/9000/clone", upid("qmclone", 9000)), task("qmclone", 9000), get(f"{Q}/config", clone_of_template(100, "web-1")))


def test_guest_gives_way_to_one_of_the_same_name_with_a_lower_id(wire: Wire) -> None:
    wire.expect(resources(TEMPLATE), get("nodes/pve1/qemu/9000/pending", pending(TEMPLATE_CONFIG)), get("cluster/nextid", "105"))
    wire.expect(post("nodes/pve1/qemu/9000/clone", upid("qmclone", 9000)), task("qmclone", 9000))
    wire.expect(get("nodes/pve1/qemu/105/config", clone_of_template(105, "web-1")))
    # Found in the gathering, found again by itself; then the other's lock is looked at.
    wire.expect(resources(TEMPLATE, guest(100, "web-1"), guest(105, "web-1"), times=2))
    wire.expect(Exchange("DELETE", "nodes/pve1/qemu/105", {"purge": 1, "destroy-unreferenced-disks": 1}, upid("qmdestroy", 105)), task("qmdestroy", 105))
    wire.expect(resources(TEMPLATE, guest(100, "web-1"), times=2), get(f"{Q}/config", clone_of_template(100, "web-1")))
    assert fleet({"name": "web-1", "clone_from": "debian12"})["guests"][0]["vmid"] == 100


def test_guest_with_the_lowest_id_waits_for_the_other_to_give_way(wire: Wire) -> None:
    making(wire)
    wire.expect(resources(TEMPLATE, guest(100, "web-1"), guest(101, "web-1"), times=3), resources(TEMPLATE, guest(100, "web-1")))
    result = fleet({"name": "web-1", "clone_from": "debian12"})
    assert result["guests"][0]["vmid"] == 100 and len(wire.writes) == 1


def test_guest_with_the_lowest_id_gives_way_to_one_that_stays(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "SETTLE_SECONDS", 0.0)
    making(wire)
    wire.expect(resources(TEMPLATE, guest(100, "web-1"), guest(101, "web-1"), times=2))
    wire.expect(Exchange("DELETE", Q, status=500, reason="Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"))
    wire.expect(resources(TEMPLATE, guest(101, "web-1"), times=2), get("nodes/pve1/qemu/101/config", clone_of_template(101, "web-1")))
    assert fleet({"name": "web-1", "clone_from": "debian12"})["guests"][0]["vmid"] == 101


def test_guest_with_a_declared_id_gives_way_to_nobody(wire: Wire) -> None:
    wire.expect(resources(TEMPLATE), get("nodes/pve1/qemu/9000/pending", pending(TEMPLATE_CONFIG)), get("cluster/nextid", "100", params={"vmid": 100}))
    wire.expect(post("nodes/pve1/qemu/9000/clone", upid("qmclone", 9000)), task("qmclone", 9000), get(f"{Q}/config", clone_of_template(100, "web-1")))
    assert fleet({"name": "web-1", "vmid": 100, "clone_from": "debian12"})["guests"][0]["vmid"] == 100
