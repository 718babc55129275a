"""proxmox_vm_info reads, and only what it is asked for."""

from __future__ import annotations

import typing as t

import pytest
from helpers import proxmox
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import CONNECTION, TEMPLATE, Wire, get, guest, pending, resources

from ansible_collections.resilient.platform.plugins.modules import proxmox_vm_info

# The fixture; pytest finds it by its name.
wire = proxmox.wire

FOUND = [guest(101, "b", tags="x;y", pool="p"), guest(100, "a", "running", tags="x"), guest(102, "ct", type="lxc"), TEMPLATE]
Q = "nodes/pve1/qemu/100"


def vms(**options: t.Any) -> list[dict[str, t.Any]]:
    result = run_module(proxmox_vm_info.main, {**CONNECTION, **options})
    assert result["changed"] is False
    return t.cast("list[dict[str, t.Any]]", result["vms"])


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["a", "b"]),
        ({"templates": True}, ["a", "b", "debian12"]),
        ({"names": ["b", "nobody"]}, ["b"]),
        ({"vmid": 100}, ["a"]),
        ({"node": "pve9"}, []),
        ({"pool": "p"}, ["b"]),
        ({"tags": ["Y", "x"]}, ["b"]),
    ],
)
def test_list_costs_one_request_and_is_empty_if_nothing_matches(wire: Wire, options: dict[str, t.Any], names: list[str]) -> None:
    wire.expect(resources(*FOUND))
    assert [one["name"] for one in vms(**options)] == names


def test_configuration_is_read_with_decoded_keys_and_what_is_pending(wire: Wire) -> None:
    wire.expect(resources(FOUND[1]), get(f"{Q}/pending", pending({"sshkeys": "ssh-ed25519%20AAAA%20a", "memory": "512"}, memory="1024")))
    one = vms(config=True)[0]
    assert one["config"] == {"sshkeys": ["ssh-ed25519 AAAA a"], "memory": "1024"} and one["pending"] == ["memory"]


def test_addresses_of_running_guests(wire: Wire) -> None:
    wire.expect(resources(*FOUND), get(f"{Q}/agent/network-get-interfaces", {"result": [{"ip-addresses": [{"ip-address": "192.0.2.9"}]}]}))
    assert [one["addresses"] for one in vms(addresses=True)] == [["192.0.2.9"], []]


def test_guest_without_agent_has_no_address_and_no_key(wire: Wire) -> None:
    said = "No QEMU guest agent configured"
    wire.expect(resources(FOUND[1]), get(f"{Q}/agent/network-get-interfaces", status=500, reason=said))
    wire.expect(get(f"{Q}/agent/file-read", status=500, reason=said))
    one = vms(addresses=True, ssh_host_keys=True)[0]
    assert one["addresses"] == [] and one["ssh_host_keys"] == []


def test_best_host_key_is_read_without_its_comment(wire: Wire) -> None:
    wire.expect(resources(FOUND[1]))
    missing = "Agent error: failed to open file '/etc/ssh/ssh_host_ed25519_key.pub' (mode: 'r'): No such file or directory"
    wire.expect(get(f"{Q}/agent/file-read", status=500, reason=missing, params={"file": "/etc/ssh/ssh_host_ed25519_key.pub"}))
    answer = {"content": "ecdsa-sha2-nistp256 AAAA root@a\n"}
    wire.expect(get(f"{Q}/agent/file-read", answer, params={"file": "/etc/ssh/ssh_host_ecdsa_key.pub"}))
    assert vms(ssh_host_keys=True)[0]["ssh_host_keys"] == ["ecdsa-sha2-nistp256 AAAA"]


def test_agent_that_hiccups_does_not_make_the_next_type_the_best(wire: Wire) -> None:
    key = {"file": "/etc/ssh/ssh_host_ed25519_key.pub"}
    wire.expect(resources(FOUND[1]), get(f"{Q}/agent/file-read", status=500, reason="Agent error: cannot run", params=key))
    assert vms(ssh_host_keys=True)[0]["ssh_host_keys"] == []


@pytest.mark.parametrize(("option", "path"), [("addresses", "network-get-interfaces"), ("ssh_host_keys", "file-read")])
def test_missing_privilege_is_an_error_and_not_an_empty_answer(wire: Wire, option: str, path: str) -> None:
    wire.expect(resources(FOUND[1]), get(f"{Q}/agent/{path}", status=403, reason="Permission check failed (/vms/100, VM.GuestAgent.Audit)"))
    with pytest.raises(ModuleFailed, match="VM.GuestAgent.Audit on /vms/100"):
        vms(**{option: True})
