"""One ansible-playbook, started like a user's and killed like a power cut: with every process that it started on this machine."""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import subprocess
import time
import typing as t
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[3]
# Inherited by every process of the play, whatever session or parent it has later: Ansible's workers and ssh leave its process group.
MARK = "RESILIENT_FAULT_PLAY"


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError:
        return b""


def processes() -> list[int]:
    """Return the ids of all processes."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def command_line(pid: int) -> str:
    """Return the words of a process, "" if it is gone."""
    return _read(f"/proc/{pid}/cmdline").replace(b"\0", b" ").decode("utf-8", "replace").strip()


def _parent(pid: int) -> int:
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 and fields[0] not in (b"Z", b"X") else 0


@dataclasses.dataclass
class Killed:
    """What a kill found.

    Args:
        processes: Command lines of the processes that were killed.
        spared: Those of the background writer of the canaries, unless it was killed too.
    """

    processes: list[str]
    spared: list[str]


@dataclasses.dataclass
class Play:
    """A running play.

    Args:
        arguments: What follows ``ansible-playbook``.
        log: File for its output.
        lab: Name of the lab.
    """

    arguments: t.Sequence[str]
    log: pathlib.Path
    lab: str
    mark: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it in a session of its own."""
        environment = {**os.environ, MARK: self.mark, "RESILIENT_LAB": self.lab, "ANSIBLE_CONFIG": str(ROOT / "inventories/lab/ansible.cfg")}
        environment["ANSIBLE_LOG_PATH"] = f"{self.log}.ansible"
        with self.log.open("wb") as output:
            argv = ["ansible-playbook", "-i", str(ROOT / "inventories/lab"), *self.arguments]
            self.process = subprocess.Popen(argv, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env=environment, start_new_session=True)

    def status(self) -> int | None:
        """Return its exit status, None while it runs."""
        assert self.process is not None
        return self.process.poll()

    def wait(self, seconds: float) -> int:
        """Wait until it has ended; returns its exit status."""
        assert self.process is not None
        return self.process.wait(seconds)

    def members(self) -> list[int]:
        """Return the ids of its processes."""
        wanted = f"{MARK}={self.mark}".encode()
        return [pid for pid in processes() if wanted in _read(f"/proc/{pid}/environ").split(b"\0") and _parent(pid)]

    def _is_writer(self, pid: int) -> bool:
        """Say whether *pid* belongs to the writer of the canaries, which has left the play for good (its first ancestor is not the play)."""
        assert self.process is not None
        wrapped = False
        while pid > 1:
            if pid == self.process.pid:
                return False
            wrapped = wrapped or "async_wrapper.py" in command_line(pid)
            pid = _parent(pid)
        return wrapped

    def kill(self, *, writer: bool) -> Killed:
        """SIGKILL all of it at once; *writer*: the background writer of the canaries too."""
        assert self.process is not None
        spared = set() if writer else {pid for pid in self.members() if self._is_writer(pid)}
        result = Killed([], [command_line(pid) for pid in spared])
        deadline = time.monotonic() + 10
        while victims := [pid for pid in self.members() if pid not in spared]:
            assert time.monotonic() < deadline, f"not all of the play ends: {[command_line(pid) for pid in victims]}"
            for pid in victims:
                line = command_line(pid)
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
                result.processes.append(line)
        self.process.wait(10)
        return result
