# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Saying what a long task waits for. A module cannot print while it runs; its action plugin, on the controller, can."""

from __future__ import annotations

import threading
import time
import types
import typing as t

# Each line is an event of its own for whoever records the run, so there are few.
INTERVAL = 10.0


class Heartbeat:
    """A context that says every few seconds what it waits for and for how long it has. Says nothing about short waits.

    Args:
        say: Called with a line, from a thread of its own.
        what: What is waited for, on whose behalf.
        interval: Seconds between two lines.
        clock: A monotonic clock in seconds.
    """

    def __init__(
        self, say: t.Callable[[str], t.Any], what: str, *, interval: float = INTERVAL, clock: t.Callable[[], float] = time.monotonic
    ) -> None:
        self._say, self._what, self._interval, self._clock = say, what, interval, clock
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._began = 0.0

    def _beat(self) -> None:
        while not self._over.wait(self._interval):
            self._say(f"{self._what} ({self._clock() - self._began:.0f} s so far)")

    def __enter__(self) -> Heartbeat:
        self._began = self._clock()
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: types.TracebackType | None) -> None:
        self._over.set()
        self._thread.join()
