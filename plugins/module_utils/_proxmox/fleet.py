# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Plans for a list of guests: who is who, what may not be, and what there is to do. Reads only.

A list of N guests that are as declared costs 1 + N requests, or 1 where only power, tags and pool are declared.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, ConnectionFailed, PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import hidden_guests, read_named
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import Desired
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import Locked
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest, GuestConfig
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import (
    GuestPlan,
    clone_storage,
    disk_sizes,
    plan_config,
    plan_power,
    project_clone,
)
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.preflight import check_plans

# An operation of ours that was interrupted: worth waiting for, because it ends with the guest we want.
BEING_MADE = frozenset({"clone", "create"})


@dataclasses.dataclass
class FleetPlan:
    """Plans in the order of the list, then those for guests that are too many."""

    guests: list[GuestPlan]
    surplus: list[Guest]
    cluster: Cluster
    warnings: list[str] = dataclasses.field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything has to be done."""
        return any(plan.changed for plan in self.guests)

    def diff(self) -> DiffTracker:
        """Return the differences of all guests. Check mode and a real run show this same one."""
        tracker = DiffTracker()
        for plan in self.guests:
            plan.add_to(tracker)
        return tracker


def plan_fleet(
    client: ProxmoxClient,
    desired: t.Sequence[Desired],
    *,
    exclusive_tag: str | None = None,
    prune: bool = False,
    concurrency: int = 6,
    overcommit: bool = True,
    wait_until_made: t.Callable[[t.Callable[[], Cluster], t.Sequence[int]], Cluster] | None = None,
) -> FleetPlan:
    """Read the cluster and plan for every guest.

    Args:
        client: The endpoint.
        desired: What is wanted.
        exclusive_tag: Guests with this tag that are not in the list are surplus.
        prune: Plan to destroy them.
        concurrency: Threads for reading configurations.
        overcommit: Whether disks may together promise more than a thin storage has.
        wait_until_made: Called, outside check mode, when some of our guests are just being made; returns the cluster afterwards.

    Raises:
        Refused: something may not be; nothing has been written.
    """
    cluster = read_named(client)
    found = [find_guest(wanted, cluster) for wanted in desired]
    busy = [guest.vmid for guest in found if guest and guest.lock in BEING_MADE]
    if busy and wait_until_made:
        cluster = wait_until_made(lambda: read_named(client), busy)
        found = [find_guest(wanted, cluster) for wanted in desired]
    _refuse_hidden(desired, found, cluster)
    sources = {wanted.name: find_source(wanted, cluster) for wanted, guest in zip(desired, found) if guest is None and _to_be_made(wanted)}
    configs, unread = read_configs(client, _to_read(desired, found, sources), cluster, concurrency)
    for source in filter(None, sources.values()):
        if source.vmid in unread:
            raise unread[source.vmid]
    plans = [_plan(wanted, guest, sources.get(wanted.name), cluster, configs, unread) for wanted, guest in zip(desired, found)]
    surplus = _surplus(cluster, desired, found, exclusive_tag)
    if prune:
        plans += [_block(GuestPlan(guest.name or str(guest.vmid), None, guest, guest.node, destroy=True), cluster) for guest in surplus]
    warnings = check_plans(client, cluster, plans, overcommit=overcommit)
    return FleetPlan(plans, surplus, cluster, warnings)


def _refuse_hidden(desired: t.Sequence[Desired], found: t.Sequence[Guest | None], cluster: Cluster) -> None:
    """Refuse to make a guest that may be there already, on a node that is away and whose guests have lost their names."""
    missing = [wanted.name for wanted, guest in zip(desired, found) if guest is None and _to_be_made(wanted) and wanted.vmid is None]
    hidden = hidden_guests(cluster)
    if missing and hidden:
        nodes = ", ".join(sorted({guest.node for guest in hidden}))
        raise Refused(
            f"Guest {missing[0]} was not found, but may be one of those on {nodes}, which is offline and does not tell their names: "
            f"{', '.join(str(guest.vmid) for guest in hidden)}.",
            hint="Bring the node back, or declare each guest's vmid.",
        )


def _to_be_made(wanted: Desired) -> bool:
    return wanted.state != "absent"


def _to_read(desired: t.Sequence[Desired], found: t.Sequence[Guest | None], sources: t.Mapping[str, Guest | None]) -> list[Guest]:
    """Return the guests and templates whose configuration matters, each once."""
    wanted: dict[int, Guest] = {}
    for one, guest in zip(desired, found):
        source = sources.get(one.name)
        if guest and _reads_config(one, guest):
            wanted[guest.vmid] = guest
        elif source:
            wanted[source.vmid] = source
    return list(wanted.values())


def _reads_config(wanted: Desired, guest: Guest) -> bool:
    tags = wanted.config.get("tags")
    other_tags = tags is not None and not tags.same(props.format_tags(guest.tags), tags.value(None))
    return wanted.needs_config or (wanted.state != "absent" and other_tags)


def read_configs(
    client: ProxmoxClient, guests: t.Sequence[Guest], cluster: Cluster, concurrency: int
) -> tuple[dict[int, GuestConfig], dict[int, PlatformError]]:
    """Read configurations with what is pending, in parallel.

    Returns:
        What was read, and why others could not be: their node is away, or they were destroyed a moment ago.
    """

    def read(guest: Guest) -> tuple[int, GuestConfig | None, PlatformError | None]:
        if not cluster.nodes.get(guest.node, True):
            return guest.vmid, None, _away(guest)
        try:
            return guest.vmid, GuestConfig.from_pending(client.get(f"{guest.path}/pending")), None
        except ConnectionFailed as exc:
            # Without a status it is the endpoint itself that nobody reaches.
            if exc.status is None:
                raise
            return guest.vmid, None, exc
        except ApiError as exc:
            if exc.status in (401, 403):
                raise
            return guest.vmid, None, exc

    if len(guests) < 2:
        lines = list(map(read, guests))
    else:
        with concurrent.futures.ThreadPoolExecutor(min(concurrency, len(guests))) as pool:
            lines = list(pool.map(read, guests))
    return {vmid: config for vmid, config, _error in lines if config}, {vmid: error for vmid, _config, error in lines if error}


def _away(guest: Guest) -> PlatformError:
    return ConnectionFailed(
        f"Guest {guest.name} ({guest.vmid}) is on the node {guest.node}, which is offline.",
        hint="Bring the node back, or recover the guest on another one.",
    )


def find_guest(wanted: Desired, cluster: Cluster) -> Guest | None:
    """Return the guest that *wanted* means; ``None`` if there is none.

    Raises:
        Refused: the name or id belongs to another guest, the name exists twice, or it is a container or on another node.
    """
    guest = _by_identity(wanted, cluster)
    if guest is None:
        return None
    what = f"Guest {wanted.name} ({guest.vmid} on {guest.node})"
    if guest.kind != "qemu":
        raise Refused(f"{what} is a container.", hint="This module manages virtual machines only; choose another name.")
    if guest.template:
        raise Refused(f"{what} is a template.", hint="Templates are neither changed, started nor destroyed here; choose another name.")
    if wanted.state != "absent" and wanted.node and wanted.node != guest.node:
        raise Refused(f"{what} is declared on node {wanted.node}.", hint="Migrate it first (qm migrate), or correct node.")
    return guest


def _by_identity(wanted: Desired, cluster: Cluster) -> Guest | None:
    named = cluster.by_name(wanted.name)
    ids = ", ".join(f"{guest.vmid} on {guest.node}" for guest in named)
    if wanted.vmid is not None:
        held = cluster.by_vmid(wanted.vmid)
        if held and held.name != wanted.name:
            raise Refused(
                f"Guest {wanted.name} is declared with id {wanted.vmid}, which belongs to the guest {held.name or '(without name)'}.",
                hint="Correct vmid or name.",
            )
        if held is None and named:
            raise Refused(f"Guest {wanted.name} is declared with id {wanted.vmid}, but has id {ids}.", hint="Correct vmid or name.")
        return held
    if len(named) > 1:
        raise Refused(f"The name {wanted.name} exists {len(named)} times: {ids}.", hint="Give vmid to say which one is meant.")
    return named[0] if named else None


def find_source(wanted: Desired, cluster: Cluster) -> Guest | None:
    """Return the guest to clone.

    Raises:
        Refused: it does not exist, is not the only one, or cannot be cloned in this way.
    """
    if wanted.clone_from is None:
        if not any(props.DRIVE_KEY.match(key) for key in wanted.config):
            raise Refused(f"Guest {wanted.name} does not exist, and there is nothing to make it from.", hint="Give clone_from, or disks.")
        return None
    named = cluster.by_name(wanted.clone_from)
    if not named and wanted.clone_from.isdigit():
        held = cluster.by_vmid(int(wanted.clone_from))
        named = [held] if held else []
    candidates = [guest for guest in named if guest.template] or named
    if not candidates:
        templates = sorted({guest.name for guest in cluster.guests if guest.template})
        raise Refused(
            f"Guest {wanted.name}: there is no template {wanted.clone_from}.",
            hint=f"Templates that can be seen: {', '.join(templates) or 'none'}.",
        )
    if len(candidates) > 1:
        ids = ", ".join(str(guest.vmid) for guest in candidates)
        raise Refused(f"Guest {wanted.name}: the name {wanted.clone_from} exists {len(candidates)} times: {ids}.", hint="Give the id as clone_from.")
    source = candidates[0]
    if source.kind != "qemu":
        raise Refused(f"Guest {wanted.name}: {wanted.clone_from} is a container.", hint="Clone from a virtual machine.")
    if not source.template and wanted.full_clone is False:
        raise Refused(f"Guest {wanted.name}: {wanted.clone_from} is not a template, so a linked clone cannot be made.", hint="Set full_clone: true.")
    if source.lock:
        raise Locked(f"Guest {wanted.name}: the template {source.name} is locked ({source.lock}).", hint="Wait until that operation has ended.")
    return source


def _plan(
    wanted: Desired,
    guest: Guest | None,
    source: Guest | None,
    cluster: Cluster,
    configs: t.Mapping[int, GuestConfig],
    unread: t.Mapping[int, PlatformError],
) -> GuestPlan:
    """Plan for one guest."""
    if wanted.state == "absent":
        return _block(GuestPlan(wanted.name, wanted, guest, guest.node if guest else wanted.node or "", destroy=guest is not None), cluster)
    try:
        plan = _plan_new(wanted, source, cluster, configs) if guest is None else _plan_existing(wanted, guest, configs)
    except Refused as exc:
        prefix = f"Guest {wanted.name}: "
        raise Refused(exc.message if exc.message.startswith("Guest ") else prefix + exc.message, hint=exc.hint) from None
    plan.power = plan.power or plan_power(wanted, guest)
    if wanted.pool and (guest is None or guest.pool != wanted.pool):
        plan.pool = wanted.pool
    plan.blocked = unread.get(guest.vmid) if guest else None
    return _block(plan, cluster)


def _plan_existing(wanted: Desired, guest: Guest, configs: t.Mapping[int, GuestConfig]) -> GuestPlan:
    config = configs.get(guest.vmid)
    plan = GuestPlan(wanted.name, wanted, guest, guest.node)
    if config:
        plan.config = plan_config(wanted, config.values)
        plan.pending = sorted(config.pending)
        if wanted.reboot and plan.pending and guest.status == "running" and wanted.state != "stopped":
            plan.power = "reboot"
    return plan


def _plan_new(wanted: Desired, source: Guest | None, cluster: Cluster, configs: t.Mapping[int, GuestConfig]) -> GuestPlan:
    node = wanted.node or (source.node if source else "") or _only_node(cluster)
    plan = GuestPlan(wanted.name, wanted, None, node, source=source, create=True)
    values: dict[str, str] = {}
    if source:
        has = configs[source.vmid].values
        plan.full_clone = not source.template if wanted.full_clone is None else wanted.full_clone
        plan.clone_storage = clone_storage(wanted, has, plan.full_clone)
        plan.source_storage = min(disk_sizes(has), default="")
        plan.copies = disk_sizes(has, plan.clone_storage) if plan.full_clone else {}
        values = project_clone(has, plan.clone_storage)
    plan.config = plan_config(wanted, values, existing=False)
    return plan


def _only_node(cluster: Cluster) -> str:
    """Return the node of a cluster of one."""
    online = sorted(name for name, up in cluster.nodes.items() if up)
    if len(online) != 1:
        raise Refused("node is not given, and the cluster has several.", hint=f"Nodes: {', '.join(online) or 'none is visible'}.")
    return online[0]


def _block(plan: GuestPlan, cluster: Cluster) -> GuestPlan:
    """Say why a guest that has to be changed cannot be now; the others are done all the same."""
    guest = plan.guest
    if plan.blocked or guest is None or not plan.changed:
        return plan
    if not cluster.nodes.get(guest.node, True):
        plan.blocked = _away(guest)
    elif guest.lock and guest.lock not in BEING_MADE:
        plan.blocked = Locked(
            f"Guest {plan.name} ({guest.vmid} on {guest.node}) has to be changed but is locked ({guest.lock}).",
            hint=f"Wait until the {guest.lock} has ended; if nothing is running, unlock it with: qm unlock {guest.vmid}.",
        )
    return plan


def _surplus(
    cluster: Cluster, desired: t.Sequence[Desired], found: t.Sequence[Guest | None], exclusive_tag: str | None
) -> list[Guest]:
    """Return virtual machines with the tag that nobody listed; templates never."""
    if not exclusive_tag:
        return []
    listed = {guest.vmid for guest in found if guest} | {wanted.vmid for wanted in desired if wanted.vmid}
    names = {wanted.name for wanted in desired}
    return [
        guest
        for guest in cluster.guests
        if guest.kind == "qemu"
        and not guest.template
        and exclusive_tag.lower() in guest.tags
        and guest.vmid not in listed
        and guest.name not in names
    ]
