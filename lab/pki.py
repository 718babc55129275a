"""The lab's own certificate authority; every TLS server of the lab has a certificate from it."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lab.state import LabState, Row, write_private

_DAY = datetime.timedelta(days=1)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "resilient.platform lab"), x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
        key_cert_sign=ca, crl_sign=ca, encipher_only=False, decipher_only=False,
    )


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


def create_ca(directory: Path, common_name: str, days: int = 3650) -> tuple[Path, Path]:
    """Make a certificate authority in ``directory``; returns the paths of ``ca.pem`` and ``ca.key``."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(common_name)).issuer_name(_name(common_name)).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(_now() - _DAY).not_valid_after(_now() + days * _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = directory / "ca.pem", directory / "ca.key"
    write_private(key_file, _private_pem(key))
    write_private(cert_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return cert_file, key_file


def _alternative_names(hosts: Iterable[str]) -> list[x509.GeneralName]:
    names: list[x509.GeneralName] = []
    for host in dict.fromkeys([*hosts, "localhost", "127.0.0.1"]):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(host)))
        except ValueError:
            names.append(x509.DNSName(host))
    return names


def _still_good(cert_file: Path, key_file: Path, names: list[x509.GeneralName], issuer: x509.Certificate) -> bool:
    """Say whether the certificate is there, covers the names, comes from this CA and lasts another 30 days."""
    if not (cert_file.exists() and key_file.exists()):
        return False
    certificate = x509.load_pem_x509_certificates(cert_file.read_bytes())[0]
    try:
        certificate.verify_directly_issued_by(issuer)
    except Exception:  # any failure means: not from this authority
        return False
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found) == set(names) and certificate.not_valid_after_utc > _now() + 30 * _DAY


def issue(directory: Path, name: str, hosts: Iterable[str], *, days: int = 825) -> tuple[Path, Path]:
    """Return certificate and key files for a server called ``name`` that is reached as ``hosts`` (names, addresses).

    ``directory`` is the one of the CA. An existing certificate that still fits is kept. ``days`` may be negative: an
    expired certificate, for tests.
    """
    cert_file, key_file = directory / f"{name}.pem", directory / f"{name}.key"
    authority = x509.load_pem_x509_certificate((directory / "ca.pem").read_bytes())
    names = _alternative_names(hosts)
    if days > 0 and _still_good(cert_file, key_file, names, authority):
        return cert_file, key_file
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(name)).issuer_name(authority.subject).public_key(key.public_key())
        .serial_number(x509.random_serial_number()).not_valid_before(_now() + min(days - 1, -1) * _DAY).not_valid_after(_now() + days * _DAY)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(ca=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), critical=False)  # type: ignore[arg-type]
        .sign(_load_key(directory / "ca.key"), hashes.SHA256())
    )
    write_private(key_file, _private_pem(key))
    write_private(cert_file, certificate.public_bytes(serialization.Encoding.PEM), 0o644)
    return cert_file, key_file


def server_certificate(state: LabState, name: str, *hosts: str) -> tuple[Path, Path]:
    """Return certificate and key files for a server of the lab; it is always valid for the lab's address and loopback."""
    return issue(state.dir / "pki", name, [state.address, *hosts])


def up(state: LabState) -> None:
    """Make the authority once."""
    directory = state.path("pki", "ca.pem").parent
    directory.chmod(0o700)
    if not ((directory / "ca.pem").exists() and (directory / "ca.key").exists()):
        create_ca(directory, f"lab {state.name} CA")
    state.update("ca_file", str(directory / "ca.pem"))


def down(state: LabState) -> None:
    """Nothing runs; the files go with the state directory."""
    del state


def status(state: LabState) -> list[Row]:
    """One row: the authority and the day it ends."""
    path = state.dir / "pki" / "ca.pem"
    if not path.exists():
        return [Row("pki", "down", "no certificate authority")]
    ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    return [Row("pki", "up", f"{path}, valid until {ends:%Y-%m-%d}")]
