# Copyright (c) 2026, resilient.platform contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to resilient.platform: it may change in any release without notice.

"""Ed25519 keys and DSSE envelopes (https://github.com/secure-systems-lab/dsse, protocol 1.0).

What is signed is ``PAE(payloadType, payload)``, so cosign, openssl and every DSSE library can check it with the public
key in PKIX PEM form.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import typing as t

from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import sha256_hex
from ansible_collections.resilient.platform.plugins.module_utils._evidence.libs import need

CRYPTOGRAPHY_ERROR: Exception | None = None
try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
except ImportError as exc:
    CRYPTOGRAPHY_ERROR = exc

INTOTO_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"


class SignatureWrong(PlatformError):
    """An envelope is not what the holder of the key signed."""


def _read(path: str, what: str) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read()
    except OSError as exc:
        raise Refused(
            f"Cannot read the {what} {path}: {exc.strerror}.", hint="Create a pair with the role resilient.platform.evidence, tasks_from: keys."
        ) from exc


def load_private_key(path: str) -> Ed25519PrivateKey:
    """Return the Ed25519 key in the PEM file at *path*.

    Raises:
        Refused: it cannot be read, has a passphrase, or is another kind of key.
    """
    need("cryptography", CRYPTOGRAPHY_ERROR)
    data = _read(path, "signing key")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as exc:
        raise Refused(f"{path} is no private key in PEM form without a passphrase.", hint="Give an Ed25519 key (openssl genpkey -algorithm ed25519).") from exc
    if not isinstance(key, Ed25519PrivateKey):
        raise Refused(f"The key {path} is no Ed25519 key.", hint="Create one with: openssl genpkey -algorithm ed25519.")
    return key


def load_public_key(path: str) -> Ed25519PublicKey:
    """Return the Ed25519 public key in the PEM file at *path*.

    Raises:
        Refused: it cannot be read or is another kind of key.
    """
    need("cryptography", CRYPTOGRAPHY_ERROR)
    data = _read(path, "public key")
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise Refused(f"{path} is no public key in PEM form.", hint="Give the PKIX public half (openssl pkey -pubout).") from exc
    if not isinstance(key, Ed25519PublicKey):
        raise Refused(f"The public key {path} is no Ed25519 key.", hint="Give the public half of the signing key.")
    return key


def public_pem(key: Ed25519PublicKey) -> bytes:
    """Return *key* in PKIX PEM form."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: Ed25519PublicKey) -> str:
    """Return the SHA-256 of the PKIX DER form of *key*, which names it in envelopes."""
    return sha256_hex(key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def open_to_others(path: str) -> bool:
    """Return whether others than the owner can read the key at *path*."""
    return bool(os.stat(path).st_mode & 0o077)


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding: the bytes that are signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def seal(payload: bytes, key: Ed25519PrivateKey, payload_type: str = INTOTO_TYPE) -> bytes:
    """Return *payload* in a signed envelope, as JSON on one line. The same input gives the same bytes."""
    signature = base64.b64encode(key.sign(pae(payload_type, payload))).decode("ascii")
    envelope = {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [{"keyid": key_id(key.public_key()), "sig": signature}],
    }
    return json.dumps(envelope, separators=(",", ":")).encode("ascii") + b"\n"


def unseal(data: bytes, key: Ed25519PublicKey, where: str, payload_type: str = INTOTO_TYPE) -> bytes:
    """Return the payload of the envelope *data* after its signature was found good.

    Raises:
        SignatureWrong: not an envelope, another type, or not signed by *key*; *where* names it in the message.
    """
    try:
        envelope = json.loads(data)
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [base64.b64decode(item["sig"], validate=True) for item in envelope["signatures"]]
        kind = str(envelope["payloadType"])
    except (ValueError, KeyError, TypeError, binascii.Error) as exc:
        raise SignatureWrong(f"{where} is no whole DSSE envelope: it is truncated or was overwritten.", hint="Use another copy.") from exc
    if kind != payload_type:
        raise SignatureWrong(f"{where} is signed as {kind!r} and not as {payload_type!r}.", hint="It is another kind of document.")
    for signature in signatures:
        try:
            key.verify(signature, pae(kind, payload))
        except InvalidSignature:
            continue
        return payload
    raise SignatureWrong(
        f"The signature of {where} is wrong: it was not signed by the key {key_id(key)[:16]}, or was changed afterwards.",
        hint="Do not use it. If the key was changed on purpose, give the public half of the old one.",
        details={"key_id": key_id(key)},
    )


def statement(subjects: t.Sequence[tuple[str, str]], predicate_type: str, predicate: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return an in-toto Statement about *subjects* (name, SHA-256)."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": name, "digest": {"sha256": digest}} for name, digest in subjects],
        "predicateType": predicate_type,
        "predicate": dict(predicate),
    }
