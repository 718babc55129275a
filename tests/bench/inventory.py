"""The inventory plugin beside community.proxmox's, on the same fakepve, in the same run: requests, time and peak memory.

    python tests/bench/inventory.py [--guests 1000] [--latency 0,0.02] [--repeat 3] [--facts-guests 50] [--json FILE]

Each figure comes from a real ``ansible-inventory --list``, so its start and its printing are in it; what these cost with as many hosts that
stand in a file is measured too. The fastest and the least of the runs. Requests are counted by the server. With its facts the other
plugin asks for each guest by itself: it is measured with as many guests as --facts-guests says.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import pathlib

import yaml
from common import best, machine, table
from proxmox import Bench, numbers, served, set_latency

TAGS = "platform;web"


def fill(bench: Bench, count: int) -> None:
    """Make *count* running guests on three nodes with tags, one in two with a pool."""
    bench.pve.vms.clear()
    bench.pve.pools["apps"] = set()
    for number in range(count):
        config = {"cores": "2", "memory": "1024", "tags": TAGS, "net0": f"virtio=BC:24:11:00:{number // 256:02X}:{number % 256:02X},bridge=vmbr0"}
        vm = bench.pve.add_vm(100 + number, f"guest-{number}", node=f"pve{1 + number % 3}", config=config, pool="apps" if number % 2 else None)
        vm.status = "running"


def sources(bench: Bench, count: int) -> dict[str, str]:
    """Write the inventories' files; the text of each by the name of who reads it."""
    url = f"https://127.0.0.1:{bench.pve.port}"
    theirs = {"plugin": "community.proxmox.proxmox", "url": url, "user": "root@pam", "token_id": "bench", "token_secret": "s3cret", "validate_certs": True}
    hosts = {f"guest-{number}": {"proxmox_vmid": 100 + number, "proxmox_tags": TAGS.split(";")} for number in range(count)}
    found = {
        "a file with as many hosts": {"all": {"hosts": hosts}},
        "resilient.platform.proxmox": {"plugin": "resilient.platform.proxmox"},
        "community.proxmox.proxmox": theirs,
        "community.proxmox.proxmox, want_facts": {**theirs, "want_facts": True},
    }
    return {who: yaml.safe_dump(content) for who, content in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--guests", type=numbers(int), default=[1000])
    parser.add_argument("--latency", type=numbers(float), default=[0.0], help="seconds before each answer")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--facts-guests", type=int, default=50)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures to this file")
    options = parser.parse_args()
    rows: list[list[str]] = []
    found: list[dict[str, object]] = []
    with served() as bench:
        for latency, wanted in itertools.product(options.latency, options.guests):
            set_latency(bench.pve, latency)
            for who in sources(bench, 0):
                facts = who.endswith("want_facts")
                count = min(wanted, options.facts_guests) if facts else wanted
                fill(bench, count)
                path = bench.directory / "bench.proxmox.yml"
                path.write_text(sources(bench, count)[who])
                bench.pve.requests.clear()
                repeat = 1 if facts else options.repeat
                argv = ["ansible-inventory", "-i", str(path), "--list"]
                one = best(argv, f'"guest-{count - 1}"', repeat, {**bench.environment, "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true"})
                requests = len(bench.pve.requests) // repeat
                rows.append([str(count), f"{latency * 1000:g} ms", who, str(requests), f"{one.seconds:.2f}", f"{one.cpu:.2f}", f"{one.memory:.0f}"])
                found.append({"guests": count, "latency": latency, "who": who, "requests": requests, **dataclasses.asdict(one)})
    print(f"{machine()}; fastest of {options.repeat}\n")
    print(table(["guests", "latency", "who", "requests", "seconds", "CPU s", "peak MiB"], rows))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
