# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Reads the envelope of a raft snapshot, gzip(tar), in one pass and constant memory, and hashes file and members on the way.

Not by ``tarfile``: that takes a damaged header after the first member for the end of the archive and says nothing.
"""

from __future__ import annotations

import dataclasses
import hashlib
import queue
import tarfile
import threading
import typing as t
import zlib

from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_state import BadState, StateWalker

CHUNK = 256 * 1024
BLOCK = 512
STATE = "state.bin"
# Largest size that we accept, in bytes; real ones are some hundred bytes.
SMALL = {"meta.json": 1024 * 1024, "SHA256SUMS": 64 * 1024, "SHA256SUMS.sealed": 1024 * 1024}
MEMBERS = (STATE, *SMALL)


class BadArchive(Exception):
    """The envelope is broken; the text says how."""


@dataclasses.dataclass
class Member:
    """A file in the archive; ``content`` only of the small ones."""

    name: str
    size: int
    modified: float
    sha256: str = ""
    content: bytes = b""


@dataclasses.dataclass
class Archive:
    """What was found. ``problem`` is empty for a whole envelope, ``state_problem`` for a whole ``state.bin``."""

    size_bytes: int
    sha256: str
    members: dict[str, Member]
    state: StateWalker
    problem: str = ""
    state_problem: str = ""


class BackgroundHash:
    """SHA-256 in a thread of its own: hashlib gives up the interpreter lock, so two cores share the work."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._pieces: queue.Queue[bytes | None] = queue.Queue(8)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def _work(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hash.update(piece)

    def update(self, piece: bytes) -> None:
        """Hash *piece* later; waits while too many are queued."""
        self._pieces.put(piece)

    def finish(self) -> str:
        """Return the digest in hex."""
        self._pieces.put(None)
        self._thread.join()
        return self._hash.hexdigest()


class Readable(t.Protocol):
    """A file, or what can be read like one."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, about *size*; empty at the end."""


class _Source:
    """The decompressed stream of a file that is hashed as it is read."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self.digest = BackgroundHash()
        self.size = 0
        self._unzip = zlib.decompressobj(wbits=31)  # 31: gzip header and trailer, with CRC and length checked
        self._buffer = b""

    def _raw(self) -> bytes:
        piece = self._file.read(CHUNK)
        self.size += len(piece)
        if piece:
            self.digest.update(piece)
        return piece

    def piece(self) -> bytes:
        """Return the next decompressed bytes (at most ``CHUNK``), empty at the end.

        Raises:
            BadArchive: no gzip, damaged, or cut off.
        """
        if self._buffer:
            piece, self._buffer = self._buffer, b""
            return piece
        while not self._unzip.eof:
            raw = self._unzip.unconsumed_tail or self._raw()
            if not raw:
                raise BadArchive("it is cut off: the compressed stream has no end" if self.size else "it is empty")
            try:
                # Bounded: a small file may unpack to terabytes.
                piece = self._unzip.decompress(raw, CHUNK)
            except zlib.error as exc:
                raise BadArchive(f"it is no gzip file or damaged ({exc})") from exc
            if piece:
                return piece
        return b""

    def pieces(self, size: int) -> t.Iterator[bytes]:
        """Yield exactly *size* bytes."""
        while size:
            piece = self.piece()
            if not piece:
                raise BadArchive("it is cut off: the archive ends inside of a member")
            if len(piece) > size:
                piece, self._buffer = piece[:size], piece[size:]
            size -= len(piece)
            yield piece

    def read(self, size: int) -> bytes:
        """Return exactly *size* bytes."""
        return b"".join(self.pieces(size))

    def expect_end(self) -> None:
        """Read to the end, which checks the trailer; only padding may come."""
        while piece := self.piece():
            if piece.strip(b"\0"):
                raise BadArchive("there is something behind the end of the archive")
        if self._unzip.unused_data or self._raw():
            raise BadArchive("there is something behind the end of the compressed stream")

    def drain(self) -> None:
        """Read the rest of the file, so that its digest and size are those of the whole file."""
        while self._raw():
            pass


def read_archive(file: Readable) -> Archive:
    """Read *file* to its end; what is wrong with it is in the result.

    Raises:
        OSError: it cannot be read. What else its ``read`` raises is passed on.
    """
    source = _Source(file)
    archive = Archive(0, "", {}, StateWalker())
    try:
        try:
            _read_members(source, archive)
            source.expect_end()
        except BadArchive as exc:
            archive.problem = str(exc)
        source.drain()
    finally:
        archive.sha256 = source.digest.finish()
    archive.size_bytes = source.size
    return archive


def _read_members(source: _Source, archive: Archive) -> None:
    size_override: int | None = None
    while (header := _header(source)) is not None:
        if header.type == tarfile.XHDTYPE:
            size_override = _pax_size(source, header)
            continue
        size, size_override = (header.size if size_override is None else size_override), None
        if header.name not in MEMBERS or not header.isreg():
            raise BadArchive(f"it holds {header.name[:80]!r}, which no snapshot has")
        if header.name in archive.members:
            raise BadArchive(f"it holds {header.name} twice")
        if size < 0 or size > SMALL.get(header.name, size):
            raise BadArchive(f"its {header.name} has {size} bytes")
        member = Member(header.name, size, header.mtime)
        if header.name == STATE:
            _read_state(source, member, archive)
        else:
            member.content = source.read(size)
            member.sha256 = hashlib.sha256(member.content).hexdigest()
        archive.members[header.name] = member
        source.read(-size % BLOCK)


def _read_state(source: _Source, member: Member, archive: Archive) -> None:
    digest = BackgroundHash()
    try:
        for piece in source.pieces(member.size):
            digest.update(piece)
            if not archive.state_problem:
                try:
                    archive.state.feed(piece)
                except BadState as exc:
                    archive.state_problem = str(exc)
    finally:
        member.sha256 = digest.finish()
    try:
        if not archive.state_problem:
            archive.state.finish()
    except BadState as exc:
        archive.state_problem = str(exc)


def _header(source: _Source) -> tarfile.TarInfo | None:
    """Return the next header, ``None`` at the mark that ends an archive."""
    block = source.read(BLOCK)
    if not block.strip(b"\0"):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as exc:
        raise BadArchive(f"a header in the archive is damaged ({exc})") from exc


def _pax_size(source: _Source, header: tarfile.TarInfo) -> int | None:
    """Return the size from an extended header, which is how members above 8 GiB carry it."""
    if not 0 <= header.size <= 16 * BLOCK:
        raise BadArchive("it has an oversized extended header")
    content = source.read(header.size)
    source.read(-header.size % BLOCK)
    for line in content.split(b"\n"):
        key, value = (line.partition(b" ")[2].split(b"=", 1) + [b""])[:2]
        if key == b"size" and value.isdigit():
            return int(value[:20])
    return None
