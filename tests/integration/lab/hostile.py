"""Runs as root INSIDE a guest (fed to its python3): tries to reach the machine. Prints {attempt: outcome} as JSON.

Only the standard library. An outcome is "done" or the name of the error; the test outside decides what is allowed.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import stat
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
NEW = sys.argv[1] if len(sys.argv) > 1 else "1"
outcome: dict[str, str] = {}


def attempt(name: str, call) -> None:  # type: ignore[no-untyped-def]
    """Note how ``call`` ends."""
    try:
        result = call()
    except OSError as exc:
        outcome[name] = errno.errorcode.get(exc.errno or 0, str(exc))
    else:
        outcome[name] = "done" if result is None else str(result)


def syscall(number: int, *args) -> None:  # type: ignore[no-untyped-def]
    """Make a raw system call (x86_64), OSError if it is refused."""
    ctypes.set_errno(0)
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def command(*argv: str) -> str:
    """Run a command; "done" or its exit code."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    return "done" if done.returncode == 0 else f"rc {done.returncode}"


def write(path: str, text: str) -> None:
    """Write to an existing file."""
    handle = os.open(path, os.O_WRONLY)
    try:
        os.write(handle, text.encode())
    finally:
        os.close(handle)


def mount(source: str, target: str, kind: str, flags: int = 0) -> None:
    """mount(2)."""
    os.makedirs(target, exist_ok=True)
    if libc.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def writable(root: str, skip: tuple[str, ...] = ()) -> list[str]:
    """Return the files below ``root`` that can be opened for writing (nothing is written)."""
    found = []
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if os.path.join(directory, name) not in skip and not os.path.islink(os.path.join(directory, name))]
        for name in files:
            path = os.path.join(directory, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                    found.append(path)
            except OSError:
                pass
    return found


MS_REMOUNT, MS_BIND = 32, 4096
timespec = struct.pack("qq", 1893456000, 0)
# --- the clock
attempt("date -s", lambda: command("date", "-s", "2030-01-01"))
attempt("timedatectl set-time", lambda: command("timedatectl", "set-time", "2030-01-01"))
attempt("clock_settime", lambda: syscall(227, 0, timespec))
attempt("settimeofday", lambda: syscall(164, timespec, None))
attempt("adjtimex", lambda: syscall(159, struct.pack("Ixxxxq", 0x0100, 3600) + bytes(256)))
# --- kernel settings: the stand-ins are the guest's own, anything else is refused, whichever way
attempt("sysctl -w stand-in", lambda: command("sysctl", "-w", "vm.swappiness=" + NEW))
attempt("sysctl -w other", lambda: command("sysctl", "-w", "vm.dirty_ratio=" + NEW))
attempt("remount /proc/sys", lambda: mount("", "/proc/sys", "", MS_REMOUNT | MS_BIND))
attempt("write remounted /proc/sys", lambda: write("/proc/sys/vm/dirty_ratio", NEW))
attempt("umount stand-in", lambda: command("umount", "/proc/sys/vm/swappiness"))
attempt("write below stand-in", lambda: write("/proc/sys/vm/swappiness", NEW))
attempt("mount proc", lambda: mount("proc", "/mnt/proc", "proc"))
attempt("write mounted proc", lambda: write("/mnt/proc/sys/vm/swappiness", NEW))
attempt("new pid namespace proc", lambda: command(
    "unshare", "--pid", "--fork", "--mount", "sh", "-c", f"mount -t proc proc /mnt && echo {NEW} >/mnt/sys/vm/swappiness"))
attempt("core_pattern", lambda: command("sh", "-c", "umount /proc/sys/kernel/core_pattern; echo '|/bin/false' >/proc/sys/kernel/core_pattern"))
attempt("sysrq-trigger", lambda: write("/proc/sysrq-trigger", "h"))
# --- modules and kernels
attempt("modprobe", lambda: command("modprobe", "dummy"))
attempt("init_module", lambda: syscall(175, b"\x7fELF", 4, b""))
attempt("finit_module", lambda: syscall(313, 0, b"", 0))
attempt("delete_module", lambda: syscall(176, b"ext4", 0))
attempt("kexec_load", lambda: syscall(246, 0, 0, None, 0))
# --- the machine's files in /sys, as they are and after every trick to make them writable
outcome["writable in /sys"] = json.dumps(writable("/sys", ("/sys/fs/cgroup",))[:5])
attempt("remount /sys", lambda: mount("", "/sys", "", MS_REMOUNT | MS_BIND))
attempt("mount sysfs", lambda: mount("sysfs", "/mnt/sys", "sysfs"))
outcome["writable in remounted /sys"] = json.dumps(
    (writable("/sys/kernel") + writable("/sys/module") + writable("/sys/power") + writable("/sys/block"))[:5]
)
# --- devices, memory, control groups
attempt("mknod disk", lambda: os.mknod("/root/disk", stat.S_IFBLK | 0o600, os.makedev(254, 0)))
attempt("mknod mem", lambda: os.mknod("/root/mem", stat.S_IFCHR | 0o600, os.makedev(1, 1)))
attempt("iopl", lambda: syscall(172, 3))
attempt("allow devices", lambda: write("/sys/fs/cgroup/devices/devices.allow", "a *:* rwm"))
attempt("raise memory limit", lambda: write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "99999999999"))
attempt("acct", lambda: syscall(163, None))
attempt("swapon", lambda: syscall(167, b"/root/swap", 0))
# --- names and the power button (the caller asks for the reboot separately)
attempt("sethostname", lambda: command("hostname", "hostile"))
attempt("reboot: ctrl-alt-del off", lambda: syscall(169, 0xFEE1DEAD, 672274793, 0, None))
print(json.dumps(outcome))
