"""Snapshots and moves of a guest's disk: whole copies of its own layer, made beside the original and then renamed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from lab.guest.disk import Disk
from lab.state import LabError


def _copy(source: Path, target: Path) -> None:
    """Copy a layer with owners, attributes, hard links and whiteouts; ``target`` appears whole or not at all."""
    half = target.with_name(target.name + ".part")
    shutil.rmtree(half, ignore_errors=True)
    half.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["cp", "--archive", "--reflink=auto", str(source), str(half)], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(half, ignore_errors=True)
        raise LabError(f"copying a disk failed ({done.returncode}): {done.stderr.strip()}")
    half.rename(target)


def _layer(disk: Disk, name: str) -> Path:
    return disk.home / "snapshots" / name


def take(disk: Disk, name: str) -> None:
    """Keep the disk as it is now. The guest has to be frozen or off."""
    _copy(disk.home / "upper", _layer(disk, name))


def roll_back(disk: Disk, name: str) -> None:
    """Make the disk what it was. The guest has to be off; what was written since is lost."""
    disk.unmount()
    old, new = disk.home / "upper.old", disk.home / "upper.new"
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(new, ignore_errors=True)
    _copy(_layer(disk, name), new)
    (disk.home / "upper").rename(old)
    new.rename(disk.home / "upper")
    shutil.rmtree(old)


def delete(disk: Disk, name: str) -> None:
    """Forget a snapshot."""
    shutil.rmtree(_layer(disk, name), ignore_errors=True)


def create_empty(disk: Disk) -> Path:
    """Make a disk with nothing on it and return the directory to fill; all of the guest's files are then its own."""
    nothing = disk.home.parent.parent / "empty"
    nothing.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(disk.home, ignore_errors=True)
    disk.create(nothing)
    return disk.home / "upper"


def move(source: Disk, target: Disk) -> None:
    """Give a stopped guest the disk of ``source`` instead of its own."""
    source.unmount()
    target.delete()
    target.home.parent.mkdir(parents=True, exist_ok=True)
    source.home.rename(target.home)
