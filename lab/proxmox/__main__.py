"""``python -m lab.proxmox NAME``: the API server of a lab, in the foreground."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

from lab.guest import image
from lab.proxmox.make import make_server
from lab.state import LabState


async def serve(state: LabState, certificate: Path, key: Path) -> None:
    """Serve until SIGTERM. Guests keep running: the next server finds them by their labels."""
    pve = make_server(state, image.ensure())
    await pve.room.refresh()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await pve.start(str(certificate), str(key))
    pve.keep(pve.watch())
    logging.getLogger("lab.proxmox").info("listening on %s", pve.url)
    await stop.wait()
    await pve.stop()
    pve._persist()


def main() -> None:
    """Parse the arguments (lab, certificate, key) and serve."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    name, certificate, key = sys.argv[1:4]
    asyncio.run(serve(LabState.open(name, create=False), Path(certificate), Path(key)))


main()
