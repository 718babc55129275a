"""From guests to hosts."""

from __future__ import annotations

import pytest
from helpers import proxmox
from helpers.proxmox import TEMPLATE, Wire, get, guest, resources

from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import Connection, ProxmoxClient
from ansible_collections.resilient.platform.plugins.plugin_utils import _proxmox_inventory as inventory

# The fixture; pytest finds it by its name.
wire = proxmox.wire

CLIENT = Connection(host="h", token_id="a", token_secret="b")


def test_many_guests_cost_one_request(wire: Wire) -> None:
    wire.expect(resources(*[guest(100 + n, f"g-{n}", "running") for n in range(1000)]))
    client = ProxmoxClient(CLIENT)
    assert len(inventory.read_hosts(client, addresses=False, concurrency=4)) == 1000
    assert client.requests_sent == 1


def test_addresses_are_asked_of_running_machines_only(wire: Wire) -> None:
    wire.expect(resources(guest(100, "a", "running"), guest(101, "b"), guest(102, "ct", "running", type="lxc"), TEMPLATE))
    wire.expect(get("nodes/pve1/qemu/100/agent/network-get-interfaces", {"result": [{"ip-addresses": [{"ip-address": "192.0.2.9"}]}]}))
    hosts = inventory.read_hosts(ProxmoxClient(CLIENT), addresses=True, concurrency=2)
    assert [host["proxmox_addresses"] for host in hosts] == [["192.0.2.9"], [], [], []]


def test_variables_have_no_dashes_and_the_names_of_our_options(wire: Wire) -> None:
    wire.expect(resources(guest(100, "a", "running", tags="x", pool="p", maxcpu=2)))
    host = inventory.read_hosts(ProxmoxClient(CLIENT), addresses=False, concurrency=1)[0]
    assert host == {
        "proxmox_name": "a",
        "proxmox_vmid": 100,
        "proxmox_node": "pve1",
        "proxmox_type": "qemu",
        "proxmox_status": "running",
        "proxmox_template": False,
        "proxmox_tags": ["x"],
        "proxmox_pool": "p",
        "proxmox_lock": None,
        "proxmox_cores": 2,
        "proxmox_memory_mib": 512,
    }
    assert inventory.group_names(host) == ["all_qemu", "node_pve1", "status_running", "pool_p", "tag_x"]


@pytest.mark.parametrize(("names", "expected"), [(["a", "b"], ["a", "b"]), (["a", "a"], ["a-1", "a-2"]), ([""], ["guest-1"])])
def test_hosts_with_the_same_name_are_told_apart(names: list[str], expected: list[str]) -> None:
    assert inventory.host_names([{"proxmox_name": name, "proxmox_vmid": n} for n, name in enumerate(names, 1)]) == expected
