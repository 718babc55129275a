"""Which snapshots have had their time: by name, owner by owner, never the last one of a schema."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.nas.server import cron, naming
from lab.nas.server.attachments import is_child
from lab.nas.server.zfs import Snapshot

_UNITS = {"HOUR": 1 / 24, "DAY": 1, "WEEK": 7, "MONTH": 30, "YEAR": 365}
DESTROY_AT = "org.truenas:destroy_at"


def lifetime(value: int, unit: str) -> datetime.timedelta:
    """Return how long a snapshot is kept: a month has 30 days, a year 365."""
    return datetime.timedelta(days=value * _UNITS[unit])


def covers(dataset: str, task: dict[str, Any]) -> bool:
    """Say whether a snapshot task takes snapshots of a dataset."""
    if not task["recursive"]:
        return bool(dataset == task["dataset"])
    return is_child(dataset, task["dataset"]) and not any(is_child(dataset, excluded) for excluded in task["exclude"])


@dataclass(frozen=True)
class Owner:
    """Somebody who has a say on snapshots: a snapshot task, or a replication's retention on its target.

    ``keep`` None: for ever. ``only``: these snapshots and no others.
    """

    task: dict[str, Any]
    schemas: tuple[str, ...]
    keep: datetime.timedelta | None
    schedule: dict[str, str] | None = None
    only: frozenset[str] | None = None

    def owns(self, snapshot: Snapshot) -> datetime.datetime | None:
        """Return the moment of a snapshot that is this owner's, None if it is not."""
        if not covers(snapshot.dataset, self.task) or (self.only is not None and snapshot.id not in self.only):
            return None
        when = naming.parse_any(snapshot.name, list(self.schemas))
        if when is None or (self.schedule is not None and not cron.due(self.schedule, when)):
            return None
        return when

    def removal(self, snapshot: Snapshot) -> datetime.datetime | None:
        """Return when this owner lets go of a snapshot of its own; None: never."""
        when = self.owns(snapshot)
        if when is None or self.keep is None:
            return None
        return when + self.keep


def owner_of_task(task: dict[str, Any]) -> Owner:
    """Return the owner that a snapshot task is."""
    return Owner(task, (task["naming_schema"],), lifetime(task["lifetime_value"], task["lifetime_unit"]), task["schedule"])


def removal_date(owners: Iterable[Owner], snapshot: Snapshot) -> datetime.datetime | None:
    """Return when the last owner lets go; None if nobody owns it or somebody keeps it for ever."""
    owning = [owner for owner in owners if owner.owns(snapshot) is not None]
    dates = [owner.removal(snapshot) for owner in owning]
    known = [date for date in dates if date is not None]
    return max(known) if known and len(known) == len(dates) else None


def _newest(owners: Sequence[Owner], snapshots: Sequence[Snapshot]) -> set[str]:
    """Return the snapshots that stay whatever their age: of each dataset and schema the one with the latest name."""
    latest: dict[tuple[str, str], tuple[datetime.datetime, str]] = {}
    for snapshot in snapshots:
        for schema in {schema for owner in owners for schema in owner.schemas}:
            when = naming.parse(snapshot.name, schema)
            if when is not None:
                key = (snapshot.dataset, schema)
                latest[key] = max(latest.get(key, (when, snapshot.id)), (when, snapshot.id))
    return {name for _, name in latest.values()}


def fixed_date(snapshot: Snapshot) -> datetime.datetime | None:
    """Return the date that ``fixate_removal_date`` wrote on a snapshot."""
    found = snapshot.properties.get(DESTROY_AT)
    if found is None or found.source != "local":
        return None
    try:
        return datetime.datetime.fromisoformat(found.value)
    except ValueError:
        return None


def expired(owners: Sequence[Owner], snapshots: Sequence[Snapshot], now: datetime.datetime) -> list[Snapshot]:
    """Return the snapshots to delete. ``now`` is local time without zone."""
    stay = _newest(owners, snapshots)
    gone = []
    for snapshot in snapshots:
        fixed = fixed_date(snapshot)
        date = removal_date(owners, snapshot)
        if any(owner.owns(snapshot) is not None for owner in owners):
            date = max(date, fixed) if date and fixed else date
        else:
            date = fixed
        if date is not None and date < now and snapshot.id not in stay:
            gone.append(snapshot)
    return gone
