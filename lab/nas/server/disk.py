"""``disk``: sparse files that play disks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import Model, QueryArgs
from lab.nas.server.zpool import members

Entry = dict[str, Any]


def path_of(mw: Middleware, name: str) -> str:
    """Return the file that plays a disk."""
    return str(mw.dir / "disks" / name)


def disks(mw: Middleware) -> list[Entry]:
    """Return all disks and the pool each belongs to."""
    used = {path: pool for pool in mw.zfs.pools() for path in members(mw.zfs, pool)}
    return [_disk(mw, index, name, used.get(path_of(mw, name))) for index, name in enumerate(mw.config["disks"])]


def _disk(mw: Middleware, index: int, name: str, pool: str | None) -> Entry:
    serial = f"{mw.config['name']}-{name}".upper()
    size = Path(path_of(mw, name)).stat().st_size if Path(path_of(mw, name)).exists() else 0
    return {
        "identifier": f"{{serial_lunid}}{serial}_0", "name": name, "devname": name, "subsystem": "scsi", "number": 2048 + 16 * index, "serial": serial,
        "lunid": "0", "size": size, "description": "", "transfermode": "Auto", "hddstandby": "ALWAYS ON", "advpowermgmt": "DISABLED", "expiretime": None,
        "model": "Sparse file", "rotationrate": None, "type": "SSD", "zfs_guid": None, "bus": "SCSI", "pool": pool,
    }


@method("disk.query", QueryArgs)
def query(call: Call, filters: list[Any], options: Entry) -> Any:
    """Disks; ``pool`` only if the extra option asks for it, as on the real thing."""
    found = disks(call.mw)
    if not options["extra"].get("pools"):
        found = [{**one, "pool": None} for one in found]
    return filter_list(found, filters, options)


class UnusedArgs(Model):
    """Arguments of get_unused."""

    join_partitions: bool = False


@method("disk.get_unused", UnusedArgs, until="25.04")
def get_unused(call: Call, join_partitions: bool) -> Any:
    """Disks in no pool."""
    return [one for one in disks(call.mw) if one["pool"] is None]


class DetailsOptions(Model):
    """Options of details."""

    join_partitions: bool = False
    type: str = "BOTH"


class DetailsArgs(Model):
    """Arguments of details."""

    data: DetailsOptions = DetailsOptions()


@method("disk.details", DetailsArgs)
def details(call: Call, data: Entry) -> Any:
    """Disks in use and free ones."""
    found = [{**one, "imported_zpool": one["pool"], "exported_zpool": None, "unsupported_md_devices": [], "duplicate_serial": []} for one in disks(call.mw)]
    used, unused = [one for one in found if one["pool"]], [one for one in found if not one["pool"]]
    return {"used": used, "unused": unused} if data["type"] == "BOTH" else used if data["type"] == "USED" else unused
