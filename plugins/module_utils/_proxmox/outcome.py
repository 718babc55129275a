# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What became of one guest."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import GuestPlan


@dataclasses.dataclass
class Outcome:
    """What became of one guest.

    ``applied`` and ``pending`` are keys that a running guest has and does not have yet, ``not_hotplugged`` says of some of the
    latter why not.
    """

    name: str
    vmid: int | None
    node: str
    status: str
    changed: bool = False
    addresses: list[str] = dataclasses.field(default_factory=list)
    cloud_init: str | None = None
    applied: list[str] = dataclasses.field(default_factory=list)
    pending: list[str] = dataclasses.field(default_factory=list)
    not_hotplugged: dict[str, str] = dataclasses.field(default_factory=dict)
    warnings: list[str] = dataclasses.field(default_factory=list)
    error: PlatformError | None = None

    @classmethod
    def predicted(cls, plan: GuestPlan) -> Outcome:
        """Return what check mode says."""
        vmid = plan.guest.vmid if plan.guest else plan.desired.vmid if plan.desired else None
        status = plan.guest.status if plan.blocked and plan.guest else plan.status
        pending = [] if plan.power else list(plan.pending)
        return cls(plan.name, vmid, plan.node, status, plan.changed and not plan.blocked, pending=pending, error=plan.blocked)

    def warn(self, what: str, exit_status: str) -> None:
        """Note a task that ended with warnings."""
        if exit_status != "OK":
            self.warnings.append(f"{what}: {exit_status}; see the task's log.")

    def as_result(self) -> dict[str, t.Any]:
        """Return it for a module's result."""
        result = dataclasses.asdict(dataclasses.replace(self, error=None))
        del result["error"]
        result["reboot_required"] = bool(self.pending)
        if self.error:
            result["error"] = self.error.as_result()["error"]
        return result
