# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Durations as Vault writes them: ``600``, ``"600"``, ``"10m"``, ``"10m0s"`` and ``"1d"`` may be the same thing."""

from __future__ import annotations

import re
import typing as t

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_WHOLE = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")


def seconds(value: t.Any) -> float | None:
    """Return *value* in seconds, ``None`` if it is no duration."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value).strip()
    if re.fullmatch(r"\d+", text):
        return float(text)
    if not _WHOLE.fullmatch(text):
        return None
    return float(sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def same(wanted: t.Any, current: t.Any) -> bool:
    """Whether two settings mean the same: durations by length, lists whatever their order, the rest by value."""
    if isinstance(wanted, dict):
        return isinstance(current, dict) and all(key in current and same(value, current[key]) for key, value in wanted.items())
    if isinstance(wanted, (list, tuple)) or isinstance(current, (list, tuple)):
        return sorted(map(str, _as_list(wanted))) == sorted(map(str, _as_list(current)))
    if isinstance(wanted, bool) or isinstance(current, bool):
        return str(wanted).lower() == str(current).lower()
    left, right = seconds(wanted), seconds(current)
    if left is not None and right is not None:
        return left == right
    return str(wanted if wanted is not None else "") == str(current if current is not None else "")


def _as_list(value: t.Any) -> list[t.Any]:
    if isinstance(value, (list, tuple)):
        return list(value)
    if value in (None, ""):
        return []
    # The server takes "a,b" for a list as well.
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
