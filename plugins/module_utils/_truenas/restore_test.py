# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""A restore test: a clone of a replicated snapshot, its files against what they should be, and the time that took."""

from __future__ import annotations

import contextlib
import dataclasses
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, NotFound
from ansible_collections.resilient.platform.plugins.module_utils._truenas import content as content_
from ansible_collections.resilient.platform.plugins.module_utils._truenas import history
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.content import ByApi, ByDirectory, Content
from ansible_collections.resilient.platform.plugins.module_utils._truenas.download import Downloads
from ansible_collections.resilient.platform.plugins.module_utils._truenas.history import History, Snapshot
from ansible_collections.resilient.platform.plugins.module_utils._truenas.scratch import Scratch

# So many names of each kind are returned; the counts are always whole.
SHOWN = 100


@dataclasses.dataclass
class System:
    """One of the two systems.

    Args:
        client: Its session.
        dataset: The dataset whose snapshot is read.
        scratch: Where its clone goes.
        directory: What its ``/mnt`` is on this machine; empty to read by the API.
    """

    client: TrueNasClient
    dataset: str
    scratch: Scratch
    directory: str = ""

    def history(self) -> History:
        """Return the snapshots of the dataset.

        Raises:
            NotFound: there is no such dataset, or it has no snapshot.
        """
        there = history.datasets(self.client, [self.dataset])
        found = history.read(self.client, there)[self.dataset] if there else None
        if found is None or not len(found):
            what = "no dataset" if found is None else "no snapshot of"
            raise NotFound(f"There is {what} {self.dataset} at {self.client.settings.address}.", path=self.dataset)
        return found

    @contextlib.contextmanager
    def content(self) -> t.Iterator[Content]:
        """Give access to its files."""
        if self.directory:
            yield ByDirectory(self.directory)
            return
        with Downloads(self.client) as downloads:
            yield ByApi(self.client, downloads)


def choose(copy: History, source: History | None, name: str | None) -> Snapshot:
    """Return the snapshot to test: the named one or the newest, with a source the newest that both have by guid.

    Raises:
        NotFound: there is none.
    """
    both = source.guids() if source is not None else copy.guids()
    found = next((one for one in copy.newest_first() if one.guid in both and name in (None, one.name)), None)
    if found is None:
        wanted = name or "any snapshot"
        elsewhere = f" that {source.dataset} has too, by guid" if source is not None else ""
        raise NotFound(f"{copy.dataset} does not have {wanted}{elsewhere}: there is nothing to test.", path=copy.dataset)
    return found


def read_clone(system: System, snapshot: str, phases: dict[str, float]) -> tuple[dict[str, str], dict[str, str], int]:
    """Clone, read every file, and remove the clone whatever happens.

    Args:
        system: Where.
        snapshot: Its name, with the dataset.
        phases: Gets the seconds of ``clone``, ``read`` and ``clean``.

    Raises:
        NotClean: the clone is still there.
    """
    began = time.monotonic()
    clone = system.scratch.clone(snapshot)
    try:
        path = system.scratch.mountpoint(clone)
        phases["clone"] = time.monotonic() - began
        with system.content() as content:
            found = content_.digests(content, path)
        phases["read"] = time.monotonic() - began - phases["clone"]
    finally:
        ended = time.monotonic()
        system.scratch.remove(clone)
        system.scratch.tidy()
        phases["clean"] = time.monotonic() - ended
    return found


def compare(wanted: t.Mapping[str, str], found: t.Mapping[str, str], unreadable: t.Mapping[str, str], *, allow_extra: bool) -> dict[str, t.Any]:
    """Return the difference between what should be and what is, with the verdict. No file at all proves nothing."""
    missing = sorted(name for name in wanted if name not in found and name not in unreadable)
    extra = sorted(name for name in found if name not in wanted)
    changed = sorted(name for name in wanted if name in found and found[name] != wanted[name])
    reasons = [
        *(["missing"] if missing else []),
        *(["changed"] if changed else []),
        *(["extra"] if extra and not allow_extra else []),
        *(["unreadable"] if unreadable else []),
        *([] if wanted else ["empty"]),
    ]
    return {
        "verdict": "failed" if reasons else "verified",
        "reasons": reasons,
        "missing": missing[:SHOWN],
        "changed_files": changed[:SHOWN],
        "extra": extra[:SHOWN],
        "unreadable": dict(sorted(unreadable.items())[:SHOWN]),
        "counts": {
            "expected": len(wanted),
            "read": len(found),
            "missing": len(missing),
            "changed": len(changed),
            "extra": len(extra),
            "unreadable": len(unreadable),
        },
    }


def remove_leftovers(scratch: Scratch, age: int, *, really: bool) -> tuple[list[str], list[str]]:
    """Remove the clones of runs that were killed; returns those and the younger ones, which may be in use."""
    clones = scratch.look() or []
    old = scratch.old(clones, age)
    for name in old if really else []:
        scratch.remove(name)
    if really:
        scratch.tidy()
    return old, [name for name in clones if name not in old]


def run(copy: System, source: System | None, manifest: t.Mapping[str, str] | None, *, name: str | None, allow_extra: bool) -> dict[str, t.Any]:
    """Do the test and return what came of it. The time is that of the copy alone: from the clone to the last byte read."""
    here = copy.history()
    chosen = choose(here, source.history() if source else None, name)
    phases: dict[str, float] = {}
    wanted = dict(manifest or {})
    lost: dict[str, str] = {}
    if source is not None:
        theirs = next(one.name for one in source.history() if one.guid == chosen.guid)
        wanted, lost, _bytes = read_clone(source, f"{source.dataset}@{theirs}", {})
    if lost:
        first = next(iter(lost.items()))
        raise ApiError(f"{len(lost)} files of the source could not be read, so there is nothing to hold the copy against; the first is {first[0]}: {first[1]}")
    found, unreadable, total = read_clone(copy, f"{copy.dataset}@{chosen.name}", phases)
    result = compare(wanted, found, unreadable, allow_extra=allow_extra)
    seconds = {key: round(value, 3) for key, value in phases.items()}
    shown = {"name": chosen.name, "id": f"{copy.dataset}@{chosen.name}", "guid": str(chosen.guid), "createtxg": chosen.createtxg}
    return {**result, "snapshot": shown, "bytes": total, "phases": seconds, "rto_seconds": round(phases["clone"] + phases["read"], 3), "manifest": wanted}
