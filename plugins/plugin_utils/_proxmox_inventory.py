# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""From guests to inventory hosts. Runs on the controller only."""

from __future__ import annotations

import collections
import concurrent.futures
import typing as t

from ansible.utils.unsafe_proxy import wrap_var
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.info import read_addresses
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest

HostVars = dict[str, t.Any]


def read_hosts(client: ProxmoxClient, *, addresses: bool, concurrency: int) -> list[HostVars]:
    """Return the variables of every guest, as data that a cache can keep.

    One request for any number of guests; with *addresses* one more for each running virtual machine.
    """
    guests = sorted(read_cluster(client).guests, key=lambda guest: guest.vmid)

    def read(guest: Guest) -> HostVars:
        found = guest.as_result()
        found["cores"] = guest.cores
        found["memory_mib"] = guest.memory_bytes // 1024**2 if guest.memory_bytes else None
        if addresses:
            found["addresses"] = read_addresses(client, guest) if guest.kind == "qemu" and not guest.template else []
        return {f"proxmox_{key}": value for key, value in found.items()}

    if not addresses:
        return list(map(read, guests))
    with concurrent.futures.ThreadPoolExecutor(concurrency) as pool:
        return list(pool.map(read, guests))


def host_names(hosts: t.Sequence[HostVars]) -> list[str]:
    """Return a name for each: its own, with the id where several have the same or it has none."""
    count = collections.Counter(host["proxmox_name"] for host in hosts)
    return [
        host["proxmox_name"] if host["proxmox_name"] and count[host["proxmox_name"]] == 1 else f"{host['proxmox_name'] or 'guest'}-{host['proxmox_vmid']}"
        for host in hosts
    ]


def group_names(host: HostVars) -> list[str]:
    """Return the groups of a host by kind, node, status, pool and tag, not yet made safe and without prefix."""
    names = [f"all_{host['proxmox_type']}", f"node_{host['proxmox_node']}", f"status_{host['proxmox_status']}"]
    if host["proxmox_pool"]:
        names.append(f"pool_{host['proxmox_pool']}")
    return names + [f"tag_{tag}" for tag in host["proxmox_tags"]]


def make_unsafe(value: t.Any) -> t.Any:
    """Mark what the API said as data, so that a guest's name or tag is never evaluated as a template."""
    return wrap_var(value)
