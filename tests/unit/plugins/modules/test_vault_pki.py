"""A certificate authority, against a scripted server."""

from __future__ import annotations

import datetime
import functools
import importlib
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError
from ansible_collections.resilient.platform.plugins.module_utils._vault import pki
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from helpers import vault
from helpers.modules import ModuleFailed, run_module
from helpers.vault import URL, Script

script = vault.script
ISSUER = {"name": "ca", "type": "root", "common_name": "CA", "ttl": "1000h"}
URLS = {"issuing_certificates": [], "crl_distribution_points": []}
ROLE = {"allowed_domains": ["a"], "max_ttl": 3600, "no_store": False}


@functools.lru_cache(maxsize=None)
def key_of(name: str) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@functools.lru_cache(maxsize=None)
def certificate(key: str, hours: int, *, common_name: str = "CA", by: str = "", identifiers: bool = True) -> str:
    """Return a certificate of the key's holder, signed by itself or by another key."""
    now = datetime.datetime.now(datetime.timezone.utc)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)] if common_name else [])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key_of(key).public_key())
    builder = builder.serial_number(len(key) * 1000 + abs(hours)).not_valid_before(now - datetime.timedelta(days=99))
    builder = builder.not_valid_after(now + datetime.timedelta(hours=hours))
    if identifiers:
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key_of(key).public_key()), critical=False)
        builder = builder.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key_of(by or key).public_key()), critical=False)
    return builder.sign(key_of(by or key), hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def issuer(name: str, hours: int = 900, *, usage: str = "crl-signing,issuing-certificates", key: bool = True, **more: t.Any) -> dict[str, t.Any]:
    entry = {"issuer_id": f"id-{name}", "issuer_name": name, "key_id": f"key-{name}" if key else "", "usage": usage}
    return {**entry, "certificate": certificate(name, hours), **more}


def run(module: str = "vault_pki", *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    main = importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.{module}").main
    return run_module(main, {"url": URL, "token": "tok", **options}, check=check, diff=True)


def issuers(script: Script, *found: dict[str, t.Any], default: str | None = None) -> Script:
    """Expect the question for all issuers and the default."""
    script.expect("GET", "pki/issuers?list=true", 200 if found else 404, {"data": {"keys": [each["issuer_id"] for each in found]}})
    for each in found:
        script.expect("GET", f"pki/issuer/{each['issuer_id']}", body={"data": each})
    return script.expect("GET", "pki/config/issuers", body={"data": {"default": found[-1]["issuer_id"] if default is None and found else default or ""}})


def state(script: Script, *found: dict[str, t.Any], acme: int = 200) -> Script:
    """Expect that all is read for the result."""
    script.expect("GET", "pki/config/issuers", body={"data": {"default": found[-1]["issuer_id"] if found else ""}})
    script.expect("GET", "pki/issuers?list=true", 200 if found else 404, {"data": {"keys": [each["issuer_id"] for each in found]}})
    for each in found:
        script.expect("GET", f"pki/issuer/{each['issuer_id']}", body={"data": each})
    script.expect("GET", "pki/roles?list=true", 404)
    for section in ("cluster", "urls", "crl", "acme", "auto-tidy"):
        script.expect("GET", f"pki/config/{section}", acme if section == "acme" else 200, {"data": URLS if section == "urls" else {"a": 1}})
    return script


def test_a_root_is_made_and_is_the_default(script: Script) -> None:
    for check in (True, False):
        issuers(script)
        if not check:
            sent = {"common_name": "CA", "issuer_name": "ca", "key_name": "ca", "ttl": "1000h", "key_type": "ec", "organization": "O"}
            script.expect("POST", "pki/issuers/generate/root/internal", body={"data": {}}, sent=sent)
            script.expect("POST", "pki/config/issuers", body={"data": {}}, sent={"default": "ca"})
        state(script, *([] if check else [issuer("ca")]), acme=404)
        done = run(check=check, issuer={**ISSUER, "organization": "O"})
        assert done["diff"]["after"] == {"issuer": "ca", "default": "ca"} and done["pki"]["acme"] is None
    found = done["pki"]["issuers"][0]
    assert found["default"] and found["has_key"] and 37 < found["days_left"] < 38 and len(found["fingerprint_sha256"]) == 64
    state(issuers(script, issuer("ca")), issuer("ca"))
    assert not run(issuer=ISSUER)["changed"]


def test_a_successor_takes_over_and_the_old_one_stays(script: Script) -> None:
    old, closed = issuer("ca", 50), issuer("ca", 50, usage="crl-signing")
    new = issuer("ca-2")
    for check in (True, False):
        issuers(script, old)
        if not check:
            script.expect("POST", "pki/issuers/generate/root/internal", body={"data": {}})
            script.expect("POST", "pki/config/issuers", body={"data": {}}, sent={"default": "ca-2"})
            script.expect("PATCH", "pki/issuer/id-ca", body={"data": {}}, sent={"usage": "crl-signing"})
        state(script, *([old] if check else [closed, new]))
        done = run(check=check, issuer=ISSUER, renew_before="100h")
        assert done["diff"]["after"] == {"issuer": "ca-2", "issuers.ca.usage": ["crl-signing"], "default": "ca-2"}
    patches = [request.headers["Content-Type"] for request in script.seen if request.method == "PATCH"]
    assert patches == ["application/merge-patch+json"], "the server takes no other"
    state(issuers(script, closed, new), closed, new)
    assert not run(issuer=ISSUER, renew_before="100h")["changed"]


@pytest.mark.parametrize(
    ("leaf", "old", "role", "retired"),
    [
        (certificate("leaf", 1, by="ca"), issuer("ca", 50, usage="read-only"), ROLE, False),
        (certificate("leaf", -1, by="ca"), issuer("ca", 50, usage="read-only"), ROLE, True),
        (certificate("leaf", 1, by="ca-2"), issuer("ca", 50, usage="read-only"), ROLE, True),
        (None, issuer("ca", 50, usage="read-only"), {**ROLE, "no_store": True}, False),
        (None, issuer("ca", -1, usage="read-only"), None, True),
        (certificate("leaf", 1, identifiers=False), issuer("ca", 50, usage="read-only"), ROLE, True),
    ],
)
def test_an_old_issuer_goes_with_its_last_certificate(
    script: Script, leaf: str | None, old: dict[str, t.Any], role: dict[str, t.Any] | None, retired: bool
) -> None:
    new = issuer("ca-2")
    issuers(script, old, new)
    if role:
        script.expect("GET", "pki/roles?list=true", body={"data": {"keys": ["web"]}}).expect("GET", "pki/roles/web", body={"data": role})
    if leaf:
        serials = ["gone", "1", pki.parse(new).serial]
        script.expect("GET", "pki/certs?list=true", body={"data": {"keys": serials}}).expect("GET", "pki/cert/gone", 404)
        script.expect("GET", "pki/cert/1", body={"data": {"certificate": leaf}})
    if retired:
        script.expect("DELETE", "pki/issuer/id-ca", 204).expect("DELETE", "pki/key/key-ca", 204)
    state(script, new)
    done = run(issuer=ISSUER, retire_old=True)
    assert done["changed"] is retired and ("issuers.ca" in done["diff"]["before"]) is retired


def test_the_first_generation_retires_nothing(script: Script) -> None:
    state(issuers(script, issuer("ca")), issuer("ca"))
    assert not run(issuer=ISSUER, retire_old=True)["changed"]


CHILD = {"name": "ca", "type": "intermediate", "common_name": "CA", "ttl": "1000h"}


@pytest.mark.parametrize("mapping", [{"id-ca": "key-ca", "id-root": ""}, {"id-root": ""}])
def test_an_intermediate_is_signed_by_another_mount(script: Script, mapping: dict[str, str]) -> None:
    issuers(script).expect("POST", "pki/issuers/generate/intermediate/internal", body={"data": {"csr": "CSR"}})
    sent = {"csr": "CSR", "common_name": "CA", "ttl": "1000h", "format": "pem_bundle", "max_path_length": 0}
    script.expect("POST", "root/issuer/default/sign-intermediate", body={"data": {"certificate": "PEM"}}, sent=sent)
    script.expect("POST", "pki/issuers/import/cert", body={"data": {"imported_issuers": list(mapping), "mapping": mapping}}, sent={"pem_bundle": "PEM"})
    wanted = {"issuer": {**CHILD, "parent_mount": "/root/", "max_path_length": 0}}
    if "id-ca" not in mapping:
        with pytest.raises(ModuleFailed, match="belongs to no key"):
            run(**wanted)
        return
    script.expect("PATCH", "pki/issuer/id-ca", body={"data": {}}, sent={"issuer_name": "ca"})
    script.expect("POST", "pki/config/issuers", body={"data": {}}, sent={"default": "ca"})
    state(script, issuer("ca"))
    assert run(**wanted)["changed"]


def test_an_intermediate_waits_for_a_root_elsewhere(script: Script, tmp_path: pathlib.Path) -> None:
    csr, signed = tmp_path / "ca.csr", tmp_path / "ca.pem"
    wanted = {**CHILD, "csr_file": str(csr)}
    for check in (True, False):
        issuers(script)
        if not check:
            script.expect("POST", "pki/issuers/generate/intermediate/internal", body={"data": {"csr": "CSR"}})
        state(script)
        done = run(check=check, issuer=wanted)
        assert done["diff"]["after"] == {"csr_file": str(csr)}
    assert csr.read_text() == "CSR\n"
    state(issuers(script))
    assert not run(issuer=wanted)["changed"]
    signed.write_text("-----BEGIN CERTIFICATE-----\n")
    issuers(script).expect("POST", "pki/issuers/import/cert", body={"data": {"imported_issuers": ["id-ca"], "mapping": {"id-ca": "k"}}})
    script.expect("PATCH", "pki/issuer/id-ca", body={"data": {}}).expect("POST", "pki/config/issuers", body={"data": {}})
    state(script, issuer("ca"))
    assert run(issuer={**wanted, "certificate_file": str(signed)})["changed"]
    signed.write_text("-----BEGIN PRIVATE KEY-----\n")
    for path, text in ((signed, "holds no certificate"), (tmp_path / "none", "Cannot read")):
        issuers(script)
        with pytest.raises(ModuleFailed, match=text):
            run(issuer={**wanted, "certificate_file": str(path)})


def test_check_mode_goes_on_over_a_mount_that_is_not_made_yet(script: Script, tmp_path: pathlib.Path) -> None:
    wanted = {"urls": {"ocsp_servers": ["http://o"]}, "roles": {"web": {"max_ttl": "1h"}}}
    for kind, after in ((ISSUER, {"issuer": "ca", "default": "ca"}), ({**CHILD, "csr_file": str(tmp_path / "c")}, {"csr_file": str(tmp_path / "c")})):
        script.expect("GET", "pki/config/urls", 404).expect("GET", "pki/config/issuers", 404)
        done = run(check=True, issuer=kind, **wanted)
        assert done["diff"]["after"] == {"urls.ocsp_servers": ["http://o"], "roles.web.max_ttl": "1h", **after}
    script.expect("GET", "pki/issuers?list=true", 404).expect("GET", "pki/config/issuers", 404, times=2)
    with pytest.raises(ModuleFailed, match="no PKI mount at pki.*vault_secrets_engine"):
        run(issuer=ISSUER)


def test_settings_and_roles(script: Script) -> None:
    urls, acme, role = {**URLS, "ocsp_servers": []}, {"enabled": False, "eab_policy": "x"}, {**ROLE, "allow_ip_sans": True}
    wanted = {
        "urls": {"ocsp_servers": ["http://o"]},
        "acme": {"enabled": True},
        "roles": {"web": {"max_ttl": "2h"}, "new": {}, "same": {"max_ttl": "1h"}},
        "purge_roles": True,
    }
    for check in (True, False):
        script.expect("GET", "pki/config/urls", body={"data": urls}).expect("GET", "pki/config/acme", body={"data": acme})
        script.expect("GET", "pki/roles?list=true", body={"data": {"keys": ["web", "same", "old"]}})
        for name in ("web", "same", "old"):
            script.expect("GET", f"pki/roles/{name}", body={"data": role})
        if not check:
            script.expect("POST", "pki/config/urls", 204, sent={**urls, "ocsp_servers": ["http://o"]})
            script.expect("POST", "pki/roles/web", 204, sent={**role, "max_ttl": "2h"}).expect("POST", "pki/roles/new", 204, sent={})
            script.expect("DELETE", "pki/roles/old", 204).expect("POST", "pki/config/acme", 204, sent={**acme, "enabled": True})
        script.expect("GET", "sys/mounts/pki/tune", 200 if check else 403, {"data": {"allowed_response_headers": ["Link"]}})
        state(script)
        done = run(check=check, **wanted)
        assert done["diff"]["after"] == {"urls.ocsp_servers": ["http://o"], "acme.enabled": True, "roles.web.max_ttl": "2h", "roles.new": {}}
        assert done["diff"]["before"]["roles.old"] == role


@pytest.mark.parametrize(("status", "text"), [(200, "no setting urls.x.*It has"), (404, "too old")])
def test_settings_that_the_server_would_ignore(script: Script, status: int, text: str) -> None:
    script.expect("GET", "pki/config/urls", status, {"data": URLS}).expect("GET", "pki/config/issuers")
    with pytest.raises(ModuleFailed, match=text):
        run(urls={"x": 1})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"issuer": {**ISSUER, "ttl": "soon"}}, "no duration"),
        ({"issuer": ISSUER, "renew_before": "soon"}, "no duration"),
        ({"issuer": ISSUER, "renew_before": "1000h"}, "every run would make another"),
        ({"issuer": {**ISSUER, "parent_mount": "root"}}, "A root signs itself"),
        ({"issuer": CHILD}, "needs somebody who signs it"),
        ({"retire_old": True}, "need issuer"),
        ({"roles": {"a": 1}}, "no mapping"),
        ({"roles": {"a": {"x": 1}}}, "has no field x"),
    ],
)
def test_input_that_makes_no_sense_is_refused(options: dict[str, t.Any], text: str) -> None:
    with pytest.raises(ModuleFailed, match=text):
        run(**options)


def test_another_subject_is_refused(script: Script) -> None:
    issuers(script, issuer("ca")).expect("GET", "pki/config/issuers")
    with pytest.raises(ModuleFailed, match="a certificate cannot be changed"):
        run(issuer={**ISSUER, "common_name": "Other"})


def test_info_and_odd_certificates(script: Script) -> None:
    nameless = issuer("", certificate=certificate("x", 1, common_name="", identifiers=False), key=False)
    state(script, nameless)
    found = run("vault_pki_info")["pki"]["issuers"][0]
    assert not found["has_key"] and found["common_name"] == "" and found["key_identifier"] == ""
    with pytest.raises(PlatformError, match="cannot be read"):
        pki.parse({"certificate": "none", "issuer_id": "i"})
