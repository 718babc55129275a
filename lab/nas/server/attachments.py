"""What hangs on a dataset: tasks and shares that the middleware deletes or switches off together with it."""

from __future__ import annotations

from typing import Any

from lab.nas.server.middleware import Middleware

Entry = dict[str, Any]
# Table -> title, service and naming field of its attachment delegate (plugins/*/fs_attachment_delegate.py).
DELEGATES: dict[str, tuple[str, str | None, str]] = {
    "snapshottask": ("Snapshot Task", None, "dataset"), "replication": ("Replication", None, "name"), "sharing_nfs": ("NFS Share", "nfs", "path"),
    "sharing_smb": ("SMB Share", "cifs", "name"), "iscsi_extent": ("iSCSI Extent", "iscsitarget", "name")}


def is_child(dataset: str, parent: str) -> bool:
    """Say whether a dataset is another one or lies below it."""
    return dataset == parent or dataset.startswith(f"{parent}/")


def local_datasets(task: Entry) -> list[str]:
    """Return the datasets of a replication task that lie on this NAS."""
    if task["transport"] == "LOCAL":
        return [*task["source_datasets"], task["target_dataset"]]
    return list(task["source_datasets"]) if task["direction"] == "PUSH" else [task["target_dataset"]]


def _places(table: str, entry: Entry) -> list[str]:
    """Return where an entry is, as names of datasets (or of directories in them)."""
    if table == "snapshottask":
        return [entry["dataset"]]
    if table == "replication":
        return local_datasets(entry)
    return [(entry["path"] or "").removeprefix("/mnt/").removeprefix("zvol/").rstrip("/")]


def find(mw: Middleware, dataset: str, *, enabled: bool | None = None) -> dict[str, list[Entry]]:
    """Return the entries that hang on a dataset or its children, by table."""
    found = {table: [entry for entry in mw.store.table(table) if any(is_child(name, dataset) for name in _places(table, entry))] for table in DELEGATES}
    return {name: [task for task in tasks if enabled is None or task["enabled"] == enabled] for name, tasks in found.items()}


def show(mw: Middleware, dataset: str) -> list[Entry]:
    """Return the answer of ``*.attachments``."""
    return [{"type": DELEGATES[table][0], "service": DELEGATES[table][1], "attachments": [task[DELEGATES[table][2]] for task in tasks]}
            for table, tasks in find(mw, dataset, enabled=True).items() if tasks]


def delete(mw: Middleware, dataset: str) -> None:
    """Delete what hangs on a dataset and is enabled: ``pool.dataset.delete`` really does so, without asking."""
    for table, tasks in find(mw, dataset, enabled=True).items():
        for task in tasks:
            mw.store.delete(table, task["id"])
    forget_bindings(mw)
    mw.exports_changed()


def toggle(mw: Middleware, dataset: str, enabled: bool) -> dict[str, list[int]]:
    """Switch what hangs on a dataset on or off; returns the ids by table."""
    found = find(mw, dataset, enabled=not enabled)
    for table, tasks in found.items():
        for task in tasks:
            mw.store.update(table, task["id"], {"enabled": enabled})
    mw.exports_changed()
    return {table: [task["id"] for task in tasks] for table, tasks in found.items()}


def forget_bindings(mw: Middleware) -> None:
    """Take snapshot tasks that are gone out of the replication tasks bound to them, extents out of their targets."""
    ids = {task["id"] for task in mw.store.table("snapshottask")}
    for task in mw.store.table("replication"):
        task["periodic_snapshot_tasks"] = [key for key in task["periodic_snapshot_tasks"] if key in ids]
    extents = {entry["id"] for entry in mw.store.table("iscsi_extent")}
    maps = mw.store.table("iscsi_targetextent")
    orphans = {entry["target"] for entry in maps if entry["extent"] not in extents}
    maps[:] = [entry for entry in maps if entry["extent"] in extents]
    orphans -= {entry["target"] for entry in maps}
    targets = mw.store.table("iscsi_target")
    targets[:] = [entry for entry in targets if entry["id"] not in orphans]
    mw.store.save()
