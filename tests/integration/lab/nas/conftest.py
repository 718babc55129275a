"""A pair of NASes on loopback, in a state directory of its own; whatever happens, nothing of it is left."""

from __future__ import annotations

import os
import pathlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from lab import nas, pki
from lab.nas.layout import Ports, Settings
from lab.nas.server.client import Client
from lab.state import LabState

POOL = {"name": "tank", "topology": {"data": [{"type": "MIRROR", "disks": ["sda", "sdb"]}]}}
SCHEMA = "auto-%Y-%m-%d_%H-%M"


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on right now."""
    sockets = [socket.socket() for _unused in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass
class Pair:
    """Two running NASes."""

    state: LabState
    settings: Settings

    def details(self, role: str) -> dict[str, Any]:
        """Return the connection details of a NAS."""
        found: dict[str, Any] = self.state.connection["truenas"][role]
        return found

    def client(self, role: str = "primary") -> Client:
        """Return an authenticated connection."""
        one = self.details(role)
        login = {"mechanism": "API_KEY_PLAIN", "username": one["username"], "api_key": one["api_key"]}
        return Client(f"wss://{one['host']}:{one['port']}/api/current", self.state.connection["ca_file"], login)

    def mount(self, role: str, *parts: str) -> pathlib.Path:
        """Return where the host sees a path of a NAS."""
        return pathlib.Path(self.details(role)["mount"], *parts)


def leftovers(directory: pathlib.Path) -> list[str]:
    """Return mounts and processes that belong to a lab."""
    mounts = [line for line in pathlib.Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]
    done = subprocess.run(["pgrep", "-f", "--", str(directory)], capture_output=True, text=True, check=False)
    return mounts + [f"process {pid}" for pid in done.stdout.split() if int(pid) != os.getpid()]


def make_pair(directory: pathlib.Path, **options: Any) -> Pair:
    """Start a pair. ``options`` go to Settings."""
    state = LabState(directory.name, directory)
    state.connection = {"network": {"gateway": "127.0.0.1"}}
    state.save()
    pki.up(state)
    one = free_ports(6)
    settings = Settings(ports=(("nas-a", Ports(*one[:3])), ("nas-b", Ports(*one[3:]))), **options)
    nas.up(state, settings)
    return Pair(state, settings)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A pair for the tests of one file; the login limit is off, they log in often."""
    if os.geteuid() != 0 or not shutil.which("zfs-fuse"):
        pytest.fail("The NAS doubles need root and zfs-fuse: run lab/install.sh as root.")
    directory = tmp_path_factory.mktemp("nas")
    state = LabState(directory.name, directory)
    try:
        yield make_pair(directory, rate_limit=0, scheduler=False)
    finally:
        nas.down(state)
        assert leftovers(directory) == []
