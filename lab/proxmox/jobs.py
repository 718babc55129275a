"""Backup jobs (``/cluster/backup``): kept, listed and changed as pve-manager does. The lab runs none of them."""

from __future__ import annotations

import re
import uuid
from typing import Any

from fakepve.routing import die, param_error, split_list
from fakepve.server import FakePve

# Days, then a time, or a keyword, as in "mon..fri 21:00", "*/15", "daily".
_CALENDAR = re.compile(r"(?:minutely|hourly|daily|weekly|monthly|yearly|(?:[a-z]{3}[a-z.,]* ?)?(?:[\d*][\d*/.,-]* ?)?(?:[\d*][\d*/.,:-]*)?)")
_TAKEN_APART = ("prune-backups", "fleecing", "performance")
_NUMBERS = ("enabled", "all", "protected", "repeat-missed", "bwlimit")
_SELECTIONS = ("vmid", "all", "pool")


def _parse(key: str, value: str) -> dict[str, str]:
    bare = "enabled" if key == "fleecing" else key
    return {name if sign else bare: text if sign else name for name, sign, text in (part.partition("=") for part in value.split(",") if part)}


class BackupJobs(FakePve):  # type: ignore[misc]  # fakepve has no types
    """Part of the API server."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.backup_jobs: dict[str, dict[str, Any]] = {}

    def _persist(self) -> None:
        """Save the state."""

    def _routes_backup_jobs(self) -> list[tuple[str, str, Any]]:
        one = "/cluster/backup/{id}"
        return [
            ("GET", "/cluster/backup", self._job_list), ("POST", "/cluster/backup", self._job_create),
            ("GET", one, self._job_read), ("PUT", one, self._job_update), ("DELETE", one, self._job_delete),
            ("GET", "/cluster/backup-info/not-backed-up", self._job_uncovered),
        ]

    def _job(self, job_id: str) -> dict[str, Any]:
        if job_id not in self.backup_jobs:
            raise param_error(id=f"No such job '{job_id}'")
        return self.backup_jobs[job_id]

    @staticmethod
    def _job_view(job: dict[str, Any]) -> dict[str, Any]:
        """Return a job as the server's JSON has it: property strings taken apart, numbers as numbers."""
        taken = {key: _parse(key, str(job[key])) for key in _TAKEN_APART if key in job}
        numbers = {key: int(str(job[key]) in ("1", "True")) if key != "bwlimit" else int(job[key]) for key in _NUMBERS if key in job}
        return {**job, **taken, **numbers, "type": "vzdump"}

    def _job_check(self, job: dict[str, Any]) -> None:
        """What the server refuses of a whole job."""
        if "schedule" in job and not (job["schedule"].strip() and _CALENDAR.fullmatch(job["schedule"])):
            raise param_error(schedule=f"invalid format - unable to parse calendar event '{job['schedule']}'")
        if not any(job.get(key) for key in _SELECTIONS):
            raise param_error(vmid="property is missing")
        for key in ("all", "exclude", "pool"):
            if job.get("vmid") and job.get(key):
                raise param_error(**{key: "option conflicts with option 'vmid'"})

    def _job_access(self, job: dict[str, Any], user: str) -> None:
        """What the server checks beside the schema. It does not look whether a storage exists, or takes backups."""
        if user != "root@pam":
            self.require(user, f"/storage/{job.get('storage') or 'local'}", "Datastore.Allocate")
        if job.get("pool"):
            if job["pool"] not in self.pools:
                raise die(f"pool '{job['pool']}' does not exist")
            self.require(user, f"/pool/{job['pool']}", "VM.Backup")

    async def _job_list(self, v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        del v, user
        return [self._job_view(self.backup_jobs[job_id]) for job_id in sorted(self.backup_jobs)]

    async def _job_read(self, v: dict[str, Any], user: str) -> dict[str, Any]:
        del user
        return self._job_view(self._job(v["id"]))

    async def _job_create(self, v: dict[str, Any], user: str) -> None:
        job = {"enabled": 1, **v, "id": v.get("id") or str(uuid.uuid4())}
        self._job_access(job, user)
        if "schedule" not in job:
            raise param_error(schedule="neither 'starttime' nor 'schedule' were set")
        if job["id"] in self.backup_jobs:
            raise die(f"Job '{job['id']}' already exists")
        self._job_check(job)
        self.backup_jobs[job["id"]] = job
        self._persist()

    async def _job_update(self, v: dict[str, Any], user: str) -> None:
        given = dict(v)
        job_id, removed = given.pop("id"), split_list(given.pop("delete", None))
        if not given and not removed:
            raise die("no options specified")
        if job_id not in self.backup_jobs:
            raise die("no such vzdump job")
        job = dict(self.backup_jobs[job_id])
        self._job_access({**job, **given}, user)
        for key in removed:
            job.pop(key, None)
        job.update(given)
        if job.get("exclude") and not job.get("pool"):
            job["all"] = 1
        if given.get("vmid"):
            others = ["all", "exclude", "pool"]
        elif given.get("all"):
            others = ["vmid", "pool"]
        else:
            others = ["vmid", "all", "exclude"] if job.get("pool") else []
        for key in others:
            job.pop(key, None)
        self._job_check(job)
        self.backup_jobs[job["id"]] = job
        self._persist()

    async def _job_delete(self, v: dict[str, Any], user: str) -> None:
        del user
        self._job(v["id"])
        del self.backup_jobs[v["id"]]
        self._persist()

    async def _job_uncovered(self, v: dict[str, Any], user: str) -> list[dict[str, Any]]:
        """Guests that no job takes; like the real one, it counts jobs that are not enabled."""
        del v, user
        covered: set[int] = set()
        for job in map(self._job_view, self.backup_jobs.values()):
            if job.get("all"):
                covered |= {vm.vmid for vm in self.vms} - {int(word) for word in split_list(job.get("exclude"))}
            elif job.get("pool"):
                covered |= {vm.vmid for vm in self.vms if vm.pool == job["pool"]}
            else:
                covered |= {int(word) for word in split_list(job.get("vmid"))}
        return [{"vmid": vm.vmid, "name": vm.config.get("name"), "type": "qemu"} for vm in self.vms if vm.vmid not in covered]
