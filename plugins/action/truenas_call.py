# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module of the same name, and says every ten seconds what it waits for."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.plugin_utils._waiting import WaitingAction, at


class ActionModule(WaitingAction):
    """The module with a heartbeat."""

    def awaited(self, args: t.Mapping[str, t.Any]) -> str:
        """Name the method; its parameters may be secret."""
        return f"{args.get('method', 'a method')}{at(args, 'api_host')}"
