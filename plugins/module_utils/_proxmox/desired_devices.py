# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Disks and network devices, from a guest's options to what is wanted of them."""

from __future__ import annotations

import re

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired_fields import Options, boolean, fields_of, integer
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.drives import CdRom, Disk
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wants import Network, Want

_MAC = re.compile(r"^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}$")
_DISK_FIELDS = frozenset(
    {"storage", "size", "size_gib", "format", "import_from", "iso", "move", "cache", "discard", "iothread", "ssd", "backup", "options"}
)
_NET_FIELDS = frozenset({"model", "bridge", "mac", "tag", "firewall", "link_down", "mtu", "queues", "rate", "trunks"})


def drives(by_slot: Options) -> dict[str, Want]:
    """Disks by slot."""
    found: dict[str, Want] = {}
    for key, given in by_slot.items():
        if not props.DRIVE_KEY.match(str(key)):
            raise Refused(f"There is no disk slot {key}.", hint="Slots are ide0-3, sata0-5, scsi0-30, virtio0-15, efidisk0 and tpmstate0.")
        fields = fields_of(f"Disk {key}", given, _DISK_FIELDS)
        if "iso" in fields:
            found[str(key)] = _cd_rom(str(key), fields)
            continue
        options = {str(name): props.scalar(value) for name, value in (fields.get("options") or {}).items()}
        for name in ("format", "cache"):
            if name in fields:
                options[name] = str(fields[name])
        for name in ("iothread", "ssd", "backup"):
            if name in fields:
                options[name] = props.scalar(boolean(f"Disk {key}: {name}", fields[name]))
        if "discard" in fields:
            options["discard"] = "on" if boolean(f"Disk {key}: discard", fields["discard"]) else "ignore"
        if "import_from" in fields:
            options["import-from"] = str(fields["import_from"])
        found[str(key)] = Disk(str(key), fields.get("storage"), _size(key, fields), options, boolean(f"Disk {key}: move", fields.get("move", False)))
    return found


def _size(key: str, fields: Options) -> int | None:
    """Return the size in bytes of a disk; ``size`` is text as Proxmox prints it, and without a unit GiB."""
    if "size" in fields and "size_gib" in fields:
        raise Refused(f"Disk {key} has size and size_gib.", hint="Give one.")
    if "size_gib" in fields:
        return integer(f"Disk {key}: size_gib", fields["size_gib"], 1, 128 * 1024) * props.GIB
    if "size" not in fields:
        return None
    text = props.scalar(fields["size"])
    size = props.parse_size(f"{text}G" if text.replace(".", "", 1).isdigit() else text)
    if size < 1024**2 or size > 128 * 1024 * props.GIB or size % 1024:
        raise Refused(f"Disk {key}: size {fields['size']!r} is not from 1M to 128T.", hint="Write it as 20G; a number alone is GiB.")
    return size


def _cd_rom(key: str, fields: Options) -> CdRom:
    """A CD-ROM drive; the other fields of a disk make no sense there."""
    if len(fields) > 1 or key.startswith(("virtio", "efidisk", "tpmstate")):
        raise Refused(f"Disk {key} has iso and cannot have {', '.join(sorted(set(fields) - {'iso'})) or 'it in this slot'}.", hint="Use ide2: {iso: …}.")
    volume = str(fields["iso"])
    if volume != "none" and not props.storage_of(volume):
        raise Refused(f"Disk {key}: iso is {volume!r}.", hint="Write it as local:iso/debian.iso, or none for an empty drive.")
    return CdRom(key, volume)


def networks(by_slot: Options) -> dict[str, Want]:
    """Network devices by slot."""
    found: dict[str, Want] = {}
    for key, given in by_slot.items():
        if not props.NET_KEY.match(str(key)):
            raise Refused(f"There is no network slot {key}.", hint="Slots are net0 to net31.")
        where = f"Network {key}"
        fields = fields_of(where, given, _NET_FIELDS)
        wanted: dict[str, str] = {}
        if "model" in fields:
            if fields["model"] not in props.NET_MODELS:
                raise Refused(f"{where} has the unknown model {fields['model']}.", hint=f"Models: {', '.join(sorted(props.NET_MODELS))}.")
            wanted["model"] = fields["model"]
        if "mac" in fields:
            if not _MAC.match(str(fields["mac"])):
                raise Refused(f"{where}: {fields['mac']!r} is not a MAC address.", hint="Write it as BC:24:11:00:00:01.")
            wanted["macaddr"] = str(fields["mac"]).upper()
        if "bridge" in fields:
            wanted["bridge"] = str(fields["bridge"])
        for name, low, high in (("tag", 0, 4094), ("mtu", 0, 65520), ("queues", 0, 64)):
            if name in fields:
                wanted[name] = str(integer(f"{where}: {name}", fields[name], low, high) or "")
        for name in ("firewall", "link_down"):
            if name in fields:
                wanted[name] = "1" if boolean(f"{where}: {name}", fields[name]) else ""
        for name in ("rate", "trunks"):
            if name in fields:
                wanted[name] = props.scalar(fields[name])
        found[str(key)] = Network(wanted)
    return found
