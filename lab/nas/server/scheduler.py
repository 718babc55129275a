"""What runs by itself: snapshot tasks and replication tasks, once a minute."""

from __future__ import annotations

import datetime
import logging
import threading
import time

from lab.nas.server import cron, snapshottask
from lab.nas.server.errors import CallError
from lab.nas.server.middleware import Middleware
from lab.nas.server.replication_crud import hold

_LOG = logging.getLogger("nas.scheduler")


def run_bound(mw: Middleware, snapshot_task: int, when: datetime.datetime) -> list[int]:
    """Start the automatic replication tasks bound to a snapshot task; returns the jobs' ids."""
    return [_start(mw, int(task["id"])) for task in mw.store.table("replication")
            if task["enabled"] and task["auto"] and snapshot_task in task["periodic_snapshot_tasks"]
            and (not task["restrict_schedule"] or cron.due(task["restrict_schedule"], when)) and not hold(mw, task)]


def _start(mw: Middleware, key: int) -> int:
    return mw.start_job("replication.run", [key, True]).id


class Scheduler:
    """A thread that looks at the clock."""

    def __init__(self, mw: Middleware) -> None:
        self._mw = mw
        self._ended = threading.Event()

    def start(self) -> None:
        """Begin."""
        threading.Thread(target=self._loop, name="scheduler", daemon=True).start()

    def stop(self) -> None:
        """End; a task that runs is not waited for."""
        self._ended.set()

    def _loop(self) -> None:
        last = datetime.datetime.now().replace(second=0, microsecond=0)
        while not self._ended.wait(60 - time.time() % 60):
            minute = datetime.datetime.now().replace(second=0, microsecond=0)
            if minute != last:  # the clock may step back, and a wait may end a little early
                last = minute
                self.tick(minute)

    def tick(self, minute: datetime.datetime) -> None:
        """Do what is due in this minute."""
        mw = self._mw
        for task in list(mw.store.table("snapshottask")):
            try:
                if task["enabled"] and cron.due(task["schedule"], minute) and not snapshottask.hold_reason(mw, task["dataset"]):
                    snapshottask.execute(mw, task, minute)
                    run_bound(mw, task["id"], minute)
            except CallError as exc:
                _LOG.warning("snapshot task %s: %s", task["id"], exc)
        for task in list(mw.store.table("replication")):
            if task["enabled"] and task["auto"] and task["schedule"] and cron.due(task["schedule"], minute) and not hold(mw, task):
                _start(mw, task["id"])
