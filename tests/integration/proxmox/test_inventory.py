"""The inventory plugin in a real ``ansible-inventory`` against an unmodified fakepve: what a thousand guests cost, and what becomes of them."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fleet as shared  # noqa: E402

# The fixture; pytest finds it by its name.
pve = shared.pve
pytestmark = pytest.mark.server

COUNT = 1000


def inventory(directory: pathlib.Path, more: str = "", **environment: str | None) -> dict[str, t.Any]:
    """Return what ``ansible-inventory --list`` prints; None takes a variable out of its environment."""
    path = directory / "test.proxmox.yml"
    path.write_text("plugin: resilient.platform.proxmox\n" + more, encoding="utf-8")
    (directory / "ansible.cfg").touch()
    everything = {**os.environ, "ANSIBLE_CONFIG": str(directory / "ansible.cfg"), "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true", **environment}
    kept = {name: value for name, value in everything.items() if value is not None}
    done = subprocess.run(["ansible-inventory", "-i", str(path), "--list"], env=kept, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return t.cast(dict[str, t.Any], json.loads(done.stdout))


@pytest.fixture
def many(pve: t.Any) -> t.Any:
    """A thousand guests on three nodes, some in a pool, one with an agent; and the template."""
    for number in range(COUNT):
        config = {"tags": "web;platform" if number % 2 else "platform", "agent": "1"}
        vm = pve.add_vm(10000 + number, f"guest-{number}", node=f"pve{1 + number % 3}", config=config, pool="apps" if number < 10 else None)
        vm.status = "running" if number < 3 else "stopped"
    vm.name = "{{ lookup('pipe', 'id') }}"
    pve.vms[1].agent = {"interfaces": [{"name": "eth0", "ip-addresses": [{"ip-address": "192.0.2.10", "ip-address-type": "ipv4"}]}]}
    return pve


def test_thousand_guests_cost_one_request_and_two_with_a_password(many: t.Any, tmp_path: pathlib.Path) -> None:
    found = inventory(tmp_path)
    assert [path for _method, path, _body in many.requests] == ["/api2/json/cluster/resources"]
    assert len(found["_meta"]["hostvars"]) == COUNT
    groups = {name: len(group["hosts"]) for name, group in found.items() if "hosts" in group}
    assert groups == {
        "proxmox_all_qemu": COUNT, "proxmox_tag_platform": COUNT, "proxmox_tag_web": COUNT // 2, "proxmox_pool_apps": 10,
        "proxmox_node_pve1": 334, "proxmox_node_pve2": 333, "proxmox_node_pve3": 333, "proxmox_status_running": 3, "proxmox_status_stopped": COUNT - 3,
    }  # fmt: skip
    many.requests.clear()
    again = inventory(tmp_path, PROXMOX_TOKEN_ID=None, PROXMOX_TOKEN_SECRET=None, PROXMOX_PASSWORD="secret")
    assert len(many.requests) == 2 and again == found


def test_addresses_cost_one_request_for_each_that_runs(many: t.Any, tmp_path: pathlib.Path) -> None:
    found = inventory(tmp_path, "addresses: true\n")["_meta"]["hostvars"]
    assert len(many.requests) == 1 + 3
    has = {name: host["proxmox_addresses"] for name, host in found.items() if host["proxmox_addresses"]}
    assert has == {"guest-0": [{"__ansible_unsafe": "192.0.2.10"}]}


def test_filtered_guests_are_not_there_and_a_name_is_never_a_template(many: t.Any, tmp_path: pathlib.Path) -> None:
    more = "filters:\n  - include: proxmox_vmid >= 10998\n  - exclude: true\ncompose: {copy: proxmox_name}\n"
    found = inventory(tmp_path, more)["_meta"]["hostvars"]
    evil = "{{ lookup('pipe', 'id') }}"
    assert set(found) == {"guest-998", evil}
    assert found[evil]["proxmox_name"] == {"__ansible_unsafe": evil} and "uid=" not in json.dumps(found)


def test_cached_inventory_costs_no_request(many: t.Any, tmp_path: pathlib.Path) -> None:
    more = f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {tmp_path / 'cache'}\n"
    first = inventory(tmp_path, more)
    many.requests.clear()
    assert inventory(tmp_path, more) == first and many.requests == []
