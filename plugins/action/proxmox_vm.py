# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs the module of the same name, and says every ten seconds what it waits for."""

from __future__ import annotations

from ansible_collections.resilient.platform.plugins.action.proxmox_fleet import ActionModule as FleetAction


class ActionModule(FleetAction):
    """A fleet of one."""
