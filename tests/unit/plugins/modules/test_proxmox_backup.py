from __future__ import annotations

import time
import typing as t

import pytest
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import CONNECTION, NODE, Exchange, Wire, get, guest, post, task, upid, wire

from ansible_collections.resilient.platform.plugins.module_utils._proxmox.backup import check_keep, prune_text
from ansible_collections.resilient.platform.plugins.modules import proxmox_backup, proxmox_backup_info

__all__ = ["wire"]
NOW = int(time.time())
SECOND = {"id": "node/pve2", "type": "node", "node": "pve2", "status": "online"}


def storage(name: str, node: str = "pve1", **more: t.Any) -> dict[str, t.Any]:
    line = {"id": f"storage/{node}/{name}", "type": "storage", "storage": name, "node": node, "content": "backup", "status": "available"}
    return {**line, "plugintype": "dir", "shared": 0, **more}


PBS = [storage("pbs", node, plugintype="pbs", shared=1) for node in ("pve1", "pve2")]
WEB, DB = guest(101, "web", "running"), guest(102, "db", node="pve2")
CT = {**guest(200, "ct", "running"), "type": "lxc", "id": "lxc/200"}


def cluster(*lines: dict[str, t.Any]) -> Exchange:
    return get("cluster/resources", [NODE, SECOND, storage("local"), storage("local", "pve2"), *PBS, *lines])


def archive(vmid: int, age: int, sid: str = "local", kind: str = "qemu", **more: t.Any) -> dict[str, t.Any]:
    taken = NOW - age
    name = f"backup/vzdump-{kind}-{vmid}-{time.strftime('%Y_%m_%d-%H_%M_%S', time.gmtime(taken))}.vma.zst"
    if sid == "pbs":
        name = f"backup/{'vm' if kind == 'qemu' else 'ct'}/{vmid}/{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(taken))}"
    return {"volid": f"{sid}:{name}", "content": "backup", "format": "vma.zst", "size": 1000, "ctime": taken, "vmid": vmid, **more}


def content(*archives: dict[str, t.Any], node: str = "pve1", sid: str = "local") -> Exchange:
    return get(f"nodes/{node}/storage/{sid}/content", list(archives), params={"content": "backup"})


def log(one: str, *lines: str, node: str = "pve1") -> Exchange:
    return get(f"nodes/{node}/tasks/{one}/log", [{"n": number, "t": line} for number, line in enumerate(lines, 1)])


def run(check: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_backup.main, {**CONNECTION, "guests": ["web"], "storage": "local", **args}, check=check, diff=True)


def test_each_guest_goes_to_its_node_and_is_found_on_the_storage(wire: Wire) -> None:
    one, two = upid("vzdump", 101), upid("vzdump", 102, 2, node="pve2")
    old, new, other = archive(101, 90000, "pbs"), archive(101, 5, "pbs", verification={"state": "ok", "upid": "x"}), archive(102, 4, "pbs")
    wire.expect(cluster(WEB, DB), content(old, sid="pbs"))
    args = {"guests": ["web", "102"], "storage": "pbs", "notes_template": "{{guestname}}\nnightly", "keep": {"last": 1, "daily": 7}, "protected": True}
    predicted = run(check=True, change_detection="metadata", **args)
    common = {"storage": "pbs", "mode": "snapshot", "protected": 1, "notes-template": "{{guestname}}\\nnightly"}
    common |= {"prune-backups": "keep-last=1,keep-daily=7", "pbs-change-detection-mode": "metadata"}
    wire.expect(
        cluster(WEB, DB), content(old, sid="pbs"),
        post("nodes/pve1/vzdump", one, params={"vmid": "101", **common}), post("nodes/pve2/vzdump", two, params={"vmid": "102", **common}),
        task("vzdump", 101), get(f"nodes/pve2/tasks/{two}/status", {"status": "stopped", "exitstatus": "OK", "upid": two}),
        log(one, "INFO: Finished Backup of VM 101 (00:01:05)"), log(two, "INFO: Finished Backup of VM 102 (01:00:02)", node="pve2"),
        content(new, other, sid="pbs"),
    )  # fmt: skip
    made = run(change_detection="metadata", **args)
    assert made["diff"] == predicted["diff"] and [found["changed"] for found in predicted["backups"]] == [True, True]
    assert [(found["name"], found["volid"], found["seconds"], found["verification"]) for found in made["backups"]] == [
        ("web", new["volid"], 65, "ok"), ("db", other["volid"], 3602, None)]  # fmt: skip
    assert made["pruned"] == [old["volid"]]


def test_a_backup_that_is_new_enough_is_not_made_again(wire: Wire) -> None:
    wire.expect(cluster(WEB), content(archive(101, 50)), content(node="pve2"))
    found = run(max_age=100000)
    assert (found["changed"], found["backups"][0]["changed"]) == (False, False)
    damaged = archive(101, 50, "pbs", verification={"state": "failed", "upid": "x"})
    wire.expect(cluster(WEB), content(damaged, sid="pbs"))
    assert run(check=True, storage="pbs", max_age=100000)["changed"], "one that is damaged is none"


def test_containers_and_file_storages(wire: Wire) -> None:
    one, new = upid("vzdump", 200), archive(200, 3, kind="lxc")
    wire.expect(cluster(CT), content(), content(node="pve2"))
    wire.expect(post("nodes/pve1/vzdump", one, params={"vmid": "200", "storage": "local", "mode": "stop", "compress": "0", "bwlimit": 100}))
    wire.expect(task("vzdump", 200), log(one, "INFO: Finished Backup of CT 200 (00:00:03)"), content(new), content(node="pve2"))
    found = run(guests=["ct", "200"], mode="stop", compress="none", bwlimit=100)["backups"]
    assert [(each["type"], each["volid"], each["seconds"]) for each in found] == [("lxc", new["volid"], 3)]


def test_one_guest_fails_the_others_are_done(wire: Wire) -> None:
    one, new = upid("vzdump", ""), archive(101, 3)
    full = "ERROR: Backup of VM 103 failed - zstd: error 70 : Write error : cannot write block : No space left on device"
    wire.expect(cluster(WEB, guest(103, "log")), content(), content(node="pve2"), post("nodes/pve1/vzdump", one, params=None))
    wire.expect(task("vzdump", "", "job errors"))  # type: ignore[arg-type]
    lines = ("INFO: Finished Backup of VM 101 (00:00:09)", full, "TASK ERROR: job errors")
    wire.expect(log(one, *lines), log(one, *lines), content(new), content(node="pve2"))
    with pytest.raises(ModuleFailed, match="1 of 2 guests have no new backup on local") as caught:
        run(guests=["web", "log"])
    result = caught.value.result
    assert "No space left on device" in result["msg"] and result["error"]["log"][-1] == "TASK ERROR: job errors"
    assert result["changed"] and [bool(each["error"]) for each in result["backups"]] == [False, True]


def test_a_node_that_cannot_begin_does_not_stop_the_others(wire: Wire) -> None:
    two, other = upid("vzdump", 102, 2, node="pve2"), archive(102, 4, "pbs")
    wire.expect(cluster(WEB, DB), content(sid="pbs"), post("nodes/pve1/vzdump", status=595, reason="No route to host"), post("nodes/pve2/vzdump", two))
    wire.expect(get(f"nodes/pve2/tasks/{two}/status", {"status": "stopped", "exitstatus": "OK", "upid": two}), log(two, node="pve2"))
    wire.expect(content(other, sid="pbs"))
    with pytest.raises(ModuleFailed, match=r"web \(101 on pve1\): POST .* failed with 595") as caught:
        run(guests=["web", "db"], storage="pbs")
    assert caught.value.result["backups"][1]["volid"] == other["volid"]


def test_what_the_log_does_not_say_is_found_out(wire: Wire) -> None:
    one = upid("vzdump", 101)
    wire.expect(cluster(WEB), content(), content(node="pve2"), post("nodes/pve1/vzdump", "OK"), content(), content(node="pve2"))
    with pytest.raises(ModuleFailed, match="the node began no backup"):
        run()
    wire.expect(cluster(WEB), content(), content(node="pve2"), post("nodes/pve1/vzdump", one), task("vzdump", 101), log(one))
    wire.expect(content(), content(node="pve2"))
    with pytest.raises(ModuleFailed, match="no new archive is on the storage"):
        run()
    wire.expect(cluster(WEB), content(), content(node="pve2"), post("nodes/pve1/vzdump", one), task("vzdump", 101, "got signal"))
    wire.expect(log(one, "no words"), get(f"nodes/pve1/tasks/{one}/log", status=500, reason="gone"), content(), content(node="pve2"))
    with pytest.raises(ModuleFailed, match="Backup of web failed: got signal"):
        run()


@pytest.mark.parametrize(
    ("lines", "args", "message"),
    [
        ([guest(101, "web", lock="snapshot")], {}, r"is locked \(snapshot\), so there can be no backup"),
        ([WEB], {"storage": "nope"}, "There is no storage nope .*Storages for backups: local, pbs"),
        ([WEB, storage("thin", content="images")], {"storage": "thin"}, "does not take backups"),
        ([WEB, storage("away", status="unknown")], {"storage": "away"}, "not available on any node"),
        ([WEB, storage("two", "pve2")], {"storage": "two"}, "on a node that has no storage two.*pve2"),
        ([{**CT, "template": 1}], {"guests": ["ct"]}, "is a template"),
        ([WEB], {"guests": []}, "nothing to back up"),
    ],
)
def test_refused_before_the_first_job(wire: Wire, lines: list[dict[str, t.Any]], args: dict[str, t.Any], message: str) -> None:
    wire.expect(cluster(*lines))
    if "locked" in message:
        wire.expect(content(), content(node="pve2"))
    with pytest.raises(ModuleFailed, match=message):
        run(**args)


def test_retention_has_to_keep_something(wire: Wire) -> None:
    for keep in ({"last": 0}, {"last": -1}, {"all": True, "last": 3}):
        with pytest.raises(ModuleFailed, match="retention"):
            run(keep=keep)
    assert check_keep({}) is None and prune_text(check_keep({"all": True, "last": None}) or {}) == "keep-all=1"


def test_info_lists_newest_first_and_knows_verification_and_lost_guests(wire: Wire) -> None:
    lines = [archive(101, 500, "pbs"), archive(101, 50, "pbs", verification={"state": "ok", "upid": "x"}, encrypted="ab:cd", notes="n", protected=1)]
    lines += [archive(900, 70, "pbs", kind="lxc"), {"volid": "pbs:backup/host/x/2026-01-01T00:00:00Z", "ctime": 5}]
    wire.expect(cluster(WEB, DB), content(*lines, sid="pbs"), cluster(WEB, DB), content(*lines, sid="pbs"))
    found = run_module(proxmox_backup_info.main, {**CONNECTION, "storage": "pbs"})
    assert [(one["vmid"], one["guest"], one["type"]) for one in found["archives"]] == [(101, "web", "qemu"), (900, None, "lxc"), (101, "web", "qemu")]
    newest = found["newest"]["101"]
    assert (newest["verification"], newest["encrypted"], newest["protected"], newest["notes"]) == ("ok", True, True, "n")
    assert newest["age_seconds"] >= 50
    found = run_module(proxmox_backup_info.main, {**CONNECTION, "storage": "pbs", "guests": ["900", "db"]})
    assert ([one["vmid"] for one in found["archives"]], found["without"]) == ([900], ["db"])
    wire.expect(cluster(WEB))
    with pytest.raises(ModuleFailed, match="no guest nobody"):
        run_module(proxmox_backup_info.main, {**CONNECTION, "storage": "pbs", "guests": ["nobody"]})
