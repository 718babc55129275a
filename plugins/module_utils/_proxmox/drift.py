# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What a backup's configuration and a guest's configuration of today differ in. Pure functions."""

from __future__ import annotations

import re
import typing as t
import urllib.parse

# Not a guest's own: bookkeeping of the server, and secrets, which the server shows masked on one side and hashed on the other.
_IGNORED = frozenset({"cipassword", "digest", "lock", "meta", "parent", "runningcpu", "runningmachine", "snapstate", "snaptime", "vmgenid", "vmstate"})
_UNUSED = re.compile(r"unused\d+")
_LINE = re.compile(r"([A-Za-z][\w-]*):\s*(.*)$")
# Their order is their meaning.
_ORDERED = frozenset({"args", "boot", "description", "hookscript", "sshkeys"})


def parse_config(text: str) -> dict[str, str]:
    """Return the configuration in the text of ``extractconfig``; snapshots and the archive's own remarks are left out."""
    config: dict[str, str] = {}
    notes: list[str] = []
    for line in text.splitlines():
        if line.startswith("["):
            break
        if line.startswith("#"):
            if not line.startswith(("#qmdump#", "#vzdump#")):
                notes.append(urllib.parse.unquote(line[1:]))
        elif match := _LINE.match(line):
            config[match.group(1)] = match.group(2).strip()
    if notes:
        config["description"] = "\n".join(notes)
    return config


def normal(key: str, value: t.Any) -> str:
    """Return a value in which only differences with a meaning are left."""
    text = str(int(value) if isinstance(value, bool) else value).strip()
    if key == "tags":
        return ";".join(sorted({tag.lower() for tag in re.split(r"[;,\s]+", text) if tag}))
    if key in ("sshkeys", "description"):
        return urllib.parse.unquote(text).strip()
    if key in _ORDERED or "," not in text:
        return text
    first, *rest = text.split(",")
    return ",".join([first, *sorted(rest)])


def find_drift(backup: t.Mapping[str, t.Any], live: t.Mapping[str, t.Any], *, ignore: t.Container[str] = ()) -> dict[str, dict[str, str | None]]:
    """Return what differs, by key: ``backup`` and ``live``, ``None`` where it is absent."""
    found: dict[str, dict[str, str | None]] = {}
    for key in sorted({*backup, *live}):
        if key in _IGNORED or key in ignore or _UNUSED.fullmatch(key):
            continue
        old = normal(key, backup[key]) if key in backup else None
        new = normal(key, live[key]) if key in live else None
        if old != new:
            found[key] = {"backup": old, "live": new}
    return found
