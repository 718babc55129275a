# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Histories of snapshots, read in pages and kept small: twenty-odd bytes and a name for each, whatever the server tells of it."""

from __future__ import annotations

import array
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient, batches

# The server's own limit of a query.
PAGE = 10000


class Snapshot(t.NamedTuple):
    """One snapshot; ``creation`` in seconds since 1970 by the clock of the system that took it."""

    name: str
    guid: int
    createtxg: int
    creation: int


class History:
    """The snapshots of one dataset, oldest first once ``sort`` was called.

    Args:
        dataset: Its name.
    """

    def __init__(self, dataset: str) -> None:
        self.dataset = dataset
        self._guids = array.array("Q")
        self._txgs = array.array("Q")
        self._times = array.array("q")
        self._ends = array.array("I")
        self._names = bytearray()
        self._order: array.array[int] | None = None

    def __len__(self) -> int:
        return len(self._guids)

    def add(self, snapshot: Snapshot) -> None:
        """Append one."""
        self._guids.append(snapshot.guid)
        self._txgs.append(snapshot.createtxg)
        self._times.append(snapshot.creation)
        self._names += snapshot.name.encode()
        self._ends.append(len(self._names))
        self._order = None

    def sort(self) -> array.array[int]:
        """Order by transaction group, which is returned too: a machine's clock can step back."""
        self._order = order = array.array("I", sorted(range(len(self._guids)), key=self._txgs.__getitem__))
        return order

    def at(self, position: int) -> Snapshot:
        """Return the snapshot at a position; negative ones count from the newest."""
        order = self.sort() if self._order is None else self._order
        index = order[position]
        begin = self._ends[index - 1] if index else 0
        return Snapshot(self._names[begin : self._ends[index]].decode(), self._guids[index], self._txgs[index], self._times[index])

    def __iter__(self) -> t.Iterator[Snapshot]:
        return (self.at(position) for position in range(len(self)))

    def newest_first(self) -> t.Iterator[Snapshot]:
        """Yield the snapshots, newest first."""
        return (self.at(position) for position in range(len(self) - 1, -1, -1))

    def guids(self) -> set[int]:
        """Return all guids."""
        return set(self._guids)


def from_api(entry: t.Mapping[str, t.Any]) -> Snapshot:
    """Read one entry of the server.

    Raises:
        ApiError: it has no guid, so that nothing can be proven.
    """
    shown = entry.get("properties") or {}
    try:
        guid, created = (int(shown[key]["rawvalue"]) for key in ("guid", "creation"))
        return Snapshot(str(entry["snapshot_name"]), guid, int(entry["createtxg"]), created)
    except (KeyError, TypeError, ValueError) as exc:
        raise ApiError(f"TrueNAS shows the snapshot {entry.get('id')} without guid, creation or createtxg.", method="query", path=str(entry.get("id"))) from exc


def datasets(client: TrueNasClient, names: t.Collection[str], *, below: t.Collection[str] = ()) -> dict[str, dict[str, t.Any]]:
    """Return those of *names* that exist, and everything below *below* (some of them), by name: ``{readonly}``.

    Only the property that is needed is asked for: reading all of them takes the server many times as long. What lies below is
    taken from the answer's trees, because 25.04 looks at pools only where trees are not wanted and the filter is more than names.
    """
    found: dict[str, dict[str, t.Any]] = {}
    extra = {"properties": ["readonly"], "retrieve_children": bool(below), "retrieve_user_props": False}
    for batch in batches(sorted({*names, *below})):
        waiting = client.query("pool.dataset", [["id", "in", batch]], extra=extra)
        while waiting:
            entry = waiting.pop()
            name = entry["id"]
            if name in names or any(name.startswith(f"{one}/") for one in below):
                found[name] = {"readonly": (entry.get("readonly") or {}).get("rawvalue") == "on"}
            waiting += entry.get("children") or []
    return found


def read(client: TrueNasClient, names: t.Iterable[str], *, page: int = PAGE) -> dict[str, History]:
    """Return the history of each dataset.

    Pages are taken by name, not by offset: what the retention deletes meanwhile moves offsets, and a snapshot would be missed.
    ``select`` takes whole fields only, and in later versions one dataset that is missing empties the whole answer, so *names* must exist.
    """
    found = {name: History(name) for name in names}
    for batch in batches(sorted(found)):
        last = ""
        while True:
            filters: list[t.Any] = [["dataset", "in", batch]]
            if last:
                filters.append(["id", ">", last])
            options = {
                "limit": page,
                "order_by": ["id"],
                "select": ["id", "dataset", "snapshot_name", "createtxg", "properties"],
                "extra": {"properties": ["guid", "creation"]},
            }
            entries = client.snapshots("query", filters, options, what="snapshots")
            for entry in entries:
                found[entry["dataset"]].add(from_api(entry))
            if len(entries) < page:
                break
            last = entries[-1]["id"]
            del entries
    for history in found.values():
        history.sort()
    return found
