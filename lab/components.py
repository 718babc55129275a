"""The lab's components, in the order in which they need each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from lab import keys, kms, limits, nas, network, pki, proxmox, s3
from lab.guest import image
from lab.state import LabError, LabState, Row

# Breaks something real; the arguments come from the command line as KEY=VALUE. Returns what it broke, in one line.
Fault = Callable[[LabState, Mapping[str, Any]], str]


@dataclass(frozen=True)
class Component:
    """A part of the lab. ``module`` has up(state), down(state), status(state) and may have FAULTS. ``usual``: for progress lines."""

    name: str
    module: ModuleType
    usual: str

    def up(self, state: LabState) -> None:
        """Bring it up; nothing happens if it is."""
        self.module.up(state)

    def down(self, state: LabState) -> None:
        """Take it down; nothing happens if it is not there."""
        self.module.down(state)

    def status(self, state: LabState) -> list[Row]:
        """How it is."""
        rows: list[Row] = self.module.status(state)
        return rows

    @property
    def faults(self) -> dict[str, Fault]:
        """What can be broken in it, by name."""
        faults: dict[str, Fault] = getattr(self.module, "FAULTS", {})
        return faults


COMPONENTS = (
    Component("limits", limits, "1 s"),
    Component("network", network, "1 s"),
    Component("pki", pki, "1 s"),
    Component("keys", keys, "1 s"),
    Component("image", image, "60 s the first time"),
    Component("proxmox", proxmox, "3 s"),
    Component("s3", s3, "5 s"),
    Component("kms", kms, "5 s"),
    Component("nas", nas, "5 s"),
)


def select(names: str | None) -> tuple[Component, ...]:
    """Return the components named in a comma-separated list (all for None), in their order. LabError for unknown ones."""
    if not names:
        return COMPONENTS
    wanted = {name.strip() for name in names.split(",") if name.strip()}
    known = {component.name for component in COMPONENTS}
    if wanted - known:
        raise LabError(f"Unknown component {', '.join(sorted(wanted - known))}: the lab has {', '.join(c.name for c in COMPONENTS)}.")
    return tuple(component for component in COMPONENTS if component.name in wanted)


def all_faults() -> dict[str, Fault]:
    """Return every fault of every component by name."""
    return {name: fault for component in COMPONENTS for name, fault in component.faults.items()}
