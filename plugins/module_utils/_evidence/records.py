# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The evidence log: JSON lines, each chained to the one before by SHA-256, written as things happen.

A line is the canonical JSON of a record; its ``digest`` is the SHA-256 of the canonical JSON of all other fields. Lines
are appended under a lock and flushed to the disk, so a run that is killed leaves a valid prefix. What was torn at the end
is cut off by the next append, which says so in a record.
"""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, fsync_directory, normalise, sha256_hex, utc_now
from ansible_collections.resilient.platform.plugins.module_utils._evidence.redaction import refuse_secrets

VERSION = 1
GENESIS = "0" * 64
LOG_NAME = "evidence.jsonl"
Outcome = t.Literal["passed", "failed", "skipped", "info"]
Record = dict[str, t.Any]
FIELDS = (
    "version", "sequence", "run", "time", "clock", "step", "asset", "check", "outcome", "required", "data",
    "expected", "actual", "duration_seconds", "facts", "previous", "digest",
)  # fmt: skip
# Checks that keep the books; they prove nothing about the platform.
BOOKKEEPING = frozenset({"run_started", "run_resumed", "run_finished", "log_repaired", "step_started", "step_finished"})


class ChainBroken(PlatformError):
    """The log was changed after it was written; ``details['record']`` is the number of the record that is wrong."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a caller says; the log adds number, time and digests.

    Args:
        step: The part of the run, such as ``backup``.
        check: What was looked at, such as ``step_finished`` or ``canary``.
        outcome: What came out.
        asset: What it is about, such as ``vault``; none for the run as a whole.
        required: Whether the verdict depends on it.
        data: Whether it proves something about data and not only that a command ended well.
        expected: What should have been seen (JSON).
        actual: What was seen (JSON).
        duration_seconds: How long it took.
        facts: What later steps and the report need; merged over all records.
    """

    step: str
    check: str
    outcome: Outcome
    asset: str | None = None
    required: bool = True
    data: bool = False
    expected: t.Any = None
    actual: t.Any = None
    duration_seconds: float | None = None
    facts: t.Mapping[str, t.Any] = dataclasses.field(default_factory=dict)


def read_clock() -> dict[str, t.Any]:
    """Return ``boottime_seconds`` (runs on during suspend, is never set) and the ``boot_id`` within which it is comparable."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as handle:
            boot_id: str | None = handle.read().strip()
    except OSError:
        boot_id = None
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return {"boottime_seconds": round(time.clock_gettime(clock), 6), "boot_id": boot_id}


def digest_of(record: t.Mapping[str, t.Any]) -> str:
    """Return the digest that *record* must carry."""
    return sha256_hex(canonical({key: value for key, value in record.items() if key != "digest"}))


def check_line(line: bytes, number: int, previous: str, where: str) -> Record:
    """Return the record in *line* (without newline), which must be number *number* and follow the digest *previous*.

    Raises:
        ChainBroken: it is not what was written.
    """

    def broken(reason: str) -> ChainBroken:
        return ChainBroken(
            f"Record {number} of {where} is wrong: {reason}.",
            hint="The log was changed after it was written. Use the copy at a backup destination, or begin a new run.",
            details={"record": number, "reason": reason},
        )

    try:
        record = json.loads(line)
    except ValueError as exc:
        raise broken("it is not JSON") from exc
    if not isinstance(record, dict) or set(record) != set(FIELDS):
        raise broken("its fields are not those of a record")
    if record["version"] != VERSION:
        raise broken(f"its version is {record['version']!r} and this release reads {VERSION}")
    if record["sequence"] != number:
        raise broken(f"its sequence is {record['sequence']!r}")
    if record["previous"] != previous:
        raise broken("it does not follow the record before it")
    if record["digest"] != digest_of(record) or line != canonical(record):
        raise broken("its digest does not match its content")
    return record


def parse_log(data: bytes, where: str) -> tuple[list[Record], int]:
    """Return the records in *data* and the number of torn bytes at its end.

    Raises:
        ChainBroken: names the first record that is wrong.
    """
    whole = data[: data.rfind(b"\n") + 1]
    records: list[Record] = []
    previous = GENESIS
    for number, line in enumerate(whole.split(b"\n")[:-1], start=1):
        record = check_line(line, number, previous, where)
        if records and record["run"] != records[0]["run"]:
            raise ChainBroken(
                f"Record {number} of {where} is wrong: it belongs to the run {record['run']!r}.",
                hint="Records of two runs were mixed. Use the copy at a backup destination.",
                details={"record": number, "reason": "other run"},
            )
        records.append(record)
        previous = record["digest"]
    return records, len(data) - len(whole)


def read_log(run_dir: str) -> list[Record]:
    """Return the records of the run in *run_dir*; a torn last line is left out.

    Raises:
        Refused: there is no log.
        ChainBroken: the log was changed.
    """
    path = os.path.join(run_dir, LOG_NAME)
    try:
        with open(path, "rb") as handle:
            data = handle.read()
    except OSError as exc:
        raise Refused(f"Cannot read the evidence log {path}: {exc.strerror}.", hint="Give the directory of a run as run_dir.") from exc
    return parse_log(data, path)[0]


def _make(entry: Entry, run: str, number: int, previous: str) -> Record:
    record: Record = {
        "version": VERSION,
        "sequence": number,
        "run": run,
        "time": utc_now(),
        "clock": read_clock(),
        **dataclasses.asdict(entry),
        "previous": previous,
    }
    record["facts"] = dict(entry.facts)
    if entry.duration_seconds is not None:
        record["duration_seconds"] = round(entry.duration_seconds, 6)
    record = normalise(record)
    record["digest"] = digest_of(record)
    return record


def check_entry(entry: Entry) -> None:
    """Refuse an *entry* that must not get into a log, before anything is written."""
    for name in ("step", "check"):
        if not getattr(entry, name):
            raise Refused(f"A record needs a {name}. Nothing was written.", hint=f"Give {name}.")
    for name in ("facts", "expected", "actual"):
        refuse_secrets(getattr(entry, name), name)
    canonical(dataclasses.asdict(entry))


def append(run_dir: str, run: str, entries: t.Sequence[Entry]) -> list[Record]:
    """Append *entries* to the log of *run_dir*, flush them to the disk, and return them as records.

    Raises:
        Refused: an entry holds a secret, the run is finished, or the log belongs to another run; nothing was written.
        ChainBroken: the log was changed; nothing was written.
    """
    for entry in entries:
        check_entry(entry)
    path = os.path.join(run_dir, LOG_NAME)
    new = not os.path.exists(path)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    with os.fdopen(fd, "r+b") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        data = handle.read()
        records, torn = parse_log(data, path)
        if records and records[0]["run"] != run:
            raise Refused(f"Cannot write records of the run {run} into {path}: it is the log of {records[0]['run']}.", hint="Give its own run_dir.")
        if records and records[-1]["check"] == "run_finished":
            raise Refused(f"Cannot add to {path}: the run {run} is finished.", hint="Begin a new run.")
        if torn:
            handle.truncate(len(data) - torn)
            repaired = Entry("run", "log_repaired", "info", required=False, actual=f"{torn} bytes of an unfinished last line were cut off")
            entries = [repaired, *entries]
        handle.seek(len(data) - torn)
        written: list[Record] = []
        previous = records[-1]["digest"] if records else GENESIS
        for number, entry in enumerate(entries, start=len(records) + 1):
            record = _make(entry, run, number, previous)
            previous = record["digest"]
            written.append(record)
        handle.write(b"".join(canonical(record) + b"\n" for record in written))
        handle.flush()
        os.fsync(handle.fileno())
    if new:
        fsync_directory(run_dir)
    return written


def merge_facts(records: t.Iterable[Record]) -> dict[str, t.Any]:
    """Return the facts of all *records* as one mapping; later ones win, mappings are merged, lists are replaced."""
    merged: dict[str, t.Any] = {}
    for record in records:
        _merge(merged, record["facts"])
    return merged


def _merge(into: dict[str, t.Any], new: t.Mapping[str, t.Any]) -> None:
    for key, value in new.items():
        if isinstance(value, t.Mapping):
            known = into.get(key)
            branch: dict[str, t.Any] = known if isinstance(known, dict) else {}
            into[key] = branch
            _merge(branch, value)
        else:
            into[key] = value


def steps_done(records: t.Iterable[Record]) -> list[str]:
    """Return the steps that are finished, in the order in which they were."""
    done: list[str] = []
    for record in records:
        if record["check"] == "step_finished" and record["outcome"] == "passed" and record["step"] not in done:
            done.append(record["step"])
    return done
