# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Taking a raft snapshot: from the leader, streamed to disk, complete or not there at all."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import tempfile
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from ansible_collections.resilient.platform.plugins.module_utils._vault.errors import Incomplete
from ansible_collections.resilient.platform.plugins.module_utils._vault.node import NodeState, find_leader
from ansible_collections.resilient.platform.plugins.module_utils._vault.raft import SNAPSHOT, check_capability
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_file import Snapshot, inspect_stream


@dataclasses.dataclass(frozen=True)
class TakePlan:
    """The leader and where its snapshot goes."""

    leader: VaultClient
    state: NodeState
    dest: str
    mode: int

    def diff(self) -> dict[str, t.Any]:
        """Return the diff; the same before and after the deed."""
        header = f"snapshot {self.dest}"
        after = {"path": self.dest, "mode": f"{self.mode:04o}", "leader_address": self.leader.url}
        return {"before": {}, "after": after, "before_header": header, "after_header": header}


class _Copy:
    """Writes to a file what is read from a stream."""

    def __init__(self, pieces: t.Iterator[bytes], file: t.BinaryIO) -> None:
        self._pieces = pieces
        self._file = file

    def read(self, size: int, /) -> bytes:
        """Return about *size* bytes unless the stream ends: it comes in pieces of some kilobytes, and each costs a turn."""
        taken: list[bytes] = []
        length = 0
        while length < size:
            piece = next(self._pieces, None)
            if piece is None:
                break
            taken.append(piece)
            length += len(piece)
        data = taken[0] if len(taken) == 1 else b"".join(taken)
        self._file.write(data)
        return data


def parse_mode(mode: str) -> int:
    """Return an octal file mode.

    Raises:
        Refused: it is none.
    """
    try:
        value = int(mode, 8)
    except ValueError:
        value = -1
    if not 0o400 <= value <= 0o777:
        raise Refused(f"mode {mode!r} is no file mode.", hint="Write it in octal and in quotes, such as '0600'.")
    return value


def plan_take(client: VaultClient, dest: str, mode: str) -> TakePlan:
    """Find the leader and refuse what cannot succeed."""
    files.check_writable(dest)
    parsed = parse_mode(mode)
    leader, state = find_leader(client)
    check_capability(leader, SNAPSHOT, "read", what="take a snapshot")
    return TakePlan(leader, state, dest, parsed)


def take(plan: TakePlan) -> tuple[Snapshot, str]:
    """Take the snapshot; return what is in the file and when it was begun (UTC, microseconds).

    Raises:
        Incomplete: the file is not a whole snapshot of at least the index noted before; nothing is left behind.
    """
    taken_at = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    directory = os.path.dirname(os.path.abspath(plan.dest))
    temporary = ""
    try:
        handle, temporary = tempfile.mkstemp(prefix=".snapshot-", dir=directory)  # 0600
        with os.fdopen(handle, "wb") as file:
            # Looked at while it comes: a second reading would take as long again.
            snapshot = inspect_stream(_Copy(plan.leader.download(SNAPSHOT, what="take a snapshot"), file), temporary)
            file.flush()
            os.fsync(file.fileno())
        _check(plan, snapshot)
        os.chmod(temporary, plan.mode)
        os.replace(temporary, plan.dest)
        temporary = ""
        files.fsync_directory(directory)
    except OSError as exc:
        raise PlatformError(
            f"Cannot write the snapshot of {plan.leader.url} to {plan.dest}: {exc.strerror}.",
            hint="Check space and permissions; nothing is left behind.",
        ) from exc
    finally:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
    return dataclasses.replace(snapshot, path=plan.dest), taken_at


def _check(plan: TakePlan, snapshot: Snapshot) -> None:
    """Refuse a file that hvac and curl would have called a success."""
    said = "; ".join(snapshot.problems.values())
    noted = plan.state.applied_index
    if not said and noted is not None and (snapshot.index or 0) < noted:
        said = f"it ends at raft index {snapshot.index}, while {noted} had been applied before it was asked for"
    if said:
        raise Incomplete(
            f"The snapshot that {plan.leader.url} sent ({snapshot.size_bytes} bytes) is not complete: {said}.",
            method="GET",
            path=SNAPSHOT,
            said=said,
            hint="Take it again; if it happens again, see the log of the server.",
        )
