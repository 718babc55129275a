"""Where a NAS keeps its things and how it is reached."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lab.daemon import Daemon
from lab.state import LabState, write_private

USERNAME = "automation"
DISK_BYTES = 4 * 1024**3
DISKS = ("sda", "sdb", "sdc", "sdd")
ROLES = {"nas-a": "primary", "nas-b": "secondary"}
REPO = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Ports:
    """TCP ports of one NAS on the lab's address. ``ssh`` has no listener: it only names the NAS in SSH credentials."""

    api: int
    plain: int
    ssh: int


@dataclass(frozen=True)
class Settings:
    """What a lab may choose. ``rate_limit`` is the number of unauthenticated calls a method and address have in 60 s (0: off)."""

    ports: tuple[tuple[str, Ports], ...] = (("nas-a", Ports(8441, 8431, 8451)), ("nas-b", Ports(8442, 8432, 8452)))
    version: str = "25.10"
    rate_limit: int = 20
    scheduler: bool = True


@dataclass(frozen=True)
class Nas:
    """One NAS of a lab: paths and processes. Everything it owns lies below ``dir``."""

    state: LabState
    name: str

    @property
    def dir(self) -> Path:
        return self.state.dir / self.name

    @property
    def mnt(self) -> Path:
        """Where the host sees what the NAS has mounted at /mnt."""
        return self.dir / "mnt"

    @property
    def disks(self) -> Path:
        return self.dir / "disks"

    @property
    def namespace_file(self) -> Path:
        """A file that holds the mount namespace; it lies on a private tmpfs, as unshare(1) wants it."""
        return self.state.dir / "nas-ns" / self.name

    @property
    def socket(self) -> Path:
        return self.dir / "run" / "zfs_socket"

    @property
    def config_file(self) -> Path:
        return self.dir / "nas.json"

    @property
    def daemon(self) -> Daemon:
        return Daemon(self.state, f"{self.name}-zfs")

    @property
    def server(self) -> Daemon:
        return Daemon(self.state, f"{self.name}-api")

    def config(self) -> dict[str, Any]:
        """Return what ``up`` decided; empty before."""
        try:
            found: dict[str, Any] = json.loads(self.config_file.read_text())
        except FileNotFoundError:
            return {}
        return found

    def write_config(self, **values: Any) -> dict[str, Any]:
        """Add to the configuration and store it."""
        merged = {**self.config(), **values}
        write_private(self.config_file, json.dumps(merged, indent=1, sort_keys=True) + "\n")
        return merged


def all_nas(state: LabState) -> list[Nas]:
    """Return both NASes of a lab, the primary first."""
    return [Nas(state, name) for name in ROLES]


def get(state: LabState, name: str) -> Nas:
    """Return a NAS by name (nas-a) or role (primary). ValueError names the choices."""
    for nas in all_nas(state):
        if name in (nas.name, ROLES[nas.name]):
            return nas
    raise ValueError(f"There is no NAS '{name}' in a lab: use one of {', '.join([*ROLES, *ROLES.values()])}.")


def ports_of(settings: Settings, name: str) -> dict[str, int]:
    """Return the ports of a NAS as a plain dict, for its configuration file."""
    return asdict(dict(settings.ports)[name])
