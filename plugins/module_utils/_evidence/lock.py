# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Who works on a run: a note with the process that holds it, because no lock outlives a module's process."""

from __future__ import annotations

import json
import os
import socket
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import pretty, utc_now, write_atomically
from ansible_collections.resilient.platform.plugins.module_utils._evidence.records import LOG_NAME, read_clock

LOCK_NAME = "lock.json"
# A holder that cannot be looked at (another machine or container) counts as alive while its log grows.
SILENT_SECONDS = 900
_PLAYBOOK = frozenset({"ansible-playbook", "ansible", "ansible-console"})
Holder = dict[str, t.Any]


class RunLocked(Refused):
    """Another play works on the same run."""


def _stat(pid: int) -> tuple[int, int] | None:
    """Return parent and start time (clock ticks since boot) of *pid*, or None if it is gone or a zombie."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as handle:
            fields = handle.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else (int(fields[1]), int(fields[19]))


def _is_play(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as handle:
            words = handle.read().split(b"\0")[:3]
    except OSError:
        return False
    return any(os.path.basename(word.decode("utf-8", "replace")) in _PLAYBOOK for word in words)


def find_play(pid: int | None = None) -> int:
    """Return the process id of the ansible-playbook that (indirectly) started *pid* (this process); else its parent."""
    current = pid or os.getpid()
    found = 0
    while current > 1:
        if _is_play(current):
            found = current  # workers are forks of the play with the same command line: go on to the first of them
        elif found:
            break
        stat = _stat(current)
        if stat is None:
            break
        current = stat[0]
    return found or os.getppid()


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def myself() -> Holder:
    """Return the note that this play leaves."""
    pid = find_play()
    stat = _stat(pid)
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "started": stat[1] if stat else 0,
        "boot_id": read_clock()["boot_id"],
        "pid_namespace": _pid_namespace(),
        "since": utc_now(),
    }


_IDENTITY = ("host", "pid", "started", "boot_id", "pid_namespace")


def _alive(holder: Holder, run_dir: str) -> bool:
    me = myself()
    here = all(holder.get(key) == me[key] for key in ("boot_id", "pid_namespace"))
    if here:
        stat = _stat(int(holder.get("pid") or 0))
        return stat is not None and stat[1] == holder.get("started")
    if holder.get("host") == me["host"] and holder.get("boot_id") != me["boot_id"]:
        return False  # the same machine after a reboot
    try:
        silent = time.time() - os.stat(os.path.join(run_dir, LOG_NAME)).st_mtime
    except OSError:
        return False
    return silent < SILENT_SECONDS


def check(run_dir: str) -> None:
    """Refuse if another live play holds the run in *run_dir*.

    Raises:
        RunLocked: says which process on which machine, and since when.
    """
    path = os.path.join(run_dir, LOCK_NAME)
    try:
        with open(path, encoding="utf-8") as handle:
            holder = json.load(handle)
    except (OSError, ValueError):
        return
    me = myself()
    if all(holder.get(key) == me[key] for key in _IDENTITY) or not _alive(holder, run_dir):
        return
    raise RunLocked(
        f"The run in {run_dir} is being worked on by process {holder.get('pid')} on {holder.get('host')} since {holder.get('since')}.",
        hint=f"Wait until it has ended. If it is dead and this message stays, remove {path}.",
        details={"holder": {key: holder.get(key) for key in ("host", "pid", "since")}},
    )


def take(run_dir: str) -> None:
    """Leave this play's note in *run_dir*; call ``check`` before."""
    write_atomically(os.path.join(run_dir, LOCK_NAME), pretty(myself()))


def release(run_dir: str) -> None:
    """Remove the note of a run that is finished."""
    try:
        os.unlink(os.path.join(run_dir, LOCK_NAME))
    except FileNotFoundError:
        pass
