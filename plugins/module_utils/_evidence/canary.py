# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Canaries: numbered, timed, authenticated records whose acknowledgements are kept outside the stores.

For each record a line ``intent`` is flushed to ``canary-<store>.jsonl`` before the store is asked, and a line ``ack`` after
it has acknowledged. The number rises only on an acknowledgement, so 1..n are all acknowledged: what is recovered must be
a prefix of them, with at most one unacknowledged record behind it.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import hmac
import json
import os
import re
import threading
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, utc_now
from ansible_collections.resilient.platform.plugins.module_utils._evidence.stores import Line, Store

STOP_NAME = "canary.stop"
LOCK_NAME = "canary.lock"
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$")
_SIGNED = ("series", "store", "sequence", "time")


def check_name(value: str, what: str) -> str:
    """Return *value* if it can be part of a file name and of a key. Raises Refused."""
    if not _NAME.match(value):
        raise Refused(f"{value!r} cannot be the name of a {what}.", hint="Use letters, digits and ._- and begin with a letter or digit.")
    return value


def load_key(path: str) -> bytes:
    """Return the HMAC key in the file at *path* (white space around it is not part of it).

    Raises:
        Refused: it cannot be read or is shorter than 16 bytes.
    """
    try:
        with open(path, "rb") as handle:
            key = handle.read().strip()
    except OSError as exc:
        raise Refused(
            f"Cannot read the canary key {path}: {exc.strerror}.", hint="Create one with the role resilient.platform.evidence, tasks_from: keys."
        ) from exc
    if len(key) < 16:
        raise Refused(f"The canary key {path} is shorter than 16 bytes.", hint="Create one with: openssl rand -hex 32.")
    return key


def mac_of(record: t.Mapping[str, t.Any], key: bytes) -> str:
    """Return the HMAC-SHA256 that *record* must carry."""
    return hmac.new(key, canonical({name: record.get(name) for name in _SIGNED}), hashlib.sha256).hexdigest()


def make(series: str, store: str, sequence: int, key: bytes) -> Line:
    """Return record number *sequence* of *series* for *store*."""
    record: Line = {"series": series, "store": store, "sequence": sequence, "time": utc_now()}
    return {**record, "mac": mac_of(record, key)}


@dataclasses.dataclass
class Acknowledgements:
    """What the writer wrote down about one series in one store.

    Args:
        acknowledged: Time of each acknowledged record, by number.
        intents: All (number, time) that the writer began to write.
    """

    acknowledged: dict[int, str] = dataclasses.field(default_factory=dict)
    intents: set[tuple[int, str]] = dataclasses.field(default_factory=set)

    @property
    def last(self) -> int:
        """Number of the newest acknowledged record; 0 if there is none."""
        return max(self.acknowledged, default=0)

    def newest(self, store: str) -> dict[str, t.Any] | None:
        """Return ``{store, sequence, time}`` of the newest acknowledged record."""
        return {"store": store, "sequence": self.last, "time": self.acknowledged[self.last]} if self.acknowledged else None


class AckLog:
    """The file ``canary-<store>.jsonl`` of a run.

    Args:
        run_dir: Directory of the run.
        store: Name of the store.
        series: Name of the series.
    """

    def __init__(self, run_dir: str, store: str, series: str) -> None:
        self.path = os.path.join(run_dir, f"canary-{check_name(store, 'store')}.jsonl")
        self.series = check_name(series, "series")

    def load(self) -> Acknowledgements:
        """Return what is written down; a line torn by a kill counts as not written."""
        known = Acknowledgements()
        try:
            with open(self.path, "rb") as handle:
                data = handle.read()
        except FileNotFoundError:
            return known
        for line in data[: data.rfind(b"\n") + 1].split(b"\n"):
            try:
                item = json.loads(line)
            except ValueError:
                continue
            if item.get("series") != self.series:
                continue
            if item["kind"] == "intent":
                known.intents.add((item["sequence"], item["time"]))
            else:
                known.acknowledged[item["sequence"]] = item["time"]
        return known

    def add(self, kind: t.Literal["intent", "ack"], record: Line) -> None:
        """Append a line about *record* and flush it to the disk."""
        line = {"kind": kind, "series": self.series, "sequence": record["sequence"], "time": record["time"], "at": utc_now()}
        with open(self.path, "a+b", buffering=0) as handle:
            size = handle.seek(0, os.SEEK_END)
            torn = False
            if size:
                handle.seek(size - 1)
                torn = handle.read(1) != b"\n"
            handle.write((b"\n" if torn else b"") + canonical(line) + b"\n")
            os.fsync(handle.fileno())


class Writer:
    """Writes one series to one store.

    Args:
        store: The store.
        log: Where acknowledgements go.
        key: HMAC key.
    """

    def __init__(self, store: Store, log: AckLog, key: bytes) -> None:
        self.store = store
        self.log = log
        self.key = key
        self.known = log.load()
        self.written: list[Line] = []
        self.errors = 0
        self.last_error = ""

    def write_one(self) -> None:
        """Write the next record; counts instead of raising if the store does not take it."""
        sequence = self.known.last + 1
        record = make(self.log.series, self.store.name, sequence, self.key)
        self.log.add("intent", record)
        try:
            self.store.write(self.log.series, record, first=not self.known.acknowledged)
        except PlatformError as exc:
            self.errors += 1
            self.last_error = exc.message
            return
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
            "newest": self.known.newest(self.store.name),
            "errors": self.errors,
            "last_error": self.last_error,
        }


def make_writers(run_dir: str, series: str, stores: t.Sequence[Store], key: bytes) -> list[Writer]:
    """Return a writer for each store."""
    return [Writer(store, AckLog(run_dir, store.name, series), key) for store in stores]


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

    def release(self) -> None:
        """Let others write."""
        os.close(self._fd)


def write_until_stopped(writers: t.Sequence[Writer], run_dir: str, interval: float, max_seconds: float) -> bool:
    """Write to all stores, each by its own thread so that one that hangs does not hold up the others.

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
    for thread in threads:
        thread.join()
    return os.path.exists(stop_file)
