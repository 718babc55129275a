"""proxmox_fleet beside community.proxmox's proxmox_kvm in a loop, on the same fakepve, in the same run.

    python tests/bench/proxmox.py [--guests 20,50] [--latency 0,0.05] [--scenario noop,drift,provision] [--repeat 3] [--json FILE]

The server is the unmodified fakepve in this process; every figure comes from a real ``ansible-playbook``. Time is its wall clock less
that of an empty play (both medians), so it is what the tasks themselves cost. Requests are counted by the server.
A scenario is a function in SCENARIOS that brings the server into the state that the measured run finds.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import typing as t
from collections import Counter
from collections.abc import Callable, Iterator

import yaml
from common import machine, median, table, where_collections_are
from fakepve.certs import make_cert
from fakepve.pytest_plugin import _Serving  # its way of serving from a thread; it has no public name
from fakepve.server import FakePve

Play = list[dict[str, t.Any]]
DECLARED: dict[str, t.Any] = {"cores": 2, "memory": 1024}


@dataclasses.dataclass(frozen=True)
class Figures:
    """What one run cost."""

    seconds: float
    requests: int
    writes: int
    changed: int

    def cells(self) -> list[str]:
        return [str(self.requests), str(self.writes), str(self.changed), f"{self.seconds:.1f}"]


class Bench:
    """A server with *count* guests as declared, *latency* seconds away, and the playbooks that ask for them."""

    def __init__(self, pve: FakePve, directory: pathlib.Path, ca_file: str) -> None:
        self.pve, self.directory = pve, directory
        pve.apitokens["root@pam!bench"] = "s3cret"
        (directory / "ansible.cfg").touch()  # so that nobody's own settings come in
        access = {"HOST": "127.0.0.1", "PORT": pve.port, "USER": "root@pam", "TOKEN_ID": "bench", "TOKEN_SECRET": "s3cret", "CA_PATH": ca_file}
        self.environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": where_collections_are(),
            **{f"PROXMOX_{name}": str(value) for name, value in access.items()},
            # proxmox_kvm takes no CA file; requests does.
            "PROXMOX_VALIDATE_CERTS": "true", "REQUESTS_CA_BUNDLE": ca_file,
            "ANSIBLE_PYTHON_INTERPRETER": "auto_silent", "ANSIBLE_CONFIG": str(directory / "ansible.cfg"), "ANSIBLE_PIPELINING": "true",
        }  # fmt: skip

    def populate(self, count: int) -> list[str]:
        """Make the guests; their names."""
        self.pve.vms.clear()
        for number in range(count):
            config = {"cores": "2", "memory": "1024", "net0": f"virtio=BC:24:11:00:{number // 256:02X}:{number % 256:02X},bridge=vmbr0"}
            self.pve.add_vm(100 + number, f"guest-{number}", config=config).status = "running"
        return [f"guest-{number}" for number in range(count)]

    def play(self, tasks: Play) -> float:
        """Run a play on localhost; wall clock in seconds. RuntimeError with its output when it fails."""
        path = self.directory / "play.yml"
        hosts = {"hosts": "localhost", "connection": "local", "gather_facts": False}
        path.write_text(yaml.safe_dump([{**hosts, "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}, "tasks": tasks}]))
        began = time.monotonic()
        done = subprocess.run(["ansible-playbook", "-i", "localhost,", str(path)], env=self.environment, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        recap = re.search(r"changed=(\d+)", done.stdout)  # an empty play has none
        self.changed = int(recap[1]) if recap else 0
        return seconds

    def measure(self, tasks: Play, prepare: Callable[[], object], repeat: int, empty: float) -> Figures:
        """Run *tasks* from the same state *repeat* times. The requests must be the same each time."""
        counts: set[tuple[int, int, int]] = set()

        def once() -> float:
            prepare()
            self.pve.requests.clear()
            seconds = self.play(tasks)
            methods = Counter(method for method, _path, _body in self.pve.requests)
            counts.add((methods.total(), methods.total() - methods["GET"], self.changed))
            return seconds

        seconds = median(once, repeat) - empty
        requests, writes, changed = max(counts)
        return Figures(seconds, requests, writes, changed)


def ours(names: list[str]) -> Play:
    """One task."""
    guests = [{"name": name, "state": "started", **DECLARED} for name in names]
    return [{"resilient.platform.proxmox_fleet": {"guests": guests}}]


def ours_from_template(names: list[str]) -> Play:
    """Clone, configure, grow and start, in one task."""
    disks = {"scsi0": {"size": "20G"}}
    guests = [{"name": name, "state": "started", "clone_from": "template", "full_clone": True, "disks": disks, **DECLARED} for name in names]
    return [{"resilient.platform.proxmox_fleet": {"guests": guests}}]


def theirs_from_template(names: list[str]) -> Play:
    """The same with the modules that users have: one loop for each step."""
    loop = {"loop": names}
    kvm = {"name": "{{ item }}", "node": "pve1", "timeout": 60}
    return [
        {"community.proxmox.proxmox_kvm": {**kvm, "clone": "template", "full": True}, **loop},
        {"community.proxmox.proxmox_kvm": {**kvm, **DECLARED, "update": True}, **loop},
        {"community.proxmox.proxmox_disk": {"name": "{{ item }}", "disk": "scsi0", "size": "20G", "state": "resized"}, **loop},
        {"community.proxmox.proxmox_kvm": {**kvm, "state": "started"}, **loop},
    ]


def theirs(names: list[str]) -> Play:
    """The same declaration in the module that users have: properties by ``update``, power by ``started``, in loops."""
    loop = {"loop": names}
    kvm = {"name": "{{ item }}", "node": "pve1", "timeout": 60}
    return [
        {"community.proxmox.proxmox_kvm": {**kvm, **DECLARED, "update": True}, **loop},
        {"community.proxmox.proxmox_kvm": {**kvm, "state": "started"}, **loop},
    ]


def theirs_power_only(names: list[str]) -> Play:
    """What does not compare properties at all: guests that exist are left as they are, only power is looked at."""
    return theirs(names)[1:]


def noop(bench: Bench, count: int) -> list[str]:
    """Everything is as declared."""
    return bench.populate(count)


def drift(bench: Bench, count: int) -> list[str]:
    """One guest in ten (at least one) has another number of cores."""
    names = bench.populate(count)
    for vm in list(bench.pve.vms)[::10]:
        vm.config["cores"] = "1"
    return names


def provision(bench: Bench, count: int) -> list[str]:
    """Nothing is there but a template."""
    bench.pve.vms.clear()
    bench.pve.storages["local-lvm"].setdefault("volumes", {})["base-9000-disk-0"] = {"content": "images", "format": "raw", "size": 8 * 2**30, "vmid": 9000}
    config = {"scsi0": "local-lvm:base-9000-disk-0,size=8G", "net0": "virtio=BC:24:11:FF:FF:FF,bridge=vmbr0", "memory": "512"}
    bench.pve.add_vm(9000, "template", template=True, config=config)
    return [f"guest-{number}" for number in range(count)]


SCENARIOS: dict[str, Callable[[Bench, int], list[str]]] = {"noop": noop, "drift": drift, "provision": provision}
Sides = dict[str, Callable[[list[str]], Play]]
PROVISIONING: Sides = {
    "resilient.platform.proxmox_fleet": ours_from_template,
    "community.proxmox.proxmox_kvm + proxmox_disk, a loop for each step": theirs_from_template,
}
SIDES: Sides = {
    "resilient.platform.proxmox_fleet": ours,
    "community.proxmox.proxmox_kvm, update + started": theirs,
    "community.proxmox.proxmox_kvm, started only (compares nothing)": theirs_power_only,
}


@contextlib.contextmanager
def served() -> Iterator[Bench]:
    """A started fakepve and its bench."""
    with tempfile.TemporaryDirectory() as name:
        certificate, key = make_cert(name, hosts=("127.0.0.1",))[:2]
        pve = FakePve(host="127.0.0.1", port=0)
        pve.time_scale = 0
        pve.max_requests = 1_000_000
        serving = _Serving(pve, certificate, key)
        try:
            yield Bench(pve, pathlib.Path(name), certificate)
        finally:
            serving.stop()


def numbers(kind: Callable[[str], t.Any]) -> Callable[[str], list[t.Any]]:
    return lambda text: [kind(word) for word in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--guests", type=numbers(int), default=[20])
    parser.add_argument("--latency", type=numbers(float), default=[0.0], help="seconds before each answer")
    parser.add_argument("--scenario", type=numbers(str), default=["noop"], help=", ".join(SCENARIOS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures to this file")
    options = parser.parse_args()
    rows: list[list[str]] = []
    found: list[dict[str, t.Any]] = []
    with served() as bench:
        empty = median(lambda: bench.play([]), options.repeat)
        print(f"{machine()}; empty play {empty:.1f} s, already subtracted; median of {options.repeat}\n")
        for scenario in options.scenario:
            for count in options.guests:
                for latency in options.latency:
                    bench.pve.network["latency"] = latency
                    # fakepve's pauses are scaled like its tasks; 0 would switch them off.
                    bench.pve.time_scale = 1 if latency else 0
                    for side, tasks in (PROVISIONING if scenario == "provision" else SIDES).items():
                        prepare = SCENARIOS[scenario]
                        names = prepare(bench, count)
                        figures = bench.measure(tasks(names), lambda: prepare(bench, count), options.repeat, empty)  # noqa: B023
                        rows.append([scenario, str(count), f"{latency * 1000:g} ms", side, *figures.cells()])
                        found.append({"scenario": scenario, "guests": count, "latency": latency, "side": side, **dataclasses.asdict(figures)})
    print(table(["scenario", "guests", "latency", "who", "requests", "of them writes", "changed", "seconds"], rows))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
