"""Peak memory of one lab and of what runs against it: sampled every few seconds until the time is over or the lab is gone.

    python tests/bench/memory.py LAB [--every 5] [--seconds 900]

Counted are processes that have RESILIENT_LAB=LAB or the lab's state directory in their environment or command line, the processes in its
guests, and all of their children, each with its proportional share (PSS) of what it shares; files cached by the kernel are not.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import subprocess
import time

from common import machine

PROC = pathlib.Path("/proc")


def guests(lab: str) -> dict[int, str]:
    """Return the first process of each running guest: pid and name."""
    text = subprocess.run(["podman", "ps", "--format", "json"], check=True, capture_output=True, text=True).stdout
    return {one["Pid"]: one["Names"][0] for one in json.loads(text or "[]") if one["Names"][0].startswith(f"resilient-{lab}-vm-")}


def sample(lab: str) -> dict[str, int]:
    """Return the bytes of each group of processes."""
    parents: dict[int, int] = {}
    group: dict[int, str] = dict.fromkeys(guests(lab), "guests")
    for path in PROC.iterdir():
        if not path.name.isdigit():
            continue
        try:
            pid = int(path.name)
            parents[pid] = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            said = (path / "cmdline").read_bytes() + b"\0" + (path / "environ").read_bytes() + b"\0"
        except (OSError, ValueError):
            continue  # It has just ended.
        if f"\0RESILIENT_LAB={lab}\0".encode() in said or f"/labs/{lab}/".encode() in said or f"--name\0{lab}\0".encode() in said:
            group.setdefault(pid, "controller" if b"ansible" in (path / "cmdline").read_bytes() else "servers")
    total = dict.fromkeys(("guests", "servers", "controller"), 0)
    for pid in parents:
        nearest: int | None = pid
        while nearest and nearest not in group:
            nearest = parents.get(nearest)
        if not nearest:
            continue
        try:
            total[group[nearest]] += next(
                int(line.split()[1]) * 1024 for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines() if line.startswith("Pss:"))
        except (OSError, StopIteration):
            continue
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("lab")
    parser.add_argument("--every", type=float, default=5.0)
    parser.add_argument("--seconds", type=float, default=900.0)
    options = parser.parse_args()
    peak: dict[str, int] = {}
    seen = 0
    deadline = time.monotonic() + options.seconds
    while time.monotonic() < deadline:
        now = sample(options.lab)
        if not sum(now.values()) and seen:
            break
        seen += 1
        if sum(now.values()) > sum(peak.values()):
            peak = now
        time.sleep(options.every)
    parts = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in peak.items())
    print(f"{machine()}; {seen} samples\npeak {sum(peak.values()) / 2**20:.0f} MiB: {parts}")


if __name__ == "__main__":
    main()
