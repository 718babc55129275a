# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Cloud-init, from a guest's options to what is wanted of it."""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.desired_fields import Options, fields_of, integer
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.wants import IpConfig, Password, Scalar, SshKeys, Want, Words

_IP_FIELDS = frozenset({"ip", "gw", "ip6", "gw6"})


def is_cloud_init_key(key: str) -> bool:
    """Whether a key of the configuration is written into the cloud-init drive."""
    return key in ("ciuser", "cipassword", "cicustom", "citype", "ciupgrade", "sshkeys", "nameserver", "searchdomain") or key.startswith("ipconfig")


def cloud_init(options: Options) -> dict[str, Want]:
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
        number = integer("The key of cloud_init.ipconfig", index, 0, 31)
        wanted = {name: str(value) for name, value in fields_of(where, given, _IP_FIELDS).items()}
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


def static_addresses(config: t.Mapping[str, Want]) -> tuple[str, ...]:
    """Return the declared static addresses, to be found again in the running guest."""
    found: list[str] = []
    for want in config.values():
        if isinstance(want, IpConfig):
            for name in ("ip", "ip6"):
                if "/" in want.wanted.get(name, ""):
                    found.append(str(ipaddress.ip_interface(want.wanted[name]).ip))
    return tuple(found)
