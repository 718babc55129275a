"""A small ``systemctl`` for the hosts of ``hosts.py``: starts and stops the real server that a unit file describes.

Only what the roles and ansible.builtin.systemd_service use. It keeps User=, EnvironmentFile=, RuntimeDirectory=, ExecStartPre=, Type=notify,
KillSignal= and TimeoutStopSec=; confinement and supervision are not done: guests show those.
"""

from __future__ import annotations

import os
import pathlib
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import time

UNITS = pathlib.Path("/etc/systemd/system")
STATE = pathlib.Path("/run/units")


def unit(name: str) -> dict[str, list[str]]:
    """Return the settings of a unit file; an empty dict if there is none."""
    path = UNITS / name
    found: dict[str, list[str]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            key, separator, value = line.partition("=")
            if separator and not line.startswith(("#", ";")):
                found.setdefault(key.strip(), []).append(value.strip())
    return found


def pid_of(name: str) -> int:
    """Return the process of a unit that runs, or 0."""
    try:
        pid = int((STATE / f"{name}.pid").read_text())
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, ValueError):
        return 0
    return 0 if state == "Z" else pid


def start(name: str, block: bool) -> int:
    if pid_of(name):
        return 0
    settings = unit(name)
    if not settings:
        print(f"Unit {name} not found.", file=sys.stderr)
        return 5
    STATE.mkdir(parents=True, exist_ok=True)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    for file in settings.get("EnvironmentFile", []):
        for line in pathlib.Path(file).read_text().splitlines():
            key, separator, value = line.partition("=")
            if separator:
                environment[key] = value
    user = pwd.getpwnam(settings.get("User", ["root"])[0])
    for directory in settings.get("RuntimeDirectory", []):
        pathlib.Path("/run", directory).mkdir(exist_ok=True)
        os.chown(pathlib.Path("/run", directory), user.pw_uid, user.pw_gid)
    for command in settings.get("ExecStartPre", []):
        subprocess.run(shlex.split(command.replace("%%", "%").lstrip("+")), check=True)
    notify = STATE / f"{name}.notify"
    notify.unlink(missing_ok=True)
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(str(notify))
    notify.chmod(0o777)
    wants_notify = settings.get("Type", ["simple"])[0] == "notify"
    if wants_notify:
        environment["NOTIFY_SOCKET"] = str(notify)
    with open(STATE / f"{name}.log", "ab") as log:
        process = subprocess.Popen(
            shlex.split(settings["ExecStart"][0]), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd="/",
            user=user.pw_uid, group=user.pw_gid, extra_groups=[], umask=0o077, start_new_session=True,
        )
    (STATE / f"{name}.pid").write_text(str(process.pid))
    ready.settimeout(0.5)
    while block and wants_notify and process.poll() is None:
        try:
            if b"READY=1" in ready.recv(4096):
                break
        except TimeoutError:
            continue
    return 1 if process.poll() is not None else 0


def stop(name: str) -> int:
    pid = pid_of(name)
    if pid:
        settings = unit(name)
        os.kill(pid, getattr(signal, settings.get("KillSignal", ["SIGTERM"])[0]))
        end = time.monotonic() + float(settings.get("TimeoutStopSec", ["90"])[0])
        while pid_of(name):
            if time.monotonic() > end:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
    return 0


def enabled(name: str) -> bool:
    return (STATE / f"{name}.enabled").exists()


def main(argv: list[str]) -> int:
    options = {word for word in argv if word.startswith("-")}
    verb, *names = [word for word in argv if not word.startswith("-")] or [""]
    name = names[0] if names else ""
    if verb in ("start", "restart"):
        if verb == "restart":
            stop(name)
        return start(name, "--no-block" not in options)
    if verb == "stop":
        return stop(name)
    if verb in ("enable", "disable"):
        STATE.mkdir(parents=True, exist_ok=True)
        mark = STATE / f"{name}.enabled"
        mark.touch() if verb == "enable" else mark.unlink(missing_ok=True)
        return 0
    if verb in ("reload", "kill"):
        if pid_of(name):
            os.kill(pid_of(name), signal.SIGHUP)
        return 0
    if verb == "is-enabled":
        print("enabled" if enabled(name) else "disabled")
        return 0 if enabled(name) else 1
    if verb == "is-active":
        print("active" if pid_of(name) else "inactive")
        return 0 if pid_of(name) else 3
    if verb == "show":
        there = bool(unit(name))
        print(f"Id={name}\nLoadState={'loaded' if there else 'not-found'}\nActiveState={'active' if pid_of(name) else 'inactive'}\n"
              f"SubState={'running' if pid_of(name) else 'dead'}\nMainPID={pid_of(name)}\nUnitFileState={'enabled' if enabled(name) else 'disabled'}")
        return 0
    if verb == "list-unit-files":
        if unit(name):
            print(f"{name} {'enabled' if enabled(name) else 'disabled'} enabled")
        return 0 if unit(name) else 1
    if verb == "daemon-reload":
        return 0
    print(f"systemctl {' '.join(argv)}: this stand-in does not know that", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
