# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""What a user wants of one drive. Pure, like the other wants."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props

# What a drive has that doesn't say so: qemu-server's drive options.
_DRIVE_DEFAULTS = {
    "backup": "1",
    "cache": "none",
    "detect_zeroes": "1",
    "discard": "ignore",
    "iothread": "0",
    "replicate": "1",
    "ro": "0",
    "snapshot": "0",
    "ssd": "0",
}
# The server itself chooses the size of these.
SMALL_DISKS = frozenset({"efidisk0", "tpmstate0"})


@dataclasses.dataclass(frozen=True)
class CdRom:
    """What lies in a CD-ROM drive: a volume such as ``local:iso/debian.iso``, or ``none``."""

    key: str
    volume: str

    def value(self, current: str | None) -> str | None:
        """The drive with that volume in it.

        Raises:
            Refused: it is a disk, or the cloud-init drive.
        """
        if current is not None and (props.parse_drive(current)[1].get("media") != "cdrom" or props.is_cloud_init_drive(current)):
            raise Refused(f"{self.key} is no CD-ROM drive, so nothing can be put into it.", hint="Use another slot for iso.")
        return f"{self.volume},media=cdrom"

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare volumes."""
        if left is None or right is None:
            return left is right
        return props.parse_drive(left)[0] == props.parse_drive(right)[0]

    def show(self, value: str | None) -> t.Any:
        """As it is."""
        return value


@dataclasses.dataclass(frozen=True)
class Disk:
    """A disk: its storage and size are checked, never changed by a write of the configuration; options are merged.

    Args:
        key: Slot, such as ``scsi0``.
        storage: Where it is, or will be allocated.
        size: Bytes.
        options: Drive options; empty ones are removed.
        move: Whether it may be moved to *storage*.
    """

    key: str
    storage: str | None = None
    size: int | None = None
    options: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    move: bool = False

    def value(self, current: str | None) -> str | None:
        """The current drive with the wanted options, or what allocates a new one."""
        if current is None:
            return self._allocation()
        volume, options = props.parse_drive(current)
        options.update({key: value for key, value in self.options.items() if key not in ("format", "import-from")})
        return props.format_drive(volume, {key: value for key, value in options.items() if value != ""})

    def _allocation(self) -> str:
        options = {key: value for key, value in self.options.items() if value != ""}
        if not self.storage or not (self.size or "import-from" in options):
            raise Refused(
                f"Disk {self.key} does not exist, and storage and size_gib are needed to make it.", hint=f"Give both for {self.key}."
            )
        if "import-from" in options:
            return props.format_drive(f"{self.storage}:0", options)
        return props.format_drive(f"{self.storage}:{props.scalar((self.size or 0) / props.GIB)}", options)

    def same(self, left: str | None, right: str | None) -> bool:
        """Compare volume and options; the size has its own request."""
        if left is None or right is None:
            return left is right
        return self._comparable(left) == self._comparable(right)

    @staticmethod
    def _comparable(text: str) -> tuple[str, dict[str, str]]:
        volume, options = props.parse_drive(text)
        options.pop("size", None)
        return volume, {key: value for key, value in options.items() if not props.same_value(value, _DRIVE_DEFAULTS.get(key))}

    def show(self, value: str | None) -> t.Any:
        """The drive, with a placeholder for a volume that the server makes."""
        if value is None:
            return None
        volume, options = props.parse_drive(value)
        storage, _separator, name = volume.partition(":")
        if not name.replace(".", "", 1).isdigit():
            return value
        if "import-from" not in options:
            options["size"] = props.format_size(int(float(name) * props.GIB))
        return props.format_drive(f"{storage}:{props.GENERATED}", options)

    def growth(self, current: str | None) -> tuple[int | None, int] | None:
        """Return sizes in bytes (now, wanted) if an existing disk has to grow.

        Raises:
            Refused: it would have to shrink or to move.
        """
        if current is None:
            return None
        volume, options = props.parse_drive(current)
        storage = props.storage_of(volume)
        if self.storage and storage != self.storage and not self.move:
            raise Refused(
                f"Disk {self.key} lies on storage {storage}, not on {self.storage}, and is not moved unless that is asked for.",
                hint=f"Set move: true for {self.key} to move it, or storage: {storage}.",
            )
        if self.size is None or self.key in SMALL_DISKS:
            return None
        now = props.parse_size(options["size"]) if "size" in options else None
        if now is not None and now > self.size:
            raise Refused(
                f"Disk {self.key} has {props.format_size(now)} and cannot be made smaller ({props.format_size(self.size)}).",
                hint="Disks only grow: raise size_gib, or make a new guest.",
            )
        return None if now == self.size else (now, self.size)
