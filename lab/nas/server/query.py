"""The query language: filters and options of every ``*.query`` method."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Sequence
from typing import Any

from lab.nas.server.errors import MatchNotFound, invalid

Entry = dict[str, Any]


def _contains(value: Any, other: Any) -> bool:
    return value is not None and other in value


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda x, y: bool(x == y),
    "!=": lambda x, y: bool(x != y),
    ">": lambda x, y: x is not None and bool(x > y),
    ">=": lambda x, y: x is not None and bool(x >= y),
    "<": lambda x, y: x is not None and bool(x < y),
    "<=": lambda x, y: x is not None and bool(x <= y),
    "~": lambda x, y: x is not None and re.match(y, x) is not None,
    "in": lambda x, y: x in y,
    "nin": lambda x, y: x not in y,
    "rin": _contains,
    "rnin": lambda x, y: x is not None and y not in x,
    "^": lambda x, y: x is not None and x.startswith(y),
    "!^": lambda x, y: x is not None and not x.startswith(y),
    "$": lambda x, y: x is not None and x.endswith(y),
    "!$": lambda x, y: x is not None and not x.endswith(y),
}
_MISSING = object()


def split_path(path: str) -> list[str]:
    """Split a dotted key; ``\\.`` is a dot inside a name."""
    return [part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", path)]


def lookup(entry: Any, parts: Sequence[str]) -> list[Any]:
    """Return the values at a path: one, none, or many where ``*`` stands for the items of a list."""
    if not parts:
        return [entry]
    head, rest = parts[0], parts[1:]
    if head == "*" and isinstance(entry, list):
        return [value for item in entry for value in lookup(item, rest)]
    if isinstance(entry, list) and head.isdigit() and int(head) < len(entry):
        return lookup(entry[int(head)], rest)
    if isinstance(entry, dict) and head in entry:
        return lookup(entry[head], rest)
    return []


def _fold(value: Any) -> Any:
    if isinstance(value, str):
        return value.casefold()
    return [_fold(item) for item in value] if isinstance(value, (list, tuple)) else value


def _matches_one(entry: Entry, name: str, operator: str, wanted: Any) -> bool:
    folded = operator.startswith("C")
    compare = OPERATORS.get(operator[1:] if folded else operator)
    if compare is None:
        raise invalid("filters", f"Invalid operation: {operator}")
    parts = split_path(name)
    if parts[-1] == "$date":
        parts, wanted = parts[:-1], datetime.datetime.fromisoformat(wanted)
    found = lookup(entry, parts) or ([] if "*" in parts else [None])
    if folded:
        found, wanted = [_fold(value) for value in found], _fold(wanted)
    try:
        return any(compare(value, wanted) for value in found)
    except (TypeError, AttributeError, re.error) as exc:
        raise invalid("filters", f"{name} {operator} {wanted!r}: {exc}") from exc


def matches(entry: Entry, filters: Sequence[Any]) -> bool:
    """Say whether an entry satisfies all filters."""
    return all(_matches(entry, one) for one in filters)


def _matches(entry: Entry, one: Any) -> bool:
    if not isinstance(one, (list, tuple)) or not one:
        raise invalid("filters", f"Item must be a list: {one!r}")
    if len(one) == 2 and one[0] == "OR":
        return any(_branch(entry, branch) for branch in one[1])
    if len(one) != 3:
        raise invalid("filters", f"Invalid filter {one!r}")
    return _matches_one(entry, one[0], one[1], one[2])


def _branch(entry: Entry, branch: Any) -> bool:
    """One branch of an OR: a filter, or a list of filters that must all hold."""
    nested = isinstance(branch, (list, tuple)) and branch and isinstance(branch[0], (list, tuple))
    return matches(entry, branch) if nested else _matches(entry, branch)


def _order(entries: list[Entry], order_by: Sequence[str]) -> list[Entry]:
    for key in reversed(order_by):
        nulls_first = key.startswith("nulls_first:")
        bare = re.sub(r"^nulls_(first|last):", "", key)
        reverse, bare = bare.startswith("-"), bare.lstrip("-")
        path = split_path(bare)
        null = [entry for entry in entries if (lookup(entry, path) or [None])[0] is None]
        rest = [entry for entry in entries if (lookup(entry, path) or [None])[0] is not None]
        rest.sort(key=lambda entry: lookup(entry, path)[0], reverse=reverse)
        entries = null + rest if nulls_first else rest + null
    return entries


def _select(entry: Entry, fields: Sequence[Any]) -> Entry:
    result: Entry = {}
    for field in fields:
        path, alias = field if isinstance(field, (list, tuple)) else (field, None)
        found = lookup(entry, split_path(path))
        if not found:
            continue
        if alias is not None:
            result[alias] = found[0]
            continue
        target, parts = result, split_path(path)
        for part in parts[:-1]:
            target = target.setdefault(part, {})
        target[parts[-1]] = found[0]
    return result


def filter_list(entries: Sequence[Entry], filters: Sequence[Any] = (), options: dict[str, Any] | None = None) -> Any:
    """Apply filters and options: a list, one entry (``get``) or a number (``count``). MatchNotFound for ``get`` without a match."""
    options = options or {}
    found = [entry for entry in entries if matches(entry, filters)]
    if options.get("count"):
        return len(found)
    found = _order(found, options.get("order_by") or [])
    if options.get("select"):
        found = [_select(entry, options["select"]) for entry in found]
    if options.get("get"):
        if not found:
            raise MatchNotFound()
        return found[0]
    found = found[options.get("offset") or 0:]
    return found[: options["limit"]] if options.get("limit") else found
