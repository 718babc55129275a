"""The guests' base system: built once from a recipe, kept in the cache under the recipe's hash."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from lab.guest.idshift import ID_BASE, shift_tree
from lab.state import LabError, LabState, Row, cache_dir, say

HERE = Path(__file__).parent
# Everything that decides what comes out; a change of any of them makes a new image.
RECIPE = ("build.sh", "packages.txt", "archive.txt", "lab-init", "sysctl_keys.txt", "idshift.py")


def recipe_hash() -> str:
    """Return the name of the image that the recipe makes (12 hex digits)."""
    digest = hashlib.sha256()
    for name in RECIPE:
        digest.update(name.encode() + b"\0" + (HERE / name).read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def rootfs() -> Path:
    """Return where the image of the current recipe is, or will be."""
    return cache_dir() / "guest" / recipe_hash() / "rootfs"


def _build(target: Path) -> None:
    """Build into a scratch directory and move it into place: an interrupted build leaves nothing that looks whole."""
    target.parent.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent.parent))
    try:
        with subprocess.Popen(
            [str(HERE / "build.sh"), str(scratch / "rootfs")], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, env={**os.environ, "LC_ALL": "C.UTF-8"},
        ) as build:
            assert build.stdout is not None and build.stderr is not None
            for line in build.stdout:
                say(f"guest image: {line.strip().removeprefix('step: ')}")
            errors = build.stderr.read()
        if build.returncode:
            raise LabError(f"Building the guest image failed ({build.returncode}):\n{errors.strip()}\nCheck that apt-get update works, then run 'up' again.")
        shift_tree(scratch / "rootfs", ID_BASE)
        (scratch / "rootfs.log").unlink(missing_ok=True)
        scratch.chmod(0o711)
        scratch.rename(target.parent)
    except BaseException:
        shutil.rmtree(scratch, ignore_errors=True)
        raise


def ensure() -> Path:
    """Return the root file system of the image, building it if need be (usually 60 s). One build at a time."""
    target = rootfs()
    if target.is_dir():
        return target
    (cache_dir() / "guest").mkdir(parents=True, exist_ok=True)
    with open(cache_dir() / "guest" / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_dir():
            say("building the guest image (usually 60 s)")
            _build(target)
    return target


def up(state: LabState) -> None:
    """Build the image unless the cache has it."""
    del state
    ensure()


def down(state: LabState) -> None:
    """The image stays: it belongs to the cache, not to a lab."""
    del state


def status(state: LabState) -> list[Row]:
    """One row: whether the image of the current recipe is in the cache."""
    del state
    target = rootfs()
    return [Row("image", "up" if target.is_dir() else "down", str(target.parent))]
