"""Schedules: five cron fields and a window of the day."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from lab.nas.server.schema import Model

_RANGES = {"minute": (0, 59), "hour": (0, 23), "dom": (1, 31), "month": (1, 12), "dow": (0, 7)}
_WORDS = {"month": "jan feb mar apr may jun jul aug sep oct nov dec".split(), "dow": "sun mon tue wed thu fri sat".split()}


def values(field: str, text: str) -> set[int]:
    """Return the numbers that a cron field stands for. ValueError if it is none."""
    low, high = _RANGES[field]
    found: set[int] = set()
    for index, word in enumerate(_WORDS.get(field, [])):
        text = re.sub(rf"\b{word}\b", str(index + (1 if field == "month" else 0)), text.lower())
    for part in text.split(","):
        match = re.fullmatch(r"(\*|(\d+)(?:-(\d+))?)(?:/(\d+))?", part.strip())
        if match is None:
            raise ValueError(f"Please ensure fields match cron syntax - {text!r} is not a valid {field}")
        begin = low if match[1] == "*" else int(match[2])
        end = high if match[1] == "*" else int(match[3] or (high if match[4] else match[2]))
        if begin < low or end > high or begin > end or match[4] == "0":
            raise ValueError(f"Please ensure fields match cron syntax - {text!r} is out of range for {field}")
        found.update(range(begin, end + 1, int(match[4] or 1)))
    return {number % 7 for number in found} if field == "dow" else found


def _checked(field: str) -> Any:
    def check(text: str) -> str:
        values(field, text)
        return text

    return AfterValidator(check)


class Cron(Model):
    """A schedule."""

    minute: Annotated[str, _checked("minute")] = "00"
    hour: Annotated[str, _checked("hour")] = "*"
    dom: Annotated[str, _checked("dom")] = "*"
    month: Annotated[str, _checked("month")] = "*"
    dow: Annotated[str, _checked("dow")] = "*"


_Time = Annotated[str, Field(pattern=r"^([01]?[0-9]|2[0-3]):[0-5][0-9]$")]


class TimeCron(Cron):
    """A schedule within a window of the day."""

    begin: _Time = "00:00"
    end: _Time = "23:59"


def _time(text: str) -> datetime.time:
    hour, minute = text.split(":")
    return datetime.time(int(hour), int(minute))


def due(schedule: dict[str, str], when: datetime.datetime) -> bool:
    """Say whether a schedule names this minute (local time)."""
    fields = {"minute": when.minute, "hour": when.hour, "dom": when.day, "month": when.month, "dow": (when.weekday() + 1) % 7}
    if not all(number in values(field, schedule.get(field, "*")) for field, number in fields.items()):
        return False
    begin, end = _time(schedule.get("begin", "00:00")), _time(schedule.get("end", "23:59"))
    now = when.time().replace(second=0, microsecond=0)
    return begin <= now <= end if begin <= end else now >= begin or now <= end
