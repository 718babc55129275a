"""Certificates that must not be accepted, by real TLS on loopback."""

from __future__ import annotations

import datetime
import ipaddress
import pathlib
import socketserver
import ssl
import threading
import typing as t

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_collections.resilient.platform.plugins.module_utils._proxmox.client import Connection, ProxmoxClient
from ansible_collections.resilient.platform.plugins.module_utils._proxmox.errors import CertificateRejected

DAY = datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc)


def certificate(path: pathlib.Path, *, address: str = "127.0.0.1", until: datetime.datetime = NOW + DAY) -> pathlib.Path:
    """Write a self-signed certificate with its key, and return its file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pve")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - 10 * DAY)
        .not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + built.public_bytes(serialization.Encoding.PEM))
    return path


class Answer(socketserver.BaseRequestHandler):
    """Answers every request in the way of the API."""

    def handle(self) -> None:
        body = b'{"data":{"version":"9.1"}}'
        if self.request.recv(65536):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body))


class Server(socketserver.ThreadingTCPServer):
    """A TLS server; a client that does not like its certificate is no error of the server."""

    daemon_threads = True

    def __init__(self, pem: pathlib.Path) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pem)
        self.socket = context.wrap_socket(self.socket, server_side=True)

    def handle_error(self, request: t.Any, client_address: t.Any) -> None:
        """Keep quiet."""


@pytest.fixture
def serve() -> t.Iterator[t.Callable[[pathlib.Path], int]]:
    servers: list[Server] = []

    def start(pem: pathlib.Path) -> int:
        server = Server(pem)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return int(server.server_address[1])

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def read(port: int, ca: pathlib.Path | None, **more: t.Any) -> t.Any:
    connection = Connection(host="127.0.0.1", port=port, token_id="a", token_secret="b", ca_path=str(ca) if ca else None, **more)
    return ProxmoxClient(connection).get("version")


def test_own_ca_is_accepted_whatever_bundle_the_environment_names(
    tmp_path: pathlib.Path, serve: t.Callable[[pathlib.Path], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate(tmp_path / "other.pem")))
    good = certificate(tmp_path / "good.pem")
    assert read(serve(good), good) == {"version": "9.1"}


@pytest.mark.parametrize(
    ("options", "said"),
    [({"until": NOW - DAY}, "has expired"), ({"address": "192.0.2.1"}, "is another host's")],
)
def test_certificate_that_expired_or_is_anothers(
    tmp_path: pathlib.Path, serve: t.Callable[[pathlib.Path], int], options: dict[str, t.Any], said: str
) -> None:
    bad = certificate(tmp_path / "bad.pem", **options)
    with pytest.raises(CertificateRejected, match=said):
        read(serve(bad), bad)


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_certificate_of_a_foreign_authority(tmp_path: pathlib.Path, serve: t.Callable[[pathlib.Path], int]) -> None:
    port = serve(certificate(tmp_path / "server.pem"))
    with pytest.raises(CertificateRejected, match="is not signed by an authority that this machine trusts.*ca_path"):
        read(port, certificate(tmp_path / "other.pem"))
    assert read(port, None, validate_certs=False) == {"version": "9.1"}
