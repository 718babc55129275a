# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The files of a dataset with their SHA-256: over the API of the system, or by a directory of this machine that shows the same files."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.download import PIECE, Downloads

ROOT = "/mnt"
# As sha256sum writes: digest, a space, a space or an asterisk, the path; a leading backslash says that the path is escaped.
_LINE = re.compile(r"^(\\?)([0-9a-f]{64}) [ *](.+)$")


class Content(t.Protocol):
    """Where files are read."""

    def files(self, path: str) -> t.Iterator[tuple[str, int]]:
        """Yield every regular file below *path* (of the system) as ``(relative path, bytes)``."""

    def read(self, path: str) -> t.Iterator[bytes]:
        """Yield a file's content."""


class ByApi:
    """Files over the API. The account needs FULL_ADMIN for it: that is what ``filesystem.get`` asks for."""

    def __init__(self, client: TrueNasClient, downloads: Downloads) -> None:
        self.client = client
        self.downloads = downloads

    def files(self, path: str) -> t.Iterator[tuple[str, int]]:
        waiting = [""]
        while waiting:
            below = waiting.pop()
            options = {"select": ["name", "type", "size"]}
            for entry in self.client.call("filesystem.listdir", os.path.join(path, below).rstrip("/"), [], options, what=path):
                name = os.path.join(below, entry["name"])
                if entry["type"] == "DIRECTORY":
                    waiting.append(name)
                elif entry["type"] == "FILE":
                    yield name, int(entry["size"])

    def read(self, path: str) -> t.Iterator[bytes]:
        return self.downloads.pieces("filesystem.get", [path], filename="file", what=path)


class ByDirectory:
    """Files by a directory of this machine.

    Args:
        directory: What ``/mnt`` of the system is here: an NFS or SMB mount that shows datasets made later, for instance.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory

    def _here(self, path: str) -> str:
        return os.path.join(self.directory, os.path.relpath(path, ROOT))

    def files(self, path: str) -> t.Iterator[tuple[str, int]]:
        root = self._here(path)
        if not os.path.isdir(root):
            raise Refused(
                f"{root} is not there: {self.directory} does not show {path} of the system.", hint="Check directory, or leave it out to read by the API."
            )
        for base, _directories, names in os.walk(root):
            for name in names:
                full = os.path.join(base, name)
                info = os.lstat(full)
                if stat.S_ISREG(info.st_mode):
                    yield os.path.relpath(full, root), info.st_size

    def read(self, path: str) -> t.Iterator[bytes]:
        with open(self._here(path), "rb") as stream:
            while piece := stream.read(PIECE):
                yield piece


def digest(content: Content, path: str, size: int) -> str:
    """Return the SHA-256 of a file.

    Raises:
        ApiError: it is shorter or longer than it was listed: the server tells in no other way that it failed in the middle.
        OSError: it cannot be read here.
    """
    found, seen = hashlib.sha256(), 0
    for piece in content.read(path):
        found.update(piece)
        seen += len(piece)
    if seen != size:
        raise ApiError(f"{path} came with {seen} of {size} bytes.", path=path)
    return found.hexdigest()


def digests(content: Content, path: str) -> tuple[dict[str, str], dict[str, str], int]:
    """Return the SHA-256 of every file below *path*, why others could not be read, and the number of bytes."""
    found: dict[str, str] = {}
    unreadable: dict[str, str] = {}
    total = 0
    for name, size in sorted(content.files(path)):
        try:
            found[name] = digest(content, os.path.join(path, name), size)
            total += size
        except (ApiError, OSError) as exc:
            unreadable[name] = str(exc)
    return found, unreadable, total


def parse_manifest(text: str, *, where: str) -> dict[str, str]:
    """Read what ``sha256sum`` wrote.

    Raises:
        Refused: a line is something else, or a path leads out of the dataset.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        shape = _LINE.match(line)
        if shape is None:
            raise Refused(
                f"Line {number} of {where} is not a line of sha256sum.", hint="It has to be: 64 hexadecimal digits, two spaces, a path below the dataset."
            )
        path = shape[3].replace("\\n", "\n").replace("\\\\", "\\") if shape[1] else shape[3]
        found[safe(path, where=where)] = shape[2]
    return found


def safe(path: str, *, where: str) -> str:
    """Return a path below the dataset in its plain form.

    Raises:
        Refused: it leads elsewhere.
    """
    plain = os.path.normpath(path)
    if os.path.isabs(plain) or plain.split("/")[0] in ("..", "."):
        raise Refused(f"{where} names {path!r}, which is not below the dataset.", hint="Paths are relative to the dataset.")
    return plain
