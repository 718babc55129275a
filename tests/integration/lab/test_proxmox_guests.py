"""Guests behind the Proxmox API are real hosts: looked at over the API and over SSH.

Needs a running lab: ``RESILIENT_LAB=NAME pytest -m lab tests/integration/lab`` (default: the lab called "default").
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import time
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI, ResourceException

from lab import podman
from lab.proxmox.room import RUN_DIR
from lab.state import LabState

pytestmark = pytest.mark.lab

FIRST = 9101  # ids and addresses that no inventory uses
COUNT = 2


@pytest.fixture(scope="module")
def state() -> LabState:
    state = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "proxmox" in state.connection, "start the lab first: python -m lab up"
    return state


class Client:
    """The API with waiting."""

    def __init__(self, state: LabState) -> None:
        access = state.connection["proxmox"]
        # This variable would override the CA given below.
        os.environ.pop("REQUESTS_CA_BUNDLE", None)
        os.environ.pop("CURL_CA_BUNDLE", None)
        self.api = ProxmoxAPI(access["host"], port=access["port"], user=access["user"], token_name=access["token_id"],
                              token_value=access["token_secret"], verify_ssl=state.connection["ca_file"])
        self.node = self.api.nodes(access["node"])
        self.state = state

    def task(self, upid: str) -> str:
        while (status := self.node.tasks(upid).status.get())["status"] == "running":
            time.sleep(0.05)
        return str(status["exitstatus"])

    def status(self, vmid: int) -> str:
        return str(self.node.qemu(vmid).status.current.get()["status"])

    def execute(self, vmid: int, *argv: str, data: str | None = None) -> dict[str, Any]:
        extra = {"input-data": data} if data is not None else {}
        pid = self.node.qemu(vmid).agent.exec.post(command=list(argv), **extra)["pid"]
        while not (done := self.node.qemu(vmid).agent("exec-status").get(pid=pid))["exited"]:
            time.sleep(0.05)
        return dict(done)

    def address(self, vmid: int) -> str:
        return self.state.connection["network"]["cidr"].rsplit(".", 1)[0] + f".{90 + vmid - FIRST}"

    def ssh(self, vmid: int, command: str) -> subprocess.CompletedProcess[str]:
        ssh = self.state.connection["ssh"]
        options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=2", "BatchMode=yes")
        argv = ["ssh", "-i", ssh["private_key_file"], *(word for option in options for word in ("-o", option)), f"{ssh['user']}@{self.address(vmid)}", command]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def until(self, check: Callable[[], bool], what: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not check():
            assert time.monotonic() < deadline, f"{what}: not within {seconds:g} s"
            time.sleep(0.1)

    def remove(self, vmid: int) -> None:
        if vmid in [vm["vmid"] for vm in self.api.cluster.resources.get(type="vm")]:
            self.task(self.node.qemu(vmid).status.stop.post())
            assert self.task(self.node.qemu(vmid).delete(purge=1)) == "OK"


@pytest.fixture(scope="module")
def client(state: LabState) -> Iterator[Client]:
    client = Client(state)
    ids = range(FIRST, FIRST + COUNT)
    for vmid in ids:
        client.remove(vmid)
    key = urllib.parse.quote(state.connection["ssh"]["public_key"], safe="")
    for vmid in ids:
        assert client.task(client.node.qemu(9000).clone.post(newid=vmid, name=f"it-{vmid}")) == "OK"
        client.node.qemu(vmid).config.put(ciuser="platform", sshkeys=key, ipconfig0=f"ip={client.address(vmid)}/24,gw={state.address}")
    tasks = [client.node.qemu(vmid).status.start.post() for vmid in ids]
    assert [client.task(upid) for upid in tasks] == ["OK"] * COUNT
    for vmid in ids:
        client.until(lambda vmid=vmid: client.ssh(vmid, "true").returncode == 0, f"ssh to {vmid}")  # type: ignore[misc]
    yield client
    for vmid in ids:
        client.remove(vmid)


def test_cloud_init_made_the_user_the_name_and_the_address(client: Client) -> None:
    assert "status: done" in client.execute(FIRST, "cloud-init", "status", "--wait")["out-data"]
    assert client.ssh(FIRST, "hostname; sudo -n id -un").stdout.split() == [f"it-{FIRST}", "root"]
    interfaces = client.node.qemu(FIRST).agent("network-get-interfaces").get()["result"]
    assert client.address(FIRST) in [address["ip-address"] for link in interfaces for address in link["ip-addresses"]]


def test_guest_is_a_whole_system(client: Client) -> None:
    client.execute(FIRST, "cloud-init", "status", "--wait")
    client.until(lambda: client.execute(FIRST, "systemctl", "is-system-running")["out-data"].strip() == "running", "running")


def test_agent_passes_input_output_and_exit_code(client: Client) -> None:
    done = client.execute(FIRST, "sh", "-c", "cat; echo oops >&2; exit 7", data="hello")
    assert (done["out-data"], done["err-data"], done["exitcode"]) == ("hello", "oops\n", 7)


def test_agent_writes_and_reads_files(client: Client) -> None:
    agent = client.node.qemu(FIRST).agent
    agent("file-write").post(file="/root/note", content="text\n")
    assert agent("file-read").get(file="/root/note")["content"] == "text\n"
    with pytest.raises(ResourceException, match="failed to open file"):
        agent("file-read").get(file="/root/nothing")


def test_each_guest_has_its_own_disk_and_kernel_settings(client: Client) -> None:
    one, two = FIRST, FIRST + 1
    client.ssh(one, "sudo touch /mark; sudo sysctl -qw vm.swappiness=11 kernel.kptr_restrict=2")
    assert client.ssh(two, "test -e /mark").returncode == 1
    assert client.ssh(one, "cat /proc/sys/vm/swappiness").stdout.strip() == "11"
    assert client.ssh(two, "cat /proc/sys/vm/swappiness").stdout.strip() != "11"


def test_limits_come_from_the_config(client: Client) -> None:
    files = "/sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
    assert client.execute(FIRST, "sh", "-c", f"cat {files} 2>/dev/null")["out-data"].split() == [str(512 * 1024**2)]


def test_pending_config_takes_effect_with_the_reboot_and_the_disk_stays(client: Client) -> None:
    client.ssh(FIRST, "sudo touch /kept")
    boot = client.ssh(FIRST, "cat /proc/sys/kernel/random/boot_id").stdout
    client.node.qemu(FIRST).config.put(memory=640)
    assert client.task(client.node.qemu(FIRST).status.reboot.post()) == "OK"
    client.until(lambda: client.ssh(FIRST, "true").returncode == 0, "ssh after the reboot")
    assert client.ssh(FIRST, "test -e /kept").returncode == 0
    assert client.ssh(FIRST, "cat /proc/sys/kernel/random/boot_id").stdout not in ("", boot)
    assert client.node.qemu(FIRST).status.current.get()["maxmem"] == 640 * 1024**2
    assert podman.run("inspect", f"{client.state.prefix}-vm-{FIRST}", "--format", "{{.HostConfig.Memory}}").stdout.strip() == str(640 * 1024**2)


def test_guest_that_reboots_itself_comes_back(client: Client) -> None:
    boot = client.ssh(FIRST, "cat /proc/sys/kernel/random/boot_id").stdout
    client.ssh(FIRST, "sudo systemctl reboot")
    client.until(lambda: client.ssh(FIRST, "cat /proc/sys/kernel/random/boot_id").stdout not in ("", boot), "a new boot")
    assert client.status(FIRST) == "running"


def test_guest_that_dies_behind_the_apis_back_is_stopped(client: Client) -> None:
    podman.run("kill", "--signal", "KILL", f"{client.state.prefix}-vm-{FIRST + 1}")
    client.until(lambda: client.status(FIRST + 1) == "stopped", "stopped", 5)
    assert client.task(client.node.qemu(FIRST + 1).status.start.post()) == "OK"


def test_address_in_use_fails_the_start(client: Client) -> None:
    vmid = FIRST + 5
    client.remove(vmid)
    assert client.task(client.node.qemu(9000).clone.post(newid=vmid, name="twin")) == "OK"
    try:
        client.node.qemu(vmid).config.put(ipconfig0=f"ip={client.address(FIRST)}/24")
        assert "already" in client.task(client.node.qemu(vmid).status.start.post())
        assert client.status(vmid) == "stopped"
        client.node.qemu(vmid).config.put(ipconfig0="ip=192.168.77.5/24")
        assert "not in the network" in client.task(client.node.qemu(vmid).status.start.post())
    finally:
        client.remove(vmid)


def test_running_guest_is_not_destroyed(client: Client) -> None:
    with pytest.raises(ResourceException, match="is running - destroy failed"):
        client.node.qemu(FIRST).delete()


def test_suspended_guest_is_frozen_and_resumes(client: Client) -> None:
    qemu = client.node.qemu(FIRST)
    assert client.task(qemu.status.suspend.post()) == "OK"
    assert qemu.status.current.get()["qmpstatus"] == "paused"
    assert client.task(qemu.status.resume.post()) == "OK"
    assert client.ssh(FIRST, "true").returncode == 0


def test_clone_of_a_guest_has_its_files(client: Client) -> None:
    vmid = FIRST + 6
    client.remove(vmid)
    client.ssh(FIRST, "echo copied | sudo tee /copied")
    assert client.task(client.node.qemu(FIRST).clone.post(newid=vmid, name="copy", full=1)) == "OK"
    try:
        client.node.qemu(vmid).config.put(ipconfig0=f"ip={client.address(vmid)}/24")
        assert client.task(client.node.qemu(vmid).status.start.post()) == "OK"
        client.until(lambda: client.ssh(vmid, "cat /copied").stdout == "copied\n", "the copied file")
    finally:
        client.remove(vmid)


def test_destroyed_guest_leaves_nothing(client: Client) -> None:
    vmid = FIRST + 1
    assert client.task(client.node.qemu(vmid).status.shutdown.post(timeout=30)) == "OK"
    assert client.task(client.node.qemu(vmid).delete(purge=1)) == "OK"
    assert not (client.state.dir / "proxmox" / "disks" / str(vmid)).exists()
    assert not (RUN_DIR / client.state.name / str(vmid)).exists()
    assert f"/{client.state.name}/{vmid}/" not in pathlib.Path("/proc/mounts").read_text()
    assert podman.run("container", "exists", f"{client.state.prefix}-vm-{vmid}", check=False).returncode == 1
