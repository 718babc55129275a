# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Clones that are gone afterwards: below a dataset that is marked as ours, with the time in their names, so that a killed run leaves no riddle."""

from __future__ import annotations

import dataclasses
import re
import secrets
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, PlatformError, Refused, WaitTimeout
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient

# Everything below a dataset with this user property belongs to restore tests and may be deleted by them.
MARK = "resilient.platform:restore_test"
# So long a clone may be busy before its deletion is given up, in seconds.
PATIENCE = 60.0
_NAME = re.compile(r"^test-(\d{9,12})-[0-9a-f]{8}$")


class NotClean(PlatformError):
    """A clone is still there; ``details['left']`` names it."""


@dataclasses.dataclass
class Scratch:
    """The place for clones on one system.

    Args:
        client: The session.
        parent: The dataset that holds the clones; made when it is missing, and removed when it is empty.
        sleep: Called with the seconds to sleep.
        clock: A monotonic clock, in seconds.
    """

    client: TrueNasClient
    parent: str
    sleep: t.Callable[[float], None] = time.sleep
    clock: t.Callable[[], float] = time.monotonic

    def look(self) -> list[str] | None:
        """Return the clones that are there, None where even the parent is missing.

        Raises:
            Refused: the parent is there and not ours.
        """
        entry = self._entry(self.parent)
        if entry is None:
            return None
        if MARK not in (entry.get("user_properties") or {}):
            raise Refused(
                f"{self.parent} at {self.client.settings.address} was not made by a restore test: it lacks the user property {MARK}.",
                hint="Give scratch a name that is free; everything below it is deleted.",
            )
        return sorted(child["id"] for child in entry.get("children") or [])

    def old(self, clones: t.Iterable[str], age: int) -> list[str]:
        """Return those of *clones* that were made more than *age* seconds ago: nobody works with them any more."""
        now = time.time()
        found = {name: _NAME.match(name.rpartition("/")[2]) for name in clones}
        return [name for name, shape in found.items() if shape is None or now - int(shape[1]) >= age]

    def clone(self, snapshot: str) -> str:
        """Make a clone, read-only and mounted, and return its name."""
        if self.look() is None:
            what = {"name": self.parent, "user_properties": [{"key": MARK, "value": "true"}]}
            self.client.call("pool.dataset.create", what, what=self.parent)
        name = f"{self.parent}/test-{int(time.time())}-{secrets.token_hex(4)}"
        data = {"snapshot": snapshot, "dataset_dst": name, "dataset_properties": {"readonly": "on"}}
        try:
            self.client.snapshots("clone", data, what=snapshot)
        except BaseException:
            # It may have been made all the same: the answer is what was lost.
            self.remove(name)
            raise
        return name

    def mountpoint(self, name: str) -> str:
        """Return where a clone is mounted on the system.

        Raises:
            ApiError: it is not: it is locked, for instance.
        """
        entry = self._entry(name) or {}
        found = entry.get("mountpoint")
        if not found:
            locked = " It is locked." if entry.get("locked") else ""
            raise ApiError(f"The clone {name} at {self.client.settings.address} is not mounted.{locked}", method="pool.dataset.query", path=name)
        return str(found)

    def remove(self, name: str) -> None:
        """Delete a clone, and look whether it is gone. Whatever goes wrong is tried again.

        Raises:
            NotClean: it is still there, or nobody can tell.
        """
        end = self.clock() + PATIENCE
        while True:
            try:
                if self._entry(name) is None:
                    return
                self.client.call("pool.dataset.delete", name, {"recursive": False, "force": True}, what=name)
                if self._entry(name) is None:
                    return
                said = "the server says it is deleted"
            except (ApiError, WaitTimeout) as exc:
                said = str(exc)
            if self.clock() >= end:
                raise NotClean(
                    f"The clone {name} at {self.client.settings.address} could not be deleted: {said}.",
                    hint="The next restore test tries again; until then it keeps its snapshot from being deleted.",
                    details={"left": [name]},
                )
            self.sleep(1.0)

    def tidy(self) -> None:
        """Remove the parent if nothing is below it."""
        if self.look() == []:
            self.remove(self.parent)

    def _entry(self, name: str) -> dict[str, t.Any] | None:
        found = self.client.query("pool.dataset", [["id", "=", name]])
        return found[0] if found else None
