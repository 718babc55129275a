"""The modules against an unmodified fakepve: a server that keeps state, made by others, with the API's own schema and texts.

Run with: pytest tests/integration/proxmox
Its known gaps (proxmoxer sees them, our plans do not depend on them): a resize changes nothing, a new disk on PUT is stored as text.
"""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "unit"))
from helpers.modules import ModuleFailed, run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.modules import proxmox_fleet, proxmox_vm_info  # noqa: E402

pytestmark = pytest.mark.server

KEYS = ["ssh-ed25519 AAAA+/= admin"]


@pytest.fixture
def pve(fakepve: t.Any, monkeypatch: pytest.MonkeyPatch, fakepve_cafile: str) -> t.Any:
    """A cluster with a template; the modules find it by the environment."""
    fakepve.apitokens["root@pam!ci"] = "s3cret"
    volumes = fakepve.storages["local-lvm"].setdefault("volumes", {})
    volumes["base-9000-disk-0"] = {"content": "images", "format": "raw", "size": 8 * 2**30, "vmid": 9000}
    config = {
        "scsi0": "local-lvm:base-9000-disk-0,size=8G",
        "ide2": "local-lvm:vm-9000-cloudinit,media=cdrom,size=4M",
        "net0": "virtio=BC:24:11:AA:BB:CC,bridge=vmbr0",
        "memory": "512",
    }
    fakepve.add_vm(9000, "debian12", template=True, config=config)
    values = {"HOST": "127.0.0.1", "PORT": fakepve.port, "USER": "root@pam", "TOKEN_ID": "ci", "TOKEN_SECRET": "s3cret", "CA_PATH": fakepve_cafile}
    for name, value in values.items():
        monkeypatch.setenv(f"PROXMOX_{name}", str(value))
    return fakepve


def guest(number: int, **more: t.Any) -> dict[str, t.Any]:
    cloud_init = {"user": "platform", "ssh_keys": KEYS, "ipconfig": {"0": {"ip": f"192.0.2.{number}/24", "gw": "192.0.2.1"}}}
    return {"name": f"web-{number}", "state": "started", "clone_from": "debian12", "cores": 2, "tags": ["Web"], "cloud_init": cloud_init, **more}


def fleet(guests: list[dict[str, t.Any]], check: bool = False, **more: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_fleet.main, {"guests": guests, "wait_sleep": 0.05, **more}, check=check, diff=True)


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
