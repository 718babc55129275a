# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Autopilot's settings. The server writes durations as ``24h0m0s`` whatever it was given."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import same, seconds

CONFIGURATION = "sys/storage/raft/autopilot/configuration"
DURATIONS = ("dead_server_last_contact_threshold", "last_contact_threshold", "server_stabilization_time")
FIELDS = ("cleanup_dead_servers", "max_trailing_logs", "min_quorum", *DURATIONS)
# The server's own limits (measured: 400 below them).
LEAST_QUORUM = 3
LEAST_DEAD_SECONDS = 60


def read_configuration(client: VaultClient) -> dict[str, t.Any]:
    """Return the settings."""
    return dict(client.get(CONFIGURATION, what="read autopilot's configuration").data)


def check_configuration(wanted: t.Mapping[str, t.Any], whole: t.Mapping[str, t.Any]) -> None:
    """Refuse what the server would refuse, or what would not mean anything.

    Args:
        wanted: What the task sets.
        whole: The settings with it.
    """
    for name in DURATIONS:
        if name in wanted and seconds(wanted[name]) is None:
            raise Refused(f"{name} is {wanted[name]!r}, which is no duration.", hint="Write it as 10s, 24h or a number of seconds.")
    for name in ("max_trailing_logs", "min_quorum"):
        if name in wanted and wanted[name] < 0:
            raise Refused(f"{name} is {wanted[name]}.", hint="It is not negative.")
    if not whole.get("cleanup_dead_servers"):
        return
    if int(whole.get("min_quorum") or 0) < LEAST_QUORUM:
        raise Refused(
            f"cleanup_dead_servers is set while min_quorum is {whole.get('min_quorum')}: the server refuses that.",
            hint="Set min_quorum to the number of voters, which is at least 3.",
        )
    if (seconds(whole.get("dead_server_last_contact_threshold")) or 0) < LEAST_DEAD_SECONDS:
        raise Refused(
            f"dead_server_last_contact_threshold is {whole.get('dead_server_last_contact_threshold')}, with cleanup_dead_servers it is at least 1m.",
            hint="A day is sensible: a node that installs a snapshot says nothing meanwhile.",
        )


def plan_configuration(wanted: t.Mapping[str, t.Any], current: t.Mapping[str, t.Any]) -> tuple[dict[str, t.Any], DiffTracker]:
    """Return the fields to write, and the diff."""
    tracker, write = DiffTracker(), {}
    for name, value in wanted.items():
        if not same(value, current.get(name)):
            tracker.add(name, before=current.get(name), after=value)
            write[name] = value
    return write, tracker


def apply_configuration(client: VaultClient, write: t.Mapping[str, t.Any]) -> None:
    """Write the fields that differ."""
    client.post(CONFIGURATION, write, what="write autopilot's configuration")
