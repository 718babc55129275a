"""JWT and Kubernetes logins by the module, and vault_secrets by its playbook, on one real server."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import typing as t

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from helpers.modules import ModuleFailed
from openbao import Kms
from openbao_runner import Fleet, Vault

pytestmark = pytest.mark.server
LONG = pytest.mark.skipif(os.environ.get("RESILIENT_LONG_TESTS") != "1", reason="runs the playbook three times: set RESILIENT_LONG_TESTS=1")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC = KEY.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
CA = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
SUBJECT = "system:serviceaccount:shop:eso"


def jwt(**claims: t.Any) -> str:
    """Return a token as a Kubernetes cluster would issue it."""
    body = {"iss": "test", "sub": SUBJECT, "aud": "vault", "exp": int(time.time()) + 300, "iat": int(time.time()) - 5, "nbf": int(time.time()) - 5, **claims}
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in ({"alg": "RS256", "typ": "JWT"}, body)]
    signature = KEY.sign(b".".join(parts), padding.PKCS1v15(), hashes.SHA256())
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.fixture(scope="module")
def vault(shared_fleet: Fleet, kms: Kms) -> Vault:
    return shared_fleet.vault(shared_fleet.make(kms=kms, prefix="secrets")[0]).initialise("secrets.json")


METHOD = {
    "path": "jwt/main",
    "type": "jwt",
    "method_config": {"jwt_validation_pubkeys": [PUBLIC], "bound_issuer": "test"},
    "roles": {"shop": {"role_type": "jwt", "user_claim": "sub", "bound_audiences": ["vault"], "bound_subject": SUBJECT, "token_ttl": "10m",
                       "token_policies": ["shop"]}},
}
KUBERNETES = {
    "path": "kubernetes/main",
    "type": "kubernetes",
    "method_config": {"kubernetes_host": "https://10.0.0.20:6443", "kubernetes_ca_cert": CA, "disable_local_ca_jwt": True,
                      "token_reviewer_jwt": "reviewer-secret"},
    "roles": {"shop": {"bound_service_account_names": ["eso"], "bound_service_account_namespaces": ["shop"], "audience": "vault", "token_ttl": "10m"}},
}


@pytest.mark.parametrize("wanted", [METHOD, KUBERNETES], ids=lambda wanted: wanted["type"])
def test_check_mode_is_the_run_and_a_second_one_changes_nothing(vault: Vault, wanted: dict[str, t.Any]) -> None:
    predicted = vault.run("vault_auth_method", check=True, **wanted)
    done = vault.run("vault_auth_method", **wanted)
    assert predicted["changed"] and predicted["diff"] == done["diff"]
    again = vault.run("vault_auth_method", **wanted)
    assert not again["changed"], again["diff"]
    assert not vault.run("vault_auth_method", check=True, **wanted)["changed"]
    assert "reviewer-secret" not in json.dumps(done["diff"])
    other = {**wanted, "roles": {"shop": {**wanted["roles"]["shop"], "token_ttl": "600s"}}}
    assert not vault.run("vault_auth_method", **other)["changed"], "the same time in other words"
    other["roles"]["shop"]["token_ttl"] = "5m"
    changed = vault.run("vault_auth_method", **other)
    assert changed["diff"]["after"] != changed["diff"]["before"]
    kept = vault.node.call("GET", f"auth/{wanted['path']}/role/shop", token=vault.token).json()["data"]
    assert kept["token_ttl"] == 300 and (kept.get("bound_subject") or kept.get("bound_service_account_names"))


def test_a_jwt_logs_in_if_it_is_for_us(vault: Vault) -> None:
    vault.run("vault_auth_method", **METHOD)

    def login(token: str) -> int:
        return vault.node.call("POST", "auth/jwt/main/login", {"role": "shop", "jwt": token}).status_code

    good = vault.node.call("POST", "auth/jwt/main/login", {"role": "shop", "jwt": jwt()})
    assert good.status_code == 200, good.text
    assert [login(jwt(**bad)) for bad in ({"aud": "other"}, {"sub": "system:serviceaccount:other:eso"}, {"iss": "other"}, {"exp": 1})] == [400] * 4


def test_unknown_fields_and_purge(vault: Vault) -> None:
    with pytest.raises(ModuleFailed, match="method_config of jwt has no field jwks"):
        vault.run("vault_auth_method", path="jwt/main", type="jwt", method_config={"jwks": "x"})
    with pytest.raises(ModuleFailed, match="roles.a has no field bound_audience"):
        vault.run("vault_auth_method", path="jwt/main", type="jwt", roles={"a": {"bound_audience": "x"}})
    vault.run("vault_auth_method", **METHOD)
    vault.run("vault_auth_method", path="jwt/main", type="jwt", roles={}, purge_roles=True)
    assert vault.node.call("GET", "auth/jwt/main/role/shop", token=vault.token).status_code == 404


@LONG
def test_external_secrets_read_their_own_and_nothing_else(vault: Vault, tmp_path: pathlib.Path) -> None:
    variables = {
        "vault_secrets_connection": {"url": vault.node.url, "token": vault.token},
        "vault_secrets_url": vault.node.url, "vault_secrets_ca_path": "/nonexistent", "vault_secrets_credentials_file": "/nonexistent",
        "vault_secrets_engines": [{"path": "apps", "type": "kv", "options": {"version": "2"}}],
        "vault_secrets_policies": [{"name": "reader", "policy": 'path "apps/data/*" { capabilities = ["read"] }'}],
        "vault_secrets_approles": {"ci": {"token_policies": ["reader"], "token_ttl": "5m"}},
        "vault_secrets_approle_credentials_dir": str(tmp_path),
        "vault_secrets_jwt": [{"path": "jwt/eso", "config": METHOD["method_config"]}],
        "vault_secrets_external_secrets": [
            {"name": "shop", "auth": "jwt/eso", "mount": "apps", "prefix": "shop", "namespace": "shop", "service_account": "eso"},
        ],
    }
    (tmp_path / "vars.json").write_text(json.dumps(variables))

    def play(*options: str, fails: bool = False) -> str:
        argv = ["ansible-playbook", "-i", "localhost,", "-c", "local", "-e", f"ansible_python_interpreter={sys.executable}"]
        done = subprocess.run([*argv, "resilient.platform.vault_secrets", "-e", f"@{tmp_path}/vars.json", *options],
                              env={**os.environ, "ANSIBLE_NOCOLOR": "1"}, capture_output=True, text=True, check=False, timeout=300, stdin=subprocess.DEVNULL)
        assert (done.returncode != 0) == fails, done.stdout[-4000:]
        return done.stdout

    predicted = re.findall(r"changed=(\d+)", play("--check"))
    assert re.findall(r"changed=(\d+)", play()) == predicted != ["0"]
    assert re.findall(r"changed=(\d+)", play()) == ["0"]
    assert "opens more" in play("-e", json.dumps({"vault_secrets_external_secrets": [{**variables["vault_secrets_external_secrets"][0], "prefix": "*"}]}),
                                fails=True).replace("would open more", "opens more")
    for path in ("shop/db", "other/db"):
        assert vault.node.call("POST", f"apps/data/{path}", {"data": {"x": "y"}}, token=vault.token).status_code == 200
    answer = vault.node.call("POST", "auth/jwt/eso/login", {"role": "eso-shop", "jwt": jwt()}).json()["auth"]
    assert answer["policies"] == ["eso-shop"] and answer["lease_duration"] == 600
    token = answer["client_token"]
    assert vault.node.call("GET", "apps/data/shop/db", token=token).status_code == 200
    assert [vault.node.call(method, path, {"data": {}} if method == "POST" else None, token=token).status_code
            for method, path in (("GET", "apps/data/other/db"), ("GET", "apps/metadata/shop?list=true"), ("POST", "apps/data/shop/db"))] == [403] * 3
    assert (tmp_path / "ci.json").stat().st_mode & 0o777 == 0o600
