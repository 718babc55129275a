# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Whether the key service would unseal what the newest snapshot holds, and for how long the seal's token lasts.

A running cluster does not notice either: it wraps its keys anew at every start. A restore does, on the day it is needed.
"""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient, quote
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_state import Seal

GOOD, UNKNOWN, WARNING, CRITICAL = "good", "unknown", "warning", "critical"
_ORDER = (GOOD, WARNING, UNKNOWN, CRITICAL)
DAY = 86400.0
# A server renews a token long before its end; one that has less than this part of its period left is not being renewed.
RENEWED_PART = 0.25


@dataclasses.dataclass(frozen=True)
class Check:
    """One check."""

    name: str
    outcome: str
    expected: str
    actual: str


@dataclasses.dataclass
class Custody:
    """All that was found."""

    seal: Seal
    checks: list[Check] = dataclasses.field(default_factory=list)
    key: dict[str, t.Any] | None = None
    token: dict[str, t.Any] | None = None

    def add(self, name: str, outcome: str, expected: str, actual: str) -> None:
        """Note a check."""
        self.checks.append(Check(name, outcome, expected, actual))

    @property
    def verdict(self) -> str:
        """Return the worst outcome."""
        return max((check.outcome for check in self.checks), key=_ORDER.index, default=UNKNOWN)

    def reasons(self) -> str:
        """Return what is not good, in one sentence."""
        return "; ".join(f"{check.name}: {check.actual}" for check in self.checks if check.outcome != GOOD)


def version_of(key_id: str | None) -> int | None:
    """Return the version in a transit key id (``v3``)."""
    match = re.fullmatch(r"v(\d{1,9})", key_id or "")
    return int(match[1]) if match else None


def check_static(custody: Custody, key_ids: t.Sequence[str]) -> None:
    """Check a static seal: the configuration has to have the snapshot's key, as the current or the previous one."""
    wanted = custody.seal.key_id or ""
    good = bool(wanted) and wanted in key_ids
    custody.add(
        "key",
        GOOD if good else CRITICAL,
        f"the key {wanted or 'of the snapshot'} in the configuration",
        f"{wanted} is there" if good else f"the snapshot needs {wanted or 'a key that it does not name'}, there are {', '.join(key_ids) or 'none'}",
    )


def check_transit_key(custody: Custody, client: VaultClient, mount: str, name: str) -> None:
    """Check that the key service still decrypts with the version that the snapshot's keys are wrapped by."""
    path = f"{quote(mount)}/keys/{quote(name)}"
    what = f"read the seal's key {name!r}"
    expected = f"version {custody.seal.key_id} can decrypt"
    reply = client.raw("GET", path, what=what)
    if reply.status == 404:
        custody.add("key", CRITICAL, expected, f"there is no key {name} at {mount.strip('/')}: no backup of this cluster can be unsealed")
        return
    if reply.status == 403:
        custody.add("key", UNKNOWN, expected, f"the token may not read {path}")
        return
    client.ensure_ok(reply, what=what, method="GET", path=path)
    data = reply.data
    custody.key = {
        "name": name,
        "latest_version": data.get("latest_version"),
        "min_decryption_version": data.get("min_decryption_version"),
        "min_encryption_version": data.get("min_encryption_version"),
        "deletion_allowed": bool(data.get("deletion_allowed")),
        "versions": sorted(int(version) for version in data.get("keys") or {}),
    }
    _check_version(custody, version_of(custody.seal.key_id), expected)
    if custody.key["deletion_allowed"]:
        custody.add("key_deletion", WARNING, "deletion_allowed is false", f"the key {name} may be deleted, and every backup with it")


def _check_version(custody: Custody, version: int | None, expected: str) -> None:
    key = t.cast("dict[str, t.Any]", custody.key)
    least, latest = int(key["min_decryption_version"] or 0), int(key["latest_version"] or 0)
    if version is None:
        custody.add("key", UNKNOWN, expected, f"the snapshot names no version ({custody.seal.key_id or 'nothing'})")
    elif version < least:
        custody.add("key", CRITICAL, expected, f"min_decryption_version is {least}, the snapshot needs {version}")
    elif version > latest or (key["versions"] and version not in key["versions"]):
        custody.add("key", CRITICAL, expected, f"the snapshot needs version {version}, the key has {key['versions'] or latest}: another key of that name?")
    elif version < latest:
        custody.add("key", GOOD, expected, f"version {version} of {latest}; min_decryption_version {least} must not be raised above {version}")
    else:
        custody.add("key", GOOD, expected, f"version {version} is the latest")


def read_token(client: VaultClient, accessor: str | None) -> dict[str, t.Any] | None:
    """Return what the key service knows of the seal's token, ``None`` if it does not know it."""
    what = "look the seal's token up"
    if accessor:
        reply = client.raw("POST", "auth/token/lookup-accessor", what=what, json={"accessor": accessor})
        if reply.status == 403 and reply.body.get("errors") == ["permission denied"]:
            client.ensure_ok(reply, what=what, method="POST", path="auth/token/lookup-accessor")
    else:
        reply = client.raw("GET", "auth/token/lookup-self", what=what)
    if reply.status in (400, 403, 404):
        return None
    client.ensure_ok(reply, what=what, method="GET", path="auth/token/lookup-self")
    return reply.data


def check_token(custody: Custody, data: t.Mapping[str, t.Any] | None, *, warn_days: float, now: datetime.datetime) -> None:
    """Check validity, remaining life and parent of the seal's token."""
    if data is None:
        custody.add("token", CRITICAL, "a token that the key service knows", "it is unknown, expired or revoked: the next restart ends the server")
        return
    ttl, period = float(data.get("ttl") or 0), float(data.get("period") or 0)
    left = _seconds_left(data, ttl, period, now)
    custody.token = {
        "ttl_seconds": ttl if data.get("expire_time") else None,
        "period_seconds": period or None,
        "renewable": bool(data.get("renewable")),
        "orphan": bool(data.get("orphan")),
        "days_left": None if left is None else round(left / DAY, 2),
    }
    expected = f"more than {warn_days:g} days left, or renewed in time"
    if left is None and not period:
        custody.add("token", GOOD, expected, "it never expires")
    elif period and ttl < period * RENEWED_PART:
        custody.add("token", CRITICAL, expected, f"{ttl / DAY:.1f} of {period / DAY:.1f} days are left: nobody renews it")
    elif left is not None and left < DAY:
        custody.add("token", CRITICAL, expected, f"{left / 3600:.1f} hours are left")
    elif left is not None and left < warn_days * DAY:
        custody.add("token", WARNING, expected, f"{left / DAY:.1f} days are left")
    else:
        custody.add("token", GOOD, expected, "it is renewed in time" if left is None else f"{left / DAY:.1f} days are left")
    if not data.get("orphan"):
        custody.add("token_parent", WARNING, "an orphan", "it has a parent, whose end is its own")


def _seconds_left(data: t.Mapping[str, t.Any], ttl: float, period: float, now: datetime.datetime) -> float | None:
    """Return the seconds until nothing can renew the token any more; ``None`` for never."""
    limit = float(data.get("explicit_max_ttl") or 0)
    if limit:
        begun = float(data.get("creation_time") or now.timestamp())
        return begun + limit - now.timestamp()
    if period or not data.get("expire_time"):
        return None
    return ttl


def check_rights(custody: Custody, client: VaultClient, mount: str, name: str) -> None:
    """Check that the seal's token may do the two things that the seal does."""
    paths = [f"{quote(mount)}/{verb}/{quote(name)}" for verb in ("encrypt", "decrypt")]
    reply = client.raw("POST", "sys/capabilities-self", what="ask for the seal token's capabilities", json={"paths": paths})
    if reply.status != 200:
        custody.add("token_rights", UNKNOWN, "update on encrypt and decrypt", "the token may not ask")
        return
    missing = [path for path in paths if not {"update", "root"} & set(reply.data.get(path) or [])]
    said = f"no update on {', '.join(missing)}" if missing else "as expected"
    custody.add("token_rights", CRITICAL if missing else GOOD, "update on encrypt and decrypt", said)
