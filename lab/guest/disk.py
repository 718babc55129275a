"""A guest's disk: a writable layer of its own over the image, mounted while the guest runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from lab.guest.idshift import ID_BASE
from lab.state import LabError, write_private


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{' '.join(argv[:2])} failed ({done.returncode}): {done.stderr.strip()}")


@dataclass(frozen=True)
class Disk:
    """The disk in ``home`` (kept), mounted on ``mountpoint`` (gone after a restart of the machine)."""

    home: Path
    mountpoint: Path

    @property
    def exists(self) -> bool:
        """Say whether the guest has a disk with a system on it."""
        return (self.home / "disk.json").exists()

    @property
    def mounted(self) -> bool:
        """Say whether it is mounted."""
        return os.path.ismount(self.mountpoint)

    def create(self, base: Path) -> None:
        """Make a disk that shows ``base`` until it is written to."""
        upper = self.home / "upper"
        for part in (upper, self.home / "work"):
            part.mkdir(parents=True, exist_ok=True)
        # The root directory of the guest is the guest's.
        os.chown(upper, ID_BASE, ID_BASE)
        upper.chmod(0o755)
        write_private(self.home / "disk.json", json.dumps({"base": str(base)}) + "\n")

    def copy_from(self, source: Disk) -> None:
        """Become a copy of another guest's disk (of its own layer; the image below is shared)."""
        self.create(Path(json.loads((source.home / "disk.json").read_text())["base"]))
        shutil.rmtree(self.home / "upper")
        _run("cp", "--archive", "--reflink=auto", str(source.home / "upper"), str(self.home / "upper"))

    def mount(self) -> None:
        """Mount it; once is enough."""
        if self.mounted:
            return
        base = Path(json.loads((self.home / "disk.json").read_text())["base"])
        if not base.is_dir():
            raise LabError(f"The image of this guest is gone from the cache ({base}): destroy the guest and clone it again.")
        self.mountpoint.mkdir(parents=True, exist_ok=True)
        # The container's first process reaches the mount point as the guest's root: the way there is open, not listable.
        for directory in (self.mountpoint.parent, self.mountpoint.parent.parent, self.mountpoint.parent.parent.parent):
            if directory.name in ("run", ""):
                break
            directory.chmod(0o711)
        shutil.rmtree(self.home / "work", ignore_errors=True)
        (self.home / "work").mkdir()
        options = f"lowerdir={base},upperdir={self.home / 'upper'},workdir={self.home / 'work'}"
        _run("mount", "-t", "overlay", "overlay", "-o", options, str(self.mountpoint))

    def unmount(self) -> None:
        """Unmount it if it is mounted."""
        if self.mounted:
            _run("umount", str(self.mountpoint))
        shutil.rmtree(self.mountpoint.parent, ignore_errors=True)

    def delete(self) -> None:
        """Remove it for good."""
        self.unmount()
        shutil.rmtree(self.home, ignore_errors=True)
