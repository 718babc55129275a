# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Pools: made once from declared disks, destroyed only when their name is said twice, never remade over themselves."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan, given, refuse

GROUPS = ("data", "special", "dedup", "cache", "log")
VDEV_TYPES = {
    "data": ("STRIPE", "MIRROR", "RAIDZ1", "RAIDZ2", "RAIDZ3", "DRAID1", "DRAID2", "DRAID3"),
    "special": ("STRIPE", "MIRROR"),
    "dedup": ("STRIPE", "MIRROR"),
    "cache": ("STRIPE",),
    "log": ("STRIPE", "MIRROR"),
}
_FEWEST = {"STRIPE": 1, "MIRROR": 2, "RAIDZ1": 3, "RAIDZ2": 4, "RAIDZ3": 5, "DRAID1": 2, "DRAID2": 3, "DRAID3": 4}
_NAME = re.compile(r"^[A-Za-z][A-Za-z0-9_.:-]{0,49}$")
_RESERVED = ("mirror", "raidz", "draid", "spare", "log", "boot-pool", "freenas-boot")
Pool = dict[str, t.Any]


def _leaves(vdev: t.Mapping[str, t.Any]) -> list[str]:
    children = vdev.get("children") or []
    if children:
        return [name for child in children for name in _leaves(child)]
    # A disk that has failed has no name of its own any more.
    return [str(vdev.get("disk") or vdev.get("unavail_disk") or vdev.get("path") or vdev.get("guid"))]


def topology_from_api(shown: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Return the vdevs as they are declared: ``{data: [{type, disks}], …, spares: [disk]}``. Single disks are one stripe."""
    found: dict[str, t.Any] = {}
    for group in GROUPS:
        vdevs: list[dict[str, t.Any]] = []
        stripe: list[str] = []
        for vdev in (shown or {}).get(group) or []:
            if vdev.get("type") == "DISK":
                stripe += _leaves(vdev)
            else:
                kind = str(vdev.get("type"))
                if kind in ("DRAID", "RAIDZ") and str(vdev.get("name", "")).lower().startswith(kind.lower()):
                    # libzfs leaves the parity to the name: draid1:1d:2c:0s-0, raidz2-0.
                    kind += str(vdev["name"])[len(kind) : len(kind) + 1]
                vdevs.append({"type": kind, "disks": sorted(_leaves(vdev))})
        if stripe:
            vdevs.append({"type": "STRIPE", "disks": sorted(stripe)})
        if vdevs:
            found[group] = vdevs
    spares = sorted(name for vdev in (shown or {}).get("spare") or [] for name in _leaves(vdev))
    if spares:
        found["spares"] = spares
    return found


def from_api(entry: t.Mapping[str, t.Any]) -> Pool:
    """Return one entry of ``pool.query`` with plain values."""
    return {
        "id": entry["id"],
        "name": entry["name"],
        "guid": str(entry.get("guid") or ""),
        "status": entry.get("status"),
        "healthy": bool(entry.get("healthy")),
        "warning": bool(entry.get("warning")),
        "status_detail": entry.get("status_detail"),
        "path": entry.get("path"),
        "size_bytes": entry.get("size"),
        "allocated_bytes": entry.get("allocated"),
        "free_bytes": entry.get("free"),
        "topology": topology_from_api(entry.get("topology")),
    }


def find(client: TrueNasClient, name: str) -> Pool | None:
    """Return the pool, or None."""
    found = client.query("pool", [["name", "=", name]])
    return from_api(found[0]) if found else None


def disks(client: TrueNasClient) -> dict[str, str]:
    """Return the disks of the system, each with its use: empty, ``pool NAME`` or ``exported pool NAME``."""
    shown = client.call("disk.details", {"type": "BOTH"})
    found: dict[str, str] = {}
    for entry in [*(shown.get("used") or []), *(shown.get("unused") or [])]:
        use = f"pool {entry['imported_zpool']}" if entry.get("imported_zpool") else ""
        if not use and entry.get("exported_zpool"):
            use = f"exported pool {entry['exported_zpool']}"
        found[str(entry["name"])] = use
    return found


def wanted_topology(options: t.Mapping[str, t.Any] | None) -> dict[str, t.Any]:
    """Return the declared topology without what is not set."""
    found: dict[str, t.Any] = {}
    for group in GROUPS:
        vdevs = [{key: value for key, value in vdev.items() if value is not None} for vdev in (options or {}).get(group) or []]
        if vdevs:
            found[group] = vdevs
    if (options or {}).get("spares"):
        found["spares"] = list((options or {})["spares"])
    return found


def same_topology(declared: t.Mapping[str, t.Any], shown: t.Mapping[str, t.Any]) -> bool:
    """Whether a pool is made as declared. Nothing declared fits everything; the order of disks does not matter."""
    if not declared:
        return True
    return _plain(declared) == _plain(shown)


def _plain(topology: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    found: dict[str, t.Any] = {group: sorted((vdev["type"], sorted(vdev["disks"])) for vdev in topology.get(group, [])) for group in GROUPS}
    return {**found, "spares": sorted(topology.get("spares", []))}


def used_disks(topology: t.Mapping[str, t.Any]) -> list[str]:
    """Return the disks that a declared topology names."""
    return [name for group in GROUPS for vdev in topology.get(group, []) for name in vdev["disks"]] + list(topology.get("spares", []))


def problems(name: str, topology: t.Mapping[str, t.Any]) -> list[str]:
    """Return what is wrong with a declaration, as far as that shows without a server."""
    found: list[str] = []
    if not _NAME.match(name) or name.lower().startswith(_RESERVED):
        found.append(f"{name!r} is not a name that ZFS takes for a pool")
    if not topology.get("data"):
        found.append("topology.data must name at least one vdev")
    for group in GROUPS:
        kinds = {vdev["type"] for vdev in topology.get(group, [])}
        if group in ("data", "special", "dedup") and len(kinds) > 1:
            found.append(f"all vdevs of topology.{group} must be of one type, not {', '.join(sorted(kinds))}")
        if group in ("cache", "log") and len(topology.get(group, [])) > 1:
            found.append(f"topology.{group} can have one entry only")
        for vdev in topology.get(group, []):
            if len(vdev["disks"]) < _FEWEST[vdev["type"]]:
                found.append(f"a {vdev['type']} needs at least {_FEWEST[vdev['type']]} disks, not {len(vdev['disks'])}")
    names = used_disks(topology)
    twice = sorted({disk for disk in names if names.count(disk) > 1})
    if twice:
        found.append(f"disks named twice: {', '.join(twice)}")
    return found


def _disk_problems(name: str, topology: t.Mapping[str, t.Any], known: t.Mapping[str, str], confirm: str) -> list[str]:
    found: list[str] = []
    for disk in used_disks(topology):
        if disk not in known:
            found.append(f"there is no disk {disk} (there are {', '.join(sorted(known)) or 'none'})")
        elif known[disk].startswith("pool "):
            found.append(f"disk {disk} is in use by {known[disk]}")
        elif known[disk] and confirm != name:
            found.append(f"disk {disk} holds the {known[disk]}, which would be overwritten; import it, or set confirm: {name}")
    return found


def plan_present(params: t.Mapping[str, t.Any], current: Pool | None, known_disks: t.Mapping[str, str]) -> Plan:
    """Return the calls that make a missing pool. One that exists is left as it is, whatever it is made of.

    Raises:
        Refused: the declaration is wrong, a disk is not free, or the pool is known but gone and ``confirm`` does not say its name.
    """
    name, confirm = params["name"], params.get("confirm") or ""
    topology = wanted_topology(params.get("topology"))
    made = Plan()
    if current is not None and current["status"] != "OFFLINE":
        made.predicted = [current]
        return made
    refuse(problems(name, topology) + _disk_problems(name, topology, known_disks, confirm), noun=f"pool {name}")
    if current is not None:
        if confirm != name:
            raise Refused(
                f"Pool {name} is configured, but its disks are not there (status OFFLINE).",
                hint=f"Bring the disks back or import it. To forget it and make a new, empty pool, set confirm: {name}.",
            )
        made.diff.add(f"{name}.guid", before=current["guid"], after="(assigned by the system)")
        made.add("pool.export", current["id"], {"cascade": False, "destroy": False}, what=name, job=True)
    else:
        made.diff.add(f"{name}.state", before="absent", after="present")
    made.diff.add(f"{name}.topology", before=None, after=topology)
    payload = {"name": name, "topology": topology, **given(params, ("deduplication", "checksum", "allow_duplicate_serials"))}
    for option in ("deduplication", "checksum"):
        made.diff.add(f"{name}.{option}", before=None, after=params.get(option))
    made.add("pool.create", payload, what=name, job=True)
    made.predicted = [{"id": None, "name": name, "guid": "(assigned by the system)", "status": "ONLINE", "path": f"/mnt/{name}", "topology": topology}]
    return made


def plan_absent(params: t.Mapping[str, t.Any], current: Pool | None, contents: t.Mapping[str, t.Any]) -> Plan:
    """Return the call that destroys the pool.

    Args:
        params: The module's parameters.
        current: The pool.
        contents: What goes with it, for the difference.

    Raises:
        Refused: ``confirm`` does not say its name, or something is attached to it that is not allowed to go.
    """
    name = params["name"]
    made = Plan()
    if current is None:
        return made
    if params.get("confirm") != name:
        raise Refused(
            f"Will not destroy pool {name} ({contents.get('datasets', 0)} datasets, {current['allocated_bytes']} bytes): "
            f"confirm is {params.get('confirm')!r}.",
            hint=f"All data in it is lost. Set confirm: {name} if that is meant.",
        )
    if contents.get("attachments") and not params.get("cascade"):
        listed = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in sorted(contents["attachments"].items()))
        raise Refused(f"Will not destroy pool {name}: in use by {listed}.", hint="cascade: true deletes these shares and tasks too.")
    made.diff.add(f"{name}.state", before="present", after="absent")
    made.diff.add(f"{name}.topology", before=current["topology"], after=None)
    for key in ("datasets", "attachments"):
        made.diff.add(f"{name}.{key}", before=contents.get(key) or None, after=None)
    options = {"cascade": bool(params.get("cascade")), "restart_services": bool(params.get("restart_services")), "destroy": True}
    made.add("pool.export", current["id"], options, what=name, job=True)
    return made


def contents_of(client: TrueNasClient, current: Pool) -> dict[str, t.Any]:
    """Return what is lost with a pool: the number of datasets, and the attachments by type."""
    name = current["name"]
    datasets = client.call("pool.dataset.query", [["id", "^", f"{name}/"]], {"count": True}, what=name)
    attachments = client.call("pool.attachments", current["id"], what=name)
    return {
        "datasets": datasets if isinstance(datasets, int) else len(datasets),
        "attachments": {entry["type"]: sorted(entry.get("attachments") or []) for entry in attachments},
    }
