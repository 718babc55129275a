# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""The digests of snapshots that a signed backup manifest vouches for."""

from __future__ import annotations

import json

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import manifest, signing


def read_digests(path: str, public_key: str) -> set[str]:
    """Return the SHA-256 of every raft snapshot in the signed manifest at *path*.

    Raises:
        SignatureWrong: it is truncated, or was not signed by the holder of the key.
        Refused: it cannot be read, or is no manifest.
    """
    key = signing.load_public_key(public_key)
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as exc:
        raise Refused(f"Cannot read the manifest {path}: {exc.strerror}.", hint="Fetch it from the destination of the backup.") from exc
    statement = json.loads(signing.unseal(data, key, path))
    if statement.get("predicateType") != manifest.PREDICATE:
        raise Refused(f"{path} is signed, but is no manifest of a backup.", hint="Give the manifest that names the snapshot.")
    points = statement["predicate"].get("recovery_points") or []
    return {str(point["sha256"]) for point in points if point.get("kind") == "vault_raft_snapshot" and point.get("sha256")}
