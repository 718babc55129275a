# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Doing once for many threads what each of them needs."""

from __future__ import annotations

import dataclasses
import threading
import time
import typing as t

Item = t.TypeVar("Item")
Answer = t.TypeVar("Answer")


@dataclasses.dataclass
class _Entry(t.Generic[Item, Answer]):
    item: Item
    done: bool = False
    answer: t.Optional[Answer] = None
    error: BaseException | None = None


class Gather(t.Generic[Item, Answer]):
    """Collects what threads bring, and handles it together when nobody else is expected or the window has passed.

    Args:
        handle: Gets the items and returns an answer for each, in their order. What it raises, everybody gets.
        window: Seconds from the first arrival.
    """

    def __init__(self, handle: t.Callable[[list[Item]], list[Answer]], window: float) -> None:
        self._handle, self._window = handle, window
        self._condition = threading.Condition()
        self._expected = 0
        self._waiting: list[_Entry[Item, Answer]] = []

    def expect(self, count: int) -> None:
        """So many more may come."""
        with self._condition:
            self._expected += count

    def leave(self) -> None:
        """One that was expected will not come."""
        with self._condition:
            self._expected -= 1
            self._condition.notify_all()

    def join(self, item: Item) -> Answer:
        """Bring an item and wait for its answer. The first to arrive does the work for all."""
        entry: _Entry[Item, Answer] = _Entry(item)
        with self._condition:
            self._expected -= 1
            self._waiting.append(entry)
            self._condition.notify_all()
            batch = self._lead() if len(self._waiting) == 1 else []
            while not batch and not entry.done:
                self._condition.wait()
        if batch:
            self._work(batch)
        if entry.error:
            raise entry.error
        return t.cast(Answer, entry.answer)

    def _lead(self) -> list[_Entry[Item, Answer]]:
        """Wait for others, then take all."""
        end = time.monotonic() + self._window
        while self._expected > 0 and (left := end - time.monotonic()) > 0:
            self._condition.wait(left)
        batch, self._waiting = self._waiting, []
        return batch

    def _work(self, batch: list[_Entry[Item, Answer]]) -> None:
        answers: list[Answer] = []
        error: BaseException | None = None
        try:
            answers = self._handle([entry.item for entry in batch])
        except BaseException as exc:
            error = exc
        with self._condition:
            for index, entry in enumerate(batch):
                entry.done, entry.error = True, error
                entry.answer = None if error else answers[index]
            self._condition.notify_all()
