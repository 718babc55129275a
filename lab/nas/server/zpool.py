"""What ``zpool status`` tells: vdevs, states, scrub."""

from __future__ import annotations

import datetime
import re
import zlib
from typing import Any

from lab.nas.server.zfs import Zfs

Entry = dict[str, Any]
_ROW = re.compile(r"^\t( *)(\S+)(?:\s+(\S+)\s+(\d+\S*)\s+(\d+\S*)\s+(\d+\S*))?")


def members(zfs: Zfs, pool: str) -> list[str]:
    """Return the paths of a pool's disks."""
    return [name for _, name, *_ in _rows(zfs.run("zpool", "status", pool)) if name.startswith("/")]


def _rows(text: str) -> list[tuple[int, str, str, int, int, int]]:
    """Return the lines of the config table: depth, name, state, three error counts."""
    rows, inside = [], False
    for line in text.splitlines():
        if line.startswith("config:"):
            inside = True
        elif line.startswith("errors:"):
            inside = False
        elif inside and (found := _ROW.match(line)) and found[2] != "NAME":
            counts = [int(found[number]) if (found[number] or "").isdigit() else 0 for number in (4, 5, 6)]
            rows.append((len(found[1]) // 2, found[2], found[3] or "ONLINE", counts[0], counts[1], counts[2]))
    return rows


def _guid(name: str) -> str:
    """Return a stable number for a vdev: zfs-fuse does not show the real one."""
    return str(zlib.crc32(name.encode()))


def _leaf(row: tuple[int, str, str, int, int, int]) -> Entry:
    name = row[1].rpartition("/")[2]
    return {"name": row[1], "type": "DISK", "path": row[1], "guid": _guid(row[1]), "status": row[2], "device": name, "disk": name,
            "children": [], "stats": {"read_errors": row[3], "write_errors": row[4], "checksum_errors": row[5]}, "unavail_disk": None}


def topology(text: str) -> dict[str, list[Entry]]:
    """Return the vdevs of a pool in the API's shape."""
    found: dict[str, list[Entry]] = {name: [] for name in ("data", "log", "cache", "spare", "special", "dedup")}
    kind = "data"
    group: Entry | None = None
    for row in _rows(text)[1:]:
        if row[0] == 0:
            kind = {"logs": "log", "cache": "cache", "spares": "spare"}.get(row[1], "data")
        elif row[0] == 1 and row[1].startswith("/"):
            found[kind].append(_leaf(row))
        elif row[0] == 1:
            group = {"name": row[1], "type": row[1].partition("-")[0].upper(), "path": None, "guid": _guid(row[1]), "status": row[2],
                     "children": [], "stats": {"read_errors": row[3], "write_errors": row[4], "checksum_errors": row[5]}, "unavail_disk": None}
            found[kind].append(group)
        elif group is not None:
            group["children"].append(_leaf(row))
    return found


def errors(text: str) -> bool:
    """Say whether the pool knows of damaged data."""
    return "errors: No known data errors" not in text


def scan(text: str) -> Entry | None:
    """Return what is known of the last scrub, None if there was none."""
    line = next((line.strip() for line in text.splitlines() if line.strip().startswith(("scrub:", "scan:"))), "")
    if not line or "none requested" in line:
        return None
    empty: Entry = dict.fromkeys(("start_time", "end_time", "bytes_to_process", "bytes_processed", "bytes_issued", "pause", "total_secs_left"))
    done = re.search(r"(scrub|resilver) (completed|repaired|stopped).*? with (\d+) errors on (.+)$", line)
    if done:
        ended = datetime.datetime.strptime(done[4], "%a %b %d %H:%M:%S %Y").astimezone()
        return {**empty, "function": done[1].upper(), "state": "FINISHED", "end_time": ended, "percentage": 100.0, "errors": int(done[3])}
    percent = re.search(r"([\d.]+)% done", line)
    state = "SCANNING" if "in progress" in line else "CANCELED"
    return {**empty, "function": "SCRUB", "state": state, "percentage": float(percent[1]) if percent else 0.0, "errors": 0}
