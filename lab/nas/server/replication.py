"""``replication``: running tasks, and what one asks before running one."""

from __future__ import annotations

import time
from typing import Any

from lab.nas.server import engine, naming, peers, retention
from lab.nas.server.engine import Run
from lab.nas.server.errors import CallError
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.registry import method
from lab.nas.server.replication_crud import TABLE, check, get, hold, show
from lab.nas.server.replication_models import (
    ONETIME_EXTRAS, STORED_EXTRAS, CountArgs, CreateDatasetArgs, ListDatasetsArgs, OnetimeArgs, RunArgs, UnmatchedArgs)
from lab.nas.server.snapshottask import set_state
from lab.nas.server.stream import StreamError
from lab.nas.server.zfs import Zfs, ZfsError

Entry = dict[str, Any]
_ERRORS = (CallError, StreamError, ZfsError)


def _remote(mw: Middleware, transport: str, credentials: int | None, *, sudo: bool = True) -> Zfs:
    if transport == "LOCAL":
        return mw.zfs
    if credentials is None:
        raise CallError("SSH Credentials are required for non-local replication")
    return peers.connect(mw, credentials, sudo=sudo)


def _sides(mw: Middleware, task: Entry) -> tuple[Zfs, Zfs]:
    """Return source and target."""
    other = _remote(mw, task["transport"], task["ssh_credentials"], sudo=task.get("sudo", True))
    return (mw.zfs, other) if task["direction"] == "PUSH" else (other, mw.zfs)


def _schemas(mw: Middleware, task: Entry) -> list[str]:
    bound = [mw.store.find("snapshottask", key) for key in task["periodic_snapshot_tasks"]]
    return [*dict.fromkeys([*(one["naming_schema"] for one in bound if one), *task["naming_schema"], *task["also_include_naming_schema"]])]


def _prepare(call: Call, task: Entry) -> Run:
    source, target = _sides(call.mw, task)
    run = Run(task, source, target, _schemas(call.mw, task))
    if call.job:
        job = call.job

        def progress(percent: float, text: str) -> None:
            job.log(text)
            job.set_progress(percent, text)

        run.check, run.on_abort, run.progress = job.check, job.on_abort.append, progress
    return run


def _attempts(call: Call, task: Entry) -> Run:
    """Run a task; a broken stream or an unreachable peer is tried again ``retries`` times. CallError."""
    for attempt in range(task["retries"]):
        try:
            run = _prepare(call, task)
            engine.replicate(run)
            return run
        except (StreamError, peers.Unreachable) as exc:
            again = isinstance(exc, peers.Unreachable) or exc.recoverable
            if not again or attempt + 1 == task["retries"]:
                raise exc if isinstance(exc, CallError) else CallError(str(exc)) from exc
            time.sleep(min(2**attempt, 5))
            if call.job:
                call.job.check()
    raise AssertionError("unreachable")


@method("replication.run", RunArgs, job=True, abortable=True, lock="replication:{0}")
def run_task(call: Call, key: int, really_run: bool) -> Any:
    """Run a stored task; its ``state`` tells the outcome, and so does the job."""
    mw, task = call.mw, get(call.mw, key)
    shown = show(mw, task)
    if not task["enabled"]:
        raise CallError("Task is not enabled")
    if shown["state"]["state"] == "RUNNING":
        raise CallError("Task is already running")
    if hold(mw, task):
        raise CallError("Task is on hold")
    if call.job:
        mw.store.update(TABLE, key, {"job_id": call.job.id})
    last = (task.get("state") or {}).get("last_snapshot")
    set_state(mw, TABLE, key, {"state": "RUNNING", "last_snapshot": last})
    try:
        run = _attempts(call, {**STORED_EXTRAS, **task})
    except BaseException as exc:
        error = str(exc) if isinstance(exc, _ERRORS) else f"{type(exc).__name__}: {exc}" if str(exc) else "Replication was aborted"
        set_state(mw, TABLE, key, {"state": "ERROR", "error": error.removeprefix("[EFAULT] "), "last_snapshot": last})
        raise
    set_state(mw, TABLE, key, {"state": "FINISHED", "last_snapshot": run.last_snapshot, "warnings": run.warnings})


@method("replication.run_onetime", OnetimeArgs, job=True, abortable=True)
def run_onetime(call: Call, data: Entry) -> Any:
    """Run a task that is not stored."""
    task = {**data, **ONETIME_EXTRAS, "name": f"Temporary replication task for job {call.job.id if call.job else 0}"}
    check(call.mw, "replication_run_onetime", task)
    reason = hold(call.mw, task)
    if reason:
        raise CallError(reason)
    run = _attempts(call, task)
    for warning in run.warnings:
        if call.job:
            call.job.log(f"warning: {warning}")


@method("replication.list_datasets", ListDatasetsArgs)
def list_datasets(call: Call, transport: str, credentials: int | None) -> Any:
    """Datasets of the other side: shows whether it can be reached."""
    try:
        return _remote(call.mw, transport, credentials).datasets()
    except ZfsError as exc:
        raise CallError(str(exc)) from exc


@method("replication.create_dataset", CreateDatasetArgs)
def create_dataset(call: Call, dataset: str, transport: str, credentials: int | None) -> Any:
    """Make a dataset on the other side."""
    try:
        _remote(call.mw, transport, credentials).run("zfs", "create", dataset)
    except ZfsError as exc:
        raise CallError(str(exc)) from exc


@method("replication.list_naming_schemas")
def list_naming_schemas(call: Call) -> Any:
    """Schemas that tasks of this NAS use."""
    found = {task["naming_schema"] for task in call.mw.store.table("snapshottask")}
    for task in call.mw.store.table(TABLE):
        found.update(task["naming_schema"] + task["also_include_naming_schema"])
    return sorted(found)


@method("replication.count_eligible_manual_snapshots", CountArgs)
def count_eligible_manual_snapshots(call: Call, data: Entry) -> Any:
    """How many snapshots of datasets a schema or expression names."""
    zfs = _remote(call.mw, data["transport"], data["ssh_credentials"])
    probe = Run({"name_regex": data["name_regex"], "schedule": None, "restrict_schedule": None, "only_matching_schedule": False}, zfs, zfs,
                data["naming_schema"])
    try:
        snapshots = [one for name in data["datasets"] for one in zfs.snapshots(name)]
    except ZfsError as exc:
        raise CallError(str(exc)) from exc
    return {"total": len(snapshots), "eligible": sum(probe.eligible(one) for one in snapshots)}


@method("replication.target_unmatched_snapshots", UnmatchedArgs)
def target_unmatched_snapshots(call: Call, direction: str, sources: list[str], target: str, transport: str, credentials: int | None) -> Any:
    """Snapshots on the target that the source lacks: why a run would find no incremental base."""
    task = {"direction": direction, "source_datasets": sources, "target_dataset": target, "transport": transport, "ssh_credentials": credentials,
            "recursive": False, "replicate": False, "exclude": []}
    source_side, target_side = _sides(call.mw, task)
    try:
        return engine.unmatched(Run(task, source_side, target_side, []))
    except ZfsError as exc:
        raise CallError(str(exc)) from exc


def pending_owners(mw: Middleware) -> list[retention.Owner]:
    """Return owners that keep what tasks with ``hold_pending_snapshots`` have not sent yet; all of it if the target is away."""
    owners = []
    for task in mw.store.table(TABLE):
        if not (task["enabled"] and task["hold_pending_snapshots"]) or hold(mw, task):
            continue
        schemas = _schemas(mw, task)
        for dataset in task["source_datasets"]:
            if not mw.zfs.exists(dataset):
                continue
            mine = [one for one in mw.zfs.snapshots(dataset, recursive=task["recursive"]) if naming.parse_any(one.name, schemas)]
            try:
                run = Run({**STORED_EXTRAS, **task}, *_sides(mw, task), schemas)
                there = {(one.dataset, one.name) for name in {run.target_of(one.dataset) for one in mine} if run.target.exists(name)
                         for one in run.target.snapshots(name)}
                waiting = [one for one in mine if (run.target_of(one.dataset), one.name) not in there]
            except _ERRORS:
                waiting = mine
            base = {"dataset": dataset, "recursive": task["recursive"], "exclude": task["exclude"]}
            owners.append(retention.Owner(base, tuple(schemas), None, None, frozenset(one.id for one in waiting)))
    return owners
