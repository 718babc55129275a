"""connect ADDRESS:PORT...: says as JSON which of them accept a TCP connection from here. Runs on a guest, with its Python alone."""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor


def accepts(target: str) -> bool:
    """Return whether a connection to *target* (``address:port``) could be made within five seconds."""
    address, _colon, port = target.rpartition(":")
    try:
        socket.create_connection((address.strip("[]"), int(port)), 5).close()
    except OSError:
        return False
    return True


with ThreadPoolExecutor(16) as pool:
    answers = list(pool.map(accepts, sys.argv[1:]))
print(json.dumps([target for target, open_ in zip(sys.argv[1:], answers) if open_]))
