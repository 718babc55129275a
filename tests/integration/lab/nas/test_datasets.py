"""``pool.dataset`` and ``pool`` on real ZFS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from lab.nas.server.client import Client, RemoteError

from .conftest import POOL, Pair

pytestmark = pytest.mark.lab
GIB = 1024**3


@pytest.fixture(scope="module")
def api(pair: Pair) -> Iterator[Client]:
    with pair.client() as client:
        client.job("pool.create", [POOL])
        yield client


def _refused(api: Client, method: str, *params: Any) -> str:
    with pytest.raises(RemoteError) as caught:
        api.call(method, list(params))
    return str(caught.value)


def test_pool_create_refuses_bad_disks(api: Client) -> None:
    def attempt(**changes: Any) -> str:
        with pytest.raises(RemoteError) as caught:
            api.job("pool.create", [{"name": "other", "topology": {"data": [{"type": "MIRROR", "disks": ["sdc", "sdd"]}]}, **changes}])
        return str(caught.value)

    assert "already in use: sda" in attempt(topology={"data": [{"type": "STRIPE", "disks": ["sda"]}]})
    assert "were not found in system: sdz" in attempt(topology={"data": [{"type": "STRIPE", "disks": ["sdz"]}]})
    assert "at least 2 disk(s)" in attempt(topology={"data": [{"type": "MIRROR", "disks": ["sdc"]}]})
    assert "A pool with this name already exists" in attempt(name="tank")


def test_pool_tells_its_disks_and_space(api: Client) -> None:
    pool = api.call("pool.query", [[], {"get": True}])
    assert [disk["device"] for disk in pool["topology"]["data"][0]["children"]] == ["sda", "sdb"]
    assert pool["healthy"] and pool["size"] > 3 * GIB and pool["path"] == "/mnt/tank"
    disks = api.call("disk.query", [[], {"extra": {"pools": True}}])
    assert {disk["name"]: disk["pool"] for disk in disks} == {"sda": "tank", "sdb": "tank", "sdc": None, "sdd": None}
    assert [disk["name"] for disk in api.call("disk.details")["unused"]] == ["sdc", "sdd"]


def test_scrub_is_a_job_that_ends(api: Client) -> None:
    pool = api.call("pool.query", [[], {"get": True}])
    api.job("pool.scrub", [pool["id"]])
    assert api.call("pool.get_instance", [pool["id"]])["scan"]["state"] == "FINISHED"


def test_inherit_and_user_properties(api: Client) -> None:
    api.call("pool.dataset.create", [{"name": "tank/p", "compression": "GZIP", "user_properties": [{"key": "org.x:a", "value": "1"}]}])
    child = api.call("pool.dataset.create", [{"name": "tank/p/c", "recordsize": "1M", "readonly": "ON"}])
    assert child["compression"] == {"parsed": "gzip", "rawvalue": "gzip", "value": "GZIP", "source": "INHERITED", "source_info": "tank/p"}
    assert child["recordsize"]["value"] == "1M" and child["readonly"]["parsed"] is True and child["readonly"]["source"] == "LOCAL"
    assert child["user_properties"]["org.x:a"]["source"] == "LOCAL", "25.10 says so of inherited ones, too"
    changed = api.call("pool.dataset.update", ["tank/p/c", {
        "readonly": "INHERIT", "recordsize": "INHERIT", "quota": 2 * GIB, "user_properties_update": [{"key": "org.x:b", "value": "2"}]}])
    assert changed["readonly"]["source"] == "DEFAULT" and changed["recordsize"]["value"] == "128K" and changed["quota"]["parsed"] == 2 * GIB
    changed = api.call("pool.dataset.update", ["tank/p/c", {"quota": None, "user_properties_update": [{"key": "org.x:b", "remove": True}]}])
    assert changed["quota"]["parsed"] is None and "org.x:b" not in changed["user_properties"]


def test_rules_of_the_plugin(api: Client) -> None:
    assert "aclmode: Must be set to DISCARD" in _refused(api, "pool.dataset.create", {"name": "tank/x", "acltype": "POSIX", "aclmode": "PASSTHROUGH"})
    assert "invalid recordsize" in _refused(api, "pool.dataset.create", {"name": "tank/x", "recordsize": "3K"})
    assert "[EINVAL] data.quota: " in _refused(api, "pool.dataset.create", {"name": "tank/x", "quota": 5})
    assert "data.name: Please provide a valid dataset name" in _refused(api, "pool.dataset.create", {"name": "tank/x@y"})
    assert "Parent dataset tank/no does not exist" in _refused(api, "pool.dataset.create", {"name": "tank/no/x"})
    assert "multiple of volume block size" in _refused(api, "pool.dataset.create", {"name": "tank/x", "type": "VOLUME", "volsize": 1000})
    assert "80%" in _refused(api, "pool.dataset.create", {"name": "tank/x", "type": "VOLUME", "volsize": 4 * GIB})
    api.call("pool.dataset.create", [{"name": "tank/ro", "readonly": "ON"}])
    assert "Turn off readonly mode" in _refused(api, "pool.dataset.create", {"name": "tank/ro/x"})
    assert "[ENOENT] ALL: PoolDataset tank/none does not exist" in _refused(api, "pool.dataset.get_instance", "tank/none")


def test_volume_can_grow_and_not_shrink(api: Client) -> None:
    volume = api.call("pool.dataset.create", [{"name": "tank/vol", "type": "VOLUME", "volsize": GIB // 4, "sparse": True}])
    assert volume["type"] == "VOLUME" and volume["volsize"]["parsed"] == GIB // 4 and volume["mountpoint"] is None and "quota" not in volume
    assert api.call("pool.dataset.update", ["tank/vol", {"volsize": GIB // 2}])["volsize"]["parsed"] == GIB // 2
    assert "cannot shrink" in _refused(api, "pool.dataset.update", "tank/vol", {"volsize": GIB // 4})


def test_delete_takes_attached_tasks_with_it(api: Client) -> None:
    api.call("pool.dataset.create", [{"name": "tank/d/e", "create_ancestors": True}])
    task = api.call("pool.snapshottask.create", [{"dataset": "tank/d/e"}])
    assert api.call("pool.dataset.attachments", ["tank/d"]) == [{"type": "Snapshot Task", "service": None, "attachments": ["tank/d/e"]}]
    assert "[ENOTEMPTY]" in _refused(api, "pool.dataset.delete", "tank/d")
    assert api.call("pool.dataset.delete", ["tank/d", {"recursive": True}]) is True
    assert api.call("pool.dataset.query", [[["id", "^", "tank/d"]]]) == []
    assert api.call("pool.snapshottask.query", [[["id", "=", task["id"]]]]) == []


def test_delete_of_a_busy_dataset_loses_nothing(api: Client, pair: Pair) -> None:
    api.call("pool.dataset.create", [{"name": "tank/busy"}])
    api.call("pool.snapshot.create", [{"dataset": "tank/busy", "name": "keep"}])
    with open(pair.mount("primary", "tank/busy/open"), "wb") as stream:
        stream.write(b"x")
        assert "[EBUSY]" in _refused(api, "pool.dataset.delete", "tank/busy", {"recursive": True})
        assert api.call("pool.snapshot.query", [[["dataset", "=", "tank/busy"]], {"count": True}]) == 1
    assert pair.mount("primary", "tank/busy/open").exists()
    assert "[ENOTEMPTY]" in _refused(api, "pool.dataset.delete", "tank/busy")
    assert api.call("pool.dataset.delete", ["tank/busy", {"recursive": True}]) is True


def test_quota_is_enforced(api: Client, pair: Pair) -> None:
    api.call("pool.dataset.create", [{"name": "tank/small", "quota": GIB, "compression": "OFF"}])
    api.call("pool.dataset.update", ["tank/small", {"reservation": GIB // 8}])
    file = pair.mount("primary", "tank/small/big")
    with pytest.raises(OSError, match="(?i)quota|space"), open(file, "wb") as stream:
        for _unused in range(70):
            stream.write(os.urandom(1024) * 16384)
            stream.flush()
            os.fsync(stream.fileno())
    file.unlink()


def test_query_language_on_real_answers(api: Client) -> None:
    names = api.call("pool.dataset.query", [[["OR", [["id", "=", "tank"], [["id", "^", "tank/p"], ["readonly.parsed", "=", False]]]]],
                                            {"select": ["id", ["compression.value", "c"]], "order_by": ["-id"]}])
    assert [one["id"] for one in names] == ["tank/p/c", "tank/p", "tank"] and names[0]["c"] == "GZIP"
    assert api.call("pool.dataset.query", [[["id", "=", "tank/p"]], {"count": True}]) == 1
    assert "Object not found" in _refused(api, "pool.dataset.query", [["id", "=", "nope"]], {"get": True})


def test_statfs_and_stat_stay_inside_the_nas(api: Client) -> None:
    assert api.call("filesystem.statfs", ["/mnt/tank/p"])["source"] == "tank/p"
    assert api.call("filesystem.stat", ["/mnt/tank"])["is_mountpoint"] is True
    assert "not permitted" in _refused(api, "filesystem.stat", "/etc/passwd")
    assert "[ENOENT]" in _refused(api, "filesystem.stat", "/mnt/tank/none")


def test_export_and_import_bring_tasks_back(api: Client) -> None:
    task = api.call("pool.snapshottask.create", [{"dataset": "tank/p"}])
    pool = api.call("pool.query", [[], {"get": True}])
    api.job("pool.export", [pool["id"]])
    assert api.call("pool.snapshottask.get_instance", [task["id"]])["enabled"] is False
    found = api.job("pool.import_find", [])
    assert [(one["name"], one["guid"]) for one in found] == [("tank", pool["guid"])]
    assert api.job("pool.import_pool", [{"guid": pool["guid"], "enable_attachments": True}]) is True
    assert api.call("pool.snapshottask.get_instance", [task["id"]])["enabled"] is True
    assert api.call("pool.dataset.get_instance", ["tank/p"])["mountpoint"] == "/mnt/tank/p"
