# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Waiting for a condition, with an injected clock so that tests need no time."""

from __future__ import annotations

import dataclasses
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import WaitTimeout

T = t.TypeVar("T")


@dataclasses.dataclass
class Waiter:
    """Polls until a value is good.

    Args:
        timeout: Seconds until ``WaitTimeout``.
        interval: Seconds between polls.
        clock: A monotonic clock, in seconds.
        sleep: Called with the seconds to sleep.
    """

    timeout: float = 300.0
    interval: float = 1.0
    clock: t.Callable[[], float] = time.monotonic
    sleep: t.Callable[[float], None] = time.sleep

    def until(self, probe: t.Callable[[], T], good: t.Callable[[T], bool], *, what: str, hint: str = "") -> T:
        """Call *probe* until *good* says yes of its value, and return that value.

        Raises:
            WaitTimeout: *what* did not happen in time; the message holds the value seen last.
        """
        end = self.clock() + self.timeout
        while True:
            value = probe()
            if good(value):
                return value
            left = end - self.clock()
            if left <= 0:
                raise WaitTimeout(
                    f"Waited {self.timeout:g} s for {what}; seen last: {value!r}.", hint=hint, details={"last": value}
                )
            self.sleep(min(self.interval, left))
