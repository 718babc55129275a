# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Canaries: numbered, timed, authenticated records whose acknowledgements are kept outside the stores.

For each record a line ``intent`` is flushed to ``canary-<store>.jsonl`` before the store is asked, and a line ``ack`` after
it has acknowledged. The number rises only on an acknowledgement, so 1..n are all acknowledged: what is recovered must be
a prefix of them, with at most one unacknowledged record behind it. When a rebuild has shown which records are lost, a line
``lost`` says so: the series goes on behind them, and they are not missed a second time.
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


@dataclasses.dataclass(frozen=True)
class Loss:
    """Acknowledged records that a rebuild did not bring back.

    Args:
        first: Number of the first of them.
        last: Number of the last of them.
        disaster_at: Moment of the disaster that took them, if it was told.
    """

    first: int
    last: int
    disaster_at: str | None


@dataclasses.dataclass
class Acknowledgements:
    """What the writer wrote down about one series in one store.

    Args:
        acknowledged: Time of each acknowledged record, by number.
        intents: All (number, time) that the writer began to write.
        losses: What earlier rebuilds did not bring back.
    """

    acknowledged: dict[int, str] = dataclasses.field(default_factory=dict)
    intents: set[tuple[int, str]] = dataclasses.field(default_factory=set)
    losses: list[Loss] = dataclasses.field(default_factory=list)

    @property
    def last(self) -> int:
        """Number of the newest acknowledged record; 0 if there is none."""
        return max(self.acknowledged, default=0)

    def lost(self, number: int, *, other_than: str | None = None) -> bool:
        """Return whether record *number* is known to be lost (by a disaster at another moment than *other_than*)."""
        return any(loss.first <= number <= loss.last for loss in self.losses if other_than is None or loss.disaster_at != other_than)

    def newest(self, series: str, store: str) -> dict[str, t.Any] | None:
        """Return ``{series, store, sequence, time}`` of the newest acknowledged record."""
        return {"series": series, "store": store, "sequence": self.last, "time": self.acknowledged[self.last]} if self.acknowledged else None


class AckLog:
    """The file ``canary-<store>.jsonl`` of a run or of the platform.

    Args:
        run_dir: Directory of the run, or the one that the platform's series has.
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
            elif item["kind"] == "lost":
                known.losses.append(Loss(item["first"], item["sequence"], item["disaster_at"]))
            else:
                known.acknowledged[item["sequence"]] = item["time"]
        return known

    def add(self, kind: t.Literal["intent", "ack"], record: Line) -> None:
        """Append a line about *record* and flush it to the disk."""
        line = {"kind": kind, "series": self.series, "sequence": record["sequence"], "time": record["time"], "at": utc_now()}
        self.append(canonical(line) + b"\n")

    def add_loss(self, loss: Loss, newest_at: str) -> None:
        """Write down *loss*, of which the newest record is from *newest_at*."""
        line = {"kind": "lost", "series": self.series, "first": loss.first, "sequence": loss.last, "time": newest_at, "disaster_at": loss.disaster_at}
        self.append(canonical({**line, "at": utc_now()}) + b"\n")

    def append(self, lines: bytes) -> None:
        """Append whole *lines* and flush them to the disk."""
        with open(self.path, "a+b", buffering=0) as handle:
            size = handle.seek(0, os.SEEK_END)
            torn = False
            if size:
                handle.seek(size - 1)
                torn = handle.read(1) != b"\n"
            handle.write((b"\n" if torn else b"") + lines)
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
        # Nothing that was acknowledged should be there: the series is new, or all of it is lost.
        self._nothing_there = all(self.known.lost(number) for number in self.known.acknowledged)
        self._begun = bool(self.known.intents)

    def _begin(self) -> None:
        """Refuse to begin a series that the store already holds: its numbers would be given twice."""
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
