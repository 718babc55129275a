# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""JSON-RPC 2.0 to TrueNAS: one log-in, calls, jobs. It knows methods and errors, no options of any module."""

from __future__ import annotations

import dataclasses
import errno
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
from ansible_collections.resilient.platform.plugins.module_utils._truenas.errors import (
    CALL_ERROR,
    INVALID_PARAMS,
    MethodMissing,
    login_error,
    to_error,
)
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Lost, Settings, Socket, open_socket, refuse_plaintext
from ansible_collections.resilient.platform.plugins.module_utils._truenas.wire import FINAL, Job, from_ejson
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter

# The server closes the connection, without an error, on anything larger.
MAX_MESSAGE = 64 * 1024
# 20 log-ins a minute and address; an answer to one too many comes after 1-10 s, so this outlasts the window.
LOGIN_PATIENCE = 150.0
# How often a silent connection is looked after while a job runs.
SLICE = 15.0
# Reading twice does no harm, so these are repeated after a broken connection; nothing else is.
_READS = ("query", "get_instance", "get_jobs", "attachments", "details", "config", "target_unmatched_snapshots", "info")


class TrueNasClient:
    """A session with one system. It logs in at the first call and only once.

    Args:
        settings: Where and who.
        connect: Opens a connection.
        clock: A monotonic clock, in seconds.
        sleep: Called with the seconds to sleep.
        jitter: ``jitter(low, high)`` returns a number of seconds between both.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connect: t.Callable[[Settings], Socket] = open_socket,
        clock: t.Callable[[], float] = time.monotonic,
        sleep: t.Callable[[float], None] = time.sleep,
        jitter: t.Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.settings = settings
        self.calls = 0
        self.logins = 0
        self._connect = connect
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter
        self._socket: Socket | None = None
        self._next_id = 0
        self._legacy_jobs = True
        self._watching = False
        self._jobs: dict[int, Job] = {}
        self._snapshots = "pool.snapshot"

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

        waiter = Waiter(timeout=max(end - self._clock(), 0.0), interval=interval, clock=self._clock, sleep=self._sleep)
        job = waiter.until(look, lambda seen: seen.state in FINAL, what=f"{method} of {what} at {self.settings.address}")
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
        end = self._clock() + LOGIN_PATIENCE
        while True:
            try:
                self._socket = self._connect(self.settings)
                self._set_options()
                if self._log_in():
                    return
            except Lost as exc:
                self.close()
                raise self._broken("auth.login_ex", self.settings.username, exc) from exc
            except BaseException:
                self.close()
                raise
            # A second try on the same socket is refused by some versions.
            self.close()
            if self._clock() >= end:
                raise ConnectionFailed(
                    f"Log-in to {self.settings.address} was refused for {LOGIN_PATIENCE:g} s: too many log-ins from this address.",
                    method="auth.login_ex",
                    hint="TrueNAS takes 20 log-ins a minute; put many objects into one task.",
                )
            self._sleep(self._jitter(1.0, 10.0))

    def _set_options(self) -> None:
        """Ask for answers that are held until the job has ended. 25.04 refuses the option and returns job numbers."""
        reply = self._exchange("core.set_options", ({"legacy_jobs": False},), self.settings.timeout, "")
        result = reply.get("result")
        self._legacy_jobs = not (isinstance(result, dict) and result.get("legacy_jobs") is False)

    def _log_in(self) -> bool:
        """Log in; return False when the server asks to come back later."""
        who = self.settings
        data = {"mechanism": "API_KEY_PLAIN", "username": who.username, "api_key": who.api_key}
        if not who.api_key:
            data = {"mechanism": "PASSWORD_PLAIN", "username": who.username, "password": who.password}
        reply = self._exchange("auth.login_ex", ({**data, "login_options": {"user_info": False}},), who.timeout, who.username)
        error = reply.get("error")
        if error and error.get("code") == CALL_ERROR and (error.get("data") or {}).get("error") == errno.EBUSY:
            return False
        result = self._result(reply, "auth.login_ex", who.username)
        if not isinstance(result, dict) or result.get("response_type") != "SUCCESS":
            raise login_error(result or {}, username=who.username, address=who.address)
        self.logins += 1
        return True

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
