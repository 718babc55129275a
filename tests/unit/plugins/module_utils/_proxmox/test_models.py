"""Answers as data; the shapes are those of the API viewer."""

from __future__ import annotations

from helpers.proxmox import ISO_STORAGE, NODE, NODE2, STORAGE, guest, pending

from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, GuestConfig


def test_cluster_is_sorted_by_type_and_unknown_types_are_left_out() -> None:
    lines = [NODE, NODE2, STORAGE, ISO_STORAGE, guest(100, "a", tags="B;a", pool="p", lock="backup"), guest(101, "", type="lxc"), {"type": "sdn"}]
    cluster = Cluster.from_api(lines)
    assert cluster.nodes == {"pve1": True, "pve2": False}
    assert [one.name for one in cluster.storages] == ["local-lvm", "local"]
    first = cluster.by_vmid(100)
    assert first and first.tags == {"a", "b"} and first.pool == "p" and first.lock == "backup" and first.path == "nodes/pve1/qemu/100"
    assert cluster.by_vmid(5) is None
    assert [one.vmid for one in cluster.by_name("a")] == [100]
    assert cluster.storage("local", "pve1") and cluster.storage("local", "pve2") is None


def test_pending_values_win_and_are_known() -> None:
    config = GuestConfig.from_pending(pending({"cores": "1", "memory": "512", "onboot": "1"}, memory="1024", onboot=None, tags="x"))
    assert config.values == {"cores": "1", "memory": "1024", "tags": "x"}
    assert config.pending == {"memory": "1024", "onboot": None, "tags": "x"}


def test_digest_is_not_a_key() -> None:
    read = GuestConfig({}, {"memory": "1024", "onboot": None}).with_digest_of({"cores": 2, "memory": "512", "onboot": 1, "digest": "abc"})
    assert read.values == {"cores": "2", "memory": "1024"} and read.digest == "abc"
