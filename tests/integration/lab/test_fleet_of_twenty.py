"""Twenty real guests by one call: from nothing to SSH, looked at again, and away, with nothing left.

Needs a running lab and about 3 GiB of memory: ``RESILIENT_LONG_TESTS=1 RESILIENT_LAB=NAME pytest -s -m lab tests/integration/lab/test_fleet_of_twenty.py``
(-s shows the figures).
"""

from __future__ import annotations

import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI

from lab import podman
from lab.proxmox.room import RUN_DIR
from lab.state import LabState

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "unit"))
from helpers.modules import run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.modules import proxmox_fleet  # noqa: E402

pytestmark = [
    pytest.mark.lab,
    pytest.mark.skipif(not os.environ.get("RESILIENT_LONG_TESTS"), reason="boots twenty guests (2 minutes, 3 GiB of memory); RESILIENT_LONG_TESTS=1 runs it"),
]
COUNT, FIRST_OFFSET = 20, 101  # addresses that no inventory uses
NAMES = [f"twenty-{number:02}" for number in range(1, COUNT + 1)]


@pytest.fixture(scope="module")
def state() -> LabState:
    state = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "proxmox" in state.connection, "start the lab first: python -m lab up"
    access = state.connection["proxmox"]
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        os.environ.pop(name, None)
    values = {"HOST": access["host"], "PORT": access["port"], "USER": access["user"], "TOKEN_ID": access["token_id"],
              "TOKEN_SECRET": access["token_secret"], "CA_PATH": state.connection["ca_file"]}
    os.environ.update({f"PROXMOX_{name}": str(value) for name, value in values.items()})
    return state


@pytest.fixture(scope="module")
def api(state: LabState) -> Any:
    access = state.connection["proxmox"]
    return ProxmoxAPI(access["host"], port=access["port"], user=access["user"], token_name=access["token_id"],
                      token_value=access["token_secret"], verify_ssl=state.connection["ca_file"])


def address(state: LabState, name: str) -> str:
    return state.connection["network"]["cidr"].rsplit(".", 1)[0] + f".{FIRST_OFFSET + NAMES.index(name)}"


def fleet(state: LabState) -> list[dict[str, Any]]:
    return [
        {
            "name": name, "clone_from": "debian12", "state": "started", "cores": 1, "memory": 384, "agent": True, "tags": ["twenty"],
            "description": f"Number {number}",
            "cloud_init": {"user": "platform", "ssh_keys": [state.connection["ssh"]["public_key"]],
                           "ipconfig": {"0": {"ip": f"{address(state, name)}/24", "gw": state.address}}},
        }
        for number, name in enumerate(NAMES, 1)
    ]


def apply(guests: list[dict[str, Any]], **more: Any) -> tuple[dict[str, Any], int, float]:
    """Run the module once; returns its result, the number of its requests (tests/integration/proxmox counts them at the server) and the seconds."""
    began = time.monotonic()
    result = run_module(proxmox_fleet.main, {"guests": guests, "wait_timeout": 300, **more}, diff=True)
    return result, result["api_requests"], time.monotonic() - began


def ssh(state: LabState, name: str, command: str) -> subprocess.CompletedProcess[str]:
    access = state.connection["ssh"]
    options = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "ConnectTimeout=10", "BatchMode=yes")
    argv = ["ssh", "-i", access["private_key_file"], *(word for option in options for word in ("-o", option)),
            f"{access['user']}@{address(state, name)}", command]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def on_each(job: Callable[[str], Any]) -> list[Any]:
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(job, NAMES))


def traces(state: LabState, api: Any) -> dict[str, set[str]]:
    """Everything that a guest leaves on the server and on the machine."""
    node = api.nodes(state.connection["proxmox"]["node"])
    proxmox = state.dir / "proxmox"
    links = subprocess.run(["ip", "-o", "link", "show", "master", state.connection["network"]["interface"]], capture_output=True, text=True, check=True)
    return {
        "guests": {f"{vm['vmid']} {vm.get('name')}" for vm in api.cluster.resources.get(type="vm")},
        "volumes": {item["volid"] for storage in ("local", "local-lvm") for item in node.storage(storage).content.get()},
        "containers": {guest["Names"][0] for guest in podman.containers(f"resilient-lab={state.name}")},
        "disks": {str(path) for directory in ("disks", "bases", "vzdump", "qmrestore") for path in (proxmox / directory).glob("*")},
        "run": {path.name for path in (RUN_DIR / state.name).glob("*")},
        "mounts": {line.split()[1] for line in pathlib.Path("/proc/mounts").read_text().splitlines() if f"/{state.name}/" in line},
        "links": {line.split()[1].partition("@")[0] for line in links.stdout.splitlines()},
    }


@pytest.fixture(scope="module")
def before(state: LabState, api: Any) -> Iterator[dict[str, set[str]]]:
    """What there was; whatever happens, the twenty are gone at the end."""
    gone = [{"name": name, "state": "absent"} for name in NAMES]
    run_module(proxmox_fleet.main, {"guests": gone})
    yield traces(state, api)
    run_module(proxmox_fleet.main, {"guests": gone})


def test_twenty_guests_come_by_one_call_and_answer_by_ssh(state: LabState, api: Any, before: dict[str, set[str]]) -> None:
    assert not [guest for guest in before["guests"] if "twenty" in guest]
    began = time.monotonic()
    result, requests, seconds = apply(fleet(state), wait_for="cloud_init")
    assert result["changed"] and [guest["name"] for guest in result["guests"]] == NAMES
    assert [guest["addresses"] for guest in result["guests"]] == [[address(state, name)] for name in NAMES]
    answers = on_each(lambda name: ssh(state, name, "hostname; cloud-init status; sudo -n id -un; cat /proc/sys/kernel/random/boot_id"))
    reached = time.monotonic() - began
    assert [answer.stdout.split("\n")[:3] for answer in answers] == [[name, "status: done", "root"] for name in NAMES], [one.stderr for one in answers]
    assert len({answer.stdout.split("\n")[3] for answer in answers}) == COUNT, "each is a machine of its own"
    used = sum(vm["mem"] for vm in api.cluster.resources.get(type="vm") if vm.get("name") in NAMES) / 2**20
    print(f"\n{COUNT} guests: nothing to cloud-init done {seconds:.1f} s ({requests} requests), to SSH on each {reached:.1f} s, {used:.0f} MiB of memory")


def test_second_run_changes_nothing_in_one_request_a_guest_and_one(state: LabState, before: dict[str, set[str]]) -> None:
    result, requests, seconds = apply(fleet(state))
    assert (result["changed"], requests) == (False, 1 + COUNT)
    assert result["diff"]["before"] == result["diff"]["after"]
    print(f"\n{COUNT} guests looked at again: {requests} requests, {seconds:.1f} s")


def test_three_changed_behind_its_back_are_the_three_that_are_repaired(state: LabState, api: Any, before: dict[str, set[str]]) -> None:
    ids = {vm.get("name"): vm["vmid"] for vm in api.cluster.resources.get(type="vm")}
    node = api.nodes(state.connection["proxmox"]["node"])
    node.qemu(ids[NAMES[2]]).config.put(tags="twenty;other")
    node.qemu(ids[NAMES[9]]).config.put(delete="description")
    podman.run("kill", "--signal", "KILL", f"{state.prefix}-vm-{ids[NAMES[19]]}")
    deadline = time.monotonic() + 30
    while node.qemu(ids[NAMES[19]]).status.current.get()["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    result, requests, seconds = apply(fleet(state))
    assert [guest["name"] for guest in result["guests"] if guest["changed"]] == [NAMES[2], NAMES[9], NAMES[19]]
    assert not apply(fleet(state))[0]["changed"]
    print(f"\n3 of {COUNT} guests repaired: {requests} requests, {seconds:.1f} s")


def test_twenty_guests_go_by_one_call_and_leave_nothing(state: LabState, api: Any, before: dict[str, set[str]]) -> None:
    gone = [{"name": name, "state": "absent"} for name in NAMES]
    result, requests, seconds = apply(gone)
    assert result["changed"] and all(guest["changed"] for guest in result["guests"])
    assert traces(state, api) == before
    print(f"\n{COUNT} guests destroyed: {requests} requests, {seconds:.1f} s")
    result, requests, _seconds = apply(gone)
    assert (result["changed"], requests <= 2) == (False, True)
