from __future__ import annotations

import os
import pathlib
import stat
import struct

import pytest

from lab.guest.idshift import ID_BASE, root_capability, shift_acl, shift_tree

V2 = struct.pack("<IIIII", 0x02000001, 0x2000, 0, 0, 0)


def test_capability_is_bound_to_the_guests_root_and_back() -> None:
    bound = root_capability(V2, ID_BASE)
    assert struct.unpack("<IIIIII", bound) == (0x03000001, 0x2000, 0, 0, 0, ID_BASE)
    assert root_capability(bound, 0) == V2


def test_acl_moves_named_owners_only() -> None:
    entries = [(0x01, 7, 0xFFFFFFFF), (0x02, 6, 33), (0x08, 5, 4), (0x10, 7, 0xFFFFFFFF)]
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    moved = list(struct.iter_unpack("<HHI", shift_acl(value, 1000)[4:]))
    assert moved == [(0x01, 7, 0xFFFFFFFF), (0x02, 6, 1033), (0x08, 5, 1004), (0x10, 7, 0xFFFFFFFF)]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may change owners")
def test_tree_moves_and_moves_back(tmp_path: pathlib.Path) -> None:
    root = tmp_path / "root"
    (root / "bin").mkdir(parents=True)
    (root / "bin" / "sudo").write_text("x")
    os.chown(root / "bin" / "sudo", 0, 4)
    (root / "bin" / "sudo").chmod(0o4755)
    os.link(root / "bin" / "sudo", root / "bin" / "su")
    (root / "link").symlink_to("/nowhere")
    assert shift_tree(root, ID_BASE) == 4
    info = (root / "bin" / "su").stat()
    assert (info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)) == (ID_BASE, ID_BASE + 4, 0o4755)
    assert (root / "link").lstat().st_uid == ID_BASE
    shift_tree(root, -ID_BASE)
    assert ((root / "bin" / "su").stat().st_uid, root.stat().st_uid) == (0, 0)
