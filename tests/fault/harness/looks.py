"""What is there, asked of each part itself and not of what the plays say about it."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import hvac
import requests

from lab import podman, s3
from lab.nas import namespace
from lab.nas.layout import get
from lab.proxmox.room import Room
from lab.state import LabState

Json = t.Any


def proxmox(state: LabState, path: str) -> Json:
    """Return the answer of the Proxmox API."""
    access = state.connection["proxmox"]
    headers = {"Authorization": f"PVEAPIToken={access['user']}!{access['token_id']}={access['token_secret']}"}
    with requests.Session() as session:
        session.trust_env = False
        answer = session.get(f"https://{access['host']}:{access['port']}/api2/json/{path}", headers=headers, verify=state.connection["ca_file"], timeout=30)
    answer.raise_for_status()
    return answer.json()["data"]


def guests(state: LabState) -> list[str]:
    """Return the names of all guests that the API knows (no templates), each as often as it is there."""
    return sorted(vm["name"] for vm in proxmox(state, "cluster/resources?type=vm") if not vm.get("template"))


def containers(state: LabState) -> int:
    """Return how many guests really run."""
    return len(podman.containers(f"resilient-lab={state.name}"))


def tasks(state: LabState) -> list[str]:
    """Return the ids of all tasks that the Proxmox node has worked on: every write is one."""
    return sorted(task["upid"] for task in proxmox(state, f"nodes/{state.connection['proxmox']['node']}/tasks?limit=10000"))


def zfs(state: LabState, nas: str, kind: str) -> list[str]:
    """Return the names of all datasets (*kind* filesystem) or snapshots of a NAS."""
    argv = namespace.enter(get(state, nas), "zfs", "list", "-H", "-o", "name", "-t", kind)
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()


def table(state: LabState, nas: str, name: str) -> list[dict[str, Json]]:
    """Return the rows of one kind of object of a NAS: ``keychain``, ``snapshottask``, ``replication``."""
    rows: list[dict[str, Json]] = json.loads((state.dir / nas / "db.json").read_text())["tables"].get(name, [])
    return rows


def objects(state: LabState, prefix: str = "") -> dict[str, bytes]:
    """Return key and content of everything in the bucket."""
    client = s3.client(state)
    found = {}
    for item in client.list_objects(s3.BUCKET, prefix=prefix, recursive=True):
        with client.get_object(s3.BUCKET, str(item.object_name)) as answer:
            found[str(item.object_name)] = answer.read()
    return found


def vault(state: LabState, role: str = "admin") -> hvac.Client:
    """Return a client of the cluster, logged in with the credentials in custody."""
    credentials = json.loads((state.dir / "credentials" / f"{role}.json").read_text())
    url = f"https://{state.connection['guests']['vault-1']}:8200"
    client = hvac.Client(url=url, verify=str(state.dir / "credentials/tls/ca.crt"), timeout=30)
    client.session.trust_env = False
    client.auth.approle.login(credentials["role_id"], credentials["secret_id"])
    return client


def guest_logs(state: LabState) -> dict[str, bytes]:
    """Return journal and log files of every guest."""
    found = {}
    for vm in proxmox(state, "cluster/resources?type=vm"):
        if not vm.get("template"):
            name = Room(state).name(vm["vmid"])
            script = "journalctl --no-pager --quiet -o export; find /var/log -type f ! -path '*/journal/*' -exec cat {} +"
            found[f"logs of {vm['name']}"] = subprocess.run(["podman", "exec", name, "sh", "-c", script], capture_output=True, check=False).stdout
    return found


def files(*roots: pathlib.Path) -> dict[str, bytes]:
    """Return path and content of every file below *roots*."""
    return {str(path): path.read_bytes() for root in roots for path in ([root] if root.is_file() else sorted(root.rglob("*"))) if path.is_file()}
