"""vault_raft_snapshot_verify beside sha256sum and gzip -t on the same file: time, processor time and peak memory.

    python tests/bench/verify.py [--megabytes 64,512] [--entry-bytes 4096] [--repeat 3] [--directory DIR] [--json FILE]

The snapshot is made here in the server's own layout; its values are random, like what a server has encrypted. The module runs as a
process of its own with its real argument handling; a snapshot of two kilobytes says what starting it costs, which is not subtracted.
"""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import hashlib
import io
import json
import os
import pathlib
import sys
import tarfile
import tempfile
import typing as t

from common import best, load_collection, machine, table

CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import common
common.load_collection()
from helpers.modules import run_module
from ansible_collections.resilient.platform.plugins.modules import vault_raft_snapshot_verify as module
print(run_module(module.main, json.loads(sys.argv[2]))["verdict"])
"""


def make(path: pathlib.Path, size: int, entry_bytes: int) -> str:
    """Write a snapshot with *size* bytes of entries to *path*; its digest."""
    from helpers import vault

    state = path.with_suffix(".state")
    digest = hashlib.sha256()
    with state.open("wb") as stream:
        for number in range(max(1, size // entry_bytes)):
            piece = vault.entry(b"logical/9543a1a1/%016x" % number, b"\0\0\0\1\2" + os.urandom(entry_bytes))
            digest.update(piece)
            stream.write(piece)
        # Last, as one piece: the keys that a server needs; core/ sorts before logical/ only in the store, not for the walker.
        piece = vault.state_of()
        digest.update(piece)
        stream.write(piece)
    members = vault.snapshot_members(b"")
    meta = {**json.loads(members["meta.json"]), "Size": state.stat().st_size}
    members["meta.json"] = json.dumps(meta).encode()
    sums = {"state.bin": digest.hexdigest(), "meta.json": hashlib.sha256(members["meta.json"]).hexdigest()}
    members["SHA256SUMS"] = "".join(f"{value}  {name}\n" for name, value in sums.items()).encode()
    with path.open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=1) as zipped, tarfile.open(
        fileobj=zipped, mode="w", format=tarfile.USTAR_FORMAT
    ) as archive:
        for name in ("meta.json", "state.bin", "SHA256SUMS", "SHA256SUMS.sealed"):
            info = tarfile.TarInfo(name)
            info.mtime = 1795240366
            with state.open("rb") if name == "state.bin" else io.BytesIO(members[name]) as content:
                info.size = meta["Size"] if name == "state.bin" else len(members[name])
                archive.addfile(info, content)
    state.unlink()
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def verify(path: pathlib.Path, digest: str) -> list[str]:
    args = {"path": str(path), "expected_sha256": digest, "expected_size_bytes": path.stat().st_size, "minimum_index": 1}
    return [sys.executable, "-c", CHILD, str(pathlib.Path(__file__).parent), json.dumps(args)]


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--megabytes", type=lambda text: [int(word) for word in text.split(",")], default=[256])
    parser.add_argument("--entry-bytes", type=int, default=4096)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--directory", type=pathlib.Path, help="where the file lies while it is measured")
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures to this file")
    options = parser.parse_args()
    load_collection()
    rows: list[list[str]] = []
    found: list[dict[str, t.Any]] = []
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        path = pathlib.Path(name) / "bench.snap"
        for megabytes in [0, *options.megabytes]:
            digest = make(path, megabytes * 1024 * 1024, options.entry_bytes)
            for who, argv, wanted in (
                ("vault_raft_snapshot_verify", verify(path, digest), "verified"),
                ("sha256sum", ["sha256sum", str(path)], digest),
                ("gzip -t", ["gzip", "-t", "-S", ".snap", str(path)], ""),
            ):
                one = best(argv, wanted, options.repeat)
                speed = f"{path.stat().st_size / one.seconds / 1e6:.0f}" if megabytes else "-"
                rows.append([f"{path.stat().st_size / 1e6:.3g} MB", who, f"{one.seconds:.2f}", speed, f"{one.cpu:.2f}", f"{one.memory:.0f}"])
                found.append({"bytes": path.stat().st_size, "who": who, **dataclasses.asdict(one)})
    print(f"{machine()}; fastest of {options.repeat}; file in the page cache\n")
    print(table(["snapshot", "who", "seconds", "MB/s", "CPU s", "peak MiB"], rows))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
