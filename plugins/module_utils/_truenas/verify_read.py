# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Reads what a verification of replicas needs: which pairs there are, and both sides of each, in a handful of calls a system."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._truenas import history, replication
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.replication_rules import is_child
from ansible_collections.resilient.platform.plugins.module_utils._truenas.verify import Pair, Side

Options = t.Mapping[str, t.Any]


@dataclasses.dataclass
class Wanted:
    """One source with what lies below it, and where it goes, before the source system was asked what there is.

    Args:
        pair: What is judged; ``source`` and ``target`` are the roots.
        recursive: Whether everything below is a pair too.
        exclude: Source datasets that are left out with what lies below them.
        reverse: Whether the source is the peer (a PULL), not the system that was asked for replications.
        local: Whether both are one system.
    """

    pair: Pair
    recursive: bool = False
    exclude: tuple[str, ...] = ()
    reverse: bool = False
    local: bool = False


class Reader:
    """Reads one system at most once; what fails is kept as text, so that the other side and the report still come."""

    def __init__(self, client: TrueNasClient | None) -> None:
        self.client = client
        self.error = "" if client else "there is no peer to read"
        self.names: dict[str, dict[str, t.Any]] = {}
        self.histories: dict[str, history.History] = {}

    def find(self, names: t.Collection[str], below: t.Collection[str] = ()) -> None:
        """Read which datasets exist."""
        if self.client and names and not self.error:
            try:
                self.names |= history.datasets(self.client, names, below=below)
            except (ApiError, WaitTimeout) as exc:
                self.error = str(exc)

    def read(self, names: t.Collection[str]) -> None:
        """Read the snapshots of those of *names* that exist."""
        there = [name for name in names if name in self.names]
        if self.client and there and not self.error:
            try:
                self.histories |= history.read(self.client, there)
            except (ApiError, WaitTimeout) as exc:
                self.error = str(exc)

    def side(self, name: str) -> Side:
        """Return one dataset as it was read."""
        if self.error:
            return Side(error=self.error)
        return Side(self.histories.get(name), bool((self.names.get(name) or {}).get("readonly")))


def from_pairs(options: t.Sequence[Options], defaults: Options) -> list[Wanted]:
    """Return what the module's ``pairs`` ask for."""
    return [
        Wanted(
            Pair(
                one["source"],
                one["target"],
                one["max_age"] if one.get("max_age") is not None else defaults["max_age"],
                tuple(one.get("naming_schema") or ()),
                one.get("name_regex"),
                defaults["gaps"],
                bool(one.get("readonly", True)),
            ),
            bool(one.get("recursive")),
            tuple(one.get("exclude") or ()),
        )
        for one in options
    ]


def from_tasks(entries: t.Sequence[Options], defaults: Options) -> list[Wanted]:
    """Return what replications (entries of the server) promise."""
    return [one for entry in entries for one in _from_task(entry, defaults)]


def _from_task(entry: Options, defaults: Options) -> t.Iterator[Wanted]:
    task = replication.from_api(entry)
    bound = [one["naming_schema"] for one in entry.get("periodic_snapshot_tasks") or []]
    schemas = tuple(dict.fromkeys([*bound, *task["also_include_naming_schema"], *task["naming_schema"]]))
    sources = task["source_datasets"]
    # Several sources keep their places below the target (zettarepl: get_target_dataset).
    base = sources[0] if len(sources) == 1 else os.path.commonpath(sources)
    # A rule that leaves snapshots out by their time makes holes on purpose.
    gaps = defaults["gaps"] and not (task["only_matching_schedule"] or task["restrict_schedule"] or task["lifetimes"])
    for source in sources:
        target = os.path.normpath(os.path.join(task["target_dataset"], os.path.relpath(source, base)))
        pair = Pair(source, target, defaults["max_age"], schemas, task["name_regex"], gaps, task["readonly"] != "IGNORE", task)
        pair.job_started = (entry.get("job") or {}).get("time_started")
        yield Wanted(pair, task["recursive"], tuple(task["exclude"]), task["direction"] == "PULL", task["transport"] == "LOCAL")


def _expanded(wanted: Wanted, source: Reader) -> list[Pair]:
    """Return the pairs of a root: one for each dataset below it that the source system knows."""
    pair = wanted.pair
    if not wanted.recursive:
        return [pair]
    below = [name for name in sorted(source.names) if name.startswith(f"{pair.source}/") and not any(is_child(name, left) for left in wanted.exclude)]
    return [pair, *(dataclasses.replace(pair, source=name, target=pair.target + name[len(pair.source) :], reasons=[]) for name in below)]


def collect(wanted: t.Sequence[Wanted], here: Reader, peer: Reader) -> list[tuple[Pair, Side, Side]]:
    """Read both systems and return every pair with its two sides."""
    sides = [((peer, here) if one.reverse else (here, here) if one.local else (here, peer), one) for one in wanted]
    for reader in (here, peer):
        mine = [one for (source, _target), one in sides if source is reader]
        reader.find({one.pair.source for one in mine}, {one.pair.source for one in mine if one.recursive})
    pairs = [(pair, source, target) for (source, target), one in sides for pair in _expanded(one, source)]
    for reader in (here, peer):
        reader.find({pair.target for pair, _source, target in pairs if target is reader} - reader.names.keys())
    for reader in (here, peer):
        reader.read({pair.source for pair, source, _target in pairs if source is reader} | {pair.target for pair, _source, target in pairs if target is reader})
    return [(pair, source.side(pair.source), target.side(pair.target)) for pair, source, target in pairs]
