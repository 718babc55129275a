# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Acknowledgements of a platform's series at the destinations, so that they survive the controller.

A line is true wherever it lies and none is ever changed, so copies are brought together as a union of lines. That is also how a
controller that has nothing, such as a container that lives for one job, gets to know what was acknowledged before it.
"""

from __future__ import annotations

import json
import os
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canary import AckLog
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import sha256_hex
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import Destination, check_key, put_and_compare, read_small


def key_for(environment: str, log: AckLog) -> str:
    """Return the key of *log* at a destination: ``<environment>/canaries/<series>/canary-<store>.jsonl``."""
    return check_key(f"{environment}/canaries/{log.series}/{os.path.basename(log.path)}")


def _whole_lines(data: bytes, series: str) -> list[bytes]:
    """Return the lines of *data* that are about *series*, without one torn at the end."""
    lines: list[bytes] = []
    for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]:
        try:
            item = json.loads(line)
        except ValueError:
            continue
        if isinstance(item, dict) and item.get("series") == series and {"kind", "sequence", "time"} <= item.keys():
            lines.append(line)
    return lines


def _read_local(log: AckLog) -> bytes:
    try:
        with open(log.path, "rb") as handle:
            return handle.read()
    except FileNotFoundError:
        return b""


def unknown_lines(log: AckLog, data: bytes) -> list[bytes]:
    """Return the lines of *data*, a copy of *log* from elsewhere, that *log* does not have."""
    known = set(_whole_lines(_read_local(log), log.series))
    return [line for line in dict.fromkeys(_whole_lines(data, log.series)) if line not in known]


def pull(logs: t.Sequence[AckLog], destinations: t.Sequence[Destination], environment: str, *, write: bool = True) -> tuple[int, list[str]]:
    """Add to *logs* what the *destinations* know beyond them.

    Args:
        logs: The files of acknowledgements.
        destinations: Where copies lie.
        environment: Name of the platform.
        write: Whether to add the lines, and not only to count them.

    Returns:
        How many lines were added, and what went wrong at destinations that could not be asked.
    """
    added = 0
    problems: list[str] = []
    for destination in destinations:
        try:
            destination.check()
            for log in logs:
                added += _pull_one(log, destination, key_for(environment, log), write)
        except PlatformError as exc:
            problems.append(f"{destination.name}: {exc.message}")
    return added, problems


def _pull_one(log: AckLog, destination: Destination, key: str, write: bool) -> int:
    try:
        lines = unknown_lines(log, read_small(destination, key))
    except NotFound:
        return 0
    if lines and write:
        log.append(b"".join(line + b"\n" for line in lines))
    return len(lines)


def push(logs: t.Sequence[AckLog], destinations: t.Sequence[Destination], environment: str) -> tuple[list[dict[str, t.Any]], list[str]]:
    """Put *logs* to each destination and read them back. A destination that is down does not stop the others.

    What a destination knows beyond them is added first: a copy never gets fewer lines.

    Returns:
        ``{destination, keys}`` of those that worked, and what went wrong at the others.
    """
    done: list[dict[str, t.Any]] = []
    problems: list[str] = []
    there = [log for log in logs if os.path.exists(log.path)]
    for destination in destinations:
        keys = [key_for(environment, log) for log in there]
        try:
            for log, key in zip(there, keys):
                _pull_one(log, destination, key, write=True)
                _push_one(log, destination, key)
        except PlatformError as exc:
            problems.append(f"{destination.name}: {exc.message}")
        else:
            done.append({"destination": destination.name, "keys": keys})
    return done, problems


def _push_one(log: AckLog, destination: Destination, key: str) -> None:
    data = b"".join(line + b"\n" for line in _whole_lines(_read_local(log), log.series))
    # A copy, because a writer may go on adding to the file while it is put and read back.
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(log.path), prefix=".canary-", suffix=".part") as handle:
        handle.write(data)
        handle.flush()
        put_and_compare(destination, key, handle.name, sha256_hex(data))
