# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Files with secrets on the controller: 0600 from the first byte, whole or not there."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused


def check_writable(path: str) -> None:
    """Prove that a file can be created beside *path*, by creating one.

    Raises:
        Refused: the directory is missing or cannot be written, or *path* is a directory.
    """
    directory = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        raise Refused(f"{path} is a directory.", hint="Give the path of a file.")
    try:
        handle, probe = tempfile.mkstemp(prefix=".probe-", dir=directory)
        os.close(handle)
        os.unlink(probe)
    except OSError as exc:
        raise Refused(f"Cannot write into {directory}: {exc.strerror}.", hint="Create it (0700) for the user that runs Ansible.") from exc


def write_json(path: str, content: t.Mapping[str, t.Any]) -> None:
    """Put *content* to *path*: 0600, to disk before it gets the name.

    Raises:
        Refused: it cannot be written; the message holds nothing of *content*.
    """
    write_text(path, json.dumps(content, indent=2, sort_keys=True) + "\n")


def write_text(path: str, text: str) -> None:
    """Put *text* to *path*, in the same way.

    Raises:
        Refused: it cannot be written; the message holds nothing of *text*.
    """
    directory = os.path.dirname(os.path.abspath(path))
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".new-", dir=directory)  # mkstemp opens with 0600
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        fsync_directory(directory)
    except OSError as exc:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise Refused(f"Cannot write {path}: {exc.strerror}.", hint="Check space and permissions of its directory.") from exc


def fsync_directory(directory: str) -> None:
    """Make a rename durable."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_json(path: str) -> dict[str, t.Any] | None:
    """Return the JSON object at *path*, ``None`` if there is no file.

    Raises:
        Refused: the file cannot be read or holds no JSON object; its content is not quoted.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise Refused(f"Cannot read {path}: {exc.strerror}.", hint="Check its owner and mode.") from exc
    except ValueError as exc:
        raise Refused(f"{path} holds no JSON.", hint="Move it away if it is not the file that this collection wrote.") from exc
    if not isinstance(content, dict):
        raise Refused(f"{path} holds no JSON object.", hint="Move it away if it is not the file that this collection wrote.")
    return content


def remove(path: str) -> None:
    """Delete the file; it may be gone already.

    Raises:
        Refused: it cannot be deleted.
    """
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise Refused(f"Cannot delete {path}: {exc.strerror}.", hint="Check its directory's owner and mode.") from exc
