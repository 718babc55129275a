"""``pool.snapshot`` and ``pool.snapshottask`` on real ZFS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.nas.server.client import Client, RemoteError

from .conftest import POOL, Pair

pytestmark = pytest.mark.lab


@pytest.fixture(scope="module")
def api(pair: Pair) -> Iterator[Client]:
    with pair.client() as client:
        client.job("pool.create", [POOL])
        yield client


def _refused(api: Client, method: str, *params: Any) -> str:
    with pytest.raises(RemoteError) as caught:
        api.call(method, list(params))
    return str(caught.value)


def _names(api: Client, dataset: str) -> list[str]:
    return [one["snapshot_name"] for one in api.call("pool.snapshot.query", [[["dataset", "=", dataset]]])]


def _wait(api: Client, task: int) -> dict[str, Any]:
    """Wait for a snapshot task's run to end; ``run`` itself says nothing."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        state: dict[str, Any] = api.call("pool.snapshottask.get_instance", [task])["state"]
        if state["state"] in ("FINISHED", "ERROR"):
            return state
        time.sleep(0.1)
    raise AssertionError("the task did not end")


def test_create_recursive_with_properties(api: Client) -> None:
    api.call("pool.dataset.create", [{"name": "tank/r/a", "create_ancestors": True}])
    api.call("pool.dataset.create", [{"name": "tank/r/b"}])
    made = api.call("pool.snapshot.create", [{"dataset": "tank/r", "name": "s1", "recursive": True, "properties": {"org.x:why": "test"}}])
    assert made["properties"]["org.x:why"]["value"] == "test" and made["snapshot_name"] == "s1" and made["createtxg"].isdigit()
    api.call("pool.snapshot.create", [{"dataset": "tank/r", "name": "s2", "recursive": True, "exclude": ["tank/r/b"]}])
    assert _names(api, "tank/r/a") == ["s1", "s2"] and _names(api, "tank/r/b") == ["s1"]
    assert "[EEXIST]" in _refused(api, "pool.snapshot.create", {"dataset": "tank/r", "name": "s1"})
    assert "[ENOENT]" in _refused(api, "pool.snapshot.create", {"dataset": "tank/none", "name": "s1"})
    api.call("pool.snapshot.delete", ["tank/r@s1", {"recursive": True}])
    assert _names(api, "tank/r/b") == []


def test_hold_protects_until_released(api: Client) -> None:
    api.call("pool.dataset.create", [{"name": "tank/h"}])
    api.call("pool.snapshot.create", [{"dataset": "tank/h", "name": "s"}])
    api.call("pool.snapshot.hold", ["tank/h@s"])
    found = api.call("pool.snapshot.query", [[["id", "=", "tank/h@s"]], {"get": True, "extra": {"holds": True}}])
    assert found["holds"] == {"truenas": 1}
    assert "[EBUSY]" in _refused(api, "pool.snapshot.delete", "tank/h@s")
    api.call("pool.snapshot.release", ["tank/h@s"])
    assert api.call("pool.snapshot.delete", ["tank/h@s"]) is True
    assert "[ENOENT]" in _refused(api, "pool.snapshot.delete", "tank/h@s")


def test_clone_and_deferred_delete(api: Client, pair: Pair) -> None:
    api.call("pool.dataset.create", [{"name": "tank/c"}])
    pair.mount("primary", "tank/c/file").write_text("old")
    api.call("pool.snapshot.create", [{"dataset": "tank/c", "name": "s"}])
    pair.mount("primary", "tank/c/file").write_text("new")
    assert api.call("pool.snapshot.clone", [{"snapshot": "tank/c@s", "dataset_dst": "tank/c2", "dataset_properties": {"readonly": "on"}}]) is True
    assert pair.mount("primary", "tank/c2/file").read_text() == "old"
    assert "options.defer: Please set this attribute" in _refused(api, "pool.snapshot.delete", "tank/c@s")
    assert api.call("pool.snapshot.delete", ["tank/c@s", {"defer": True}]) is True
    api.call("pool.dataset.delete", ["tank/c2"])
    assert _names(api, "tank/c") == []


def test_rollback_needs_recursive_when_there_are_later_ones(api: Client, pair: Pair) -> None:
    api.call("pool.dataset.create", [{"name": "tank/b"}])
    file = pair.mount("primary", "tank/b/file")
    for text in ("1", "2"):
        file.write_text(text)
        api.call("pool.snapshot.create", [{"dataset": "tank/b", "name": f"s{text}"}])
    assert "Failed to rollback" in _refused(api, "pool.snapshot.rollback", "tank/b@s1")
    api.call("pool.snapshot.rollback", ["tank/b@s1", {"recursive": True}])
    assert file.read_text() == "1" and _names(api, "tank/b") == ["s1"]


def test_task_run_and_retention_by_name(api: Client) -> None:
    api.call("pool.dataset.create", [{"name": "tank/t"}])
    for name in ("auto-2020-01-01_00-00", "auto-2020-01-02_00-00", "auto-2020-01-02_00-30", "manual"):
        api.call("pool.snapshot.create", [{"dataset": "tank/t", "name": name}])
    task = api.call("pool.snapshottask.create", [{"dataset": "tank/t", "naming_schema": "auto-%Y-%m-%d_%H-%M", "lifetime_value": 10, "lifetime_unit": "YEAR"}])
    preview = api.call("pool.snapshottask.update_will_change_retention_for", [task["id"], {"lifetime_unit": "DAY"}])
    assert preview == {"tank/t": ["auto-2020-01-01_00-00", "auto-2020-01-02_00-00"]}, "00-30 does not match the schedule, manual not the schema"
    assert api.call("pool.snapshottask.delete_will_change_retention_for", [task["id"]]) == preview
    api.call("pool.snapshottask.update", [task["id"], {"lifetime_unit": "DAY"}])
    api.call("pool.snapshottask.run", [task["id"]])
    state = _wait(api, task["id"])
    assert state["state"] == "FINISHED" and state["last_snapshot"].startswith("tank/t@auto-")
    assert _names(api, "tank/t")[:2] == ["auto-2020-01-02_00-30", "manual"] and len(_names(api, "tank/t")) == 3


def test_fixated_dates_outlive_the_task(api: Client) -> None:
    api.call("pool.dataset.create", [{"name": "tank/f"}])
    for name in ("auto-2030-01-01_00-00", "auto-2030-02-01_00-00"):
        api.call("pool.snapshot.create", [{"dataset": "tank/f", "name": name}])
    task = api.call("pool.snapshottask.create", [{"dataset": "tank/f"}])
    found = api.call("pool.snapshot.query", [[["id", "=", "tank/f@auto-2030-01-01_00-00"]], {"get": True, "extra": {"retention": True}}])
    assert found["retention"]["source"] == "periodic_snapshot_task" and found["retention"]["periodic_snapshot_task_id"] == task["id"]
    api.call("pool.snapshottask.delete", [task["id"], {"fixate_removal_date": True}])
    found = api.call("pool.snapshot.query", [[["id", "=", "tank/f@auto-2030-01-01_00-00"]], {"get": True, "extra": {"retention": True}}])
    assert found["retention"]["source"] == "property"


def test_task_refuses_what_makes_no_sense(api: Client) -> None:
    assert "data.naming_schema: %H must be present" in _refused(api, "pool.snapshottask.create", {"dataset": "tank", "naming_schema": "daily-%Y-%m-%d"})
    assert "exclude" in _refused(api, "pool.snapshottask.create", {"dataset": "tank", "exclude": ["tank/a"]})
    assert "not found" in _refused(api, "pool.snapshottask.create", {"dataset": "tank/none"})
    assert "Please ensure fields match cron syntax" in _refused(api, "pool.snapshottask.create", {"dataset": "tank", "schedule": {"hour": "25"}})
    assert "Extra inputs are not permitted" in _refused(api, "pool.snapshottask.create", {"dataset": "tank", "retention_count": 3})


def test_select_knows_whole_fields_only(api: Client) -> None:
    """truenas/middleware plugins/zfs_/snapshot.py (25.10), plugins/pool_/snapshot.py (26): a path in select selects nothing."""
    api.call("pool.dataset.create", [{"name": "tank/select"}])
    api.call("pool.snapshot.create", [{"dataset": "tank/select", "name": "one"}])
    options = {"select": ["id", "properties.guid.rawvalue", "properties"], "extra": {"properties": ["guid"]}}
    found = api.call("pool.snapshot.query", [[["dataset", "in", ["tank/select", "tank/none"]]], options])
    assert [list(one) for one in found] == [["id", "properties"]] and list(found[0]["properties"]) == ["guid"]
