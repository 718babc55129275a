"""Policies, mounts, AppRole, tokens: check mode, diff and idempotence against one real server with TLS."""

from __future__ import annotations

import datetime
import ipaddress
import json
import pathlib
import stat
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from helpers.modules import ModuleFailed
from openbao import Kms
from openbao_runner import Fleet, Vault

pytestmark = pytest.mark.server


def make_tls(directory: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path, pathlib.Path]:
    """Return a self-signed certificate for 127.0.0.1 (as its own authority) and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = directory / "tls.pem", directory / "tls.key"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return certificate_file, certificate_file, key_file


@pytest.fixture(scope="module")
def vault(shared_fleet: Fleet, kms: Kms, module_dir: pathlib.Path) -> Vault:
    node = shared_fleet.make(kms=kms, tls=make_tls(module_dir))[0]
    return shared_fleet.vault(node).initialise()


OBJECTS: dict[str, tuple[str, dict[str, t.Any], dict[str, t.Any]]] = {
    "policy": (
        "vault_policy",
        {"name": "Reader", "policy": 'path "kv/data/*" {\n  capabilities = ["read"]  \n}\n\n'},
        {"policy": 'path "kv/*" { capabilities = ["read"] }'},
    ),
    "secrets engine": (
        "vault_secrets_engine",
        {"path": "apps/kv", "type": "kv", "options": {"version": 2}, "description": "Secrets", "config": {"default_lease_ttl": "10m"}},
        {"description": "Other", "config": {"default_lease_ttl": "20m"}},
    ),
    "auth method": (
        "vault_auth_method",
        {
            "path": "machines",
            "type": "approle",
            "description": "Machines",
            "config": {"default_lease_ttl": "10m", "max_lease_ttl": 3600},
            "roles": {
                "app": {"token_policies": ["reader", "default"], "token_ttl": "10m", "secret_id_ttl": "24h", "token_bound_cidrs": ["127.0.0.0/8"]}
            },
        },
        {"roles": {"app": {"token_ttl": 1200}, "other": {}}},
    ),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_check_says_what_the_run_does_and_a_second_run_is_unchanged(vault: Vault, kind: str) -> None:
    module, options, change = OBJECTS[kind]
    for wanted in (options, {**options, **change}):
        predicted = vault.run(module, check=True, **wanted)
        done = vault.run(module, **wanted)
        again = vault.run(module, **wanted)
        assert predicted["changed"] and done["changed"]
        assert predicted["diff"] == done["diff"]
        assert not again["changed"], again["diff"]
    absent = {key: value for key, value in options.items() if key in ("name", "path", "type")} | {"state": "absent"}
    if module == "vault_secrets_engine":
        absent["confirm"] = "apps/kv"
    predicted = vault.run(module, check=True, **absent)
    done = vault.run(module, **absent)
    assert predicted["changed"] and done["changed"] and predicted["diff"] == done["diff"]
    assert not vault.run(module, **absent)["changed"]


def test_a_type_change_is_refused(vault: Vault) -> None:
    vault.run("vault_secrets_engine", path="typed", type="kv")
    with pytest.raises(ModuleFailed, match="At typed there is the secrets engine 'kv', not 'transit'"):
        vault.run("vault_secrets_engine", path="typed", type="transit")


def test_purge_deletes_what_is_not_named(vault: Vault) -> None:
    roles = {"a": {"token_ttl": 60}, "b": {}}
    vault.run("vault_auth_method", path="purged", type="approle", roles=roles)
    assert not vault.run("vault_auth_method", path="purged", type="approle", roles={"a": {}})["changed"]
    assert vault.run("vault_auth_method", path="purged", type="approle", roles={"a": {}}, purge_roles=True)["changed"]
    found = vault.run("vault_auth_method_info", path="purged")["auth_methods"]
    assert list(found[0]["roles"]) == ["a"]


def test_approle_credentials_are_kept_while_valid_and_log_in(vault: Vault, tmp_path: pathlib.Path) -> None:
    vault.run("vault_policy", name="lister", policy='path "sys/policies/acl/*" { capabilities = ["read"] }')
    vault.run("vault_auth_method", type="approle", roles={"ops": {"token_policies": ["lister"], "token_ttl": "5m"}})
    path = tmp_path / "ops.json"
    options = {"role": "ops", "credentials_file": str(path)}
    predicted = vault.run("vault_approle_credentials", check=True, **options)
    assert predicted["changed"] and not path.exists()
    done = vault.run("vault_approle_credentials", **options)
    content = json.loads(path.read_text(encoding="utf-8"))
    assert done["diff"] == predicted["diff"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert content["secret_id"] not in json.dumps(done) and content["role_id"] not in json.dumps(done)
    assert not vault.run("vault_approle_credentials", **options)["changed"]

    login = {"token": "", "auth_method": "approle", "role_id": content["role_id"], "secret_id": content["secret_id"]}
    assert vault.run("vault_policy_info", name="lister", **login)["policies"][0]["name"] == "lister"

    body = {"secret_id": content["secret_id"]}
    vault.node.call("POST", "auth/approle/role/ops/secret-id/destroy", body, token=vault.token).raise_for_status()
    with pytest.raises(ModuleFailed, match="Cannot log in") as failed:
        vault.run("vault_policy_info", **login)
    assert failed.value.result["error"]["type"] == "AuthenticationError"
    assert vault.run("vault_approle_credentials", **options)["changed"]


def test_wrong_token_and_missing_policy_are_told_apart(vault: Vault) -> None:
    with pytest.raises(ModuleFailed) as wrong:
        vault.run("vault_policy_info", token="hvs.wrong")
    assert wrong.value.result["error"]["type"] == "AuthenticationError"
    answer = vault.node.call("POST", "auth/token/create", {"policies": ["default"]}, token=vault.token)
    with pytest.raises(ModuleFailed, match="Give the token's policy that path") as denied:
        vault.run("vault_policy_info", token=answer.json()["auth"]["client_token"])
    assert denied.value.result["error"]["type"] == "PermissionDenied"


def test_an_untrusted_certificate_is_named(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(vault.node.verify))  # must not decide over trust
    with pytest.raises(ModuleFailed, match="certificate is not trusted.*Set ca_path"):
        vault.run("vault_policy_info", ca_path=None)
    assert vault.run("vault_policy_info")["policies"]


def test_the_root_token_is_revoked_and_leaves_the_file(fleet: Fleet, kms: Kms) -> None:
    root = fleet.vault(fleet.make(kms=kms, prefix="revoke")[0]).initialise()
    path = root.directory / "init.json"
    options = {"credentials_file": str(path), "token": ""}
    predicted = root.run("vault_token", check=True, **options)
    assert "root_token" in json.loads(path.read_text(encoding="utf-8"))
    done = root.run("vault_token", **options)
    assert predicted["diff"] == done["diff"] and done["changed"]
    assert "root_token" not in json.loads(path.read_text(encoding="utf-8"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert root.node.call("GET", "auth/token/lookup-self", token=root.token).status_code == 403
    assert not root.run("vault_token", **options)["changed"]
