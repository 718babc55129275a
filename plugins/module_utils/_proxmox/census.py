# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Who is there, by name. The server's list takes names from a broadcast: for seconds a new guest has none, and its configuration is asked."""

from __future__ import annotations

import threading
import time
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest


def read_cluster(client: ProxmoxClient) -> Cluster:
    """Read guests, nodes and storages in one request."""
    return Cluster.from_api(client.get("cluster/resources"))


def read_named(client: ProxmoxClient, known: t.Mapping[int, str] | None = None) -> Cluster:
    """Read the cluster, and the names of those guests that the list does not name.

    Args:
        client: The endpoint.
        known: Names by id that need not be asked for.
    """
    known = known or {}
    cluster = read_cluster(client)
    names = {guest.vmid: known.get(guest.vmid) or _name(client, cluster, guest) for guest in cluster.guests if not guest.name}
    names.update({guest.vmid: known[guest.vmid] for guest in cluster.guests if guest.vmid in known})
    return cluster.named(names)


def _name(client: ProxmoxClient, cluster: Cluster, guest: Guest) -> str:
    """Return a guest's own word for its name; empty if it has none yet, or its node is away."""
    if guest.kind != "qemu" or not cluster.nodes.get(guest.node, True):
        return ""
    try:
        return str(client.get(f"{guest.path}/config").get("name") or "")
    except ApiError:
        return ""  # it was destroyed meanwhile, or it is not ours to see


def hidden_guests(cluster: Cluster) -> list[Guest]:
    """Return guests whose name nobody can tell, because their node is away."""
    return [guest for guest in cluster.guests if not guest.name and not cluster.nodes.get(guest.node, True)]


class Census:
    """The cluster as several threads see it: who needs it newer than it is reads it for all.

    Args:
        client: The endpoint.
        clock: A monotonic clock in seconds.
        cluster: What was read already.
        read_at: When, by the clock.
    """

    def __init__(
        self, client: ProxmoxClient, *, clock: t.Callable[[], float] = time.monotonic, cluster: Cluster | None = None, read_at: float = 0.0
    ) -> None:
        self._client, self._clock = client, clock
        self._cluster, self._read_at = cluster, read_at
        self._lock = threading.Lock()
        self._names: dict[int, str] = {}

    def since(self, moment: float) -> Cluster:
        """Return a view of the cluster that was asked for at or after *moment*, by the clock."""
        with self._lock:
            if self._cluster is None or self._read_at < moment:
                read_at = self._clock()
                self._cluster, self._read_at = read_named(self._client, self._names), read_at
            return self._cluster

    def now(self) -> Cluster:
        """Return a view that is not older than this call."""
        return self.since(self._clock())

    def recent(self, seconds: float) -> Cluster:
        """Return a view that is at most so old."""
        return self.since(self._clock() - seconds)

    def learn(self, vmid: int, name: str | None) -> None:
        """Remember the name of a guest of ours; ``None`` forgets it."""
        if name is None:
            self._names.pop(vmid, None)
        else:
            self._names[vmid] = name
