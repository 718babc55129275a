# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What the server sends, as plain values: extended JSON, and jobs."""

from __future__ import annotations

import dataclasses
import datetime
import typing as t

FINAL = ("SUCCESS", "FAILED", "ABORTED")


def from_ejson(value: dict[str, t.Any]) -> t.Any:
    """Turn the server's extended JSON into plain values: dates to ISO 8601 in UTC, sets to sorted lists."""
    if len(value) == 1:
        if "$date" in value:
            moment = datetime.datetime.fromtimestamp(value["$date"] / 1000, tz=datetime.timezone.utc)
            return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if "$set" in value:
            return sorted(value["$set"], key=str)
        if "$time" in value:
            return value["$time"]
    return value


@dataclasses.dataclass
class Job:
    """A job of the server as it was seen last. Arguments are left out: they may hold secrets."""

    id: int | None = None
    state: str = "WAITING"
    percent: float | None = None
    description: str = ""
    result: t.Any = dataclasses.field(default=None, repr=False)
    error: str = ""
    extra: t.Any = dataclasses.field(default=None, repr=False)
    log: list[str] = dataclasses.field(default_factory=list, repr=False)

    @classmethod
    def from_api(cls, record: t.Mapping[str, t.Any]) -> Job:
        """Read a record of ``core.get_jobs``."""
        progress = record.get("progress") or {}
        failure = record.get("exc_info") or {}
        return cls(
            id=record.get("id"),
            state=str(record.get("state") or "WAITING"),
            percent=progress.get("percent"),
            description=str(progress.get("description") or ""),
            result=record.get("result"),
            error=str(record.get("error") or "").strip(),
            extra=failure.get("extra") if failure.get("type") == "VALIDATION" else None,
            log=str(record.get("logs_excerpt") or "").splitlines()[-20:],
        )
