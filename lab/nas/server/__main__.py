"""``python -m lab.nas.server``: enter the NAS's mount namespace, then serve its API until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import logging
import os
import sys
from pathlib import Path

from lab.nas.server.app import serve

_CLONE_NEWNS = 0x00020000


def enter_namespace(path: str) -> None:
    """Move this process into a mount namespace. Only a process with a single thread may; children inherit it. OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    handle = os.open(path, os.O_RDONLY)
    if libc.setns(handle, _CLONE_NEWNS) != 0:
        raise OSError(ctypes.get_errno(), f"setns({path}): {os.strerror(ctypes.get_errno())}")
    os.close(handle)
    os.chdir("/")


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m lab.nas.server")
    parser.add_argument("--config", required=True, type=Path, help="the NAS's nas.json")
    parser.add_argument("--namespace", help="file that holds the mount namespace of its zfs-fuse daemon")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    config = json.loads(options.config.read_text())
    if options.namespace:
        enter_namespace(options.namespace)
    asyncio.run(serve(config))


if __name__ == "__main__":
    main()
