"""Backup jobs against an unmodified fakepve. It checks every request by the API's schema and permissions, but keeps no job: it always
lists the one example that the schema's answers are made of."""

from __future__ import annotations

import pathlib
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fleet as shared  # noqa: E402
from helpers.modules import ModuleFailed, run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.modules import proxmox_backup_job, proxmox_backup_job_info  # noqa: E402

# The fixture; pytest finds it by its name.
pve = shared.pve
pytestmark = pytest.mark.server


def job(check: bool = False, **args: t.Any) -> dict[str, t.Any]:
    return run_module(proxmox_backup_job.main, args, check=check, diff=True)


def test_requests_of_a_job_are_what_the_schema_says(pve: t.Any) -> None:
    listed = run_module(proxmox_backup_job_info.main, {})
    example = listed["jobs"][0]
    assert example["schedule"] and listed["not_backed_up"][0]["vmid"] == 9000 and len(pve.requests) == 2
    everything = {
        "schedule": "21:00", "guests": ["debian12"], "storage": "local", "node": "pve1", "mode": "snapshot", "compress": "zstd",
        "protected": True, "repeat_missed": True, "comment": "each night", "notes_template": "{{guestname}}", "keep": {"last": 3},
        "bwlimit": 0, "fleecing": "enabled=1,storage=local-lvm", "change_detection": "metadata", "enabled": False,
    }  # fmt: skip
    assert job(id="nightly", **everything)["job"]["action"] == "create"
    assert job(id=example["id"], comment="", enabled=False)["diff"]["before"] == {"comment": example["comment"], "enabled": True}
    assert not job(id=example["id"], schedule=example["schedule"], storage=example["storage"], comment=example["comment"])["changed"]
    assert job(id=example["id"], state="absent")["job"]["action"] == "delete"
    sent = [(method, path.partition("/api2/json")[2]) for method, path, _body in pve.requests if method != "GET"]
    assert sent == [("POST", "/cluster/backup"), ("PUT", f"/cluster/backup/{example['id']}"), ("DELETE", f"/cluster/backup/{example['id']}")]


def test_check_mode_writes_nothing(pve: t.Any) -> None:
    assert job(check=True, id="nightly", schedule="21:00", all=True)["changed"]
    assert {method for method, _path, _body in pve.requests} == {"GET"}


def test_missing_privilege_is_named(pve: t.Any) -> None:
    pve.apitokens["auto@pve!ci"] = "s"
    pve.grant("auto@pve!ci", "/", "Sys.Audit")
    as_token = {"api_user": "auto@pve", "api_token_id": "ci", "api_token_secret": "s"}
    with pytest.raises(ModuleFailed, match=r"Give token auto@pve!ci the privilege Sys.Modify on /\."):
        job(id="nightly", schedule="21:00", all=True, **as_token)
