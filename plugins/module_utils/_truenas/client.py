# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""JSON-RPC 2.0 to TrueNAS: one log-in, calls, jobs. It knows methods and errors, no options of any module."""

from __future__ import annotations

import dataclasses
import json
import random
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import (
    ApiError,
    ConnectionFailed,
    NotFound,
    Refused,
    TaskFailed,
    WaitTimeout,
)
from ansible_collections.resilient.platform.plugins.module_utils._truenas import login, versions
from ansible_collections.resilient.platform.plugins.module_utils._truenas.errors import CALL_ERROR, INVALID_PARAMS, MethodMissing, to_error
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import (
    Lost,
    Settings,
    Socket,
    open_socket,
    refuse_plaintext,
    served_versions,
)
from ansible_collections.resilient.platform.plugins.module_utils._truenas.wire import FINAL, Job, from_ejson
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

# The server closes the connection, without an error, on anything larger.
MAX_MESSAGE = 64 * 1024
# Of names in a filter: the message has other parts, and JSON escapes.
BATCH_BYTES = MAX_MESSAGE * 3 // 4
# The server takes 20 messages of log-ins a minute and address: 20 log-ins with a plain key, 10 by SCRAM. An answer to one too
# many comes after 1-10 s. This outlasts several windows, so that 25 tasks a minute get through, only slower.
LOGIN_PATIENCE = 300.0
# How long a system that restarts may be away while a job is followed.
RESTART_PATIENCE = 180.0
# How often a silent connection is looked after while a job runs.
SLICE = 15.0
# Reading twice does no harm, so these are repeated after a broken connection; nothing else is.
_READS = ("query", "get_instance", "get_jobs", "attachments", "details", "config", "target_unmatched_snapshots", "info")


def batches(names: t.Iterable[str]) -> t.Iterator[list[str]]:
    """Yield *names* in lists that fit into a message."""
    batch: list[str] = []
    size = 0
    for name in names:
        length = len(json.dumps(name)) + 2
        if batch and size + length > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(name)
        size += length
    if batch:
        yield batch


class TrueNasClient:
    """A session with one system. It logs in at the first call and only once.

    Args:
        settings: Where and who.
        connect: Opens a connection.
        served: Returns the versions of the API that the system has.
        clock: A monotonic clock, in seconds.
        sleep: Called with the seconds to sleep.
        jitter: ``jitter(low, high)`` returns a number of seconds between both.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connect: t.Callable[[Settings], Socket] = open_socket,
        served: t.Callable[[Settings], list[str]] = served_versions,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
        jitter: t.Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.settings = settings
        self.calls = 0
        self.logins = 0
        self.waited = 0.0
        self._connect = connect
        self._served = served
        self._listed: list[str] | None = None
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._socket: Socket | None = None
        self._next_id = 0
        self._legacy_jobs: bool | None = None
        self._watching = False
        self._jobs: dict[int, Job] = {}
        self._snapshots = ""

    def __enter__(self) -> TrueNasClient:
        return self

    def __exit__(self, *_unused: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._watching = False
        self._legacy_jobs = None

    # -- versions ------------------------------------------------------------------------------------------------

    @property
    def listed(self) -> list[str]:
        """The versions of the API that the system has, as it lists them; asked for once."""
        if self._listed is None:
            refuse_plaintext(self.settings)
            self._listed = self._served(self.settings)
        return self._listed

    @property
    def spoken(self) -> versions.Version | None:
        """The version of the API that is spoken here; None where the system does not list its versions."""
        return versions.parse(versions.choose(self.listed, self.settings.api_version, address=self.settings.address))

    @property
    def release(self) -> versions.Version | None:
        """The release of the system: the newest version it lists. Methods that a release dropped are gone in its older versions, too."""
        return max((version for name in self.listed if (version := versions.parse(name)) is not None), default=None)

    def has(self, what: str, *, otherwise: bool = True) -> bool:
        """Whether the version that is spoken has *what* of ``versions.SINCE``; *otherwise* where that is not known."""
        found = versions.has(self.spoken, what)
        return otherwise if found is None else found

    # -- calls ---------------------------------------------------------------------------------------------------

    def call(self, method: str, *params: t.Any, what: str = "", timeout: float | None = None) -> t.Any:
        """Call *method* and return its result.

        A read is repeated once after a broken connection; a write is not, because nobody knows whether it was done.

        Args:
            method: Name of the method.
            params: Its parameters, in order.
            what: The object, for error messages.
            timeout: Seconds to wait for the answer; the settings' by default.

        Raises:
            ApiError: the server refused; the subclass says why.
            ConnectionFailed: no connection, or no answer in time.
        """
        again = method.rpartition(".")[2] in _READS
        while True:
            self._open()
            try:
                return self._result(self._exchange(method, params, timeout or self.settings.timeout, what), method, what)
            except Lost as exc:
                self.close()
                if not again:
                    raise self._broken(method, what, exc) from exc
                again = False

    def query(self, service: str, filters: t.Sequence[t.Any] = (), **options: t.Any) -> list[dict[str, t.Any]]:
        """Return the objects of *service* that match *filters*."""
        found = self.call(f"{service}.query", list(filters), options, what=service)
        return list(found)

    def first(self, service: str, filters: t.Sequence[t.Any], *, what: str) -> dict[str, t.Any]:
        """Return the one object that matches.

        Raises:
            NotFound: nothing does.
        """
        found = self.query(service, filters)
        if not found:
            raise NotFound(f"There is no {what} at {self.settings.address}.", method=f"{service}.query", path=what)
        return found[0]

    def snapshots(self, verb: str, *params: t.Any, what: str = "") -> t.Any:
        """Call *verb* of the snapshot service: ``pool.snapshot`` from 25.10 on, ``zfs.snapshot`` before."""
        if not self._snapshots:
            self._snapshots = "zfs.snapshot" if versions.has(self.release, "pool.snapshot") is False else "pool.snapshot"
        try:
            return self.call(f"{self._snapshots}.{verb}", *params, what=what)
        except MethodMissing:
            if self._snapshots == "zfs.snapshot":
                raise
            self._snapshots = "zfs.snapshot"
            return self.call(f"{self._snapshots}.{verb}", *params, what=what)

    # -- jobs ----------------------------------------------------------------------------------------------------

    def job(self, method: str, *params: t.Any, what: str = "", timeout: float = 300.0, interval: float = 1.0) -> Job:
        """Call *method*, which is a job of the server, and wait for its end.

        Args:
            method: Name of the method.
            params: Its parameters, in order.
            what: The object, for error messages.
            timeout: Seconds until ``WaitTimeout``; the job itself goes on.
            interval: Seconds between two looks, where looking is needed.

        Raises:
            TaskFailed: the job ended with an error; ``log`` has the end of its log.
            WaitTimeout: it did not end in time.
        """
        self._open()
        end = self._clock() + timeout
        try:
            self._set_options()
        except Lost as exc:
            self.close()
            raise self._broken("core.set_options", what, exc) from exc
        if self._legacy_jobs:
            number = self.call(method, *params, what=what)
            return self._follow(int(number), method, what, end, interval)
        self._watch()
        request = self._next_id
        try:
            reply = self._exchange(method, params, timeout, what)
        except Lost as exc:
            self.close()
            seen = self._jobs.get(request)
            if seen is None or seen.id is None:
                raise self._broken(method, what, exc) from exc
            return self._follow(seen.id, method, what, end, interval)
        seen = self._jobs.pop(request, Job())
        if "error" in reply:
            raise self._job_error(reply["error"], seen, method, what)
        return dataclasses.replace(seen, state="SUCCESS", result=reply.get("result"))

    def running(self, method: str) -> list[dict[str, t.Any]]:
        """Return the records of the jobs of *method* that have not ended."""
        return list(self.call("core.get_jobs", [["method", "=", method], ["state", "in", ["WAITING", "RUNNING"]]]))

    def follow(self, number: int, method: str, *, what: str = "", timeout: float = 300.0, interval: float = 1.0) -> Job:
        """Wait for a job that somebody else started; raises as ``job`` does."""
        return self._follow(number, method, what, self._clock() + timeout, interval)

    def _watch(self) -> None:
        """Subscribe to jobs, which is the only way to learn the number of a job whose answer is held."""
        if not self._watching:
            self.call("core.subscribe", "core.get_jobs")
            self._watching = True

    def _follow(self, number: int, method: str, what: str, end: float, interval: float) -> Job:
        def look() -> Job:
            found = self.call("core.get_jobs", [["id", "=", number]])
            return Job.from_api(found[0]) if found else Job(id=number, state="ABORTED", error="the server has forgotten the job; it was restarted")

        def patient() -> Job:
            """Look, and wait for a system that is restarting: the job may go on, or be told as failed, when it is back."""
            back = min(end, self._clock() + RESTART_PATIENCE)
            while True:
                try:
                    return look()
                except ConnectionFailed:
                    if self._clock() >= back:
                        raise
                    self._sleep(max(interval, 1.0))

        waiter = Waiter(timeout=max(end - self._clock(), 0.0), interval=interval, clock=self._clock, sleep=self._sleep)
        job = waiter.until(patient, lambda seen: seen.state in FINAL, what=f"{method} of {what} at {self.settings.address}")
        if job.state == "SUCCESS":
            return job
        if job.extra:
            error = {"code": INVALID_PARAMS, "data": {"reason": job.error, "extra": job.extra}}
            raise to_error(error, method=method, what=what, address=self.settings.address)
        raise self._job_error({"code": CALL_ERROR, "data": {"reason": job.error or job.state}}, job, method, what)

    def _job_error(self, error: t.Mapping[str, t.Any], job: Job, method: str, what: str) -> ApiError:
        if error.get("code") != CALL_ERROR:
            return to_error(error, method=method, what=what, address=self.settings.address)
        said = str((error.get("data") or {}).get("reason") or "no reason given").strip()
        if not job.log and job.id is not None:
            job = self._last_look(job)
        return TaskFailed(
            f"{method} of {what} at {self.settings.address} failed (job {job.id}): {said}",
            log=job.log,
            status=CALL_ERROR,
            method=method,
            path=what,
            said=said,
            hint="The end of the job's log is in error.log." if job.log else "",
        )

    def _last_look(self, job: Job) -> Job:
        try:
            found = self.call("core.get_jobs", [["id", "=", job.id]])
        except ApiError:
            return job
        return Job.from_api(found[0]) if found else job

    # -- session -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        """Connect and log in, unless that is done. Waits out the server's limit of log-ins."""
        if self._socket is not None:
            return
        refuse_plaintext(self.settings)
        spoken = versions.choose(self.listed, self.settings.api_version, address=self.settings.address)
        began = self._clock()
        while True:
            try:
                self._socket = self._connect(dataclasses.replace(self.settings, api_version=spoken))
                self._log_in()
                return
            except login.Busy:
                # A second try on the same socket is refused by some versions.
                self.close()
            except Lost as exc:
                self.close()
                raise self._broken(login.METHOD, self.settings.username, exc) from exc
            except BaseException:
                self.close()
                raise
            if self._clock() - began >= LOGIN_PATIENCE:
                raise ConnectionFailed(
                    f"Log-in to {self.settings.address} was refused for {LOGIN_PATIENCE:g} s: too many log-ins from this address.",
                    method=login.METHOD,
                    hint="TrueNAS takes 20 a minute (10 by SCRAM); put many objects into one task.",
                )
            self._sleep(self._jitter(1.0, 10.0))
            self.waited = self._clock() - began

    def _log_in(self) -> None:
        def ask(data: dict[str, t.Any]) -> dict[str, t.Any]:
            return self._exchange(login.METHOD, (data,), self.settings.timeout, self.settings.username)

        if self._socket is None:
            raise AssertionError("A log-in wants a connection.")
        if self.settings.api_key and self.has("SCRAM", otherwise=False):
            login.by_scram(ask, self.settings, self._socket.certificate())
        else:
            login.plain(ask, self.settings)
        self.logins += 1

    def _set_options(self) -> None:
        """Ask for answers that are held until the job has ended; once a connection, and only where there is a job to wait for.

        25.04 does not know the option and returns job numbers.
        """
        if self._legacy_jobs is not None:
            return
        self._legacy_jobs = True
        if self.has("legacy_jobs"):
            reply = self._exchange("core.set_options", ({"legacy_jobs": False},), self.settings.timeout, "")
            result = reply.get("result")
            self._legacy_jobs = not (isinstance(result, dict) and result.get("legacy_jobs") is False)

    # -- frames --------------------------------------------------------------------------------------------------

    def _exchange(self, method: str, params: t.Sequence[t.Any], timeout: float, what: str) -> dict[str, t.Any]:
        """Send a request and return its reply, noting the jobs that are told of meanwhile.

        Raises:
            Lost: the connection broke.
            Refused: the request is larger than the server takes.
            WaitTimeout: no reply in time.
        """
        socket = self._socket
        if socket is None:
            raise Lost("it was closed")
        number = self._next_id
        self._next_id += 1
        text = json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})
        if len(text.encode()) > MAX_MESSAGE:
            raise Refused(
                f"{method} for {what} would be {len(text.encode())} bytes; TrueNAS closes the connection above {MAX_MESSAGE}.",
                hint="Split the list over several tasks.",
            )
        self.calls += 1
        socket.send(text)
        end = self._clock() + timeout
        while True:
            left = end - self._clock()
            frame = socket.receive(min(SLICE, max(left, 0.0)))
            if frame is not None:
                message = json.loads(frame, object_hook=from_ejson)
                if "method" in message:
                    self._note(message)
                elif message.get("id") == number:
                    return dict(message)
            if self._clock() >= end:
                # Whatever comes late would be taken for an answer to something else.
                self.close()
                raise self._late(method, what, timeout, self._jobs.get(number))

    def _late(self, method: str, what: str, timeout: float, job: Job | None) -> WaitTimeout:
        seen = f"; seen last: {job!r}" if job else ""
        return WaitTimeout(
            f"Waited {timeout:g} s for the answer to {method} of {what or 'the system'} at {self.settings.address}{seen}.",
            hint="It may still be running; look at the jobs of the system before running again, or raise the timeout.",
            details={"last": repr(job) if job else None},
        )

    def _note(self, message: t.Mapping[str, t.Any]) -> None:
        """Keep what is told of a job under the number of the request that started it."""
        fields = (message.get("params") or {}).get("fields") or {}
        for number in fields.get("message_ids") or []:
            if isinstance(number, int):
                self._jobs[number] = Job.from_api(fields)

    def _result(self, reply: t.Mapping[str, t.Any], method: str, what: str) -> t.Any:
        if "error" in reply:
            raise to_error(reply["error"], method=method, what=what, address=self.settings.address)
        return reply.get("result")

    def _broken(self, method: str, what: str, exc: Lost) -> ConnectionFailed:
        target = f" of {what}" if what else ""
        return ConnectionFailed(
            f"The connection to {self.settings.address} broke during {method}{target}: {exc}.",
            method=method,
            path=what,
            said=str(exc),
            hint="It is not known whether it was done. Run again: what is done already is left alone.",
        )
