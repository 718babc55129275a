"""Secrets the server checks without keeping them: API keys and passwords as salted hashes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import string

_ALPHABET = string.ascii_letters + string.digits
_ROUNDS = 1000  # keys are random, 380 bits: a slow hash would protect nothing and cost each login


def new_key(number: int) -> tuple[int, str]:
    """Return the id and the text of a fresh API key: ``<id>-<64 characters>``."""
    return number, f"{number}-{''.join(secrets.choice(_ALPHABET) for _ in range(64))}"


def hash_key(text: str) -> dict[str, str]:
    """Return what is stored of a secret: salt and hash."""
    salt = secrets.token_bytes(16)
    return {"salt": base64.b64encode(salt).decode(), "hash": _digest(text, salt)}


def _digest(text: str, salt: bytes) -> str:
    return base64.b64encode(hashlib.pbkdf2_hmac("sha512", text.encode(), salt, _ROUNDS)).decode()


def check_key(text: str, stored: dict[str, str]) -> bool:
    """Say whether a secret is the stored one."""
    return hmac.compare_digest(_digest(text, base64.b64decode(stored["salt"])), stored["hash"])
