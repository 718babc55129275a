# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.
"""Log-in by SCRAM-SHA-512 (RFC 5802): the key never leaves this machine, and the server proves that it knows it.

TrueNAS 26 and later; docs/source/accounts/scram_authentication.rst of truenas/middleware describes its side.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import AuthenticationError

# What TrueNAS says of its own bounds; less would let a false server have the key guessed, more would keep a run busy for minutes.
ROUNDS = range(50_000, 5_000_001)
# Object identifiers of signatures, in DER, and the hash that RFC 5929 takes for them. EdDSA and PSS have no such hash here.
_HASHES = {
    bytes.fromhex("2a864886f70d010105"): "sha256",  # sha1WithRSAEncryption, promoted
    bytes.fromhex("2a864886f70d01010b"): "sha256",
    bytes.fromhex("2a864886f70d01010c"): "sha384",
    bytes.fromhex("2a864886f70d01010d"): "sha512",
    bytes.fromhex("2a8648ce3d040302"): "sha256",
    bytes.fromhex("2a8648ce3d040303"): "sha384",
    bytes.fromhex("2a8648ce3d040304"): "sha512",
}


def _mac(key: bytes, text: bytes) -> bytes:
    return hmac.new(key, text, hashlib.sha512).digest()


def _element(data: bytes, start: int) -> tuple[int, int]:
    """Return where the content of the DER element at *start* begins and ends."""
    length, begin = data[start + 1], start + 2
    if length & 0x80:
        count = length & 0x7F
        length, begin = int.from_bytes(data[begin : begin + count], "big"), begin + count
    return begin, begin + length


def endpoint(certificate: bytes | None) -> bytes | None:
    """Return the ``tls-server-end-point`` value (RFC 5929) of a DER certificate; None where there is none for it."""
    if not certificate:
        return None
    begin, _end = _element(certificate, 0)
    _inner, signature = _element(certificate, begin)
    oid, oid_end = _element(certificate, _element(certificate, signature)[0])
    name = _HASHES.get(certificate[oid:oid_end])
    return hashlib.new(name, certificate).digest() if name else None


class Exchange:
    """The client's two messages, and the check of the server's proof.

    Args:
        username: The account.
        api_key: ``<id>-<secret>``.
        binding: ``tls-server-end-point`` value to bind the log-in to, or None.
        nonce: 32 random bytes in base 64; made if not given.
    """

    def __init__(self, username: str, api_key: str, *, binding: bytes | None = None, nonce: str = "") -> None:
        number, _dash, self._secret = api_key.partition("-")
        self._binding = binding
        self._gs2 = "n,," if binding is None else "p=tls-server-end-point,,"
        self._nonce = nonce or base64.b64encode(secrets.token_bytes(32)).decode()
        # RFC 5802 writes a comma and an equals sign in a name as =2C and =3D.
        self._bare = f"n={username.replace('=', '=3D').replace(',', '=2C')}:{number},r={self._nonce}"
        self._proof = b""

    def first(self) -> str:
        """Return the first message."""
        return f"{self._gs2}{self._bare}"

    def final(self, reply: str) -> str:
        """Return the answer to the server's first message.

        Raises:
            AuthenticationError: the message is not one of a server that may be trusted.
        """
        parts = dict(part.partition("=")[::2] for part in reply.split(","))
        try:
            nonce, salt, rounds = parts["r"], base64.b64decode(parts["s"], validate=True), int(parts["i"])
        except (KeyError, ValueError, binascii.Error) as exc:
            raise AuthenticationError("The server's first SCRAM message is not readable.", said=reply) from exc
        if not nonce.startswith(self._nonce) or nonce == self._nonce or rounds not in ROUNDS:
            raise AuthenticationError("The server's first SCRAM message has a wrong nonce or number of rounds.", hint="Check that this is the right system.")
        salted = hashlib.pbkdf2_hmac("sha512", self._secret.encode(), salt, rounds)
        client_key = _mac(salted, b"Client Key")
        bound = base64.b64encode(self._gs2.encode() + (self._binding or b"")).decode()
        unproven = f"c={bound},r={nonce}"
        message = f"{self._bare},{reply},{unproven}".encode()
        signature = _mac(hashlib.sha512(client_key).digest(), message)
        self._proof = _mac(_mac(salted, b"Server Key"), message)
        proof = bytes(ours ^ theirs for ours, theirs in zip(client_key, signature))
        return f"{unproven},p={base64.b64encode(proof).decode()}"

    def check(self, reply: t.Any) -> None:
        """Check the server's proof that it knows the key.

        Raises:
            AuthenticationError: it has none.
        """
        wanted = "v=" + base64.b64encode(self._proof).decode()
        if not self._proof or not hmac.compare_digest(str(reply).encode(), wanted.encode()):
            raise AuthenticationError(
                "The server could not prove that it knows the API key.", hint="Somebody may stand between; check api_host and the certificate."
            )
