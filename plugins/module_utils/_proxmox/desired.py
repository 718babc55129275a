# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""From a guest's options to what is wanted of it. Pure; refuses what cannot be meant, before anything is asked or written."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.drives import CdRom, Disk
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wants import (
    Absent,
    IpConfig,
    Network,
    Part,
    Password,
    Scalar,
    SshKeys,
    Tags,
    Text,
    Want,
    Words,
)

Options = t.Mapping[str, t.Any]

_NAME = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$")
_MAC = re.compile(r"^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}$")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_\-+.]*$")
_DISK_FIELDS = frozenset(
    {"storage", "size", "size_gib", "format", "import_from", "iso", "move", "cache", "discard", "iothread", "ssd", "backup", "options"}
)
_NET_FIELDS = frozenset({"model", "bridge", "mac", "tag", "firewall", "link_down", "mtu", "queues", "rate", "trunks"})
_IP_FIELDS = frozenset({"ip", "gw", "ip6", "gw6"})


@dataclasses.dataclass(frozen=True)
class Desired:
    """One guest as it should be. ``config`` holds only keys that were given."""

    name: str
    state: str
    vmid: int | None = None
    node: str | None = None
    clone_from: str | None = None
    full_clone: bool | None = None
    pool: str | None = None
    config: t.Mapping[str, Want] = dataclasses.field(default_factory=dict)
    cloud_init_storage: str | None = None
    addresses: tuple[str, ...] = ()
    reboot: bool = False

    @property
    def needs_config(self) -> bool:
        """Whether its configuration has to be read; tags stand in the list of all guests already."""
        return self.state != "absent" and bool(set(self.config) - {"tags"} or self.reboot)

    @property
    def wants_cloud_init(self) -> bool:
        """Whether a cloud-init drive is needed."""
        return any(is_cloud_init_key(key) and not isinstance(want, Absent) for key, want in self.config.items())


def is_cloud_init_key(key: str) -> bool:
    """Whether a key of the configuration is written into the cloud-init drive."""
    return key in ("ciuser", "cipassword", "cicustom", "citype", "ciupgrade", "sshkeys", "nameserver", "searchdomain") or key.startswith("ipconfig")


def desired_guests(guests: t.Sequence[Options]) -> list[Desired]:
    """Translate a list of guests.

    Raises:
        Refused: an unknown field, a value that cannot be, or a name or id that stands twice in the list.
    """
    wanted = [desired_guest(options) for options in guests]
    for what in ("name", "vmid"):
        seen: set[t.Any] = set()
        for guest in wanted:
            value = getattr(guest, what)
            if value is not None and value in seen:
                raise Refused(f"The {what} {value} stands twice in the list of guests.", hint="Every guest is listed once.")
            seen.add(value)
    return wanted


def desired_guest(options: Options) -> Desired:
    """Translate the options of one guest."""
    name = str(options["name"])
    try:
        if not _NAME.match(name):
            raise Refused("A name has letters, digits, hyphens and dots only, and none of those at its ends.", hint="Rename the guest.")
        config: dict[str, Want] = {}
        config.update(_simple(options))
        config.update(_drives(options.get("disks") or {}))
        config.update(_networks(options.get("networks") or {}))
        config.update(_cloud_init(options.get("cloud_init") or {}))
        config.update(_others(options.get("options") or {}))
        _remove(options.get("remove") or [], config)
    except Refused as exc:
        raise Refused(f"Guest {name}: {exc.message}", hint=exc.hint) from None
    cloud_init = options.get("cloud_init") or {}
    return Desired(
        name=name,
        state=options.get("state") or "present",
        vmid=options.get("vmid"),
        node=options.get("node"),
        clone_from=str(options["clone_from"]) if options.get("clone_from") else None,
        full_clone=options.get("full_clone"),
        pool=options.get("pool"),
        config=config,
        cloud_init_storage=cloud_init.get("storage"),
        addresses=_static_addresses(config),
        reboot=bool(options.get("reboot")),
    )


def _simple(options: Options) -> dict[str, Want]:
    """Options that are one key each."""
    found: dict[str, Want] = {}
    for key, default in (("cores", "1"), ("sockets", "1"), ("onboot", "0")):
        if options.get(key) is not None:
            found[key] = Scalar(props.scalar(options[key]), default)
    if options.get("memory") is not None:
        found["memory"] = Part("current", props.scalar(options["memory"]), "512")
    if options.get("cpu") is not None:
        found["cpu"] = Scalar(options["cpu"].removeprefix("cputype="), "kvm64")
    if options.get("agent") is not None:
        found["agent"] = Part("enabled", props.scalar(options["agent"]), "0")
    if options.get("description") is not None:
        found["description"] = Text(options["description"])
    if options.get("tags") is not None:
        for tag in options["tags"]:
            if not _TAG.match(str(tag)):
                raise Refused(f"{tag!r} is not a tag.", hint="Tags have letters, digits and _ - + . only.")
        found["tags"] = Tags(frozenset(str(tag).lower() for tag in options["tags"]))
    return found


def _fields(where: str, given: t.Any, known: frozenset[str]) -> dict[str, t.Any]:
    """Return the fields that have a value; refuse unknown ones."""
    if not isinstance(given, dict):
        raise Refused(f"{where} is not a dictionary.", hint=f"Its fields are {', '.join(sorted(known))}.")
    unknown = sorted(set(map(str, given)) - known)
    if unknown:
        raise Refused(f"{where} has unknown fields: {', '.join(unknown)}.", hint=f"Its fields are {', '.join(sorted(known))}.")
    return {str(key): value for key, value in given.items() if value is not None}


def _boolean(where: str, value: t.Any) -> bool:
    """Return a boolean field's value."""
    found = props.flag(value)
    if found is None:
        raise Refused(f"{where} is {value!r}, not a boolean.", hint="Use true or false.")
    return found


def _integer(where: str, value: t.Any, low: int, high: int) -> int:
    """Return an integer field's value within its range."""
    try:
        number = int(str(value))
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise Refused(f"{where} is {value!r}, not a number from {low} to {high}.", hint="Correct it.")
    return number


def _drives(disks: Options) -> dict[str, Want]:
    """Disks by slot."""
    found: dict[str, Want] = {}
    for key, given in disks.items():
        if not props.DRIVE_KEY.match(str(key)):
            raise Refused(f"There is no disk slot {key}.", hint="Slots are ide0-3, sata0-5, scsi0-30, virtio0-15, efidisk0 and tpmstate0.")
        fields = _fields(f"Disk {key}", given, _DISK_FIELDS)
        if "iso" in fields:
            found[str(key)] = _cd_rom(str(key), fields)
            continue
        options = {str(name): props.scalar(value) for name, value in (fields.get("options") or {}).items()}
        for name in ("format", "cache"):
            if name in fields:
                options[name] = str(fields[name])
        for name in ("iothread", "ssd", "backup"):
            if name in fields:
                options[name] = props.scalar(_boolean(f"Disk {key}: {name}", fields[name]))
        if "discard" in fields:
            options["discard"] = "on" if _boolean(f"Disk {key}: discard", fields["discard"]) else "ignore"
        if "import_from" in fields:
            options["import-from"] = str(fields["import_from"])
        found[str(key)] = Disk(str(key), fields.get("storage"), _size(key, fields), options, _boolean(f"Disk {key}: move", fields.get("move", False)))
    return found


def _size(key: str, fields: Options) -> int | None:
    """Return the size in bytes of a disk; ``size`` is text as Proxmox prints it, and without a unit GiB."""
    if "size" in fields and "size_gib" in fields:
        raise Refused(f"Disk {key} has size and size_gib.", hint="Give one.")
    if "size_gib" in fields:
        return _integer(f"Disk {key}: size_gib", fields["size_gib"], 1, 128 * 1024) * props.GIB
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


def _networks(networks: Options) -> dict[str, Want]:
    """Network devices by slot."""
    found: dict[str, Want] = {}
    for key, given in networks.items():
        if not props.NET_KEY.match(str(key)):
            raise Refused(f"There is no network slot {key}.", hint="Slots are net0 to net31.")
        where = f"Network {key}"
        fields = _fields(where, given, _NET_FIELDS)
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
                wanted[name] = str(_integer(f"{where}: {name}", fields[name], low, high) or "")
        for name in ("firewall", "link_down"):
            if name in fields:
                wanted[name] = "1" if _boolean(f"{where}: {name}", fields[name]) else ""
        for name in ("rate", "trunks"):
            if name in fields:
                wanted[name] = props.scalar(fields[name])
        found[str(key)] = Network(wanted)
    return found


def _cloud_init(options: Options) -> dict[str, Want]:
    """Cloud-init: user, keys, addresses, name servers."""
    found: dict[str, Want] = {}
    if options.get("user") is not None:
        found["ciuser"] = Scalar(options["user"])
    if options.get("ssh_keys") is not None:
        found["sshkeys"] = SshKeys(tuple(key.strip() for key in options["ssh_keys"] if key.strip()))
    if options.get("nameservers") is not None:
        found["nameserver"] = Words(tuple(options["nameservers"]))
    if options.get("search_domain") is not None:
        found["searchdomain"] = Words(tuple(props.parse_words(options["search_domain"])))
    for name, key in (("custom", "cicustom"), ("type", "citype"), ("upgrade", "ciupgrade")):
        if options.get(name) is not None:
            found[key] = Scalar(props.scalar(options[name]), props.OPTION_DEFAULTS.get(key))
    if options.get("password") is not None:
        found["cipassword"] = Password(options["password"], options.get("update_password") == "always")
    for index, given in (options.get("ipconfig") or {}).items():
        where = f"cloud_init.ipconfig {index}"
        number = _integer("The key of cloud_init.ipconfig", index, 0, 31)
        wanted = {name: str(value) for name, value in _fields(where, given, _IP_FIELDS).items()}
        for name in ("ip", "ip6"):
            _check_address(f"{where}: {name}", wanted.get(name), name)
        for name, base in (("gw", "ip"), ("gw6", "ip6")):
            if name in wanted and wanted.get(base, "dhcp") in ("dhcp", "auto"):
                raise Refused(f"{where} has a gateway without a static address.", hint=f"Give {base} as address/prefix, or leave {name} out.")
        found[f"ipconfig{number}"] = IpConfig(wanted)
    return found


def _check_address(where: str, value: str | None, name: str) -> None:
    """Refuse what is neither an address with prefix nor a word that Proxmox knows."""
    if value is None or value == "dhcp" or (name == "ip6" and value == "auto"):
        return
    try:
        interface = ipaddress.ip_interface(value)
    except ValueError:
        interface = None
    if interface is None or "/" not in value or interface.version != (6 if name == "ip6" else 4):
        raise Refused(f"{where} is {value!r}, not an address with prefix.", hint="Write it as 192.0.2.10/24, or dhcp.")


def _others(options: Options) -> dict[str, Want]:
    """Any other key of the configuration."""
    found: dict[str, Want] = {}
    for key, value in options.items():
        if not props.is_option_key(str(key)):
            raise Refused(
                f"options has the unknown key {key}.",
                hint="Use the option that this module has for it, or a key of Proxmox VE's configuration (qm.conf).",
            )
        if value is not None:
            found[str(key)] = Scalar(props.scalar(value), props.OPTION_DEFAULTS.get(str(key)))
    return found


def _remove(keys: t.Sequence[t.Any], config: dict[str, Want]) -> None:
    """Add keys that may not be there to *config*."""
    for key in map(str, keys):
        if not props.is_config_key(key):
            raise Refused(f"remove has the unknown key {key}.", hint="Use a key of Proxmox VE's configuration (qm.conf), such as net1 or scsi2.")
        if key in config:
            raise Refused(f"{key} is declared and in remove.", hint="Take it out of one of them.")
        config[key] = Absent()


def _static_addresses(config: t.Mapping[str, Want]) -> tuple[str, ...]:
    """Return the declared static addresses, to be found again in the running guest."""
    found: list[str] = []
    for want in config.values():
        if isinstance(want, IpConfig):
            for name in ("ip", "ip6"):
                if "/" in want.wanted.get(name, ""):
                    found.append(str(ipaddress.ip_interface(want.wanted[name]).ip))
    return tuple(found)
