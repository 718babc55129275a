# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Base of the action plugins of modules that may take longer than ten seconds."""

from __future__ import annotations

import typing as t

from ansible.plugins.action.normal import ActionModule as NormalAction
from ansible.utils.display import Display
from ansible_collections.resilient.platform.plugins.plugin_utils._progress import Heartbeat


class WaitingAction(NormalAction):  # type: ignore[misc]
    """The module of the same name, which says every ten seconds what it waits for and for how long it has."""

    def awaited(self, args: t.Mapping[str, t.Any]) -> str:
        """Return what a task with *args* waits for. Of the arguments name only those that are never secret."""
        raise NotImplementedError

    def run(self, tmp: t.Any = None, task_vars: t.Any = None) -> t.Any:
        """Run the module."""
        host = (task_vars or {}).get("inventory_hostname", "")
        with Heartbeat(Display().display, f"[{host}] waiting for {self.awaited(self._task.args)}"):
            return super().run(tmp, task_vars)


def names(items: t.Any, key: str = "name") -> str:
    """Return the names in a list of dictionaries, joined by commas; empty if there is none."""
    found = [str(item[key]) for item in items if isinstance(item, dict) and item.get(key)] if isinstance(items, list) else []
    return ", ".join(found)


def at(args: t.Mapping[str, t.Any], key: str) -> str:
    """Return `` at <server>`` for the option *key* of *args*; empty where it comes from the environment."""
    return f" at {args[key]}" if args.get(key) else ""
