"""Tokens of proxmox_access do their work on real guests, and nothing else.

Needs a running lab: ``RESILIENT_LAB=NAME pytest -m lab tests/integration/lab/test_proxmox_access.py`` (default: the lab called "default").
"""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from proxmoxer import ProxmoxAPI, ResourceException

from lab.state import LabState

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "unit"))
from helpers.modules import ModuleFailed, run_module  # noqa: E402

from ansible_collections.resilient.platform.plugins.modules import (  # noqa: E402
    proxmox_access,
    proxmox_access_info,
    proxmox_backup,
    proxmox_fleet,
    proxmox_restore,
    proxmox_vm_info,
    proxmox_vm_snapshot,
)

pytestmark = pytest.mark.lab
NAME, OFFSET, POOL, USER = "access-it", 97, "access-it", "access-it@pve"
SCOPE = {"pools": [POOL], "storages": ["local-lvm", "local"], "networks": ["vmbr0"]}


class Lab:
    """The lab, and tokens for it."""

    def __init__(self, state: LabState, secrets: pathlib.Path) -> None:
        access = state.connection["proxmox"]
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            os.environ.pop(name, None)
        self.state, self.secrets = state, secrets
        self.admin = {"api_host": access["host"], "api_port": access["port"], "api_user": access["user"], "api_token_id": access["token_id"],
                      "api_token_secret": access["token_secret"], "ca_path": str(state.connection["ca_file"])}
        self.api = ProxmoxAPI(access["host"], port=access["port"], user=access["user"], token_name=access["token_id"],
                              token_value=access["token_secret"], verify_ssl=state.connection["ca_file"])
        self.template = next(vm["vmid"] for vm in self.api.cluster.resources.get(type="vm") if vm.get("name") == access["template"])
        address = state.connection["network"]["cidr"].rsplit(".", 1)[0] + f".{OFFSET}/24"
        cloud_init = {"user": "platform", "ssh_keys": [state.connection["ssh"]["public_key"]], "ipconfig": {"0": {"ip": address, "gw": state.address}}}
        self.guest = {"name": NAME, "clone_from": access["template"], "pool": POOL, "state": "started", "agent": True, "cores": 1, "tags": ["it"],
                      "cloud_init": cloud_init}

    def access(self, *profiles: str, state: str = "present", **more: Any) -> dict[str, Any]:
        """Make a token for some profiles, and return the connection with it."""
        name = "-".join(profiles)
        args = {"user": USER, "token": name, "role": f"it-{name}", "profiles": list(profiles), "state": state, **SCOPE, **more}
        made = run_module(proxmox_access.main, {**self.admin, **args, "token_secret_path": str(self.secrets / name)}, diff=True)
        if state == "absent":
            return made
        kept = json.loads((self.secrets / name).read_text())
        return {**self.admin, **{key: kept[key] for key in ("api_user", "api_token_id", "api_token_secret")}}

    def fleet(self, connection: dict[str, Any], **more: Any) -> dict[str, Any]:
        return run_module(proxmox_fleet.main, {**connection, "guests": [{**self.guest, **more}], "wait_for": "cloud_init", "wait_sleep": 0.3})

    def vmids(self) -> list[int]:
        return sorted(vm["vmid"] for vm in self.api.cluster.resources.get(type="vm"))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    state = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "proxmox" in state.connection, "start the lab first: python -m lab up"
    lab = Lab(state, tmp_path_factory.mktemp("secrets"))
    lab.api.pools.post(poolid=POOL)
    yield lab
    run_module(proxmox_fleet.main, {**lab.admin, "guests": [{"name": NAME, "state": "absent"}]})
    for path in sorted(lab.secrets.iterdir()):
        lab.access(*path.name.split("-"), state="absent")
    lab.api.pools(POOL).delete()
    assert USER not in [user["userid"] for user in lab.api.access.users.get()]
    assert not [role for role in lab.api.access.roles.get() if role["roleid"].startswith("it-")]


@pytest.fixture(scope="module")
def provisioned(lab: Lab) -> dict[str, Any]:
    """A guest that a token of the profile provision made, started and looked into; and that token."""
    connection = lab.access("provision", guests=[lab.template])
    made = lab.fleet(connection)["guests"][0]
    assert (made["status"], made["cloud_init"]) == ("running", "done")
    return connection


def test_provision_token_makes_a_guest_and_finds_no_drift(lab: Lab, provisioned: dict[str, Any]) -> None:
    assert not lab.fleet(provisioned)["changed"]
    seen = run_module(proxmox_vm_info.main, {**provisioned, "ssh_host_keys": True, "names": [NAME]})["vms"]
    assert seen[0]["ssh_host_keys"], "read through the agent"
    assert run_module(proxmox_access_info.main, {**provisioned, "profiles": ["provision"]})["missing"] == []
    # Nothing but its pool and the template: neither the lab's other guests nor its storages' neighbours.
    own = [vm["vmid"] for vm in lab.api.pools(POOL).get()["members"]]
    assert {vm["vmid"] for vm in run_module(proxmox_vm_info.main, {**provisioned, "templates": True})["vms"]} <= {*own, lab.template}


def test_inventory_token_reads_and_is_refused_a_clone(lab: Lab) -> None:
    before = lab.vmids()
    connection = lab.access("inventory", pools=[], storages=[], networks=[], paths=["/vms"])
    assert len(run_module(proxmox_vm_info.main, {**connection, "templates": True})["vms"]) == len(before)
    with pytest.raises(ModuleFailed) as caught:
        lab.fleet(connection, name="access-it-2", pool=None)
    assert "VM.Clone" in str(caught.value) and lab.vmids() == before


@pytest.mark.parametrize(
    ("method", "path", "values", "privilege"),
    [
        ("post", "status/shutdown", {}, "VM.PowerMgmt"),
        ("post", "config", {"memory": 1024}, "VM.Config.Memory"),
        ("post", "snapshot", {"snapname": "no"}, "VM.Snapshot"),
        ("post", "agent/exec", {"command": ["id"]}, "VM.GuestAgent.Unrestricted"),
        ("delete", "", {}, "VM.Allocate"),
    ],
)
def test_server_names_what_the_inventory_token_lacks(
    lab: Lab, provisioned: dict[str, Any], method: str, path: str, values: dict[str, Any], privilege: str
) -> None:
    del provisioned
    connection = lab.access("inventory", pools=[], storages=[], networks=[], paths=["/vms"])
    name = connection["api_token_id"].partition("!")[2]
    api = ProxmoxAPI(connection["api_host"], port=connection["api_port"], user=USER, token_name=name, token_value=connection["api_token_secret"],
                     verify_ssl=connection["ca_path"])
    vmid = next(vm["vmid"] for vm in lab.api.cluster.resources.get(type="vm") if vm.get("name") == NAME)
    with pytest.raises(ResourceException) as caught:
        getattr(api(f"nodes/{lab.state.connection['proxmox']['node']}/qemu/{vmid}/{path}".rstrip("/")), method)(**values)
    assert caught.value.status_code == 403 and privilege in str(caught.value)


def test_snapshot_backup_and_restore_tokens_do_theirs(lab: Lab, provisioned: dict[str, Any]) -> None:
    del provisioned
    snapshots = lab.access("snapshot")
    one = {"guest": NAME, "snapshot": "first"}
    assert run_module(proxmox_vm_snapshot.main, {**snapshots, **one})["changed"]
    assert run_module(proxmox_vm_snapshot.main, {**snapshots, **one, "state": "absent"})["changed"]
    with pytest.raises(ModuleFailed, match="VM.Backup|Datastore|no storage"):
        run_module(proxmox_backup.main, {**snapshots, "guests": [NAME], "storage": "local"})

    backups = lab.access("backup")
    with pytest.raises(ModuleFailed, match="Datastore.Allocate"):
        run_module(proxmox_backup.main, {**backups, "guests": [NAME], "storage": "local", "keep": {"last": 1}})
    volid = run_module(proxmox_backup.main, {**backups, "guests": [NAME], "storage": "local"})["backups"][0]["volid"]
    with pytest.raises(ModuleFailed, match="VM.Snapshot"):
        run_module(proxmox_vm_snapshot.main, {**backups, **one})

    restores = lab.access("restore", "commands")
    commands = [{"name": "system", "argv": ["systemctl", "is-system-running", "--wait"], "stdout": "^running"}]
    proof = {"guest": NAME, "storage": "local", "commands": commands, "wait_timeout": 120, "wait_sleep": 0.3}
    before = lab.vmids()
    with pytest.raises(ModuleFailed, match="VM.Allocate"):
        run_module(proxmox_restore.main, {**restores, **proof})  # into no pool
    assert run_module(proxmox_restore.main, {**restores, **proof, "pool": POOL})["restore"]["verdict"] == "verified"
    with pytest.raises(ModuleFailed, match="VM.GuestAgent.Unrestricted"):
        run_module(proxmox_restore.main, {**lab.access("restore"), **proof, "pool": POOL})
    assert lab.vmids() == before
    lab.api.nodes(lab.state.connection["proxmox"]["node"]).storage("local").content(volid).delete()
