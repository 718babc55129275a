from __future__ import annotations

import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, Refused, TaskFailed
from ansible_collections.resilient.platform.plugins.module_utils._truenas import replication, replication_run, snapshot_task
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan
from ansible_collections.resilient.platform.plugins.module_utils._truenas.replication_rules import problems
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter
from helpers import truenas
from helpers.truenas import WATCH, Server, Step, call_error

AUTO = "auto-%Y-%m-%d_%H-%M"
TASKS = {f"tank/apps@{AUTO}": snapshot_task.from_api(truenas.snapshot_task(1, "tank/apps"))}
REFS = replication.References(credentials={"nas2": 2}, tasks=TASKS)
PUSH: dict[str, t.Any] = {
    "name": "apps",
    "state": "present",
    "direction": "PUSH",
    "transport": "SSH",
    "ssh_credentials": "nas2",
    "source_datasets": ["tank/apps"],
    "target_dataset": "backup/apps",
    "recursive": True,
    "periodic_snapshot_tasks": [{"dataset": "tank/apps", "naming_schema": AUTO}],
    "auto": True,
    "retention_policy": "CUSTOM",
    "lifetime_value": 2,
    "lifetime_unit": "WEEK",
}
PULL: dict[str, t.Any] = {
    **{key: value for key, value in PUSH.items() if key not in ("periodic_snapshot_tasks", "lifetime_value", "lifetime_unit")},
    "direction": "PULL",
    "naming_schema": [AUTO],
    "auto": False,
    "retention_policy": "NONE",
}


def plan(*items: dict[str, t.Any], current: dict[str, t.Any] | None = None, refs: replication.References = REFS) -> Plan:
    return replication.plan(replication.wanted(list(items)), current or {}, refs)


def have(**changes: t.Any) -> dict[str, t.Any]:
    return {"apps": replication.from_api(truenas.replication(5, "apps", **changes))}


# -- rules: each case is one branch of ReplicationService._validate --------------------------------------------------------


def full(**changes: t.Any) -> dict[str, t.Any]:
    base = {"direction": "PUSH", "transport": "SSH", "ssh_credentials": "nas2", "source_datasets": ["tank/apps"], "target_dataset": "backup/apps"}
    base.update(recursive=True, auto=False, retention_policy="NONE", also_include_naming_schema=[AUTO])
    return {**replication.DEFAULTS, **base, **changes}


PULL_BASE = {"direction": "PULL", "also_include_naming_schema": [], "naming_schema": [AUTO]}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"naming_schema": [AUTO]}, "naming_schema is for PULL"),
        ({"also_include_naming_schema": []}, "to know which snapshots"),
        ({"auto": True}, "auto PUSH needs"),
        ({**PULL_BASE, "auto": True}, "auto PULL needs a schedule"),
        ({**PULL_BASE, "periodic_snapshot_tasks": ["x"]}, "cannot be bound"),
        ({**PULL_BASE, "naming_schema": []}, "PULL needs naming_schema"),
        ({**PULL_BASE, "also_include_naming_schema": [AUTO]}, "is for PUSH"),
        ({**PULL_BASE, "hold_pending_snapshots": True}, "cannot hold"),
        ({"transport": "SSH+NETCAT"}, "needs netcat_active_side"),
        ({"transport": "SSH+NETCAT", "netcat_active_side": "LOCAL", "netcat_active_side_port_min": 9, "netcat_active_side_port_max": 8}, "less than"),
        ({"transport": "SSH+NETCAT", "netcat_active_side": "LOCAL", "compression": "LZ4"}, "compression is for SSH"),
        ({"netcat_active_side": "LOCAL"}, "netcat_active_side is for SSH.NETCAT"),
        ({"transport": "LOCAL"}, "make no sense with LOCAL"),
        ({"transport": "LOCAL", "ssh_credentials": None, "speed_limit": 5}, "speed_limit is for SSH"),
        ({"ssh_credentials": None}, "SSH needs ssh_credentials"),
        ({"source_datasets": []}, "source_datasets is empty"),
        ({"recursive": False, "exclude": ["tank/apps/x"]}, "exclude needs recursive"),
        ({"exclude": ["tank/other"]}, "not below any of source_datasets"),
        ({"replicate": True, "retention_policy": "SOURCE", "recursive": False}, "replicate needs recursive"),
        ({"replicate": True, "retention_policy": "SOURCE", "exclude": ["tank/apps/x"]}, "replicate cannot exclude"),
        ({"replicate": True, "retention_policy": "SOURCE", "properties": False}, "needs properties"),
        ({"replicate": True}, "needs retention_policy: SOURCE"),
        ({"replicate": True, "retention_policy": "SOURCE", "source_datasets": ["tank/a", "tank/a/b"]}, "its child tank/a/b"),
        ({"encryption": True}, "needs encryption_key unless"),
        ({"schedule": snapshot_task.SCHEDULE}, "a schedule needs auto"),
        ({"only_matching_schedule": True}, "needs a schedule"),
        ({"name_regex": "(", "also_include_naming_schema": []}, "not a regular expression"),
        ({"name_regex": "x"}, "cannot be used with naming schemas"),
        ({"name_regex": "x", "also_include_naming_schema": [], "retention_policy": "CUSTOM"}, "SOURCE or NONE"),
        ({"retention_policy": "CUSTOM"}, "needs lifetime_value"),
        ({"lifetime_value": 1}, "is for retention_policy CUSTOM"),
        ({"lifetimes": [{}]}, "lifetimes is for"),
        ({"also_include_naming_schema": ["daily-%Y-%m-%d"]}, "lacks %H, %M"),
        ({"auto": True, "schedule": {**snapshot_task.SCHEDULE, "begin": "x"}}, "not HH:MM"),
        ({"restrict_schedule": {**snapshot_task.SCHEDULE, "hour": "?"}}, "restrict_schedule.hour"),
        ({"retries": 0}, "retries must be at least 1"),
    ],
)
def test_rules_of_the_server(changes: dict[str, t.Any], reason: str) -> None:
    import re

    found = problems(full(**changes), [])
    assert any(re.search(reason, text) for text in found), found


@pytest.mark.parametrize(
    ("changes", "bound", "reason"),
    [
        ({}, {"enabled": False}, "is disabled"),
        ({}, {"exclude": ["tank/apps/x"], "recursive": True}, "exclude must name tank/apps/x"),
        ({"recursive": False}, {"exclude": ["tank/apps"], "dataset": "tank", "recursive": True}, "is excluded by"),
        ({"name_regex": "x", "also_include_naming_schema": []}, {}, "cannot be used with periodic"),
        ({"replicate": True, "retention_policy": "SOURCE"}, {}, "recursive and cover a source"),
        ({"replicate": True, "retention_policy": "SOURCE"}, {"dataset": "tank/other", "recursive": True}, "recursive and cover a source"),
    ],
)
def test_rules_about_bound_snapshot_tasks(changes: dict[str, t.Any], bound: dict[str, t.Any], reason: str) -> None:
    task = snapshot_task.from_api(truenas.snapshot_task(1, "tank/apps", **bound))
    found = problems(full(periodic_snapshot_tasks=["x"], **changes), [task])
    assert any(reason in text for text in found), found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        PULL_BASE,
        {"transport": "LOCAL", "ssh_credentials": None},
        {"transport": "SSH+NETCAT", "netcat_active_side": "LOCAL", "netcat_active_side_port_min": 8, "netcat_active_side_port_max": 9},
        {"auto": True, "schedule": snapshot_task.SCHEDULE, "only_matching_schedule": True},
        {"name_regex": "x.*", "also_include_naming_schema": []},
        {"encryption": True, "encryption_inherit": True},
        {"retention_policy": "CUSTOM", "lifetime_value": 1, "lifetime_unit": "DAY"},
    ],
)
def test_what_the_server_takes_is_taken(changes: dict[str, t.Any]) -> None:
    assert problems(full(**changes), []) == []


# -- plan ------------------------------------------------------------------------------------------------------------------


def test_new_replication_is_written_with_numbers_and_shown_with_names() -> None:
    made = plan(PUSH)
    payload = made.calls[0].params[0]
    assert (payload["ssh_credentials"], payload["periodic_snapshot_tasks"]) == (2, [1])
    assert "state" not in payload and "name_regex" not in payload
    assert made.diff.after["apps.ssh_credentials"] == "nas2"
    assert made.diff.after["apps.periodic_snapshot_tasks"] == [f"tank/apps@{AUTO}"]


def test_replication_as_declared_is_left_alone_although_it_is_read_expanded() -> None:
    made = plan(PUSH, current=have())
    assert not made.changed and not made.diff.changed


def test_only_what_differs_is_sent() -> None:
    made = plan({**PUSH, "retries": 9, "hold_pending_snapshots": True, "exclude": ["tank/apps/b", "tank/apps/a"]}, current=have())
    assert made.calls[0].params == (5, {"retries": 9, "hold_pending_snapshots": True, "exclude": ["tank/apps/a", "tank/apps/b"]})
    assert made.diff.before == {"apps.retries": 5, "apps.hold_pending_snapshots": False, "apps.exclude": []}


def test_what_makes_no_sense_any_more_is_cleared() -> None:
    made = plan({**PUSH, "retention_policy": "SOURCE", "lifetime_value": None, "lifetime_unit": None}, current=have())
    assert made.calls[0].params == (5, {"retention_policy": "SOURCE", "lifetime_value": None, "lifetime_unit": None})


def test_turning_to_pull_clears_what_belongs_to_push() -> None:
    made = plan(PULL, current=have(hold_pending_snapshots=True))
    sent = made.calls[0].params[1]
    assert sent["periodic_snapshot_tasks"] == [] and sent["hold_pending_snapshots"] is False and sent["naming_schema"] == [AUTO]


def test_turning_to_local_drops_the_credentials() -> None:
    item = {key: value for key, value in PUSH.items() if key != "ssh_credentials"}
    made = plan({**item, "transport": "LOCAL"}, current=have(compression="LZ4"))
    assert made.calls[0].params == (5, {"transport": "LOCAL", "ssh_credentials": None, "compression": None})


def test_bound_tasks_that_are_not_declared_count_for_the_rules() -> None:
    disabled = have(periodic_snapshot_tasks=[truenas.snapshot_task(1, "tank/apps", enabled=False)])
    with pytest.raises(Refused, match="is disabled"):
        plan({"name": "apps", "state": "present", "retries": 3}, current=disabled)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"auto": None, "direction": None}, "a new one needs direction, auto"),
        ({"ssh_credentials": "nas9"}, r"no SSH connection 'nas9' \(there are nas2\)"),
        ({"periodic_snapshot_tasks": [{"dataset": "tank/x", "naming_schema": AUTO}]}, "no snapshot task tank/x@auto"),
    ],
)
def test_references_that_lead_nowhere_are_refused(changes: dict[str, t.Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        plan({**PUSH, **changes})


def test_references_that_check_mode_would_have_made_are_assumed() -> None:
    refs = replication.References(assumed=frozenset({"nas2", f"tank/apps@{AUTO}"}))
    assert plan(PUSH, refs=refs).changed


def test_a_bound_task_that_check_mode_would_have_enabled_counts_as_enabled() -> None:
    off = truenas.snapshot_task(1, "tank/apps", enabled=False)
    known = {"apps": replication.from_api(truenas.replication(1, "apps", enabled=False, periodic_snapshot_tasks=[off]))}
    with pytest.raises(Refused, match="is disabled and cannot be bound"):
        plan({"name": "apps", "enabled": True}, current=known)
    made = plan({"name": "apps", "enabled": True}, current=known, refs=replication.References(assumed=frozenset({f"tank/apps@{AUTO}"})))
    assert [call.params for call in made.calls] == [(1, {"enabled": True})]


def test_all_broken_rules_are_named_and_nothing_is_written() -> None:
    with pytest.raises(Refused) as caught:
        plan({**PUSH, "naming_schema": [AUTO]}, {**PULL, "name": "other", "hold_pending_snapshots": True})
    assert "apps: naming_schema" in caught.value.message and "other: PULL cannot hold" in caught.value.message


def test_deleted_by_name() -> None:
    assert plan({"name": "apps", "state": "absent"}, current=have()).calls[0].params == (5,)
    assert not plan({"name": "apps", "state": "absent"}).changed


def test_encryption_key_is_sent_with_a_change_of_encryption_and_never_shown() -> None:
    secret = "s3cret-key"
    item = {**PUSH, "encryption": True, "encryption_key": secret, "encryption_key_format": "PASSPHRASE", "encryption_key_location": "$TrueNAS"}
    created = plan(item)
    assert created.calls[0].params[0]["encryption_key"] == secret
    changed = plan(item, current=have())
    assert changed.calls[0].params[1]["encryption_key"] == secret
    assert not plan(item, current=have(encryption=True, encryption_key_format="PASSPHRASE", encryption_key_location="$TrueNAS")).changed
    for made in (created, changed):
        assert secret not in repr(made)


def test_lifetimes_and_overrides_compare_in_full() -> None:
    lifetime = {"schedule": {"minute": "0", "hour": "0", "dom": None}, "lifetime_value": 1, "lifetime_unit": "YEAR"}
    stored = {**lifetime, "schedule": {"minute": "0", "hour": "0", "dom": "*", "month": "*", "dow": "*"}}
    item = {**PUSH, "lifetimes": [lifetime], "properties_override": {"readonly": "on"}, "restrict_schedule": {"minute": "0"}}
    restrict = {**snapshot_task.SCHEDULE, "minute": "0"}
    assert not plan(item, current=have(lifetimes=[stored], properties_override={"readonly": "on"}, restrict_schedule=restrict)).changed


def test_references_are_read_only_where_needed() -> None:
    server = Server(
        Step("keychaincredential.query", [[["type", "=", "SSH_CREDENTIALS"]], {}], [{"id": 2, "name": "nas2"}]),
        Step("pool.snapshottask.query", result=[truenas.snapshot_task(1, "tank/apps")]),
    )
    found = replication.references(server.client(), replication.wanted([PUSH]))
    assert found.credentials == {"nas2": 2} and list(found.tasks) == [f"tank/apps@{AUTO}"]
    assert replication.references(Server().client(), [{"name": "x"}]).credentials == {}


def test_shown_without_secrets_and_inner_keys() -> None:
    shown = replication.public(have(encryption_key="********")["apps"])
    assert "encryption_key" not in shown and not any(key.startswith("__") for key in shown)
    assert shown["state"] == {"state": "PENDING", "datetime": None, "error": None, "warnings": [], "last_snapshot": None}


# -- run -------------------------------------------------------------------------------------------------------------------


def waiter(server: Server) -> Waiter:
    return Waiter(timeout=60, interval=1, clock=server.clock, sleep=server.sleep)


def state(name: str, **more: t.Any) -> Step:
    return Step("replication.query", [[["name", "in", ["apps"]]], {}], [truenas.replication(5, "apps", state={"state": name, **more})])


def test_run_waits_for_the_job_and_tells_what_came_of_it() -> None:
    done = {"last_snapshot": "tank/apps@auto-1", "warnings": ["slow"]}
    server = Server(state("PENDING"), state("PENDING"), WATCH, Step("replication.run", [5], None), state("FINISHED", **done))
    found = replication_run.run(server.client(), "apps", waiter=waiter(server))
    assert (found["state"], found["last_snapshot"], found["warnings"]) == ("FINISHED", "tank/apps@auto-1", ["slow"])
    server.finished()


def test_run_waits_for_one_that_a_killed_play_left_running() -> None:
    server = Server(state("RUNNING"), state("FINISHED"), state("FINISHED"), WATCH, Step("replication.run", [5], None), state("RUNNING"), state("FINISHED"))
    replication_run.run(server.client(), "apps", waiter=waiter(server))
    server.finished()


@pytest.mark.parametrize(("name", "more"), [("ERROR", {"error": "No incremental base"}), ("HOLD", {"reason": "pool is offline"}), ("PENDING", {})])
def test_a_run_that_does_not_finish_is_a_failure(name: str, more: dict[str, str]) -> None:
    server = Server(state("PENDING"), state("PENDING"), WATCH, Step("replication.run", [5], None), state(name, **more))
    with pytest.raises(TaskFailed, match=f"ended as {name}: {next(iter(more.values()), 'no reason')}"):
        replication_run.run(server.client(), "apps", waiter=waiter(server))


def test_a_run_that_the_server_refuses() -> None:
    server = Server(state("HOLD"), state("HOLD"), WATCH, Step("replication.run", error=call_error(14, "EFAULT", "Task is on hold")))
    with pytest.raises(TaskFailed, match="on hold"):
        replication_run.run(server.client(), "apps", waiter=waiter(server))


def test_run_of_what_is_not_there() -> None:
    server = Server(Step("replication.query", result=[]))
    with pytest.raises(NotFound, match="no replication 'apps'"):
        replication_run.run(server.client(), "apps", waiter=waiter(server))


def test_one_time_replication_has_no_fields_of_stored_ones() -> None:
    item = {**PULL, "name": None, "auto": None, "state": None, "naming_schema": None, "name_regex": "auto-1", "mount": True, "only_from_scratch": False}
    payload = replication_run.one_time_payload(replication.wanted_one(item), REFS)
    assert payload == {
        "direction": "PULL",
        "transport": "SSH",
        "ssh_credentials": 2,
        "source_datasets": ["tank/apps"],
        "target_dataset": "backup/apps",
        "recursive": True,
        "retention_policy": "NONE",
        "name_regex": "auto-1",
        "mount": True,
        "only_from_scratch": False,
    }


def test_one_time_replication_keeps_to_the_rules() -> None:
    with pytest.raises(Refused, match="PULL needs naming_schema or name_regex"):
        replication_run.one_time_payload(replication.wanted_one({**PULL, "naming_schema": None}), REFS)


ONCE = {"source_datasets": ["a"], "target_dataset": "b", "encryption_key": "s3cret"}
UNFINISHED = [[["method", "=", "replication.run_onetime"], ["state", "in", ["WAITING", "RUNNING"]]]]


def test_one_time_replication_is_a_job() -> None:
    other = [{"id": 3, "arguments": [{"source_datasets": ["a"], "target_dataset": "c"}]}, {"id": 4, "arguments": ["********"]}, {"id": 5, "arguments": []}]
    server = Server(Step("core.get_jobs", UNFINISHED, other), WATCH, Step("replication.run_onetime", [ONCE], None))
    assert replication_run.run_one_time(server.client(), ONCE, waiter=waiter(server))["state"] == "FINISHED"
    server.finished()


def test_one_time_replication_that_a_killed_play_left_running_is_waited_for() -> None:
    running = {"id": 3, "arguments": [{**ONCE, "encryption_key": "********", "retries": 5}]}
    done = Step("core.get_jobs", [[["id", "=", 3]]], [{"id": 3, "state": "SUCCESS"}])
    server = Server(Step("core.get_jobs", UNFINISHED, [running]), done)
    assert replication_run.run_one_time(server.client(), ONCE, waiter=waiter(server))["job"] == 3
    server.finished()


def test_runs_are_in_the_difference_without_secrets() -> None:
    made = Plan()
    replication_run.show(made, ["apps"], {"direction": "PULL", "encryption_key": "s3cret"})
    assert made.diff.after == {"apps.run": "run and wait", "one_time.direction": "PULL"}


def test_what_the_server_would_not_run_is_refused_beforehand() -> None:
    replication_run.check_runnable([{"name": "a", "enabled": False, "state": {"state": "HOLD"}}, {"name": "b", "state": None}], ["b"])
    tasks = [{"name": "a", "enabled": False}, {"name": "b", "state": {"state": "HOLD", "error": "Pool tank is offline."}}]
    with pytest.raises(Refused, match=r"a: it is disabled .*b: it is on hold and cannot be run: Pool tank is offline"):
        replication_run.check_runnable(tasks, ["a", "b"])
