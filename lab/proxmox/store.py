"""What survives a restart of the API: VMs, their config and snapshots, volumes, pools and finished tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lab.state import LabError, write_private

_VERSION = 1
_VM = ("vmid", "name", "node", "config", "pending", "template", "lock", "pool", "snapshots", "wanted")
_MAX_TASKS = 500


def dump(pve: Any) -> dict[str, Any]:
    """Return the state of the API as JSON types."""
    storages = {name: {**store, "files": sorted(store.get("files", ()))} for name, store in pve.storages.items()}
    info = {name: {**meta, "storage": sorted(meta["storage"])} for name, meta in pve.pool_info.items()}
    return {
        "version": _VERSION,
        "vms": [{key: getattr(vm, key) for key in _VM} for vm in pve.vms],
        "storages": storages,
        "pools": {name: sorted(members) for name, members in pve.pools.items()},
        "pool_info": info,
        "backup_jobs": pve.backup_jobs,
        "tasks": pve.tasklog[-_MAX_TASKS:],
        "access": pve.access_state(),
    }


def save(pve: Any, path: Path) -> None:
    """Write the state, atomically and for the owner only."""
    write_private(path, json.dumps(dump(pve)) + "\n")


def load(pve: Any, path: Path) -> bool:
    """Put a saved state into a fresh API; returns False if there is none. LabError for a file of another version."""
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return False
    if data.get("version") != _VERSION:
        raise LabError(f"{path} has version {data.get('version')}, this lab knows {_VERSION}: run 'down', then 'up'.")
    for item in data["vms"]:
        vm = pve.add_vm(item["vmid"], item["name"], node=item["node"], config=item["config"], pending=item["pending"],
                        template=item["template"], lock=item["lock"], pool=item["pool"])
        if "name" not in item["config"]:
            vm.config.pop("name", None)
        vm.snapshots = item["snapshots"]
        vm.status = item["wanted"]
    for name, store in data["storages"].items():
        pve.storages[name] = {**store, "files": set(store["files"])}
    pve.pools = {name: set(members) for name, members in data["pools"].items()}
    pve.pool_info = {name: {**meta, "storage": set(meta["storage"])} for name, meta in data["pool_info"].items()}
    pve.backup_jobs = data.get("backup_jobs", {})
    if "access" in data:  # not in the state of an older lab
        pve.load_access(data["access"])
    for task in data["tasks"]:
        if task["status"] == "running":
            # The worker died with the API; PVE says just this about such a task.
            task.update(status="stopped", exitstatus="unexpected status")
        pve.tasks[task["upid"]] = task
        pve.tasklog.append(task)
    return True
