# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What NFS and SMB shares have in common: where their paths are, and the calls between what is and what should be."""

from __future__ import annotations

import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import NotFound
from ansible_collections.resilient.platform.plugins.module_utils._truenas.client import TrueNasClient
from ansible_collections.resilient.platform.plugins.module_utils._truenas.planning import Plan

Share = dict[str, t.Any]
_CHUNK = 400


def path_problem(path: str) -> str:
    """Return why TrueNAS would not share *path*, or nothing."""
    parts = path.split("/")
    if not path.startswith("/mnt/") or len(parts) < 3 or not parts[2]:
        return f"path {path} is not below /mnt/<pool>"
    if path.endswith("/") or "" in parts[1:] or "." in parts or ".." in parts:
        return f"path {path} must be written in its shortest form, without a slash at its end"
    return f"path {path} is ZFS's own directory of snapshots" if ".zfs" in parts else ""


def _datasets_above(path: str) -> list[str]:
    parts = path.removeprefix("/mnt/").split("/")
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def missing_paths(client: TrueNasClient, paths: t.Sequence[str], assumed: t.Collection[str] = ()) -> list[str]:
    """Return those of *paths* that do not exist: one query, and one look more for each path that is not a dataset's own.

    Args:
        client: The system.
        paths: Paths below /mnt.
        assumed: Pools and datasets that an earlier task of a check-mode run would have made.
    """
    names = sorted({name for path in paths for name in _datasets_above(path)})
    known: set[str] = set()
    for start in range(0, len(names), _CHUNK):
        chosen = names[start : start + _CHUNK]
        options = {"extra": {"flat": True, "retrieve_children": False, "properties": []}, "select": ["id"]}
        known |= {entry["id"] for entry in client.query("pool.dataset", [["id", "in", chosen]], **options)}
    found: list[str] = []
    for path in paths:
        above = _datasets_above(path)
        if above[-1] in known or any(name in assumed for name in above):
            continue
        if above[0] not in known:
            found.append(path)
            continue
        try:
            client.call("filesystem.stat", path, what=path)
        except NotFound:
            found.append(path)
    return found


def plan_create(made: Plan, service: str, key: str, payload: Share, predicted: Share) -> None:
    """Add the creation of a share; *predicted* is how it will be shown."""
    made.diff.add(f"{key}.state", before="absent", after="present")
    for name, value in predicted.items():
        if name not in ("id", "locked"):
            made.diff.add(f"{key}.{name}", before=None, after=value)
    made.add(f"{service}.create", payload, what=key)
    made.predicted.append({"id": None, "locked": None, **predicted})


def plan_delete(made: Plan, service: str, key: str, known: Share) -> None:
    """Add the deletion of a share; its data stays."""
    made.diff.add(f"{key}.state", before="present", after="absent")
    made.diff.add(f"{key}.path", before=known["path"], after=None)
    made.add(f"{service}.delete", known["id"], what=key)
