# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""From a guest's options to what is wanted of it. Pure; refuses what cannot be meant, before anything is asked or written."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired_cloud_init import cloud_init, is_cloud_init_key, static_addresses
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired_devices import drives, networks
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired_fields import Options
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wants import Absent, Part, Scalar, Tags, Text, Want

_NAME = re.compile(r"^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*$")
_TAG = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_\-+.]*$")


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
        config.update(drives(options.get("disks") or {}))
        config.update(networks(options.get("networks") or {}))
        config.update(cloud_init(options.get("cloud_init") or {}))
        config.update(_others(options.get("options") or {}))
        _remove(options.get("remove") or [], config)
    except Refused as exc:
        raise Refused(f"Guest {name}: {exc.message}", hint=exc.hint) from None
    initial = options.get("cloud_init") or {}
    return Desired(
        name=name,
        state=options.get("state") or "present",
        vmid=options.get("vmid"),
        node=options.get("node"),
        clone_from=str(options["clone_from"]) if options.get("clone_from") else None,
        full_clone=options.get("full_clone"),
        pool=options.get("pool"),
        config=config,
        cloud_init_storage=initial.get("storage"),
        addresses=static_addresses(config),
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
