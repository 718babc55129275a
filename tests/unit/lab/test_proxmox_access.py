"""Access on the API double: kept, refused and enforced as the real server does; and proxmox_access, which is made for it."""

from __future__ import annotations

import json
import os
import pathlib
import stat
from typing import Any

import pytest
from helpers.lab_pve import Api, api
from helpers.modules import ModuleFailed, run_module

from ansible_collections.resilient.platform.plugins.module_utils._proxmox import privileges
from ansible_collections.resilient.platform.plugins.modules import proxmox_access, proxmox_access_info, proxmox_backup_job, proxmox_fleet, proxmox_vm_info
from lab.proxmox import store

__all__ = ["api"]
ROLES, ACL = "/access/roles", "/access/acl"
USER, TOKEN = "robot@pve", "robot@pve!ci"


@pytest.fixture
def enforced(api: Api, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A server where rights count; ``api`` and the modules ask as its administrator."""
    pve = api.pve
    pve.add_administrator("automation@pve", "lab", "secret")
    pve.enforce()
    values = {"HOST": "127.0.0.1", "PORT": pve.port, "USER": "automation@pve", "TOKEN_ID": "lab", "TOKEN_SECRET": "secret"}
    for name, value in {**values, "CA_PATH": pve.room.state.dir / "pki" / "ca.pem"}.items():
        monkeypatch.setenv(f"PROXMOX_{name}", str(value))
    return api


def access(check: bool = False, **args: Any) -> dict[str, Any]:
    wanted = {"user": USER, "token": "ci", "role": "robots", "profiles": ["inventory"], **args}
    return run_module(proxmox_access.main, wanted, check=check, diff=True)


def entries(api: Api) -> set[tuple[str, str, str, int]]:
    return {(one["path"], one["ugid"], one["roleid"], one["propagate"]) for one in api("GET", ACL) if one["ugid"] != "automation@pve"}


# -- the server


@pytest.mark.parametrize(
    ("method", "path", "values", "said"),
    [
        ("POST", ROLES, {"roleid": "pvemine"}, "cannot use role ID starting with"),
        ("POST", ROLES, {"roleid": "mine", "privs": "VM.Audit,VM.Fly"}, "500 invalid privilege 'VM.Fly'"),
        ("POST", ROLES, {"roleid": "robots"}, "500 role 'robots' already exists"),
        ("PUT", f"{ROLES}/Administrator", {"privs": ""}, "auto-generated role 'Administrator' cannot be modified"),
        ("DELETE", f"{ROLES}/nobody", {}, "500 role 'nobody' does not exist"),
        ("POST", "/access/users", {"userid": "a@ldap"}, "auth domain 'ldap' does not exist"),
        ("POST", "/access/users", {"userid": USER}, "user 'robot@pve' already exists"),
        ("GET", "/access/users/a@pve", {}, "500 no such user ('a@pve')"),
        ("POST", f"/access/users/{USER}/token/ci", {}, "Token already exists."),
        ("PUT", f"/access/users/{USER}/token/cd", {"comment": "x"}, "no such token 'cd' for user 'robot@pve'"),
        ("PUT", ACL, {"path": "/vm", "roles": "robots", "users": USER}, "invalid ACL path '/vm'"),
        ("PUT", ACL, {"path": "/", "roles": "nobody", "users": USER}, "role 'nobody' does not exist"),
        ("PUT", ACL, {"path": "/", "roles": "robots", "users": "a@pve"}, "user 'a@pve' does not exist"),
        ("PUT", ACL, {"path": "/", "roles": "robots"}, "is required"),
        ("PUT", ACL, {"path": "/", "roles": "robots", "groups": "all"}, "group 'all' does not exist"),
    ],
)
def test_what_the_server_refuses(enforced: Api, method: str, path: str, values: dict[str, Any], said: str) -> None:
    access(return_secret=True)
    before = json.dumps(enforced.pve.access_state())
    with pytest.raises(AssertionError, match="^[45]00 ") as caught:
        enforced(method, path, **values)
    assert said in str(caught.value) and json.dumps(enforced.pve.access_state()) == before


def test_the_longest_path_wins_and_pools_add(enforced: Api) -> None:
    pve = enforced.pve
    enforced.create(100)
    enforced.create(101)
    enforced("POST", "/pools", poolid="apps")
    enforced("PUT", "/pools", poolid="apps", vms="101")
    access(return_secret=True, privileges=["VM.Audit", "VM.PowerMgmt"], profiles=[])
    enforced("POST", ROLES, roleid="lookers", privs="VM.Audit")
    enforced("PUT", ACL, path="/vms/100", roles="lookers", users=USER)
    assert pve.allowed(USER, "/vms/101", "VM.PowerMgmt") and not pve.allowed(USER, "/vms/100", "VM.PowerMgmt")
    enforced("PUT", ACL, path="/vms", roles="NoAccess", users=USER)
    assert pve.allowed(USER, "/vms/100", "VM.Audit") and not pve.allowed(USER, "/vms/101", "VM.Audit")
    enforced("PUT", ACL, path="/vms", roles="NoAccess", users=USER, delete=1)
    enforced("PUT", ACL, path="/", roles="robots", users=USER, propagate=0)
    assert not pve.allowed(USER, "/vms/101", "VM.Audit"), "not below"
    enforced("PUT", ACL, path="/pool/apps", roles="lookers", users=USER)
    assert pve.allowed(USER, "/vms/101", "VM.Audit") and not pve.allowed(USER, "/vms/102", "VM.Audit")


def test_a_separated_token_has_what_it_and_its_user_have(enforced: Api) -> None:
    pve = enforced.pve
    access(return_secret=True, privileges=["VM.Audit"], profiles=[])
    assert pve.allowed(TOKEN, "/vms/100", "VM.Audit")
    enforced("PUT", ACL, path="/", roles="robots", users=USER, delete=1)
    assert not pve.allowed(TOKEN, "/vms/100", "VM.Audit")
    enforced("PUT", ACL, path="/", roles="robots", users=USER)
    enforced("PUT", ACL, path="/", roles="robots", tokens=TOKEN, delete=1)
    assert not pve.allowed(TOKEN, "/vms/100", "VM.Audit")
    enforced("PUT", f"/access/users/{USER}/token/ci", privsep=0)
    assert pve.allowed(TOKEN, "/vms/100", "VM.Audit"), "not separated"


@pytest.mark.parametrize(("path", "values"), [(f"/access/users/{USER}", {"enable": 0}), (f"/access/users/{USER}/token/ci", {"expire": 1000})])
def test_the_disabled_and_the_expired_are_not_let_in(enforced: Api, path: str, values: dict[str, Any]) -> None:
    token = f"PVEAPIToken={TOKEN}={access(return_secret=True)['token_secret']}"
    assert enforced.raw("GET", "/version", token=token).status == 200
    enforced("PUT", path, **values)
    assert enforced.raw("GET", "/version", token=token).status == 401


def test_access_survives_a_restart(enforced: Api) -> None:
    secret = access(return_secret=True)["token_secret"]
    state = enforced.pve.access_state()
    assert json.loads(enforced.pve.save_to.read_text())["access"] == state
    other = type(enforced.pve)(enforced.pve.room, "127.0.0.1", 0, enforced.pve.save_to, "x")
    assert store.load(other, enforced.pve.save_to) and other.apitokens[TOKEN] == secret and other.access_state() == state


# -- the module


def test_comes_stays_and_goes(enforced: Api, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "robot.json"
    args = {"token_secret_path": str(path), "comment": "for CI", "expire": "2099-01-31"}
    predicted = access(check=True, **args)
    assert entries(enforced) == set() and not path.exists()
    made = access(**args)
    assert predicted["diff"] == made["diff"] and predicted["access"] == made["access"]
    assert made["diff"]["after"] == {
        "role robots": ["VM.Audit"],
        "user robot@pve": {"comment": "for CI", "expire": "never"},
        "token robot@pve!ci": {"comment": "for CI", "expire": "2099-01-31T00:00:00Z", "privilege_separated": True},
        "acl / robot@pve robots": "and below",
        "acl / robot@pve!ci robots": "and below",
    }
    kept = json.loads(path.read_text())
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600 and kept["api_token_id"] == TOKEN
    assert kept["api_token_secret"] not in json.dumps(made)
    assert entries(enforced) == {("/", USER, "robots", 1), ("/", TOKEN, "robots", 1)}
    assert not access(**args)["changed"]
    gone = access(check=True, state="absent")
    assert gone["diff"] == access(state="absent")["diff"] and gone["access"]["kept"] == []
    assert entries(enforced) == set() and USER not in enforced.pve.accounts and "robots" not in enforced.pve.own_roles
    assert not access(state="absent")["changed"]


def test_drift_is_repaired(enforced: Api) -> None:
    access(return_secret=True, profiles=["inventory", "snapshot"], expire="never", comment="x")
    enforced("PUT", f"{ROLES}/robots", privs="VM.Audit,VM.Allocate")
    enforced("PUT", ACL, path="/", roles="robots", tokens=TOKEN, propagate=0)
    enforced("PUT", ACL, path="/storage", roles="robots", users=USER)
    enforced("PUT", f"/access/users/{USER}/token/ci", privsep=0, comment="y")
    again = {"profiles": ["inventory", "snapshot"], "expire": "never", "comment": "x"}
    predicted = access(check=True, **again)
    assert predicted["diff"] == access(**again)["diff"]
    assert predicted["diff"]["before"] == {
        "role robots": ["VM.Allocate", "VM.Audit"],
        "token robot@pve!ci.comment": "y",
        "token robot@pve!ci.privilege_separated": False,
        "acl / robot@pve!ci robots": "not below",
        "acl /storage robot@pve robots": "and below",
    }
    assert enforced.pve.own_roles["robots"] == ["VM.Audit", "VM.Snapshot"]
    assert entries(enforced) == {("/", USER, "robots", 1), ("/", TOKEN, "robots", 1)} and not access(**again)["changed"]


def test_scope_is_given_in_the_field_s_words(enforced: Api) -> None:
    enforced("POST", "/pools", poolid="apps")
    scope = {"pools": ["apps"], "guests": [9000], "storages": ["local-lvm"], "networks": ["vmbr0", "zone/net"], "paths": ["/nodes/"]}
    made = access(return_secret=True, profiles=["provision"], **scope)
    paths = ["/nodes", "/pool/apps", "/sdn/zones/localnetwork/vmbr0", "/sdn/zones/zone/net", "/storage/local-lvm", "/vms/9000"]
    assert {one["path"] for one in made["access"]["acl"]} == {path for path, *_rest in entries(enforced)} == set(paths)


def test_right_to_jobs_does_not_reach_the_roles(enforced: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = access(return_secret=True, profiles=["backup_jobs"], paths=["/vms", "/storage"])
    assert ("/", TOKEN, "robots", 0) in entries(enforced) and not access(profiles=["backup_jobs"], paths=["/vms", "/storage"])["changed"]
    enforced.create(100, name="web")
    login(monkeypatch, made)
    job = {"id": "nightly", "schedule": "21:00", "guests": ["web"], "storage": "local"}
    assert run_module(proxmox_backup_job.main, job)["changed"]
    enforced.token = f"PVEAPIToken={TOKEN}={made['token_secret']}"
    with pytest.raises(AssertionError, match="403 .*/access, Sys.Modify"):
        enforced("PUT", f"{ROLES}/robots", privs="VM.Allocate")


def test_exclusive_takes_the_rest_away(enforced: Api) -> None:
    access(return_secret=True)
    enforced("PUT", ACL, path="/storage", roles="PVEAuditor", users=USER)
    left = access()
    assert not left["changed"] and left["access"]["surplus"][0]["role"] == "PVEAuditor"
    assert access(exclusive=True)["diff"]["before"] == {"acl /storage robot@pve PVEAuditor": "and below"}
    assert entries(enforced) == {("/", USER, "robots", 1), ("/", TOKEN, "robots", 1)}


def test_two_tokens_of_one_user_do_not_take_from_each_other(enforced: Api) -> None:
    one = {"return_secret": True, "paths": ["/vms/100"]}
    two = {"return_secret": True, "paths": ["/vms/200"], "token": "cd"}
    access(**one)
    access(**two)
    assert not access(**one)["changed"] and not access(**two)["changed"]
    kept = access(state="absent", token="cd")["access"]["kept"]
    assert any("has the token ci" in line for line in kept) and any("role robots" in line for line in kept)
    assert entries(enforced) == {("/vms/100", USER, "robots", 1), ("/vms/100", TOKEN, "robots", 1)}
    assert access(state="absent")["access"]["kept"] == [] and entries(enforced) == set()


def test_secret_that_is_lost(enforced: Api, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "robot.json"
    args = {"token_secret_path": str(path)}
    access(**args)
    old = json.loads(path.read_text())["api_token_secret"]
    path.write_text(json.dumps({"api_token_id": TOKEN, "api_token_secret": "stale"}))
    for stage in ("stale", "missing"):
        with pytest.raises(ModuleFailed, match="does not hold a secret that works") as caught:
            access(**args)
        assert old not in str(caught.value), stage
        path.unlink(missing_ok=True)
    predicted = access(check=True, regenerate=True, **args)
    assert predicted["diff"] == access(regenerate=True, **args)["diff"] and "secret" in next(iter(predicted["diff"]["after"]))
    new = json.loads(path.read_text())["api_token_secret"]
    assert new == enforced.pve.apitokens[TOKEN] != old
    assert not access(regenerate=True, **args)["changed"], "a secret that works is left alone"
    path.write_text(json.dumps({"api_token_id": "robot@pve!other"}))
    with pytest.raises(ModuleFailed, match="is not about the token"):
        access(regenerate=True, **args)


def test_token_whose_secret_cannot_be_kept_does_not_stay(enforced: Api, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.resilient.platform.plugins.module_utils import _files
    from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused

    def full(path: str, content: Any) -> None:
        raise Refused(f"Cannot write {path}: No space left on device.", hint="Check space.")

    with monkeypatch.context() as patch:
        patch.setattr(_files, "write_json", full)
        with pytest.raises(ModuleFailed, match="No space left"):
            access(token_secret_path=str(tmp_path / "x.json"))
        assert enforced.pve.accounts[USER]["tokens"] == {}
    access(token_secret_path=str(tmp_path / "x.json"))
    (tmp_path / "x.json").unlink()
    monkeypatch.setattr(_files, "write_json", full)
    with pytest.raises(ModuleFailed, match="The old secret works no more"):
        access(token_secret_path=str(tmp_path / "x.json"), regenerate=True)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "would be lost"),
        ({"token_secret_path": "/nowhere/at/all.json"}, "Cannot write into /nowhere/at"),
        ({"user": "root@pam"}, "may do everything"),
        ({"user": "automation@pve"}, "would change its own rights"),
        ({"user": "robot"}, "cannot be a user"),
        ({"user": "robot@ldap", "return_secret": True}, "no realm ldap .*Realms: pam, pve"),
        ({"token": "robot@pve!ci"}, "cannot be the name of a token"),
        ({"role": "PVEMine"}, "cannot be the name of a role"),
        ({"role": "Administrator", "return_secret": True}, "the server's own"),
        ({"privileges": ["VM.Fly"]}, "no privilege VM.Fly"),
        ({"paths": ["/vm/100"], "return_secret": True}, "no path of the access control list"),
        ({"networks": ["a/b/c/d"]}, "networks has"),
        ({"storages": ["a/b"]}, "storages has"),
        ({"storages": ["local-lvm"]}, "has no guests, where VM.Audit"),
        ({"profiles": ["provision"], "pools": ["apps"]}, "has no networks, where SDN.Use"),
        ({"pools": ["apps"], "return_secret": True}, "There is no pool apps"),
        ({"guests": [100], "storages": ["gone"], "return_secret": True}, "There is no storage gone"),
        ({"paths": ["/nodes/pve7"], "return_secret": True}, "There is no node pve7"),
        ({"expire": "soon", "return_secret": True}, "expire is 'soon'"),
        ({"profiles": ["backup_jobs"]}, "could change its own role"),
        ({"profiles": []}, "profiles and privileges are both empty"),
    ],
)
def test_bad_input_is_refused_before_the_first_write(enforced: Api, args: dict[str, Any], message: str) -> None:
    before = json.dumps(enforced.pve.access_state())
    with pytest.raises(ModuleFailed, match=message):
        access(**args)
    assert json.dumps(enforced.pve.access_state()) == before and all(method == "GET" for method, _path, _body in enforced.pve.requests)


def test_warnings(enforced: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("ansible.module_utils.basic.AnsibleModule.warn", lambda _self, text, **_more: said.append(text))
    access(return_secret=True)
    access(return_secret=True, user="other@pve", profiles=["snapshot"])
    enforced("PUT", f"/access/users/{USER}", enable=0)
    access()
    assert "is changed for others too: robot@pve, robot@pve!ci" in said[0] and any("is disabled" in line for line in said)


def test_user_alone(enforced: Api) -> None:
    made = access(token=None, comment="c", expire="4102444800")
    assert made["access"]["token_id"] is None and enforced.pve.accounts[USER]["expire"] == 4102444800
    assert access(token=None, comment="d", expire="never")["diff"]["after"] == {"user robot@pve.comment": "d", "user robot@pve.expire": "never"}
    assert access(token=None, state="absent")["changed"] and USER not in enforced.pve.accounts


def test_info(enforced: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made = access(return_secret=True, comment="for CI")
    found = run_module(proxmox_access_info.main, {"user": USER, "profiles": ["all"]})
    assert found["missing"] == [] and {one["role"] for one in found["acl"]} == {"robots"}
    assert found["users"][0]["tokens"] == [{"name": "ci", "comment": "for CI", "expire": None, "privilege_separated": True}]
    assert next(role for role in found["roles"] if role["name"] == "robots")["privileges"] == ["VM.Audit"]
    for name, value in {"USER": USER, "TOKEN_ID": "ci", "TOKEN_SECRET": made["token_secret"]}.items():
        monkeypatch.setenv(f"PROXMOX_{name}", value)
    found = run_module(proxmox_access_info.main, {"profiles": ["inventory", "backup"]})
    assert found["missing"] == sorted(privileges.PROFILES["backup"].privileges - {"VM.Audit"}) and found["users"] == []


# -- the rights count


def login(monkeypatch: pytest.MonkeyPatch, made: dict[str, Any]) -> None:
    user, _bang, token = made["access"]["token_id"].partition("!")
    for name, value in {"USER": user, "TOKEN_ID": token, "TOKEN_SECRET": made["token_secret"]}.items():
        monkeypatch.setenv(f"PROXMOX_{name}", value)


@pytest.fixture
def scoped(enforced: Api) -> Api:
    """A template, a pool, and a guest that is nobody's business."""
    pve = enforced.pve
    pve.add_vm(9000, "golden", template=True, config={"scsi0": "local-lvm:base-9000-disk-0,size=1G", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"})
    pve.storages["local-lvm"].setdefault("volumes", {})["base-9000-disk-0"] = {"content": "images", "format": "raw", "size": 2**30, "vmid": 9000}
    enforced.create(500, name="foreign")
    enforced("POST", "/pools", poolid="apps")
    return enforced


SCOPE = {"pools": ["apps"], "guests": [9000], "storages": ["local-lvm"], "networks": ["vmbr0"]}
WEB = {"name": "web", "state": "started", "clone_from": "golden", "pool": "apps", "cores": 2, "networks": {"net0": {"bridge": "vmbr0"}}}


def fleet(**more: Any) -> dict[str, Any]:
    return run_module(proxmox_fleet.main, {"guests": [{**WEB, **more}], "wait_sleep": 0.05})


def test_provision_profile_makes_and_starts_guests_of_its_pool_and_sees_no_other(scoped: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    login(monkeypatch, access(return_secret=True, profiles=["provision"], **SCOPE))
    assert fleet()["guests"][0]["status"] == "running" and not fleet()["changed"]
    assert {one["name"] for one in run_module(proxmox_vm_info.main, {"templates": True})["vms"]} == {"web", "golden"}
    with pytest.raises(ModuleFailed, match="no template|SDN.Use|bridge"):
        fleet(name="other", networks={"net0": {"bridge": "vmbr1"}})


def test_inventory_profile_is_refused_a_clone_with_the_privilege_named(scoped: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    login(monkeypatch, access(return_secret=True))
    assert {one["name"] for one in run_module(proxmox_vm_info.main, {})["vms"]} == {"foreign"}
    with pytest.raises(ModuleFailed) as caught:
        fleet(pool=None, networks=None)
    assert "VM.Clone" in caught.value.result["guests"][0]["error"]["message"] + caught.value.result["msg"]
    assert enforced_vms(scoped) == [9000, 500]


def enforced_vms(api: Api) -> list[int]:
    return [vm.vmid for vm in api.pve.vms]


# Agent and cloud-init need a guest with a system; tests/integration/lab has those. CDROM is for the cloud-init drive.
UNSEEN = {"VM.GuestAgent.Unrestricted", "VM.Config.CDROM", "VM.Config.Cloudinit", "Pool.Allocate", "Datastore.Audit"}
EVERYTHING = {
    "memory": 1024,
    "tags": ["web"],
    "disks": {"scsi0": {"size_gib": 2}, "scsi1": {"storage": "local-lvm", "size_gib": 1}},
    "networks": {"net0": {"bridge": "vmbr0", "firewall": True}},
    "options": {"vga": "serial0"},
}


@pytest.mark.parametrize("privilege", sorted(privileges.PROFILES["provision"].privileges - UNSEEN))
def test_provision_fails_without_any_one_of_its_privileges(scoped: Api, monkeypatch: pytest.MonkeyPatch, privilege: str) -> None:
    held = privileges.PROFILES["provision"].privileges - {privilege}
    login(monkeypatch, access(return_secret=True, profiles=[], privileges=sorted(held), **SCOPE))
    with pytest.raises(ModuleFailed):
        fleet(**EVERYTHING)


def test_provision_has_all_that_this_takes(scoped: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    login(monkeypatch, access(return_secret=True, profiles=["provision"], **SCOPE))
    assert fleet(**EVERYTHING)["changed"]


@pytest.mark.parametrize("held", [True, False])
def test_joining_a_pool_later_needs_the_right_to_it(scoped: Api, monkeypatch: pytest.MonkeyPatch, held: bool) -> None:
    names = privileges.PROFILES["provision"].privileges - (set() if held else {"Pool.Allocate"})
    login(monkeypatch, access(return_secret=True, profiles=[], privileges=sorted(names), paths=["/vms", "/pool", "/storage", "/sdn"]))
    fleet(pool=None)
    if held:
        assert fleet()["changed"] and fleet()["guests"][0]["changed"] is False
        return
    with pytest.raises(ModuleFailed, match="Pool.Allocate"):
        fleet()


@pytest.mark.parametrize("held", [True, False])
def test_storages_that_may_not_be_seen_cannot_be_checked_before_the_first_write(scoped: Api, monkeypatch: pytest.MonkeyPatch, held: bool) -> None:
    scoped.pve.storages["local-lvm"]["avail"] = scoped.pve.storages["local-lvm"]["total"] = 2**30
    names = privileges.PROFILES["provision"].privileges - (set() if held else {"Datastore.Audit"})
    login(monkeypatch, access(return_secret=True, profiles=[], privileges=sorted(names), **SCOPE))
    disks = {"scsi1": {"storage": "local-lvm", "size_gib": 200}}
    with pytest.raises(ModuleFailed, match="need 200|No space left on device"):
        run_module(proxmox_fleet.main, {"guests": [{**WEB, "disks": disks}], "overcommit": False})
    assert enforced_vms(scoped) == ([9000, 500] if held else [9000, 500, 100]), "refused before, or failed half-way"
