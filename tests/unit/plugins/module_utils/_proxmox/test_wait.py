"""The stages of a guest that is to be used."""

from __future__ import annotations

import typing as t

import pytest
from helpers import proxmox
from helpers.proxmox import Wire, get, guest, post

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, TaskFailed, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import Connection, ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import AgentMissing
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wait import GuestWaiter, Seen, usable_addresses

# The fixture; pytest finds it by its name.
wire = proxmox.wire

Q = "nodes/pve1/qemu/100"
WEB = Guest.from_api(guest(100, "web-1", "running"))
INTERFACES = {
    "result": [
        {"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4", "prefix": 8}]},
        {
            "name": "eth0",
            "ip-addresses": [
                {"ip-address": "2001:db8::10", "prefix": 64},
                {"ip-address": "fe80::1%eth0", "prefix": 64},
                {"ip-address": "192.0.2.10", "prefix": 24},
            ],
        },
        {"name": "docker0"},
    ]
}


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def run(stage: str, addresses: t.Sequence[str] = (), deadline: float = 5) -> Seen:
    clock = Clock()
    client = ProxmoxClient(Connection(host="h", token_id="a", token_secret="b"))
    return GuestWaiter(client, clock=clock, sleep=clock.sleep).wait(WEB, stage, addresses=addresses, deadline=deadline)


def running(wire: Wire) -> None:
    wire.expect(get(f"{Q}/status/current", {"status": "running", "qmpstatus": "running"}))


def ready(wire: Wire) -> None:
    running(wire)
    wire.expect(post(f"{Q}/agent/ping", {"result": {}}))


def test_task_waits_for_nothing_more() -> None:
    assert run("task") == Seen()


def test_running_waits_until_qemu_runs(wire: Wire) -> None:
    wire.expect(get(f"{Q}/status/current", {"status": "running", "qmpstatus": "prelaunch"}), get(f"{Q}/status/current", {"status": "stopped"}))
    running(wire)
    run("running")


def test_agent_that_is_not_there_yet_is_waited_for(wire: Wire) -> None:
    running(wire)
    wire.expect(post(f"{Q}/agent/ping", status=500, reason="QEMU guest agent is not running"), post(f"{Q}/agent/ping", {"result": {}}))
    run("agent")


def test_agent_that_is_not_configured_is_not_waited_for(wire: Wire) -> None:
    running(wire)
    wire.expect(post(f"{Q}/agent/ping", status=500, reason="No QEMU guest agent configured"))
    with pytest.raises(AgentMissing, match="agent: true"):
        run("agent")


def test_agent_that_never_answers_is_named_with_what_was_seen_last(wire: Wire) -> None:
    running(wire)
    wire.expect(post(f"{Q}/agent/ping", status=500, reason="QEMU guest agent is not running", times=6))
    with pytest.raises(WaitTimeout, match="guest agent of web-1; seen last: 'QEMU guest agent is not running'.*qemu-guest-agent"):
        run("agent")


def test_declared_address_has_to_be_there(wire: Wire) -> None:
    ready(wire)
    other = {"result": [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.99"}]}]}
    path = f"{Q}/agent/network-get-interfaces"
    wire.expect(get(path, status=500, reason="QEMU guest agent is not running"), get(path, other), get(path, INTERFACES))
    assert run("address", ["192.0.2.10"]).addresses == ["192.0.2.10", "2001:db8::10"]


def test_without_a_declared_address_any_will_do(wire: Wire) -> None:
    ready(wire)
    wire.expect(get(f"{Q}/agent/network-get-interfaces", {"result": []}), get(f"{Q}/agent/network-get-interfaces", INTERFACES))
    assert run("address").addresses


def cloud_init(wire: Wire, *results: dict[str, t.Any]) -> None:
    ready(wire)
    wire.expect(get(f"{Q}/agent/network-get-interfaces", INTERFACES))
    command = {"command": ["cloud-init", "status", "--wait", "--long"]}
    wire.expect(post(f"{Q}/agent/exec", {"pid": 7}, params=command))
    wire.expect(get(f"{Q}/agent/exec-status", {"exited": 0}, params={"pid": 7}))
    for result in results:
        wire.expect(get(f"{Q}/agent/exec-status", params={"pid": 7}, **result))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"exited": 1, "exitcode": 0, "out-data": "status: done\n"}, "done"),
        ({"exited": 1, "exitcode": 0, "out-data": "status: disabled\n"}, "disabled"),
        ({"exited": 1, "exitcode": 2, "out-data": "status: done\n"}, "degraded"),
    ],
)
def test_cloud_init_is_asked_in_the_guest(wire: Wire, answer: dict[str, t.Any], expected: str) -> None:
    cloud_init(wire, {"data": answer})
    assert run("cloud_init").cloud_init == expected


def test_cloud_init_that_failed_fails_with_its_words(wire: Wire) -> None:
    cloud_init(wire, {"data": {"exited": 1, "exitcode": 1, "out-data": "status: error\ndetail:\n('ssh', boom)\n"}})
    with pytest.raises(TaskFailed, match="cloud-init of web-1 .* exit status 1") as caught:
        run("cloud_init")
    assert caught.value.log[-1] == "('ssh', boom)"


def test_guest_that_restarts_under_cloud_init_is_asked_again(wire: Wire) -> None:
    cloud_init(
        wire,
        {"status": 500, "reason": "QEMU guest agent is not running"},
        {"status": 500, "reason": "Agent error: PID 7 does not exist"},
    )
    wire.expect(post(f"{Q}/agent/exec", status=500, reason="QEMU guest agent is not running"), post(f"{Q}/agent/exec", {"pid": 8}))
    wire.expect(get(f"{Q}/agent/exec-status", {"exited": 1, "exitcode": 0}))
    assert run("cloud_init", deadline=30).cloud_init == "done"


def test_cloud_init_whose_process_is_lost_for_good_is_given_up(wire: Wire) -> None:
    cloud_init(wire, {"status": 500, "reason": "Agent error: PID 7 does not exist"})
    with pytest.raises(WaitTimeout, match="did not end in the time given"):
        run("cloud_init", deadline=1)


def test_missing_privilege_ends_the_wait(wire: Wire) -> None:
    cloud_init(wire, {"status": 403, "reason": "Permission check failed (/vms/100, VM.GuestAgent.Unrestricted)"})
    with pytest.raises(ApiError, match="VM.GuestAgent.Unrestricted"):
        run("cloud_init")


@pytest.mark.parametrize("answer", [None, {"result": {"error": {"class": "CommandDisabled"}}}, {"result": []}])
def test_odd_answers_have_no_address(answer: t.Any) -> None:
    assert usable_addresses(answer) == []
