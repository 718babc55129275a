"""Property strings and values, both ways. Strings are as qemu-server prints them (qm.conf(5))."""

from __future__ import annotations

import typing as t

import pytest

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props

NETS = [
    ("virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=10", {"model": "virtio", "macaddr": "BC:24:11:00:00:01", "bridge": "vmbr0", "tag": "10"}),
    ("e1000-82540em=bc:24:11:00:00:01,bridge=vmbr0", {"model": "e1000-82540em", "macaddr": "BC:24:11:00:00:01", "bridge": "vmbr0"}),
    ("model=virtio,macaddr=bc:24:11:00:00:01,bridge=vmbr0", {"model": "virtio", "macaddr": "BC:24:11:00:00:01", "bridge": "vmbr0"}),
    ("virtio,bridge=vmbr0", {"model": "virtio", "bridge": "vmbr0"}),
]


@pytest.mark.parametrize(("text", "expected"), NETS)
def test_network_device_is_read_in_each_of_its_spellings(text: str, expected: dict[str, str]) -> None:
    assert props.parse_net(text) == expected


def test_network_device_is_written_with_its_address_first() -> None:
    text = "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=10"
    assert props.format_net(props.parse_net(text)) == text


def test_network_device_without_address_leaves_it_to_the_server() -> None:
    assert props.format_net({"model": "virtio", "bridge": "vmbr0", "macaddr": props.GENERATED}) == "virtio,bridge=vmbr0"


@pytest.mark.parametrize(
    ("text", "volume", "options"),
    [
        ("local-lvm:vm-100-disk-0,iothread=1,size=8G", "local-lvm:vm-100-disk-0", {"iothread": "1", "size": "8G"}),
        ("local-lvm:base-9000-disk-0/vm-100-disk-0,size=8G", "local-lvm:base-9000-disk-0/vm-100-disk-0", {"size": "8G"}),
        ("file=local:100/vm-100-disk-0.qcow2,size=8G", "local:100/vm-100-disk-0.qcow2", {"size": "8G"}),
        ("none,media=cdrom", "none", {"media": "cdrom"}),
    ],
)
def test_drive_is_split_into_volume_and_options(text: str, volume: str, options: dict[str, str]) -> None:
    assert props.parse_drive(text) == (volume, options)
    assert props.parse_drive(props.format_drive(volume, options)) == (volume, options)


@pytest.mark.parametrize(("volume", "storage"), [("local-lvm:vm-1-disk-0", "local-lvm"), ("none", None), ("/dev/sdb", None)])
def test_storage_of_a_volume(volume: str, storage: str | None) -> None:
    assert props.storage_of(volume) == storage


@pytest.mark.parametrize(
    ("text", "size"), [("8G", 8 * 2**30), ("20480M", 20 * 2**30), ("528K", 528 * 1024), ("4194304", 4 * 2**20), ("1.5G", 3 * 2**29), ("1T", 2**40)]
)
def test_size_in_bytes(text: str, size: int) -> None:
    assert props.parse_size(text) == size


def test_sizes_are_written_in_the_largest_unit_that_divides_them() -> None:
    assert [props.format_size(size) for size in (2**40, 20 * 2**30, 4 * 2**20, 528 * 1024, 5)] == ["1T", "20G", "4M", "528K", "5"]


def test_what_is_no_size_is_refused() -> None:
    with pytest.raises(Refused, match="is not a size"):
        props.parse_size("big")


def test_tags_are_a_set_whatever_separates_them() -> None:
    assert props.parse_tags("b;A, c d") == frozenset("abcd")
    assert props.parse_tags(None) == frozenset()
    assert props.format_tags(["b", "A", "b"]) == "a;b"


def test_ssh_keys_come_back_as_they_went() -> None:
    keys = ["ssh-ed25519 AAAA+/= user@host", "ssh-rsa BBBB two words"]
    encoded = props.encode_ssh_keys(keys)
    assert "+" not in encoded and " " not in encoded and "\n" not in encoded
    assert props.decode_ssh_keys(encoded) == keys
    assert props.decode_ssh_keys(encoded + "%0A") == keys


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        ("2", "2.0", True),
        ("a=1,b=2", "b=2,a=1", True),
        ("order=1,up=30", "order=2,up=30", False),
        ("host", "kvm64", False),
        (None, None, True),
        (None, "1", False),
    ],
)
def test_values_are_compared_by_meaning(left: str | None, right: str | None, same: bool) -> None:
    assert props.same_scalar(left, right) is same


@pytest.mark.parametrize(("value", "expected"), [(True, True), ("on", True), (1, True), ("no", False), (0, False), ("maybe", None)])
def test_flags(value: t.Any, expected: bool | None) -> None:
    assert props.flag(value) is expected


def test_scalars_are_written_as_a_configuration_has_them() -> None:
    assert [props.scalar(value) for value in (True, False, 8.0, 1.5, "x", 7)] == ["1", "0", "8", "1.5", "x", "7"]


@pytest.mark.parametrize(
    ("text", "yes"),
    [("local-lvm:vm-1-cloudinit,media=cdrom", True), ("local-lvm:cloudinit", True), ("local:iso/debian.iso,media=cdrom", False)],
)
def test_cloud_init_drive_is_known_by_its_volume(text: str, yes: bool) -> None:
    assert props.is_cloud_init_drive(text) is yes


@pytest.mark.parametrize(("key", "yes"), [("scsihw", True), ("serial0", True), ("hostpci3", True), ("memory", False), ("lock", False), ("nonsense", False)])
def test_only_keys_without_an_option_of_their_own_are_option_keys(key: str, yes: bool) -> None:
    assert props.is_option_key(key) is yes
