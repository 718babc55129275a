"""``filesystem``: looking at paths below /mnt."""

from __future__ import annotations

import errno
import os
import shutil
import stat as stat_
from pathlib import Path
from typing import Any

from lab.nas.server.errors import CallError
from lab.nas.server.middleware import Call
from lab.nas.server.query import filter_list
from lab.nas.server.registry import method
from lab.nas.server.schema import Model, NonEmptyString, QueryOptions

Entry = dict[str, Any]


class PathArgs(Model):
    """Arguments of stat and statfs."""

    path: NonEmptyString


class ListArgs(Model):
    """Arguments of listdir."""

    path: NonEmptyString
    filters: list[Any] = []
    options: QueryOptions = QueryOptions()


def _checked(path: str) -> Path:
    """Only what the NAS serves is shown: the rest of this file system belongs to the machine below the double."""
    real = Path(os.path.realpath(path))
    if real != Path("/mnt") and Path("/mnt") not in real.parents:
        raise CallError(f"{path}: path not permitted", errno.EPERM)
    if not real.exists():
        raise CallError(f"Path {path} not found", errno.ENOENT)
    return real


def _kind(mode: int) -> str:
    return "DIRECTORY" if stat_.S_ISDIR(mode) else "SYMLINK" if stat_.S_ISLNK(mode) else "FILE" if stat_.S_ISREG(mode) else "OTHER"


@method("filesystem.stat", PathArgs)
def stat(call: Call, path: str) -> Any:
    """A file's metadata."""
    real = _checked(path)
    found = real.stat()
    return {"realpath": str(real), "type": _kind(found.st_mode), "size": found.st_size, "allocation_size": found.st_blocks * 512, "mode": found.st_mode,
            "mount_id": 0, "atime": found.st_atime, "mtime": found.st_mtime, "ctime": found.st_ctime, "btime": found.st_ctime, "dev": found.st_dev,
            "inode": found.st_ino, "uid": found.st_uid, "gid": found.st_gid, "nlink": found.st_nlink, "user": None, "group": None,
            "is_mountpoint": os.path.ismount(real), "is_ctldir": False, "acl": False, "attributes": []}


@method("filesystem.statfs", PathArgs)
def statfs(call: Call, path: str) -> Any:
    """Space of the file system a path is on, and the dataset it is."""
    real = _checked(path)
    found = os.statvfs(real)
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    source, at = max(((row[0], row[1]) for row in mounts if row[1] == str(real) or str(real).startswith(f"{row[1].rstrip('/')}/")), key=lambda row: len(row[1]))
    size = found.f_frsize
    return {"flags": ["RO"] if found.f_flag & os.ST_RDONLY else ["RW"], "fstype": "zfs", "source": source, "dest": at, "blocksize": size,
            "total_blocks": found.f_blocks, "free_blocks": found.f_bfree, "avail_blocks": found.f_bavail, "total_blocks_str": str(found.f_blocks),
            "free_blocks_str": str(found.f_bfree), "avail_blocks_str": str(found.f_bavail), "files": found.f_files, "free_files": found.f_ffree,
            "name_max": found.f_namemax, "fsid": f"{found.f_fsid:x}", "total_bytes": found.f_blocks * size, "free_bytes": found.f_bfree * size,
            "avail_bytes": found.f_bavail * size, "total_bytes_str": str(found.f_blocks * size), "free_bytes_str": str(found.f_bfree * size),
            "avail_bytes_str": str(found.f_bavail * size)}


@method("filesystem.get", PathArgs, job=True, output=True)
def get(call: Call, path: str) -> Any:
    """A file's content, into the pipe of ``core.download``."""
    real = _checked(path)
    if not real.is_file():
        raise CallError(f"{path} is not a file")
    with real.open("rb") as stream:
        shutil.copyfileobj(stream, call.extra["output"], 1 << 20)
        call.extra["output"].flush()


@method("filesystem.listdir", ListArgs)
def listdir(call: Call, path: str, filters: list[Any], options: Entry) -> Any:
    """Entries of a directory."""
    real = _checked(path)
    if not real.is_dir():
        raise CallError(f"Path {path} is not a directory", errno.ENOTDIR)
    found = []
    for one in sorted(real.iterdir()):
        info = one.lstat()
        found.append({"name": one.name, "path": str(one), "realpath": os.path.realpath(one), "type": _kind(info.st_mode), "size": info.st_size,
                      "mode": info.st_mode, "uid": info.st_uid, "gid": info.st_gid, "acl": False, "is_mountpoint": os.path.ismount(one),
                      "is_ctldir": False, "attributes": [], "xattrs": []})
    return filter_list(found, filters, options)
