# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Free ids. Nothing reserves one: who comes second finds out when the guest is made."""

from __future__ import annotations

import threading
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient


class IdAllocator:
    """Hands out free ids: asks the server for the first one, then counts on. Nothing reserves an id, so a collision is
    found out only when the guest is made; then the next one is tried."""

    def __init__(self, client: ProxmoxClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._next: int | None = None
        self._taken: set[int] = set()

    def avoid(self, vmids: t.Iterable[int]) -> None:
        """Never hand out these."""
        self._taken |= set(vmids)

    def allocate(self) -> int:
        """Return an id that nobody in this process got."""
        with self._lock:
            if self._next is None:
                self._next = int(self._client.get("cluster/nextid"))
            while self._next in self._taken:
                self._next += 1
            self._taken.add(self._next)
            return self._next
