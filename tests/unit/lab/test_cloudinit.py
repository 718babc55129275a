from __future__ import annotations

import urllib.parse

import pytest
import yaml

from lab.proxmox import cloudinit

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJIjcJaQwHRZP a+b@c"
CONFIG = {
    "name": "vault-1", "ide2": "local-lvm:vm-101-cloudinit,media=cdrom", "ciuser": "platform", "sshkeys": urllib.parse.quote(KEY + "\n", safe=""),
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "ipconfig0": "ip=10.93.0.11/24,gw=10.93.0.1", "searchdomain": "lab.internal",
}


def test_user_data_is_what_cloud_init_reads() -> None:
    text = cloudinit.user_data(CONFIG, 101)
    assert text.startswith("#cloud-config\n")
    data = yaml.safe_load(text)
    assert data["hostname"] == "vault-1" and data["fqdn"] == "vault-1.lab.internal"
    assert data["user"] == "platform" and data["users"] == ["default"]
    assert data["ssh_authorized_keys"] == [KEY]
    assert data["package_upgrade"] is True


def test_values_cannot_break_out_of_the_document() -> None:
    data = yaml.safe_load(cloudinit.user_data({**CONFIG, "ciuser": 'a"\nruncmd: [evil]'}, 101))
    assert "runcmd" not in data


def test_root_user_keeps_its_login() -> None:
    data = yaml.safe_load(cloudinit.user_data({**CONFIG, "ciuser": "root"}, 101))
    assert data["disable_root"] is False and "users" not in data


@pytest.mark.parametrize(("key", "changed"), [("sshkeys", ""), ("ipconfig0", "ip=10.93.0.12/24"), ("name", "other")])
def test_changed_config_makes_a_new_instance(key: str, changed: str) -> None:
    before = cloudinit.seed_files(CONFIG, 101)["meta-data"]
    assert cloudinit.seed_files(dict(CONFIG), 101)["meta-data"] == before
    assert cloudinit.seed_files({**CONFIG, key: changed}, 101)["meta-data"] != before


def test_unrelated_config_does_not_make_a_new_instance() -> None:
    assert cloudinit.seed_files({**CONFIG, "memory": "1024", "tags": "a"}, 101) == cloudinit.seed_files(CONFIG, 101)


@pytest.mark.parametrize(("value", "expected"), [
    ("local-lvm:vm-101-cloudinit,media=cdrom", "ide2"), ("local-lvm:cloudinit", "ide2"), ("none,media=cdrom", None), ("local:iso/debian.iso,media=cdrom", None),
])
def test_cloud_init_drive_is_found(value: str, expected: str | None) -> None:
    assert cloudinit.drive_of({"ide2": value}) == expected


@pytest.mark.parametrize(("ipconfig", "expected"), [("ip=10.93.0.11/24,gw=10.93.0.1", "10.93.0.11"), ("ip=dhcp", None), ("", None), ("ip6=auto", None)])
def test_static_address(ipconfig: str, expected: str | None) -> None:
    assert cloudinit.static_address({"ipconfig0": ipconfig}, "10.93.0.0/24") == expected


def test_address_of_another_network_is_refused() -> None:
    with pytest.raises(ValueError, match="not in the network"):
        cloudinit.static_address({"ipconfig0": "ip=192.168.1.5/24"}, "10.93.0.0/24")


def test_password_is_hashed_once() -> None:
    hashed = cloudinit.hash_password("secret")
    assert hashed.startswith("$5$") and cloudinit.hash_password(hashed) == hashed


def test_network_data_names_address_and_gateway() -> None:
    data = yaml.safe_load(cloudinit.network_config({**CONFIG, "nameserver": "1.1.1.1 9.9.9.9"}))
    assert data["config"][0]["subnets"] == [{"type": "static", "address": "10.93.0.11", "netmask": "255.255.255.0", "gateway": "10.93.0.1"}]
    assert data["config"][1]["address"] == ["1.1.1.1", "9.9.9.9"]
