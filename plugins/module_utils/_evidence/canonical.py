# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Canonical JSON, digests and times: the few things that everything about evidence agrees on.

Canonical JSON here is RFC 8785 for the values that occur: keys sorted, no white space, UTF-8, whole numbers without a
fraction. A digest is the lower-case hexadecimal SHA-256.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

_CHUNK = 1024 * 1024


def normalise(value: t.Any) -> t.Any:
    """Return *value* with string keys and with whole floats as integers.

    Raises:
        Refused: the value is not JSON (a NaN, bytes, an object).
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise Refused(f"{value!r} cannot be written as JSON.", hint="Give a finite number or none.")
        return int(value) if value.is_integer() and abs(value) < 2**53 else value
    if isinstance(value, t.Mapping):
        return {str(key): normalise(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [normalise(item) for item in value]
    raise Refused(f"A value of type {type(value).__name__} cannot be written as JSON.", hint="Give text, numbers, lists and mappings.")


def canonical(value: t.Any) -> bytes:
    """Return the canonical JSON of *value*."""
    return json.dumps(normalise(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode("utf-8")


def pretty(value: t.Any) -> bytes:
    """Return *value* as indented JSON for files that people read, with a final newline."""
    return json.dumps(normalise(value), sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"


def sha256_hex(data: bytes) -> str:
    """Return the SHA-256 of *data*."""
    return hashlib.sha256(data).hexdigest()


def sha256_stream(chunks: t.Iterable[bytes]) -> tuple[str, int]:
    """Return SHA-256 and size in bytes of all *chunks* together."""
    digest, size = hashlib.sha256(), 0
    for chunk in chunks:
        digest.update(chunk)
        size += len(chunk)
    return digest.hexdigest(), size


def sha256_file(path: str) -> tuple[str, int]:
    """Return SHA-256 and size in bytes of the file at *path*, in constant memory."""
    with open(path, "rb") as handle:
        return sha256_stream(iter(lambda: handle.read(_CHUNK), b""))


def format_time(moment: datetime.datetime) -> str:
    """Return *moment* as ISO 8601 in UTC with microseconds and a ``Z``."""
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def utc_now() -> str:
    """Return the present as ISO 8601 in UTC with microseconds."""
    return format_time(datetime.datetime.now(datetime.timezone.utc))


def parse_time(text: str) -> datetime.datetime:
    """Return the moment that *text* (ISO 8601 with a zone) names.

    Raises:
        Refused: no time, or a time without a zone.
    """
    try:
        moment = datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError) as exc:
        raise Refused(f"{text!r} is not a time.", hint="Give ISO 8601 in UTC, such as 2026-11-21T05:45:00.000000Z.") from exc
    if moment.tzinfo is None:
        raise Refused(f"{text!r} names no time zone.", hint="Append Z for UTC.")
    return moment


def seconds_between(earlier: str, later: str) -> float:
    """Return the seconds from *earlier* to *later* by the wall clock."""
    return round((parse_time(later) - parse_time(earlier)).total_seconds(), 6)


def fsync_directory(path: str) -> None:
    """Make a new or renamed name in *path* survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(path: str, data: bytes, mode: int = 0o644) -> None:
    """Write *data* to *path*: whoever looks sees the old file or the whole new one, never a part."""
    temporary = f"{path}.tmp-{os.getpid()}"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(fd, "wb") as handle:
            handle.write(data)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    fsync_directory(os.path.dirname(os.path.abspath(path)))
