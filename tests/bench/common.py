"""What the benchmarks share: a table, and a line that says on what machine the figures were taken."""

from __future__ import annotations

import os
import pathlib
import platform
import subprocess
import sys
import typing as t
from collections.abc import Sequence

ROOT = pathlib.Path(__file__).resolve().parents[2]


def machine() -> str:
    """Return processor count, load of the last minute and versions: figures of a busy machine say so."""
    return f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {platform.system()} {platform.release()}"


def table(header: Sequence[str], rows: Sequence[Sequence[t.Any]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def where_collections_are() -> str:
    """Return the directory under which this checkout is ``ansible_collections/resilient/platform``."""
    return subprocess.run([ROOT / "lab" / "collections_path.sh"], check=True, capture_output=True, text=True).stdout.strip()


def load_collection() -> None:
    """Make this checkout importable as the collection, and the tests' helpers with it."""
    from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

    sys.path.insert(0, str(ROOT / "tests" / "unit"))
    _AnsibleCollectionFinder(paths=[where_collections_are()])._install()
