# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Which archive is restored as what, and what may not be. Reads only."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, NotFound, PermissionDenied, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.archives import (
    Archive,
    BackupStorage,
    backup_storage,
    choose_archive,
    read_archives,
)
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import find_guest, refuse_locked, title
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.drift import find_drift, parse_config
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.ids import IdAllocator
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.restore import Target, check_overrides
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.verify import Report

TEST_TAG = "restore-test"
Params = t.Mapping[str, t.Any]


@dataclasses.dataclass
class RestorePlan:
    """What is going to be restored."""

    target: Target
    original: Guest | None
    report: Report
    next_id: t.Callable[[], int] | None
    overwritten: Guest | None = None

    def diff(self) -> DiffTracker:
        """Return what will have changed: nothing after a test."""
        tracker = DiffTracker()
        if not self.target.marker:
            before = f"{self.overwritten.name} as it was" if self.overwritten else None
            tracker.add(f"guest {self.target.vmid}", before=before, after=f"{self.target.name} from {self.target.archive.volid}")
        return tracker

    def as_result(self) -> dict[str, t.Any]:
        """Return the findings for a module's result."""
        report = self.report
        return {
            "verdict": report.verdict,
            "archive": self.target.archive.as_result(),
            "guest": self.original.name if self.original else None,
            "vmid": report.vmid,
            "node": self.target.node,
            "checks": report.checks,
            "drift": report.drift,
            "rto_seconds": report.rto_seconds,
            "seconds": report.seconds,
            "taken_away": report.taken_away,
            "kept": "restore" in report.seconds and not report.destroyed,
        }


def plan_restore(client: ProxmoxClient, params: Params, *, marker: str) -> RestorePlan:
    """Choose the archive, compare its configuration, and refuse what must not be.

    Args:
        client: The endpoint.
        params: Options of ``proxmox_restore``.
        marker: For the notes of a guest that is restored for a test; empty for one that is kept.

    Raises:
        NotFound: no such guest, storage or archive.
        Refused: the archive is not good enough, or a guest would be overwritten without leave.
    """
    _check_options(params)
    overrides = check_overrides(params["overrides"])
    lines = client.get("cluster/resources")
    cluster = Cluster.from_api(lines)
    archive, storage, original = _choose(client, cluster, lines, params)
    report = Report()
    config = parse_config(client.get(f"nodes/{archive.node}/vzdump/extractconfig", volume=archive.volid) or "")
    if not config:
        raise Refused(f"{archive.volid} has no configuration.", hint="It is no backup of a guest, or damaged.")
    if params["compare_config"]:
        _compare(client, original, config, params["ignore_drift"], report)
    node = _node(params["node"], archive, storage, original)
    ids = IdAllocator(client)
    ids.avoid(guest.vmid for guest in cluster.guests)
    overwritten = _overwritten(cluster, params)
    if overwritten:
        node = overwritten.node
    vmid = params["vmid"] or ids.allocate()
    keep = not marker
    backup_name = config.get("hostname" if archive.kind == "lxc" else "name")
    target = Target(
        archive=archive,
        config=config,
        node=node,
        vmid=vmid,
        name=params["name"] or (backup_name if keep else f"{TEST_TAG}-{archive.vmid}"),
        network=params["network"],
        bridge=params["isolated_bridge"],
        storage=params["target_storage"],
        marker=marker,
        unique=params["unique"] if params["unique"] is not None else not (keep and params["network"] == "keep"),
        tags=params["tags"] if params["tags"] is not None else ([] if keep else [TEST_TAG]),
        pool=params["pool"],
        overrides=overrides,
        force=overwritten is not None,
        live=params["live_restore"],
        bwlimit=params["bwlimit"],
    )
    return RestorePlan(target, original, report, None if params["vmid"] else ids.allocate, overwritten)


def _check_options(params: Params) -> None:
    """Refuse options that contradict each other."""
    if params["network"] == "keep" and not params["keep"]:
        raise Refused(
            "A guest that is restored for a test must not be on the original's network.", hint="Use network: down or isolated, or set keep: true."
        )
    if params["force"] and not (params["keep"] and params["vmid"]):
        raise Refused("force overwrites a guest for good.", hint="Give its id as vmid and set keep: true, or leave force out.")
    if not params["archive"] and not params["storage"]:
        raise Refused("Neither storage nor archive says where the backup is.", hint="Give one of them.")
    names = [one["name"] for one in params["commands"]]
    if len(set(names)) != len(names) or any(not one["argv"] for one in params["commands"]):
        raise Refused("commands has a name twice, or one without a program.", hint="Give each a name of its own and its argv.")
    for one in params["commands"]:
        try:
            re.compile(one["stdout"] or "")
        except re.error as exc:
            raise Refused(f"stdout of the command {one['name']} is no regular expression: {exc}.", hint="Correct it.") from None


def _choose(client: ProxmoxClient, cluster: Cluster, lines: t.Any, params: Params) -> tuple[Archive, BackupStorage, Guest | None]:
    """Return the archive, its storage, and the guest as it is today."""
    volid = params["archive"]
    storage = backup_storage(lines, volid.partition(":")[0] if volid else params["storage"])
    if volid:
        named = [one for one in read_archives(client, storage) if one.volid == volid]
        if not named:
            raise NotFound(f"There is no archive {volid}.", hint="proxmox_backup_info lists those there are.")
        original = cluster.by_vmid(named[0].vmid)
        what = f"guest {named[0].vmid}"
    else:
        original = _original(cluster, params["guest"])
        vmid = original.vmid if original else int(params["guest"])
        what = f"guest {original.name if original else vmid} on {storage.name}"
        named = [one for one in read_archives(client, storage, vmid=vmid) if original is None or one.kind == original.kind]
    archive = choose_archive(named, what=what, max_age=params["max_age"], verified=params["require_verified"])
    return archive, storage, original


def _original(cluster: Cluster, wanted: str) -> Guest | None:
    try:
        return find_guest(cluster, wanted)
    except NotFound:
        if wanted.isdigit():
            return None
        raise


def _compare(client: ProxmoxClient, original: Guest | None, config: t.Mapping[str, str], ignore: t.Sequence[str], report: Report) -> None:
    """List what differs from the guest as it is. A guest that is gone has nothing to compare with."""
    if original is None:
        return
    try:
        live = client.get(f"{original.path}/config")
    except PermissionDenied:
        raise
    except ApiError as exc:
        report.add("config", None, expected="the guest's configuration can be read", actual=exc.message)
        return
    report.drift = find_drift(config, live, ignore=ignore)


def _node(wanted: str | None, archive: Archive, storage: BackupStorage, original: Guest | None) -> str:
    readers = storage.nodes if storage.shared else (archive.node,)
    if wanted:
        if wanted not in readers:
            raise Refused(f"Node {wanted} cannot read {archive.volid}.", hint=f"Nodes that can: {', '.join(readers)}.")
        return wanted
    return original.node if original and original.node in readers else archive.node


def _overwritten(cluster: Cluster, params: Params) -> Guest | None:
    """Return the guest that is going to be overwritten.

    Raises:
        Refused: there is one and it is not allowed, or not off.
    """
    held = cluster.by_vmid(params["vmid"]) if params["vmid"] else None
    if held is None:
        return None
    if not params["force"]:
        raise Refused(f"{title(held)} has the id {params['vmid']} already; it is not overwritten.", hint="Leave vmid out, or give a free one.")
    if params["confirm"] != held.name:
        raise Refused(
            f"{title(held)} would be overwritten, and confirm is {params['confirm']!r}.",
            hint=f"All its data is lost. Set confirm: {held.name} if that is meant.",
        )
    if held.status != "stopped":
        raise Refused(f"{title(held)} runs, and would be overwritten.", hint="Stop it first.")
    refuse_locked(held, "restore over it")
    return held
