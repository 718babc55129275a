"""Snapshots, backups and restores of a real guest's files, through our modules.

Needs a running lab: ``RESILIENT_LAB=NAME pytest -m lab tests/integration/lab/test_guest_backup.py`` (default: the lab called "default").
"""

from __future__ import annotations

import os
import pathlib
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI

from lab.state import LabState

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "unit"))
from helpers.modules import ModuleFailed, run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.modules import (  # noqa: E402
    proxmox_backup,
    proxmox_backup_info,
    proxmox_fleet,
    proxmox_restore,
    proxmox_vm_snapshot,
    proxmox_vm_snapshot_info,
)

pytestmark = pytest.mark.lab
NAME, OFFSET = "backup-it", 98  # a name and an address that no inventory uses
COMMANDS = [
    {"name": "system", "argv": ["systemctl", "is-system-running", "--wait"], "stdout": "^running"},
    {"name": "canary", "argv": ["cat", "/srv/canary"], "stdout": "^first$"},
]


@pytest.fixture(scope="module")
def state() -> LabState:
    state = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "proxmox" in state.connection, "start the lab first: python -m lab up"
    return state


class Lab:
    """The API below the modules, to look at what they did and to write into the guest."""

    def __init__(self, state: LabState) -> None:
        access = state.connection["proxmox"]
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            os.environ.pop(name, None)
        values = {"HOST": access["host"], "PORT": access["port"], "USER": access["user"], "TOKEN_ID": access["token_id"],
                  "TOKEN_SECRET": access["token_secret"], "CA_PATH": state.connection["ca_file"]}
        os.environ.update({f"PROXMOX_{name}": str(value) for name, value in values.items()})
        api = ProxmoxAPI(access["host"], port=access["port"], user=access["user"], token_name=access["token_id"],
                         token_value=access["token_secret"], verify_ssl=state.connection["ca_file"])
        self.api, self.node, self.state = api, api.nodes(access["node"]), state
        self.dump = state.dir / "proxmox" / "dump" / "local"

    @property
    def vmids(self) -> dict[str, int]:
        return {vm.get("name"): vm["vmid"] for vm in self.api.cluster.resources.get(type="vm")}

    @property
    def vmid(self) -> int:
        return self.vmids[NAME]

    def sh(self, script: str) -> str:
        pid = self.node.qemu(self.vmid).agent.exec.post(command=["sh", "-c", script])["pid"]
        while not (done := self.node.qemu(self.vmid).agent("exec-status").get(pid=pid))["exited"]:
            time.sleep(0.1)
        assert done["exitcode"] == 0, done
        return str(done.get("out-data", "")).strip()

    def delete(self, volid: str) -> None:
        upid = self.node.storage("local").content(volid).delete()
        while self.node.tasks(upid).status.get()["status"] == "running":
            time.sleep(0.05)

    def wait_for_agent(self) -> None:
        run_module(proxmox_fleet.main, {"guests": [{"name": NAME, "state": "started"}], "wait_for": "agent", "wait_sleep": 0.3})


@pytest.fixture(scope="module")
def lab(state: LabState) -> Iterator[Lab]:
    lab = Lab(state)
    address = state.connection["network"]["cidr"].rsplit(".", 1)[0] + f".{OFFSET}/24"
    cloud_init = {"user": "platform", "ssh_keys": [state.connection["ssh"]["public_key"]], "ipconfig": {"0": {"ip": address, "gw": state.address}}}
    guest = {"name": NAME, "clone_from": "debian12", "state": "started", "agent": True, "cloud_init": cloud_init}
    run_module(proxmox_fleet.main, {"guests": [guest], "wait_for": "cloud_init", "wait_sleep": 0.3})
    lab.sh("echo first > /srv/canary; setfacl -m u:1234:r /srv/canary; ln /srv/canary /srv/hardlink; chown 1234:2345 /srv/canary; sync")
    yield lab
    run_module(proxmox_fleet.main, {"guests": [{"name": NAME, "state": "absent"}]})
    for archive in run_module(proxmox_backup_info.main, {"storage": "local"})["archives"]:
        if archive["guest"] is None:
            lab.node.storage("local").content(archive["volid"]).put(protected=0)
            lab.delete(archive["volid"])


def snapshot(name: str, state: str = "present", **more: Any) -> dict[str, Any]:
    return run_module(proxmox_vm_snapshot.main, {"guest": NAME, "snapshot": name, "state": state, **more}, diff=True)


def backup(**more: Any) -> dict[str, Any]:
    return run_module(proxmox_backup.main, {"guests": [NAME], "storage": "local", **more}, diff=True)


def restore(**more: Any) -> dict[str, Any]:
    args = {"guest": NAME, "storage": "local", "wait_timeout": 120, "wait_sleep": 0.3, **more}
    return run_module(proxmox_restore.main, args, diff=True)


def test_rollback_brings_files_back_and_takes_later_ones_away(lab: Lab) -> None:
    assert snapshot("before", description="first")["changed"] and not snapshot("before", description="first")["changed"]
    lab.sh("echo second > /srv/canary; rm /srv/hardlink; mkdir -p /srv/later; mv /etc/issue /srv/later/; sync")
    with pytest.raises(ModuleFailed, match="confirm"):
        snapshot("before", "rollback")
    assert snapshot("before", "rollback", confirm=NAME)["changed"]
    lab.wait_for_agent()
    assert lab.sh("cat /srv/canary /srv/hardlink; stat -c %u:%g:%h /srv/canary; ls /etc/issue; ls -d /srv/later 2>&1 || true").splitlines() == [
        "first", "first", "1234:2345:2", "/etc/issue", "ls: cannot access '/srv/later': No such file or directory"]
    found = run_module(proxmox_vm_snapshot_info.main, {"guests": [NAME]})["guests"][0]["snapshots"]
    assert [(one["name"], one["description"]) for one in found] == [("before", "first")]
    assert snapshot("before", "absent")["changed"] and not snapshot("before", "absent")["changed"]


def test_backup_is_an_archive_on_disk_whose_restore_boots_as_a_host_with_its_files(lab: Lab) -> None:
    made = backup(notes_template="{{guestname}} on {{node}}", keep={"last": 2})["backups"][0]
    file = lab.dump / made["volid"].partition("/")[2]
    assert file.stat().st_size == made["size_bytes"] > 50 * 2**20
    assert not backup(max_age=3600)["changed"]
    before = lab.vmids
    lab.sh("echo second > /srv/canary; sync")
    result = restore(commands=COMMANDS, rto_seconds=90, require_verified=False, max_age=3600)
    found = result["restore"]
    assert (result["changed"], found["verdict"], found["drift"]) == (False, "verified", {})
    assert [(one["check"], one["outcome"]) for one in found["checks"]] == [
        ("restored", "passed"), ("agent", "passed"), ("system", "passed"), ("canary", "passed"), ("rto", "passed")]
    assert lab.vmids == before, "the test's guest is gone"
    assert lab.sh("cat /srv/canary") == "second", "the original was left alone"
    lab.sh("echo first > /srv/canary; sync")


def test_restored_guest_reaches_nobody_while_its_network_is_down(lab: Lab) -> None:
    links = {"name": "links", "argv": ["ls", "/sys/class/net"], "stdout": "^lo\\s*$"}
    owners = {"name": "owners", "argv": ["stat", "-c", "%u:%g:%h", "/srv/canary"], "stdout": "^1234:2345:2$"}
    sudo = {"name": "sudo", "argv": ["stat", "-c", "%a %U", "/usr/bin/sudo"], "stdout": "^4755 root$"}
    acl = {"name": "acl", "argv": ["getfacl", "-np", "/srv/canary"], "stdout": "user:1234:r--"}
    found = restore(commands=[links, owners, sudo, acl])["restore"]
    assert found["verdict"] == "verified", found["checks"]


def test_drift_is_listed_and_a_failed_command_fails_and_cleans_up(lab: Lab) -> None:
    before = lab.vmids
    lab.node.qemu(lab.vmid).config.put(description="changed since", cores=2)
    wrong = {"name": "canary", "argv": ["cat", "/srv/canary"], "stdout": "^something else$"}
    with pytest.raises(ModuleFailed, match="canary: expected status 0, output like") as caught:
        restore(commands=[wrong])
    found = caught.value.result["restore"]
    assert (found["verdict"], found["kept"]) == ("failed", False)
    assert found["drift"] == {"cores": {"backup": "1", "live": "2"}, "description": {"backup": None, "live": "changed since"}}
    assert lab.vmids == before
    lab.node.qemu(lab.vmid).config.put(delete="description", cores=1)


def test_damaged_archive_fails_with_the_log_and_leaves_nothing(lab: Lab) -> None:
    made = backup()["backups"][0]
    file = lab.dump / made["volid"].partition("/")[2]
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 65536] = bytes(65536)
    file.write_bytes(content)
    before = lab.vmids
    with pytest.raises(ModuleFailed, match="unable to restore VM") as caught:
        restore()
    assert caught.value.result["error"]["type"] == "TaskFailed" and caught.value.result["error"]["log"]
    assert lab.vmids == before
    file.write_bytes(bytes(content[: len(content) // 3]))
    with pytest.raises(ModuleFailed, match="unable to restore VM"):
        restore()
    assert lab.vmids == before
    lab.delete(made["volid"])
    assert not file.exists()


def test_kept_restore_overwrites_only_when_told_twice(lab: Lab) -> None:
    backup()
    vmid = lab.vmid
    with pytest.raises(ModuleFailed, match="not overwritten"):
        restore(vmid=vmid, keep=True, network="keep")
    with pytest.raises(ModuleFailed, match="confirm is None"):
        restore(vmid=vmid, keep=True, network="keep", force=True)
    with pytest.raises(ModuleFailed, match="runs, and would be overwritten"):
        restore(vmid=vmid, keep=True, network="keep", force=True, confirm=NAME)
    lab.sh("echo lost > /srv/canary; sync")
    run_module(proxmox_fleet.main, {"guests": [{"name": NAME, "state": "stopped"}]})
    found = restore(vmid=vmid, keep=True, network="keep", force=True, confirm=NAME, commands=COMMANDS)
    assert found["changed"] and found["restore"]["verdict"] == "verified" and found["restore"]["kept"], found
    assert lab.sh("cat /srv/canary") == "first"
    address = lab.state.connection["network"]["cidr"].rsplit(".", 1)[0] + f".{OFFSET}"
    assert address in lab.sh("ip -br address")


def test_retention_removes_files_but_not_protected_ones(lab: Lab) -> None:
    backup(protected=True)
    backup(keep={"last": 1})
    found = run_module(proxmox_backup_info.main, {"storage": "local", "guests": [NAME]})["archives"]
    assert [one["protected"] for one in found] == [False, True]
    assert {path.name for path in lab.dump.glob("*.vma.zst")} >= {one["volid"].partition("/")[2] for one in found}


def test_guest_without_agent_is_a_finding_and_is_removed(lab: Lab) -> None:
    before = lab.vmids
    with pytest.raises(ModuleFailed, match="agent"):
        restore(overrides={"agent": "0"})
    assert lab.vmids == before


def test_locked_guest_is_refused(lab: Lab) -> None:
    access = lab.state.connection["proxmox"]
    root = ProxmoxAPI(access["host"], port=access["port"], user="root@pam", password=access["root_password"],
                      verify_ssl=lab.state.connection["ca_file"])
    config = root.nodes(access["node"]).qemu(lab.vmid).config
    config.put(lock="backup")
    try:
        with pytest.raises(ModuleFailed, match=r"is locked \(backup\)"):
            backup()
        with pytest.raises(ModuleFailed, match=r"is locked \(backup\)"):
            snapshot("never")
    finally:
        config.put(delete="lock", skiplock=1)
