# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Which recovery points may go. What signed manifests name is all there is to decide on, and what was last proved by a restore always stays."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import manifest, verify
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import parse_time
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import Destination

if t.TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KIND = "vault_raft_snapshot"
PROOFS = ("dr_drill", "dr_drill_isolated", "dr_rebuild", "vault_drill")
Point = dict[str, t.Any]


@dataclasses.dataclass
class RetentionPlan:
    """What stays, each with why, and what goes."""

    kept: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    removed: list[Point] = dataclasses.field(default_factory=list)
    proven: str | None = None

    def keep(self, point: Point, why: str) -> None:
        """Keep *point* for one more reason."""
        self.kept.setdefault(point["id"], []).append(why)


def all_points(destinations: t.Sequence[Destination], environment: str, key: Ed25519PublicKey, asset: str) -> list[Point]:
    """Return every recovery point of *asset* in any signed manifest, newest first.

    Raises:
        ManifestWrong, SignatureWrong: a manifest cannot be trusted; nothing is decided on it.
    """
    found: dict[str, Point] = {}
    read: set[int] = set()
    for destination in destinations:
        for sequence in manifest.sequences(destination, environment):
            loaded = manifest.load(destination, environment, sequence, key).manifest
            if sequence not in read:
                read.add(sequence)
                found.update({point["id"]: point for point in loaded["recovery_points"] if point["kind"] == KIND and point["asset"] == asset})
    return sorted(found.values(), key=lambda point: parse_time(point["taken_at"]), reverse=True)


def proven_ids(evidence_dir: str, environment: str, public_key: str) -> list[str]:
    """Return the ids of the snapshots that a verified drill or rebuild restored, by evidence whose signature is good."""
    found: list[str] = []
    for name in sorted(os.listdir(evidence_dir)) if os.path.isdir(evidence_dir) else []:
        run_dir = os.path.join(evidence_dir, name)
        if not any(name.startswith(f"{environment}-{operation}-") for operation in PROOFS) or verify.verify(run_dir, public_key)[0] != "valid":
            continue
        with open(os.path.join(run_dir, "report.json"), encoding="utf-8") as handle:
            report = json.load(handle)
        if report["verdict"] == "verified":
            found += [point["id"] for point in report["recovery_points"] if point["kind"] == KIND]
    return found


def plan(points: t.Sequence[Point], proven: t.Collection[str], *, keep_last: int, keep_days: int, now: datetime.datetime) -> RetentionPlan:
    """Decide. *points* are newest first.

    Raises:
        Refused: the limits would keep nothing, or no restore was ever proved: then nobody knows which one is good.
    """
    if keep_last < 1 or keep_days < 0:
        raise Refused(f"keep_last {keep_last} and keep_days {keep_days} would keep nothing.", hint="Keep at least the newest one.")
    result = RetentionPlan()
    result.proven = next((point["id"] for point in points if point["id"] in proven), None)
    for number, point in enumerate(points):
        if number < keep_last:
            result.keep(point, "newest")
        if now - parse_time(point["taken_at"]) <= datetime.timedelta(days=keep_days):
            result.keep(point, "young")
        if point["id"] == result.proven:
            result.keep(point, "last_proven")
    result.removed = [point for point in points if point["id"] not in result.kept]
    if result.removed and result.proven is None:
        raise Refused(
            f"{len(result.removed)} recovery points are over their time, but no restore of this environment was ever proved: nothing was removed.",
            hint="Run resilient.platform.vault_drill. Until one is proved, nobody knows which one is good.",
        )
    return result


def check_proven(destinations: t.Sequence[Destination], points: t.Sequence[Point], proven: str | None) -> list[str]:
    """Return at which destinations the last proven recovery point lies.

    Raises:
        NotFound: at none, or with another size: what is left may be all that there is.
    """
    point = next((point for point in points if point["id"] == proven), None)
    keys = {copy["destination"]: copy["key"] for copy in (point or {}).get("copies", [])}
    there = [item.name for item in destinations if point and item.name in keys and item.size(keys[item.name]) == point["size_bytes"]]
    if point and not there:
        raise NotFound(f"The last proven recovery point {proven} lies at no destination as it was written: nothing was removed.",
                       hint="Find out what became of it, and prove a newer one by a drill.")
    return there


def present(destinations: t.Sequence[Destination], points: t.Sequence[Point]) -> list[tuple[Destination, str, str]]:
    """Return destination, key and id of every copy of *points* that is still there."""
    found: list[tuple[Destination, str, str]] = []
    for destination in destinations:
        keys = {copy["key"]: point["id"] for point in points for copy in point["copies"] if copy["destination"] == destination.name}
        listed: set[str] = set()
        for prefix in {key.rsplit("/", 1)[0] + "/" for key in keys}:
            listed.update(destination.list(prefix))
        found += [(destination, key, name) for key, name in keys.items() if key in listed]
    return found
