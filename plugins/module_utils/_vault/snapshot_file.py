# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""A raft snapshot as a file: what it says about itself, without a server and without a binary."""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_archive import STATE, Archive, Readable, read_archive
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_state import BadState, Seal, read_seal


@dataclasses.dataclass
class Snapshot:
    """What was read. ``problems`` maps a check (``archive``, ``sealed_sums``, …) to what is wrong; a missing name is good."""

    path: str
    size_bytes: int
    sha256: str
    problems: dict[str, str]
    index: int | None = None
    term: int | None = None
    version: str = ""
    peers: list[dict[str, t.Any]] = dataclasses.field(default_factory=list)
    seal: Seal | None = None
    entries: int = 0
    keys_by_prefix: dict[str, int] = dataclasses.field(default_factory=dict)
    state_bytes: int = 0
    archived_at: str | None = None

    def as_dict(self) -> dict[str, t.Any]:
        """Return it for a module's result."""
        result = dataclasses.asdict(self)
        del result["problems"]
        return result


# In the order in which a reader wants them.
CHECKS = ("archive", "sealed_sums", "sums", "meta", "state", "seal")


def inspect(path: str) -> Snapshot:
    """Read the file at *path* once, in constant memory.

    Raises:
        OSError: it cannot be read. Whatever the file holds is no error but ends up in ``problems``.
    """
    with open(path, "rb") as file:
        return inspect_stream(file, path)


def inspect_stream(file: Readable, path: str) -> Snapshot:
    """Read *file* to its end, in constant memory; *path* is what the result calls it."""
    archive = read_archive(file)
    snapshot = Snapshot(path, archive.size_bytes, archive.sha256, {})
    problems = snapshot.problems
    _note(problems, "archive", archive.problem)
    _note(problems, "sealed_sums", _sealed_sums(archive))
    _note(problems, "sums", _sums(archive))
    _note(problems, "meta", _meta(archive, snapshot))
    _note(problems, "state", _state(archive, snapshot))
    _note(problems, "seal", _seal(archive, snapshot))
    return snapshot


def _note(problems: dict[str, str], check: str, problem: str) -> None:
    if problem:
        problems[check] = problem


def _sealed_sums(archive: Archive) -> str:
    member = archive.members.get("SHA256SUMS.sealed")
    if member is None:
        # A server that fails in the middle has answered 200 already; this member comes last and shows that it did not.
        return "SHA256SUMS.sealed is missing: the server did not finish this snapshot"
    return "" if member.content.strip() else "SHA256SUMS.sealed is empty: the server did not finish this snapshot"


def _sums(archive: Archive) -> str:
    member = archive.members.get("SHA256SUMS")
    if member is None:
        return "SHA256SUMS is missing"
    wanted: dict[str, str] = {}
    for line in member.content.decode("ascii", "replace").splitlines():
        match = re.fullmatch(r"([0-9a-fA-F]{64}) [ *](\S{1,80})", line)
        if not match or match[2] in wanted:
            return f"SHA256SUMS has a line that is no checksum: {line[:80]!r}"
        wanted[match[2]] = match[1].lower()
    if set(wanted) != {STATE, "meta.json"}:
        return f"SHA256SUMS covers {', '.join(sorted(wanted)) or 'nothing'} instead of meta.json and {STATE}"
    wrong = [name for name, digest in sorted(wanted.items()) if name not in archive.members or archive.members[name].sha256 != digest]
    return f"the content of {', '.join(wrong)} does not match SHA256SUMS" if wrong else ""


def _meta(archive: Archive, snapshot: Snapshot) -> str:
    member = archive.members.get("meta.json")
    if member is None:
        return "meta.json is missing"
    snapshot.archived_at = _utc(member.modified)
    try:
        meta = json.loads(member.content)
        snapshot.index, snapshot.term, size = _number(meta["Index"]), _number(meta["Term"]), _number(meta["Size"])
        snapshot.peers = [
            {"id": str(server["ID"]), "address": str(server["Address"]), "voter": server["Suffrage"] == 0}
            for server in meta["Configuration"]["Servers"]
        ]
    except (ValueError, TypeError, KeyError, RecursionError) as exc:
        return f"meta.json is not what a server writes ({type(exc).__name__})"
    state = archive.members.get(STATE)
    if state is not None and state.size != size:
        return f"meta.json says that {STATE} has {size} bytes, it has {state.size}"
    return "" if snapshot.index > 0 else "meta.json names no index"


def _number(value: t.Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(value)
    return value


def _state(archive: Archive, snapshot: Snapshot) -> str:
    walker = archive.state
    snapshot.entries, snapshot.keys_by_prefix, snapshot.state_bytes = walker.entries, walker.keys_by_prefix(), walker.size
    snapshot.version = max(walker.versions, key=version_key, default="")
    if STATE not in archive.members:
        return f"{STATE} is missing or cut off"
    if archive.state_problem:
        return f"{STATE} cannot be read: {archive.state_problem}"
    return "" if walker.entries else f"{STATE} holds no entry"


def _seal(archive: Archive, snapshot: Snapshot) -> str:
    try:
        snapshot.seal = read_seal(archive.state.kept)
    except BadState as exc:
        return str(exc)
    return ""


def _utc(seconds: float) -> str | None:
    try:
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    except (OverflowError, ValueError, OSError):
        return None


def version_key(version: str) -> tuple[int, ...]:
    """Return what versions are ordered by: their numbers (``2.7.2`` before ``2.10.0``)."""
    return tuple(int(number[:9]) for number in re.findall(r"\d+", version.split("+")[0].split("-")[0])[:4])
