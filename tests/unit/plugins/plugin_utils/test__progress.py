"""The heartbeat of long tasks."""

from __future__ import annotations

import threading

from ansible_collections.resilient.platform.plugins.plugin_utils._progress import Heartbeat


def test_long_wait_says_what_it_waits_for_and_for_how_long() -> None:
    lines: list[str] = []
    twice = threading.Event()
    clock = iter([100.0, 110.0, 120.0, 130.0, 140.0])

    def say(line: str) -> None:
        lines.append(line)
        if len(lines) == 2:
            twice.set()

    with Heartbeat(say, "waiting for web-1", interval=0.01, clock=lambda: next(clock, 200.0)):
        assert twice.wait(10)
    assert lines[:2] == ["waiting for web-1 (10 s so far)", "waiting for web-1 (20 s so far)"]


def test_short_wait_says_nothing_and_the_thread_ends() -> None:
    lines: list[str] = []
    before = threading.active_count()
    with Heartbeat(lines.append, "waiting"):
        pass
    assert lines == [] and threading.active_count() == before


def test_error_of_the_task_passes_through() -> None:
    try:
        with Heartbeat(print, "waiting"):
            raise KeyError("x")
    except KeyError as exc:
        assert exc.args == ("x",)
