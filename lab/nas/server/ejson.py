"""JSON with the middleware's extensions: dates, times and sets."""

from __future__ import annotations

import datetime
import json
from typing import Any


def _default(value: Any) -> Any:
    if isinstance(value, datetime.datetime):
        return {"$date": int(value.timestamp() * 1000)}
    if isinstance(value, datetime.time):
        return {"$time": value.strftime("%H:%M:%S")}
    if isinstance(value, (set, frozenset)):
        return {"$set": sorted(value)}
    raise TypeError(f"{type(value).__name__} has no place in a message")


def _hook(value: dict[str, Any]) -> Any:
    if set(value) == {"$date"} and isinstance(value["$date"], int):
        return datetime.datetime.fromtimestamp(value["$date"] / 1000, datetime.timezone.utc)
    if set(value) == {"$set"}:
        return set(value["$set"])
    return value


def dumps(value: Any) -> str:
    """Return the text of a message."""
    return json.dumps(value, default=_default)


def loads(text: str) -> Any:
    """Return the value of a message. ValueError if it is not JSON."""
    return json.loads(text, object_hook=_hook)


def now() -> datetime.datetime:
    """Return the time, aware and in UTC, to the millisecond that the wire has."""
    return datetime.datetime.fromtimestamp(int(datetime.datetime.now(datetime.timezone.utc).timestamp() * 1000) / 1000, datetime.timezone.utc)
