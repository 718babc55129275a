# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What has to be done to one guest. Pure functions: they get what is and what is wanted, and ask nobody."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired import Desired
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.drives import SMALL_DISKS, Disk
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wants import Password

Values = t.Mapping[str, str]

# A clone doesn't get these from its source.
_NOT_CLONED = frozenset({"template", "vmgenid", "meta", "lock", "parent", "digest"})
NEXT_FREE = "(next free id)"


@dataclasses.dataclass(frozen=True)
class Resize:
    """A disk that has to grow; sizes in bytes."""

    disk: str
    before: int | None
    after: int
    storage: str | None = None


@dataclasses.dataclass(frozen=True)
class Move:
    """A disk that has to go to another storage."""

    disk: str
    storage: str
    size: int = 0


@dataclasses.dataclass
class ConfigPlan:
    """Changes of one configuration: the smallest set of keys."""

    set: dict[str, str] = dataclasses.field(default_factory=dict)
    delete: list[str] = dataclasses.field(default_factory=list)
    resizes: list[Resize] = dataclasses.field(default_factory=list)
    moves: list[Move] = dataclasses.field(default_factory=list)
    # (key, before, after) for the diff.
    changes: list[tuple[str, t.Any, t.Any]] = dataclasses.field(default_factory=list)

    @property
    def writes(self) -> bool:
        """Whether the configuration has to be written (growing and moving disks are requests of their own)."""
        return bool(self.set or self.delete)

    @property
    def changes_anything(self) -> bool:
        """Whether anything has to be done."""
        return bool(self.set or self.delete or self.resizes or self.moves)


@dataclasses.dataclass
class GuestPlan:
    """Everything that has to be done to one guest, in this order: destroy; or make, move, configure, grow, pool, power.

    ``blocked`` is why nothing of it can be done now, though it may be later: a lock, a node that is away.
    """

    name: str
    desired: Desired | None
    guest: Guest | None
    node: str
    source: Guest | None = None
    full_clone: bool = False
    clone_storage: str | None = None
    # Where the source's disks lie, and the bytes that a full clone copies by storage.
    source_storage: str = ""
    copies: dict[str, int] = dataclasses.field(default_factory=dict)
    create: bool = False
    destroy: bool = False
    config: ConfigPlan = dataclasses.field(default_factory=ConfigPlan)
    pool: str | None = None
    power: str | None = None
    pending: list[str] = dataclasses.field(default_factory=list)
    blocked: PlatformError | None = None

    @property
    def changed(self) -> bool:
        """Whether anything has to be done."""
        return bool(self.create or self.destroy or self.config.changes_anything or self.pool or self.power)

    @property
    def status(self) -> str:
        """Power state after the plan."""
        if self.destroy or (self.guest is None and not self.create):
            return "absent"
        if self.power:
            return "stopped" if self.power == "shutdown" else "running"
        return self.guest.status if self.guest else "stopped"

    def add_to(self, diff: DiffTracker) -> None:
        """Write this guest's changes into *diff*, under ``<name>.<key>``."""
        if self.blocked:
            return
        if self.create:
            vmid = self.desired.vmid if self.desired and self.desired.vmid is not None else NEXT_FREE
            diff.add(f"{self.name}.vmid", before=None, after=vmid)
            diff.add(f"{self.name}.node", before=None, after=self.node)
            if self.source:
                diff.add(f"{self.name}.clone_from", before=None, after=self.source.name)
        if self.destroy and self.guest:
            diff.add(f"{self.name}.vmid", before=self.guest.vmid, after=None)
        if self.power == "reboot":
            diff.add(f"{self.name}.pending", before=list(self.pending), after=[])
        elif self.create or self.destroy or self.power:
            diff.add(f"{self.name}.status", before=self.guest.status if self.guest else "absent", after=self.status)
        if self.pool:
            diff.add(f"{self.name}.pool", before=self.guest.pool if self.guest else None, after=self.pool)
        for key, before, after in self.config.changes:
            diff.add(f"{self.name}.{key}", before=None if self.create else before, after=after)


def plan_config(desired: Desired, values: Values, *, existing: bool = True) -> ConfigPlan:
    """Compare a configuration with what is wanted of it.

    Args:
        desired: What is wanted.
        values: The configuration; for a new guest, the one that it will begin with.
        existing: Whether it is that of a guest that was there before.

    Raises:
        Refused: a disk would have to shrink or move, or cannot be made; or the guest would lose the disk that it boots from.
    """
    plan = ConfigPlan()
    for key, want in sorted(desired.config.items()):
        current = values.get(key)
        if isinstance(want, Disk):
            _plan_disk(key, want, current, plan)
        wanted = want.value(current)
        if want.same(current, wanted) and (existing or not isinstance(want, Password)):
            continue
        if wanted is None:
            plan.delete.append(key)
        else:
            plan.set[key] = wanted
        plan.changes.append((key, want.show(current), want.show(wanted)))
    _plan_cloud_init_drive(desired, values, plan)
    if existing:
        check_boot(values, plan)
    return plan


def _plan_disk(key: str, want: Disk, current: str | None, plan: ConfigPlan) -> None:
    """Add what has requests of its own: growing, and moving where that is asked for."""
    growth = want.growth(current)
    volume, options = props.parse_drive(current or "")
    lies = props.storage_of(volume)
    if growth:
        plan.resizes.append(Resize(key, *growth, want.storage or lies))
        before, after = growth
        plan.changes.append((f"{key}.size", None if before is None else props.format_size(before), props.format_size(after)))
    if want.storage and lies and lies != want.storage:
        plan.moves.append(Move(key, want.storage, props.parse_size(options.get("size", "0"))))
        plan.changes.append((f"{key}.storage", lies, want.storage))


def boot_disk(values: Values) -> str | None:
    """Return the slot of the disk that a guest boots from; ``None`` if it has none."""
    order = props.parse_properties(values.get("boot", ""), "legacy").get("order", "").split(";")
    disks = [key for key, text in values.items() if props.DRIVE_KEY.match(key) and not is_removable(text) and key not in SMALL_DISKS]
    first = [key for key in (*order, values.get("bootdisk", "")) if key in disks]
    return first[0] if first else min(disks, default=None) if "order" not in values.get("boot", "") else None


def check_boot(values: Values, plan: ConfigPlan) -> None:
    """Refuse what takes the disk that an existing guest boots from away from it, or puts it on another controller."""
    disk = boot_disk(values)
    if disk is None:
        return
    if disk in plan.delete:
        raise Refused(f"It boots from {disk}, which is to be removed.", hint=f"Let it boot from another disk first, or keep {disk}.")
    if disk.startswith("scsi") and "scsihw" in plan.set:
        before, after = values.get("scsihw", "lsi"), plan.set["scsihw"]
        raise Refused(
            f"It boots from {disk}, whose controller would change from {before} to {after}; its system may not find the disk then.",
            hint=f"Declare scsihw: {before}, or make a new guest.",
        )
    order = props.parse_properties(plan.set.get("boot", ""), "legacy").get("order", "").split(";")
    for key in filter(None, order):
        if key not in values and key not in plan.set or key in plan.delete:
            raise Refused(f"The boot order names {key}, which it does not have.", hint="Correct options.boot.")
    new = [key for key in order if key in plan.set and key not in values and props.DRIVE_KEY.match(key) and "media=cdrom" not in plan.set[key]]
    if new and disk not in order[: order.index(new[0])]:
        raise Refused(
            f"It boots from {disk} and would boot from {new[0]}, a new disk with nothing on it.",
            hint=f"A disk does not change its controller here; keep {disk} in the boot order, or make a new guest.",
        )


def _plan_cloud_init_drive(desired: Desired, values: Values, plan: ConfigPlan) -> None:
    """Add a cloud-init drive where cloud-init is declared and there is none."""
    drives = {key: text for key, text in values.items() if props.DRIVE_KEY.match(key)}
    if not desired.wants_cloud_init or any(props.is_cloud_init_drive(text) for text in drives.values()):
        return
    storage = desired.cloud_init_storage or _first_storage(drives) or _first_storage(plan.set)
    if not storage:
        raise Refused("It has no cloud-init drive, and no disk that says where to put one.", hint="Give cloud_init.storage.")
    slot = next((key for key in ("ide2", "ide0", "ide1", "ide3", "scsi30") if key not in drives and key not in plan.set), None)
    if slot is None:
        raise Refused("It has no cloud-init drive and no free slot for one.", hint="Free ide2.")
    plan.set[slot] = f"{storage}:cloudinit"
    plan.changes.append((slot, None, f"{storage}:cloudinit"))


def _first_storage(drives: Values) -> str | None:
    """Return the storage of the first drive that is no CD-ROM."""
    for key in sorted(drives):
        volume, options = props.parse_drive(drives[key]) if props.DRIVE_KEY.match(key) else ("", {})
        storage = props.storage_of(volume)
        if storage and options.get("media") != "cdrom":
            return storage
    return None


def project_clone(values: Values, storage: str | None) -> dict[str, str]:
    """Return the configuration that a clone will have: new addresses, same options, disks perhaps on another *storage*."""
    projected: dict[str, str] = {}
    for key, value in values.items():
        if key in _NOT_CLONED or key.startswith("unused"):
            continue
        if props.NET_KEY.match(key):
            projected[key] = props.format_net({**props.parse_net(value), "macaddr": props.GENERATED})
        elif storage and props.DRIVE_KEY.match(key) and not is_removable(value):
            volume, options = props.parse_drive(value)
            projected[key] = props.format_drive(f"{storage}:{volume.partition(':')[2]}", options)
        else:
            projected[key] = value
    return projected


def is_removable(text: str) -> bool:
    """Whether a drive is a CD-ROM (the cloud-init drive is one)."""
    volume, options = props.parse_drive(text)
    return options.get("media") == "cdrom" or volume in ("none", "cdrom")


def clone_storage(desired: Desired, values: Values, full: bool) -> str | None:
    """Return the storage a full clone has to go to, where the declared one is not the source's.

    Raises:
        Refused: the disks are declared on several storages, or the clone is a linked one.
    """
    moved = set()
    for key, want in desired.config.items():
        if isinstance(want, Disk) and want.storage and key in values:
            if props.storage_of(props.parse_drive(values[key])[0]) != want.storage:
                moved.add(want.storage)
    if not moved:
        return None
    if not full:
        raise Refused(f"A linked clone stays on its template's storage and cannot be put on {', '.join(sorted(moved))}.", hint="Set full_clone: true.")
    unmoved = [key for key, text in values.items() if props.DRIVE_KEY.match(key) and not is_removable(text) and key not in desired.config]
    if len(moved) > 1 or unmoved:
        raise Refused("A clone puts all its disks on one storage.", hint="Declare the same storage for every disk of the template.")
    return moved.pop()


def disk_sizes(values: Values, storage: str | None = None) -> dict[str, int]:
    """Return the bytes of all disks by storage, or all on *storage*."""
    found: dict[str, int] = {}
    for key, text in values.items():
        if props.DRIVE_KEY.match(key) and not is_removable(text):
            volume, options = props.parse_drive(text)
            name = storage or props.storage_of(volume)
            if name and "size" in options:
                found[name] = found.get(name, 0) + props.parse_size(options["size"])
    return found


def plan_power(desired: Desired, guest: Guest | None) -> str | None:
    """Return ``start``, ``shutdown`` or ``None``. A restart for what is pending is planned where that is known."""
    running = guest is not None and guest.status == "running"
    if desired.state == "started" and not running:
        return "start"
    if desired.state == "stopped" and running:
        return "shutdown"
    return None
