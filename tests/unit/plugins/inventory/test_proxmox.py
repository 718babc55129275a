"""The inventory plugin, loaded by Ansible itself from a configuration file."""

from __future__ import annotations

import pathlib
import threading
import typing as t

import pytest
from ansible.errors import AnsibleError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from helpers import proxmox
from helpers.proxmox import TEMPLATE, Wire, get, guest, resources

# The fixture; pytest finds it by its name.
wire = proxmox.wire

CONFIG = """
plugin: resilient.platform.proxmox
api_host: h
api_user: inventory@pve
api_token_id: ci
api_token_secret: "{{ 's3' ~ 'cret' }}"
"""
GUESTS = (guest(100, "web-1", "running", tags="web;platform", pool="apps"), guest(101, "db-1", tags="platform"), TEMPLATE)


def load(tmp_path: pathlib.Path, more: str = "", plugin: t.Any = None, cache: bool = True) -> tuple[InventoryData, t.Any]:
    path = tmp_path / "lab.proxmox.yml"
    path.write_text(CONFIG + more, encoding="utf-8")
    plugin = plugin or inventory_loader.get("resilient.platform.proxmox")
    data = InventoryData()
    assert plugin.verify_file(str(path))
    plugin.parse(data, DataLoader(), str(path), cache=cache)
    return data, plugin


def test_guests_are_hosts_in_groups_and_templates_are_not(wire: Wire, tmp_path: pathlib.Path) -> None:
    wire.expect(resources(*GUESTS))
    data, _plugin = load(tmp_path)
    assert set(data.hosts) == {"web-1", "db-1"}
    groups = {name: sorted(host.name for host in group.hosts) for name, group in data.groups.items() if group.hosts}
    assert groups == {
        "proxmox_all_qemu": ["db-1", "web-1"],
        "proxmox_node_pve1": ["db-1", "web-1"],
        "proxmox_pool_apps": ["web-1"],
        "proxmox_status_running": ["web-1"],
        "proxmox_status_stopped": ["db-1"],
        "proxmox_tag_platform": ["db-1", "web-1"],
        "proxmox_tag_web": ["web-1"],
    }
    assert wire.headers[0]["Authorization"] == "PVEAPIToken=inventory@pve!ci=s3cret"


def test_thousand_guests_cost_one_request(wire: Wire, tmp_path: pathlib.Path) -> None:
    many = [guest(100 + number, f"g-{number}", "running", tags="a;b", pool="apps", node=f"pve{number % 3}") for number in range(1000)]
    wire.expect(resources(*many))
    data, _plugin = load(tmp_path)
    assert len(data.hosts) == 1000 and len(wire.seen) == 1
    assert len(data.groups["proxmox_tag_a"].hosts) == 1000 and len(data.groups["proxmox_node_pve1"].hosts) == 333


def test_addresses_are_asked_for_at_the_same_time(wire: Wire, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four guests answer only once all four were asked."""
    together = threading.Barrier(4, timeout=10)
    send = Wire.send

    def meet(self: Wire, request: t.Any, **more: t.Any) -> t.Any:
        if "agent" in request.url:
            together.wait()
        return send(self, request, **more)

    monkeypatch.setattr(Wire, "send", meet)
    many = [guest(100 + number, f"g-{number}", "running") for number in range(4)]
    answer = [{"ip-addresses": [{"ip-address": "192.0.2.9"}]}]
    wire.expect(resources(*many), *[get(f"nodes/pve1/qemu/{one['vmid']}/agent/network-get-interfaces", answer) for one in many])
    data, _plugin = load(tmp_path, "addresses: true\nconcurrency: 4\n")
    assert all(host.vars["proxmox_addresses"] == ["192.0.2.9"] for host in data.hosts.values())


def test_templates_on_request(wire: Wire, tmp_path: pathlib.Path) -> None:
    wire.expect(resources(*GUESTS))
    assert "debian12" in load(tmp_path, "templates: true\n")[0].hosts


def test_filters_compose_and_keyed_groups(wire: Wire, tmp_path: pathlib.Path) -> None:
    wire.expect(resources(*GUESTS), get("nodes/pve1/qemu/100/agent/network-get-interfaces", [{"ip-addresses": [{"ip-address": "192.0.2.9"}]}]))
    more = """
addresses: true
filters:
  - include: "'web' in proxmox_tags"
  - exclude: true
compose:
  ansible_host: proxmox_addresses | first
keyed_groups:
  - {key: proxmox_pool, prefix: pool}
groups:
  big: proxmox_memory_mib >= 512
"""
    data, _plugin = load(tmp_path, more)
    assert set(data.hosts) == {"web-1"}
    assert data.hosts["web-1"].vars["ansible_host"] == "192.0.2.9"
    assert {"pool_apps", "big"} <= {group.name for group in data.hosts["web-1"].groups}


def test_names_and_tags_of_guests_are_never_templates(wire: Wire, tmp_path: pathlib.Path) -> None:
    wire.expect(resources(guest(100, "web-1", pool="{{ 1 + 1 }}")))
    more = "compose: {copy: proxmox_pool}\n"
    data, _plugin = load(tmp_path, more)
    assert data.hosts["web-1"].vars["copy"] == "{{ 1 + 1 }}"


def test_cache_is_used_until_it_is_refreshed(wire: Wire, tmp_path: pathlib.Path) -> None:
    more = f"cache: true\ncache_plugin: ansible.builtin.jsonfile\ncache_connection: {tmp_path / 'cache'}\n"
    wire.expect(resources(*GUESTS))
    _data, plugin = load(tmp_path, more)
    plugin.update_cache_if_changed()
    assert set(load(tmp_path, more)[0].hosts) == {"web-1", "db-1"}
    wire.expect(resources(GUESTS[0]))
    assert set(load(tmp_path, more, cache=False)[0].hosts) == {"web-1"}


def test_other_file_names_are_left_to_other_plugins(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "hosts.yml"
    path.touch()
    assert not inventory_loader.get("resilient.platform.proxmox").verify_file(str(path))


def test_error_of_the_api_is_the_inventorys(wire: Wire, tmp_path: pathlib.Path) -> None:
    wire.expect(get("cluster/resources", status=401, reason="Authentication failed!"))
    with pytest.raises(AnsibleError, match="does not accept the credentials of token inventory@pve!ci"):
        load(tmp_path)


def test_connection_without_credentials_is_refused(tmp_path: pathlib.Path, wire: Wire) -> None:
    path = tmp_path / "lab.proxmox.yml"
    path.write_text("plugin: resilient.platform.proxmox\napi_host: h\napi_user: u\n", encoding="utf-8")
    plugin = inventory_loader.get("resilient.platform.proxmox")
    with pytest.raises(AnsibleError, match="Neither api_password nor api_token_id"):
        plugin.parse(InventoryData(), DataLoader(), str(path))
