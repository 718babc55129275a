"""What the benchmarks share: what a command costs, a table, and a line that says on what machine the figures were taken."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]


def machine() -> str:
    """Return processor count, load of the last minute and versions: figures of a busy machine say so."""
    return f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {platform.system()} {platform.release()}"


def table(header: Sequence[str], rows: Sequence[Sequence[t.Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def where_collections_are() -> str:
    """Return the directory under which this checkout is ``ansible_collections/resilient/platform``."""
    return subprocess.run([ROOT / "lab" / "collections_path.sh"], check=True, capture_output=True, text=True).stdout.strip()


def load_collection() -> None:
    """Make this checkout importable as the collection, and the tests' helpers with it."""
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    sys.path.insert(0, str(ROOT / "tests" / "unit"))
    _AnsibleCollectionFinder(paths=[where_collections_are()])._install()


@dataclasses.dataclass(frozen=True)
class Cost:
    """Wall clock and processor time in seconds, peak resident memory in MiB."""

    seconds: float
    cpu: float
    memory: float


def peak(pid: int) -> float:
    """Return the peak resident memory so far of a process that has not been waited for, in MiB; 0 when it is over."""
    # Not ru_maxrss: that begins with the memory of whoever forked.
    found = re.search(r"^VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def cost(argv: list[str], wanted: str = "", environment: dict[str, str] | None = None) -> Cost:
    """Run *argv* and wait; RuntimeError when it fails or does not print *wanted*. *environment* is the whole of it."""
    memory = 0.0
    with tempfile.TemporaryFile("w+") as output:
        began = time.monotonic()
        child = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, env=environment)
        while True:
            memory = max(memory, peak(child.pid))
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            time.sleep(0.005)
        seconds = time.monotonic() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        text = output.read()
    if child.returncode or wanted not in text:
        raise RuntimeError(f"{argv[0]} ended with {child.returncode}: {text}")
    return Cost(seconds, usage.ru_utime + usage.ru_stime, memory)


def best(argv: list[str], wanted: str, repeat: int, environment: dict[str, str] | None = None) -> Cost:
    """Return the fastest of *repeat* runs: what else the machine does can only slow one down."""
    return min((cost(argv, wanted, environment) for attempt in range(repeat)), key=lambda found: found.seconds)
