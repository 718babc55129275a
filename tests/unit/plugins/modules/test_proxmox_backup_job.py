"""Scheduled backups: compared by what they mean, changed with the fewest parameters, refused before the first write."""

from __future__ import annotations

import typing as t

import pytest
from helpers.modules import ModuleFailed, run_module
from helpers.proxmox import CONNECTION, Exchange, Wire, get, guest, post, resources, wire

from ansible_collections.resilient.platform.plugins.modules import proxmox_backup_job, proxmox_backup_job_info

__all__ = ["wire"]
JOBS = "cluster/backup"
WEB, DB = guest(101, "web", "running"), {**guest(200, "db"), "type": "lxc", "id": "lxc/200"}
# As pve-manager lists one: property strings are taken apart, the notes escaped, numbers as they come.
NIGHTLY = {
    "id": "nightly", "type": "vzdump", "enabled": 1, "schedule": "21:00", "storage": "local", "mode": "snapshot", "compress": "zstd",
    "vmid": "200,101", "prune-backups": {"keep-last": "3", "keep-daily": "14"}, "notes-template": "{{guestname}}\\nby C:\\\\x",
    "fleecing": {"enabled": "1", "storage": "local-lvm"}, "bwlimit": "1000", "next-run": 1767232800,
}  # fmt: skip
SAME: dict[str, t.Any] = {
    "schedule": "21:00", "storage": "local", "compress": "zstd", "guests": ["web", "200"], "keep": {"last": 3, "daily": 14, "weekly": 0},
    "notes_template": "{{guestname}}\nby C:\\x", "fleecing": "storage=local-lvm,1", "bwlimit": 1000, "enabled": True, "protected": False,
    "repeat_missed": False, "mode": "snapshot", "comment": "", "node": "",
}  # fmt: skip


def listed(*jobs: dict[str, t.Any]) -> Exchange:
    return get(JOBS, list(jobs))


def put(**params: t.Any) -> Exchange:
    return Exchange("PUT", f"{JOBS}/nightly", params=params)


def run(check: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_backup_job.main, {**CONNECTION, "id": "nightly", **args}, check=check, diff=True)


def test_what_means_the_same_is_no_change(wire: Wire) -> None:
    wire.expect(listed(NIGHTLY), resources(WEB, DB))
    result = run(**SAME)
    assert (result["changed"], result["job"], result["diff"]["after"]) == (False, {"id": "nightly", "action": None}, {})


@pytest.mark.parametrize(
    "job",
    [
        {**NIGHTLY, "prune-backups": "keep-daily=14,keep-last=3", "fleecing": "1,storage=local-lvm"},
        {key: value for key, value in NIGHTLY.items() if key not in ("enabled", "mode")},
    ],
)
def test_older_servers_say_it_in_other_words(wire: Wire, job: dict[str, t.Any]) -> None:
    wire.expect(listed(job), resources(WEB, DB))
    assert not run(**SAME)["changed"]


def test_missing_job_is_made_in_one_request(wire: Wire) -> None:
    args = {**SAME, "protected": True}
    wire.expect(listed(), resources(WEB, DB))
    predicted = run(check=True, **args)
    assert predicted["changed"] and not wire.writes
    wire.expect(listed({**NIGHTLY, "id": "other"}), resources(WEB, DB), post(JOBS, params={
        "id": "nightly", "schedule": "21:00", "storage": "local", "compress": "zstd", "vmid": "101,200", "enabled": 1, "protected": 1,
        "prune-backups": "keep-last=3,keep-daily=14", "notes-template": "{{guestname}}\\nby C:\\\\x", "bwlimit": 1000, "mode": "snapshot",
        "fleecing": "enabled=1,storage=local-lvm",
    }))  # fmt: skip
    made = run(**args)
    assert made["diff"] == predicted["diff"] and made["job"]["action"] == "create" and made["diff"]["after"]["guests"] == [101, 200]


def test_only_what_differs_is_sent(wire: Wire) -> None:
    wire.expect(listed(NIGHTLY), put(schedule="sat 03:30", enabled=0))
    result = run(schedule="sat 03:30", enabled=False, mode="snapshot")
    assert result["diff"]["before"] == {"schedule": "21:00", "enabled": True}
    assert result["diff"]["after"] == {"schedule": "sat 03:30", "enabled": False}


def test_what_an_empty_text_means_is_removed(wire: Wire) -> None:
    wire.expect(listed({**NIGHTLY, "comment": "old"}), put(delete="comment,notes-template,fleecing"))
    assert run(comment="", notes_template="", fleecing="")["diff"]["after"] == {}


def test_notes_and_protection_are_sent_with_the_storage_that_they_need(wire: Wire) -> None:
    wire.expect(listed(NIGHTLY), put(protected=1, storage="local"))
    assert run(protected=True)["changed"]
    bare = {"id": "nightly", "type": "vzdump", "schedule": "21:00", "all": 1}
    wire.expect(listed(bare))
    with pytest.raises(ModuleFailed, match="has no storage, which notes_template and protected need"):
        run(notes_template="x")


@pytest.mark.parametrize(
    ("job", "args", "sent"),
    [
        ({}, {"guests": ["db"]}, {"vmid": "200"}),
        ({}, {"all": True, "exclude": ["web"]}, {"all": 1, "exclude": "101", "delete": "vmid"}),
        ({}, {"pool": "prod"}, {"pool": "prod", "delete": "vmid"}),
        ({"vmid": None, "all": 1, "exclude": "101"}, {"exclude": []}, {"delete": "exclude"}),
        ({"vmid": None, "all": 1, "exclude": "101"}, {"exclude": ["web", "db"]}, {"exclude": "101,200"}),
        ({"vmid": None, "all": 1, "exclude": "101"}, {"guests": ["web"]}, {"vmid": "101", "delete": "all,exclude"}),
        ({"vmid": None, "pool": "prod"}, {"all": True}, {"all": 1, "delete": "pool"}),
    ],
)
def test_one_selection_takes_the_place_of_another(wire: Wire, job: dict[str, t.Any], args: dict[str, t.Any], sent: dict[str, t.Any]) -> None:
    wire.expect(listed({**NIGHTLY, **job}), put(**sent))
    if args.keys() & {"guests", "exclude"}:
        wire.expect(resources(WEB, DB))
    assert run(**args)["changed"]


def test_guest_that_is_gone_is_taken_out_of_the_list(wire: Wire) -> None:
    wire.expect(listed({**NIGHTLY, "vmid": "101,200,300"}), resources(WEB, DB), put(vmid="101,200"))
    assert run(guests=["web", "db"])["diff"]["before"] == {"guests": [101, 200, 300]}


def test_removed_once(wire: Wire) -> None:
    wire.expect(listed(NIGHTLY))
    predicted = run(state="absent", check=True)
    wire.expect(listed(NIGHTLY), Exchange("DELETE", f"{JOBS}/nightly", params={}))
    gone = run(state="absent")
    assert gone["changed"] and gone["diff"] == predicted["diff"] and gone["diff"]["before"]["schedule"] == "21:00"
    wire.expect(listed({**NIGHTLY, "id": "other"}))
    assert not run(state="absent")["changed"]


@pytest.mark.parametrize(
    ("jobs", "args", "message"),
    [
        ([], {"schedule": "21:00"}, "would back up nobody"),
        ([NIGHTLY], {"guests": []}, "would back up nobody"),
        ([], {"id": "1st", "all": True}, "cannot be the id of a job"),
        ([], {"id": "1st", "state": "absent"}, "cannot be the id of a job"),
        ([], {"all": True}, "no schedule for a new one"),
        ([NIGHTLY], {"exclude": ["web"]}, "does not take all guests"),
        ([NIGHTLY], {"guests": ["nobody"]}, "no guest nobody"),
        ([NIGHTLY], {"storage": "nope"}, "no storage nope"),
        ([NIGHTLY], {"storage": "local-lvm"}, "does not take backups"),
        ([NIGHTLY], {"node": "pve7"}, "no node pve7"),
    ],
)
def test_refused_before_the_write(wire: Wire, jobs: list[dict[str, t.Any]], args: dict[str, t.Any], message: str) -> None:
    wire.expect(listed(*jobs))
    if args.keys() & {"guests", "exclude", "storage", "node"}:
        wire.expect(resources(WEB, DB))
    with pytest.raises(ModuleFailed, match=message):
        run(**args)
    assert not wire.writes


@pytest.mark.parametrize(("args", "message"), [
    ({"all": True, "schedule": "21:00", "keep": {"last": 0}}, "keeps nothing"),
    ({"all": True, "pool": "prod"}, "mutually exclusive"),
])  # fmt: skip
def test_refused_without_asking_anybody(wire: Wire, args: dict[str, t.Any], message: str) -> None:
    with pytest.raises(ModuleFailed, match=message):
        run(**args)
    assert not wire.seen


def test_what_the_server_refuses_is_told_by_parameter(wire: Wire) -> None:
    errors = {"schedule": "invalid format - unable to parse calendar event"}
    wire.expect(listed(NIGHTLY), Exchange("PUT", f"{JOBS}/nightly", status=400, reason="Parameter verification failed.", errors=errors))
    with pytest.raises(ModuleFailed, match="schedule: invalid format"):
        run(schedule="rubbish")


def test_info_names_the_jobs_and_who_has_none(wire: Wire) -> None:
    wire.expect(
        listed({"id": "z", "type": "vzdump", "all": 1, "exclude": "9", "schedule": "1:00", "compress": "1"}, NIGHTLY),
        resources(WEB, DB, guest(9, "left-out"), guest(300, "new")),
    )
    found = run_module(proxmox_backup_job_info.main, CONNECTION)
    assert [one["id"] for one in found["jobs"]] == ["nightly", "z"]
    assert found["not_backed_up"] == [{"vmid": 9, "name": "left-out", "type": "qemu"}] and len(wire.seen) == 2
    first, last = found["jobs"]
    assert (first["guests"], first["keep"], first["next_run"]) == ([101, 200], {"last": 3, "daily": 14}, "2026-01-01T02:00:00Z")
    assert (last["all"], last["exclude"], last["enabled"], last["compress"], last["keep"]) == (True, [9], True, "lzo", None)


@pytest.mark.parametrize(
    ("job", "uncovered"),
    [
        ({"vmid": "101,300"}, [9, 200]),
        ({"vmid": "101,300", "enabled": 0}, [9, 101, 200, 300]),
        ({"all": 1, "exclude": "9"}, [9]),
        ({"all": 1, "node": "pve2"}, [9, 101, 200]),
        ({"pool": "prod"}, [9, 101, 300]),
    ],
)
def test_info_counts_only_jobs_that_run(wire: Wire, job: dict[str, t.Any], uncovered: list[int]) -> None:
    wire.expect(listed({"id": "one", "type": "vzdump", "schedule": "21:00", **job}))
    wire.expect(resources(WEB, {**DB, "pool": "prod"}, guest(9, "x"), guest(300, "new", node="pve2")))
    assert [one["vmid"] for one in run_module(proxmox_backup_job_info.main, CONNECTION)["not_backed_up"]] == uncovered


def test_info_without_the_privilege_says_which(wire: Wire) -> None:
    wire.expect(get(JOBS, status=403, reason="Permission check failed (/, Sys.Audit)"))
    with pytest.raises(ModuleFailed, match="the privilege Sys.Audit on /"):
        run_module(proxmox_backup_job_info.main, CONNECTION)
