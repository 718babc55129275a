from __future__ import annotations

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._wait import Waiter


class Clock:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def waiter(clock: Clock, timeout: float = 5.0) -> Waiter:
    return Waiter(timeout=timeout, interval=2.0, clock=clock, sleep=clock.sleep)


def test_returns_the_first_good_value_without_sleeping() -> None:
    clock = Clock()
    assert waiter(clock).until(lambda: 7, lambda v: v == 7, what="seven") == 7
    assert clock.slept == []


def test_timeout_names_the_condition_and_the_last_value() -> None:
    clock = Clock()
    with pytest.raises(WaitTimeout, match=r"Waited 5 s for guest to boot; seen last: 'booting'\. Look at its console\."):
        waiter(clock).until(lambda: "booting", lambda v: False, what="guest to boot", hint="Look at its console.")
    assert clock.slept == [2.0, 2.0, 1.0]
