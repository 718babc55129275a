"""What all shares have in common: the path below a pool, the read-only ``locked``, sources as in ``service/sharing_service.py``."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from lab.nas.server.errors import CallError, ValidationErrors
from lab.nas.server.middleware import Middleware

Entry = dict[str, Any]


def dataset_of(mw: Middleware, path: str) -> str | None:
    """Return the dataset a path below /mnt lies in, or None."""
    parts = path.removeprefix("/mnt/").strip("/").split("/") if path.startswith("/mnt/") else []
    names = ("/".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((name for name in names if name and mw.zfs.exists(name)), None)


def is_locked(mw: Middleware, path: str) -> bool:
    """Say whether a path lies in an encrypted dataset whose key is not loaded."""
    parts = path.removeprefix("/mnt/").removeprefix("zvol/").strip("/").split("/")
    locked = set(mw.store.value("locked_roots", []))
    return any("/".join(parts[:count]) in locked for count in range(1, len(parts) + 1))


def check_path(mw: Middleware, found: ValidationErrors, field: str, path: str) -> None:
    """The path must lie in a pool (``utils/path.py``); CallError (ENOENT) if there is nothing, as ``filesystem.stat`` says it."""
    if path.startswith("EXTERNAL"):
        found.add(field, "Path is external to TrueNAS.")
        return
    if ".." in path.split("/") or dataset_of(mw, path) is None:
        found.add(field, "The path must reside within a pool mount point")
        return
    name = path.removeprefix("/mnt/").rstrip("/")
    if not is_locked(mw, path) and not mw.zfs.exists(name) and not Path(mw.mnt, name).exists():
        raise CallError(f"Path {path} not found", errno.ENOENT)
