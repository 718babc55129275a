"""Prometheus and promtool of Debian's package, unpacked into the cache outside of the checkout, not installed."""

from __future__ import annotations

import os
import pathlib
import subprocess
import tempfile

CACHE = pathlib.Path(os.environ.get("RESILIENT_CACHE") or pathlib.Path.home() / ".cache/resilient-lab") / "prometheus"


def tool(name: str) -> pathlib.Path:
    """Return the path of ``prometheus`` or ``promtool``; the first time 19 MB come from the distribution's mirror."""
    found = CACHE / "usr/bin" / name
    if not found.exists():
        CACHE.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE.parent) as directory:
            subprocess.run(["apt-get", "download", "-q", "prometheus"], cwd=directory, check=True, capture_output=True, timeout=300)
            package = next(pathlib.Path(directory).glob("prometheus_*.deb"))
            subprocess.run(["dpkg-deb", "-x", str(package), str(pathlib.Path(directory) / "out")], check=True)
            (pathlib.Path(directory) / "out").replace(CACHE)
    return found
