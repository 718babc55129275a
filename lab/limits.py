"""The machine's limit that many guests run into: inotify instances, which the kernel counts for root over all guests."""

from __future__ import annotations

import pathlib

from lab.state import LabError, LabState, Row, say

# systemd, logind, dbus and fail2ban of one guest hold about seven, and root makes the user namespaces of all: Debian's 128 are used up
# by 17 guests, and systemd in the next one never ends its start ("Failed to create inotify object: Too many open files").
_INSTANCES = pathlib.Path("/proc/sys/fs/inotify/max_user_instances")
_NEEDED = 1024


def up(_state: LabState) -> None:
    """Raise the limit where it is lower than the lab needs. LabError if the machine does not allow it."""
    found = int(_INSTANCES.read_text(encoding="ascii"))
    if found >= _NEEDED:
        return
    try:
        _INSTANCES.write_text(f"{_NEEDED}\n", encoding="ascii")
    except OSError as exc:
        raise LabError(
            f"fs.inotify.max_user_instances is {found} and cannot be raised here ({exc.strerror}): guests would not boot. "
            f"Set it to {_NEEDED} where this machine is managed."
        ) from exc
    say(f"limits: fs.inotify.max_user_instances raised from {found} to {_NEEDED} until the machine restarts")


def down(_state: LabState) -> None:
    """Leave the limit: other labs may need it, and a higher one costs nothing until it is used."""


def status(_state: LabState) -> list[Row]:
    """Whether the limit is high enough."""
    found = int(_INSTANCES.read_text(encoding="ascii"))
    return [Row("limits", "up" if found >= _NEEDED else "broken", f"fs.inotify.max_user_instances {found}, {_NEEDED} needed")]
