"""Backup jobs of the API double, and the modules against it: what one writes, the other understands."""

from __future__ import annotations

import pathlib
from typing import Any

import pytest
from helpers.lab_pve import Api, api
from helpers.modules import ModuleFailed, run_module

from ansible_collections.resilient.platform.plugins.modules import proxmox_backup_job, proxmox_backup_job_info
from lab.proxmox import store

__all__ = ["api"]
JOBS = "/cluster/backup"


@pytest.fixture
def vms(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """An API with two VMs and a pool; the modules find it by the environment."""
    api.create(100, name="web", memory=512)
    api.create(101, name="db", memory=512)
    api("POST", "/pools", poolid="prod")
    api("PUT", "/pools", poolid="prod", vms="101")
    ca = api.pve.save_to.parent.parent / "pki" / "ca.pem"
    values = {"HOST": "127.0.0.1", "PORT": api.pve.port, "USER": "automation@pve", "TOKEN_ID": "lab", "TOKEN_SECRET": "secret", "CA_PATH": ca}
    for name, value in values.items():
        monkeypatch.setenv(f"PROXMOX_{name}", str(value))
    return api


def job(check: bool = False, **args: Any) -> dict[str, Any]:
    return run_module(proxmox_backup_job.main, {"id": "nightly", **args}, check=check, diff=True)


def info() -> dict[str, Any]:
    return run_module(proxmox_backup_job_info.main, {})


FULL: dict[str, Any] = {
    "schedule": "mon..fri 21:00", "guests": ["web"], "storage": "local", "mode": "stop", "compress": "zstd", "protected": True,
    "repeat_missed": True, "comment": "each night", "notes_template": "{{guestname}}\n\\o/", "keep": {"last": 3, "weekly": 2}, "bwlimit": 9000,
    "fleecing": "enabled=1,storage=local-lvm", "enabled": False,
}  # fmt: skip


def test_job_comes_stays_changes_and_goes(vms: Api) -> None:
    predicted = job(check=True, **FULL)
    assert vms("GET", JOBS) == []
    made = job(**FULL)
    assert made["diff"] == predicted["diff"] and made["job"]["action"] == "create"
    assert not job(**FULL)["changed"]
    found = info()
    one = found["jobs"][0]
    assert {name: one[name] for name in FULL} == {**FULL, "guests": [100]}
    assert [guest["vmid"] for guest in found["not_backed_up"]] == [100, 101], "a job that is off protects nobody"

    for change, uncovered in (
        ({"enabled": True}, [101]), ({"pool": "prod"}, [100]), ({"all": True, "exclude": ["db"]}, [101]), ({"exclude": []}, []),
        ({"comment": "", "keep": {"all": True}}, []), ({"guests": ["web", "101"]}, []),
    ):  # fmt: skip
        predicted = job(check=True, **change)
        done = job(**change)
        assert done["changed"] and done["diff"] == predicted["diff"], change
        assert not job(**change)["changed"], change
        assert [guest["vmid"] for guest in info()["not_backed_up"]] == uncovered, change
    assert vms("GET", f"{JOBS}/nightly") == {
        **{"id": "nightly", "type": "vzdump", "enabled": 1, "schedule": "mon..fri 21:00", "vmid": "100,101", "storage": "local", "mode": "stop"},
        **{"compress": "zstd", "protected": 1, "repeat-missed": 1, "notes-template": "{{guestname}}\\n\\\\o/", "bwlimit": 9000},
        **{"prune-backups": {"keep-all": "1"}, "fleecing": {"enabled": "1", "storage": "local-lvm"}},
    }
    assert job(state="absent")["changed"] and not job(state="absent")["changed"]


def test_jobs_survive_a_restart(vms: Api, tmp_path: pathlib.Path) -> None:
    job(schedule="21:00", all=True)
    saved = store.dump(vms.pve)["backup_jobs"]
    assert vms("GET", "/cluster/backup-info/not-backed-up") == [], "the server's own list"
    assert list(saved) == ["nightly"] and saved["nightly"]["schedule"] == "21:00"


@pytest.mark.parametrize(("args", "message"), [
    ({"schedule": "25 o'clock", "all": True}, "schedule: invalid format"),
    ({"schedule": "21:00", "pool": "nope"}, "pool 'nope' does not exist"),
])  # fmt: skip
def test_what_only_the_server_knows_is_its_refusal(vms: Api, args: dict[str, Any], message: str) -> None:
    with pytest.raises(ModuleFailed, match=message):
        job(**args)
    assert vms("GET", JOBS) == []


@pytest.mark.parametrize(("call", "message"), [
    (("GET", f"{JOBS}/other", {}), "No such job 'other'"),
    (("DELETE", f"{JOBS}/other", {}), "No such job 'other'"),
    (("POST", JOBS, {"id": "nightly", "schedule": "1:00", "all": 1}), "Job 'nightly' already exists"),
    (("POST", JOBS, {"id": "other", "all": 1}), "neither 'starttime' nor 'schedule'"),
    (("POST", JOBS, {"id": "other", "schedule": "1:00"}), "property is missing"),
    (("POST", JOBS, {"id": "other", "schedule": "1:00", "vmid": "100", "all": 1}), "option conflicts"),
    (("PUT", f"{JOBS}/other", {"enabled": 0}), "no such vzdump job"),
    (("PUT", f"{JOBS}/nightly", {}), "no options specified"),
    (("PUT", f"{JOBS}/nightly", {"protected": 1}), "storage"),
])  # fmt: skip
def test_server_refuses(vms: Api, call: tuple[str, str, dict[str, Any]], message: str) -> None:
    job(schedule="21:00", all=True)
    method, path, values = call
    with pytest.raises(AssertionError, match=message):
        vms(method, path, **values)
