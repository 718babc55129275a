# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Whether new, copied and grown disks fit, all of a run together, before the first of them is made."""

from __future__ import annotations

import collections
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox import properties as props
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Storage
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.plan import GuestPlan

# Storages that take a disk's whole size when it is made. All others take what is written (or can: zfspool with sparse).
THICK = frozenset({"lvm", "iscsi", "iscsidirect"})


def check_space(cluster: Cluster, plans: t.Sequence[GuestPlan], *, overcommit: bool) -> list[str]:
    """Add up what *plans* need of each storage.

    Args:
        cluster: What the server says is free; a storage of which it says nothing is not judged.
        plans: What is going to be done.
        overcommit: Whether disks may together promise more than a thin storage has left; then that is a warning.

    Raises:
        Refused: they do not fit.
    """
    needs: dict[tuple[str, str], int] = collections.Counter()
    for plan in plans:
        for name, size in _needs(plan).items():
            storage = cluster.storage(name, plan.node)
            if storage:
                needs[(name, "" if storage.shared else plan.node)] += size
    warnings = []
    for (name, node), size in sorted(needs.items()):
        storage = cluster.storage(name, node) if node else next(one for one in cluster.storages if one.name == name)
        if storage is None or storage.free is None or size <= storage.free:
            continue
        text = _text(storage, node, size)
        if storage.kind in THICK or not overcommit or storage.free == 0:
            raise Refused(text, hint="Free space, choose another storage, or make the disks smaller.")
        warnings.append(f"{text} The storage is thin, so this works until it is full; overcommit: false refuses it.")
    return warnings


def _text(storage: Storage, node: str, size: int) -> str:
    gib = props.GIB
    where = f" on {node}" if node else ""
    return f"The disks of this run need {size / gib:.1f} GiB on storage {storage.name}{where}, which has {(storage.free or 0) / gib:.1f} GiB left."


def _needs(plan: GuestPlan) -> dict[str, int]:
    """Return bytes by storage."""
    found: dict[str, int] = collections.Counter(plan.copies)
    for key, text in plan.config.set.items():
        if props.DRIVE_KEY.match(key):
            storage, _separator, name = props.parse_drive(text)[0].partition(":")
            if name.replace(".", "", 1).isdigit():
                found[storage] += int(float(name) * props.GIB)
    for resize in plan.config.resizes:
        if resize.storage:
            found[resize.storage] += resize.after - (resize.before or 0)
    for move in plan.config.moves:
        found[move.storage] += move.size
    return found
