# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What is of iSCSI on a system, and plans whose calls need the numbers of what earlier calls have made."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan

Entry = dict[str, t.Any]
# Portals and groups of initiators that were made here bear this as their comment.
MARK = "resilient.platform"


@dataclasses.dataclass(frozen=True)
class Made:
    """The number of what an earlier call of the plan makes, by that call's method and object."""

    method: str
    what: str


class NumberedPlan(Plan):
    """A plan whose parameters may hold ``Made`` in place of a number."""

    def apply(self, client: TrueNasClient, *, timeout: float = 300.0, interval: float = 1.0) -> None:
        """Do the calls in order, as ``Plan.apply``."""
        numbers: dict[Made, int] = {}

        def resolved(value: t.Any) -> t.Any:
            if isinstance(value, Made):
                return numbers[value]
            if isinstance(value, dict):
                return {key: resolved(item) for key, item in value.items()}
            return [resolved(item) for item in value] if isinstance(value, list) else value

        for call in self.calls:
            result = client.call(call.method, *[resolved(param) for param in call.params], what=call.what, timeout=timeout)
            self.done.append(f"{call.method} {call.what}")
            if isinstance(result, dict) and isinstance(result.get("id"), int):
                numbers[Made(call.method, call.what)] = result["id"]


@dataclasses.dataclass
class Inventory:
    """Everything of iSCSI that a system has, as its API shows it."""

    extents: list[Entry]
    targets: list[Entry]
    mappings: list[Entry]
    portals: list[Entry]
    initiators: list[Entry]
    basename: str

    def extent_of(self, dataset: str) -> Entry | None:
        """Return the extent of a zvol."""
        return next((one for one in self.extents if one.get("disk") == disk_of(dataset)), None)

    def mapping_of(self, extent: Entry | None) -> Entry | None:
        """Return the LUN that an extent is."""
        return next((one for one in self.mappings if extent is not None and one["extent"] == extent["id"]), None)

    def target(self, *, number: int | None = None, name: str | None = None) -> Entry | None:
        """Return a target by its number or name."""
        return next((one for one in self.targets if one["id"] == number or one["name"] == name), None)

    def shown(self, kind: str, number: t.Any) -> list[str] | None:
        """Return the addresses of a ``portal`` or the names of an ``initiator`` group; None for one that there is not."""
        for one in self.portals if kind == "portal" else self.initiators:
            if one["id"] == number:
                return sorted(listen["ip"] for listen in one["listen"]) if kind == "portal" else sorted(one["initiators"])
        return None

    def iqn(self, name: str) -> str:
        """Return the full name of a target."""
        return name if name.startswith(("iqn.", "naa.", "eui.")) else f"{self.basename}:{name}"

    def luns(self, target: Entry | None) -> list[Entry]:
        """Return the LUNs of a target."""
        return [] if target is None else [one for one in self.mappings if one["target"] == target["id"]]


def disk_of(dataset: str) -> str:
    """Return how an extent names a zvol."""
    return f"zvol/{dataset.replace(' ', '+')}"


def read(client: TrueNasClient) -> Inventory:
    """Read everything, in six calls however much there is."""
    return Inventory(
        extents=client.query("iscsi.extent"),
        targets=client.query("iscsi.target"),
        mappings=client.query("iscsi.targetextent"),
        portals=client.query("iscsi.portal"),
        initiators=client.query("iscsi.initiator"),
        basename=str(client.call("iscsi.global.config")["basename"]),
    )


def sessions(client: TrueNasClient, iqns: t.Sequence[str]) -> dict[str, list[str]]:
    """Return the initiators that are logged in, by target."""
    found: dict[str, list[str]] = {}
    if iqns:
        for one in client.call("iscsi.global.sessions", [["target", "in", list(iqns)]], {}, what="sessions"):
            found.setdefault(one["target"], []).append(f"{one['initiator']} ({one['initiator_addr']})")
    return {target: sorted(names) for target, names in found.items()}


def show(found: Inventory, dataset: str, volume: t.Mapping[str, t.Any] | None) -> Entry:
    """Return one volume with all that leads to it."""
    extent = found.extent_of(dataset)
    mapping = found.mapping_of(extent)
    target = found.target(number=mapping["target"]) if mapping else None
    return {
        "dataset": dataset,
        "volsize": None if volume is None else volume.get("volsize"),
        "volblocksize": None if volume is None else volume.get("volblocksize"),
        "extent": None if extent is None else extent["name"],
        **{name: None if extent is None else extent.get(name) for name in ("blocksize", "serial", "naa", "ro", "enabled", "rpm", "locked")},
        "target": None if target is None else target["name"],
        "iqn": None if target is None else found.iqn(target["name"]),
        "lun": None if mapping is None else mapping["lunid"],
        "groups": [
            {
                "portal": found.shown("portal", group["portal"]) or [],
                "initiators": found.shown("initiator", group["initiator"]) or [],
                "authmethod": group["authmethod"],
                "auth": group["auth"],
            }
            for group in (target or {}).get("groups", [])
        ],
        "auth_networks": sorted((target or {}).get("auth_networks", [])),
    }
