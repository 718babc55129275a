# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What came back: compares the canaries in a store with the acknowledgements that were kept outside it."""

from __future__ import annotations

import dataclasses
import hmac
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._evidence import canary
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import parse_time, seconds_between, sha256_file
from ansible_collections.resilient.platform.plugins.module_utils._evidence.stores import Line, Store

Verdict = t.Literal["verified", "failed", "could_not_verify"]


@dataclasses.dataclass
class Found:
    """What a store holds, sorted.

    Args:
        present: Newest time of each genuine record, by number.
        forged: Numbers of records whose MAC is wrong.
        phantom: Numbers of records with a good MAC that nobody began to write.
        unreadable: Count of lines or keys that are no records.
        torn_tail: Whether the last one is unreadable: cut off by the snapshot, not damaged.
    """

    present: dict[int, str] = dataclasses.field(default_factory=dict)
    forged: list[int] = dataclasses.field(default_factory=list)
    phantom: list[int] = dataclasses.field(default_factory=list)
    unreadable: int = 0
    torn_tail: bool = False

    @property
    def newest(self) -> int:
        """Highest number of a genuine record; 0 if there is none."""
        return max(self.present, default=0)

    @property
    def missing(self) -> list[int]:
        """Numbers below the newest that are not there."""
        return [number for number in range(1, self.newest) if number not in self.present]


def sort_out(lines: t.Sequence[Line | None], store: str, log: canary.AckLog, known: canary.Acknowledgements, key: bytes) -> Found:
    """Return what *lines* are, by their MACs and by what the writer wrote down."""
    found = Found(torn_tail=bool(lines) and lines[-1] is None)
    for line in lines:
        if line is None:
            found.unreadable += 1
            continue
        number = line.get("sequence")
        genuine = isinstance(number, int) and line.get("series") == log.series and line.get("store") == store
        if not isinstance(number, int) or not genuine or not hmac.compare_digest(str(line.get("mac")), canary.mac_of(line, key)):
            found.forged.append(number if isinstance(number, int) else 0)
        elif (number, line["time"]) not in known.intents:
            found.phantom.append(number)
        else:
            # The same number twice: the first try was not acknowledged, though it had arrived.
            found.present[number] = max(line["time"], found.present.get(number, ""))
    return found


def _numbers(numbers: t.Sequence[int]) -> str:
    shown = ", ".join(str(number) for number in sorted(numbers)[:5])
    return f"record {shown}" if len(numbers) == 1 else f"records {shown}{' and more' if len(numbers) > 5 else ''}"


def _missing(found: Found, known: canary.Acknowledgements) -> list[int]:
    """Return what is missing below the newest record and was not lost before."""
    return [number for number in found.missing if not known.lost(number)]


def _problems(found: Found, known: canary.Acknowledgements, minimum: int) -> list[str]:
    problems: list[str] = []
    if found.forged:
        problems.append(f"{_numbers(found.forged)} forged: the MAC is wrong")
    if found.phantom and known.last >= minimum:
        problems.append(f"{_numbers(found.phantom)} never written by this series' writer")
    missing = _missing(found, known)
    if missing:
        problems.append(f"{_numbers(missing)} missing below the newest recovered one ({found.newest})")
    unfinished = len({number for number, _time in known.intents} - set(known.acknowledged)) + len(known.intents) - len(known.acknowledged)
    if found.unreadable > unfinished + int(found.torn_tail):
        problems.append(f"{found.unreadable} entries that cannot be read")
    if not found.present:
        problems.append("no record was recovered")
    elif (found.newest if known.last >= minimum else max([found.newest, *found.phantom])) < minimum:
        problems.append(f"the newest recovered record is {found.newest}, and the backup held {minimum}")
    return problems


def judge(found: Found, known: canary.Acknowledgements, disaster_at: str | None, minimum: int = 0) -> dict[str, t.Any]:
    """Return ``recovered, acknowledged, lost, phantom, ..., verdict, reason`` for one store.

    Args:
        found: What the store holds.
        known: What was acknowledged.
        disaster_at: Moment of the disaster; what was acknowledged later is not counted as lost.
        minimum: Number of the newest record that the backup is known to have held.
    """
    problems = _problems(found, known, minimum)
    counted = {number: moment for number, moment in known.acknowledged.items() if disaster_at is None or parse_time(moment) <= parse_time(disaster_at)}
    newest_at = found.present.get(found.newest)
    rpo = max(0.0, seconds_between(newest_at, disaster_at)) if newest_at and disaster_at else None
    verdict: Verdict = "failed" if problems else "verified"
    if not known.acknowledged:
        verdict, problems = "could_not_verify", ["nothing was acknowledged, so there is nothing to compare with", *problems]
    elif known.last < minimum:
        # Records behind the end of what is known are genuine by their MACs, but nobody can say which of them should be there.
        verdict = "failed" if problems else "could_not_verify"
        problems.append(f"the acknowledgements end with record {known.last}, but the backup is known to hold {minimum}: they are incomplete")
    return {
        "recovered": len(found.present),
        "acknowledged": len(known.acknowledged),
        # What an earlier disaster took was that one's loss.
        "lost": len([number for number in counted if number not in found.present and not known.lost(number, other_than=disaster_at)]),
        "phantom": len(found.phantom),
        "forged": len(found.forged),
        "missing": _missing(found, known)[:20],
        "unacknowledged": len([number for number in found.present if number not in known.acknowledged]),
        "newest_recovered": found.newest or None,
        "newest_recovered_at": newest_at,
        "newest_acknowledged": known.last or None,
        "newest_acknowledged_at": known.acknowledged.get(known.last),
        "rpo_seconds": rpo,
        "verdict": verdict,
        "reason": "; ".join(problems),
    }


def read_store(store: Store, log: canary.AckLog, key: bytes, disaster_at: str | None, minimum: int = 0) -> dict[str, t.Any]:
    """Read *store* and judge it; a store that cannot be read is *could_not_verify*, never green."""
    known = log.load()
    try:
        lines = store.read(log.series)
    except PlatformError as exc:
        result = judge(Found(), known, disaster_at)
        result |= {"verdict": "could_not_verify", "reason": exc.message, "lost": None, "recovered": None}
    else:
        known.intents = log.load().intents  # a writer that is at work meanwhile adds records that are not phantoms
        result = judge(sort_out(lines, store.name, log, known, key), known, disaster_at, minimum)
    result["asset"] = store.asset
    result["acknowledgements_sha256"] = sha256_file(log.path)[0] if os.path.exists(log.path) else None
    return result


def accept_loss(log: canary.AckLog, found: t.Mapping[str, t.Any], disaster_at: str | None, *, write: bool = True) -> bool:
    """Write down that what is not there is lost for good, so that the series can go on behind it; return whether anything is.

    Only of a store that is *verified*: what is missing in any other way has to be looked at, and stays missing.
    """
    known = log.load()
    newest = int(found["newest_recovered"] or 0)
    gone = [number for number in known.acknowledged if number > newest and not known.lost(number)]
    if found["verdict"] != "verified" or not gone:
        return False
    if write:
        log.add_loss(canary.Loss(min(gone), max(gone), disaster_at), known.acknowledged[max(gone)])
    return True


def overall(results: t.Mapping[str, t.Mapping[str, t.Any]]) -> Verdict:
    """Return the verdict over all stores."""
    verdicts = {item["verdict"] for item in results.values()}
    if "failed" in verdicts:
        return "failed"
    return "verified" if verdicts == {"verified"} else "could_not_verify"


def skew_seconds(results: t.Mapping[str, t.Mapping[str, t.Any]]) -> float | None:
    """Return how far the newest recovered records of the stores lie apart: 0 is a consistent recovery."""
    times = sorted(item["newest_recovered_at"] for item in results.values() if item["newest_recovered_at"])
    return seconds_between(times[0], times[-1]) if len(times) > 1 else None
