# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Fields of a guest's options: known ones only, of the right kind."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props

Options = t.Mapping[str, t.Any]


def fields_of(where: str, given: t.Any, known: frozenset[str]) -> dict[str, t.Any]:
    """Return the fields that have a value; refuse unknown ones."""
    if not isinstance(given, dict):
        raise Refused(f"{where} is not a dictionary.", hint=f"Its fields are {', '.join(sorted(known))}.")
    unknown = sorted(set(map(str, given)) - known)
    if unknown:
        raise Refused(f"{where} has unknown fields: {', '.join(unknown)}.", hint=f"Its fields are {', '.join(sorted(known))}.")
    return {str(key): value for key, value in given.items() if value is not None}


def boolean(where: str, value: t.Any) -> bool:
    """Return a boolean field's value."""
    found = props.flag(value)
    if found is None:
        raise Refused(f"{where} is {value!r}, not a boolean.", hint="Use true or false.")
    return found


def integer(where: str, value: t.Any, low: int, high: int) -> int:
    """Return an integer field's value within its range."""
    try:
        number = int(str(value))
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise Refused(f"{where} is {value!r}, not a number from {low} to {high}.", hint="Correct it.")
    return number
