from __future__ import annotations

import os
import signal
import sys
import time

import pytest

from lab.daemon import Daemon
from lab.state import LabError, LabState

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


def test_start_is_idempotent_and_stop_leaves_nothing(state: LabState) -> None:
    daemon = Daemon(state, "sleeper")
    try:
        assert daemon.start(SLEEP, ready=lambda: True) is True
        pid = daemon.pid()
        assert daemon.start(SLEEP, ready=lambda: True) is False
        assert daemon.pid() == pid
    finally:
        assert daemon.stop() is True
    assert daemon.pid() is None and daemon.stop() is False


def test_process_that_ends_is_told_with_its_log(state: LabState) -> None:
    with pytest.raises(LabError, match="no such table"):
        Daemon(state, "bad").start([sys.executable, "-c", "raise SystemExit('no such table')"], ready=lambda: False, wait=20)


def test_silent_process_is_told_after_the_wait(state: LabState) -> None:
    daemon = Daemon(state, "mute")
    with pytest.raises(LabError, match="did not answer within"):
        daemon.start(SLEEP, ready=lambda: False, wait=0.3)
    assert daemon.stop()


def test_reused_pid_is_not_taken_for_the_daemon(state: LabState) -> None:
    state.path("run", "old.pid").write_text(f"{os.getpid()} 1\n")
    assert Daemon(state, "old").pid() is None


def test_process_that_ignores_sigterm_is_killed(state: LabState) -> None:
    daemon = Daemon(state, "stubborn")
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); time.sleep(60)"
    daemon.start([sys.executable, "-c", code], ready=lambda: "ready" in daemon.tail())
    begun = time.monotonic()
    daemon.stop(wait=0.5)
    assert daemon.pid() is None and time.monotonic() - begun < 5
    assert signal.SIGTERM
