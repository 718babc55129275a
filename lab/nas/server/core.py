"""``core``: options of a connection, subscriptions, jobs."""

from __future__ import annotations

import errno
import time
import uuid
from typing import Any

from lab.nas.server.errors import CallError, ValidationErrors
from lab.nas.server.middleware import Call
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import NOT_REQUIRED, Model, NonEmptyString, QueryArgs, parse

Entry = dict[str, Any]


class SessionOptions(Model):
    """Options of a connection. 25.04 knows ``py_exceptions`` only."""

    legacy_jobs: bool = NOT_REQUIRED
    private_methods: bool = NOT_REQUIRED
    py_exceptions: bool = NOT_REQUIRED


class SetOptionsArgs(Model):
    """Arguments of set_options."""

    options: SessionOptions


@method("core.set_options", SetOptionsArgs, public=True, unlimited=True)
def set_options(call: Call, options: Entry) -> Any:
    """Change options of this connection; returns all of them (clients look at ``legacy_jobs``)."""
    assert call.session is not None
    if call.session.api < "25.10":
        found = ValidationErrors()
        for name in options:
            if name != "py_exceptions":
                found.add(f"options.{name}", "Extra inputs are not permitted")
        found.check()
    call.session.options.update(options)
    if call.session.api < "25.10":
        return None
    return dict(call.session.options)


@method("core.ping", public=True)
def ping(call: Call) -> Any:
    """Answer."""
    return "pong"


class SubscribeArgs(Model):
    """Arguments of subscribe."""

    event: NonEmptyString


@method("core.subscribe", SubscribeArgs)
def subscribe(call: Call, event: str) -> Any:
    """Ask for a collection's events; returns the subscription's id."""
    assert call.session is not None
    key = str(uuid.uuid4())
    call.session.subscriptions[key] = event
    return key


class UnsubscribeArgs(Model):
    """Arguments of unsubscribe."""

    id_: str


@method("core.unsubscribe", UnsubscribeArgs)
def unsubscribe(call: Call, key: str) -> Any:
    """Forget a subscription."""
    assert call.session is not None
    call.session.subscriptions.pop(key, None)


@method("core.get_jobs", QueryArgs)
def get_jobs(call: Call, filters: list[Any], options: Entry) -> Any:
    """Jobs, running and finished, oldest first."""
    return filter_list(call.mw.jobs.records(), filters, options)


class JobArgs(Model):
    """Arguments of methods on a job."""

    id: int


@method("core.job_wait", JobArgs, job=True)
def job_wait(call: Call, number: int) -> Any:
    """Wait for another job and end as it ends. It is a job itself."""
    running = call.mw.jobs.live(number)
    if running is not None:
        while not running.future.done():
            if call.job:
                call.job.check()
            time.sleep(0.1)
        return running.future.result()
    record = next((one for one in call.mw.jobs.records() if one["id"] == number), None)
    if record is None:
        raise CallError(f"Job with id {number} does not exist", errno.ENOENT)
    if record["state"] != "SUCCESS":
        raise CallError(record["error"] or f"Job {number} was aborted")
    return record["result"]


@method("core.job_abort", JobArgs)
def job_abort(call: Call, number: int) -> Any:
    """Abort a job that allows it."""
    running = call.mw.jobs.live(number)
    if running is None:
        if not any(one["id"] == number for one in call.mw.jobs.records()):
            raise CallError(f"Job with id {number} does not exist", errno.ENOENT)
        return
    if not running.record["abortable"]:
        raise CallError("Job is not abortable")
    running.abort()


class BulkArgs(Model):
    """Arguments of bulk."""

    method: NonEmptyString
    params: list[list[Any]]
    description: str | None = None


@method("core.bulk", BulkArgs, job=True)
def bulk(call: Call, name: str, params: list[list[Any]], description: str | None) -> Any:
    """Call a method many times; each call has its own outcome, the job itself succeeds."""
    one = call.mw.methods.get(name)
    if one is None or one.public:
        raise CallError(f"Method {name} does not exist", errno.ENOENT)
    results: list[Entry] = []
    for position, arguments in enumerate(params):
        outcome: Entry = {"job_id": None, "error": None, "result": None}
        try:
            parsed = parse(one.args, arguments)
            if one.job:
                job = call.mw.start_job(name, parsed, Call(call.mw, call.session))
                outcome["job_id"] = job.id
                outcome["result"] = job.future.result()
            else:
                outcome["result"] = one.function(Call(call.mw, call.session), *parsed)
        except (CallError, ValidationErrors) as exc:
            outcome["error"] = str(exc)
        results.append(outcome)
        call.progress(100 * (position + 1) / len(params), f"{position + 1}/{len(params)}")
    return results
