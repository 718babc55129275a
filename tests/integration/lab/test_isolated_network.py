"""The lab's isolated bridge keeps its guests from the platform's: a hostile root in one of them tries.

Needs a running lab: ``RESILIENT_LAB=NAME pytest -m lab tests/integration/lab`` (default: the lab called "default").
"""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from lab import network, podman
from lab.guest import image
from lab.guest.container import GuestSpec, run_argv
from lab.guest.disk import Disk
from lab.state import LabState

pytestmark = pytest.mark.lab
PORT = 8200
_LISTEN = f"import socket\nserver = socket.create_server(('', {PORT}))\nwhile True:\n    server.accept()[0].close()\n"
_CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
except OSError as exc:
    print(exc)
else:
    print('open')
"""


@dataclass
class Guest:
    """A guest that accepts connections on ``PORT``."""

    name: str
    address: str

    def run(self, *argv: str) -> str:
        """Run a command as root, as an intruder would; what it printed."""
        return podman.run("exec", self.name, *argv, check=False).stdout.strip()

    def connect(self, address: str, port: int = PORT) -> str:
        """``open``, or why a connection could not be made."""
        return self.run("python3", "-c", _CONNECT, address, str(port))


def reachable(address: str) -> bool:
    """Whether this machine can connect to ``address``; waits until the listener there is up."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            socket.create_connection((address, PORT), 2).close()
        except OSError:
            time.sleep(0.3)
        else:
            return True
    return False


@pytest.fixture(scope="module")
def state() -> LabState:
    found = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "isolated_network" in found.connection, "start the lab first: python -m lab up"
    return found


@pytest.fixture(scope="module")
def guests(state: LabState, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Guest, Guest]]:
    """One guest on the platform's bridge and one on the isolated bridge."""
    made: list[tuple[Guest, Disk]] = []
    try:
        for section in ("network", "isolated_network"):
            name = f"{state.prefix}-reach-{section.partition('_')[0]}-{os.getpid()}"
            disk = Disk(tmp_path_factory.mktemp("guest"), pathlib.Path("/run/resilient-lab", f"{state.name}-reach", name, "rootfs"))
            guest = Guest(name, "")
            made.append((guest, disk))
            disk.create(image.ensure())
            disk.mount()
            podman.run(*run_argv(GuestSpec(name, "reach", disk.mountpoint, network=state.connection[section]["name"])))
            guest.address = podman.run("inspect", name, "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}").stdout.strip()
            podman.run("exec", "--detach", name, "python3", "-c", _LISTEN)
        platform, isolated = (guest for guest, _disk in made)
        yield platform, isolated
    finally:
        for guest, disk in made:
            podman.run("rm", "--force", "--time", "0", "--ignore", guest.name)
            disk.delete()
        pathlib.Path("/run/resilient-lab", f"{state.name}-reach").rmdir()


def test_machine_reaches_both(guests: tuple[Guest, Guest]) -> None:
    assert all(reachable(guest.address) for guest in guests)


def test_isolated_guest_does_not_reach_the_platform(state: LabState, guests: tuple[Guest, Guest]) -> None:
    platform, isolated = guests
    assert reachable(platform.address), "nothing listens, so the test would say nothing"
    assert isolated.connect(platform.address) not in ("open", "")
    # Root of the guest sends it through the machine by hand, and hides behind another address of its own.
    gateway = state.connection["isolated_network"]["gateway"]
    isolated.run("ip", "route", "replace", f"{platform.address}/32", "via", gateway)
    assert isolated.connect(platform.address) not in ("open", "")
    isolated.run("ip", "address", "add", f"{platform.address.rpartition('.')[0]}.77/32", "dev", "eth0")
    isolated.run("ip", "route", "replace", f"{platform.address}/32", "via", gateway, "src", f"{platform.address.rpartition('.')[0]}.77")
    assert isolated.connect(platform.address) not in ("open", "")


def test_platform_does_not_reach_the_isolated_guest(guests: tuple[Guest, Guest]) -> None:
    platform, isolated = guests
    assert reachable(isolated.address), "nothing listens, so the test would say nothing"
    assert platform.connect(isolated.address) not in ("open", "")


def test_isolated_guest_reaches_the_services_on_the_machine(state: LabState, guests: tuple[Guest, Guest]) -> None:
    with socket.create_server((state.address, 0)) as server:

        def answer_once() -> None:
            server.accept()[0].close()

        threading.Thread(target=answer_once, daemon=True).start()
        assert guests[1].connect(state.address, server.getsockname()[1]) == "open"


def test_it_is_the_rule_that_isolates_and_status_tells_when_it_is_gone(state: LabState, guests: tuple[Guest, Guest]) -> None:
    platform, isolated = guests
    rule = ["iif", state.connection["isolated_network"]["interface"], "pref", "100", "prohibit"]
    subprocess.run(["ip", "rule", "delete", *rule], check=True)
    try:
        told, connected = isolation(state), platform.connect(isolated.address)
    finally:
        subprocess.run(["ip", "rule", "add", *rule], check=True)
    assert (told, connected) == ("broken", "open")
    assert isolation(state) == "up"


def isolation(state: LabState) -> str:
    """The state of the row ``isolated``."""
    return next(row.state for row in network.status(state) if row.component == "isolated")
