"""Secrets the server checks without keeping them: of an API key it has what SCRAM-SHA-512 needs, as TrueNAS 26 does."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
# TrueNAS takes 500,000; a client must take anything from 50,000 on (docs/source/accounts/scram_authentication.rst). Keys are random:
# more rounds would protect nothing here and cost each log-in a third of a second.
ROUNDS = 50_000


def new_key(number: int) -> tuple[int, str]:
    """Return the id and the text of a fresh API key: ``<id>-<64 characters>``."""
    return number, f"{number}-{''.join(secrets.choice(_ALPHABET) for _ in range(64))}"


def mac(key: bytes, text: bytes) -> bytes:
    """Return the HMAC of SCRAM-SHA-512."""
    return hmac.new(key, text, hashlib.sha512).digest()


def client_key(text: str, salt: bytes, rounds: int = ROUNDS) -> tuple[bytes, bytes]:
    """Return ClientKey and ServerKey (RFC 5802) of a key's text; only what follows the dash is the secret."""
    salted = hashlib.pbkdf2_hmac("sha512", text.partition("-")[2].encode(), salt, rounds)
    return mac(salted, b"Client Key"), mac(salted, b"Server Key")


def hash_key(text: str) -> dict[str, str]:
    """Return what is stored of a key: salt, StoredKey and ServerKey, in base 64."""
    salt = secrets.token_bytes(16)
    ours, theirs = client_key(text, salt)
    return {"salt": _b64(salt), "stored_key": _b64(hashlib.sha512(ours).digest()), "server_key": _b64(theirs)}


def _b64(value: bytes) -> str:
    return base64.b64encode(value).decode()


def check_key(text: str, stored: dict[str, str]) -> bool:
    """Say whether a secret is the stored one."""
    ours, _theirs = client_key(text, base64.b64decode(stored["salt"]))
    return hmac.compare_digest(_b64(hashlib.sha512(ours).digest()), stored["stored_key"])
