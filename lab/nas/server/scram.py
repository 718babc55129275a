"""The server's side of SCRAM-SHA-512 for API keys, from TrueNAS 26 on.

Source: truenas/middleware docs/source/accounts/scram_authentication.rst and plugins/auth_/login_ex_impl.py (``login_ex_scram``).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from lab.nas.server.secret import ROUNDS, mac

Entry = dict[str, Any]
_FIRST = re.compile(r"(?P<gs2>(?:n|p=tls-server-end-point),,)(?P<bare>n=(?P<user>[^,]+):(?P<key>\d+),r=(?P<nonce>[^,]+))")
_FINAL = re.compile(r"(?P<unproven>c=(?P<binding>[^,]+),r=(?P<nonce>[^,]+)),p=(?P<proof>[^,]+)")


@dataclass(frozen=True)
class Exchange:
    """What the server remembers between the two messages of a client."""

    gs2: str
    bare: str
    username: str
    key: Entry
    nonce: str
    reply: str


def binding(certificate: str) -> bytes:
    """Return the tls-server-end-point value (RFC 5929) of a PEM file's certificate."""
    found = x509.load_pem_x509_certificate(Path(certificate).read_bytes())
    assert found.signature_hash_algorithm is not None
    return hashlib.new(found.signature_hash_algorithm.name, found.public_bytes(Encoding.DER)).digest()


def first(text: str, keys: list[Entry], *, tls: bool) -> Exchange | None:
    """Answer a client's first message; None is AUTH_ERR. A channel binding that did not come by TLS is refused."""
    match = _FIRST.fullmatch(text)
    if match is None or (match["gs2"].startswith("p=") and not tls):
        return None
    key = next((one for one in keys if one["id"] == int(match["key"]) and one["username"] == match["user"]), None)
    if key is None:
        return None
    nonce = match["nonce"] + base64.b64encode(secrets.token_bytes(32)).decode()
    return Exchange(match["gs2"], match["bare"], match["user"], key, nonce, f"r={nonce},s={key['salt']},i={ROUNDS}")


def final(text: str, exchange: Exchange, certificate: str | None) -> str | None:
    """Check the proof; return the server's own, or None for AUTH_ERR."""
    match = _FINAL.fullmatch(text)
    if match is None or match["nonce"] != exchange.nonce:
        return None
    bound = exchange.gs2.encode()
    if bound.startswith(b"p="):
        bound += binding(certificate or "")
    if base64.b64decode(match["binding"]) != bound:
        return None
    message = f"{exchange.bare},{exchange.reply},{match['unproven']}".encode()
    stored = base64.b64decode(exchange.key["stored_key"])
    ours = bytes(a ^ b for a, b in zip(base64.b64decode(match["proof"]), mac(stored, message), strict=False))
    if not hmac.compare_digest(hashlib.sha512(ours).digest(), stored):
        return None
    return "v=" + base64.b64encode(mac(base64.b64decode(exchange.key["server_key"]), message)).decode()
