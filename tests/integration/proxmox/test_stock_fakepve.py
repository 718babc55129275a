"""The modules against an unmodified fakepve: a server that keeps state, made by others, with the API's own schema and texts.

Run with: pytest tests/integration/proxmox
Snapshots, backups, templates and access are in test_stock_fakepve_backups.py.
Its known gaps (proxmoxer sees them, our plans do not depend on them): a resize changes nothing, a new disk on PUT is stored as text.
"""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fleet as shared  # noqa: E402
from fleet import KEYS, fleet, guest  # noqa: E402
from helpers.modules import ModuleFailed, run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.modules import proxmox_vm_info  # noqa: E402

# The fixture; pytest finds it by its name.
pve = shared.pve
pytestmark = pytest.mark.server


def test_fleet_comes_stays_drifts_and_goes(pve: t.Any) -> None:
    guests = [guest(number) for number in range(10, 20)]
    predicted = fleet(guests, check=True)
    made = fleet(guests)
    assert predicted["diff"] == made["diff"] and len({one["vmid"] for one in made["guests"]}) == 10
    again = fleet(guests)
    assert not again["changed"] and again["api_requests"] == 1 + 10

    pve.vm(made["guests"][0]["vmid"]).config["cores"] = 1
    pve.vm(made["guests"][1]["vmid"]).status = "stopped"
    predicted = fleet(guests, check=True)
    assert set(predicted["diff"]["after"]) == {"web-10.cores", "web-11.status"}
    assert fleet(guests)["diff"] == predicted["diff"]
    third = fleet(guests)
    assert not third["changed"]
    assert [one["reboot_required"] for one in third["guests"]][:2] == [True, False], "cores wait for a restart"

    gone = [{"name": one["name"], "state": "absent"} for one in guests]
    assert fleet(gone)["changed"] and not fleet(gone)["changed"]
    assert [vm.vmid for vm in pve.vms] == [9000]


def test_agent_stages(pve: t.Any) -> None:
    fleet([guest(10)])
    pve.vms[-1].agent = {"interfaces": [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.10", "ip-address-type": "ipv4"}]}]}
    one = fleet([guest(10)], wait_for="cloud_init")["guests"][0]
    assert (one["changed"], one["addresses"], one["cloud_init"]) == (False, ["192.0.2.10"], "done")


def test_failed_start_is_reported_at_once_with_its_log(pve: t.Any) -> None:
    fleet([guest(10, state="present"), guest(11, state="present")])
    next(vm for vm in pve.vms if vm.name == "web-10").start_error = "start failed: no such disk"
    with pytest.raises(ModuleFailed) as caught:
        fleet([guest(10), guest(11)])
    result = caught.value.result
    assert [one["status"] for one in result["guests"]] == ["stopped", "running"]
    assert result["guests"][0]["error"]["log"][-1] == "TASK ERROR: start failed: no such disk"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"node": "pve7"}, "no node pve7"),
        ({"disks": {"scsi0": {"size_gib": 2}}}, "cannot be made smaller"),
        ({"disks": {"scsi1": {"storage": "nope", "size_gib": 2}}}, "no storage nope"),
        ({"pool": "nope"}, "no pool nope"),
        ({"clone_from": "nope"}, "no template nope"),
    ],
)
def test_refused_input_leaves_no_trace(pve: t.Any, more: dict[str, t.Any], message: str) -> None:
    with pytest.raises(ModuleFailed, match=message):
        fleet([guest(10), guest(11, **more)])
    assert [vm.vmid for vm in pve.vms] == [9000]
    assert all(method == "GET" for method, _path, _body in pve.requests)


def test_info_reads_what_the_fleet_wrote(pve: t.Any) -> None:
    fleet([guest(10)])
    found = run_module(proxmox_vm_info.main, {"config": True})["vms"][0]
    assert found["config"]["sshkeys"] == KEYS and found["tags"] == ["web"]
