"""A certificate authority on a real server: made, rotated with overlap, and its ACME asked."""

from __future__ import annotations

import datetime
import pathlib
import time
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from helpers.modules import ModuleFailed
from openbao import Kms
from openbao_runner import Fleet, Vault
from test_members import both

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def vault(shared_fleet: Fleet, kms: Kms) -> Vault:
    made = shared_fleet.vault(shared_fleet.make(kms=kms)[0]).initialise()
    for path in ("root", "issuing", "offline"):
        made.run("vault_secrets_engine", path=path, type="pki", config={"max_lease_ttl": "87600h"})
    return made


def issue(vault: Vault, ttl: str) -> x509.Certificate:
    answer = vault.node.call("POST", "issuing/issue/web", {"common_name": "a.example.com", "ttl": ttl}, token=vault.token)
    assert answer.status_code == 200, answer.text
    return x509.load_pem_x509_certificate(answer.json()["data"]["certificate"].encode())


def signer(certificate: x509.Certificate) -> str:
    raw = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    return raw.hex() if raw else ""


def test_an_authority_is_made_and_rotated_with_overlap(vault: Vault) -> None:
    root = {"mount_point": "root", "issuer": {"name": "root", "type": "root", "common_name": "Root", "ttl": "80000h", "organization": "Example"}}
    done = both(vault, "vault_pki", **root)
    assert [issuer["subject"] for issuer in done["pki"]["issuers"]] == ["CN=Root,O=Example"]
    issuer: dict[str, t.Any] = {"name": "ca", "type": "intermediate", "common_name": "Issuing", "ttl": "1000h", "parent_mount": "root"}
    settings = {
        "mount_point": "issuing",
        "cluster": {"path": f"{vault.node.url}/v1/issuing", "aia_path": f"{vault.node.url}/v1/issuing"},
        "urls": {"issuing_certificates": [f"{vault.node.url}/v1/issuing/ca"], "crl_distribution_points": [f"{vault.node.url}/v1/issuing/crl"]},
        "crl": {"expiry": "96h", "auto_rebuild": True},
        "acme": {"enabled": True, "allowed_roles": ["web"], "default_directory_policy": "role:web"},
        "auto_tidy": {"enabled": True, "tidy_cert_store": True, "interval_duration": "12h"},
        "roles": {"web": {"allowed_domains": ["example.com"], "allow_subdomains": True, "max_ttl": "720h", "key_type": "ec", "key_bits": 256}},
    }
    first = both(vault, "vault_pki", **settings, issuer=issuer, renew_before="100h")["pki"]
    assert vault.node.call("GET", "issuing/acme/directory").json()["newOrder"].endswith("/v1/issuing/acme/new-order")
    old = next(each for each in first["issuers"] if each["default"])
    assert old["name"] == "ca" and 41 < old["days_left"] < 42
    long_leaf, short_leaf = issue(vault, "700h"), issue(vault, "3s")
    assert signer(long_leaf) == signer(short_leaf) == old["key_identifier"]

    # Near its end: a successor beside it, which is the default from then on; the old one goes on to sign its list.
    issuer["ttl"] = "20000h"
    rotated = both(vault, "vault_pki", **settings, issuer=issuer, renew_before="2000h", retire_old=True)["pki"]
    names = {each["name"]: each for each in rotated["issuers"] if each["has_key"]}
    assert set(names) == {"ca", "ca-2"} and names["ca-2"]["default"] and "issuing-certificates" not in names["ca"]["usage"]
    assert signer(issue(vault, "1h")) == names["ca-2"]["key_identifier"]
    serial = ":".join(f"{byte:02x}" for byte in long_leaf.serial_number.to_bytes(20, "big"))
    assert vault.node.call("POST", "issuing/revoke", {"serial_number": serial}, token=vault.token).status_code == 200, "the old issuer is needed still"

    # A leaf of the old one is valid still: it stays. When the last has ended it goes.
    assert not vault.run("vault_pki", **settings, issuer=issuer, renew_before="2000h", retire_old=True)["changed"]
    with pytest.raises(ModuleFailed, match="every run would make another one"):
        vault.run("vault_pki", **settings, issuer=issuer, renew_before="20000h")
    with pytest.raises(ModuleFailed, match="a certificate cannot be changed"):
        vault.run("vault_pki", mount_point="issuing", issuer={**issuer, "common_name": "Other"})
    found = vault.run("vault_pki_info", mount_point="issuing")["pki"]
    assert found["roles"]["web"]["max_ttl"] == 2592000 and found["acme"]["enabled"] and found["default"] == names["ca-2"]["id"]
    assert both(vault, "vault_pki", mount_point="issuing", roles={}, purge_roles=True)["pki"]["roles"] == {}


def test_an_old_issuer_is_retired_when_its_last_leaf_has_ended(vault: Vault) -> None:
    vault.run("vault_secrets_engine", path="brief", type="pki", config={"max_lease_ttl": "87600h"})
    options: dict[str, t.Any] = {"mount_point": "brief", "roles": {"web": {"allow_any_name": True, "key_type": "ec", "key_bits": 256}}}
    issuer = {"name": "ca", "type": "root", "common_name": "Brief", "ttl": "10h"}
    vault.run("vault_pki", **options, issuer=issuer, renew_before="1h")
    vault.node.call("POST", "brief/issue/web", {"common_name": "x", "ttl": "4s"}, token=vault.token).raise_for_status()
    began = time.monotonic()
    wanted = {**options, "issuer": {**issuer, "ttl": "1000h"}, "renew_before": "20h", "retire_old": True}
    assert vault.run("vault_pki", **wanted)["changed"]
    assert not vault.run("vault_pki", **wanted)["changed"], "a certificate of the old one is valid still"
    time.sleep(max(0.0, 5 - (time.monotonic() - began)))
    assert [each["name"] for each in both(vault, "vault_pki", **wanted)["pki"]["issuers"]] == ["ca-2"]
    assert len(vault.node.call("LIST", "brief/keys", token=vault.token).json()["data"]["keys"]) == 1


def test_a_root_elsewhere_signs_by_a_file(vault: Vault, tmp_path: pathlib.Path) -> None:
    csr, signed = tmp_path / "ca.csr", tmp_path / "ca.pem"
    issuer = {"name": "ca", "type": "intermediate", "common_name": "Offline", "ttl": "1000h", "csr_file": str(csr)}
    options: dict[str, t.Any] = {"mount_point": "offline", "issuer": issuer}
    both(vault, "vault_pki", **options)
    request = x509.load_pem_x509_csr(csr.read_bytes())
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Root in a safe")])
    now = datetime.datetime.now(datetime.timezone.utc)

    def certificate(subject: x509.Name, public: t.Any) -> bytes:
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(name).public_key(public).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now).not_valid_after(now + datetime.timedelta(days=40))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    signed.write_bytes(certificate(name, key.public_key()))
    with pytest.raises(ModuleFailed, match="belongs to no key"):
        vault.run("vault_pki", mount_point="offline", issuer={**issuer, "certificate_file": str(signed)})
    signed.write_bytes(certificate(request.subject, request.public_key()) + signed.read_bytes())
    done = both(vault, "vault_pki", mount_point="offline", issuer={**issuer, "certificate_file": str(signed)})
    assert [each["subject"] for each in done["pki"]["issuers"] if each["default"]] == ["CN=Offline"]
