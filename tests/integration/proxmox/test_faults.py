"""What goes wrong on a real cluster, injected into an unmodified fakepve, and what it costs when nothing does."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fleet as shared  # noqa: E402
from fleet import fleet, guest  # noqa: E402
from helpers.modules import ModuleFailed  # noqa: E402

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import client as client_module  # noqa: E402

# The fixture; pytest finds it by its name.
pve = shared.pve
pytestmark = pytest.mark.server

GIB = 1024**3


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses between retries are not what is tested."""
    monkeypatch.setattr(client_module, "RETRY_AFTER", (0.01, 0.01, 0.01))


def failing(guests: list[dict[str, t.Any]], **more: t.Any) -> dict[str, t.Any]:
    with pytest.raises(ModuleFailed) as caught:
        fleet(guests, **more)
    return caught.value.result


def named(pve: t.Any, name: str) -> t.Any:
    return next(vm for vm in pve.vms if vm.name == name)


def polls(requests: list[tuple[str, str, t.Any]]) -> int:
    """Looks at tasks."""
    return sum("/tasks" in path for _method, path, _body in requests)


# -- what it costs --------------------------------------------------------------------------------------------------------------


# A single guest pays alone for what is asked for once: the list, the template, the next id, and the list again before the start.
@pytest.mark.fakepve(time_scale=0.1)
@pytest.mark.parametrize(("count", "budget"), [(1, 9), (20, 90), (100, 450)])
def test_provisioning_costs_at_most_four_and_a_half_requests_a_guest(pve: t.Any, count: int, budget: int) -> None:
    """Clone, configure, resize and start; this server has no bulk start that starts anything, so each start is one request more."""
    guests = [guest(number, disks={"scsi0": {"size": "20G"}}) for number in range(10, 10 + count)]
    pve.requests.clear()
    result = fleet(guests)
    asked = list(pve.requests)
    bulk = sum("bulk-action" in path for _method, path, _body in asked)
    single = sum(path.endswith("/status/start") for _method, path, _body in asked)
    assert single == count and bool(bulk) == (count > 1)
    repeated = single if count > 1 else 0
    assert len(asked) - polls(asked) - repeated <= budget, sorted({path for _method, path, _body in asked if "/qemu/" not in path})
    assert result["api_requests"] == len(asked) and {vm.status for vm in pve.vms if vm.vmid != 9000} == {"running"}


@pytest.mark.parametrize("count", [1, 20, 100])
def test_no_op_and_power_budgets(pve: t.Any, count: int) -> None:
    """What the server has seen, with drift checked in every option that was declared; and of power and tags alone."""
    guests = [guest(number) for number in range(10, 10 + count)]
    fleet(guests)
    pve.requests.clear()
    assert not fleet(guests)["changed"] and len(pve.requests) <= 1 + count
    for declared in ({"state": "present"}, {"state": "started"}, {"state": "started", "tags": ["web"]}):
        pve.requests.clear()
        assert not fleet([{"name": one["name"], **declared} for one in guests])["changed"]
        assert len(pve.requests) <= 2, declared


# -- some of many ---------------------------------------------------------------------------------------------------------------


def test_three_of_two_hundred_fail_and_the_second_run_does_only_these(pve: t.Any) -> None:
    guests = [{"name": f"n-{number}", "state": "started", "clone_from": "debian12", "cores": 2} for number in range(200)]
    broken = ["n-17", "n-90", "n-199"]
    fleet([{**one, "state": "present"} for one in guests])
    for name in broken:
        named(pve, name).start_error = "start failed: no such disk"
    result = failing(guests)
    assert "3 of 200 guests failed" in result["msg"] and all(name in result["msg"] for name in broken)
    assert [one["name"] for one in result["guests"] if "error" in one] == broken
    assert sum(one["status"] == "running" and one["changed"] for one in result["guests"]) == 197
    for name in broken:
        named(pve, name).start_error = None
    pve.requests.clear()
    again = fleet(guests)
    assert [one["name"] for one in again["guests"] if one["changed"]] == broken
    started = [path for method, path, _body in pve.requests if method == "POST" and "bulk" not in path]
    assert len(started) == 3


# -- locks, nodes, quorum ---------------------------------------------------------------------------------------------------------


def test_guest_that_is_locked_by_a_backup_fails_alone_and_is_left_as_it_is(pve: t.Any) -> None:
    guests = [guest(10), guest(11)]
    fleet(guests)
    vm = named(pve, "web-10")
    vm.lock = "backup"
    assert not fleet(guests)["changed"], "a lock is no reason to fail when there is nothing to do"
    changed = [{**one, "cores": 4} for one in guests]
    checked, real = failing(changed, check=True), failing(changed)
    for result in (checked, real):
        assert result["guests"][0]["error"]["type"] == "Locked" and "(backup)" in result["msg"]
        assert result["guests"][1]["changed"] and not result["guests"][0]["changed"]
    assert checked["diff"] == real["diff"] and vm.config["cores"] == "2"
    vm.lock = None
    again = fleet(changed)
    assert [one["changed"] for one in again["guests"]] == [True, False]


def test_lost_quorum_is_said_and_nothing_is_written(pve: t.Any) -> None:
    fleet([guest(10)])
    pve.quorate = False
    result = failing([guest(10, cores=4), guest(11)])
    assert "no quorum" in result["msg"] and [one["error"]["type"] for one in result["guests"]] == ["Conflict", "Conflict"]
    assert not fleet([guest(10)])["changed"], "reading works without it"
    assert len(pve.vms) == 2


def test_guests_of_an_offline_node_fail_alone(pve: t.Any) -> None:
    pve.nodes["pve2"] = {"online": True}
    pve.add_vm(300, "far", node="pve2", config={"memory": "512"})
    fleet([guest(10)])
    pve.nodes["pve2"]["online"] = False
    result = failing([guest(10, cores=4), {"name": "far", "memory": 1024}])
    assert result["guests"][0]["changed"] and "offline" in result["guests"][1]["error"]["message"]
    assert fleet([guest(10, cores=4), {"name": "far", "state": "present"}])["changed"] is False, "that it is there can be told"
    with pytest.raises(ModuleFailed, match="node pve2 is offline"):
        fleet([guest(12, node="pve2")])


def test_guest_whose_node_does_not_answer_fails_alone(pve: t.Any) -> None:
    fleet([guest(10), guest(11)])
    pve.fail("GET", f"/nodes/pve1/qemu/{named(pve, 'web-11').vmid}/pending", 596, "Connection timed out")
    result = failing([guest(10, cores=4), guest(11, cores=4)])
    assert result["guests"][0]["changed"] and result["guests"][1]["error"]["status"] == 596


# -- credentials ------------------------------------------------------------------------------------------------------------------


def test_ticket_that_expires_in_the_middle_is_renewed(pve: t.Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOKEN_ID", "TOKEN_SECRET"):
        monkeypatch.delenv(f"PROXMOX_{name}")
    monkeypatch.setenv("PROXMOX_PASSWORD", "secret")

    class ShortLived(dict[str, t.Any]):
        """Tickets that each expire after 15 requests, whatever time those take."""

        def get(self, ticket: str, default: t.Any = None) -> t.Any:
            if ticket in self:
                self[ticket]["uses"] = self[ticket].get("uses", 0) + 1
                if self[ticket]["uses"] > 15:
                    self[ticket]["expires"] = 0.0
            return super().get(ticket, default)

    pve.tickets = ShortLived()
    guests = [guest(number) for number in range(10, 16)]
    assert fleet(guests, concurrency=1)["changed"]
    assert sum(path.endswith("/access/ticket") for _method, path, _body in pve.requests) > 2
    assert {vm.status for vm in pve.vms if vm.vmid != 9000} == {"running"}


def test_missing_privilege_is_named(pve: t.Any) -> None:
    fleet([guest(10, state="present")])
    pve.apitokens["auto@pve!ci"] = "s"
    for path in ("/vms", "/nodes", "/storage"):
        pve.grant("auto@pve!ci", path, "VM.Audit", "Datastore.Audit")
    result = failing([{"name": "web-10", "state": "started"}], api_user="auto@pve", api_token_id="ci", api_token_secret="s")
    assert result["error"]["type"] == "PermissionDenied"
    assert "Give token auto@pve!ci the privilege VM.PowerMgmt on /vms/100." in result["msg"]


def test_missing_privilege_that_only_the_task_finds_is_named(pve: t.Any) -> None:
    fleet([guest(10)])
    pve.apitokens["auto@pve!ci"] = "s"
    for path in ("/vms", "/nodes", "/storage"):
        pve.grant("auto@pve!ci", path, "VM.Audit", "Datastore.Audit", "Sys.Audit")
    result = failing([{"name": "web-10", "description": "new"}], api_user="auto@pve", api_token_id="ci", api_token_secret="s")
    assert result["error"]["type"] == "TaskFailed" and "Permission check failed (/vms/100, VM.Config." in result["msg"]
    assert "the privilege VM.Config." in result["error"]["hint"]


# -- lost answers, storage, tasks -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "path"), [("POST", "/clone"), ("POST", "/config"), ("PUT", "/resize"), ("POST", "/status/start")])
def test_gateway_that_gives_up_is_got_over_by_the_next_run(pve: t.Any, method: str, path: str) -> None:
    pve.fail(method, path, 596, "Connection timed out", times=1)
    wanted = [guest(10, disks={"scsi0": {"size": "20G"}})]
    try:
        fleet(wanted)
    except ModuleFailed as exc:
        assert "596" in str(exc)
    result = fleet(wanted)
    assert result["guests"][0]["status"] == "running"
    assert [vm.name for vm in pve.vms if vm.vmid != 9000] == ["web-10"] and named(pve, "web-10").config["cores"] == "2"


@pytest.mark.fakepve(time_scale=1)
def test_connection_that_breaks_now_and_then_while_tasks_run(pve: t.Any) -> None:
    pve.network.update(drop_rate=0.1)
    guests = [guest(number) for number in range(10, 16)]
    for _run in range(5):
        try:
            fleet(guests)
        except ModuleFailed:
            continue
        break
    pve.network.update(drop_rate=0)
    fleet(guests)
    assert sorted(vm.name for vm in pve.vms if vm.vmid != 9000) == [one["name"] for one in guests]
    assert not fleet(guests)["changed"]


def test_full_storage_is_told_at_once_with_the_tasks_log_and_leaves_no_guest(pve: t.Any) -> None:
    pve.storages["local-lvm"]["full"] = True
    original = pve._qm_alloc

    def no_space(sid: str, vmid: int, *more: t.Any, **others: t.Any) -> t.Any:
        from fakepve.model import TaskError

        if vmid != 9000:
            raise TaskError("lvcreate 'pve/vm-disk' error: insufficient free space")
        return original(sid, vmid, *more, **others)

    pve._qm_alloc = no_space
    result = failing([guest(10)])
    assert result["error"]["type"] == "TaskFailed" and "insufficient free space" in result["msg"]
    assert any("insufficient free space" in line for line in result["error"]["log"])
    assert [vm.vmid for vm in pve.vms] == [9000]
    pve._qm_alloc = original
    assert fleet([guest(10)])["changed"]


def test_disks_that_do_not_fit_are_refused_before_anything_is_made(pve: t.Any) -> None:
    pve.storages["thick"] = {"type": "lvm", "content": "images", "active": 1, "shared": 0, "avail": 100 * GIB, "total": 100 * GIB}
    big = [guest(number, disks={"scsi1": {"storage": "thick", "size": 60}}) for number in (10, 11)]
    result = failing(big)
    assert "need 120.0 GiB on storage thick on pve1, which has 100.0 GiB left" in result["msg"]
    assert [vm.vmid for vm in pve.vms] == [9000]
    assert fleet(big[:1])["changed"]


def test_duplicate_names_are_refused(pve: t.Any) -> None:
    pve.add_vm(300, "web-10")
    pve.add_vm(301, "web-10")
    assert "exists 2 times: 300 on pve1, 301 on pve1" in failing([guest(10)])["msg"]


# -- agents -----------------------------------------------------------------------------------------------------------------------


def test_guest_without_an_agent_and_agent_without_an_address(pve: t.Any) -> None:
    fleet([guest(10), guest(11)])
    named(pve, "web-11").agent = {"interfaces": [{"name": "lo", "ip-addresses": [{"ip-address": "127.0.0.1", "ip-address-type": "ipv4"}]}]}
    result = failing([guest(10), guest(11)], wait_for="address", wait_timeout=1)
    without, no_address = (one["error"]["message"] for one in result["guests"])
    assert "the guest agent of web-10" in without and "not running" in without
    assert "the address 192.0.2.11 of web-11" in no_address and "seen last: []" in no_address


def test_partial_hotplug_is_told_key_by_key(pve: t.Any) -> None:
    """This server takes background_delay for a key of the configuration; a real one does not."""
    fleet([guest(10)])
    result = fleet([guest(10, cores=4, description="new")])["guests"][0]
    assert (result["applied"], result["pending"][-1], result["reboot_required"]) == (["description"], "cores", True)
    again = fleet([guest(10, cores=4, description="new", reboot=True)])
    assert again["changed"] and "cores" in again["diff"]["before"]["web-10.pending"] and not again["guests"][0]["pending"]
    assert named(pve, "web-10").config["cores"] == "4" and not fleet([guest(10, cores=4, reboot=True)])["changed"]
