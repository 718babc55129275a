"""Jobs: long methods with a record of their own, kept over a restart of the server."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lab.nas.server import ejson
from lab.nas.server.errors import CallError, ValidationErrors, errname
from lab.nas.server.store import Store

KEEP = 300
Publish = Callable[[str, str, Any, dict[str, Any]], None]


class Aborted(Exception):
    """The job was aborted."""


class Job:
    """One run of a job method."""

    def __init__(self, manager: JobManager, record: dict[str, Any]) -> None:
        self._manager = manager
        self.record = record
        self.future: Future[Any] = Future()
        self.aborted = threading.Event()
        self.on_abort: list[Callable[[], None]] = []

    @property
    def id(self) -> int:
        return int(self.record["id"])

    def set_progress(self, percent: float | None, description: str = "", extra: Any = None) -> None:
        """Tell how far it is; subscribers see it."""
        self.record["progress"] = {"percent": percent, "description": description, "extra": extra}
        self._manager.changed(self)

    def log(self, text: str) -> None:
        """Add a line to the job's log."""
        self.record["logs_excerpt"] = f"{self.record['logs_excerpt'] or ''}{text}\n"[-4096:]

    def check(self) -> None:
        """Raise Aborted if somebody asked for it."""
        if self.aborted.is_set():
            raise Aborted()

    def abort(self) -> None:
        """Ask it to end: running commands are killed."""
        self.aborted.set()
        for action in list(self.on_abort):
            action()


class JobManager:
    """All jobs of a NAS, running and finished."""

    def __init__(self, path: Path, publish: Publish) -> None:
        self._store = Store(path)
        self._publish = publish
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="job")
        self._live: dict[int, Job] = {}
        self._locks: dict[str, threading.Lock] = {}
        for record in self._store.table("jobs"):
            if record["state"] in ("WAITING", "RUNNING"):
                record.update(state="FAILED", error="[EFAULT] The middleware was restarted while the job ran")
        self._store.save()

    def records(self) -> list[dict[str, Any]]:
        """Return all job records, oldest first."""
        with self._store.lock:
            found = ejson.loads(json.dumps(self._store.table("jobs")))
        return [self._live[record["id"]].record.copy() if record["id"] in self._live else record for record in found]

    def live(self, key: int) -> Job | None:
        """Return a job that has not ended, or None."""
        return self._live.get(key)

    def start(self, name: str, arguments: list[Any], function: Callable[[Job], Any], *, lock: str | None = None,
              message_id: Any = None, credentials: Any = None, abortable: bool = False) -> Job:
        """Queue a job. Jobs with the same ``lock`` run one after the other."""
        record = {
            "id": self._store.next_id("jobs"), "message_ids": [] if message_id is None else [message_id], "method": name, "arguments": arguments,
            "transient": False, "description": None, "abortable": abortable, "logs_path": None, "logs_excerpt": None,
            "progress": {"percent": None, "description": "", "extra": None}, "result": None, "result_encoding_error": None, "error": None,
            "exception": None, "exc_info": None, "state": "WAITING", "time_started": ejson.now(), "time_finished": None, "credentials": credentials,
        }
        job = Job(self, record)
        self._live[job.id] = job
        self._remember(record)
        self._publish("core.get_jobs", "added", job.id, record.copy())
        self._pool.submit(self._run, job, function, lock)
        return job

    def changed(self, job: Job) -> None:
        """Tell subscribers."""
        self._publish("core.get_jobs", "changed", job.id, job.record.copy())

    def _remember(self, record: dict[str, Any]) -> None:
        with self._store.lock:
            table = self._store.table("jobs")
            table[:] = [old for old in table if old["id"] != record["id"]][-KEEP:] + [json.loads(ejson.dumps(record))]
            self._store.save()

    def _run(self, job: Job, function: Callable[[Job], Any], lock: str | None) -> None:
        with self._locks.setdefault(lock, threading.Lock()) if lock else threading.Lock():
            job.record["state"] = "RUNNING"
            self.changed(job)
            failure: BaseException | None = None
            try:
                job.check()
                job.record["result"] = function(job)
                job.record.update(state="SUCCESS", progress={"percent": 100, "description": job.record["progress"]["description"], "extra": None})
            except BaseException as exc:  # whatever a method raises is the job's outcome
                failure = exc
                job.record.update(_failure(exc, job.aborted.is_set()))
        job.record["time_finished"] = ejson.now()
        self._remember(job.record)
        self._live.pop(job.id, None)
        self.changed(job)
        if failure is None:
            job.future.set_result(job.record["result"])
        else:
            job.future.set_exception(CallError("Job aborted", errno.ECANCELED) if job.aborted.is_set() else failure)


def _failure(exc: BaseException, aborted: bool) -> dict[str, Any]:
    if aborted or isinstance(exc, Aborted):
        return {"state": "ABORTED", "error": None}
    info: dict[str, Any] = {"repr": repr(exc), "type": type(exc).__name__, "errno": None, "extra": None}
    if isinstance(exc, CallError):
        info.update(errno=exc.errno, extra=exc.extra)
    if isinstance(exc, ValidationErrors):
        info.update(type="VALIDATION", extra=[list(error) for error in exc.errors])
    text = str(exc) if isinstance(exc, (CallError, ValidationErrors)) else f"[{errname(errno.EFAULT)}] {type(exc).__name__}: {exc}"
    return {"state": "FAILED", "error": text, "exception": f"{type(exc).__name__}: {exc}", "exc_info": info}
