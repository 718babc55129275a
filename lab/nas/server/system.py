"""``system``: who and what this NAS is."""

from __future__ import annotations

import datetime
import os
import time
from pathlib import Path
from typing import Any

from lab.nas.server import ejson
from lab.nas.server.middleware import Call
from lab.nas.server.registry import method

RELEASES = {"25.04": "25.04.2.6", "25.10": "25.10.6", "26": "26.0.0", "27": "27.0.0"}


def _uptime() -> float:
    return float(Path("/proc/uptime").read_text().split()[0])


@method("system.version")
def version(call: Call) -> Any:
    """The release with its prefix."""
    return f"TrueNAS-{RELEASES[call.mw.version]}"


@method("system.version_short")
def version_short(call: Call) -> Any:
    """The release."""
    return RELEASES[call.mw.version]


@method("system.info")
def info(call: Call) -> Any:
    """The machine."""
    up = _uptime()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "version": version(call), "buildtime": datetime.datetime(2026, 1, 20, tzinfo=datetime.timezone.utc), "hostname": call.mw.config["name"],
        "physmem": memory, "model": "resilient.platform TrueNAS double", "cores": os.cpu_count(), "physical_cores": os.cpu_count(),
        "loadavg": list(os.getloadavg()), "uptime": str(datetime.timedelta(seconds=int(up))), "uptime_seconds": up, "system_serial": call.mw.config["name"],
        "system_product": "resilient lab", "system_product_version": "1", "license": None,
        "boottime": datetime.datetime.fromtimestamp(int(time.time() - up), datetime.timezone.utc), "datetime": ejson.now(), "timezone": "Etc/UTC",
        "system_manufacturer": "resilient.platform", "ecc_memory": False,
    }


@method("system.state")
def state(call: Call) -> Any:
    """READY: a NAS that is not does not answer."""
    return "READY"


@method("system.ready")
def ready(call: Call) -> Any:
    """Whether it is up."""
    return True


@method("system.boot_id")
def boot_id(call: Call) -> Any:
    """The kernel's boot id."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
