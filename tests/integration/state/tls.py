"""A TLS front before a real server of the lab, with a certificate to order: what passes through it is counted."""

from __future__ import annotations

import contextlib
import pathlib
import socket
import ssl
import threading
from collections.abc import Iterator

from lab import pki


class Front:
    """Listens on ``address``:``port`` with one certificate and hands everything on to the real server, over verified TLS."""

    def __init__(self, address: str, target: tuple[str, int], ca_file: str, certificate: tuple[pathlib.Path, pathlib.Path]) -> None:
        self._inside = ssl.create_default_context(cafile=ca_file)
        self._outside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._outside.load_cert_chain(*certificate)
        self._target = target
        self._listener = socket.create_server((address, 0))
        self.port: int = self._listener.getsockname()[1]
        self.handshakes = 0
        self.sent = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                plain, _peer = self._listener.accept()
                threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        self.handshakes += 1
        with contextlib.suppress(OSError), plain:
            client = self._outside.wrap_socket(plain, server_side=True)
            server = self._inside.wrap_socket(socket.create_connection(self._target), server_hostname=self._target[0])
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            back.start()
            self.sent += self._copy(client, server)
            back.join(10)

    @staticmethod
    def _copy(source: ssl.SSLSocket, sink: ssl.SSLSocket) -> int:
        total = 0
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
                total += len(data)
            sink.shutdown(socket.SHUT_WR)
        return total

    def close(self) -> None:
        """Listen no longer."""
        self._listener.close()


@contextlib.contextmanager
def front(kind: str, directory: pathlib.Path, address: str, target: tuple[str, int], pki_dir: pathlib.Path) -> Iterator[Front]:
    """Yield a front whose certificate is ``good``, ``expired`` (both of the lab's authority) or ``foreign`` (of another one)."""
    authority = pki_dir
    if kind == "foreign":
        authority = directory / "foreign"
        authority.mkdir(exist_ok=True)
        pki.create_ca(authority, "somebody else's CA")
    name = f"front-{kind}"
    certificate = pki.issue(authority, name, [address], days=-1 if kind == "expired" else 90)
    made = Front(address, target, str(pki_dir / "ca.pem"), certificate)
    try:
        yield made
    finally:
        made.close()
        for path in certificate:
            path.unlink()
