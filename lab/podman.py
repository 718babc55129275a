"""podman with settings of the lab's own: the machine's defaults ask for more than it grants."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from lab.guest.container import hooks_dir
from lab.state import LabError, cache_dir, write_private

# runc: crun fails on hybrid control groups. The limits: podman's defaults exceed what small machines allow.
# keyring: the kernel grants 200 keys to the user that is root in all guests of all labs, and their services use most of them. Asked for a
# keyring for each container and each exec, it would refuse with "disk quota exceeded" from about the fifth lab on.
_CONF = """\
[containers]
keyring = {keyring}
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[network]
network_backend = "netavark"
[engine]
hooks_dir = ["{hooks}"]
cgroup_manager = "cgroupfs"
runtime = "runc"
events_logger = "file"
"""


_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1


class PodmanError(LabError):
    """podman refused; the text is its own."""


def leave_session_keyring() -> bool:
    """Give this process and what it starts from here on an empty keyring: guests would inherit the one of whoever runs the lab.

    It is the machine's root's, who may have a million of them. Returns whether it worked.
    """
    number = _SYS_KEYCTL.get(platform.machine())
    return number is not None and int(ctypes.CDLL(None).syscall(number, _JOIN_SESSION_KEYRING, None)) > 0


# At import: threads that exist by then would keep the old one. Where it does not work, podman makes a keyring for each guest.
_KEYRING_LEFT = leave_session_keyring()


def environment() -> dict[str, str]:
    """Return the environment for every podman call of the lab (writes the settings file if need be)."""
    path = cache_dir() / "containers.conf"
    wanted = _CONF.format(hooks=hooks_dir(), keyring=str(not _KEYRING_LEFT).lower())
    try:
        current = path.read_text()
    except FileNotFoundError:
        current = ""
    if current != wanted:
        write_private(path, wanted, 0o644)
    return {**os.environ, "CONTAINERS_CONF": str(path), "LC_ALL": "C.UTF-8"}


def run(*argv: str, check: bool = True, timeout: float = 300, stdin: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run ``podman`` with ``argv``; PodmanError with its message if ``check`` and it fails. ``timeout`` in seconds."""
    done = subprocess.run(
        ["podman", *argv], env=environment(), capture_output=True, text=True, timeout=timeout, check=False, stdin=stdin or subprocess.DEVNULL
    )
    if check and done.returncode:
        raise PodmanError(f"podman {' '.join(argv[:2])} failed ({done.returncode}): {done.stderr.strip() or done.stdout.strip()}")
    return done


def containers(label: str) -> list[dict[str, Any]]:
    """Return all containers with this label (``key=value``), running or not, as podman's JSON has them."""
    found: list[dict[str, Any]] = json.loads(run("ps", "--all", "--format", "json", "--filter", f"label={label}").stdout or "[]")
    return found


def image_exists(name: str) -> bool:
    """Say whether the image is in the local store."""
    return run("image", "exists", name, check=False).returncode == 0


def import_directory(root: Path, name: str) -> None:
    """Make an image of a directory's content, with owners, modes and extended attributes."""
    with subprocess.Popen(
        ["tar", "--numeric-owner", "--xattrs", "--one-file-system", "-C", str(root), "-c", "."], stdout=subprocess.PIPE
    ) as tar:
        assert tar.stdout is not None
        run("import", "-", name, stdin=tar.stdout.fileno(), timeout=600)
    if tar.returncode:
        raise PodmanError(f"tar of {root} failed ({tar.returncode})")
