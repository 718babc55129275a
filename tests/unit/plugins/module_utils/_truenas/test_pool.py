from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import pool
from helpers import truenas
from helpers.truenas import Server, Step

MIRROR = {"data": [{"type": "MIRROR", "disks": ["sda", "sdb"], "draid_data_disks": None}], "log": None, "spares": []}
FREE = {"sda": "", "sdb": "", "sdc": ""}


def present(current: t.Any = None, disks: dict[str, str] | None = None, **params: t.Any) -> pool.Plan:
    return pool.plan_present({"name": "tank", "topology": MIRROR, **params}, current, FREE if disks is None else disks)


def test_missing_pool_is_made_of_the_declared_disks() -> None:
    made = present(checksum="SHA256")
    assert made.calls[0].job
    assert (made.calls[0].method, made.calls[0].params) == (
        "pool.create",
        ({"name": "tank", "topology": {"data": [{"type": "MIRROR", "disks": ["sda", "sdb"]}]}, "checksum": "SHA256"},),
    )
    assert made.diff.before == {"tank.state": "absent"}
    assert made.diff.after["tank.checksum"] == "SHA256"


def test_pool_that_exists_is_adopted_whatever_it_is_made_of() -> None:
    current = pool.from_api(truenas.pool("tank", "sdx", "sdy"))
    made = present(current)
    assert not made.changed
    assert made.predicted == [current]


@pytest.mark.parametrize(
    ("topology", "reason"),
    [
        (None, "topology.data must name"),
        ({"data": [{"type": "MIRROR", "disks": ["sda"]}]}, "MIRROR needs at least 2"),
        ({"data": [{"type": "MIRROR", "disks": ["sda", "sda"]}]}, "named twice: sda"),
        ({"data": [{"type": "STRIPE", "disks": ["sda"]}, {"type": "MIRROR", "disks": ["sdb", "sdc"]}]}, "must be of one type"),
        ({"data": [{"type": "STRIPE", "disks": ["sda"]}], "log": [{"type": "STRIPE", "disks": ["sdb"]}] * 2}, "one entry only"),
        ({"data": [{"type": "STRIPE", "disks": ["sdz"]}]}, r"no disk sdz \(there are sda, sdb, sdc\)"),
        ({"data": [{"type": "STRIPE", "disks": ["sda"]}], "spares": ["sdz"]}, "no disk sdz"),
    ],
)
def test_bad_topology_is_refused(topology: t.Any, reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        present(topology=topology)


@pytest.mark.parametrize("name", ["mirror1", "1tank", "ta nk", "boot-pool", "x" * 51])
def test_bad_name_is_refused(name: str) -> None:
    with pytest.raises(Refused, match="not a name"):
        present(name=name)


def test_disk_of_another_pool_is_refused_even_with_confirmation() -> None:
    with pytest.raises(Refused, match="disk sda is in use by pool other"):
        present(disks={**FREE, "sda": "pool other"}, confirm="tank")


def test_disk_with_the_remains_of_a_pool_needs_the_name_twice() -> None:
    disks = {**FREE, "sda": "exported pool tank"}
    with pytest.raises(Refused, match="would be overwritten"):
        present(disks=disks)
    assert present(disks=disks, confirm="tank").calls[0].method == "pool.create"


def test_pool_whose_disks_are_gone_is_only_replaced_when_confirmed() -> None:
    current = pool.from_api(truenas.pool("tank", status="OFFLINE"))
    with pytest.raises(Refused, match="set confirm: tank"):
        present(current)
    made = present(current, confirm="tank")
    assert [call.method for call in made.calls] == ["pool.export", "pool.create"]
    assert made.calls[0].params == (1, {"cascade": False, "destroy": False})


@pytest.mark.parametrize("confirm", [None, "", "Tank", "other"])
def test_destroying_needs_the_name_twice(confirm: str | None) -> None:
    current = pool.from_api(truenas.pool("tank", "sda", "sdb"))
    with pytest.raises(Refused, match="Will not destroy pool tank"):
        pool.plan_absent({"name": "tank", "confirm": confirm}, current, {"datasets": 3, "attachments": {}})


def test_destroying_what_is_in_use_needs_cascade() -> None:
    current = pool.from_api(truenas.pool("tank", "sda", "sdb"))
    contents = {"datasets": 3, "attachments": {"Replication": ["apps"]}}
    with pytest.raises(Refused, match="in use by Replication: apps"):
        pool.plan_absent({"name": "tank", "confirm": "tank"}, current, contents)
    made = pool.plan_absent({"name": "tank", "confirm": "tank", "cascade": True, "restart_services": True}, current, contents)
    assert made.calls[0].params == (1, {"cascade": True, "restart_services": True, "destroy": True})
    assert made.diff.before["tank.datasets"] == 3


def test_destroying_what_is_not_there_is_nothing() -> None:
    assert not pool.plan_absent({"name": "tank"}, None, {}).changed


def test_topology_of_the_server_reads_like_a_declaration() -> None:
    shown = {
        "data": [{"type": "DISK", "disk": "sdb", "children": []}, {"type": "DISK", "disk": "sda", "children": []}],
        "special": [{"type": "MIRROR", "name": "mirror-1", "children": [{"type": "DISK", "disk": "sdd"}, {"type": "DISK", "disk": "sdc"}]}],
        "cache": [],
        "log": [{"type": "DISK", "disk": None, "unavail_disk": None, "path": "/dev/gone", "children": []}],
        "dedup": [{"type": "RAIDZ", "name": "raidz2-0", "children": [{"disk": "sde"}]}, {"type": "DRAID", "name": "draid1:1d:2c:0s-0", "children": []}],
        "spare": [{"type": "DISK", "disk": "sdf", "children": []}],
    }
    found = pool.topology_from_api(shown)
    assert found["data"] == [{"type": "STRIPE", "disks": ["sda", "sdb"]}]
    assert found["special"] == [{"type": "MIRROR", "disks": ["sdc", "sdd"]}]
    assert found["log"] == [{"type": "STRIPE", "disks": ["/dev/gone"]}]
    assert [vdev["type"] for vdev in found["dedup"]] == ["RAIDZ2", "DRAID1"]
    assert found["spares"] == ["sdf"]
    assert pool.topology_from_api(None) == {}


def test_topologies_compare_without_order() -> None:
    shown = {"data": [{"type": "MIRROR", "disks": ["sdb", "sda"]}]}
    assert pool.same_topology(pool.wanted_topology(MIRROR), shown)
    assert pool.same_topology({}, shown)
    assert not pool.same_topology({"data": [{"type": "STRIPE", "disks": ["sda"]}]}, shown)


def test_declared_spares_are_kept() -> None:
    assert pool.wanted_topology({"spares": ["sdc"]}) == {"spares": ["sdc"]}


def test_disks_say_what_uses_them() -> None:
    used = [{"name": "sda", "imported_zpool": "tank", "exported_zpool": None}, {"name": "sdb", "imported_zpool": None, "exported_zpool": "old"}]
    unused = [{"name": "sdc", "imported_zpool": None, "exported_zpool": None}]
    server = Server(Step("disk.details", [{"type": "BOTH"}], {"used": used, "unused": unused}))
    assert pool.disks(server.client()) == {"sda": "pool tank", "sdb": "exported pool old", "sdc": ""}


def test_contents_count_datasets_and_name_attachments() -> None:
    server = Server(
        Step("pool.dataset.query", [[["id", "^", "tank/"]], {"count": True}], 4),
        Step("pool.attachments", [1], [{"type": "NFS Share", "service": "nfs", "attachments": ["b", "a"]}]),
    )
    assert pool.contents_of(server.client(), pool.from_api(truenas.pool("tank"))) == {"datasets": 4, "attachments": {"NFS Share": ["a", "b"]}}
