"""Mount namespaces: each zfs-fuse daemon lives in its own, so that two of them can both have a pool called ``tank``.

The host's ``<nas>/mnt`` is a shared mount, bound on /mnt inside: what the NAS mounts shows up on the host (and, through
a slave bind mount, in guests). Everything else in the namespace is private, and the mounts of all NASes are taken out
of it: ``zfs`` compares source names only, so another NAS's ``tank`` would pass for its own.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab.nas.layout import Nas
from lab.state import LabError

# The order matters: the bind must become a peer of the host's mount before anything is made private around it, and
# "/" must be private first or, on a machine whose "/" is shared, the bind would appear on the machine's own /mnt.
_SETUP = r"""
mount --make-private /
mount --bind "$NAS/mnt" /mnt
awk '{print $5}' /proc/self/mountinfo | while read -r at; do
  case "$at" in /mnt|/mnt/*) ;; *) mount --make-private "$(printf '%b' "$at")" 2>/dev/null || true ;; esac
done
while at=$(awk '$5 ~ /\/nas-[a-z]+\/mnt$/ {found=$5} END {print found}' /proc/self/mountinfo); [ -n "$at" ]; do
  at=$(printf '%b' "$at")
  mount --make-rprivate "$at"
  umount -l -R "$at"
done
mkdir -p /run/zfs /run/lock/zfs /var/lib/zfs /etc/zfs
mount --bind "$NAS/run" /run/zfs
mount --bind "$NAS/lock" /run/lock/zfs
mount --bind "$NAS/lib" /var/lib/zfs
mount --bind "$NAS/etc" /etc/zfs
"""


def _run(*argv: str, check: bool = True, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL)
    if check and done.returncode:
        raise LabError(f"'{' '.join(argv[:6])}' failed with code {done.returncode}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _unescape(text: str) -> str:
    """Decode mountinfo's octal escapes (a space is \\040)."""
    return text.encode().decode("unicode_escape") if "\\" in text else text


def mount_points(below: Path) -> list[str]:
    """Return the mount points at or below a path in the current namespace, in order of mounting."""
    top = str(below)
    points = [_unescape(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return [point for point in points if point == top or point.startswith(f"{top}/")]


def held(nas: Nas) -> bool:
    """Say whether the namespace is held by its file."""
    return str(nas.namespace_file) in mount_points(nas.namespace_file)


def exists(nas: Nas) -> bool:
    """Say whether the namespace is there and was set up to the end: unshare binds it before its set-up runs."""
    return held(nas) and _marker(nas).exists()


def _marker(nas: Nas) -> Path:
    return nas.dir / "namespace-complete"


def create(nas: Nas) -> None:
    """Make directories, the shared mount and the namespace; does nothing when they are there."""
    for part in ("mnt", "run", "lock", "lib", "etc", "disks"):
        (nas.dir / part).mkdir(parents=True, exist_ok=True)
    (nas.dir / "etc" / "zfsrc").touch()
    if exists(nas):
        return
    _marker(nas).unlink(missing_ok=True)
    if held(nas):  # a set-up that was killed half-way
        _run("umount", str(nas.namespace_file))
    if not mount_points(nas.mnt):
        _run("mount", "--bind", str(nas.mnt), str(nas.mnt))
    _run("mount", "--make-private", str(nas.mnt))  # out of a peer group that a torn-down namespace may have left
    _run("mount", "--make-shared", str(nas.mnt))
    directory = nas.namespace_file.parent
    directory.mkdir(exist_ok=True)
    if not mount_points(directory):
        _run("mount", "-t", "tmpfs", "-o", "mode=700,size=64k", "resilient-nas-ns", str(directory))
        _run("mount", "--make-private", str(directory))
    nas.namespace_file.touch()
    _run(
        "unshare", f"--mount={nas.namespace_file}", "--propagation", "unchanged", "sh", "-ec", _SETUP,
        env={**os.environ, "NAS": str(nas.dir)},
    )
    _marker(nas).touch()


def enter(nas: Nas, *command: str) -> list[str]:
    """Return the command line that runs ``command`` inside the namespace."""
    return ["nsenter", f"--mount={nas.namespace_file}", *command]


def remove(nas: Nas) -> None:
    """Take the namespace and the host's mounts away; its processes must have ended."""
    if held(nas):
        # What a killed daemon left in the namespace would keep the host's side busy too.
        _run(*enter(nas, "umount", "-l", "-R", "/mnt"), check=False)
        _run("umount", str(nas.namespace_file))
    while mount_points(nas.mnt):
        _run("umount", "-l", "-R", str(nas.mnt))
    directory = nas.namespace_file.parent
    nas.namespace_file.unlink(missing_ok=True)
    if mount_points(directory) == [str(directory)] and not any(directory.iterdir()):
        _run("umount", str(directory))
        directory.rmdir()
