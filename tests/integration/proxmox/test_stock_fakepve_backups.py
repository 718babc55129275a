"""Snapshots, backups, restores, templates and access against an unmodified fakepve; guests of both kinds, and a Proxmox Backup Server.

It keeps guests, snapshots, templates and the contents of storages, and restores containers. It does not run backups, read archives, restore virtual
machines, or keep roles and users: those answers are made from the schema. There the tests hold our requests against its checks of
parameters, and say what comes of the answer. The lab (tests/integration/lab) and tests/unit/lab have servers that do all this.
"""

from __future__ import annotations

import json
import pathlib
import sys
import time
import typing as t
import urllib.parse

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import fleet as shared  # noqa: E402
from fleet import fleet, guest  # noqa: E402
from helpers.modules import ModuleFailed, run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import Connection, ProxmoxClient  # noqa: E402
from ansible_collections.resilient.platform.plugins.modules import (  # noqa: E402
    proxmox_access,
    proxmox_access_info,
    proxmox_backup,
    proxmox_backup_info,
    proxmox_restore,
    proxmox_template,
    proxmox_template_info,
    proxmox_vm_snapshot,
    proxmox_vm_snapshot_info,
)

pve = shared.pve
pytestmark = pytest.mark.server
CT, VM = 200, 100
STAMP = "2026-11-21T02:30:00Z"
# What the archives hold, in the format of vzdump's configuration files.
CONFIGS = {
    "qemu": "name: web-10\nmemory: 512\ncores: 2\nscsi0: local-lvm:vm-100-disk-0,size=8G\nnet0: virtio=BC:24:11:00:00:01,bridge=vmbr0\n",
    "lxc": "hostname: ct\nmemory: 512\nrootfs: local-lvm:vm-200-disk-0,size=4G\n"
    "net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,type=veth\nostype: debian\n",
}


@pytest.fixture
def guests(pve: t.Any, fakepve_cafile: str) -> t.Any:
    """A virtual machine and a container, with archives of both on a directory and on a backup server."""
    fleet([guest(10, state="present")])
    pve.add_ct(CT, "ct")
    now = int(time.time())
    root = Connection("127.0.0.1", pve.port, "root@pam", token_id="ci", token_secret="s3cret", ca_path=fakepve_cafile)
    ProxmoxClient(root).post("storage", storage="pbs", type="pbs", server="pbs.example.com", datastore="main", content="backup")
    common = {"content": "backup", "size": 2**30, "ctime": now - 600}
    pve.storages["pbs"]["volumes"] = {
        f"backup/vm/{VM}/{STAMP}": {**common, "format": "pbs-vm", "vmid": VM},
        f"backup/ct/{CT}/{STAMP}": {**common, "format": "pbs-ct", "vmid": CT},
    }
    pve.storages["local"]["volumes"] = {
        f"backup/vzdump-qemu-{VM}-2026_11_21-02_30_00.vma.zst": {**common, "format": "vma.zst", "vmid": VM},
        f"backup/vzdump-lxc-{CT}-2026_11_21-02_30_00.tar.zst": {**common, "format": "tar.zst", "vmid": CT},
    }
    pve.requests.clear()
    return pve


@pytest.fixture
def readable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Archives whose configuration can be read, which is all that does not come from fakepve."""
    real = ProxmoxClient.get

    def get(self: ProxmoxClient, path: str, /, **params: t.Any) -> t.Any:
        answer = real(self, path, **params)
        return CONFIGS["lxc" if f"{CT}" in str(params.get("volume")) else "qemu"] if path.endswith("extractconfig") else answer

    monkeypatch.setattr(ProxmoxClient, "get", get)


def writes(pve: t.Any, end: str) -> list[dict[str, str]]:
    """What was sent to paths with that end."""
    return [dict(urllib.parse.parse_qsl(body.decode())) for method, path, body in pve.requests if method == "POST" and path.endswith(end)]


@pytest.mark.parametrize(("name", "kind"), [("web-10", "qemu"), ("ct", "lxc")])
def test_snapshot_comes_is_described_rolled_back_to_and_goes(guests: t.Any, name: str, kind: str) -> None:
    def run(state: str = "present", check: bool = False, **more: t.Any) -> dict[str, t.Any]:
        return run_module(proxmox_vm_snapshot.main, {"guest": name, "snapshot": "one", "state": state, **more}, check=check, diff=True)

    assert run(check=True, description="d")["diff"] == run(description="d")["diff"]
    assert not run(description="d")["changed"] and run(description="e")["snapshot"]["action"] == "describe"
    found = run_module(proxmox_vm_snapshot_info.main, {"guests": [name]})["guests"][0]
    assert (found["type"], [(one["name"], one["description"]) for one in found["snapshots"]]) == (kind, [("one", "e")])
    one = guests.vm(VM) if kind == "qemu" else next(ct for ct in guests.cts if ct.vmid == CT)
    one.config["memory"] = "4096" if kind == "qemu" else 4096
    assert run("rollback", confirm=name)["changed"] and str(one.config.get("memory")) == "512"
    assert run("absent")["changed"] and not run("absent")["changed"]


@pytest.mark.parametrize("storage", ["local", "pbs"])
def test_archives_of_both_kinds_are_found(guests: t.Any, storage: str) -> None:
    found = run_module(proxmox_backup_info.main, {"storage": storage})["archives"]
    assert {(one["guest"], one["type"], one["vmid"]) for one in found} == {("web-10", "qemu", VM), ("ct", "lxc", CT)}
    assert all(600 <= one["age_seconds"] < 700 for one in found)
    assert {one["verification"] for one in found} == {None}, "fakepve leaves it out of its answers"
    assert not run_module(proxmox_backup.main, {"guests": ["web-10", "ct"], "storage": storage, "max_age": 3600})["changed"]
    assert writes(guests, "/vzdump") == []


@pytest.mark.parametrize(("storage", "compress"), [("local", "zstd"), ("pbs", None)])
def test_job_is_accepted_and_a_missing_archive_is_no_backup(guests: t.Any, storage: str, compress: str | None) -> None:
    """fakepve's job ends well and writes nothing, which is what must not pass for a backup."""
    with pytest.raises(ModuleFailed, match="2 of 2 guests have no new backup .* the job ended well, but no new archive"):
        run_module(proxmox_backup.main, {"guests": ["web-10", "ct"], "storage": storage, "keep": {"last": 2}, "notes_template": "{{guestname}}"})
    (sent,) = writes(guests, "/vzdump")
    assert (sent["vmid"], sent["storage"], sent.get("compress"), sent["prune-backups"]) == (f"{VM},{CT}", storage, compress, "keep-last=2")


def test_archive_without_a_configuration_is_refused(guests: t.Any) -> None:
    """fakepve says "fake" for every archive's configuration."""
    for name in ("web-10", "ct"):
        with pytest.raises(ModuleFailed, match="has no configuration"):
            run_module(proxmox_restore.main, {"guest": name, "storage": "local", "require_verified": False})
    assert writes(guests, "/qemu") + writes(guests, "/lxc") == []


@pytest.mark.parametrize("storage", ["local", "pbs"])
def test_container_is_restored_for_a_test_started_and_removed(guests: t.Any, readable: None, storage: str) -> None:
    args = {"guest": "ct", "storage": storage, "require_verified": False, "target_storage": "local-lvm", "wait_timeout": 30}
    found = run_module(proxmox_restore.main, args)["restore"]
    assert (found["verdict"], found["checks"][0]["check"], found["checks"][0]["outcome"]) == ("verified", "restored", "passed"), found
    (sent,) = writes(guests, "/lxc")
    assert sent["restore"] == "1" and "link_down=1" in sent["net0"] and sent["ostemplate"].startswith(f"{storage}:backup/")
    assert [ct.vmid for ct in guests.cts] == [CT], "the copy is gone"


def test_container_is_restored_for_good(guests: t.Any, readable: None) -> None:
    args = {"guest": "ct", "storage": "pbs", "require_verified": False, "target_storage": "local-lvm", "keep": True, "name": "ct-2", "probe": "none"}
    found = run_module(proxmox_restore.main, args)
    assert found["changed"] and {ct.name for ct in guests.cts} == {"ct", "ct-2"}


@pytest.mark.parametrize("storage", ["local", "pbs"])
def test_restore_of_a_virtual_machine_passes_the_checks_that_fakepve_has(guests: t.Any, readable: None, storage: str) -> None:
    """It checks parameters, pool, storage and rights, and then says that it restores nothing."""
    with pytest.raises(ModuleFailed, match="restoring an archive is not supported") as caught:
        run_module(proxmox_restore.main, {"guest": "web-10", "storage": storage, "require_verified": False, "wait_timeout": 30})
    assert caught.value.result["error"]["status"] == 500
    (sent,) = writes(guests, "/qemu")
    assert "link_down=1" in sent["net0"] and sent["archive"].startswith(f"{storage}:backup/") and sent["unique"] == "1"
    assert [vm.vmid for vm in guests.vms] == [9000, VM]


def test_unverified_archive_of_a_backup_server_is_refused(guests: t.Any) -> None:
    with pytest.raises(ModuleFailed, match="verif"):
        run_module(proxmox_restore.main, {"guest": "ct", "storage": "pbs", "require_verified": True})


def test_template_is_made_changed_converted_and_destroyed(guests: t.Any) -> None:
    args = {"name": "golden", "disks": {"scsi0": {"storage": "local-lvm", "size_gib": 2}}, "memory": 512, "networks": {"net0": {"bridge": "vmbr0"}}}
    assert run_module(proxmox_template.main, args, check=True, diff=True)["diff"] == run_module(proxmox_template.main, args, diff=True)["diff"]
    assert not run_module(proxmox_template.main, args)["changed"]
    assert run_module(proxmox_template.main, {**args, "memory": 1024}, diff=True)["diff"]["after"] == {"golden.memory": "1024"}
    assert run_module(proxmox_template.main, {"name": "web-10", "convert": True})["action"] == "convert"
    found = {one["name"] for one in run_module(proxmox_template_info.main, {})["templates"]}
    assert found == {"debian12", "golden", "web-10"}
    assert run_module(proxmox_template.main, {"name": "golden", "state": "absent", "confirm": "golden"})["changed"]


def test_image_is_fetched_onto_a_storage_for_imports(guests: t.Any) -> None:
    """The file is fetched in name only, and the imported disk is empty."""
    args = {"name": "img", "image": {"url": "https://images.example.com/x.qcow2", "storage": "local"}, "image_disk_storage": "local-lvm"}
    with pytest.raises(ModuleFailed, match="not configured for content-type 'import'"):
        run_module(proxmox_template.main, args)
    guests.storages["local"]["content"] += ",import"
    assert run_module(proxmox_template.main, args)["action"] == "create" and not run_module(proxmox_template.main, args)["changed"]
    refused, taken = writes(guests, "/download-url")
    assert refused == taken and (taken["filename"], taken["content"]) == ("x.qcow2", "import")
    assert "import-from=local:import/x.qcow2" in writes(guests, "/qemu")[-1]["scsi0"]
    # The same image for another template is not fetched again.
    assert run_module(proxmox_template.main, {**args, "name": "img-2"})["changed"] and len(writes(guests, "/download-url")) == 2


def test_access_is_written_in_words_that_the_schema_takes(guests: t.Any) -> None:
    """Roles, users and entries are made from the schema and not kept: every run finds somebody else's, and writes."""
    args = {"user": "robot@pve", "token": "ci", "role": "robots", "profiles": ["provision"], "comment": "c", "expire": "2027-01-31"}
    predicted = run_module(proxmox_access.main, {**args, "return_secret": True}, check=True, diff=True)
    made = run_module(proxmox_access.main, {**args, "return_secret": True}, diff=True)
    assert predicted["diff"] == made["diff"] and made["token_secret"] not in json.dumps({**made, "token_secret": ""})
    assert "VM.Clone" in writes(guests, "/access/roles")[0]["privs"]
    sent = [dict(urllib.parse.parse_qsl(body.decode())) for method, path, body in guests.requests if method == "PUT" and path.endswith("/access/acl")]
    assert sent == [
        {"path": "/", "roles": "robots", "users": "robot@pve", "propagate": "1"},
        {"path": "/", "roles": "robots", "tokens": "robot@pve!ci", "propagate": "1"},
    ]
    with pytest.raises(ModuleFailed, match="no privilege VM.Monitor"):
        run_module(proxmox_access.main, {**args, "privileges": ["VM.Monitor"], "return_secret": True})


def test_access_info_reads_the_roles_of_the_server(guests: t.Any) -> None:
    found = run_module(proxmox_access_info.main, {"profiles": ["all"]})
    assert found["missing"] == [] and {"Administrator", "PVEAuditor"} <= {role["name"] for role in found["roles"]}
    guests.apitokens["reader@pve!ci"] = "s3cret"
    guests.grant("reader@pve", "/", "VM.Audit", "VM.GuestAgent.Audit")
    found = run_module(proxmox_access_info.main, {"api_user": "reader@pve", "profiles": ["inventory", "snapshot"]})
    assert found["missing"] == ["VM.Snapshot"]
