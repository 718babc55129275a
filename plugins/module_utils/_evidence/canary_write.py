# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Writers of canaries: one for each store, one process at a time for a series."""

from __future__ import annotations

import fcntl
import os
import threading
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canary import AckLog, make
from ansible_collections.resilient.platform.plugins.module_utils._evidence.stores import Line, Store

STOP_NAME = "canary.stop"
LOCK_NAME = "canary.lock"


class Writer:
    """Writes one series to one store.

    Args:
        store: The store.
        log: Where acknowledgements go.
        key: HMAC key.
        may_begin: Whether the series may be begun in a store of which nothing is acknowledged.
    """

    def __init__(self, store: Store, log: AckLog, key: bytes, *, may_begin: bool = True) -> None:
        self.store = store
        self.log = log
        self.key = key
        self.known = log.load()
        self.written: list[Line] = []
        self.errors = 0
        self.last_error = ""
        # Nothing that was acknowledged should be there: the series is new, or all of it is lost.
        self._nothing_there = all(self.known.lost(number) for number in self.known.acknowledged)
        self._begun = bool(self.known.intents)
        self._may_begin = may_begin

    def _begin(self) -> None:
        """Refuse to begin a series that the store already holds: its numbers would be given twice."""
        if not self._begun and not self._may_begin:
            raise Refused(f"The series {self.log.series!r} is not begun in the store {self.store.name!r}.", hint="Write it while the platform is whole.")
        if not self._begun and self.store.read(self.log.series):
            raise Refused(
                f"The store {self.store.name!r} holds records of the series {self.log.series!r}, but {self.log.path} knows of none.",
                hint="Bring back the acknowledgements from a destination, or begin a series with another name.",
            )
        self._begun = True

    def write_one(self) -> None:
        """Write the next record; counts instead of raising if the store does not take it."""
        try:
            self._begin()
            sequence = self.known.last + 1
            record = make(self.log.series, self.store.name, sequence, self.key)
            self.log.add("intent", record)
            self.store.write(self.log.series, record, first=self._nothing_there)
        except PlatformError as exc:
            self.errors += 1
            self.last_error = exc.message
            return
        self._nothing_there = False
        self.log.add("ack", record)
        self.known.acknowledged[sequence] = record["time"]
        self.written.append(record)

    def keep_writing(
        self, interval: float, stop: t.Callable[[], bool], clock: t.Callable[[], float] = time.monotonic, sleep: t.Callable[[float], None] = time.sleep
    ) -> None:
        """Write a record every *interval* seconds until *stop* says so."""
        due = clock()
        while not stop():
            left = due - clock()
            if left > 0:
                sleep(min(left, 0.2))
                continue
            self.write_one()
            due = max(due + interval, clock())

    def as_result(self) -> dict[str, t.Any]:
        """Return what a module says about this store."""
        return {
            "asset": self.store.asset,
            "written": len(self.written),
            "acknowledged": len(self.known.acknowledged),
            "newest": self.known.newest(self.log.series, self.store.name),
            "errors": self.errors,
            "last_error": self.last_error,
        }


def make_writers(run_dir: str, series: str, stores: t.Sequence[Store], key: bytes, *, may_begin: bool = True) -> list[Writer]:
    """Return a writer for each store."""
    return [Writer(store, AckLog(run_dir, store.name, series), key, may_begin=may_begin) for store in stores]


class OneWriter:
    """Holds the run's lock for writers as long as this process lives."""

    def __init__(self, run_dir: str) -> None:
        self._fd = os.open(os.path.join(run_dir, LOCK_NAME), os.O_RDWR | os.O_CREAT, 0o644)

    def take(self) -> bool:
        """Return whether no other process of this machine writes canaries for the run."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def take_soon(self, seconds: float) -> bool:
        """Take it as soon as nobody else has it; return whether that was within *seconds*."""
        end = time.monotonic() + seconds
        while not self.take():
            if time.monotonic() >= end:
                return False
            time.sleep(0.1)
        return True

    def release(self) -> None:
        """Let others write."""
        os.close(self._fd)


def stopped_by(run_dir: str) -> str | None:
    """Return what the file ``canary.stop`` says, or None if there is none."""
    try:
        with open(os.path.join(run_dir, STOP_NAME), encoding="utf-8", errors="replace") as handle:
            return handle.read(200).strip() or "an empty file"
    except FileNotFoundError:
        return None


def write_until_stopped(
    writers: t.Sequence[Writer], run_dir: str, interval: float, max_seconds: float, meanwhile: t.Callable[[], object] = lambda: None, every: float = 60.0
) -> bool:
    """Write to all stores, each by its own thread so that one that hangs does not hold up the others.

    Args:
        writers: The writers.
        run_dir: Where ``canary.stop`` ends the writing.
        interval: Seconds between two records of a store.
        max_seconds: When it ends by itself.
        meanwhile: Called by this thread about every *every* seconds.
        every: Seconds.

    Returns:
        Whether it was stopped by the file ``canary.stop`` (and not by *max_seconds*).
    """
    stop_file = os.path.join(run_dir, STOP_NAME)
    end = time.monotonic() + max_seconds

    def stop() -> bool:
        return os.path.exists(stop_file) or time.monotonic() >= end

    threads = [threading.Thread(target=writer.keep_writing, args=(interval, stop), daemon=True) for writer in writers]
    for thread in threads:
        thread.start()
    due = time.monotonic() + every
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(timeout=0.2)
        if time.monotonic() >= due:
            meanwhile()
            due = time.monotonic() + every
    return os.path.exists(stop_file)
