# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Differences between what is and what should be, the same in check mode and in a real run."""

from __future__ import annotations

import dataclasses
import typing as t


@dataclasses.dataclass
class DiffTracker:
    """Collects the changed keys of one object (or of many, by a key such as ``vault-1.memory``)."""

    before: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    after: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    def add(self, name: str, *, before: t.Any, after: t.Any) -> bool:
        """Record *name* if *before* and *after* differ; return whether they do. ``None`` means absent."""
        if before == after:
            return False
        if before is not None:
            self.before[name] = before
        if after is not None:
            self.after[name] = after
        return True

    @property
    def changed(self) -> bool:
        """Whether anything differs."""
        return bool(self.before or self.after)

    def as_result(self, header: str) -> dict[str, t.Any]:
        """Return the value for a module's ``diff`` key; *header* names the object."""
        return {
            "before": self.before,
            "after": self.after,
            "before_header": header,
            "after_header": header,
        }
