"""Nothing in a guest may change the machine's clock, kernel settings or modules: a hostile root in a guest tries.

Needs a running lab: ``RESILIENT_LAB=NAME pytest -m lab tests/integration/lab`` (default: the lab called "default").
"""

from __future__ import annotations

import json
import os
import pathlib
import re
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

from lab import podman
from lab.guest import image
from lab.guest.container import GuestSpec, run_argv
from lab.guest.disk import Disk
from lab.guest.idshift import ID_BASE
from lab.state import LabState

pytestmark = pytest.mark.lab

HOSTILE = pathlib.Path(__file__).with_name("hostile.py")
# What changes by itself, or belongs to whoever reads it.
VOLATILE = re.compile(
    r"random/|ns_last_pid|pty/nr|-nr$|_nr$|-state$|/inode-|dentry|aio-|/quota/(?!warnings)|/drop_caches|/stat_refresh"
    r"|/hostname$|/domainname$|/osrelease|cad_pid|sched_domain"
)


def kernel_settings() -> dict[str, str]:
    """Return every kernel setting of the machine that does not change by itself."""
    found = {}
    for area in ("kernel", "fs", "vm", "dev"):
        for path in pathlib.Path("/proc/sys", area).rglob("*"):
            if path.is_file() and not VOLATILE.search(str(path)):
                try:
                    found[str(path)] = path.read_text()
                except (OSError, UnicodeDecodeError):
                    continue
    return found


def modules() -> str:
    """Return the machine's modules ("" for a kernel without them); use counts left out."""
    try:
        return "\n".join(line.split()[0] for line in pathlib.Path("/proc/modules").read_text().splitlines())
    except FileNotFoundError:
        return ""


def clock_offset() -> float:
    """Return how far the wall clock is from the clock that cannot be set, in seconds."""
    return time.clock_gettime(time.CLOCK_REALTIME) - time.clock_gettime(time.CLOCK_BOOTTIME)


def in_guest(name: str, *argv: str, stdin: str | None = None) -> str:
    done = subprocess.run(
        ["podman", "exec", "-i", name, *argv], env=podman.environment(), input=stdin or "", capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def wait_booted(name: str) -> None:
    deadline = time.monotonic() + 60
    while podman.run("exec", name, "systemctl", "is-system-running", "--wait", check=False).stdout.strip() not in ("running", "degraded"):
        assert time.monotonic() < deadline, "the guest did not boot within 60 s"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A guest run exactly as the lab runs them, on the lab's network."""
    state = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "network" in state.connection, "start the lab first: python -m lab up"
    name = f"{state.prefix}-isolation-{os.getpid()}"
    disk = Disk(tmp_path_factory.mktemp("guest"), pathlib.Path("/run/resilient-lab", f"{state.name}-isolation", str(os.getpid()), "rootfs"))
    disk.create(image.ensure())
    disk.mount()
    try:
        podman.run(*run_argv(GuestSpec(name, "isolation", disk.mountpoint, network=state.connection["network"]["name"])))
        wait_booted(name)
        yield name
    finally:
        podman.run("rm", "--force", "--time", "0", "--ignore", name)
        disk.delete()
        disk.mountpoint.parent.parent.rmdir()


@pytest.fixture(scope="module")
def attack(guest: str) -> Iterator[dict[str, str]]:
    """Let the hostile root do its worst; what it got, and in a finaliser nothing: damage is checked by each test."""
    offset, settings, loaded = clock_offset(), kernel_settings(), modules()
    assert len(settings) > 100
    swappiness = settings["/proc/sys/vm/swappiness"].strip()
    out = in_guest(guest, "python3", "-", "37" if swappiness != "37" else "38", stdin=HOSTILE.read_text())
    result: dict[str, str] = json.loads(out.strip().splitlines()[-1])
    result["offset"] = str(abs(clock_offset() - offset))
    after = kernel_settings()
    result["settings"] = json.dumps({key: (settings[key], after.get(key)) for key in settings if after.get(key) != settings[key]})
    result["modules"] = "same" if modules() == loaded else modules()
    yield result


def test_guest_root_is_nobody_on_the_machine(guest: str) -> None:
    pid = podman.run("inspect", guest, "--format", "{{.State.Pid}}").stdout.strip()
    assert pathlib.Path(f"/proc/{pid}/uid_map").read_text().split() == ["0", str(ID_BASE), "65536"]
    assert os.stat(f"/proc/{pid}").st_uid == ID_BASE


@pytest.mark.parametrize("way", ["date -s", "timedatectl set-time", "clock_settime", "settimeofday", "adjtimex"])
def test_guest_cannot_set_the_clock(attack: dict[str, str], way: str) -> None:
    assert attack[way] != "done"
    assert float(attack["offset"]) < 0.5


def test_guest_sets_its_own_copy_of_a_kernel_setting(attack: dict[str, str]) -> None:
    assert attack["sysctl -w stand-in"] == "done"


@pytest.mark.parametrize("way", [
    "sysctl -w other", "write remounted /proc/sys", "write below stand-in", "write mounted proc", "new pid namespace proc", "core_pattern", "sysrq-trigger",
])
def test_guest_cannot_write_the_machines_settings(attack: dict[str, str], way: str) -> None:
    assert attack[way] != "done"


def test_no_setting_of_the_machine_changed(attack: dict[str, str]) -> None:
    assert json.loads(attack["settings"]) == {}


@pytest.mark.parametrize("way", ["modprobe", "init_module", "finit_module", "delete_module", "kexec_load"])
def test_guest_cannot_touch_modules_or_the_kernel(attack: dict[str, str], way: str) -> None:
    assert attack[way] != "done"
    assert attack["modules"] == "same"


def test_guest_cannot_write_anywhere_in_sys(attack: dict[str, str]) -> None:
    assert json.loads(attack["writable in /sys"]) == []
    assert json.loads(attack["writable in remounted /sys"]) == []


@pytest.mark.parametrize("way", ["mknod disk", "mknod mem", "iopl", "allow devices", "raise memory limit", "swapon", "reboot: ctrl-alt-del off"])
def test_guest_cannot_reach_devices_or_its_limits(attack: dict[str, str], way: str) -> None:
    assert attack[way] != "done"


def test_hostname_of_the_machine_is_its_own(attack: dict[str, str]) -> None:
    assert attack["sethostname"] == "done"
    assert socket.gethostname() != "hostile"


def test_guest_cannot_see_the_machines_processes(guest: str) -> None:
    assert in_guest(guest, "cat", "/proc/1/comm").strip() == "systemd"
    assert int(in_guest(guest, "sh", "-c", "ls -d /proc/[0-9]* | wc -l")) < 60


def test_reboot_ends_the_guest_and_nothing_else(guest: str) -> None:
    boot = time.clock_gettime(time.CLOCK_BOOTTIME)
    script = "import ctypes; ctypes.CDLL(None).reboot(0x01234567)"
    podman.run("exec", guest, "python3", "-c", script, check=False)
    deadline = time.monotonic() + 15
    while podman.run("inspect", guest, "--format", "{{.State.Status}}").stdout.strip() == "running":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert time.clock_gettime(time.CLOCK_BOOTTIME) > boot, "the machine did not restart"
