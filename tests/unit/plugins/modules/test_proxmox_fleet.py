"""proxmox_fleet from its options to the wire: every request is scripted, an unexpected one fails the test."""

from __future__ import annotations

import functools
import typing as t

import pytest
import requests
from helpers import proxmox
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import (
    CONNECTION,
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

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import apply, make, run
from ansible_collections.resilient.platform.plugins.modules import proxmox_fleet

# The fixture; pytest finds it by its name.
wire = proxmox.wire

KEY = "ssh-ed25519 AAAA admin"
WEB = {
    "name": "web-1",
    "state": "started",
    "clone_from": "debian12",
    "cores": 2,
    "memory": 1024,
    "disks": {"scsi0": {"size_gib": 20}},
    "networks": {"net0": {"model": "virtio", "bridge": "vmbr0"}},
    "cloud_init": {"user": "platform", "ssh_keys": [KEY], "ipconfig": {"0": {"ip": "192.0.2.10/24", "gw": "192.0.2.1"}}},
    "tags": ["platform"],
    "agent": True,
}
# What the server holds once WEB is as declared.
WEB_CONFIG = clone_of_template(
    100,
    "web-1",
    agent="1",
    cores="2",
    memory="1024",
    scsi0="local-lvm:base-9000-disk-0/vm-100-disk-0,size=20G",
    ciuser="platform",
    sshkeys="ssh-ed25519%20AAAA%20admin",
    ipconfig0="gw=192.0.2.1,ip=192.0.2.10/24",
    tags="platform",
)
WRITTEN = {
    "agent": "1",
    "ciuser": "platform",
    "cores": "2",
    "ipconfig0": "gw=192.0.2.1,ip=192.0.2.10/24",
    "memory": "1024",
    "sshkeys": "ssh-ed25519%20AAAA%20admin",
    "tags": "platform",
}
BROKEN = requests.exceptions.ConnectionError(ConnectionResetError(104, "Connection reset by peer"))


def fleet(*guests: dict[str, t.Any], check: bool = False, diff: bool = True, **options: t.Any) -> dict[str, t.Any]:
    args = {**CONNECTION, "wait_sleep": 0, "wait_timeout": 30, "concurrency": 1, "guests": list(guests), **options}
    return run_module(proxmox_fleet.main, args, check=check, diff=diff)


def failed(*guests: dict[str, t.Any], **options: t.Any) -> dict[str, t.Any]:
    with pytest.raises(ModuleFailed) as caught:
        fleet(*guests, **options)
    return caught.value.result


def cloning(vmid: int = 100, name: str = "web-1", **more: t.Any) -> list[Exchange]:
    params = {"newid": vmid, "name": name, "full": 0, **more}
    return [post("nodes/pve1/qemu/9000/clone", upid("qmclone", 9000), params=params), task("qmclone", 9000)]


def whole_run(wire: Wire) -> None:
    """The script of making WEB."""
    q = "nodes/pve1/qemu/100"
    config = {**clone_of_template(100, "web-1"), "digest": "d1"}
    wire.expect(resources(TEMPLATE), get("nodes/pve1/qemu/9000/pending", pending(TEMPLATE_CONFIG)), get("cluster/nextid", "100"))
    wire.expect(*cloning(), get(f"{q}/config", config))
    wire.expect(post(f"{q}/config", None, params={**WRITTEN, "digest": "d1", "background_delay": 30}))
    wire.expect(Exchange("PUT", f"{q}/resize", {"disk": "scsi0", "size": "20G"}, upid("resize", 100)), task("resize", 100))
    wire.expect(alone(), post(f"{q}/status/start", upid("qmstart", 100)), task("qmstart", 100))


def alone(vmid: int = 100, name: str = "web-1") -> Exchange:
    """The look at who else has the name, once the guest is made."""
    return resources(TEMPLATE, guest(vmid, name))


# -- to be there ----------------------------------------------------------------------------------------------------------------


def test_missing_guest_is_cloned_configured_grown_and_started(wire: Wire) -> None:
    whole_run(wire)
    result = fleet(WEB)
    assert result["changed"]
    assert result["guests"][0]["vmid"] == 100 and result["guests"][0]["status"] == "running"
    assert result["api_requests"] == len(wire.seen) == 12


def test_check_mode_predicts_the_diff_of_the_run_and_writes_nothing(wire: Wire) -> None:
    wire.expect(resources(TEMPLATE), get("nodes/pve1/qemu/9000/pending", pending(TEMPLATE_CONFIG)))
    predicted = fleet(WEB, check=True)
    assert wire.writes == []
    whole_run(wire)
    real = fleet(WEB)
    assert predicted["diff"] == real["diff"]
    assert predicted["changed"] and predicted["guests"][0]["vmid"] is None
    assert predicted["diff"]["after"]["web-1.vmid"] == "(next free id)"
    assert predicted["diff"]["after"]["web-1.scsi0.size"] == "20G"
    assert predicted["diff"]["after"]["web-1.sshkeys"] == [KEY]
    assert predicted["diff"]["before"] == {"web-1.status": "absent"}


def test_guests_that_are_as_declared_cost_one_request_and_one_each(wire: Wire) -> None:
    names = [f"web-{n}" for n in range(1, 6)]
    found = [guest(100 + n, name, "running", tags="platform") for n, name in enumerate(names)]
    wire.expect(resources(TEMPLATE, *found))
    for one in found:
        wire.expect(get(f"nodes/pve1/qemu/{one['vmid']}/pending", pending({**WEB_CONFIG, "name": one["name"]})))
    result = fleet(*[{**WEB, "name": name} for name in names], concurrency=4)
    assert not result["changed"]
    assert result["diff"]["before"] == result["diff"]["after"] == {}
    assert result["api_requests"] == 1 + 5


def test_power_and_tags_alone_cost_one_request_for_all(wire: Wire) -> None:
    wire.expect(resources(*[guest(100 + n, f"web-{n}", "running", tags="A;b", pool="p") for n in range(20)]))
    result = fleet(*[{"name": f"web-{n}", "state": "started", "tags": ["b", "a"], "pool": "p"} for n in range(20)])
    assert not result["changed"] and result["api_requests"] == 1


def test_drift_is_repaired_with_the_changed_keys_and_the_digest(wire: Wire) -> None:
    has = {**WEB_CONFIG, "memory": "512", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=5"}
    wire.expect(resources(guest(100, "web-1", "running")), get("nodes/pve1/qemu/100/pending", pending(has), times=1))
    wire.expect(get("nodes/pve1/network", [{"iface": "vmbr0"}], params={"type": "any_bridge"}))
    wire.expect(get("nodes/pve1/qemu/100/config", {**has, "digest": "d7"}))
    params = {"memory": "1024", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=7", "digest": "d7", "background_delay": 30}
    wire.expect(post("nodes/pve1/qemu/100/config", upid("qmconfig", 100), params=params), task("qmconfig", 100))
    wire.expect(get("nodes/pve1/qemu/100/pending", pending(has, memory="1024")))
    result = fleet({**WEB, "networks": {"net0": {"tag": 7}}})
    assert result["guests"][0]["pending"] == ["memory"] and result["guests"][0]["reboot_required"]
    assert result["diff"]["before"]["web-1.memory"] == "512" and result["diff"]["after"]["web-1.memory"] == "1024"


def test_what_waits_for_a_restart_is_no_drift_but_is_reported(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", "running")))
    wire.expect(get("nodes/pve1/qemu/100/pending", pending({**WEB_CONFIG, "memory": "512"}, memory="1024")))
    result = fleet(WEB)
    assert not result["changed"]
    assert result["guests"][0]["pending"] == ["memory"] and result["guests"][0]["reboot_required"]


def test_tags_that_differ_are_written(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", tags="old")), get("nodes/pve1/qemu/100/pending", pending({"tags": "old"})))
    wire.expect(get("nodes/pve1/qemu/100/config", {"tags": "old", "digest": "d"}))
    wire.expect(post("nodes/pve1/qemu/100/config", params={"tags": "new", "digest": "d", "background_delay": 30}))
    assert fleet({"name": "web-1", "tags": ["new"]})["diff"]["before"] == {"web-1.tags": ["old"]}


def test_key_is_deleted(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")), get("nodes/pve1/qemu/100/pending", pending({"description": "x"})))
    wire.expect(get("nodes/pve1/qemu/100/config", {"description": "x", "digest": "d"}))
    wire.expect(post("nodes/pve1/qemu/100/config", params={"delete": "description", "digest": "d", "background_delay": 30}))
    assert fleet({"name": "web-1", "description": ""})["changed"]


def test_guest_without_a_source_is_created_in_one_request(wire: Wire) -> None:
    wire.expect(resources(), get("cluster/nextid", params={"vmid": 120}), get("pools", [{"poolid": "apps"}]))
    wire.expect(get("nodes/pve1/network", [{"iface": "vmbr0"}]))
    params = {"vmid": 120, "name": "db-1", "pool": "apps", "cores": "2", "net0": "virtio,bridge=vmbr0", "scsi0": "local-lvm:8"}
    wire.expect(post("nodes/pve1/qemu", upid("qmcreate", 120), params=params), task("qmcreate", 120))
    disks, networks = {"scsi0": {"storage": "local-lvm", "size_gib": 8}}, {"net0": {"bridge": "vmbr0"}}
    result = fleet({"name": "db-1", "vmid": 120, "cores": 2, "disks": disks, "networks": networks, "pool": "apps"})
    assert result["guests"][0]["status"] == "stopped"
    assert result["diff"]["after"]["db-1.scsi0"] == "local-lvm:(generated),size=8G"


def test_full_clone_to_the_declared_storage_and_node(wire: Wire) -> None:
    other = {"id": "storage/pve1/ceph", "type": "storage", "storage": "ceph", "node": "pve1", "content": "images", "status": "available"}
    wire.expect(get("cluster/resources", [{"type": "node", "node": "pve1", "status": "online"}, other, {**TEMPLATE, "node": "pve3"}]))
    wire.expect(get("nodes/pve3/qemu/9000/pending", pending(TEMPLATE_CONFIG)), get("cluster/nextid", 100))
    params = {"newid": 100, "name": "web-1", "full": 1, "storage": "ceph", "target": "pve1"}
    wire.expect(post("nodes/pve3/qemu/9000/clone", upid("qmclone", 9000, node="pve3"), params=params))
    wire.expect(get(f"nodes/pve3/tasks/{upid('qmclone', 9000, node='pve3')}/status", {"status": "stopped", "exitstatus": "OK"}))
    wire.expect(get("nodes/pve1/qemu/100/config", {**clone_of_template(100, "web-1"), "scsi0": "ceph:vm-100-disk-0,size=8G", "digest": "d"}))
    wire.expect(alone())
    assert fleet({"name": "web-1", "node": "pve1", "clone_from": "9000", "full_clone": True, "disks": {"scsi0": {"storage": "ceph"}}})["changed"]


def test_guest_joins_its_pool(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", pool="old")), get("pools", [{"poolid": "new"}, {"poolid": "old"}]))
    wire.expect(Exchange("PUT", "pools", {"poolid": "new", "vms": "100", "allow-move": 1}))
    assert fleet({"name": "web-1", "pool": "new"})["diff"] == {
        "before": {"web-1.pool": "old"},
        "after": {"web-1.pool": "new"},
        "before_header": "guests",
        "after_header": "guests",
    }


def test_waiting_for_the_address_returns_it(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", "running")), get("nodes/pve1/qemu/100/pending", pending(WEB_CONFIG)))
    wire.expect(get("nodes/pve1/qemu/100/status/current", {"status": "running"}), post("nodes/pve1/qemu/100/agent/ping", {"result": {}}))
    answer = {"result": [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.10"}]}]}
    wire.expect(get("nodes/pve1/qemu/100/agent/network-get-interfaces", answer))
    result = fleet(WEB, wait_for="address")
    assert not result["changed"] and result["guests"][0]["addresses"] == ["192.0.2.10"]


# -- power ----------------------------------------------------------------------------------------------------------------------


def test_stopped_guest_is_shut_down(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", "running")))
    wire.expect(post("nodes/pve1/qemu/100/status/shutdown", upid("qmshutdown", 100), params={"timeout": 60, "forceStop": 1}))
    wire.expect(task("qmshutdown", 100))
    assert fleet({"name": "web-1", "state": "stopped"})["guests"][0]["status"] == "stopped"


def test_guest_that_somebody_else_started_meanwhile_is_fine(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")), post("nodes/pve1/qemu/100/status/start", upid("qmstart", 100)))
    wire.expect(task("qmstart", 100, "VM 100 already running"), get(f"nodes/pve1/tasks/{upid('qmstart', 100)}/log", []))
    wire.expect(get("nodes/pve1/qemu/100/status/current", {"status": "running"}))
    assert fleet({"name": "web-1", "state": "started"})["changed"]


def test_start_that_fails_shows_exit_status_and_log(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")), post("nodes/pve1/qemu/100/status/start", upid("qmstart", 100)))
    wire.expect(task("qmstart", 100, "start failed: QEMU exited with code 1"))
    wire.expect(get(f"nodes/pve1/tasks/{upid('qmstart', 100)}/log", [{"n": 1, "t": "kvm: no memory"}, {"n": 2, "t": "TASK ERROR: start failed"}]))
    wire.expect(get("nodes/pve1/qemu/100/status/current", {"status": "stopped"}))
    result = failed({"name": "web-1", "state": "started"})
    assert "Starting guest web-1 (100 on pve1) failed: start failed: QEMU exited with code 1" in result["msg"]
    assert result["error"]["type"] == "TaskFailed" and result["error"]["log"][0] == "kvm: no memory"
    assert result["guests"][0]["status"] == "stopped" and not result["changed"]


def test_start_with_warnings_warns(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    warned: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _self, text: warned.append(text))
    wire.expect(resources(guest(100, "web-1")), post("nodes/pve1/qemu/100/status/start", upid("qmstart", 100)), task("qmstart", 100, "WARNINGS: 1"))
    assert fleet({"name": "web-1", "state": "started"})["guests"][0]["warnings"] == warned != []


# -- to be gone -----------------------------------------------------------------------------------------------------------------

DESTROY = {"purge": 1, "destroy-unreferenced-disks": 1}


def destroying(vmid: int = 100) -> list[Exchange]:
    return [Exchange("DELETE", f"nodes/pve1/qemu/{vmid}", DESTROY, upid("qmdestroy", vmid)), task("qmdestroy", vmid)]


def test_running_guest_is_stopped_and_destroyed(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", "running")))
    wire.expect(post("nodes/pve1/qemu/100/status/stop", upid("qmstop", 100)), task("qmstop", 100), *destroying())
    result = fleet({"name": "web-1", "state": "absent"})
    assert result["diff"]["before"] == {"web-1.vmid": 100, "web-1.status": "running"}
    assert result["diff"]["after"] == {"web-1.status": "absent"}
    assert result["guests"][0]["status"] == "absent"


def test_absent_guest_stays_absent_for_one_request(wire: Wire) -> None:
    wire.expect(resources())
    result = fleet({"name": "web-1", "state": "absent"})
    assert not result["changed"] and result["diff"]["after"] == {} and result["guests"][0]["status"] == "absent"


def test_destroying_in_check_mode_writes_nothing(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", "running")))
    result = fleet({"name": "web-1", "state": "absent"}, check=True)
    assert result["changed"] and result["guests"][0]["status"] == "absent" and wire.writes == []


def test_guest_that_runs_though_the_list_said_otherwise_is_stopped_first(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")))
    wire.expect(Exchange("DELETE", "nodes/pve1/qemu/100", DESTROY, status=500, reason="VM 100 is running - destroy failed"))
    wire.expect(post("nodes/pve1/qemu/100/status/stop", upid("qmstop", 100)), task("qmstop", 100), *destroying())
    assert fleet({"name": "web-1", "state": "absent"})["changed"]


def test_guest_that_somebody_else_destroyed_is_fine(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")))
    gone = "Configuration file 'nodes/pve1/qemu-server/100.conf' does not exist"
    wire.expect(Exchange("DELETE", "nodes/pve1/qemu/100", DESTROY, status=500, reason=gone))
    assert fleet({"name": "web-1", "state": "absent"})["guests"][0]["status"] == "absent"


def test_destroying_without_an_answer_looks_before_it_judges(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")), Exchange("DELETE", "nodes/pve1/qemu/100", DESTROY, raises=BROKEN), resources())
    assert fleet({"name": "web-1", "state": "absent"})["changed"]
    wire.expect(resources(guest(100, "web-1")), Exchange("DELETE", "nodes/pve1/qemu/100", DESTROY, raises=BROKEN), resources(guest(100, "web-1")))
    assert failed({"name": "web-1", "state": "absent"})["error"]["type"] == "WriteUnanswered"


def test_surplus_is_reported_and_destroyed_only_when_asked(wire: Wire) -> None:
    more = [guest(101, "old-1", tags="Platform"), guest(102, "other", tags="x"), guest(103, "tpl", tags="platform", template=1)]
    wire.expect(resources(guest(100, "web-1", tags="platform"), *more, times=2))
    result = fleet({"name": "web-1"}, exclusive_tag="platform")
    assert not result["changed"] and [one["name"] for one in result["surplus"]] == ["old-1"]
    wire.expect(*destroying(101))
    result = fleet({"name": "web-1"}, exclusive_tag="platform", prune=True)
    assert result["changed"] and [(one["name"], one["status"]) for one in result["guests"]] == [("web-1", "stopped"), ("old-1", "absent")]


# -- collisions, stale digests, lost answers ---------------------------------------------------------------------------------------


def small(**more: t.Any) -> dict[str, t.Any]:
    return {"name": "web-1", "clone_from": "debian12", **more}


def reading_template(wire: Wire, *found: dict[str, t.Any]) -> None:
    wire.expect(resources(TEMPLATE, *found), get("nodes/pve1/qemu/9000/pending", pending(TEMPLATE_CONFIG)))


def taken(vmid: int) -> Exchange:
    reason = f"unable to create VM {vmid}: config file already exists"
    return post("nodes/pve1/qemu/9000/clone", status=500, reason=reason, params={"newid": vmid, "name": "web-1", "full": 0})


def test_id_that_somebody_else_took_is_replaced_by_the_next(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", "100"), taken(100), resources(TEMPLATE, guest(100, "other")))
    wire.expect(*cloning(101), get("nodes/pve1/qemu/101/config", clone_of_template(101, "web-1")), alone(101))
    assert fleet(small())["guests"][0]["vmid"] == 101


def test_declared_id_that_is_taken_in_the_last_moment_fails(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", "100", params={"vmid": 100}), taken(100), resources(guest(100, "other")))
    assert failed(small(vmid=100))["error"]["type"] == "AlreadyExists"


def test_declared_id_that_another_run_of_ours_took_is_adopted(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", "100", params={"vmid": 100}), taken(100))
    wire.expect(resources(guest(100, "web-1", lock="clone")), resources(guest(100, "web-1")))
    wire.expect(get("nodes/pve1/qemu/100/config", clone_of_template(100, "web-1")))
    assert fleet(small(vmid=100))["guests"][0]["vmid"] == 100


def test_guest_that_another_run_made_since_we_looked_is_adopted_and_not_doubled(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "FRESH_SECONDS", -1.0)
    reading_template(wire)
    wire.expect(get("cluster/nextid", "100"), resources(guest(140, "web-1", lock="clone"), times=2), resources(guest(140, "web-1", "running")))
    wire.expect(get("nodes/pve1/qemu/140/config", {**clone_of_template(140, "web-1"), "memory": "1024"}))
    assert fleet(small(memory=1024))["guests"][0]["vmid"] == 140 and wire.writes == []


def test_plan_that_got_old_is_checked_before_a_guest_is_made(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(0, 1000, 2))
    monkeypatch.setattr(run, "Applier", functools.partial(apply.Applier, clock=lambda: next(now)))
    monkeypatch.setattr(make, "FRESH_SECONDS", 1.0)
    reading_template(wire)
    wire.expect(resources(TEMPLATE), get("cluster/nextid", "100"), *cloning(100), get("nodes/pve1/qemu/100/config", clone_of_template(100, "web-1")), alone())
    assert fleet(small(), wait_timeout=900)["changed"]


def test_ids_are_asked_for_once_and_declared_ones_are_not_given_away(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", "101", params={"vmid": 101}), get("cluster/nextid", "100", params={}))
    for number, (vmid, name) in enumerate([(100, "a"), (101, "b"), (102, "c")], 1):
        wire.expect(post("nodes/pve1/qemu/9000/clone", upid("qmclone", 9000, number)))
        wire.expect(task("qmclone", 9000, number=number))
        wire.expect(get(f"nodes/pve1/qemu/{vmid}/config", clone_of_template(vmid, name)))
    wire.expect(get("nodes/pve1/tasks", [], times=9), resources(TEMPLATE, guest(100, "a"), guest(101, "b"), guest(102, "c"), times=2))
    result = fleet(small(name="a"), small(name="b", vmid=101), small(name="c"))
    assert sorted(one["vmid"] for one in result["guests"]) == [100, 101, 102] and result["guests"][1]["vmid"] == 101
    assert sum(call[1] == "cluster/nextid" and not call[2] for call in wire.seen) == 1
    wire.left.clear()


def test_so_many_taken_ids_are_an_error(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", "100"), *[taken(vmid) for vmid in range(100, 120)], resources(TEMPLATE, times=20))
    assert "20 ids in a row" in failed(small())["msg"]


def test_stale_digest_is_read_and_planned_again_once(wire: Wire) -> None:
    has = {"memory": "512", "cores": "1"}
    wire.expect(resources(guest(100, "web-1")), get("nodes/pve1/qemu/100/pending", pending(has)))
    wire.expect(get("nodes/pve1/qemu/100/config", {**has, "digest": "d1"}))
    stale = "checksum mismatch (file change by other user?)"
    first = {"memory": "1024", "cores": "2", "digest": "d1", "background_delay": 30}
    wire.expect(post("nodes/pve1/qemu/100/config", status=500, reason=stale, params=first))
    wire.expect(get("nodes/pve1/qemu/100/config", {"memory": "1024", "cores": "1", "digest": "d2"}))
    wire.expect(post("nodes/pve1/qemu/100/config", params={"cores": "2", "digest": "d2", "background_delay": 30}))
    assert fleet({"name": "web-1", "memory": 1024, "cores": 2})["changed"]


def test_digest_that_is_stale_twice_fails(wire: Wire) -> None:
    has = {"memory": "512", "digest": "d"}
    wire.expect(resources(guest(100, "web-1")), get("nodes/pve1/qemu/100/pending", pending({"memory": "512"})))
    wire.expect(get("nodes/pve1/qemu/100/config", has, times=2))
    wire.expect(post("nodes/pve1/qemu/100/config", status=500, reason="checksum mismatch (file change by other user?)", times=2))
    assert failed({"name": "web-1", "memory": 1024})["error"]["type"] == "DigestMismatch"


def test_write_without_an_answer_that_was_done_is_not_done_again(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")), get("nodes/pve1/qemu/100/pending", pending({"memory": "512"})))
    wire.expect(get("nodes/pve1/qemu/100/config", {"memory": "512", "digest": "d1"}))
    wire.expect(post("nodes/pve1/qemu/100/config", status=596, reason="Connection timed out"))
    wire.expect(get("nodes/pve1/qemu/100/config", {"memory": "1024", "digest": "d2"}))
    fleet({"name": "web-1", "memory": 1024})
    assert len(wire.writes) == 1


def test_clone_without_an_answer_is_found_by_its_id_and_waited_for(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", "100"), post("nodes/pve1/qemu/9000/clone", raises=BROKEN))
    wire.expect(resources(TEMPLATE, guest(100, "web-1", lock="clone")), resources(TEMPLATE, guest(100, "web-1")))
    wire.expect(get("nodes/pve1/qemu/100/config", clone_of_template(100, "web-1")))
    assert fleet(small())["guests"][0]["vmid"] == 100


def test_clone_without_an_answer_that_was_not_done_fails(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", "100"), post("nodes/pve1/qemu/9000/clone", raises=BROKEN), resources(TEMPLATE))
    assert failed(small())["error"]["type"] == "WriteUnanswered"


def test_guest_that_a_killed_run_began_to_make_is_waited_for_and_finished(wire: Wire) -> None:
    wire.expect(resources(TEMPLATE, guest(100, "web-1", lock="clone"), times=2), resources(TEMPLATE, guest(100, "web-1")))
    wire.expect(get("nodes/pve1/qemu/100/pending", pending(clone_of_template(100, "web-1"))))
    wire.expect(get("nodes/pve1/qemu/100/config", {**clone_of_template(100, "web-1"), "digest": "d"}))
    wire.expect(post("nodes/pve1/qemu/100/config", params={"memory": "1024", "digest": "d", "background_delay": 30}))
    assert fleet(small(memory=1024))["guests"][0]["vmid"] == 100


def test_guest_that_is_never_made_is_given_up_with_the_way_out(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", lock="clone"), times=2))
    result = failed(small(), wait_timeout=0)
    assert "still being made" in result["msg"] and "qm unlock 100" in result["msg"]


def test_check_mode_does_not_wait_for_a_guest_that_is_being_made(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1", lock="clone")), get("nodes/pve1/qemu/100/pending", pending({"lock": "clone"})))
    assert fleet(small(memory=1024), check=True)["changed"]


def test_one_failed_guest_does_not_stop_the_others(wire: Wire) -> None:
    wire.expect(resources(guest(100, "a"), guest(101, "b")))
    wire.expect(post("cluster/bulk-action/guest/start", status=501, reason="Method 'POST /cluster/bulk-action/guest/start' not implemented"))
    wire.expect(post("nodes/pve1/qemu/100/status/start", upid("qmstart", 100)), task("qmstart", 100, "boom"))
    wire.expect(get(f"nodes/pve1/tasks/{upid('qmstart', 100)}/log", [{"n": 1, "t": "why"}]), get("nodes/pve1/qemu/100/status/current", {"status": "stopped"}))
    wire.expect(post("nodes/pve1/qemu/101/status/start", upid("qmstart", 101, 2)), task("qmstart", 101, number=2), get("nodes/pve1/tasks", [], times=9))
    result = failed({"name": "a", "state": "started"}, {"name": "b", "state": "started"})
    wire.left.pop(("GET", "nodes/pve1/tasks"))
    assert result["error"]["type"] == "FleetIncomplete" and "1 of 2 guests failed. a: Starting guest a" in result["msg"]
    assert result["changed"] and result["guests"][1]["status"] == "running"
    assert result["guests"][0]["error"]["log"] == ["why"]


# -- refused before the first write ---------------------------------------------------------------------------------------------

HELD = guest(100, "web-1", "running")


@pytest.mark.parametrize(
    ("options", "found", "message"),
    [
        ({"vmid": 100}, [guest(100, "db-1")], "declared with id 100, which belongs to the guest db-1"),
        ({"vmid": 105}, [guest(100, "web-1")], "declared with id 105, but has id 100 on pve1"),
        ({}, [guest(100, "web-1"), guest(101, "web-1")], "The name web-1 exists 2 times: 100 on pve1, 101 on pve1"),
        ({}, [guest(100, "web-1", type="lxc")], "is a container"),
        ({}, [guest(100, "web-1", template=1)], "is a template"),
        ({"state": "absent"}, [guest(100, "web-1", template=1)], "is a template"),
        ({"node": "pve2"}, [guest(100, "web-1")], "is declared on node pve2"),
        ({}, [], "nothing to make it from"),
        ({"clone_from": "debian13"}, [TEMPLATE], "there is no template debian13"),
        ({"clone_from": "9001"}, [TEMPLATE], "there is no template 9001"),
        ({"clone_from": "debian12"}, [TEMPLATE, {**TEMPLATE, "vmid": 9001}], "the name debian12 exists 2 times"),
        ({"clone_from": "ct"}, [guest(200, "ct", type="lxc")], "ct is a container"),
        ({"clone_from": "db", "full_clone": False}, [guest(200, "db")], "db is not a template, so a linked clone"),
        ({"clone_from": "debian12"}, [{**TEMPLATE, "lock": "backup"}], "template debian12 is locked"),
        ({"state": "started"}, [guest(100, "web-1", lock="backup")], "has to be changed but is locked"),
    ],
)
def test_guest_that_is_not_meant_is_refused(wire: Wire, options: dict[str, t.Any], found: list[dict[str, t.Any]], message: str) -> None:
    wire.expect(resources(*found), *([get("nodes/pve1/tasks", [], params={"vmid": 100, "source": "active"})] if "has to be changed" in message else []))
    result = failed({"name": "web-1", **options})
    assert message in result["msg"] and result["error"]["hint"] and wire.writes == []


def test_name_that_exists_twice_is_clear_with_an_id(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1"), guest(101, "web-1")))
    assert fleet({"name": "web-1", "vmid": 101})["guests"][0]["vmid"] == 101


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"disks": {"scsi0": {"size_gib": 4}}}, "Guest web-1: Disk scsi0 has 8G and cannot be made smaller (4G)"),
        ({"disks": {"scsi0": {"storage": "other"}}}, "stays on its template's storage"),
        ({"disks": {"scsi1": {"storage": "nowhere", "size_gib": 4}}}, "node pve1 has no storage nowhere"),
        ({"disks": {"scsi1": {"storage": "local", "size_gib": 4}}}, "the storage local does not hold disks"),
        ({"node": "pve9"}, "there is no node pve9"),
        ({"node": "pve2"}, "the node pve2 is offline"),
    ],
)
def test_new_guest_that_cannot_be_made_is_refused(wire: Wire, options: dict[str, t.Any], message: str) -> None:
    reading_template(wire)
    result = failed(small(**options))
    assert message in result["msg"] and result["error"]["type"] == "Refused" and wire.writes == []


def test_one_refused_guest_keeps_all_others_from_being_written(wire: Wire) -> None:
    reading_template(wire)
    failed(small(), small(name="web-2", disks={"scsi0": {"size_gib": 1}}))
    assert wire.writes == []


def test_shrinking_an_existing_guest_is_refused(wire: Wire) -> None:
    wire.expect(resources(HELD), get("nodes/pve1/qemu/100/pending", pending(WEB_CONFIG)))
    assert "has 20G and cannot be made smaller" in failed({"name": "web-1", "disks": {"scsi0": {"size_gib": 10}}, "memory": 4096})["msg"]
    assert wire.writes == []


def test_unknown_bridge_is_refused(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("nodes/pve1/network", [{"iface": "vmbr0", "type": "bridge"}, {"iface": "vmbr1", "type": "OVSBridge"}, {"iface": "eno1", "type": "eth"}]))
    result = failed(small(networks={"net0": {"bridge": "vmbr9"}}))
    assert "node pve1 has no bridge vmbr9" in result["msg"] and "Bridges: vmbr0, vmbr1." in result["msg"] and wire.writes == []


def test_unknown_pool_is_refused(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("pools", [{"poolid": "apps"}]))
    assert "there is no pool nope" in failed(small(pool="nope"))["msg"] and wire.writes == []


def test_pools_that_may_not_be_listed_are_left_to_the_server(wire: Wire) -> None:
    wire.expect(resources(guest(100, "web-1")), get("pools", status=403, reason="Permission check failed"))
    assert fleet({"name": "web-1", "pool": "hidden"}, check=True)["changed"]


def test_id_of_a_guest_that_may_not_be_seen_is_refused(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", status=400, reason="Parameter verification failed.", errors={"vmid": "VM 150 already exists"}))
    result = failed(small(vmid=150))
    assert "the id 150 cannot be used: VM 150 already exists" in result["msg"] and wire.writes == []


def test_id_that_cannot_be_asked_for_is_the_servers_error(wire: Wire) -> None:
    reading_template(wire)
    wire.expect(get("cluster/nextid", status=500, reason="cluster not ready - no quorum?"))
    assert failed(small(vmid=150))["error"]["type"] == "Conflict"


def test_storage_that_is_not_available_is_refused(wire: Wire) -> None:
    off = {"id": "storage/pve1/nfs", "type": "storage", "storage": "nfs", "node": "pve1", "content": "images", "status": "unknown"}
    wire.expect(resources(TEMPLATE, off), get("nodes/pve1/qemu/9000/pending", pending(TEMPLATE_CONFIG)))
    assert "the storage nfs is not available" in failed(small(disks={"scsi1": {"storage": "nfs", "size_gib": 1}}))["msg"]


def test_node_has_to_be_said_where_there_are_several(wire: Wire) -> None:
    wire.expect(get("cluster/resources", [{"type": "node", "node": f"pve{n}", "status": "online"} for n in (1, 2)]))
    assert "node is not given" in failed({"name": "web-1", "disks": {"scsi0": {"storage": "s", "size_gib": 1}}})["msg"]


@pytest.mark.parametrize(
    "guests", [[{"name": "a"}, {"name": "a"}], [{"name": "a", "disks": {"scsi0": {"bad": 1}}}], [{"name": "a", "options": {"nonsense": 1}}]]
)
def test_input_that_cannot_be_meant_is_refused_without_asking_anybody(wire: Wire, guests: list[dict[str, t.Any]]) -> None:
    assert failed(*guests)["error"]["type"] == "Refused"
    assert wire.seen == []


def test_unknown_option_of_a_guest_is_refused(wire: Wire) -> None:
    assert "Unsupported parameters" in failed({"name": "a", "ram": 4})["msg"]


def test_wrong_password_says_what_to_check_and_hides_it(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    wire.expect(post("access/ticket", status=401, reason="authentication failure"))
    args = {"api_host": "h", "api_user": "root@pam", "api_password": "hunter2-secret", "guests": [{"name": "a"}]}
    with pytest.raises(ModuleFailed) as caught:
        run_module(proxmox_fleet.main, args)
    assert caught.value.result["error"]["type"] == "AuthenticationError"
    assert "hunter2-secret" not in str(caught.value.result)


def test_connection_comes_from_the_environment(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "h", "USER": "u@pve", "TOKEN_ID": "t", "TOKEN_SECRET": "s3", "VALIDATE_CERTS": "no", "PORT": "443"}.items():
        monkeypatch.setenv(f"PROXMOX_{name}", value)
    wire.expect(resources(guest(100, "a")))
    assert not run_module(proxmox_fleet.main, {"guests": [{"name": "a"}]})["changed"]
    assert wire.verify == [False] and wire.headers[0]["Authorization"] == "PVEAPIToken=u@pve!t=s3"


@pytest.mark.parametrize("broken", [{"api_token_secret": None}, {"api_host": None}, {"prune": True}])
def test_options_that_need_each_other(wire: Wire, broken: dict[str, t.Any]) -> None:
    args = {key: value for key, value in {**CONNECTION, "guests": [], **broken}.items() if value is not None}
    with pytest.raises(ModuleFailed):
        run_module(proxmox_fleet.main, args)


def test_empty_list_is_fine(wire: Wire) -> None:
    wire.expect(resources())
    assert fleet() == {"changed": False, "guests": [], "surplus": [], "api_requests": 1, "diff": fleet_diff_of_nothing()}


def fleet_diff_of_nothing() -> dict[str, t.Any]:
    return {"before": {}, "after": {}, "before_header": "guests", "after_header": "guests"}


def test_result_has_no_diff_unless_asked(wire: Wire) -> None:
    wire.expect(resources())
    assert "diff" not in fleet(diff=False)
