"""What the servers of a lab hold, read from outside, so that before and after can be compared."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from proxmoxer import ProxmoxAPI

from lab import kms, s3
from lab.nas.server.client import Client
from lab.state import LabState

LISTS = ("pool.query", "pool.dataset.query", "pool.snapshottask.query", "replication.query", "keychaincredential.query", "pool.snapshot.query")
# These go on by themselves.
LIVELY = {
    "used", "usedbydataset", "usedbychildren", "usedbysnapshots", "available", "referenced", "free", "allocated", "state", "scan", "job", "size", "written",
}


def proxmox(state: LabState) -> Any:
    """Return a client of the Proxmox API."""
    os.environ.pop("REQUESTS_CA_BUNDLE", None)  # It would override the CA given here.
    access = state.connection["proxmox"]
    return ProxmoxAPI(access["host"], port=access["port"], user=access["user"], token_name=access["token_id"],
                      token_value=access["token_secret"], verify_ssl=state.connection["ca_file"])


def nas(state: LabState, role: str) -> Client:
    """Return a connection to a NAS."""
    one = state.connection["truenas"][role]
    login = {"mechanism": "API_KEY_PLAIN", "username": one["username"], "api_key": one["api_key"]}
    return Client(f"wss://{one['host']}:{one['port']}/api/current", state.connection["ca_file"], login)


def _still(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _still(inner) for key, inner in value.items() if key not in LIVELY}
    return [_still(inner) for inner in value] if isinstance(value, list) else value


def guests(state: LabState) -> dict[str, Any]:
    """Return every guest's configuration by name and id."""
    api = proxmox(state)
    found = api.cluster.resources.get(type="vm")
    return {f"{one.get('name')} {one['vmid']}": api.nodes(one["node"]).qemu(one["vmid"]).config.get() for one in found}


def held(state: LabState) -> dict[str, Any]:
    """Return all that a refused run could have written: guests, tasks, what both NASes hold, objects, policies of the key service."""
    root = kms._root(state)
    seen: dict[str, Any] = {
        "guests": guests(state),
        "tasks": sorted(task["upid"] for task in proxmox(state).cluster.tasks.get()),
        "objects": sorted(item.object_name for item in s3.client(state).list_objects(state.connection["s3"]["bucket"], recursive=True)),
        "policies": kms.call(state, "GET", "sys/policies/acl?list=true", token=root)["data"]["keys"],
    }
    for role in ("primary", "secondary"):
        with nas(state, role) as client:
            seen[role] = {method: _still(client.call(method)) for method in LISTS}
    return seen


@contextlib.contextmanager
def untouched(state: LabState) -> Iterator[None]:
    """Fail if anything is written meanwhile."""
    before = held(state)
    yield
    assert held(state) == before
