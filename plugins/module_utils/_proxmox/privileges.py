# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Which privileges the modules of this collection need, and no more.

``tests/unit/plugins/module_utils/_proxmox/test_privileges.py`` compares them with the permission checks of the API's schema for every
request that the modules send: a request without its privilege fails there, and so does a privilege that no request needs.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

# What a privilege is checked on; the part of the name before the first dot says it.
KINDS = {"VM": "guests", "Datastore": "storages", "SDN": "networks", "Pool": "pools", "Sys": "nodes"}
# Checked on the whole cluster, the path /. Inherited below it, Sys.Modify would change roles, its own among them: it is given on / alone.
CLUSTER = frozenset({"Sys.Audit", "Sys.Modify"})
# Proxmox VE 8 has none of the agent's privileges: everything about the agent, and QEMU's monitor, is one there.
_AGENT_BEFORE_9 = "VM.Monitor"
_CONFIG = tuple(f"VM.Config.{part}" for part in ("CDROM", "CPU", "Cloudinit", "Disk", "HWType", "Memory", "Network", "Options"))


@dataclasses.dataclass(frozen=True)
class Profile:
    """What somebody does, by which modules, and what he needs for it."""

    modules: tuple[str, ...]
    privileges: frozenset[str]


def _profile(modules: str, *privileges: str) -> Profile:
    return Profile(tuple(modules.split()), frozenset(privileges))


PROFILES: t.Mapping[str, Profile] = {
    "inventory": _profile("inventory proxmox_vm_info proxmox_vm_snapshot_info proxmox_template_info", "VM.Audit"),
    "addresses": _profile("", "VM.GuestAgent.Audit"),
    "provision": _profile(
        "proxmox_fleet proxmox_vm proxmox_vm_info",
        *("VM.Audit", "VM.Allocate", "VM.Clone", "VM.PowerMgmt", *_CONFIG, "VM.GuestAgent.Unrestricted"),
        *("Datastore.Audit", "Datastore.AllocateSpace", "SDN.Use", "Pool.Audit", "Pool.Allocate"),
    ),
    "template": _profile(
        "proxmox_template proxmox_template_info",
        *("VM.Audit", "VM.Allocate", *_CONFIG, "SDN.Use", "Pool.Audit", "Sys.AccessNetwork"),
        *("Datastore.Audit", "Datastore.AllocateSpace", "Datastore.AllocateTemplate"),
    ),
    "snapshot": _profile("proxmox_vm_snapshot proxmox_vm_snapshot_info", "VM.Audit", "VM.Snapshot"),
    "backup": _profile("proxmox_backup proxmox_backup_info", "VM.Audit", "VM.Backup", "Datastore.Audit", "Datastore.AllocateSpace"),
    "retention": _profile("", "Datastore.Allocate"),
    "backup_jobs": _profile(
        "proxmox_backup_job proxmox_backup_job_info", "VM.Audit", "VM.Backup", "Datastore.Audit", "Datastore.Allocate", "Sys.Audit", "Sys.Modify"
    ),
    "restore": _profile(
        "proxmox_restore",
        *("VM.Audit", "VM.Allocate", "VM.Backup", "VM.PowerMgmt", "VM.GuestAgent.Audit", "SDN.Use", "Datastore.Audit", "Datastore.AllocateSpace"),
        *(f"VM.Config.{part}" for part in ("CPU", "HWType", "Memory", "Network", "Options")),
    ),
    "commands": _profile("", "VM.GuestAgent.Unrestricted"),
}
ALL = "all"
NAMES = (*PROFILES, ALL)
# What is to be asked for by its name.
NOT_IN_ALL = frozenset({"backup_jobs"})


def wanted_privileges(profiles: t.Iterable[str], more: t.Iterable[str] = ()) -> frozenset[str]:
    """Return the privileges of several profiles together, and *more*."""
    names = list(profiles)
    chosen = {*names, *(set(PROFILES) - NOT_IN_ALL if ALL in names else ())} - {ALL}
    return frozenset(more).union(*(PROFILES[name].privileges for name in chosen))


def for_server(wanted: frozenset[str], known: frozenset[str], *, named: t.Iterable[str] = ()) -> tuple[frozenset[str], list[str]]:
    """Return *wanted* with the words that a server has for it, and what that means.

    Args:
        wanted: Privileges as the newest server has them.
        known: All that the server has (those of its role Administrator).
        named: Those that were asked for by name; they have to exist.

    Raises:
        Refused: one of *named* does not exist there.
    """
    unknown = sorted(set(named) - known)
    if unknown:
        raise Refused(f"This server has no privilege {', '.join(unknown)}.", hint=f"It has {', '.join(sorted(known))}.")
    found, warnings = wanted & known, []
    missing = wanted - known
    agent = {one for one in missing if one.startswith("VM.GuestAgent.")}
    if agent and _AGENT_BEFORE_9 in known:
        found |= {_AGENT_BEFORE_9}
        missing -= agent
        warnings.append(
            f"This server is older than Proxmox VE 9: {_AGENT_BEFORE_9} stands for {', '.join(sorted(agent))}. It allows everything about the guests' agent, "
            "and QEMU's monitor."
        )
    if missing:
        warnings.append(f"This server does not know {', '.join(sorted(missing))}; what needs it cannot be given by a role there.")
    return frozenset(found), warnings


def kinds_of(privileges: t.Iterable[str]) -> set[str]:
    """Return what *privileges* are checked on: ``guests``, ``storages``, ``networks``, ``pools``, ``nodes``, ``cluster``, or ``paths`` for anything else."""
    return {"cluster" if one in CLUSTER else KINDS.get(one.partition(".")[0], "paths") for one in privileges}
