"""Backups and restores of the API double. VMs here have no system on their disk, so their archives hold a configuration and no files."""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
import urllib.parse
from typing import Any

import pytest
from fakepve.model import TaskError
from helpers.lab_pve import QEMU, Api, api

from lab.guest import disk as disk_module
from lab.guest import disk_snapshots
from lab.guest.disk import Disk
from lab.proxmox import archive, retention
from lab.state import LabError

__all__ = ["api"]
NODE = "/nodes/pve1"
CONTENT = f"{NODE}/storage/local/content"


def vzdump(api: Api, **values: Any) -> tuple[str, list[str]]:
    """Run a job; returns its exit status and its log."""
    upid = api("POST", f"{NODE}/vzdump", storage="local", compress="zstd", **values)
    status = api.wait(upid)
    return status, [line["t"] for line in api("GET", f"{NODE}/tasks/{urllib.parse.quote(upid, safe='')}/log", limit=500)]


def archives(api: Api) -> list[dict[str, Any]]:
    return list(api("GET", CONTENT, content="backup"))


def dump_dir(api: Api) -> pathlib.Path:
    return api.pve.dump_dir("local")


@pytest.fixture
def vm(api: Api) -> Api:
    """An API with a VM that has a disk, an address and notes."""
    api.create(100, name="web", memory=512, net0="virtio=BC:24:11:00:00:01,bridge=vmbr0", scsi0="local-lvm:2", ide2="local-lvm:cloudinit",
               description="first line\nsecond: #line", tags="b,a")
    return api


def test_archive_is_a_file_with_notes_protection_and_configuration(vm: Api) -> None:
    status, log = vzdump(vm, vmid=100, protected=1, **{"notes-template": "{{guestname}} of {{cluster}} {{other}}"})
    assert status == "OK" and any(line.startswith("INFO: Finished Backup of VM 100 (00:00:0") for line in log)
    one = archives(vm)[0]
    file = dump_dir(vm) / one["volid"].partition("/")[2]
    assert (one["size"], one["vmid"], one["protected"], one["notes"]) == (file.stat().st_size, 100, 1, "web of lab {{other}}")
    assert abs(one["ctime"] - time.time()) < 30
    text = vm("GET", f"{NODE}/vzdump/extractconfig", volume=one["volid"])
    config = vm("GET", f"{QEMU}/100/config")
    assert archive.parse_config(text) == {key: str(value) for key, value in config.items() if key != "digest"}
    assert vm.wait(vm("DELETE", f"{CONTENT}/{one['volid']}")) == f"cannot remove protected volume '{one['volid'].partition(':')[2]}' on 'local'"
    vm("PUT", f"{CONTENT}/{one['volid']}", protected=0, notes="new")
    assert (archives(vm)[0]["protected"], archives(vm)[0]["notes"]) == (0, "new")
    assert vm.wait(vm("DELETE", f"{CONTENT}/{one['volid']}")) == "OK" and not list(dump_dir(vm).iterdir())


def test_a_file_that_was_removed_or_put_there_by_hand_is_seen(vm: Api) -> None:
    vzdump(vm, vmid=100)
    file = next(dump_dir(vm).glob("*.zst"))
    file.rename(file.with_name("vzdump-qemu-777-2026_01_02-03_04_05.vma.zst"))
    assert [one["vmid"] for one in archives(vm)] == [777]
    next(dump_dir(vm).glob("*.zst")).unlink()
    assert archives(vm) == []


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "400 .*vmid"),
        ({"vmid": 100, "all": 1}, "option conflicts with option 'vmid'"),
        ({"vmid": 999}, "unable to find VM '999'"),
        ({"vmid": 100, "mode": "warp"}, "400 .*mode"),
        ({"vmid": 100, "nonsense": 1}, "not defined in schema"),
        ({"vmid": "x"}, "400 .*vmid"),
    ],
)
def test_bad_jobs_are_refused(vm: Api, values: dict[str, Any], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        vm("POST", f"{NODE}/vzdump", storage="local", **values)


def test_one_locked_guest_does_not_stop_the_job(vm: Api) -> None:
    vm.create(101, name="two", memory=512)
    vm.pve.vm(100).lock = "snapshot"
    status, log = vzdump(vm, vmid="100,101")
    assert status == "job errors" and "ERROR: Backup of VM 100 failed - VM is locked (snapshot)" in log
    assert [one["vmid"] for one in archives(vm)] == [101] and vm.pve.vm(101).lock is None


def as_root(api: Api, **values: Any) -> int:
    """Write VM 100's configuration with root's ticket; a token of root's would not do for ``skiplock``. Returns the status."""
    login = urllib.parse.urlencode({"username": "root@pam", "password": "root password"}).encode()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    ticket = json.loads(api.raw("POST", "/access/ticket", body=login, headers=form, token=None).read())["data"]
    headers = {**form, "Cookie": f"PVEAuthCookie={ticket['ticket']}", "CSRFPreventionToken": ticket["CSRFPreventionToken"]}
    return api.raw("PUT", f"{QEMU}/100/config", body=urllib.parse.urlencode(values).encode(), headers=headers, token=None).status


def test_lock_set_by_root_shows_in_the_clusters_list_and_only_root_may_pass_it(vm: Api) -> None:
    assert as_root(vm, lock="backup") == 200
    assert [one.get("lock") for one in vm("GET", "/cluster/resources", type="vm")] == ["backup"]
    with pytest.raises(AssertionError, match=r"500 VM is locked \(backup\)"):
        vm("PUT", f"{QEMU}/100/config", cores=2)
    with pytest.raises(AssertionError, match="Only root may use this option"):
        vm("PUT", f"{QEMU}/100/config", cores=2, skiplock=1)
    assert (as_root(vm, cores=2), as_root(vm, cores=2, skiplock=1)) == (500, 200)
    assert vm("GET", f"{QEMU}/100/config")["lock"] == "backup"
    assert as_root(vm, delete="lock", skiplock=1) == 200
    assert "lock" not in vm("GET", "/cluster/resources", type="vm")[0]


def test_full_storage_wrong_content_and_missing_compressor(vm: Api) -> None:
    vm.pve.storages["local"]["avail"] = 10
    status, log = vzdump(vm, vmid=100)
    assert status == "job errors" and any("No space left on device" in line for line in log) and not list(dump_dir(vm).iterdir())
    assert vm.wait(vm("POST", f"{NODE}/vzdump", storage="local-lvm", vmid=100)).endswith("wrong content type")
    upid = vm("POST", f"{NODE}/vzdump", storage="local", vmid=100, compress="lzo")
    assert vm.wait(upid) == "job errors"
    assert vm("POST", f"{NODE}/vzdump", storage="local", all=1, exclude=100) == "OK", "nothing to do is no task"


def test_retention_counts_each_guest_and_spares_the_protected(vm: Api) -> None:
    for day in range(1, 5):
        (dump_dir(vm) / f"vzdump-qemu-100-2026_01_0{day}-03_04_05.vma.zst").write_bytes(b"x")
    (dump_dir(vm) / "vzdump-qemu-100-2026_01_01-03_04_05.vma.zst.protected").touch()
    (dump_dir(vm) / "vzdump-qemu-555-2026_01_01-03_04_05.vma.zst").write_bytes(b"x")
    marks = vm("GET", f"{NODE}/storage/local/prunebackups", vmid=100, **{"prune-backups": "keep-last=1"})
    assert [one["mark"] for one in marks] == ["protected", "remove", "remove", "keep"]
    status, log = vzdump(vm, vmid=100, **{"prune-backups": "keep-last=2"})
    assert status == "OK" and "INFO: pruned 2 backup(s) not covered by keep-retention policy" in log
    assert sorted(one["vmid"] for one in archives(vm)) == [100, 100, 100, 555]
    assert vm.wait(vm("DELETE", f"{NODE}/storage/local/prunebackups", **{"prune-backups": "keep-daily=1", "vmid": 100})) == "OK"
    assert sorted(one["vmid"] for one in archives(vm)) == [100, 100, 555]


def restore(api: Api, vmid: int, **values: Any) -> str:
    return api.wait(api("POST", QEMU, vmid=vmid, archive=archives(api)[0]["volid"], **values))


def test_restore_has_its_own_volumes_addresses_and_overrides(vm: Api) -> None:
    vzdump(vm, vmid=100)
    values = {"unique": 1, "name": "copy", "net0": "virtio,bridge=vmbr0,link_down=1", "onboot": 0, "tags": "Z,a", "description": "mark"}
    assert restore(vm, 200, **values) == "OK"
    old, new = vm("GET", f"{QEMU}/100/config"), vm("GET", f"{QEMU}/200/config")
    assert (new["name"], new["tags"], new["onboot"], new["description"], new["memory"]) == ("copy", "a;z", 0, "mark", "512")
    assert new["scsi0"] == "local-lvm:vm-200-disk-0,size=2G" and new["ide2"] == "local-lvm:vm-200-cloudinit,media=cdrom"
    assert "link_down=1" in new["net0"] and new["net0"].split(",")[0] != old["net0"].split(",")[0]
    assert new["vmgenid"] != old["vmgenid"] and "lock" not in new
    assert vm.pve.storages["local-lvm"]["volumes"]["vm-200-disk-0"]["size"] == 2 * 2**30


def test_restore_refuses_as_the_server_does(vm: Api) -> None:
    vzdump(vm, vmid=100)
    for values, said in (
        ({"scsi1": "local-lvm:1"}, "option conflicts with option 'archive'"),
        ({"storage": "local"}, "does not support vm images"),
        ({"nonsense": 1}, "not defined in schema"),
    ):
        with pytest.raises(AssertionError, match=said):
            restore(vm, 200, **values)
    with pytest.raises(AssertionError, match="500 unable to restore VM 100 - VM 100 already exists on node 'pve1'"):
        restore(vm, 100)
    vm.pve.vm(100).status = "running"
    with pytest.raises(AssertionError, match="vm is running"):
        restore(vm, 100, force=1)
    vm.pve.vm(100).status = "stopped"
    vm("PUT", f"{QEMU}/100/config", protection=1)
    with pytest.raises(AssertionError, match="protection mode enabled"):
        restore(vm, 100, force=1)
    vm("PUT", f"{QEMU}/100/config", protection=0, memory=1024)
    assert restore(vm, 100, force=1) == "OK" and vm("GET", f"{QEMU}/100/config")["memory"] == "512"
    with pytest.raises(AssertionError, match="does not exist"):
        vm("POST", QEMU, vmid=200, archive="local:backup/vzdump-qemu-1-2026_01_02-03_04_05.vma.zst")


def test_damaged_archive_leaves_no_guest(vm: Api) -> None:
    vzdump(vm, vmid=100)
    file = next(dump_dir(vm).glob("*.zst"))
    file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(AssertionError, match="500 command 'zstd' failed"):
        vm("GET", f"{NODE}/vzdump/extractconfig", volume=archives(vm)[0]["volid"])
    assert restore(vm, 200).startswith("unable to restore VM 200 - command 'zstd' failed")
    assert [one.vmid for one in vm.pve.vms] == [100]


def test_archive_holds_links_modes_and_times(tmp_path: pathlib.Path) -> None:
    root, copy = tmp_path / "root", tmp_path / "copy"
    (root / "etc").mkdir(parents=True)
    copy.mkdir()
    (root / "etc/file").write_text("content")
    (root / "etc/file").chmod(0o4750)
    (root / "etc/hard").hardlink_to(root / "etc/file")
    (root / "soft").symlink_to("/nowhere")
    for suffix in ("", ".gz", ".zst"):
        target = tmp_path / f"a.vma{suffix}"
        asyncio.run(archive.pack({"name": "x", "lock": "backup"}, root, target))
        assert asyncio.run(archive.config_of(target)) == "name: x\n"
    asyncio.run(archive.unpack(tmp_path / "a.vma.zst", copy))
    assert sorted(path.name for path in copy.rglob("*")) == ["etc", "file", "hard", "soft"], "the configuration is not among the files"
    assert (copy / "etc/file").stat().st_mode & 0o7777 == 0o4750 and (copy / "etc/file").stat().st_nlink == 2
    assert (copy / "etc/file").stat().st_mtime_ns // 10**9 == (root / "etc/file").stat().st_mtime_ns // 10**9
    cut = tmp_path / "b.vma.zst"
    cut.write_bytes((tmp_path / "a.vma.zst").read_bytes()[:-20])
    with pytest.raises(TaskError, match="zstd"):
        asyncio.run(archive.unpack(cut, copy))


def test_disk_comes_back_as_it_was(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_module.os, "chown", lambda *_args: None)
    disk, other = (Disk(tmp_path / "disks" / name, tmp_path / "run" / name / "rootfs") for name in ("100", "work"))
    upper = disk_snapshots.create_empty(disk)
    (upper / "file").write_text("first")
    disk_snapshots.take(disk, "one")
    (upper / "file").write_text("second")
    (upper / "later").touch()
    disk_snapshots.roll_back(disk, "one")
    assert {path.name: path.read_text() for path in upper.iterdir()} == {"file": "first"}
    disk_snapshots.delete(disk, "one")
    with pytest.raises(LabError, match="copying a disk failed"):
        disk_snapshots.roll_back(disk, "one")
    assert (upper / "file").exists()
    disk_snapshots.create_empty(other)
    disk_snapshots.move(other, disk)
    assert disk.exists and not other.exists and not list(upper.iterdir())


def test_periods_keep_the_newest_of_each() -> None:
    day = 86400
    times = {f"b{number}": 1_760_000_000 - number * day // 2 for number in range(20)}
    kept = [name for name, mark in retention.marks(times, {"keep-last": 2, "keep-daily": 3, "keep-yearly": 1}).items() if mark == "keep"]
    assert kept[:2] == ["b0", "b1"] and len(kept) == 5 and len({times[name] // day for name in kept[2:]}) == 3
    assert set(retention.marks(times, {}).values()) == {"keep"} == set(retention.marks(times, {"keep-all": 1, "keep-last": 1}).values())
    assert retention.parse("keep-last=3,keep-weekly=1") == {"keep-last": 3, "keep-weekly": 1}
