# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Versions: which one of a server's is spoken, and what needs which."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

Version = tuple[int, ...]
# The newest whose models were read (api/v27_0_0). A server that is newer still serves it, through its adapters.
NEWEST: Version = (27, 0)
CURRENT = "current"
# What came when. A field or method that is not here is in all of 25.04, 25.10, 26 and 27.
SINCE: dict[str, Version] = {
    "legacy_jobs": (25, 10),  # api/v25_10_0/core.py; 25.04 refuses the option
    "pool.snapshot": (25, 10),  # api/v25_10_0/pool_snapshot.py; zfs.snapshot before
    "SMB options": (25, 10),  # api/v25_10_0/smb.py: purpose with options of its own; flat fields before
    "SCRAM": (26, 0),  # api/v26_0_0/auth.py
    "pbkdf2iters of 1300000": (26, 0),  # api/v26_0_0/pool_dataset.py: ge=1300000
}
_FORM = re.compile(r"^v?(\d+)\.(\d+)(?:\.(\d+))?$")


def parse(text: str) -> Version | None:
    """Return ``v25.10.2`` as ``(25, 10, 2)``, or None."""
    match = _FORM.match(text)
    return tuple(int(part) for part in match.groups() if part is not None) if match else None


def choose(served: t.Sequence[str], wanted: str, *, address: str) -> str:
    """Return the version to speak: the newest that the server has and this collection knows, unless one is *wanted*.

    Args:
        served: What ``GET /api/versions`` lists; empty where it could not be read.
        wanted: ``current``, or a version.
        address: ``host:port``, for the message.

    Raises:
        Refused: the server does not have what is wanted, or nothing that is known.
    """
    known = {version: name for name in served if (version := parse(name)) is not None}
    if not known:
        return wanted
    if wanted != CURRENT:
        if wanted not in served:
            raise Refused(f"{address} does not speak version {wanted} of its API; it has {', '.join(served)}.", hint="Choose one, or leave api_version out.")
        return wanted
    fitting = [version for version in known if version[:2] <= NEWEST]
    if not fitting:
        raise Refused(
            f"{address} speaks {', '.join(served)}; this collection knows versions up to {NEWEST[0]}.{NEWEST[1]}.",
            hint="Take a newer release of resilient.platform.",
        )
    return known[max(fitting)]


def has(version: Version | None, what: str) -> bool | None:
    """Whether *version* has *what* of ``SINCE``; None where the version is unknown."""
    return None if version is None else version[:2] >= SINCE[what]
