# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Proxmox VE's property strings and option values, both ways. Pure functions."""

from __future__ import annotations

import re
import typing as t
import urllib.parse

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

Properties = dict[str, str]

GIB = 1024**3
# What only the server can assign stands in plans and diffs under this name.
GENERATED = "(generated)"

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": GIB, "T": 1024**4}
_SIZE = re.compile(r"^(\d+(?:\.\d+)?)([KMGT]?)$")
_TRUE = frozenset({"1", "yes", "on", "true"})
_FALSE = frozenset({"0", "no", "off", "false"})

DRIVE_KEY = re.compile(r"^(?:ide[0-3]|sata[0-5]|scsi(?:[0-9]|[12][0-9]|30)|virtio(?:[0-9]|1[0-5])|efidisk0|tpmstate0)$")
NET_KEY = re.compile(r"^net(?:[0-9]|[12][0-9]|3[01])$")

# https://pve.proxmox.com/pve-docs/api-viewer/, POST /nodes/{node}/qemu: the "model" property of net[n].
NET_MODELS = frozenset(
    {
        "e1000",
        "e1000-82540em",
        "e1000-82544gc",
        "e1000-82545em",
        "e1000e",
        "i82551",
        "i82557b",
        "i82559er",
        "ne2k_isa",
        "ne2k_pci",
        "pcnet",
        "rtl8139",
        "virtio",
        "vmxnet3",
    }
)

# Keys of a guest's configuration that the user may set through "options". Everything with an option of its own, and what
# only the server may write, is not in here.
OPTION_KEYS = frozenset(
    {
        "acpi",
        "affinity",
        "allow-ksm",
        "amd-sev",
        "arch",
        "args",
        "audio0",
        "autostart",
        "balloon",
        "bios",
        "boot",
        "cicustom",
        "citype",
        "ciupgrade",
        "cpulimit",
        "cpuunits",
        "freeze",
        "hookscript",
        "hotplug",
        "hugepages",
        "intel-tdx",
        "ivshmem",
        "keephugepages",
        "keyboard",
        "kvm",
        "localtime",
        "machine",
        "migrate_downtime",
        "migrate_speed",
        "numa",
        "ostype",
        "protection",
        "reboot",
        "rng0",
        "scsihw",
        "shares",
        "smbios1",
        "spice_enhancements",
        "startdate",
        "startup",
        "tablet",
        "tdf",
        "vcpus",
        "vga",
        "vmstatestorage",
        "watchdog",
    }
)
# What an absent key means: the defaults of the API's schema. A key that is not in here has to be in the configuration to be the same.
OPTION_DEFAULTS = {
    "acpi": "1",
    "autostart": "0",
    "bios": "seabios",
    "ciupgrade": "1",
    "cpulimit": "0",
    "freeze": "0",
    "hotplug": "network,disk,usb",
    "keephugepages": "0",
    "kvm": "1",
    "migrate_downtime": "0.1",
    "migrate_speed": "0",
    "numa": "0",
    "ostype": "other",
    "protection": "0",
    "reboot": "1",
    "scsihw": "lsi",
    "shares": "1000",
    "startdate": "now",
    "tablet": "1",
    "tdf": "0",
    "vcpus": "0",
}
_OPTION_SLOTS = re.compile(r"^(?:hostpci|numa|parallel|serial|usb|virtiofs)\d+$")

_REMOVABLE = re.compile(r"^(?:agent|cipassword|ciuser|cpu|description|ipconfig\d+|memory|nameserver|onboot|searchdomain|sshkeys|tags|unused\d+)$")


def is_option_key(key: str) -> bool:
    """Whether *key* may stand under ``options``."""
    return key in OPTION_KEYS or bool(_OPTION_SLOTS.match(key))


def is_config_key(key: str) -> bool:
    """Whether *key* is one of a guest's configuration that may be removed."""
    return is_option_key(key) or bool(DRIVE_KEY.match(key) or NET_KEY.match(key) or _REMOVABLE.match(key))


def parse_properties(text: str, default_key: str) -> Properties:
    """Split ``a,b=c`` into a dict; a part without ``=`` is the value of *default_key*."""
    found: Properties = {}
    for part in filter(None, (piece.strip() for piece in str(text).split(","))):
        key, separator, value = part.partition("=")
        if separator:
            found[key] = value
        else:
            found[default_key] = part
    return found


def format_properties(properties: t.Mapping[str, str], default_key: str) -> str:
    """Join a dict as Proxmox prints it: the default key's value first and bare, the rest sorted."""
    first = [properties[default_key]] if default_key in properties else []
    return ",".join(first + [f"{key}={properties[key]}" for key in sorted(properties) if key != default_key])


def flag(value: t.Any) -> bool | None:
    """Return the truth value of an answer or option such as ``1``, ``"on"``, ``False``; ``None`` if it has none."""
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def scalar(value: t.Any) -> str:
    """Return a value as it stands in a configuration: booleans as 0 and 1, numbers without a needless fraction."""
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def same_scalar(left: str | None, right: str | None) -> bool:
    """Compare two option values: numbers as numbers, property strings without regard to order."""
    if left is None or right is None:
        return left is right
    if left == right:
        return True
    try:
        return float(left) == float(right)
    except ValueError:
        pass
    if "=" in left and "=" in right:
        return parse_properties(left, "") == parse_properties(right, "")
    return False


def same_value(left: str | None, right: str | None) -> bool:
    """Compare two values of an option, those that are booleans as such (``on`` and ``1``)."""
    if left is not None and right is not None and flag(left) is not None and flag(left) == flag(right):
        return True
    return same_scalar(left, right)


def parse_size(text: str) -> int:
    """Return the bytes of a size such as ``20G``, ``20480M``, ``528K`` or ``4194304``.

    Raises:
        Refused: *text* is no size.
    """
    match = _SIZE.match(str(text).strip())
    if not match:
        raise Refused(f"{text!r} is not a size of a Proxmox disk.", hint="Write it as 20G; units are K, M, G and T.")
    return int(float(match.group(1)) * _UNITS[match.group(2)])


def format_size(size: int) -> str:
    """Return bytes as Proxmox prints them: the largest unit that divides them."""
    for unit in ("T", "G", "M", "K"):
        if size and size % _UNITS[unit] == 0:
            return f"{size // _UNITS[unit]}{unit}"
    return str(size)


def parse_drive(text: str) -> tuple[str, Properties]:
    """Split a drive into its volume (``local-lvm:vm-100-disk-0``, ``none``) and its options."""
    options = parse_properties(text, "file")
    return options.pop("file", ""), options


def format_drive(volume: str, options: t.Mapping[str, str]) -> str:
    """Join volume and options of a drive."""
    return format_properties({"file": volume, **options}, "file")


def storage_of(volume: str) -> str | None:
    """Return the storage of a volume id; ``None`` for paths, ``none`` and ``cdrom``."""
    storage, separator, _name = volume.partition(":")
    return storage if separator and not volume.startswith("/") else None


def is_cloud_init_drive(text: str) -> bool:
    """Whether a drive holds the cloud-init data."""
    volume, _options = parse_drive(text)
    return volume.endswith("cloudinit") or "-cloudinit" in volume


def parse_net(text: str) -> Properties:
    """Split a network device; the model is under ``model``, its address (upper case) under ``macaddr``."""
    found: Properties = {}
    for key, value in parse_properties(text, "model").items():
        if key in NET_MODELS:
            found["model"], found["macaddr"] = key, value
        else:
            found[key] = value
    if "macaddr" in found and found["macaddr"] != GENERATED:
        found["macaddr"] = found["macaddr"].upper()
    return found


def format_net(properties: t.Mapping[str, str]) -> str:
    """Join a network device as Proxmox prints it: ``model=MAC`` first. Without an address the server makes one."""
    rest = {key: value for key, value in properties.items() if key not in ("model", "macaddr")}
    model, address = properties["model"], properties.get("macaddr", "")
    first = f"{model}={address}" if address and address != GENERATED else model
    return ",".join([first] + [f"{key}={rest[key]}" for key in sorted(rest)])


def parse_tags(text: str | None) -> frozenset[str]:
    """Return the set of tags; Proxmox folds their case unless the datacenter says otherwise."""
    return frozenset(tag.lower() for tag in re.split(r"[,; ]+", text or "") if tag)


def format_tags(tags: t.Iterable[str]) -> str:
    """Join tags as Proxmox stores them."""
    return ";".join(sorted({tag.lower() for tag in tags}))


def parse_words(text: str | None) -> list[str]:
    """Return the items of a list separated by blanks, commas or semicolons."""
    return [word for word in re.split(r"[,; ]+", text or "") if word]


def decode_ssh_keys(text: str | None) -> list[str]:
    """Return the public keys of a percent-encoded ``sshkeys`` value, one a line, without blank lines."""
    return [line.strip() for line in urllib.parse.unquote(text or "").splitlines() if line.strip()]


def encode_ssh_keys(keys: t.Iterable[str]) -> str:
    """Return public keys as ``sshkeys`` wants them. Transport encodes this once more."""
    return urllib.parse.quote("\n".join(key.strip() for key in keys), safe="")
