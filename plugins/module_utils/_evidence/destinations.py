# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Where backups, manifests and evidence are put: S3 buckets, directories and SFTP servers, behind one small interface.

A key is a relative path with ``/``. ``put`` replaces as a whole or not at all.
"""

from __future__ import annotations

import os
import re
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, NotFound, PermissionDenied, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import fsync_directory, sha256_stream, utc_now

_KEY = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@+=-]*$")
_CHUNK = 1024 * 1024


class CopyDiffers(ApiError):
    """What was read back is not what was put, or what was fetched is not what was expected."""


class Destination(t.Protocol):
    """What every kind of destination can do."""

    name: str

    def location(self, key: str) -> str:
        """Return where *key* lies, for people."""

    def check(self) -> None:
        """Raise if the destination cannot be used; writes nothing."""

    def put(self, key: str, source: str) -> None:
        """Put the local file *source* as *key*."""

    def read(self, key: str) -> t.Iterator[bytes]:
        """Yield the content of *key*; raises NotFound if it is not there."""

    def size(self, key: str) -> int | None:
        """Return the size of *key* in bytes, or None if it is not there."""

    def remove(self, key: str) -> None:
        """Remove *key*; what is not there is no error."""

    def list(self, prefix: str) -> list[str]:
        """Return all keys that begin with *prefix*, sorted."""


def check_key(key: str) -> str:
    """Return *key* if it is a safe relative path.

    Raises:
        Refused: empty parts, ``..``, or characters that not every destination takes.
    """
    if len(key) > 900 or not all(_KEY.match(part) for part in key.split("/")):
        raise Refused(f"{key!r} cannot be a key of a backup.", hint="Use letters, digits and ._@+=- with / between the parts; no part begins with a dot.")
    return key


class DirectoryDestination:
    """A directory that this host reaches, such as an NFS mount. It must exist: a mount that is gone is not made up for.

    Args:
        name: Name of the destination.
        path: The directory.
    """

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self.path = os.path.abspath(path)

    def location(self, key: str) -> str:
        """Return the path of *key*."""
        return os.path.join(self.path, key)

    def _error(self, doing: str, exc: OSError) -> ApiError:
        kind: type[ApiError] = ApiError
        hint = f"Look at {self.path} on this host."
        if isinstance(exc, PermissionError):
            kind, hint = PermissionDenied, f"Let the user of the play write to {self.path}."
        elif isinstance(exc, FileNotFoundError):
            kind = NotFound
        return kind(f"Cannot {doing} at the destination {self.name!r}: {exc.strerror}.", path=self.path, said=exc.strerror or "", hint=hint)

    def check(self) -> None:
        """Raise NotFound or PermissionDenied if the directory cannot be used."""
        if not os.path.isdir(self.path):
            raise NotFound(
                f"The directory {self.path} of the destination {self.name!r} does not exist.",
                path=self.path,
                hint="Mount it or create it first; it is not created here, because an absent mount would go unnoticed.",
            )
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise PermissionDenied(
                f"Not allowed to write to {self.path} of the destination {self.name!r}.", path=self.path, hint="Let the user of the play write to it."
            )

    def put(self, key: str, source: str) -> None:
        """Copy *source* beside the final name, flush it to the disk, and rename it."""
        self.check()
        target = self.location(check_key(key))
        try:
            self._make_directories(os.path.dirname(target))
            self._copy(source, target)
        except OSError as exc:
            raise self._error(f"write {key}", exc) from exc

    def _make_directories(self, path: str) -> None:
        missing: list[str] = []
        while not os.path.isdir(path):
            missing.append(path)
            path = os.path.dirname(path)
        for directory in reversed(missing):
            os.makedirs(directory, exist_ok=True)
            fsync_directory(os.path.dirname(directory))

    @staticmethod
    def _copy(source: str, target: str) -> None:
        directory, base = os.path.split(target)
        fd, temporary = tempfile.mkstemp(prefix=f".{base}.", suffix=".part", dir=directory)
        try:
            with open(source, "rb") as reader, os.fdopen(fd, "wb") as writer:
                for chunk in iter(lambda: reader.read(_CHUNK), b""):
                    writer.write(chunk)
                writer.flush()
                os.fchmod(writer.fileno(), 0o640)
                os.fsync(writer.fileno())
                # So that reading back reads the disk and not what was just written to memory.
                os.posix_fadvise(writer.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            os.rename(temporary, target)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
        fsync_directory(directory)

    def read(self, key: str) -> t.Iterator[bytes]:
        """Yield the content of *key*."""
        try:
            with open(self.location(check_key(key)), "rb") as handle:
                yield from iter(lambda: handle.read(_CHUNK), b"")
        except FileNotFoundError as exc:
            raise NotFound(f"There is no {key} at the destination {self.name!r}.", path=self.location(key), hint="Look which keys it holds.") from exc
        except OSError as exc:
            raise self._error(f"read {key}", exc) from exc

    def size(self, key: str) -> int | None:
        """Return the size of *key*."""
        try:
            return os.stat(self.location(check_key(key))).st_size
        except FileNotFoundError:
            return None
        except OSError as exc:
            raise self._error(f"look at {key}", exc) from exc

    def remove(self, key: str) -> None:
        """Remove *key*; what is not there is no error."""
        self.check()
        path = self.location(check_key(key))
        try:
            os.unlink(path)
        except FileNotFoundError:
            return
        except OSError as exc:
            raise self._error(f"remove {key}", exc) from exc
        fsync_directory(os.path.dirname(path))

    def list(self, prefix: str) -> list[str]:
        """Return all keys that begin with *prefix*; files being written are left out."""
        if not os.path.isdir(self.path):
            self.check()
        found: list[str] = []
        top = os.path.join(self.path, os.path.dirname(prefix))
        for directory, _directories, files in os.walk(top):
            for name in files:
                key = os.path.relpath(os.path.join(directory, name), self.path)
                if key.startswith(prefix) and not name.startswith("."):
                    found.append(key)
        return sorted(found)


def build(options: t.Mapping[str, t.Any]) -> Destination:
    """Return the destination that the module option *options* describes; contacts nothing.

    Raises:
        Refused: an option is missing or does not fit the type.
    """
    if options["type"] == "directory":
        if not options.get("path"):
            raise Refused(f"The destination {options['name']!r} is a directory without a path.", hint="Give path.")
        if not os.path.isabs(options["path"]):
            raise Refused(f"The path of the destination {options['name']!r} is relative.", hint="Give an absolute path.")
        return DirectoryDestination(options["name"], options["path"])
    if options["type"] == "sftp":
        from ansible_collections.resilient.platform.plugins.module_utils._evidence.sftp import SftpDestination  # it needs what is defined here

        return SftpDestination.from_options(options)
    from ansible_collections.resilient.platform.plugins.module_utils._evidence.s3 import S3Destination  # loads minio only where it is used

    return S3Destination.from_options(options)


def build_all(options: t.Sequence[t.Mapping[str, t.Any]] | None) -> list[Destination]:
    """Return all destinations; refuses two of the same name."""
    built = [build(item) for item in options or []]
    names = [item.name for item in built]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise Refused(f"Two destinations have the name {twice[0]!r}.", hint="Give each its own name.")
    return built


def digest_at(destination: Destination, key: str) -> tuple[str, int]:
    """Return SHA-256 and size of what lies at *destination* under *key*, by reading all of it."""
    return sha256_stream(destination.read(key))


def put_and_compare(destination: Destination, key: str, source: str, sha256: str) -> dict[str, t.Any]:
    """Put *source* and read it back.

    Returns:
        ``destination, key, location, size_bytes, sha256, read_back_sha256, read_back_at``.

    Raises:
        CopyDiffers: what came back is not what was put.
    """
    destination.put(key, source)
    return compare(destination, key, sha256)


def compare(destination: Destination, key: str, sha256: str) -> dict[str, t.Any]:
    """Read *key* back and compare it with *sha256*; see ``put_and_compare``."""
    read_back, size = digest_at(destination, key)
    if read_back != sha256:
        raise CopyDiffers(
            f"What lies at {destination.location(key)} is not what was put there: SHA-256 {read_back} instead of {sha256}.",
            path=key,
            hint="Do not count on this copy. Look at the destination's health, remove it, and copy again.",
        )
    return {
        "destination": destination.name,
        "key": key,
        "location": destination.location(key),
        "size_bytes": size,
        "sha256": sha256,
        "read_back_sha256": read_back,
        "read_back_at": utc_now(),
    }


def fetch(destination: Destination, key: str, dest: str, expected_sha256: str | None) -> tuple[str, int]:
    """Copy *key* to the local file *dest*, which appears only if it has the expected digest.

    Returns:
        SHA-256 and size in bytes.

    Raises:
        CopyDiffers: it has another digest; *dest* was not touched.
    """
    directory = os.path.dirname(os.path.abspath(dest))
    if not os.path.isdir(directory):
        raise Refused(f"The directory {directory} does not exist.", hint="Create it, or give another dest.")
    fd, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(dest)}.", suffix=".part", dir=directory)
    try:
        with os.fdopen(fd, "wb") as writer:
            sha256, size = sha256_stream(_tee(destination.read(key), writer))
            writer.flush()
            os.fsync(writer.fileno())
        if expected_sha256 and sha256 != expected_sha256:
            raise CopyDiffers(
                f"{destination.location(key)} is not what was backed up: SHA-256 {sha256} instead of {expected_sha256} ({size} bytes).",
                path=key,
                hint="The copy is damaged or was replaced. Use another destination or an older recovery point.",
            )
        os.rename(temporary, dest)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
    fsync_directory(directory)
    return sha256, size


def _tee(chunks: t.Iterable[bytes], writer: t.BinaryIO) -> t.Iterator[bytes]:
    for chunk in chunks:
        writer.write(chunk)
        yield chunk


def read_small(destination: Destination, key: str, limit: int = 32 * _CHUNK) -> bytes:
    """Return the content of *key*, at most *limit* bytes.

    Raises:
        ApiError: it is larger: not what was looked for.
    """
    data = bytearray()
    for chunk in destination.read(key):
        data += chunk
        if len(data) > limit:
            raise ApiError(f"{destination.location(key)} is larger than {limit} bytes.", path=key, hint="It is not what it is called.")
    return bytes(data)
