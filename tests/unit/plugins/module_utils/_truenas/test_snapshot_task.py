from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import snapshot_task
from helpers import truenas
from helpers.truenas import METHOD_MISSING, Server, Step

AUTO = "auto-%Y-%m-%d_%H-%M"
KEY = f"tank/a@{AUTO}"
HAVE = {KEY: snapshot_task.from_api(truenas.snapshot_task(1, "tank/a"))}


def wanted(**item: t.Any) -> list[dict[str, t.Any]]:
    return snapshot_task.wanted([{"dataset": "tank/a", "naming_schema": AUTO, "state": "present", **item}])


def plan(
    items: list[dict[str, t.Any]], current: t.Any = None, missing: t.Any = (), affected: t.Any = None, limit: int | None = None
) -> snapshot_task.Plan:
    return snapshot_task.plan(items, HAVE if current is None else current, missing, affected or {}, limit)


@pytest.mark.parametrize("schema", [AUTO, "%Y%m%d%H%M", "x-%s", "backup-%Y-%m-%d_%H-%M-%S", "a %Y-%m-%d %H.%M %z"])
def test_schemas_that_truenas_takes(schema: str) -> None:
    assert snapshot_task.schema_problem(schema) == ""


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        ("daily-%Y-%m-%d", "lacks %H, %M"),
        ("weekly-%Y-W%V", "lacks %m, %d, %H, %M"),
        ("a/%Y%m%d%H%M", "characters other"),
        ("%s-%Y", "must not have %Y"),
        ("%Y-%m-%d_%H:%M %z", "both %z and a colon"),
        ("%Y-%m-%d_%H-%M %V", "cannot be read back"),
    ],
)
def test_schemas_that_truenas_refuses(schema: str, reason: str) -> None:
    assert reason in snapshot_task.schema_problem(schema)
    with pytest.raises(Refused):
        wanted(naming_schema=schema)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"schedule": {"minute": "every;"}}, "not in cron notation"),
        ({"schedule": {"begin": "9:00"}}, "not HH:MM"),
        ({"schedule": {"begin": "10:00", "end": "09:00"}}, "later than"),
        ({"exclude": ["tank/a/x"], "recursive": False}, "needs recursive"),
        ({"exclude": ["tank/b"], "recursive": True}, "not below the dataset"),
        ({"lifetime_value": 0}, "at least 1"),
    ],
)
def test_bad_input_is_refused(item: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        wanted(**item)


def test_new_task_is_created_with_a_full_schedule() -> None:
    made = plan(wanted(recursive=True, schedule={"minute": "*/15", "hour": None}), current={})
    full = {"minute": "*/15", "hour": "*", "dom": "*", "month": "*", "dow": "*", "begin": "00:00", "end": "23:59"}
    assert made.calls[0].params == ({"dataset": "tank/a", "naming_schema": AUTO, "recursive": True, "schedule": full},)
    assert made.diff.after[f"{KEY}.schedule"] == full


def test_task_as_declared_is_left_alone() -> None:
    made = plan(wanted(lifetime_value=2, lifetime_unit="WEEK", enabled=True, schedule={"minute": "00"}, exclude=[]))
    assert not made.changed
    assert made.predicted[0]["id"] == 1


def test_only_what_differs_is_sent() -> None:
    made = plan(wanted(lifetime_value=3, enabled=True, fixate_removal_date=True))
    assert made.calls[0].params == (1, {"lifetime_value": 3, "fixate_removal_date": True})
    assert made.diff.before == {f"{KEY}.lifetime_value": 2}
    assert made.predicted[0]["lifetime_value"] == 3


def test_task_is_deleted_by_what_identifies_it() -> None:
    assert plan(wanted(state="absent")).calls[0].params == (1, {})
    assert not plan(wanted(state="absent"), current={}).changed


def test_retention_that_changes_is_in_the_difference_and_can_be_limited() -> None:
    affected = {KEY: {"tank/a": ["auto-1", "auto-2"]}}
    made = plan(wanted(lifetime_value=1), affected=affected, limit=2)
    assert made.diff.after[f"{KEY}.retention_changes.tank/a"] == ["auto-1", "auto-2"]
    with pytest.raises(Refused, match="retention of 2 snapshots would change"):
        plan(wanted(lifetime_value=1), affected=affected, limit=1)


def test_the_server_is_asked_about_retention_only_where_something_changes() -> None:
    items = [*wanted(lifetime_value=1), *wanted(dataset="tank/b", lifetime_value=2), *wanted(dataset="tank/c", state="absent")]
    items += [*wanted(dataset="tank/d", lifetime_value=9, fixate_removal_date=True), *wanted(dataset="tank/new")]
    current = {f"tank/{name}@{AUTO}": snapshot_task.from_api(truenas.snapshot_task(number, f"tank/{name}")) for number, name in enumerate("abcd", 1)}
    server = Server(
        Step("pool.snapshottask.update_will_change_retention_for", [1, {"lifetime_value": 1}], {"tank/a": ["auto-2", "auto-1"]}),
        Step("pool.snapshottask.delete_will_change_retention_for", [3], {}),
    )
    assert snapshot_task.losses(server.client(), items, current) == {KEY: {"tank/a": ["auto-1", "auto-2"]}}
    server.finished()


def test_a_version_that_cannot_tell_about_retention() -> None:
    server = Server(Step("pool.snapshottask.update_will_change_retention_for", error=METHOD_MISSING))
    assert snapshot_task.losses(server.client(), wanted(lifetime_value=1), HAVE) == {}


def test_two_tasks_alike_cannot_be_told_apart() -> None:
    server = Server(Step("pool.snapshottask.query", result=[truenas.snapshot_task(1, "tank/a"), truenas.snapshot_task(2, "tank/a")]))
    with pytest.raises(Refused, match=r"two snapshot tasks for tank/a .*ids 1, 2"):
        snapshot_task.read(server.client())


def test_missing_dataset_is_refused() -> None:
    server = Server(Step("pool.dataset.query", [[["id", "in", ["tank/a"]]], {}], []))
    missing = snapshot_task.missing_datasets(server.client(), wanted(), {})
    with pytest.raises(Refused, match="no dataset tank/a"):
        plan(wanted(), current={}, missing=missing)
    assert snapshot_task.missing_datasets(Server().client(), wanted(), HAVE) == []


def test_state_may_be_a_word() -> None:
    assert snapshot_task.from_api(truenas.snapshot_task(1, "tank/a", state="FINISHED"))["state"] == "FINISHED"


def test_no_schedule_stays_none() -> None:
    assert snapshot_task.full_schedule(None) is None
    assert snapshot_task.schedule_problems(None) == []
