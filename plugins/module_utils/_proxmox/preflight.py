# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What the server would refuse half-way is refused here before the first write: nodes, storages, bridges, pools, ids."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, PermissionDenied, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import GuestPlan
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.space import check_space

# What a guest's network device can be plugged into.
_BRIDGES = frozenset({"bridge", "OVSBridge", "vnet"})


def check_plans(client: ProxmoxClient, cluster: Cluster, plans: t.Sequence[GuestPlan], *, overcommit: bool = True) -> list[str]:
    """Check all plans. Asks the server only for what a plan is going to write.

    Returns:
        Warnings.

    Raises:
        Refused: something that a plan needs is not there.
    """
    changing = [plan for plan in plans if plan.changed and not plan.blocked]
    for plan in changing:
        _check_node(cluster, plan)
        _check_storages(cluster, plan)
        _check_vmid(client, plan)
    warnings = check_space(cluster, changing, overcommit=overcommit)
    _check_bridges(client, changing)
    _check_pools(client, changing)
    return warnings


def _list(names: t.Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or "none"


def _check_node(cluster: Cluster, plan: GuestPlan) -> None:
    if plan.node not in cluster.nodes:
        raise Refused(f"Guest {plan.name}: there is no node {plan.node}.", hint=f"Nodes: {_list(cluster.nodes)}.")
    if not cluster.nodes[plan.node]:
        raise Refused(f"Guest {plan.name}: the node {plan.node} is offline.", hint="Bring it back, or choose another node.")


def _check_storages(cluster: Cluster, plan: GuestPlan) -> None:
    """Check the storages that new volumes go to, as far as they can be seen."""
    here = [storage for storage in cluster.storages if storage.node == plan.node]
    wanted = {name for key, text in plan.config.set.items() if (name := _allocating_storage(key, text))}
    wanted |= {move.storage for move in plan.config.moves}
    if plan.clone_storage:
        wanted.add(plan.clone_storage)
    for name in sorted(wanted) if here else []:
        storage = cluster.storage(name, plan.node)
        if storage is None:
            raise Refused(
                f"Guest {plan.name}: node {plan.node} has no storage {name}.", hint=f"Storages: {_list(one.name for one in here)}."
            )
        if storage.content and "images" not in storage.content:
            fitting = _list(one.name for one in here if "images" in one.content)
            raise Refused(f"Guest {plan.name}: the storage {name} does not hold disks of guests.", hint=f"Storages that do: {fitting}.")
        if not storage.available:
            raise Refused(f"Guest {plan.name}: the storage {name} is not available on node {plan.node}.", hint="Activate it.")


def _allocating_storage(key: str, text: str) -> str | None:
    """Return the storage that a written drive allocates a volume on."""
    if not props.DRIVE_KEY.match(key):
        return None
    volume, _options = props.parse_drive(text)
    storage, _separator, name = volume.partition(":")
    return storage if name == "cloudinit" or name.replace(".", "", 1).isdigit() else None


def _check_vmid(client: ProxmoxClient, plan: GuestPlan) -> None:
    """Check that a declared id is free: a guest that these credentials may not see holds its id all the same."""
    if not plan.create or plan.desired is None or plan.desired.vmid is None:
        return
    try:
        client.get("cluster/nextid", vmid=plan.desired.vmid)
    except ApiError as exc:
        if "vmid" not in exc.errors:
            raise
        raise Refused(
            f"Guest {plan.name}: the id {plan.desired.vmid} cannot be used: {exc.errors['vmid']}.",
            hint="Choose another vmid, or leave it out; these credentials may not be allowed to see the guest that has it.",
        ) from None


def _check_bridges(client: ProxmoxClient, plans: t.Sequence[GuestPlan]) -> None:
    """Check the bridges of network devices that are going to be written; one request a node."""
    wanted: dict[str, list[tuple[str, str]]] = {}
    for plan in plans:
        for key, text in plan.config.set.items():
            bridge = props.parse_net(text).get("bridge") if props.NET_KEY.match(key) else None
            if bridge:
                wanted.setdefault(plan.node, []).append((plan.name, bridge))
    for node, uses in sorted(wanted.items()):
        listed = client.get(f"nodes/{node}/network", type="any_bridge") or []
        known = {str(line["iface"]) for line in listed if line.get("iface") and line.get("type", "bridge") in _BRIDGES}
        for name, bridge in uses if known else []:
            if bridge not in known:
                raise Refused(f"Guest {name}: node {node} has no bridge {bridge}.", hint=f"Bridges: {_list(known)}.")


def _check_pools(client: ProxmoxClient, plans: t.Sequence[GuestPlan]) -> None:
    uses = [(plan.name, plan.pool) for plan in plans if plan.pool]
    if not uses:
        return
    try:
        known = {str(line["poolid"]) for line in client.get("pools")}
    except PermissionDenied:
        return
    for name, pool in uses:
        if pool not in known:
            raise Refused(f"Guest {name}: there is no pool {pool}.", hint=f"Pools: {_list(known)}.")
