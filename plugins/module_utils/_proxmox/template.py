# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Templates: made from a disk image or by converting a guest, compared by their configuration, removed."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.apply import Applier
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.census import read_cluster
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session, find_guest, refuse_locked, title
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import Desired, desired_guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import DigestMismatch
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.fleet import FleetPlan, plan_fleet
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest, GuestConfig
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import ConfigPlan, plan_config
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.drives import Disk

DESTROY = {"purge": 1, "destroy-unreferenced-disks": 1}


@dataclasses.dataclass
class Image:
    """A disk image that the node fetches before a template is made from it.

    Args:
        url: Where from.
        storage: A storage with the content ``import``.
        filename: Its name there.
        checksum: Hexadecimal.
        algorithm: Of the checksum.
        validate_certs: Whether the web server has to prove who it is.
    """

    url: str
    storage: str
    filename: str
    checksum: str | None = None
    algorithm: str = "sha256"
    validate_certs: bool = True

    @property
    def volid(self) -> str:
        """The volume it becomes."""
        return f"{self.storage}:import/{self.filename}"


@dataclasses.dataclass
class TemplatePlan:
    """What there is to do about one template."""

    name: str
    guest: Guest | None
    action: str | None
    desired: Desired
    made: FleetPlan | None = None
    config: ConfigPlan = dataclasses.field(default_factory=ConfigPlan)
    download: Image | None = None
    node: str = ""

    @property
    def changed(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.action or self.config.writes)

    def diff(self) -> DiffTracker:
        """Return the differences."""
        tracker = DiffTracker()
        if self.made:
            tracker = self.made.diff()
            tracker.before.pop(f"{self.name}.status", None)
            tracker.after.pop(f"{self.name}.status", None)
        for key, before, after in [] if self.made else self.config.changes:
            tracker.add(f"{self.name}.{key}", before=before, after=after)
        if self.download:
            tracker.add("image", before=None, after=self.download.volid)
        if self.action == "destroy":
            tracker.add(f"{self.name}.template", before=True, after=None)
        elif self.action:
            tracker.add(f"{self.name}.template", before=None if self.made else False, after=True)
        return tracker


def plan_template(session: Session, options: t.Mapping[str, t.Any], *, state: str, convert: bool, image: Image | None, confirm: str | None) -> TemplatePlan:
    """Find out what there is to do.

    Args:
        session: The endpoint.
        options: Those of a guest of ``proxmox_fleet``.
        state: ``present`` or ``absent``.
        convert: Whether a guest of that name that is no template becomes one.
        image: Fetched if the template has to be made and it is not there.
        confirm: The template's name, to remove it.

    Raises:
        Refused: it may not be; nothing was written.
        Locked: another operation holds it.
    """
    client, name = session.client, str(options["name"])
    desired = desired_guest({**options, "state": "present"})
    cluster = read_cluster(client)
    guest = _named(cluster, name)
    if state == "absent":
        return _plan_absent(name, desired, guest, confirm)
    if guest is None:
        plan = TemplatePlan(name, None, "create", desired, made=plan_fleet(client, [desired]))
        plan.node = plan.made.guests[0].node if plan.made else ""
        plan.download = image if image and not _is_there(session, plan.node, image) else None
        return plan
    if guest.kind != "qemu":
        raise Refused(f"{title(guest)} is no virtual machine.", hint="Choose another name.")
    # What a template was made from cannot be told from it, and its disks do not grow any more.
    rest = {key: want for key, want in desired.config.items() if not isinstance(want, Disk)}
    values = GuestConfig.from_pending(client.get(f"{guest.path}/pending")).values
    plan = TemplatePlan(name, guest, None, dataclasses.replace(desired, config=rest), config=plan_config(dataclasses.replace(desired, config=rest), values))
    if not guest.template:
        _check_convert(guest, convert)
        plan.action = "convert"
    if plan.changed:
        refuse_locked(guest, "change of it")
    return plan


def _named(cluster: Cluster, name: str) -> Guest | None:
    return find_guest(cluster, name) if cluster.by_name(name) else None


def _plan_absent(name: str, desired: Desired, guest: Guest | None, confirm: str | None) -> TemplatePlan:
    if guest is None:
        return TemplatePlan(name, None, None, desired)
    if not guest.template:
        raise Refused(f"{title(guest)} is no template; it is not destroyed here.", hint="Use proxmox_vm with state: absent.")
    if confirm != name:
        raise Refused(f"The template {name} would be destroyed, and confirm is {confirm!r}.", hint=f"Set confirm: {name} if that is meant.")
    refuse_locked(guest, "removal of it")
    return TemplatePlan(name, guest, "destroy", desired)


def _check_convert(guest: Guest, convert: bool) -> None:
    if not convert:
        raise Refused(
            f"{title(guest)} is no template.",
            hint="Set convert: true to make it one for good (a run that was cut off leaves such a guest), or choose another name.",
        )
    if guest.status != "stopped":
        raise Refused(f"{title(guest)} runs and would become a template.", hint="Shut it down first.")


def _is_there(session: Session, node: str, image: Image) -> bool:
    lines = session.client.get(f"nodes/{node}/storage/{image.storage}/content", content="import")
    return any(line.get("volid") == image.volid for line in lines or [])


def apply_template(session: Session, plan: TemplatePlan) -> Guest | None:
    """Do what the plan says and return the template.

    Raises:
        TaskFailed: with the log.
        PlatformError: anything else.
    """
    client = session.client
    if plan.action == "destroy" and plan.guest:
        session.wait(client.delete(plan.guest.path, DESTROY), f"Destroying the template {plan.name}")
        return None
    if plan.download:
        _fetch(session, plan.node, plan.download)
    guest = _make(session, plan) if plan.action == "create" else plan.guest
    if guest is None:
        return None
    if plan.action != "create" and plan.config.writes:
        _configure(session, guest, plan.desired)
    if plan.action in ("create", "convert"):
        session.wait(client.post(f"{guest.path}/template"), f"Making {title(guest)} a template")
    return dataclasses.replace(guest, template=True)


def _fetch(session: Session, node: str, image: Image) -> None:
    upid = session.client.post(
        f"nodes/{node}/storage/{image.storage}/download-url",
        **{
            "content": "import",
            "filename": image.filename,
            "url": image.url,
            "checksum": image.checksum,
            "checksum-algorithm": image.algorithm if image.checksum else None,
            "verify-certificates": None if image.validate_certs else 0,
        },
    )
    session.wait(upid, f"Fetching {image.url} to {image.volid}")


def _make(session: Session, plan: TemplatePlan) -> Guest:
    if plan.made is None:
        raise PlatformError(f"There is no plan to make the guest {plan.name}.")
    applier = Applier(session.client, timeout=session.timeout, clock=session.clock, sleep=session.sleep)
    outcome = applier.run(plan.made.guests, threads=1, cluster=plan.made.cluster)[0]
    if outcome.error or outcome.vmid is None:
        raise outcome.error or PlatformError(f"The guest {plan.name} was not made.")
    return Guest(outcome.vmid, plan.name, plan.node, "qemu", "stopped", False, frozenset(), plan.desired.pool, None)


def _configure(session: Session, guest: Guest, desired: Desired) -> None:
    """Write the smallest set of keys with the digest of what was read; once more if that was stale."""
    for last in (False, True):
        config = GuestConfig({}, {}).with_digest_of(session.client.get(f"{guest.path}/config"))
        todo = plan_config(desired, config.values)
        if not todo.writes:
            return
        try:
            upid = session.client.post(f"{guest.path}/config", digest=config.digest, delete=",".join(todo.delete) or None, **todo.set)
            session.wait(upid, f"Configuring {title(guest)}")
            return
        except DigestMismatch:
            if last:
                raise
