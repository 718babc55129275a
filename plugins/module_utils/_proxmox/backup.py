# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Making backups of several guests: one job a node, and what became of each guest."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused, TaskFailed
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.archives import Archive, BackupStorage, read_archives
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import Session, refuse_locked, title
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.tasks import LOG_LINES, is_upid

KEEP = ("all", "last", "hourly", "daily", "weekly", "monthly", "yearly")
_FINISHED = re.compile(r"Finished Backup of (?:VM|CT) (\d+) \((\d+):(\d\d):(\d\d)\)")
_FAILED = re.compile(r"ERROR: Backup of (?:VM|CT) (\d+) failed - (.*)")


class BackupIncomplete(PlatformError):
    """Some guests have no new backup; the others have."""


@dataclasses.dataclass(frozen=True)
class Job:
    """How backups are made; ``None`` leaves it to the server."""

    mode: str = "snapshot"
    compress: str = "zstd"
    protected: bool = False
    notes_template: str | None = None
    keep: t.Mapping[str, int] | None = None
    bwlimit: int | None = None
    fleecing: str | None = None
    change_detection: str | None = None

    def params(self, guests: t.Sequence[Guest], storage: BackupStorage) -> dict[str, t.Any]:
        """Return the parameters of ``POST vzdump``."""
        return {
            "vmid": ",".join(str(guest.vmid) for guest in guests),
            "storage": storage.name,
            "mode": self.mode,
            # A backup server compresses chunks in its own way.
            "compress": None if storage.is_backup_server else self.compress,
            "protected": 1 if self.protected else None,
            # The server wants line ends and backslashes escaped.
            "notes-template": self.notes_template.replace("\\", "\\\\").replace("\n", "\\n") if self.notes_template else None,
            "prune-backups": prune_text(self.keep) if self.keep else None,
            "bwlimit": self.bwlimit,
            "fleecing": self.fleecing,
            "pbs-change-detection-mode": self.change_detection if storage.is_backup_server else None,
        }


@dataclasses.dataclass
class Outcome:
    """What became of one guest."""

    guest: Guest
    archive: Archive | None = None
    made: bool = False
    seconds: int | None = None
    error: str | None = None

    def as_result(self) -> dict[str, t.Any]:
        """Return it for a module's result."""
        archive = self.archive.as_result() if self.archive else {}
        return {
            "name": self.guest.name,
            "vmid": self.guest.vmid,
            "node": self.guest.node,
            "type": self.guest.kind,
            "changed": self.made,
            "volid": archive.get("volid"),
            "size_bytes": archive.get("size_bytes"),
            "taken_at": archive.get("taken_at"),
            "verification": archive.get("verification"),
            "seconds": self.seconds,
            "error": self.error,
        }


@dataclasses.dataclass
class BackupPlan:
    """Which guests get a new backup, and which have one that is new enough."""

    storage: BackupStorage
    before: list[Archive]
    outcomes: list[Outcome]

    @property
    def due(self) -> list[Outcome]:
        """Those to be backed up."""
        return [one for one in self.outcomes if one.archive is None]

    def diff(self) -> DiffTracker:
        """Return the differences. What a retention removes and what the server calls the archives is not known beforehand."""
        tracker = DiffTracker()
        for one in self.due:
            tracker.add(one.guest.name or str(one.guest.vmid), before=None, after=f"backup on {self.storage.name}")
        return tracker


def prune_text(keep: t.Mapping[str, int]) -> str:
    """Return a retention as the server writes it."""
    return ",".join(f"keep-{kind}={keep[kind]}" for kind in KEEP if keep.get(kind))


def check_keep(keep: t.Mapping[str, t.Any] | None) -> dict[str, int] | None:
    """Return a retention that says something.

    Raises:
        Refused: a kind is unknown, a number negative, or nothing would be kept.
    """
    given = {kind: value for kind, value in (keep or {}).items() if value is not None}
    if not given:
        return None
    found = {kind: int(value) for kind, value in given.items()}
    if any(number < 0 for number in found.values()) or not any(found.values()):
        raise Refused(f"The retention {found} keeps nothing.", hint="Give at least one number above 0, such as last: 3.")
    if found.get("all") and len([number for number in found.values() if number]) > 1:
        raise Refused("The retention keeps all, and says numbers as well.", hint="Give all alone, or numbers without it.")
    return found


def plan_backup(client: ProxmoxClient, guests: t.Sequence[Guest], storage: BackupStorage, *, max_age: int | None) -> BackupPlan:
    """Find out what there is to do.

    Args:
        client: The endpoint.
        guests: Whom; each once.
        storage: Where to.
        max_age: A guest whose newest backup is not older than this is not backed up again; ``None`` backs up always.

    Raises:
        Refused: the storage is not there on a guest's node, or a guest is a template.
        Locked: another operation holds a guest.
    """
    for guest in guests:
        if guest.template and guest.kind == "lxc":
            raise Refused(f"{title(guest)} is a template.", hint="Leave it out.")
        if guest.node not in storage.nodes:
            raise Refused(
                f"{title(guest)} is on a node that has no storage {storage.name}.", hint=f"Nodes that have it: {', '.join(storage.nodes)}."
            )
    before = read_archives(client, storage)
    outcomes = []
    for guest in guests:
        mine = [one for one in before if (one.vmid, one.kind) == (guest.vmid, guest.kind)]
        fresh = mine and max_age is not None and mine[0].age() <= max_age and mine[0].verification != "failed"
        outcomes.append(Outcome(guest, mine[0] if fresh else None))
    plan = BackupPlan(storage, before, outcomes)
    for one in plan.due:
        refuse_locked(one.guest, "backup")
    return plan


def apply_backup(session: Session, plan: BackupPlan, job: Job) -> dict[str, list[str]]:
    """Run one job on each node at once, wait for all, and find what was made.

    Returns:
        ``pruned``: volume ids that the retention removed.

    Raises:
        BackupIncomplete: guests without a new backup are in ``details``.
    """
    by_node: dict[str, list[Outcome]] = {}
    for one in plan.due:
        by_node.setdefault(one.guest.node, []).append(one)
    jobs: list[tuple[t.Any, list[Outcome]]] = []
    for node, outcomes in sorted(by_node.items()):
        try:
            upid = session.client.post(f"nodes/{node}/vzdump", **job.params([one.guest for one in outcomes], plan.storage))
            jobs.append((upid, outcomes))
        except PlatformError as exc:
            _failed(outcomes, exc)
    tails: list[str] = []
    for upid, outcomes in jobs:
        tails += _finish(session, upid, outcomes)
    after = read_archives(session.client, plan.storage)
    known = {one.volid for one in plan.before}
    for one in plan.due:
        mine = [new for new in after if (new.vmid, new.kind) == (one.guest.vmid, one.guest.kind) and new.volid not in known]
        if mine and not one.error:
            one.archive, one.made = mine[0], True
        elif not one.error:
            one.error = "the job ended well, but no new archive is on the storage"
    gone = sorted(known - {one.volid for one in after})
    _raise_failed(plan, tails)
    return {"pruned": gone}


def _finish(session: Session, upid: t.Any, outcomes: list[Outcome]) -> list[str]:
    """Wait for a job; what its log says of each guest goes into *outcomes*. Returns the log's tail if it failed."""
    who = ", ".join(one.guest.name or str(one.guest.vmid) for one in outcomes)
    if not is_upid(upid):
        for one in outcomes:
            one.error = "the node began no backup: the guest is not there any more"
        return []
    try:
        session.wait(upid, f"Backup of {who}")
        failure: PlatformError | None = None
    except PlatformError as exc:
        failure = exc
    try:
        lines = session.log(upid)
    except PlatformError as exc:
        lines = [f"(the log could not be read: {exc.message})"]
    _read_log(lines, outcomes)
    if failure is None:
        return []
    named = [one for one in outcomes if one.error]
    if not named:
        _failed([one for one in outcomes if one.seconds is None], failure)
    return failure.log if isinstance(failure, TaskFailed) else lines[-LOG_LINES:]


def _read_log(lines: t.Iterable[str], outcomes: t.Sequence[Outcome]) -> None:
    by_vmid = {one.guest.vmid: one for one in outcomes}
    for line in lines:
        if (match := _FINISHED.search(line)) and int(match.group(1)) in by_vmid:
            hours, minutes, seconds = (int(part) for part in match.groups()[1:])
            by_vmid[int(match.group(1))].seconds = hours * 3600 + minutes * 60 + seconds
        elif (match := _FAILED.search(line)) and int(match.group(1)) in by_vmid:
            by_vmid[int(match.group(1))].error = match.group(2).strip()


def _failed(outcomes: t.Iterable[Outcome], exc: PlatformError) -> None:
    for one in outcomes:
        one.error = str(exc)


def _raise_failed(plan: BackupPlan, tails: list[str]) -> None:
    bad = [one for one in plan.outcomes if one.error]
    if bad:
        texts = "; ".join(f"{title(one.guest)}: {one.error}" for one in bad)
        raise BackupIncomplete(
            f"{len(bad)} of {len(plan.outcomes)} guests have no new backup on {plan.storage.name}. {texts}.",
            hint="The last lines of the jobs' logs are in error.log; the others have their backups.",
            details={"log": tails[-LOG_LINES:]},
        )
