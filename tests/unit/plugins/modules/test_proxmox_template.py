from __future__ import annotations

import typing as t

import pytest
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import CONNECTION, TEMPLATE, TEMPLATE_CONFIG, Exchange, Wire, get, guest, pending, post, resources, task, upid, wire

from ansible_collections.resilient.platform.plugins.modules import proxmox_template, proxmox_template_info

__all__ = ["wire"]
URL = "https://images.example.com/debian-12.qcow2?x=1"
IMAGE = {"url": URL, "storage": "local", "checksum": "ab" * 32}
NEW = {"name": "new", "image": IMAGE, "image_disk_storage": "local-lvm", "disks": {"scsi0": {"size_gib": 8}}, "memory": 1024, "node": "pve1"}
ONE = "nodes/pve1/qemu/9000"


def run(check: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_template.main, {**CONNECTION, **args}, check=check, diff=True)


def test_is_made_of_an_image_that_the_node_fetches(wire: Wire) -> None:
    reads = [resources(), resources(), get("nodes/pve1/storage/local/content", [], params={"content": "import"})]
    wire.expect(*reads)
    predicted = run(check=True, **NEW)
    fetched, path = upid("download", 0), "nodes/pve1/qemu/100"
    wire.expect(*reads, get("cluster/nextid", "100"), resources(guest(100, "new")))
    wire.expect(post("nodes/pve1/storage/local/download-url", fetched, params={
        "content": "import", "filename": "debian-12.qcow2", "url": URL, "checksum": "ab" * 32, "checksum-algorithm": "sha256"}), task("download", 0))
    made = {"vmid": 100, "name": "new", "memory": 1024, "scsi0": "local-lvm:0,import-from=local:import/debian-12.qcow2"}
    wire.expect(post("nodes/pve1/qemu", upid("qmcreate", 100), params=made), task("qmcreate", 100))
    wire.expect(get(f"{path}/config", {"memory": "1024", "scsi0": "local-lvm:vm-100-disk-0,size=2G", "digest": "0" * 40}))
    wire.expect(Exchange("PUT", f"{path}/resize", params={"disk": "scsi0", "size": "8G"}, data=upid("resize", 100)), task("resize", 100))
    wire.expect(post(f"{path}/template", upid("qmtemplate", 100)), task("qmtemplate", 100))
    found = run(**NEW)
    assert found["diff"] == predicted["diff"] and found["template"] == {"name": "new", "vmid": 100, "node": "pve1"}
    assert found["diff"]["after"]["image"] == "local:import/debian-12.qcow2" and found["diff"]["after"]["new.template"] is True


def test_one_that_is_there_is_compared_but_for_its_disks(wire: Wire) -> None:
    values = {key: str(value) for key, value in TEMPLATE_CONFIG.items()}
    wire.expect(resources(TEMPLATE), get(f"{ONE}/pending", pending(values)))
    same = {**NEW, "name": "debian12", "memory": 512}
    assert not run(**same)["changed"]
    stale = Exchange("POST", f"{ONE}/config", status=500, reason="detected modified configuration - file changed by other user? Try again.")
    wire.expect(resources(TEMPLATE), get(f"{ONE}/pending", pending(values)), get(f"{ONE}/config", {**values, "digest": "0" * 40}, times=2), stale)
    wire.expect(post(f"{ONE}/config", upid("qmconfig", 9000), params={"memory": 1024, "digest": "0" * 40}), task("qmconfig", 9000))
    found = run(**{**same, "memory": 1024})
    assert found["diff"]["after"] == {"debian12.memory": "1024"} and found["action"] is None


def test_guest_is_converted_only_if_told_and_off(wire: Wire) -> None:
    off = [resources(guest(101, "web")), get("nodes/pve1/qemu/101/pending", pending({"memory": "512"}))]
    wire.expect(*off)
    with pytest.raises(ModuleFailed, match="is no template.*convert: true"):
        run(name="web")
    wire.expect(resources(guest(101, "web", "running")), off[1])
    with pytest.raises(ModuleFailed, match="runs and would become a template"):
        run(name="web", convert=True)
    wire.expect(resources(guest(101, "web", lock="backup")), off[1])
    with pytest.raises(ModuleFailed, match=r"is locked \(backup\)"):
        run(name="web", convert=True)
    wire.expect(*off, post("nodes/pve1/qemu/101/template", upid("qmtemplate", 101)), task("qmtemplate", 101))
    assert run(name="web", convert=True)["diff"] == {
        "before": {"web.template": False}, "after": {"web.template": True}, "before_header": "web", "after_header": "web"}


def test_is_destroyed_only_by_its_name(wire: Wire) -> None:
    wire.expect(resources())
    assert not run(name="gone", state="absent")["changed"]
    wire.expect(resources(guest(101, "web")))
    with pytest.raises(ModuleFailed, match="is no template; it is not destroyed here"):
        run(name="web", state="absent", confirm="web")
    wire.expect(resources(TEMPLATE))
    with pytest.raises(ModuleFailed, match="confirm is None"):
        run(name="debian12", state="absent")
    gone = Exchange("DELETE", ONE, params={"purge": 1, "destroy-unreferenced-disks": 1}, data=upid("qmdestroy", 9000))
    wire.expect(resources(TEMPLATE), gone, task("qmdestroy", 9000))
    assert run(name="debian12", state="absent", confirm="debian12")["template"] is None


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"image": {**IMAGE, "url": "https://x/y.iso"}}, "is no name of a disk image"),
        ({"disks": {"scsi0": {"import_from": "local:import/x.raw"}}}, "says another source or storage"),
        ({"image_disk_storage": None}, "image_disk_storage"),
    ],
)
def test_image_that_cannot_be(wire: Wire, args: dict[str, t.Any], message: str) -> None:
    with pytest.raises(ModuleFailed, match=message):
        run(**{**NEW, **args})


def test_container_of_that_name_and_a_create_that_fails(wire: Wire) -> None:
    wire.expect(resources({**guest(200, "ct"), "type": "lxc"}))
    with pytest.raises(ModuleFailed, match="is no virtual machine"):
        run(name="ct")
    one = upid("qmcreate", 100)
    wire.expect(resources(times=2), get("cluster/nextid", "100"), post("nodes/pve1/qemu", one), task("qmcreate", 100, "import failed"))
    wire.expect(get(f"nodes/pve1/tasks/{one}/log", [{"n": 1, "t": "no such image"}]))
    with pytest.raises(ModuleFailed, match="import failed"):
        run(name="new", disks={"scsi0": {"storage": "local-lvm", "import_from": "local:import/x.raw"}}, node="pve1")


def test_info_finds_linked_clones(wire: Wire) -> None:
    wire.expect(resources(TEMPLATE, guest(101, "web"), guest(102, "db")), get(f"{ONE}/pending", pending({"memory": "512"})))
    wire.expect(get("nodes/pve1/qemu/101/pending", pending({"scsi0": "local-lvm:base-9000-disk-0/vm-101-disk-0,size=8G"})))
    wire.expect(get("nodes/pve1/qemu/102/pending", pending({"scsi0": "local-lvm:vm-102-disk-0,size=8G"})))
    found = run_module(proxmox_template_info.main, {**CONNECTION, "clones": True})["templates"]
    assert [(one["name"], one["config"], one["clones"]) for one in found] == [("debian12", {"memory": "512"}, ["web"])]
    wire.expect(resources(TEMPLATE))
    assert run_module(proxmox_template_info.main, {**CONNECTION, "names": ["x"]})["templates"] == []
