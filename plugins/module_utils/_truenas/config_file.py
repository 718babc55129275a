# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""The configuration of a system as a file: fetched whole, written at once, readable by its owner alone."""

from __future__ import annotations

import hashlib
import os
import pathlib
import tarfile
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.download import Downloads

SEED = "pwenc_secret"
DATABASE = "freenas-v1.db"
File = dict[str, t.Any]


def digest_of(path: pathlib.Path) -> str | None:
    """Return the SHA-256 of a file's content; None if there is none. A tar file counts by its members, whose times do not matter.

    Raises:
        Refused: it cannot be read.
    """
    total = hashlib.sha256()
    try:
        if tarfile.is_tarfile(path):
            with tarfile.open(path) as archive:
                for member in sorted(archive.getmembers(), key=lambda one: one.name):
                    content = archive.extractfile(member)
                    total.update(f"{member.name}\0{member.size}\0".encode() + (content.read() if content else b""))
            return total.hexdigest()
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else hashlib.sha256(stream.read()).hexdigest()
    except FileNotFoundError:
        return None
    except (OSError, tarfile.TarError) as exc:
        raise Refused(f"Cannot read {path}: {exc}.") from exc


def check_place(path: pathlib.Path) -> None:
    """Refuse a place where the file cannot be written, before anything secret is fetched.

    Raises:
        Refused: the directory is not there or not writable, or the path is a directory.
    """
    if path.is_dir():
        raise Refused(f"{path} is a directory.", hint="Name a file.")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise Refused(f"{path.parent} is not a directory that can be written to.", hint="Make it first, with mode 0700.")


def fetch(client: TrueNasClient, path: pathlib.Path, *, seed: bool, keys: bool) -> tuple[pathlib.Path, str]:
    """Fetch the configuration into a file of mode 0600 beside *path*; return it and its digest. The caller moves or deletes it.

    Raises:
        ApiError: what came is not a configuration, or not all of it.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    part = pathlib.Path(name)
    try:
        with os.fdopen(handle, "wb") as stream, Downloads(client) as downloads:
            options = [{"secretseed": seed, "root_authorized_keys": keys}]
            for piece in downloads.pieces("config.save", options, filename="config", what="the configuration"):
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        _check(part, seed=seed, tar=seed or keys, address=client.settings.address)
        return part, str(digest_of(part))
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _check(part: pathlib.Path, *, seed: bool, tar: bool, address: str) -> None:
    """The server does not say where the file ends, so a whole one has to be known by what is in it."""
    problem = "" if part.stat().st_size else "it is empty"
    if tar and not problem:
        try:
            with tarfile.open(part) as archive:
                names = {member.name for member in archive.getmembers()}
            lacking = [name for name in (DATABASE, *((SEED,) if seed else ())) if name not in names]
            problem = f"it lacks {', '.join(lacking)}" if lacking else ""
        except tarfile.TarError as exc:
            problem = f"it is no whole tar file ({exc})"
    if problem:
        raise ApiError(
            f"What {address} sent as its configuration cannot be one: {problem}.", method="config.save", hint="Run again; the old file is untouched."
        )
