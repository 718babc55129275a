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
import hashlib
import hmac
import json
import os
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, utc_now
from ansible_collections.resilient.platform.plugins.module_utils._evidence.stores import Line

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
