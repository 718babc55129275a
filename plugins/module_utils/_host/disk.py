# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Reads files and carries out plans. It decides nothing."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import shutil
import stat
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._host.files import Current, Plan

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

ENCODING = "utf-8"
# Bytes that are no UTF-8 survive an edit of another line.
ERRORS = "surrogateescape"
DEFAULT_MODE = 0o644


def read(path: str, *, with_content: bool) -> Current:
    """Return what is at *path*, following links.

    Args:
        path: Absolute path.
        with_content: Also read the text of a file.

    Raises:
        PlatformError: it exists but cannot be read.
    """
    try:
        info = os.stat(path)
        if stat.S_ISDIR(info.st_mode):
            return Current("directory", None, user(info.st_uid), group(info.st_gid), stat.S_IMODE(info.st_mode))
        content = None
        if with_content:
            with open(path, encoding=ENCODING, errors=ERRORS, newline="") as handle:
                content = handle.read()
        return Current("file", content, user(info.st_uid), group(info.st_gid), stat.S_IMODE(info.st_mode))
    except (FileNotFoundError, NotADirectoryError):
        return Current()
    except OSError as exc:
        raise PlatformError(f"Cannot read {path}: {exc.strerror}.", hint="Run the task with become: true.") from exc


def user(uid: int) -> str:
    """Return the name of a user id, or the id itself if it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group(gid: int) -> str:
    """Return the name of a group id, or the id itself if it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def user_id(name: str | None) -> int:
    """Return the id of a user; -1 (leave alone) for None. KeyError if there is no such user."""
    if name is None:
        return -1
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def group_id(name: str | None) -> int:
    """Return the id of a group; -1 (leave alone) for None. KeyError if there is no such group."""
    if name is None:
        return -1
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def validate(module: AnsibleModule, plan: Plan) -> None:
    """Let the plan's own command judge the new text before anything is written.

    Raises:
        Refused: the command said no, or has no ``%s``.
    """
    if plan.validate is None or plan.content is None:
        return
    argv = shlex.split(plan.validate)
    if "%s" not in argv:
        raise Refused(f"Cannot validate {plan.path}: the command '{plan.validate}' has no %s for the file.")
    if shutil.which(argv[0], path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") is None:
        if module.check_mode:
            return  # A package that is yet to be installed brings it.
        raise Refused(f"Cannot write {plan.path}: there is no command '{argv[0]}' to validate it.", hint="Install what brings it. Nothing was written.")
    path = write_temporary(module.tmpdir, plan.content)
    try:
        code, out, err = module.run_command([path if word == "%s" else word for word in argv])
    finally:
        os.unlink(path)
    if code != 0:
        said = (err or out).replace(path, plan.path).strip()
        raise Refused(f"Cannot write {plan.path}: '{plan.validate}' ended with {code}: {said}", hint="Nothing was written.")


def write_temporary(directory: str, content: str) -> str:
    """Return the path of a new file in *directory* with *content*, readable by its owner only."""
    descriptor, path = tempfile.mkstemp(dir=directory, prefix="host_files")
    with os.fdopen(descriptor, "w", encoding=ENCODING, errors=ERRORS, newline="") as handle:
        handle.write(content)
    return path


def apply(module: AnsibleModule, plan: Plan) -> None:
    """Carry out *plan*: each file is replaced in one step, so a reader sees the old or the new one.

    Raises:
        PlatformError: the file system or the user database said no.
    """
    try:
        if plan.remove:
            os.unlink(plan.path)
            return
        if plan.create:
            os.makedirs(os.path.dirname(plan.path), mode=0o755, exist_ok=True)
            if plan.content is None:
                os.mkdir(plan.path, 0o755)
        if plan.content is not None:
            write(module, plan)
        if plan.owner is not None or plan.group is not None:
            os.chown(plan.path, user_id(plan.owner), group_id(plan.group))
        if plan.mode is not None:
            os.chmod(plan.path, plan.mode)
    except KeyError as exc:
        raise PlatformError(f"Cannot set the owner of {plan.path}: {exc.args[0]}.", hint="Create that user or group first.") from exc
    except OSError as exc:
        raise PlatformError(f"Cannot write {plan.path}: {exc.strerror}.", hint="Run the task with become: true.") from exc


def write(module: AnsibleModule, plan: Plan) -> None:
    """Put the plan's text in place; owner and mode of an existing file are kept."""
    temporary = write_temporary(module.tmpdir, plan.content or "")
    if plan.create:
        os.chmod(temporary, plan.mode if plan.mode is not None else DEFAULT_MODE)
    # Follows a link as `read` did; the link stays a link.
    module.atomic_move(temporary, os.path.realpath(plan.path))
