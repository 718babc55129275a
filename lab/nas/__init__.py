"""Two TrueNAS doubles on real ZFS (zfs-fuse): what is real, simulated and missing stands in README.md beside this file."""

from __future__ import annotations

from lab.nas.faults import FAULTS, fault
from lab.nas.lifecycle import down, status, up

__all__ = ["FAULTS", "down", "fault", "status", "up"]
