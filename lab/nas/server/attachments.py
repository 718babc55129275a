"""What hangs on a dataset: tasks that the middleware deletes or switches off together with it."""

from __future__ import annotations

from typing import Any

from lab.nas.server.middleware import Middleware

Entry = dict[str, Any]
TITLES = {"snapshottask": "Snapshot Task", "replication": "Replication"}


def is_child(dataset: str, parent: str) -> bool:
    """Say whether a dataset is another one or lies below it."""
    return dataset == parent or dataset.startswith(f"{parent}/")


def local_datasets(task: Entry) -> list[str]:
    """Return the datasets of a replication task that lie on this NAS."""
    if task["transport"] == "LOCAL":
        return [*task["source_datasets"], task["target_dataset"]]
    return list(task["source_datasets"]) if task["direction"] == "PUSH" else [task["target_dataset"]]


def find(mw: Middleware, dataset: str, *, enabled: bool | None = None) -> dict[str, list[Entry]]:
    """Return the entries that hang on a dataset or its children, by table."""
    found = {
        "snapshottask": [task for task in mw.store.table("snapshottask") if is_child(task["dataset"], dataset)],
        "replication": [task for task in mw.store.table("replication") if any(is_child(name, dataset) for name in local_datasets(task))],
    }
    return {name: [task for task in tasks if enabled is None or task["enabled"] == enabled] for name, tasks in found.items()}


def show(mw: Middleware, dataset: str) -> list[Entry]:
    """Return the answer of ``*.attachments``."""
    names = {"snapshottask": "dataset", "replication": "name"}
    return [{"type": TITLES[table], "service": None, "attachments": [task[names[table]] for task in tasks]}
            for table, tasks in find(mw, dataset, enabled=True).items() if tasks]


def delete(mw: Middleware, dataset: str) -> None:
    """Delete what hangs on a dataset and is enabled: ``pool.dataset.delete`` really does so, without asking."""
    for table, tasks in find(mw, dataset, enabled=True).items():
        for task in tasks:
            mw.store.delete(table, task["id"])
    forget_bindings(mw)


def toggle(mw: Middleware, dataset: str, enabled: bool) -> dict[str, list[int]]:
    """Switch what hangs on a dataset on or off; returns the ids by table."""
    found = find(mw, dataset, enabled=not enabled)
    for table, tasks in found.items():
        for task in tasks:
            mw.store.update(table, task["id"], {"enabled": enabled})
    return {table: [task["id"] for task in tasks] for table, tasks in found.items()}


def forget_bindings(mw: Middleware) -> None:
    """Take snapshot tasks that are gone out of the replication tasks bound to them."""
    ids = {task["id"] for task in mw.store.table("snapshottask")}
    for task in mw.store.table("replication"):
        task["periodic_snapshot_tasks"] = [key for key in task["periodic_snapshot_tasks"] if key in ids]
    mw.store.save()
