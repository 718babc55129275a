"""truenas_dataset with many datasets in one task, beside one task for each of them and beside a loop of the official client's calls.

    python tests/bench/truenas.py [--datasets 200] [--loop 20] [--version 25.10] [--client DIRECTORY]

The server is the lab's double with ZFS in memory, in this process; what is measured runs in processes of its own, so that processor
time is theirs. Requests are counted by the server. Its limit of log-ins is off, which is kind to the loop: a real system takes 20 a minute.
A loop costs each dataset the same: with --loop it goes over that many, and its figures are those for all by the rule of three.
The official client (github.com/truenas/api_client) is not on PyPI: --client is a directory that holds its ``truenas_api_client``.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import typing as t

import yaml
from common import ROOT, load_collection, machine, table, where_collections_are

TEN: dict[str, t.Any] = {
    "comments": "bench", "sync": "ALWAYS", "compression": "GZIP", "atime": "OFF", "exec": "OFF", "quota": 2 * 1024**3, "refquota": 1024**3, "copies": 2,
    "readonly": "OFF", "snapdir": "VISIBLE",
}  # fmt: skip
# What a script would do: look at each, compare what it wants, write what differs.
SCRIPT = """
import json, sys
from truenas_api_client import Client
job = json.load(sys.stdin)
with Client(job["uri"]) as c:
    c.call("auth.login_ex", {"mechanism": "API_KEY_PLAIN", "username": job["username"], "api_key": job["key"]})
    for name in job["names"]:
        found = c.call("pool.dataset.query", [["id", "=", name]])
        if not found:
            c.call("pool.dataset.create", {"name": name, **job["values"]})
            continue
        shown = found[0]
        same = {"quota": "parsed", "refquota": "parsed", "copies": "parsed"}
        wrong = {k: v for k, v in job["values"].items() if str(shown[k][same.get(k, "value")]) != str(v)}
        if wrong:
            c.call("pool.dataset.update", name, wrong)
"""


class Figures(t.NamedTuple):
    """What one run cost: seconds, processor seconds, requests, of them log-ins."""

    seconds: float
    cpu: float
    requests: float
    logins: float

    def less(self, seconds: float, cpu: float) -> Figures:
        return self._replace(seconds=self.seconds - seconds, cpu=self.cpu - cpu)

    def times(self, factor: float) -> Figures:
        return Figures(*(value * factor for value in self))

    def cells(self) -> list[str]:
        return [str(round(self.requests)), str(round(self.logins)), f"{self.seconds:.1f}", f"{self.cpu:.1f}"]


def run(argv: list[str], seen: list[str], text: str = "", **environment: str) -> Figures:
    """Run a command to its end and return what it cost."""
    seen.clear()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(argv, input=text, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    if done.returncode:
        raise SystemExit(f"{argv[0]} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Figures(time.monotonic() - began, cpu, len(seen), seen.count("auth.login_ex"))


def play(directory: pathlib.Path, tasks: list[dict[str, t.Any]]) -> list[str]:
    """Write a playbook and return the command that runs it."""
    path = directory / "play.yml"
    path.write_text(yaml.safe_dump([{"hosts": "localhost", "gather_facts": False, "tasks": tasks}]))
    return ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}", str(path)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=200)
    parser.add_argument("--loop", type=int, default=20)
    parser.add_argument("--version", default="25.10")
    parser.add_argument("--client", help="directory that holds truenas_api_client")
    options = parser.parse_args()
    load_collection()
    sys.path.insert(0, str(ROOT))
    from helpers.double import Double

    from lab.nas.server import session

    seen: list[str] = []
    real = session._parse

    def parse(text: str) -> t.Any:
        message = real(text)
        seen.append(message["method"])
        return message

    session._parse = parse
    path = {"ANSIBLE_COLLECTIONS_PATH": where_collections_are()}
    rows: list[list[t.Any]] = []
    with tempfile.TemporaryDirectory() as made:
        directory = pathlib.Path(made)
        empty = run(play(directory, []), seen, **path)

        def measure(who: str, count: int, factor: float, command: t.Callable[[list[str]], tuple[list[str], str]], ground: tuple[float, float]) -> None:
            with Double(directory / str(len(rows)), options.version) as nas:
                names = [f"tank/d{number:04}" for number in range(count)]
                argv, text = command([*names, json.dumps(nas.connection)])
                for what in ("create", "no-op"):
                    figures = run(argv, seen, text, **path, **({"PYTHONPATH": options.client} if options.client else {}))
                    rows.append([who, what, *figures.less(*ground).times(factor).cells()])

        def module(names: list[str], *, loop: bool) -> tuple[list[str], str]:
            connection = json.loads(names.pop())
            items = [{"name": name, **{key: str(value) for key, value in TEN.items()}} for name in names]
            if not loop:
                return play(directory, [{"resilient.platform.truenas_dataset": {**connection, "datasets": items}}]), ""
            one = {"resilient.platform.truenas_dataset": {**connection, "datasets": ["{{ item }}"]}, "loop": items, "loop_control": {"label": "x"}}
            return play(directory, [one]), ""

        def official(names: list[str]) -> tuple[list[str], str]:
            connection = json.loads(names.pop())
            uri = f"ws://127.0.0.1:{connection['api_port']}/api/current"
            job = {"uri": uri, "username": connection["api_username"], "key": connection["api_key"], "names": names, "values": TEN}
            return [sys.executable, "-c", SCRIPT], json.dumps(job)

        measure("`truenas_dataset`, all in one task", options.datasets, 1, lambda names: module(names, loop=False), (empty.seconds, empty.cpu))
        factor = options.datasets / options.loop
        measure("`truenas_dataset`, a task each", options.loop, factor, lambda names: module(names, loop=True), (empty.seconds, empty.cpu))
        if options.client:
            measure("official client, a script that looks at each", options.datasets, 1, official, (0.0, 0.0))
    print(f"{options.datasets} datasets, 10 properties, {options.version}; {machine()}\n")
    print(table(["who", "what", "requests", "log-ins", "seconds", "CPU seconds"], rows))


if __name__ == "__main__":
    main()
