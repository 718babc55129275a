"""Against a real WebSocket server on loopback, with real TLS."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
import pathlib
import ssl
import threading
import typing as t

import pytest
from aiohttp import web
from ansible_collections.resilient.platform.plugins.module_utils._errors import ConnectionFailed, PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._truenas import transport
from ansible_collections.resilient.platform.plugins.module_utils._truenas.transport import Lost, Settings, is_loopback, open_socket
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate(path: pathlib.Path) -> tuple[pathlib.Path, pathlib.Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nas")])
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    (path / "cert.pem").write_bytes(cert.public_bytes(serialization.Encoding.PEM))
    pkcs8 = serialization.PrivateFormat.PKCS8
    (path / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, serialization.NoEncryption()))
    return path / "cert.pem", path / "key.pem"


class Nas:
    """Echoes text; ``bye`` closes, ``late`` never answers, ``bytes`` answers in a binary frame."""

    def __init__(self, path: pathlib.Path) -> None:
        self.cert, key = certificate(path)
        self.alpn: list[str | None] = []
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.context.load_cert_chain(self.cert, key)
        self.context.set_alpn_protocols(["h2", "http/1.1"])
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()
        self.port = 0
        threading.Thread(target=self._run, args=(ready,), daemon=True).start()
        assert ready.wait(10)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        app = web.Application()
        app.router.add_get("/api/{version}", self._socket)
        runner = web.AppRunner(app)
        self.loop.run_until_complete(runner.setup())
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self.context)
        self.loop.run_until_complete(site.start())
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        ready.set()
        self.loop.run_forever()

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["version"] == "v9":
            return web.Response(status=404)
        assert request.transport is not None
        self.alpn.append(request.transport.get_extra_info("ssl_object").selected_alpn_protocol())
        found = web.WebSocketResponse()
        await found.prepare(request)
        async for message in found:
            if message.data == "bye":
                await found.close()
            elif message.data == "bytes":
                await found.send_bytes("bytes".encode())
            elif message.data != "late":
                await found.send_str(message.data)
        return found

    def settings(self, **changes: t.Any) -> Settings:
        values = {"host": "127.0.0.1", "port": self.port, "ca_path": str(self.cert), "timeout": 5.0, **changes}
        return Settings(**values)


@pytest.fixture(scope="module")
def nas(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Nas]:
    found = Nas(tmp_path_factory.mktemp("nas"))
    yield found
    found.loop.call_soon_threadsafe(found.loop.stop)


def test_talks_http_1_1_over_trusted_tls(nas: Nas) -> None:
    sock = open_socket(nas.settings())
    sock.send("hello")
    assert sock.receive(5) == "hello"
    assert nas.alpn[-1] == "http/1.1"
    sock.close()
    sock.close()


def test_nothing_comes(nas: Nas) -> None:
    sock = open_socket(nas.settings())
    sock.send("late")
    assert sock.receive(0.05) is None
    sock.send("then")
    assert sock.receive(5) == "then"
    sock.close()


def test_bytes_are_read_as_text(nas: Nas) -> None:
    sock = open_socket(nas.settings())
    sock.send("bytes")
    assert sock.receive(5) == "bytes"
    sock.close()


def test_server_closes(nas: Nas) -> None:
    sock = open_socket(nas.settings())
    sock.send("bye")
    with pytest.raises(Lost):
        sock.receive(5)
    sock.close()
    with pytest.raises(Lost):
        sock.send("more")


def test_unknown_certificate_is_refused(nas: Nas) -> None:
    with pytest.raises(ConnectionFailed, match="certificate is not trusted"):
        open_socket(nas.settings(ca_path=""))


def test_certificate_need_not_be_checked(nas: Nas) -> None:
    open_socket(nas.settings(ca_path="", validate_certs=False)).close()


def test_directory_of_certificates_is_taken(nas: Nas, tmp_path: pathlib.Path) -> None:
    with pytest.raises(ConnectionFailed, match="certificate is not trusted"):
        open_socket(nas.settings(ca_path=str(tmp_path)))


def test_ca_path_that_does_not_exist(nas: Nas) -> None:
    with pytest.raises(Refused, match="Cannot use ca_path"):
        open_socket(nas.settings(ca_path="/nowhere.pem"))


def test_no_such_version(nas: Nas) -> None:
    with pytest.raises(ConnectionFailed, match="HTTP status 404"):
        open_socket(nas.settings(api_version="v9"))


def test_nobody_listens() -> None:
    with pytest.raises(ConnectionFailed, match="Check api_host, api_port"):
        open_socket(Settings(host="127.0.0.1", port=1, timeout=2.0))


def test_missing_library_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "HAS_WEBSOCKET", False)
    with pytest.raises(PlatformError, match="websocket-client"):
        open_socket(Settings(host="127.0.0.1"))


def test_plaintext_elsewhere_is_refused() -> None:
    with pytest.raises(Refused, match="revokes a key"):
        open_socket(Settings(host="192.0.2.1", protocol="ws"))


@pytest.mark.parametrize(("host", "loopback"), [("127.8.0.1", True), ("::1", True), ("localhost", True), ("nas1", False), ("192.0.2.1", False)])
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_url_of_an_ipv6_address() -> None:
    assert Settings(host="fd00::1", port=444, api_version="v25.10.2").url == "wss://[fd00::1]:444/api/v25.10.2"


def test_settings_hide_their_secrets() -> None:
    assert "secret" not in repr(Settings(host="nas", api_key="secret", password="secret"))
