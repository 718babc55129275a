"""Moves every owner in a directory tree by a constant: guests run in a user namespace, their disks carry its ids.

Owners are in three places: the inode, POSIX ACLs and file capabilities.
"""

from __future__ import annotations

import os
import stat
import struct
import sys
from pathlib import Path

# The machine's ids that stand for 0 to 65535 in every guest. Beyond what useradd, subuid and systemd hand out.
ID_BASE = 1_900_000_000
ID_COUNT = 65536

_ACLS = ("system.posix_acl_access", "system.posix_acl_default")
_CAPABILITY = "security.capability"
_ACL_USER, _ACL_GROUP = 0x02, 0x08
_CAP_REVISION_2, _CAP_REVISION_3, _CAP_FLAGS = 0x02000000, 0x03000000, 0x00FFFFFF


def shift_acl(value: bytes, delta: int) -> bytes:
    """Return a POSIX ACL attribute with its named users and groups moved by ``delta``."""
    out = [value[:4]]
    for tag, permissions, owner in struct.iter_unpack("<HHI", value[4:]):
        out.append(struct.pack("<HHI", tag, permissions, owner + delta if tag in (_ACL_USER, _ACL_GROUP) else owner))
    return b"".join(out)


def root_capability(value: bytes, root: int) -> bytes:
    """Return file capabilities that count in the user namespace whose root is ``root`` (0: the machine's own)."""
    magic = struct.unpack_from("<I", value)[0]
    body = value[4:20]
    if root == 0:
        return struct.pack("<I", _CAP_REVISION_2 | (magic & _CAP_FLAGS)) + body
    return struct.pack("<I", _CAP_REVISION_3 | (magic & _CAP_FLAGS)) + body + struct.pack("<I", root)


def _shift(path: str, delta: int) -> None:
    info = os.lstat(path)
    attributes = {} if stat.S_ISLNK(info.st_mode) else {
        name: os.getxattr(path, name) for name in os.listxattr(path) if name in (*_ACLS, _CAPABILITY)
    }
    owner = info.st_uid + delta
    os.lchown(path, owner, info.st_gid + delta)
    if stat.S_ISLNK(info.st_mode):
        return
    # A change of owner clears the set-id bits and the capabilities.
    os.chmod(path, stat.S_IMODE(info.st_mode))
    for name, value in attributes.items():
        new = root_capability(value, max(delta, 0)) if name == _CAPABILITY else shift_acl(value, delta)
        os.setxattr(path, name, new)


def shift_tree(root: Path, delta: int) -> int:
    """Move every owner under ``root`` (and its own) by ``delta``; returns the number of files. Hard links move once."""
    seen: set[tuple[int, int]] = set()
    count = 0
    for directory, names, files in os.walk(root):
        links = [name for name in names if os.path.islink(os.path.join(directory, name))]
        for path in [directory, *(os.path.join(directory, name) for name in (*files, *links))]:
            info = os.lstat(path)
            if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
                if (info.st_dev, info.st_ino) in seen:
                    continue
                seen.add((info.st_dev, info.st_ino))
            _shift(path, delta)
            count += 1
    return count


if __name__ == "__main__":
    print(shift_tree(Path(sys.argv[1]), int(sys.argv[2])))
