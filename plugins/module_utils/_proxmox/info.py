# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Reading guests: for the info module, the roles and the inventory."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, PermissionDenied
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest, GuestConfig
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wait import usable_addresses

# The key types that OpenSSH makes by itself, best first.
HOST_KEYS = tuple(f"/etc/ssh/ssh_host_{kind}_key.pub" for kind in ("ed25519", "ecdsa", "rsa"))


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which guests; what is ``None`` selects nothing out."""

    names: t.Sequence[str] | None = None
    vmid: int | None = None
    node: str | None = None
    pool: str | None = None
    tags: t.Sequence[str] | None = None
    templates: bool = False

    def matches(self, guest: Guest) -> bool:
        """Whether *guest* is a virtual machine that is meant."""
        return (
            guest.kind == "qemu"
            and (self.templates or not guest.template)
            and (self.names is None or guest.name in self.names)
            and (self.vmid is None or guest.vmid == self.vmid)
            and (self.node is None or guest.node == self.node)
            and (self.pool is None or guest.pool == self.pool)
            and (self.tags is None or {tag.lower() for tag in self.tags} <= guest.tags)
        )


def read_guests(
    client: ProxmoxClient,
    selection: Selection,
    *,
    config: bool = False,
    addresses: bool = False,
    ssh_host_keys: bool = False,
    concurrency: int = 6,
) -> list[dict[str, t.Any]]:
    """Return the selected guests by id, each with what was asked for."""
    guests = sorted((guest for guest in read_cluster(client).guests if selection.matches(guest)), key=lambda guest: guest.vmid)

    def read(guest: Guest) -> dict[str, t.Any]:
        found = guest.as_result()
        if config:
            found.update(read_config(client, guest))
        if addresses:
            found["addresses"] = read_addresses(client, guest)
        if ssh_host_keys:
            found["ssh_host_keys"] = read_host_keys(client, guest)
        return found

    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(read, guests))


def read_config(client: ProxmoxClient, guest: Guest) -> dict[str, t.Any]:
    """Return configuration and pending keys. The server itself masks passwords."""
    read = GuestConfig.from_pending(client.get(f"{guest.path}/pending"))
    values: dict[str, t.Any] = dict(read.values)
    if "sshkeys" in values:
        values["sshkeys"] = props.decode_ssh_keys(values["sshkeys"])
    return {"config": values, "pending": sorted(read.pending)}


def read_addresses(client: ProxmoxClient, guest: Guest) -> list[str]:
    """Return the addresses that the agent names; none if it doesn't answer or there is none."""
    if guest.status != "running":
        return []
    try:
        return usable_addresses(client.get(f"{guest.path}/agent/network-get-interfaces"))
    except PermissionDenied:
        raise
    except ApiError:
        return []


def read_host_keys(client: ProxmoxClient, guest: Guest) -> list[str]:
    """Return the best public host key as ``type key``; none if the agent doesn't answer.

    One is enough: SSH clients prefer the types that they know of a host.

    Raises:
        PermissionDenied: the privilege to read files is missing.
    """
    for path in HOST_KEYS if guest.status == "running" else ():
        try:
            answer = client.get(f"{guest.path}/agent/file-read", file=path)
        except PermissionDenied:
            raise
        except ApiError as exc:
            if "No such file" in exc.said:
                continue
            return []  # An agent that hiccups must not make the next type of key look like the best one.
        words = str(answer.get("content") or "").split()
        if len(words) >= 2:
            return [" ".join(words[:2])]
    return []
