# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""From a snapshot file to a verdict. Says "not broken", never "restorable": only a restore proves that."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_file import CHECKS, Snapshot, inspect

VERIFIED = "verified"
FAILED = "failed"
COULD_NOT_VERIFY = "could_not_verify"


@dataclasses.dataclass(frozen=True)
class Check:
    """One check; ``skipped`` keeps the verdict from being ``verified``."""

    name: str
    outcome: str
    expected: t.Any
    actual: t.Any

    def as_dict(self) -> dict[str, t.Any]:
        """Return it for a module's result."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True)
class Verification:
    """The verdict with its reasons."""

    verdict: str
    checks: list[Check]
    snapshot: Snapshot | None

    def reasons(self) -> str:
        """Return what failed or was not checked, as one sentence."""
        wanted = "failed" if self.verdict == FAILED else "skipped"
        return "; ".join(f"{check.name}: {check.actual}" for check in self.checks if check.outcome == wanted)


_EXPECTED = {
    "archive": "a whole gzip and tar stream with the members of a snapshot only",
    "sealed_sums": "SHA256SUMS.sealed present and not empty",
    "sums": "SHA256SUMS matches meta.json and state.bin",
    "meta": "meta.json with index and term, and the size of state.bin",
    "state": "state.bin is whole entries to its last byte",
    "seal": "core/seal-config tells how to unseal",
}


def verify(
    path: str, *, expected_sha256: str | None = None, expected_size_bytes: int | None = None, minimum_index: int | None = None
) -> Verification:
    """Verify the file at *path*.

    Args:
        path: The snapshot.
        expected_sha256: Digest of the whole file from a source that is not the file; without it nothing vouches for the content.
        expected_size_bytes: Size, if known.
        minimum_index: Smallest raft index that the snapshot has to contain.
    """
    try:
        snapshot = inspect(path)
    except OSError as exc:
        return Verification(COULD_NOT_VERIFY, [Check("readable", "skipped", "a file that can be read", f"{path}: {exc.strerror}")], None)
    checks = [Check("readable", "passed", "a file that can be read", f"{snapshot.size_bytes} bytes")]
    checks.append(_digest(snapshot, expected_sha256))
    if expected_size_bytes is not None:
        checks.append(_compare("size", f"{expected_size_bytes} bytes", f"{snapshot.size_bytes} bytes", expected_size_bytes == snapshot.size_bytes))
    for name in CHECKS:
        problem = snapshot.problems.get(name, "")
        checks.append(_compare(name, _EXPECTED[name], problem or "as expected", not problem))
    if minimum_index is not None:
        actual = "none" if snapshot.index is None else snapshot.index
        checks.append(_compare("index", f"at least {minimum_index}", actual, snapshot.index is not None and snapshot.index >= minimum_index))
    return Verification(_verdict(checks), checks, snapshot)


def _digest(snapshot: Snapshot, expected: str | None) -> Check:
    if not expected:
        return Check(
            "digest", "skipped", None, f"{snapshot.sha256}; no digest was given to compare with, so nothing outside of the file vouches for it"
        )
    return _compare("digest", expected.lower(), snapshot.sha256, expected.lower() == snapshot.sha256)


def _compare(name: str, expected: t.Any, actual: t.Any, good: bool) -> Check:
    return Check(name, "passed" if good else "failed", expected, actual)


def _verdict(checks: t.Sequence[Check]) -> str:
    outcomes = {check.outcome for check in checks}
    if "failed" in outcomes:
        return FAILED
    return COULD_NOT_VERIFY if "skipped" in outcomes else VERIFIED
