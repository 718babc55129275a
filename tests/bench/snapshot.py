"""vault_raft_snapshot beside bao operator raft snapshot save, from the same real server: time and peak memory of the client.

    python tests/bench/snapshot.py [--megabytes 64,256] [--repeat 3] [--directory DIR] [--json FILE]

A server of one node with a transit seal is started on loopback and filled with random values. The module runs as a process of its
own with its real argument handling; a server without data says what starting each costs, which is not subtracted. The module also
verifies what it takes, while it comes, down to the last entry; the command looks whether the last member is there.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
import sys
import tempfile
import typing as t

from common import ROOT, best, load_collection, machine, table

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import common
common.load_collection()
from helpers.modules import run_module
from ansible_collections.resilient.platform.plugins.modules import vault_raft_snapshot as module
print("taken", run_module(module.main, json.load(open(sys.argv[2])))["snapshot"]["size_bytes"])
"""
VALUE_BYTES = 256 * 1024


def fill(vault: t.Any, megabytes: int, there: int) -> None:
    """Bring what the server holds from *there* to *megabytes*."""
    for number in range(there * 1024 * 1024 // VALUE_BYTES, megabytes * 1024 * 1024 // VALUE_BYTES):
        vault.put(f"bench/{number}", os.urandom(VALUE_BYTES // 2).hex())


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--megabytes", type=lambda text: sorted(int(word) for word in text.split(",")), default=[64, 256])
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--directory", type=pathlib.Path, help="where server and snapshots lie")
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures to this file")
    options = parser.parse_args()
    load_collection()
    sys.path.insert(0, str(ROOT / "tests" / "integration" / "vault"))
    from openbao import Kms, binary
    from openbao_runner import Fleet

    rows: list[list[str]] = []
    found: list[dict[str, t.Any]] = []
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = pathlib.Path(name)
        fleet, kms = Fleet(directory), Kms(directory / "kms").start()
        try:
            vault = fleet.vault(fleet.make(kms=kms)[0]).initialise()
            vault.enable_kv()
            there = 0
            for megabytes in [0, *options.megabytes]:
                fill(vault, megabytes, there)
                there = megabytes
                path, wanted = directory / "bench.snap", directory / "options.json"
                # In a file, not among the arguments, where everybody could read the token.
                wanted.write_text(json.dumps({"url": vault.node.url, "token": vault.token, "dest": str(path)}))
                environment = {**os.environ, "BAO_ADDR": vault.node.url, "BAO_TOKEN": vault.token}
                module = [sys.executable, "-c", CHILD, str(pathlib.Path(__file__).parent), str(wanted)]
                command = [str(binary()), "operator", "raft", "snapshot", "save", str(path)]
                for who, argv, said in (("vault_raft_snapshot", module, "taken"), ("bao operator raft snapshot save", command, "")):
                    one = best(argv, said, options.repeat, environment)
                    size = path.stat().st_size
                    rows.append([f"{size / 1e6:.3g} MB", who, f"{one.seconds:.2f}", f"{size / one.seconds / 1e6:.0f}", f"{one.cpu:.2f}", f"{one.memory:.0f}"])
                    found.append({"bytes": size, "who": who, **dataclasses.asdict(one)})
        finally:
            fleet.stop()
            kms.stop()
    print(f"{machine()}; fastest of {options.repeat}; server and client on the same machine\n")
    print(table(["snapshot", "who", "seconds", "MB/s", "CPU s", "peak MiB"], rows))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
