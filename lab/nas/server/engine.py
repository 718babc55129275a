"""The replication engine: the rules of zettarepl with what zfs-fuse's send and recv can do."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from lab.nas.server import cron, naming, retention
from lab.nas.server.attachments import is_child
from lab.nas.server.errors import CallError
from lab.nas.server.stream import Hook, StreamError, transfer
from lab.nas.server.zfs import Snapshot, Zfs, ZfsError

Entry = dict[str, Any]


@dataclass
class Run:
    """One run of a task. ``schemas`` are those of bound snapshot tasks and of the task itself."""

    task: Entry
    source: Zfs
    target: Zfs
    schemas: list[str]
    progress: Callable[[float, str], None] = lambda percent, text: None
    check: Callable[[], None] = lambda: None
    on_abort: Hook | None = None
    warnings: list[str] = field(default_factory=list)
    last_snapshot: str | None = None
    sent: int = 0

    def eligible(self, snapshot: Snapshot) -> bool:
        """Say whether the task replicates this snapshot."""
        if self.task["name_regex"]:
            return re.fullmatch(self.task["name_regex"], snapshot.name) is not None
        when = naming.parse_any(snapshot.name, self.schemas)
        schedule = self.task["schedule"] or self.task["restrict_schedule"]
        return when is not None and not (self.task["only_matching_schedule"] and schedule and not cron.due(schedule, when))

    def target_of(self, dataset: str) -> str:
        """Return where a source dataset goes; several sources keep their places below the target."""
        sources = self.task["source_datasets"]
        common = sources[0] if len(sources) == 1 else os.path.commonpath(sources)
        return os.path.normpath(os.path.join(self.task["target_dataset"], os.path.relpath(dataset, common)))


def _datasets(run: Run, name: str) -> list[str]:
    """Return a source dataset and, for recursive tasks, what lies below it. ``replicate`` lets zfs send do that."""
    if not run.source.exists(name):
        raise CallError(f"cannot open '{name}': dataset does not exist")
    if not run.task["recursive"] or run.task["replicate"]:
        return [name]
    return [one for one in run.source.datasets(name) if not any(is_child(one, excluded) for excluded in run.task["exclude"])]


def replicate(run: Run) -> None:
    """Bring the target up to date. CallError in the words of zettarepl; StreamError if a stream broke."""
    try:
        datasets = [one for name in run.task["source_datasets"] for one in _datasets(run, name)]
        nothing = [one for index, one in enumerate(datasets) if not _replicate_one(run, one, index / len(datasets))]
        if len(nothing) == len(datasets):
            raise CallError(f"Dataset {datasets[0]!r} does not have any matching snapshots to replicate")
        run.warnings += [f"Dataset {one!r} does not have any matching snapshots to replicate" for one in nothing]
        _retain(run, [one for one in datasets if one not in nothing])
    except ZfsError as exc:
        raise CallError(str(exc)) from exc


def newest_common(source: Sequence[Snapshot], target: Sequence[Snapshot]) -> Snapshot | None:
    """Return the newest source snapshot that the target has too: same name, same guid."""
    there = {(one.name, one.guid) for one in target}
    return next((one for one in reversed(source) if (one.name, one.guid) in there), None)


def _replicate_one(run: Run, dataset: str, done: float) -> bool:
    """Replicate one dataset; False if it has no snapshot that the task names."""
    run.check()
    target = run.target_of(dataset)
    source_snapshots = run.source.snapshots(dataset)
    matching = [one for one in source_snapshots if run.eligible(one)]
    if not matching:
        return False
    exists = run.target.exists(target)
    target_snapshots = run.target.snapshots(target) if exists else []
    if exists and run.task["only_from_scratch"]:
        raise CallError(f"Target dataset {target!r} already exists")
    if exists and run.task["readonly"] == "REQUIRE" and _value(run.target, target, "readonly") != "on":
        raise CallError(f"Target dataset {target!r} exists and does not have readonly=on property, but replication task is set up to require this "
                        f"property. Refusing to replicate. Please run \"zfs set readonly=on {target}\" on the target system to fix this.")
    base = newest_common(source_snapshots, target_snapshots)
    if base is None and exists:
        exists = _from_scratch(run, dataset, target, target_snapshots)
    if not exists:
        _make_parents(run, target)
    todo = [one for one in matching if base is None or one.createtxg > base.createtxg]
    for index, snapshot in enumerate(todo):
        run.progress(100 * (done + index / max(len(todo), 1) * 0.01), f"Sending {index + 1} of {len(todo)}: {snapshot.id}")
        _send(run, base, snapshot, target)
        base = snapshot
    if todo or run.last_snapshot is None:
        run.last_snapshot = (todo or matching)[-1].id
    _finish(run, dataset, target)
    return True


def _from_scratch(run: Run, dataset: str, target: str, snapshots: Sequence[Snapshot]) -> bool:
    """Deal with a target that shares no snapshot with the source; returns whether it is still there (empty)."""
    if snapshots and not run.task["allow_from_scratch"]:
        raise CallError(f"No incremental base on dataset {dataset!r} and replication from scratch is not allowed")
    if not snapshots and not run.task["allow_from_scratch"] and _has_data(run.target, target):
        raise CallError(f"Target dataset {target!r} does not have snapshots but has data (e.g. files or child datasets) and replication from scratch is "
                        "not allowed. Refusing to overwrite existing data.")
    if "/" not in target:
        return True  # a pool's root cannot be destroyed; it can be received into
    run.target.retry("zfs", "destroy", "-r", target)
    return False


def _has_data(zfs: Zfs, dataset: str) -> bool:
    """Say whether a dataset has files or children: what it occupies tells so only seconds later."""
    if zfs.datasets(dataset) != [dataset]:
        return True
    found = zfs.get(dataset, properties="mounted,mountpoint")[dataset]
    return found["mounted"].value == "yes" and bool(zfs.run("ls", "-A", found["mountpoint"].value).strip())


def _value(zfs: Zfs, dataset: str, name: str) -> str:
    return zfs.get(dataset, properties=name)[dataset][name].value


def _make_parents(run: Run, target: str) -> None:
    parent = target.rpartition("/")[0]
    if parent and not run.target.exists(parent):
        run.target.run("zfs", "create", "-p", parent)


def _send(run: Run, base: Snapshot | None, snapshot: Snapshot, target: str) -> None:
    run.check()
    flags = ["-R"] if run.task["replicate"] else ["-p"] if run.task["properties"] else []
    flags += ["-i", base.id] if base else []
    try:
        # -F: the target may have moved on, if only by the access time of a file that was read.
        transfer(run.source, [*flags, snapshot.id], run.target, ["-F", target], run.on_abort)
    except StreamError as exc:
        if "does not match incremental source" in str(exc):
            raise CallError(f"Incremental base {base.id if base else ''} is not the newest snapshot of {target!r}: {exc}") from exc
        raise
    run.sent += 1


def _finish(run: Run, dataset: str, target: str) -> None:
    """Set on the target what the task says about its properties, and see that it is mounted."""
    task, zfs = run.task, run.target
    current = zfs.get(target)[target]
    excluded = set(task["properties_exclude"]) | ({"mountpoint"} if task["exclude_mountpoint_property"] else set())
    for name in sorted(excluded & set(current)):
        if current[name].source in ("local", "received") and name not in task["properties_override"]:
            zfs.retry("zfs", "inherit", name, target)
    for name, value in task["properties_override"].items():
        if name not in current or current[name].value != value:
            zfs.retry("zfs", "set", f"{name}={value}", target)
    if task["readonly"] == "SET" and _value(zfs, target, "readonly") != "on":
        zfs.retry("zfs", "set", "readonly=on", target)
    mounted = _value(zfs, target, "mounted") == "yes"
    if task["mount"] != mounted:
        zfs.retry("zfs", "mount" if task["mount"] else "unmount", target)
    del dataset


def _retain(run: Run, datasets: Sequence[str]) -> None:
    """Apply the retention policy on the target."""
    task = run.task
    if task["retention_policy"] == "NONE":
        return
    now = datetime.datetime.now()
    for dataset in datasets:
        target = run.target_of(dataset)
        there = run.target.snapshots(target)
        if task["retention_policy"] == "SOURCE":
            names = {one.name for one in run.source.snapshots(dataset)}
            gone = [one for one in there if one.name not in names and run.eligible(one)][: max(len(there) - 1, 0)]
        else:
            gone = retention.expired(_owners(run, target), there, now)
        for snapshot in gone:
            try:
                run.target.run("zfs", "destroy", snapshot.id)
            except ZfsError as exc:  # held or cloned: it stays
                run.warnings.append(f"Cannot delete {snapshot.id}: {exc}")


def _owners(run: Run, target: str) -> list[retention.Owner]:
    task = run.task
    base = {"dataset": target, "recursive": True, "exclude": []}
    owners = [retention.Owner(base, tuple(run.schemas), retention.lifetime(task["lifetime_value"], task["lifetime_unit"]))]
    return owners + [retention.Owner(base, tuple(run.schemas), retention.lifetime(one["lifetime_value"], one["lifetime_unit"]), one["schedule"])
                     for one in task["lifetimes"]]


def unmatched(run: Run) -> dict[str, list[str]]:
    """Return by target dataset the snapshots there that the source does not have."""
    found = {}
    for name in run.task["source_datasets"]:
        for dataset in _datasets(run, name):
            target = run.target_of(dataset)
            if run.target.exists(target):
                names = {one.name for one in run.source.snapshots(dataset)}
                extra = [one.name for one in run.target.snapshots(target) if one.name not in names]
                if extra:
                    found[target] = extra
    return found
