# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Scheduled backups (``/cluster/backup``): what a job says, what there is to change in it, and changing it."""

from __future__ import annotations

import dataclasses
import datetime
import re
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._diff import DiffTracker
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.archives import backup_storage
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.backup import KEEP, prune_text
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.common import find_guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.models import Cluster, Guest
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.properties import parse_properties

Values = dict[str, t.Any]

PATH = "cluster/backup"
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]+")
# Our option, and the server's parameter where it has another name.
PARAMETERS = {
    "schedule": "schedule",
    "enabled": "enabled",
    "storage": "storage",
    "node": "node",
    "mode": "mode",
    "compress": "compress",
    "protected": "protected",
    "repeat_missed": "repeat-missed",
    "comment": "comment",
    "notes_template": "notes-template",
    "keep": "prune-backups",
    "bwlimit": "bwlimit",
    "fleecing": "fleecing",
    "change_detection": "pbs-change-detection-mode",
}
# What a job does that says nothing; of the others the node decides.
DEFAULTS: Values = {"enabled": True, "mode": "snapshot", "compress": "none", "protected": False, "repeat_missed": False}
# Which guests: exactly one of the first three; exclude goes with all. The server's names.
SELECTIONS = {"guests": "vmid", "all": "all", "pool": "pool", "exclude": "exclude"}
# The server takes these only together with a storage.
NEED_STORAGE = frozenset({"notes-template", "protected"})
_FLAGS = ("enabled", "protected", "repeat_missed", "all")
_COMPRESS = {"0": "none", "1": "lzo"}


def read_jobs(client: ProxmoxClient) -> dict[str, Values]:
    """Return all backup jobs by id, with the names and types of our options. One request."""
    return {str(line["id"]): from_api(line) for line in client.get(PATH) or [] if line.get("type", "vzdump") == "vzdump"}


def not_backed_up(cluster: Cluster, jobs: t.Mapping[str, Values]) -> list[Values]:
    """Return the guests that no enabled job takes, by id. The server's own list counts jobs that are switched off."""
    active = [job for job in jobs.values() if job["enabled"]]
    return [
        {"vmid": guest.vmid, "name": guest.name, "type": guest.kind}
        for guest in sorted(cluster.guests, key=lambda one: one.vmid)
        if not any(_takes(job, guest) for job in active)
    ]


def _takes(job: Values, guest: Guest) -> bool:
    if job["node"] not in (None, guest.node):
        return False
    if job["pool"]:
        return bool(guest.pool == job["pool"])
    return guest.vmid in job["guests"] if job["guests"] else job["all"] and guest.vmid not in job["exclude"]


def from_api(line: t.Mapping[str, t.Any]) -> Values:
    """Read one job. What it does not say is None, or the default."""
    found: Values = {ours: line.get(theirs) for ours, theirs in {**PARAMETERS, **SELECTIONS}.items()}
    for name, value in DEFAULTS.items():
        found[name] = value if found[name] is None else found[name]
    for name in _FLAGS:
        found[name] = str(found[name] or 0) not in ("0", "")
    found["compress"] = _COMPRESS.get(str(found["compress"]), found["compress"])
    found["guests"] = _ids(found["guests"])
    found["exclude"] = _ids(found["exclude"])
    found["keep"] = _keep(found["keep"])
    found["bwlimit"] = None if found["bwlimit"] is None else int(found["bwlimit"])
    found["fleecing"] = _flat(found["fleecing"])
    if found["notes_template"]:
        found["notes_template"] = re.sub(r"\\(.)", lambda match: "\n" if match[1] == "n" else match[1], found["notes_template"])
    found["next_run"] = _time(line.get("next-run"))
    return found


def _ids(text: t.Any) -> list[int]:
    return sorted({int(word) for word in re.split(r"[,;\s]+", str(text or "")) if word})


def _keep(value: t.Any) -> dict[str, int] | None:
    """Return a retention, which the server gives as text or taken apart."""
    parts = value if isinstance(value, t.Mapping) else parse_properties(str(value or ""), "keep-all")
    found = {kind: int(parts[f"keep-{kind}"]) for kind in KEEP if str(parts.get(f"keep-{kind}") or "0") != "0"}
    return found or None


def _flat(value: t.Any) -> str | None:
    """Return a property string in one form, whether the server gives it as text or taken apart."""
    parts = value if isinstance(value, t.Mapping) else parse_properties(str(value or ""), "enabled")
    return ",".join(f"{key}={parts[key]}" for key in sorted(parts)) or None


def _time(seconds: t.Any) -> str | None:
    if not seconds:
        return None
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclasses.dataclass
class JobPlan:
    """What there is to do about one job. ``changes`` has our names and the new values; None removes what the job says."""

    job_id: str
    state: str
    current: Values | None
    changes: Values = dataclasses.field(default_factory=dict)

    @property
    def action(self) -> str | None:
        """``create``, ``update``, ``delete``, or nothing."""
        if self.state == "absent":
            return "delete" if self.current else None
        if self.current is None:
            return "create"
        return "update" if self.changes else None

    def diff(self) -> DiffTracker:
        """Return the differences."""
        tracker = DiffTracker()
        if self.action == "delete":
            for name, value in (self.current or {}).items():
                tracker.add(name, before=None if name == "next_run" or value in ([], False) else value, after=None)
        for name, value in self.changes.items():
            tracker.add(name, before=(self.current or {}).get(name), after=value)
        return tracker

    def params(self) -> tuple[Values, list[str]]:
        """Return the request's parameters, and those that are to be removed from the job."""
        sent: Values = {}
        removed: list[str] = []
        for name, value in self.changes.items():
            theirs = PARAMETERS.get(name) or SELECTIONS[name]
            if value in (None, []) or (name == "all" and not value):
                removed += [theirs] if self.current else []
            else:
                sent[theirs] = _as_parameter(name, value)
        current = self.current or {}
        if sent.keys() & NEED_STORAGE and current.get("storage"):
            sent.setdefault("storage", current["storage"])
        return sent, removed


def _as_parameter(name: str, value: t.Any) -> t.Any:
    if name in ("guests", "exclude"):
        return ",".join(map(str, value))
    if name == "keep":
        return prune_text(value)
    if name == "compress":
        return "0" if value == "none" else value
    if name == "notes_template":
        return value.replace("\\", "\\\\").replace("\n", "\\n")
    return int(value) if isinstance(value, bool) else value


def plan_job(client: ProxmoxClient, job_id: str, state: str, wanted: t.Mapping[str, t.Any]) -> JobPlan:
    """Look at the job, and at what its new values name.

    Args:
        client: The endpoint.
        job_id: The job.
        state: ``present`` or ``absent``.
        wanted: Our options; None is left alone, an empty text removes what the job says. Guests by name or id.

    Raises:
        Refused: it may not be; nothing was written.
        NotFound: a guest, a storage or a node is not there.
    """
    current = read_jobs(client).get(job_id)
    # Jobs of former releases have other ids.
    if current is None and not _ID.fullmatch(job_id):
        raise Refused(f"{job_id!r} cannot be the id of a job.", hint="Use letters, digits, '_' and '-', beginning with a letter; at least two.")
    plan = JobPlan(job_id, state, current)
    if state == "absent":
        return plan
    given = {name: value for name, value in wanted.items() if value is not None}
    lines = client.get("cluster/resources") if given.keys() & {"guests", "exclude", "storage", "node"} else []
    cluster = Cluster.from_api(lines)
    for name in ("guests", "exclude"):
        if name in given:
            given[name] = sorted({find_guest(cluster, str(one)).vmid for one in given[name]})
    if "fleecing" in given:
        given["fleecing"] = _flat(given["fleecing"]) or ""
    given = _with_selection(plan, given)
    for name, value in given.items():
        value = None if value == "" else value
        if (current or {}).get(name) != value and not (current is None and value in (None, [], False) and name != "enabled"):
            plan.changes[name] = value
    if current is None and "schedule" not in given:
        raise Refused(f"There is no job {job_id}, and no schedule for a new one.", hint="Give schedule, such as 21:00 or 'sat 03:30'.")
    if plan.params()[0].keys() & NEED_STORAGE and not (given.get("storage") or (current or {}).get("storage")):
        raise Refused(f"The job {job_id} has no storage, which notes_template and protected need.", hint="Give storage.")
    if plan.changes.get("storage"):
        backup_storage(lines, plan.changes["storage"])
    if plan.changes.get("node") and plan.changes["node"] not in cluster.nodes:
        raise Refused(f"There is no node {plan.changes['node']}.", hint=f"Nodes: {', '.join(sorted(cluster.nodes)) or 'none is visible'}.")
    return plan


def _with_selection(plan: JobPlan, given: Values) -> Values:
    """Return *given* with the selections that the new one takes the place of.

    Raises:
        Refused: nobody would be backed up, or guests are left out of a list that names all it has.
    """
    kinds, current = ("guests", "all", "pool"), plan.current or {}
    chosen = [name for name in kinds if given.get(name)] or [name for name in kinds if name not in given and current.get(name)]
    if not chosen:
        raise Refused(f"The job {plan.job_id} would back up nobody.", hint="Give guests, pool, or all: true; or state: absent.")
    if given.get("exclude") and "all" not in chosen:
        raise Refused(f"The job {plan.job_id} does not take all guests, so none can be left out.", hint="Give exclude with all: true only.")
    others: Values = {name: None if name == "pool" else [] if name in ("guests", "exclude") else False for name in SELECTIONS}
    keeps = {*chosen, *(["exclude"] if "all" in chosen else [])}
    return {**given, **{name: empty for name, empty in others.items() if name not in keeps}}


def apply_job(client: ProxmoxClient, plan: JobPlan) -> None:
    """Do what the plan says.

    Raises:
        ApiError: the server refused, with its words for each parameter.
    """
    sent, removed = plan.params()
    if plan.action == "create":
        client.post(PATH, id=plan.job_id, **sent)
    elif plan.action == "update":
        client.put(f"{PATH}/{plan.job_id}", **sent, delete=",".join(removed) or None)
    elif plan.action == "delete":
        client.delete(f"{PATH}/{plan.job_id}", {})
