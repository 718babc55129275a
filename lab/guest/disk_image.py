"""Disk images of the raw format: where the Linux file system in one is, and how it becomes the base of guests' disks."""

from __future__ import annotations

import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lab.guest.idshift import ID_BASE, shift_tree
from lab.state import LabError

_SECTOR = 512
_SUPERBLOCK, _MAGIC_AT, _MAGIC = 1024, 56, b"\x53\xef"
_OTHER_FORMATS = {b"QFI\xfb": "qcow2", b"KDMV": "vmdk", b"# Di": "vmdk"}


@dataclass(frozen=True)
class FileSystem:
    """An ext2, ext3 or ext4 file system in a file: where it begins, and how many bytes it may have."""

    offset: int
    size: int


def _is_ext(image: Path, offset: int) -> bool:
    with image.open("rb") as stream:
        stream.seek(offset + _SUPERBLOCK + _MAGIC_AT)
        return stream.read(2) == _MAGIC


def _partitions(image: Path) -> list[FileSystem]:
    """Return the partitions of a GPT; none where there is no GPT."""
    with image.open("rb") as stream:
        stream.seek(_SECTOR)
        header = stream.read(92)
        if header[:8] != b"EFI PART":
            return []
        at, count, length = struct.unpack_from("<QII", header, 72)
        stream.seek(at * _SECTOR)
        entries = [stream.read(length) for _number in range(min(count, 128))]
    found = []
    for entry in entries:
        if len(entry) >= 48 and any(entry[:16]):
            first, last = struct.unpack_from("<QQ", entry, 32)
            found.append(FileSystem(first * _SECTOR, (last - first + 1) * _SECTOR))
    return found


def find_file_system(image: Path) -> FileSystem:
    """Return the largest ext file system of a raw image, with or without a GPT. LabError if there is none."""
    with image.open("rb") as stream:
        other = _OTHER_FORMATS.get(stream.read(4))
    if other:
        raise LabError(f"{image.name} is a {other} image, and the lab reads raw ones only: convert it with qemu-img convert -O raw.")
    whole = FileSystem(0, image.stat().st_size)
    found = [part for part in (_partitions(image) or [whole]) if part.offset + part.size <= whole.size and _is_ext(image, part.offset)]
    if not found:
        raise LabError(f"{image.name} holds no ext file system that a guest of the lab could have its files from.")
    return max(found, key=lambda part: part.size)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LabError(f"{argv[0]} failed ({done.returncode}): {done.stderr.strip()[-300:]}")


def unpack(image: Path, target: Path) -> None:
    """Copy the files of an image to ``target``, owned as in the guests' user namespace; it appears whole or not at all."""
    found = find_file_system(image)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=target.parent))
    mounted = scratch / "image"
    mounted.mkdir()
    try:
        # A copy that was cut off leaves a journal behind, which a read-only mount may not replay.
        options = f"ro,noload,nosuid,nodev,noexec,loop,offset={found.offset},sizelimit={found.size}"
        _run("mount", "-t", "ext4", "-o", options, str(image), str(mounted))
        try:
            _run("cp", "--archive", str(mounted), str(scratch / "rootfs"))
        finally:
            _run("umount", str(mounted))
        shift_tree(scratch / "rootfs", ID_BASE)
        (scratch / "rootfs").rename(target)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
