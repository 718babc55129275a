"""Who may call what: the roles of ``role.py`` and the prefixes of the services (``role_prefix``, ``role_separate_delete``), for the methods here."""

from __future__ import annotations

import errno
from typing import Any

from lab.nas.server.errors import CallError

PREFIXES = {"pool.dataset": "DATASET", "pool.snapshot": "SNAPSHOT", "zfs.snapshot": "SNAPSHOT", "pool.snapshottask": "SNAPSHOT_TASK",
            "replication": "REPLICATION_TASK", "keychaincredential": "KEYCHAIN_CREDENTIAL", "sharing.nfs": "SHARING_NFS", "sharing.smb": "SHARING_SMB",
            "pool": "POOL", "disk": "DISK", "api_key": "API_KEY", "alert": "ALERT_LIST", "user": "ACCOUNT", "filesystem": "FILESYSTEM_ATTRS"}
SEPARATE_DELETE = {"DATASET", "SNAPSHOT"}
_READS = ("query", "get_instance", "attachments", "details", "processes", "list", "stat", "statfs", "listdir", "my_keys", "list_datasets")
_WRITES = ("KEYCHAIN_CREDENTIAL_WRITE", "REPLICATION_TASK_WRITE", "SNAPSHOT_TASK_WRITE", "SNAPSHOT_WRITE")
INCLUDES = {"REPLICATION_ADMIN": {*_WRITES, *(f"{role.removesuffix('_WRITE')}_READ" for role in _WRITES)},
            "READONLY_ADMIN": {f"{prefix}_READ" for prefix in PREFIXES.values()}}


def check(user: dict[str, Any], method: str) -> None:
    """Refuse a method that none of an account's roles allows. CallError (EACCES), as ``main.py`` has it."""
    held = set(user["roles"]).union(*(INCLUDES.get(role, set()) for role in user["roles"]))
    service, _dot, verb = method.rpartition(".")
    if "FULL_ADMIN" in held or service in ("auth", "core", "system"):
        return
    prefix = PREFIXES.get(service)
    kind = "READ" if verb in _READS or verb.endswith("_choices") else "DELETE" if verb == "delete" and prefix in SEPARATE_DELETE else "WRITE"
    # Whoever may write may read; whoever may write may not delete where that is a role of its own.
    if prefix is None or not {f"{prefix}_{kind}", *([f"{prefix}_WRITE"] if kind == "READ" else [])} & held:
        raise CallError("Not authorized", errno.EACCES)
