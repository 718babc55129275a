# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module of the same name, and says every ten seconds what it waits for."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.plugin_utils._waiting import WaitingAction

STATES = {"absent": "be gone", "stopped": "be stopped", "started": "run", "present": "be there"}


def awaited(args: t.Mapping[str, t.Any]) -> str:
    """Return what a task with *args* waits for, such as ``vault-1, vault-2 to run (cloud_init)``."""
    given = args.get("guests")
    guests: list[t.Any] = given if isinstance(given, list) else [args]
    names: dict[str, list[str]] = {}
    for guest in guests:
        if isinstance(guest, dict) and "name" in guest:
            names.setdefault(str(guest.get("state", "present")), []).append(str(guest["name"]))
    stage = f" ({args['wait_for']})" if args.get("wait_for") else ""
    parts = [f"{', '.join(who)} to {STATES.get(state, state)}{stage if state == 'started' else ''}" for state, who in names.items()]
    return "; ".join(parts) or "guests"


class ActionModule(WaitingAction):
    """The module with a heartbeat."""

    def awaited(self, args: t.Mapping[str, t.Any]) -> str:
        """Name the guests."""
        return awaited(args)
