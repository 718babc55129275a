"""proxmox_fleet beside community.proxmox's proxmox_kvm in a loop, on the same fakepve, in the same run.

    python tests/bench/proxmox.py [--guests 20,50] [--latency 0,0.05] [--scenario noop,power,drift,provision] [--repeat 3] [--peer-guests 50]

The server is the unmodified fakepve in this process; every figure comes from a real ``ansible-playbook``. Time is its wall clock, and its
processor time, less those of an empty play, so it is what the tasks themselves cost; the fastest of the runs, because what else the
machine does can only slow one down. Requests are counted by the server. A task of the server takes no time of its own, which is kind
to a loop: it would wait for each one.
A scenario is a function in SCENARIOS that brings the server into the state that the measured run finds. A loop costs each guest the same:
with --peer-guests it goes over that many of the server's guests, once, and its figures are those for all of them by the rule of three;
the column "measured" says so.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import re
import resource
import subprocess
import tempfile
import time
import typing as t
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

import yaml
from common import machine, table, where_collections_are
from fakepve.certs import make_cert
from fakepve.pytest_plugin import _Serving  # its way of serving from a thread; it has no public name
from fakepve.server import FakePve

Play = list[dict[str, t.Any]]
DECLARED: dict[str, t.Any] = {"cores": 2, "memory": 1024}


@dataclasses.dataclass(frozen=True)
class Figures:
    """What one run cost."""

    seconds: float
    cpu: float
    requests: int
    writes: int
    changed: int

    def times(self, factor: float) -> Figures:
        """Return what so many times the guests cost."""
        return Figures(self.seconds * factor, self.cpu * factor, round(self.requests * factor), round(self.writes * factor), self.changed)

    def cells(self) -> list[str]:
        return [str(self.requests), str(self.writes), str(self.changed), f"{self.seconds:.2f}", f"{self.cpu:.2f}"]


# Wall clock and processor time in seconds.
Cost = tuple[float, float]


def fastest(costs: Iterable[Cost]) -> Cost:
    """Return the least of both."""
    walls, cpus = zip(*costs)
    return min(walls), min(cpus)


def cpu_of_children() -> float:
    """Return the processor time of all processes that were waited for: the server is in this one and does not count."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


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

    def play(self, tasks: Play) -> Cost:
        """Run a play on localhost. RuntimeError with its output when it fails."""
        path = self.directory / "play.yml"
        hosts = {"hosts": "localhost", "connection": "local", "gather_facts": False}
        path.write_text(yaml.safe_dump([{**hosts, "vars": {"ansible_python_interpreter": "{{ ansible_playbook_python }}"}, "tasks": tasks}]))
        began, used = time.monotonic(), cpu_of_children()
        done = subprocess.run(["ansible-playbook", "-i", "localhost,", str(path)], env=self.environment, capture_output=True, text=True, check=False)
        cost = time.monotonic() - began, cpu_of_children() - used
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        recap = re.search(r"changed=(\d+)", done.stdout)  # an empty play has none
        self.changed = int(recap[1]) if recap else 0
        return cost

    def measure(self, tasks: Play, prepare: Callable[[], object], repeat: int, empties: list[Cost]) -> Figures:
        """Run *tasks* from the same state *repeat* times. An empty play runs before each and joins *empties*.

        Looks at tasks may differ in number; the most requests count.
        """
        counts: set[tuple[int, int, int]] = set()

        def once() -> Cost:
            empties.append(self.play([]))
            prepare()
            self.pve.requests.clear()
            cost = self.play(tasks)
            methods = Counter(method for method, _path, _body in self.pve.requests)
            counts.add((methods.total(), methods.total() - methods["GET"], self.changed))
            return cost

        seconds, cpu = fastest(once() for attempt in range(repeat))
        empty = fastest(empties)
        requests, writes, changed = max(counts)
        return Figures(seconds - empty[0], cpu - empty[1], requests, writes, changed)


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


def ours_power_only(names: list[str]) -> Play:
    """Presence and power, no property."""
    return [{"resilient.platform.proxmox_fleet": {"guests": [{"name": name, "state": "started"} for name in names]}}]


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


Sides = dict[str, Callable[[list[str]], Play]]
# The first is ours.
DECLARING: Sides = {"proxmox_fleet": ours, "proxmox_kvm, update, then started": theirs}
SCENARIOS: dict[str, tuple[Callable[[Bench, int], list[str]], Sides]] = {
    "noop": (noop, DECLARING),
    "power": (noop, {"proxmox_fleet": ours_power_only, "proxmox_kvm, started only": theirs_power_only}),
    "drift": (drift, DECLARING),
    "provision": (provision, {"proxmox_fleet": ours_from_template, "proxmox_kvm and proxmox_disk, a loop for each step": theirs_from_template}),
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


def set_latency(pve: FakePve, seconds: float) -> None:
    """Let each answer come later. The server scales its pauses with its tasks, which are to take no time that counts."""
    pve.time_scale = 0.001 if seconds else 0
    pve.network["latency"] = seconds / 0.001


def compare(bench: Bench, scenario: str, count: int, repeat: int, peer_guests: int) -> Iterator[tuple[str, int, Figures]]:
    """Yield who, over how many guests it was measured, and what all of them cost."""
    empties: list[Cost] = []
    prepare, sides = SCENARIOS[scenario]
    for number, (side, tasks) in enumerate(sides.items()):
        measured = min(count, peer_guests) if number else count
        names = prepare(bench, count)[:measured]
        figures = bench.measure(tasks(names), lambda: prepare(bench, count), 1 if number else repeat, empties)
        yield side, measured, figures.times(count / measured)


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--guests", type=numbers(int), default=[20])
    parser.add_argument("--latency", type=numbers(float), default=[0.0], help="seconds before each answer")
    parser.add_argument("--scenario", type=numbers(str), default=["noop"], help=", ".join(SCENARIOS))
    parser.add_argument("--repeat", type=int, default=3, help="runs of our side and of the empty play; a loop runs once")
    parser.add_argument("--peer-guests", type=int, default=1000, help="the most guests that a loop is measured over")
    parser.add_argument("--json", type=pathlib.Path, help="add the figures to this file, a line of JSON each, as they come")
    options = parser.parse_args()
    header = ["scenario", "guests", "latency", "who", "measured", "requests", "writes", "changed", "seconds", "CPU s", "times", "CPU times", "load"]
    rows: list[list[str]] = []
    print(f"{machine()}; an empty play is already subtracted; fastest of {options.repeat}, loops once\n")
    with served() as bench:
        for scenario, latency, count in itertools.product(options.scenario, options.latency, options.guests):
            set_latency(bench.pve, latency)
            first: Figures | None = None
            for side, measured, one in compare(bench, scenario, count, options.repeat, options.peer_guests):
                first = first or one
                load = os.getloadavg()[0]
                ratio = [f"{one.seconds / first.seconds:.1f}", f"{one.cpu / first.cpu:.1f}"]
                over = "all" if measured == count else f"{measured} of them"
                rows.append([scenario, str(count), f"{latency * 1000:g} ms", side, over, *one.cells(), *ratio, f"{load:.1f}"])
                if options.json:
                    place = {"scenario": scenario, "guests": count, "latency": latency, "side": side, "measured": measured, "load": load}
                    with options.json.open("a") as stream:
                        stream.write(json.dumps({**place, **dataclasses.asdict(one)}) + "\n")
    print(table(header, rows))


if __name__ == "__main__":
    main()
