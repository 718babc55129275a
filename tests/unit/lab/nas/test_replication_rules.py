"""What a replication task must keep to, and which snapshots a run would send."""

from __future__ import annotations

from typing import Any

import pytest

from lab.nas.server import engine
from lab.nas.server.engine import Run, newest_common
from lab.nas.server.errors import ValidationErrors
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.replication_crud import check, create, show
from lab.nas.server.replication_models import CreateArgs
from lab.nas.server.schema import parse
from lab.nas.server.zfs import Snapshot

from .conftest import FakeZfs

SCHEMA = "auto-%Y-%m-%d_%H-%M"
GOOD = {"name": "r", "direction": "PUSH", "transport": "LOCAL", "source_datasets": ["tank/a"], "target_dataset": "tank/b", "recursive": False, "auto": False,
        "also_include_naming_schema": [SCHEMA], "retention_policy": "NONE"}


def _data(**options: Any) -> dict[str, Any]:
    found: dict[str, Any] = parse(CreateArgs, [{**GOOD, **options}])[0]
    return found


@pytest.mark.parametrize("options, attribute", [
    ({"naming_schema": [SCHEMA]}, "naming_schema"),
    ({"also_include_naming_schema": []}, "periodic_snapshot_tasks"),
    ({"auto": True}, "auto"),
    ({"periodic_snapshot_tasks": [99]}, "periodic_snapshot_tasks.0"),
    ({"direction": "PULL"}, "naming_schema"),
    ({"direction": "PULL", "naming_schema": [SCHEMA], "hold_pending_snapshots": True, "also_include_naming_schema": []}, "hold_pending_snapshots"),
    ({"transport": "SSH"}, "ssh_credentials"),
    ({"transport": "SSH", "ssh_credentials": 9}, "ssh_credentials"),
    ({"ssh_credentials": 9}, "ssh_credentials"),
    ({"compression": "LZ4"}, "compression"),
    ({"netcat_active_side": "LOCAL"}, "netcat_active_side"),
    ({"transport": "SSH+NETCAT", "ssh_credentials": 9}, "netcat_active_side"),
    ({"exclude": ["tank/a/x"]}, "exclude"),
    ({"recursive": True, "exclude": ["tank/x"]}, "exclude.0"),
    ({"replicate": True}, "recursive"),
    ({"replicate": True, "recursive": True}, "retention_policy"),
    ({"schedule": {"minute": "00"}}, "schedule"),
    ({"only_matching_schedule": True}, "only_matching_schedule"),
    ({"name_regex": "x"}, "name_regex"),
    ({"name_regex": "(", "also_include_naming_schema": []}, "name_regex"),
    ({"retention_policy": "CUSTOM"}, "lifetime_value"),
    ({"lifetime_value": 1}, "lifetime_value"),
    ({"encryption": True}, "encryption"),
    ({"name": "taken"}, "name"),
])
def test_rules(mw: Middleware, options: dict[str, Any], attribute: str) -> None:
    mw.store.insert("replication", {"name": "taken"})
    with pytest.raises(ValidationErrors) as caught:
        check(mw, "replication_create", _data(**options))
    assert f"replication_create.{attribute}" in [error[0] for error in caught.value.errors]


def test_bound_tasks_must_be_enabled_and_exclude_alike(mw: Middleware) -> None:
    task = mw.store.insert("snapshottask", {"dataset": "tank/a", "recursive": True, "exclude": ["tank/a/x"], "enabled": False, "naming_schema": SCHEMA})
    with pytest.raises(ValidationErrors) as caught:
        check(mw, "s", _data(periodic_snapshot_tasks=[task["id"]], recursive=True, auto=True))
    assert {error[0] for error in caught.value.errors} == {"s.exclude", "s.periodic_snapshot_tasks.0"}


def test_a_good_task_is_stored_and_held_while_its_pool_is_away(mw: Middleware) -> None:
    made = create(Call(mw), _data())
    assert made["id"] == 1 and made["ssh_credentials"] is None and made["state"] == {"state": "PENDING"} and made["has_encrypted_dataset_keys"] is False
    assert isinstance(mw.zfs, FakeZfs)
    mw.zfs.health = {}
    assert show(mw, mw.store.table("replication")[0])["state"] == {"state": "HOLD", "reason": "Pool tank does not exist."}
    mw.store.insert("pool", {"name": "tank", "guid": "1"})
    assert show(mw, mw.store.table("replication")[0])["state"]["reason"] == "Pool tank is offline."


def _snap(name: str, guid: str, txg: int) -> Snapshot:
    return Snapshot(name, guid, 0, txg)


def test_the_base_is_the_newest_with_the_same_name_and_guid() -> None:
    source = [_snap("s@1", "g1", 1), _snap("s@2", "g2", 2), _snap("s@3", "g3", 3)]
    assert newest_common(source, [_snap("t@1", "g1", 7), _snap("t@2", "g2", 8)]) == source[1]
    assert newest_common(source, [_snap("t@1", "g1", 7), _snap("t@3", "other", 8)]) == source[0]
    assert newest_common(source, []) is None


def test_eligibility_and_target_names() -> None:
    run = Run({**_data(only_matching_schedule=True, restrict_schedule={"minute": "30"}), "schedule": None}, FakeZfs(), FakeZfs(), [SCHEMA])
    assert run.eligible(_snap("tank/a@auto-2026-01-01_00-30", "g", 1)) and not run.eligible(_snap("tank/a@auto-2026-01-01_00-00", "g", 1))
    assert not run.eligible(_snap("tank/a@manual", "g", 1))
    assert run.target_of("tank/a") == "tank/b" and run.target_of("tank/a/x/y") == "tank/b/x/y"
    several = Run({**_data(source_datasets=["tank/a", "tank/c/d"])}, FakeZfs(), FakeZfs(), [SCHEMA])
    assert several.target_of("tank/a") == "tank/b/a" and several.target_of("tank/c/d") == "tank/b/c/d"


def test_unmatched_lists_what_only_the_target_has() -> None:
    source, target = FakeZfs(), FakeZfs()
    source.names = {"tank/a": [_snap("tank/a@1", "g", 1)]}
    target.names = {"tank/b": [_snap("tank/b@0", "g0", 1), _snap("tank/b@1", "g", 2)]}
    assert engine.unmatched(Run(_data(), source, target, [])) == {"tank/b": ["0"]}
