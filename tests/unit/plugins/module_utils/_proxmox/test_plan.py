"""One guest's plan by tables: what it is, what is wanted, and the smallest write between them."""

from __future__ import annotations

import typing as t

import pytest
from helpers.proxmox import TEMPLATE_CONFIG

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import desired_guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import clone_storage, plan_config, project_clone

HAS: dict[str, str] = {
    "agent": "enabled=1,fstrim_cloned_disks=1",
    "ciuser": "platform",
    "cores": "2",
    "cpu": "host,flags=+aes",
    "description": "two words\n",
    "ide2": "local-lvm:vm-100-cloudinit,media=cdrom,size=4M",
    "ipconfig0": "ip=192.0.2.10/24,gw=192.0.2.1",
    "memory": "2048",
    "meta": "creation-qemu=10.0.2,ctime=1763000000",
    "nameserver": "192.0.2.53 192.0.2.54",
    "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=10",
    "onboot": "1",
    "scsi0": "local-lvm:vm-100-disk-0,discard=on,size=8G",
    "scsihw": "virtio-scsi-pci",
    "smbios1": "uuid=0c4b1d3e-0000-0000-0000-000000000000",
    "sshkeys": "ssh-ed25519%20AAAA%20a%0Assh-ed25519%20BBBB%20b%0A",
    "startup": "order=2,up=30",
    "tags": "platform;vault",
    "vmgenid": "11111111-0000-0000-0000-000000000000",
}

SAME: list[dict[str, t.Any]] = [
    {"cores": 2, "memory": 2048, "onboot": True, "sockets": 1},
    {"agent": True},
    {"cpu": "host,flags=+aes"},
    {"cpu": "cputype=host,flags=+aes"},
    {"description": "two words"},
    {"tags": ["Vault", "platform"]},
    {"disks": {"scsi0": {"storage": "local-lvm", "size_gib": 8, "discard": True, "ssd": False, "backup": True}}},
    {"disks": {"scsi0": {"format": "raw"}}},
    {"networks": {"net0": {"model": "virtio", "bridge": "vmbr0"}}},
    {"networks": {"net0": {"mac": "bc:24:11:00:00:01", "tag": 10, "firewall": True, "link_down": False}}},
    {"cloud_init": {"user": "platform", "ssh_keys": ["ssh-ed25519 BBBB b\n", "ssh-ed25519 AAAA a"]}},
    {"cloud_init": {"ipconfig": {"0": {"gw": "192.0.2.1", "ip": "192.0.2.10/24"}}, "nameservers": ["192.0.2.53", "192.0.2.54"]}},
    {"options": {"scsihw": "virtio-scsi-pci", "startup": "up=30,order=2", "protection": None}},
    {},
]

CHANGES: list[tuple[dict[str, t.Any], dict[str, str], list[str]]] = [
    ({"memory": 4096}, {"memory": "4096"}, []),
    ({"cores": 1}, {"cores": "1"}, []),
    ({"sockets": 2}, {"sockets": "2"}, []),
    ({"onboot": False}, {"onboot": "0"}, []),
    ({"agent": False}, {"agent": "0,fstrim_cloned_disks=1"}, []),
    ({"description": ""}, {}, ["description"]),
    ({"description": "new"}, {"description": "new"}, []),
    ({"tags": []}, {}, ["tags"]),
    ({"tags": ["vault"]}, {"tags": "vault"}, []),
    ({"networks": {"net0": {"tag": 20}}}, {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=20"}, []),
    ({"networks": {"net0": {"tag": 0, "firewall": False}}}, {"net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"}, []),
    ({"networks": {"net0": {"model": "e1000"}}}, {"net0": "e1000=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=10"}, []),
    ({"networks": {"net1": {"bridge": "vmbr1"}}}, {"net1": "virtio,bridge=vmbr1"}, []),
    ({"networks": {"net1": {"bridge": "vmbr1", "mac": "bc:24:11:00:00:02"}}}, {"net1": "virtio=BC:24:11:00:00:02,bridge=vmbr1"}, []),
    ({"disks": {"scsi0": {"ssd": True}}}, {"scsi0": "local-lvm:vm-100-disk-0,discard=on,size=8G,ssd=1"}, []),
    ({"disks": {"scsi0": {"discard": False}}}, {"scsi0": "local-lvm:vm-100-disk-0,discard=ignore,size=8G"}, []),
    ({"disks": {"scsi1": {"storage": "local-lvm", "size_gib": 5, "iothread": True}}}, {"scsi1": "local-lvm:5,iothread=1"}, []),
    ({"disks": {"scsi1": {"storage": "local-lvm", "import_from": "local:import/a.qcow2"}}}, {"scsi1": "local-lvm:0,import-from=local:import/a.qcow2"}, []),
    ({"cloud_init": {"ssh_keys": []}}, {}, ["sshkeys"]),
    ({"cloud_init": {"ssh_keys": ["ssh-ed25519 AAAA a"]}}, {"sshkeys": "ssh-ed25519%20AAAA%20a"}, []),
    ({"cloud_init": {"ipconfig": {0: {"ip": "dhcp"}}}}, {"ipconfig0": "ip=dhcp"}, []),
    ({"cloud_init": {"search_domain": "a.example b.example"}}, {"searchdomain": "a.example b.example"}, []),
    ({"options": {"startup": "order=3", "protection": True}}, {"startup": "order=3", "protection": "1"}, []),
]


@pytest.mark.parametrize("options", SAME)
def test_guest_as_declared_needs_nothing(options: dict[str, t.Any]) -> None:
    plan = plan_config(desired_guest({"name": "web-1", **options}), HAS)
    assert (plan.set, plan.delete, plan.resizes, plan.changes) == ({}, [], [], [])


@pytest.mark.parametrize(("options", "written", "deleted"), CHANGES)
def test_only_what_differs_is_written(options: dict[str, t.Any], written: dict[str, str], deleted: list[str]) -> None:
    plan = plan_config(desired_guest({"name": "web-1", **options}), HAS)
    assert (plan.set, plan.delete) == (written, deleted)
    assert {key for key, _before, _after in plan.changes} == {*written, *deleted}


@pytest.mark.parametrize(("options", "written", "deleted"), CHANGES)
def test_writing_once_is_enough(options: dict[str, t.Any], written: dict[str, str], deleted: list[str]) -> None:
    """What the server then holds (its own spelling of new volumes and addresses) is what was declared."""
    after = {key: value for key, value in {**HAS, **written}.items() if key not in deleted}
    if after.get("net1") == "virtio,bridge=vmbr1":
        after["net1"] = "virtio=BC:24:11:99:99:99,bridge=vmbr1"
    if "scsi1" in written:
        after["scsi1"] = "local-lvm:vm-100-disk-1,iothread=1,size=5G" if "import" not in written["scsi1"] else "local-lvm:vm-100-disk-1,size=3G"
    plan = plan_config(desired_guest({"name": "web-1", **options}), after)
    assert not plan.writes and not plan.resizes


def test_disk_grows_by_a_request_of_its_own() -> None:
    plan = plan_config(desired_guest({"name": "a", "disks": {"scsi0": {"size_gib": 20}}}), HAS)
    assert not plan.writes
    assert [(one.disk, one.before, one.after) for one in plan.resizes] == [("scsi0", 8 * 2**30, 20 * 2**30)]
    assert plan.changes == [("scsi0.size", "8G", "20G")]


def test_disk_of_unknown_size_is_grown_because_the_server_never_shrinks() -> None:
    plan = plan_config(desired_guest({"name": "a", "disks": {"scsi0": {"size_gib": 20}}}), {"scsi0": "local-lvm:vm-1-disk-0"})
    assert plan.changes == [("scsi0.size", None, "20G")]


@pytest.mark.parametrize(
    ("disk", "message"),
    [
        ({"size_gib": 4}, "has 8G and cannot be made smaller"),
        ({"storage": "ceph"}, "lies on storage local-lvm, not on ceph"),
    ],
)
def test_shrinking_and_moving_are_refused(disk: dict[str, t.Any], message: str) -> None:
    with pytest.raises(Refused, match=message):
        plan_config(desired_guest({"name": "a", "disks": {"scsi0": disk}}), HAS)


def test_new_disk_without_size_or_storage_is_refused() -> None:
    with pytest.raises(Refused, match="storage and size_gib are needed"):
        plan_config(desired_guest({"name": "a", "disks": {"scsi1": {"size_gib": 4}}}), HAS)


def test_diff_shows_placeholders_for_what_the_server_makes() -> None:
    options = {"name": "a", "disks": {"scsi1": {"storage": "s", "size_gib": 5}}, "networks": {"net1": {"bridge": "b"}}}
    plan = plan_config(desired_guest(options), HAS)
    assert plan.changes == [("net1", None, "virtio=(generated),bridge=b"), ("scsi1", None, "s:(generated),size=5G")]


def test_diff_shows_ssh_keys_decoded() -> None:
    plan = plan_config(desired_guest({"name": "a", "cloud_init": {"ssh_keys": ["ssh-ed25519 CCCC c"]}}), HAS)
    assert plan.changes == [("sshkeys", ["ssh-ed25519 AAAA a", "ssh-ed25519 BBBB b"], ["ssh-ed25519 CCCC c"])]


@pytest.mark.parametrize(
    ("values", "cloud_init", "expected"),
    [
        ({"scsi0": "ceph:vm-1-disk-0,size=8G"}, {"user": "x"}, ("ide2", "ceph:cloudinit")),
        ({"scsi0": "ceph:vm-1-disk-0,size=8G", "ide2": "none,media=cdrom"}, {"user": "x"}, ("ide0", "ceph:cloudinit")),
        ({"scsi0": "ceph:vm-1-disk-0,size=8G"}, {"user": "x", "storage": "nfs"}, ("ide2", "nfs:cloudinit")),
    ],
)
def test_guest_without_cloud_init_drive_gets_one(values: dict[str, str], cloud_init: dict[str, t.Any], expected: tuple[str, str]) -> None:
    plan = plan_config(desired_guest({"name": "a", "cloud_init": cloud_init}), values)
    assert plan.set[expected[0]] == expected[1]


@pytest.mark.parametrize(
    ("values", "message"),
    [({}, "no disk that says where"), ({f"ide{n}": "none,media=cdrom" for n in range(4)} | {"scsi30": "a:b", "scsi0": "a:c"}, "no free slot")],
)
def test_cloud_init_drive_that_has_no_place_is_refused(values: dict[str, str], message: str) -> None:
    with pytest.raises(Refused, match=message):
        plan_config(desired_guest({"name": "a", "cloud_init": {"user": "x"}}), values)


def test_clone_is_projected_without_what_is_not_cloned() -> None:
    projected = project_clone({**TEMPLATE_CONFIG, "unused0": "local-lvm:vm-1-disk-9"}, None)
    assert not {"template", "vmgenid", "meta", "unused0"} & set(projected)
    assert projected["net0"] == "virtio,bridge=vmbr0"
    assert projected["scsi0"] == TEMPLATE_CONFIG["scsi0"]


def test_full_clone_to_another_storage() -> None:
    wanted = desired_guest({"name": "a", "disks": {"scsi0": {"storage": "ceph", "size_gib": 8}}})
    assert clone_storage(wanted, TEMPLATE_CONFIG, True) == "ceph"
    projected = project_clone(TEMPLATE_CONFIG, "ceph")
    assert projected["scsi0"].startswith("ceph:") and projected["ide2"].startswith("local-lvm:")
    assert not plan_config(wanted, projected).changes


def test_linked_clone_to_another_storage_is_refused() -> None:
    with pytest.raises(Refused, match="stays on its template's storage"):
        clone_storage(desired_guest({"name": "a", "disks": {"scsi0": {"storage": "ceph"}}}), TEMPLATE_CONFIG, False)


def test_full_clone_to_two_storages_is_refused() -> None:
    values = {**TEMPLATE_CONFIG, "scsi1": "local-lvm:base-9000-disk-1,size=1G"}
    with pytest.raises(Refused, match="all its disks on one storage"):
        clone_storage(desired_guest({"name": "a", "disks": {"scsi0": {"storage": "ceph"}}}), values, True)


def test_clone_on_the_templates_storage_needs_none() -> None:
    assert clone_storage(desired_guest({"name": "a", "disks": {"scsi0": {"storage": "local-lvm"}}}), TEMPLATE_CONFIG, False) is None
