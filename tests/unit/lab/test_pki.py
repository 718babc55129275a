from __future__ import annotations

import pathlib
import ssl
import stat

import pytest
from cryptography import x509

from lab import pki
from lab.state import LabState


@pytest.fixture
def authority(tmp_path: pathlib.Path) -> pathlib.Path:
    pki.create_ca(tmp_path, "test CA")
    return tmp_path


def handshake(directory: pathlib.Path, cert: pathlib.Path, key: pathlib.Path, name: str) -> None:
    """A TLS handshake in memory, with the CA as the only trust."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=str(directory / "ca.pem"))
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname=name)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    for _unused in range(4):
        for side in (one, two):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue


@pytest.mark.parametrize("name", ["10.93.0.1", "127.0.0.1", "localhost", "pve1"])
def test_issued_certificate_is_trusted_for_its_names(authority: pathlib.Path, name: str) -> None:
    handshake(authority, *pki.issue(authority, "server", ["10.93.0.1", "pve1"]), name)


def test_other_name_is_not_trusted(authority: pathlib.Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(authority, *pki.issue(authority, "server", ["pve1"]), "pve2")


def test_expired_certificate_can_be_made_and_is_refused(authority: pathlib.Path) -> None:
    with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
        handshake(authority, *pki.issue(authority, "old", ["pve1"], days=-1), "pve1")


def test_certificate_is_kept_while_it_fits(authority: pathlib.Path) -> None:
    cert, _unused = pki.issue(authority, "server", ["a"])
    before = cert.read_bytes()
    assert pki.issue(authority, "server", ["a"])[0].read_bytes() == before
    assert pki.issue(authority, "server", ["a", "b"])[0].read_bytes() != before


def test_certificate_of_another_authority_is_replaced(authority: pathlib.Path) -> None:
    cert, _unused = pki.issue(authority, "server", ["a"])
    before = cert.read_bytes()
    pki.create_ca(authority, "new CA")
    assert pki.issue(authority, "server", ["a"])[0].read_bytes() != before


def test_keys_are_for_the_owner_only(authority: pathlib.Path) -> None:
    _unused, key = pki.issue(authority, "server", ["a"])
    assert {stat.S_IMODE(path.stat().st_mode) for path in (key, authority / "ca.key")} == {0o600}


def test_server_certificate_covers_the_labs_address(state: LabState) -> None:
    pki.up(state)
    cert, _unused = pki.server_certificate(state, "s3", "s3.lab")
    names = x509.load_pem_x509_certificate(cert.read_bytes()).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "s3.lab" in names.get_values_for_type(x509.DNSName)
    assert state.connection["ca_file"] == str(state.dir / "pki" / "ca.pem")
    assert pki.status(state)[0].state == "up"
