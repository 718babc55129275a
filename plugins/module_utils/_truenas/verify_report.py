# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""What a verification of replicas found, as JSON and as a Prometheus text file."""

from __future__ import annotations

import json
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.render_metrics import family

Report = t.Mapping[str, t.Any]


def metrics(report: Report) -> bytes:
    """Return *report* in the text format of Prometheus. A pair without an age has no age here: absent is not zero."""
    base = {"system": report["system"]}
    rows = [({**base, "replication": one["replication"] or "", "source": one["source"], "target": one["target"]}, one) for one in report["pairs"]]
    reasons = [({**labels, "reason": name}, 1) for labels, one in rows for name in sorted({why["reason"] for why in one["reasons"]})]
    lines = [
        family("replicas_verified", "1 if every replica that was asked for can be relied on.", [(base, int(report["verdict"] == "verified"))]),
        family("replicas_verification_timestamp_seconds", "When the replicas were verified.", [(base, report["time"])]),
        family("replica_verified", "1 if the replica can be relied on.", [(labels, int(one["verdict"] == "verified")) for labels, one in rows]),
        family("replica_rpo_seconds", "Age of the newest snapshot that is on both sides.", [(labels, one["rpo_seconds"]) for labels, one in rows]),
        family("replica_max_age_seconds", "Age from which the replica is too old.", [(labels, one["max_age"]) for labels, one in rows]),
        family("replica_source_age_seconds", "Age of the newest snapshot of the source.", [(labels, one["age_seconds"]) for labels, one in rows]),
        family("replica_missing_snapshots", "Snapshots that the target lacks.", [(labels, one["missing_count"]) for labels, one in rows]),
        family("replica_reason", "Why the replica can't be relied on; the value is always 1.", reasons),
    ]
    return ("\n".join(line for part in lines for line in part) + "\n").encode()


def document(report: Report) -> bytes:
    """Return *report* as JSON."""
    return (json.dumps(report, indent=2, sort_keys=True) + "\n").encode()


def write(path: str, content: bytes) -> None:
    """Put *content* to *path*, readable for all (a collector is another user) and whole or not there.

    Raises:
        Refused: it cannot be written.
    """
    temporary = f"{path}.new-{os.getpid()}"
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except OSError as exc:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise Refused(f"Cannot write {path}: {exc.strerror}.", hint="Its directory must exist and be writable.") from exc
