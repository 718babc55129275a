"""Policies, mounts, AppRole and tokens, against a scripted server."""

from __future__ import annotations

import importlib
import json
import pathlib
import stat
import types
import typing as t

import pytest
from helpers import vault
from helpers.modules import ModuleFailed, run_module
from helpers.vault import URL, Script

script = vault.script


def run(module: str, *, check: bool = False, diff: bool = True, **options: t.Any) -> dict[str, t.Any]:
    main = importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.{module}").main
    return run_module(main, {"url": URL, "token": "tok", **options}, check=check, diff=diff)


# --- policies

TEXT = 'path "kv/*" {\n  capabilities = ["read"]\n}\n'
ACL = "sys/policies/acl/reader"


def test_a_missing_policy_is_created(script: Script) -> None:
    script.expect("GET", ACL, 404, token="tok")
    assert run("vault_policy", check=True, name="Reader", policy=TEXT)["diff"]["after"] == TEXT
    script.expect("GET", ACL, 404).expect("POST", ACL, 204, sent={"policy": TEXT})
    done = run("vault_policy", name="Reader", policy=TEXT.replace("\n", "  \r\n") + "\n\n")
    assert done["changed"] and done["policy"] == {"name": "reader", "policy": TEXT}
    assert done["diff"] == {"before": "", "after": TEXT, "before_header": "policy reader", "after_header": "policy reader"}


def test_a_policy_that_means_the_same_is_unchanged(script: Script) -> None:
    script.expect("GET", ACL, body={"data": {"policy": "\n" + TEXT.rstrip()}})
    done = run("vault_policy", diff=False, name="reader", policy=TEXT)
    assert not done["changed"]
    assert "diff" not in done


def test_a_policy_is_deleted_once(script: Script) -> None:
    script.expect("GET", ACL, body={"data": {"policy": TEXT}}).expect("DELETE", ACL, 204)
    done = run("vault_policy", name="reader", state="absent")
    assert done["changed"] and done["policy"] is None and done["diff"]["before"] == TEXT
    script.expect("GET", ACL, 404)
    assert not run("vault_policy", name="reader", state="absent")["changed"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "root", "policy": TEXT}, "cannot be changed"),
        ({"name": "default", "state": "absent"}, "cannot be deleted"),
        ({"name": "x", "policy": " \n"}, "has no text"),
    ],
)
def test_policies_that_make_no_sense_are_refused(script: Script, options: dict[str, t.Any], text: str) -> None:
    script.expect("GET", f"sys/policies/acl/{options['name']}", body={"data": {"policy": "x"}})
    with pytest.raises(ModuleFailed, match=text):
        run("vault_policy", **options)


@pytest.mark.parametrize("name", ["", " a "])
def test_names_that_are_none_are_refused(script: Script, name: str) -> None:
    with pytest.raises(ModuleFailed, match="is no name of a policy"):
        run("vault_policy", name=name, policy=TEXT)


def test_a_forbidden_policy_names_the_path(script: Script) -> None:
    script.expect("GET", ACL, 403, {"errors": ["permission denied"]}).expect("GET", "auth/token/lookup-self")
    with pytest.raises(ModuleFailed, match="403 permission denied .GET sys/policies/acl/reader.") as failed:
        run("vault_policy", name="reader", policy=TEXT)
    assert failed.value.result["error"]["type"] == "PermissionDenied"


def test_policies_are_listed(script: Script) -> None:
    script.expect("GET", "sys/policies/acl?list=true", body={"data": {"keys": ["root", "reader"]}})
    script.expect("GET", ACL, body={"data": {"policy": TEXT}}).expect("GET", "sys/policies/acl/root", body={"data": {"policy": ""}})
    found = run("vault_policy_info")["policies"]
    assert [policy["name"] for policy in found] == ["reader", "root"]
    script.expect("GET", ACL, 404)
    assert run("vault_policy_info", name="reader")["policies"] == []


# --- mounts

ENGINE = {
    "type": "kv",
    "description": "Secrets",
    "options": {"version": "2"},
    "config": {"default_lease_ttl": 600, "max_lease_ttl": 0},
    "accessor": "kv_1",
}
SYSTEM = {"sys/": {"type": "system", "description": "", "config": {}}}


def engines(script: Script, entry: dict[str, t.Any] | None = None, path: str = "apps/") -> None:
    script.expect("GET", "sys/mounts", body={"data": {**SYSTEM, **({path: entry} if entry else {})}, "request_id": "x"})


WISH = {"path": "/apps/", "type": "kv", "description": "Secrets", "options": {"version": 2}, "config": {"default_lease_ttl": "10m"}}


def test_an_engine_is_created_and_waited_for(script: Script) -> None:
    engines(script)
    predicted = run("vault_secrets_engine", check=True, **WISH)
    engines(script)
    body = {"type": "kv", "description": "Secrets", "options": {"version": "2"}, "config": {"default_lease_ttl": "10m"}}
    script.expect("POST", "sys/mounts/apps", 204, sent=body)
    engines(script, ENGINE)
    script.expect("GET", "apps/config", 400).expect("GET", "apps/config", 200)
    done = run("vault_secrets_engine", wait_sleep=0, **WISH)
    assert done["diff"] == predicted["diff"]
    assert done["changed"] and done["secrets_engine"]["accessor"] == "kv_1"
    assert predicted["secrets_engine"]["options"] == {"version": "2"}
    engines(script, ENGINE)
    again = run("vault_secrets_engine", **WISH)
    assert not again["changed"] and again["secrets_engine"]["config"]["default_lease_ttl"] == 600


def test_an_engine_is_tuned_where_it_differs(script: Script) -> None:
    wish = {**WISH, "description": "New", "options": {"version": "2", "other": "x"}, "config": {"default_lease_ttl": "20m", "max_lease_ttl": 0}}
    engines(script, ENGINE)
    predicted = run("vault_secrets_engine", check=True, **wish)
    assert predicted["secrets_engine"]["config"] == {"default_lease_ttl": "20m", "max_lease_ttl": 0}
    engines(script, ENGINE)
    script.expect("POST", "sys/mounts/apps/tune", 204, sent={"description": "New", "default_lease_ttl": "20m", "options": {"other": "x"}})
    engines(script, {**ENGINE, "options": None})
    done = run("vault_secrets_engine", **wish)
    assert done["diff"] == predicted["diff"]
    assert done["diff"]["before"] == {"description": "Secrets", "config.default_lease_ttl": 600}
    assert done["diff"]["after"] == {"description": "New", "config.default_lease_ttl": "20m", "options.other": "x"}


def test_what_is_not_set_is_left_alone(script: Script) -> None:
    engines(script, ENGINE)
    assert not run("vault_secrets_engine", path="apps", type="kv")["changed"]


def test_an_engine_is_deleted_only_when_confirmed(script: Script) -> None:
    with pytest.raises(ModuleFailed, match="deletes all that is stored in it"):
        run("vault_secrets_engine", path="apps", type="kv", state="absent", confirm="app")
    engines(script, ENGINE)
    predicted = run("vault_secrets_engine", check=True, path="apps", type="kv", state="absent", confirm="apps/")
    engines(script, ENGINE)
    script.expect("DELETE", "sys/mounts/apps", 204)
    engines(script)
    done = run("vault_secrets_engine", path="apps", type="kv", state="absent", confirm="apps")
    assert done["changed"] and done["secrets_engine"] is None and done["diff"] == predicted["diff"]
    engines(script)
    assert not run("vault_secrets_engine", path="apps", type="kv", state="absent", confirm="apps")["changed"]


def test_another_type_is_refused(script: Script) -> None:
    engines(script, ENGINE)
    with pytest.raises(ModuleFailed, match="At apps there is the secrets engine 'kv', not 'pki'"):
        run("vault_secrets_engine", path="apps", type="pki")


def test_unknown_settings_are_refused_before_anything_is_written(script: Script) -> None:
    engines(script)
    with pytest.raises(ModuleFailed, match="has no setting default_ttl in config"):
        run("vault_secrets_engine", path="apps", type="kv", config={"default_ttl": 1})


@pytest.mark.parametrize("path", ["sys", "/", "identity/x"])
def test_reserved_paths_are_refused(script: Script, path: str) -> None:
    with pytest.raises(ModuleFailed, match="is no path for a mount"):
        run("vault_secrets_engine", path=path, type="kv")


def test_engines_are_listed(script: Script) -> None:
    engines(script, ENGINE)
    assert [each["path"] for each in run("vault_secrets_engine_info")["secrets_engines"]] == ["apps", "sys"]
    engines(script, ENGINE)
    assert run("vault_secrets_engine_info", path="none")["secrets_engines"] == []


# --- auth methods and AppRole

APPROLE = {"type": "approle", "description": "Machines", "config": {"default_lease_ttl": 600, "token_type": "default-service"}, "accessor": "a1"}
ROLE = {"token_policies": ["backup"], "token_ttl": 600, "secret_id_ttl": 0, "bind_secret_id": True}
METHOD = {"type": "approle", "description": "Machines", "roles": {"backup": {"token_policies": ["backup"], "token_ttl": "10m"}}}


def methods(script: Script, *, there: bool = True) -> None:
    script.expect("GET", "sys/auth", body={"data": {"approle/": APPROLE} if there else {}})


def role(script: Script, name: str = "backup", fields: t.Mapping[str, t.Any] | None = types.MappingProxyType(ROLE)) -> None:
    script.expect("GET", f"auth/approle/role/{name}", 200 if fields is not None else 404, {"data": dict(fields)} if fields is not None else None)


def test_an_auth_method_is_enabled_with_its_roles(script: Script) -> None:
    methods(script, there=False)
    predicted = run("vault_auth_method", check=True, **METHOD)
    methods(script, there=False)
    script.expect("POST", "sys/auth/approle", 204, sent={"type": "approle", "description": "Machines", "config": {}})
    script.expect("POST", "auth/approle/role/backup", 204, sent=METHOD["roles"]["backup"])  # type: ignore[index]
    methods(script)
    role(script)
    done = run("vault_auth_method", **METHOD)
    assert done["diff"] == predicted["diff"]
    assert predicted["auth_method"]["roles"] == METHOD["roles"]
    assert done["auth_method"]["roles"] == {"backup": ROLE}


def test_an_auth_method_that_is_so_is_unchanged(script: Script) -> None:
    methods(script)
    role(script)
    done = run("vault_auth_method", **METHOD)
    assert not done["changed"] and done["auth_method"]["roles"]["backup"]["token_ttl"] == 600


def test_roles_are_changed_added_and_purged(script: Script) -> None:
    wish = {**METHOD, "purge_roles": True, "roles": {"backup": {"token_ttl": 700}, "new": {}}}

    def current() -> None:
        methods(script)
        script.expect("GET", "auth/approle/role?list=true", body={"data": {"keys": ["backup", "old"]}})
        role(script)
        role(script, "old", {"token_ttl": 1})

    current()
    predicted = run("vault_auth_method", check=True, **wish)
    current()
    script.expect("POST", "auth/approle/role/backup", 204, sent={"token_ttl": 700}).expect("POST", "auth/approle/role/new", 204, sent={})
    script.expect("DELETE", "auth/approle/role/old", 204)
    methods(script)
    role(script, "backup", {**ROLE, "token_ttl": 700})
    role(script, "new", {})
    done = run("vault_auth_method", **wish)
    assert done["diff"] == predicted["diff"]
    assert done["diff"]["after"] == {"roles.backup.token_ttl": 700, "roles.new": {}}
    assert done["diff"]["before"] == {"roles.backup.token_ttl": 600, "roles.old": {"token_ttl": 1}}


def test_an_auth_method_is_disabled(script: Script) -> None:
    methods(script)
    script.expect("DELETE", "sys/auth/approle", 204)
    methods(script, there=False)
    assert run("vault_auth_method", type="approle", state="absent")["auth_method"] is None


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"type": "userpass", "roles": {"a": {}}}, "roles are for approle, jwt, kubernetes, oidc, not for .userpass"),
        ({"type": "jwt", "roles": {"a": {"bind_secret_id": True}}}, "roles.a has no field bind_secret_id"),
        ({"type": "approle", "method_config": {"x": 1}}, "method_config is for jwt, kubernetes, oidc, not for .approle"),
        ({"type": "kubernetes", "method_config": {"host": 1}}, "method_config of kubernetes has no field host"),
        ({"type": "approle", "roles": {"a": "x"}}, "roles.a is no mapping"),
        ({"type": "approle", "roles": {"a": {"policy": ["x"]}}}, "roles.a has no field policy"),
    ],
)
def test_bad_roles_are_refused_before_any_request(script: Script, options: dict[str, t.Any], text: str) -> None:
    with pytest.raises(ModuleFailed, match=text):
        run("vault_auth_method", **options)


def test_auth_methods_are_listed_with_roles(script: Script) -> None:
    script.expect("GET", "sys/auth", body={"data": {"approle/": APPROLE, "token/": {"type": "token"}}})
    script.expect("GET", "auth/approle/role?list=true", body={"data": {"keys": ["backup", "gone"]}})
    role(script)
    role(script, "gone", None)
    found = run("vault_auth_method_info")["auth_methods"]
    assert [(each["path"], each["roles"]) for each in found] == [("approle", {"backup": ROLE}), ("token", {})]
    methods(script)
    assert run("vault_auth_method_info", path="token")["auth_methods"] == []


# --- credentials of an AppRole

ROLE_ID = "auth/approle/role/backup/role-id"
LOOKUP = "auth/approle/role/backup/secret-id/lookup"


def credentials(path: pathlib.Path, *, check: bool = False) -> dict[str, t.Any]:
    return run("vault_approle_credentials", check=check, role="backup", credentials_file=str(path))


def test_credentials_are_written_privately_and_returned_nowhere(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "backup.json"
    script.expect("GET", ROLE_ID, body={"data": {"role_id": "rrr"}}, times=2)
    predicted = credentials(path, check=True)
    assert not path.exists()
    script.expect("POST", "auth/approle/role/backup/secret-id", body={"data": {"secret_id": "sss", "secret_id_accessor": "acc"}}, sent={})
    done = credentials(path)
    assert done["diff"] == predicted["diff"] and done["changed"]
    assert json.loads(path.read_text()) == {
        "mount_point": "approle",
        "role": "backup",
        "role_id": "rrr",
        "secret_id": "sss",
        "secret_id_accessor": "acc",
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "sss" not in json.dumps(done) and "rrr" not in json.dumps(done)


@pytest.mark.parametrize(("status", "changed"), [(200, False), (204, True), (404, True)])
def test_credentials_are_kept_while_the_server_knows_them(script: Script, tmp_path: pathlib.Path, status: int, changed: bool) -> None:
    path = tmp_path / "backup.json"
    path.write_text(json.dumps({"role_id": "rrr", "secret_id": "sss"}))
    script.expect("GET", ROLE_ID, body={"data": {"role_id": "rrr"}})
    script.expect("POST", LOOKUP, status, {"data": {"secret_id_accessor": "acc"}} if status == 200 else None, sent={"secret_id": "sss"})
    assert credentials(path, check=True)["changed"] is changed


def test_credentials_of_a_role_made_anew_are_replaced(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "backup.json"
    path.write_text(json.dumps({"role_id": "old", "secret_id": "sss"}))
    script.expect("GET", ROLE_ID, body={"data": {"role_id": "rrr"}})
    assert credentials(path, check=True)["changed"]


def test_a_lookup_that_is_forbidden_is_an_error_not_a_new_secret(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "backup.json"
    path.write_text(json.dumps({"role_id": "rrr", "secret_id": "sss"}))
    script.expect("GET", ROLE_ID, body={"data": {"role_id": "rrr"}})
    script.expect("POST", LOOKUP, 403).expect("GET", "auth/token/lookup-self")
    with pytest.raises(ModuleFailed, match="look the secret id up"):
        credentials(path)


def test_a_missing_role_fails_but_check_mode_goes_on(script: Script, tmp_path: pathlib.Path) -> None:
    script.expect("GET", ROLE_ID, 404, times=2)
    assert credentials(tmp_path / "x", check=True)["changed"]
    with pytest.raises(ModuleFailed, match="There is no AppRole 'backup'"):
        credentials(tmp_path / "x")


def test_an_unwritable_place_is_found_before_there_is_a_secret(script: Script, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ModuleFailed, match="Cannot write into"):
        credentials(tmp_path / "missing" / "x")


# --- the root token

HEALTH_FILE = {"status": "complete", "cluster_id": "c1", "root_token": "s.root", "recovery_keys": ["k"]}


def revoke(path: pathlib.Path, *, check: bool = False) -> dict[str, t.Any]:
    return run("vault_token", check=check, credentials_file=str(path))


def test_the_root_token_is_revoked_and_taken_out(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "init.json"
    path.write_text(json.dumps(HEALTH_FILE))
    script.node()
    predicted = revoke(path, check=True)
    script.node().expect("GET", "auth/token/lookup-self", token="s.root").expect("POST", "auth/token/revoke-self", 204, token="s.root")
    done = revoke(path)
    assert done["changed"] and done["diff"] == predicted["diff"] and "s.root" not in json.dumps(done)
    assert json.loads(path.read_text()) == {"status": "complete", "cluster_id": "c1", "recovery_keys": ["k"]}
    assert not revoke(path)["changed"]


def test_a_token_that_is_revoked_already_is_only_taken_out(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "init.json"
    path.write_text(json.dumps(HEALTH_FILE))
    script.node("standby", leader="https://other.test:8200").expect("GET", "auth/token/lookup-self", 403)
    assert revoke(path)["changed"]
    assert "root_token" not in json.loads(path.read_text())


def test_a_failed_revocation_keeps_the_token_in_the_file(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "init.json"
    path.write_text(json.dumps(HEALTH_FILE))
    script.node().expect("GET", "auth/token/lookup-self").expect("POST", "auth/token/revoke-self", 500, {"errors": ["no leader"]})
    with pytest.raises(ModuleFailed, match="Cannot revoke the token"):
        revoke(path)
    assert json.loads(path.read_text()) == HEALTH_FILE


def test_another_cluster_a_sealed_node_and_a_missing_file_are_refused(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "init.json"
    path.write_text(json.dumps(HEALTH_FILE))
    script.node(cluster_id="c2")
    with pytest.raises(ModuleFailed, match="belongs to the cluster c1"):
        revoke(path)
    script.node("sealed")
    with pytest.raises(ModuleFailed, match="is sealed"):
        revoke(path)
    with pytest.raises(ModuleFailed, match="There is no"):
        revoke(tmp_path / "none")
