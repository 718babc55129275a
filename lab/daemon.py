"""Background processes of a lab: one pid file and one log each, found again by pid and start time."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.state import LabError, LabState, write_private


def _start_time(pid: int) -> str | None:
    """Return the kernel's start time of a process, None if it is gone or a zombie. Tells a reused pid from the old one."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] == "Z" else after_name[19]


@dataclass(frozen=True)
class Daemon:
    """A process of the lab called ``name``; pid file and log are in ``<state>/run``."""

    state: LabState
    name: str

    @property
    def log(self) -> Path:
        """The log file; a restart appends to it."""
        return self.state.path("run", f"{self.name}.log")

    @property
    def _pid_file(self) -> Path:
        return self.state.path("run", f"{self.name}.pid")

    def pid(self) -> int | None:
        """Return the process id if it is alive and still the process that was started, else None."""
        try:
            pid, started = self._pid_file.read_text().split()
        except (FileNotFoundError, ValueError):
            return None
        return int(pid) if _start_time(int(pid)) == started else None

    def start(
        self,
        argv: Sequence[str],
        *,
        ready: Callable[[], bool],
        wait: float = 30,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> bool:
        """Start ``argv`` unless it runs, then wait up to ``wait`` seconds for ``ready()``.

        Returns True if it was started now. LabError with the end of its log if it ends or stays silent.
        """
        started = self.pid() is None
        child: subprocess.Popen[bytes] | None = None
        if started:
            with self.log.open("ab") as log:
                log.write(f"--- {time.strftime('%Y-%m-%dT%H:%M:%S')} start\n".encode())
                log.flush()
                child = subprocess.Popen(
                    list(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                    cwd=cwd or self.state.dir, env=dict(env) if env is not None else None,
                )
            write_private(self._pid_file, f"{child.pid} {_start_time(child.pid)}\n")
        deadline = time.monotonic() + wait
        while not ready():
            if (child is not None and child.poll() is not None) or self.pid() is None:
                raise LabError(f"{self.name} ended at once. The end of its log ({self.log}):\n{self.tail()}")
            if time.monotonic() > deadline:
                raise LabError(f"{self.name} did not answer within {wait:g} s. The end of its log ({self.log}):\n{self.tail()}")
            time.sleep(0.1)
        return started

    def stop(self, wait: float = 15) -> bool:
        """Ask it to end, kill it after ``wait`` seconds. Returns False if it did not run."""
        pid = self.pid()
        if pid is None:
            self._pid_file.unlink(missing_ok=True)
            return False
        os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + wait
        while self.pid() is not None and time.monotonic() < deadline:
            _reap(pid)
            time.sleep(0.05)
        if self.pid() is not None:
            os.kill(pid, signal.SIGKILL)
            while self.pid() is not None:
                _reap(pid)
                time.sleep(0.05)
        self._pid_file.unlink(missing_ok=True)
        return True

    def tail(self, lines: int = 15) -> str:
        """Return the last lines of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return "(no log)"


def _reap(pid: int) -> None:
    """Collect the process if it is our own child: a zombie would look like a process that does not end."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        pass
