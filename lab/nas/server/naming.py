"""Snapshot names made from schemas. A snapshot's age is what its name says, never its creation time."""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any

from pydantic import AfterValidator

_ALLOWED = re.compile(r"[0-9A-Za-z %_.:-]+")
_NEEDED = ("%Y", "%m", "%d", "%H", "%M")


def problem(schema: str) -> str | None:
    """Say what is wrong with a naming schema; None if it is good."""
    if not _ALLOWED.fullmatch(schema):
        return f"Snapshot naming schema must only contain numbers, letters, spaces and `%`, `_`, `.`, `:`, `-`: {schema!r}"
    if "%s" in schema:
        return "No other placeholder can be used with %s in naming schema" if any(part in schema for part in _NEEDED) else None
    missing = [part for part in _NEEDED if part not in schema]
    return f"{missing[0]} must be present in snapshot naming schema" if missing else None


def _validated(schema: Any) -> Any:
    text = problem(schema)
    if text:
        raise ValueError(text)
    return schema


Schema = Annotated[str, AfterValidator(_validated)]


def make(schema: str, when: datetime.datetime) -> str:
    """Return the name of a snapshot taken at a moment."""
    if "%s" in schema:
        schema = schema.replace("%s", str(int(when.timestamp())))
    return when.strftime(schema).replace("+", "--")


def parse(name: str, schema: str) -> datetime.datetime | None:
    """Return the moment (local time, without zone) that a name stands for, None if it is not of this schema."""
    try:
        if "%s" in schema:
            found = re.fullmatch(re.escape(schema).replace("%s", r"(\d+)"), name)
            return datetime.datetime.fromtimestamp(int(found[1])) if found else None
        when = datetime.datetime.strptime(name.replace("--", "+") if "%z" in schema else name, schema)
    except ValueError:
        return None
    if when.tzinfo is not None:
        when = when.astimezone().replace(tzinfo=None)
    return when if "%z" in schema or make(schema, when) == name else None


def parse_any(name: str, schemas: list[str]) -> datetime.datetime | None:
    """Return the moment by the first schema that fits."""
    return next((when for schema in schemas if (when := parse(name, schema)) is not None), None)
