"""What cannot be meant is refused before anything is asked or written."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import desired_guest, desired_guests

BAD: list[tuple[dict[str, t.Any], str]] = [
    ({"name": "under_score"}, "letters, digits, hyphens"),
    ({"disks": {"scsi99": {}}}, "no disk slot scsi99"),
    ({"disks": {"scsi0": "local-lvm:8"}}, "Disk scsi0 is not a dictionary"),
    ({"disks": {"scsi0": {"gib": 8}}}, "Disk scsi0 has unknown fields: gib"),
    ({"disks": {"scsi0": {"size": 8, "size_gib": 8}}}, "has size and size_gib"),
    ({"disks": {"scsi0": {"size": "8Q"}}}, "is not a size"),
    ({"disks": {"scsi0": {"size": "8K"}}}, "not from 1M to 128T"),
    ({"disks": {"ide2": {"iso": "debian.iso"}}}, "iso is 'debian.iso'"),
    ({"disks": {"ide2": {"iso": "none", "size": 8}}}, "has iso and cannot have size"),
    ({"disks": {"virtio0": {"iso": "none"}}}, "cannot have it in this slot"),
    ({"remove": ["name"]}, "remove has the unknown key name"),
    ({"remove": ["net0"], "networks": {"net0": {"tag": 5}}}, "net0 is declared and in remove"),
    ({"disks": {"scsi0": {"size_gib": "8G"}}}, "size_gib is '8G', not a number from 1"),
    ({"disks": {"scsi0": {"size_gib": 0}}}, "size_gib is 0, not a number"),
    ({"disks": {"scsi0": {"ssd": "perhaps"}}}, "ssd is 'perhaps', not a boolean"),
    ({"networks": {"eth0": {}}}, "no network slot eth0"),
    ({"networks": {"net0": {"model": "ne2000"}}}, "unknown model ne2000"),
    ({"networks": {"net0": {"mac": "12:34"}}}, "'12:34' is not a MAC address"),
    ({"networks": {"net0": {"tag": 5000}}}, "tag is 5000, not a number from 0 to 4094"),
    ({"networks": {"net0": {"vlan": 5}}}, "unknown fields: vlan"),
    ({"cloud_init": {"ipconfig": {"x": {}}}}, "key of cloud_init.ipconfig is 'x'"),
    ({"cloud_init": {"ipconfig": {0: {"ip": "192.0.2.1"}}}}, "not an address with prefix"),
    ({"cloud_init": {"ipconfig": {0: {"ip": "nonsense/24"}}}}, "not an address with prefix"),
    ({"cloud_init": {"ipconfig": {0: {"ip": "2001:db8::1/64"}}}}, "not an address with prefix"),
    ({"cloud_init": {"ipconfig": {0: {"ip": "dhcp", "gw": "192.0.2.1"}}}}, "gateway without a static address"),
    ({"cloud_init": {"ipconfig": {0: {"netmask": "24"}}}}, "unknown fields: netmask"),
    ({"tags": ["with space"]}, "is not a tag"),
    ({"options": {"memory": 5}}, "unknown key memory"),
    ({"options": {"digest": "x"}}, "unknown key digest"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_input_is_refused_with_the_guests_name(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(Refused) as caught:
        desired_guest({"name": "web-1", **options})
    assert message in caught.value.message
    assert caught.value.message.startswith(f"Guest {options.get('name', 'web-1')}: ")
    assert caught.value.hint


@pytest.mark.parametrize("twice", [[{"name": "a"}, {"name": "a"}], [{"name": "a", "vmid": 7}, {"name": "b", "vmid": 7}]])
def test_a_guest_that_is_listed_twice_is_refused(twice: list[dict[str, t.Any]]) -> None:
    with pytest.raises(Refused, match="stands twice"):
        desired_guests(twice)


def test_options_that_are_not_given_want_nothing() -> None:
    wanted = desired_guest({"name": "web-1", "cores": None, "disks": None, "cloud_init": None, "agent": None})
    assert dict(wanted.config) == {}
    assert not wanted.needs_config and not wanted.wants_cloud_init


def test_power_and_tags_need_no_configuration_but_anything_else_does() -> None:
    assert not desired_guest({"name": "a", "state": "started", "tags": ["x"], "pool": "p"}).needs_config
    assert desired_guest({"name": "a", "onboot": False}).needs_config
    assert not desired_guest({"name": "a", "onboot": False, "state": "absent"}).needs_config


def test_static_addresses_are_known_and_dhcp_is_not() -> None:
    ipconfig = {"0": {"ip": "192.0.2.10/24", "gw": "192.0.2.1", "ip6": "2001:db8::10/64"}, 1: {"ip": "dhcp", "ip6": "auto"}}
    wanted = desired_guest({"name": "a", "cloud_init": {"ipconfig": ipconfig}})
    assert wanted.addresses == ("192.0.2.10", "2001:db8::10")
    assert wanted.config["ipconfig0"].value(None) == "gw=192.0.2.1,ip=192.0.2.10/24,ip6=2001:db8::10/64"
    assert wanted.config["ipconfig1"].value(None) == "ip=dhcp,ip6=auto"


def test_clone_source_may_be_a_number() -> None:
    assert desired_guest({"name": "a", "clone_from": 9000}).clone_from == "9000"
