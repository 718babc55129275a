"""Envelopes: ours are good for other tools, and others' changes are noticed."""

from __future__ import annotations

import base64
import json
import pathlib
import subprocess
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import signing
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from helpers.evidence import make_keys


@pytest.fixture
def keys(tmp_path: pathlib.Path) -> tuple[str, str]:
    return make_keys(tmp_path)


def test_pae_is_that_of_the_specification() -> None:
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md, test vectors
    assert signing.pae("http://example.com/HelloWorld", b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    assert signing.pae("", b"") == b"DSSEv1 0  0 "


def test_sealed_payload_comes_back(keys: tuple[str, str]) -> None:
    sealed = signing.seal(b"payload", signing.load_private_key(keys[0]))
    assert signing.unseal(sealed, signing.load_public_key(keys[1]), "x") == b"payload"
    assert sealed == signing.seal(b"payload", signing.load_private_key(keys[0]))


def test_openssl_verifies_the_signature(keys: tuple[str, str], tmp_path: pathlib.Path) -> None:
    envelope = json.loads(signing.seal(b"payload", signing.load_private_key(keys[0])))
    signed, signature = tmp_path / "signed", tmp_path / "signature"
    signed.write_bytes(signing.pae(envelope["payloadType"], base64.b64decode(envelope["payload"])))
    signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    command = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", keys[1], "-rawin", "-in", str(signed), "-sigfile", str(signature)]
    assert subprocess.run(command, check=False, capture_output=True).returncode == 0
    signed.write_bytes(signed.read_bytes() + b".")
    assert subprocess.run(command, check=False, capture_output=True).returncode != 0


def test_other_key_is_refused_and_its_id_named(keys: tuple[str, str], tmp_path: pathlib.Path) -> None:
    _private, other = make_keys(tmp_path, "other")
    sealed = signing.seal(b"payload", signing.load_private_key(keys[0]))
    with pytest.raises(signing.SignatureWrong, match="The signature of manifest 7 is wrong"):
        signing.unseal(sealed, signing.load_public_key(other), "manifest 7")


def test_second_signature_is_enough(keys: tuple[str, str], tmp_path: pathlib.Path) -> None:
    other, _public = make_keys(tmp_path, "other")
    first = json.loads(signing.seal(b"p", signing.load_private_key(other)))
    second = json.loads(signing.seal(b"p", signing.load_private_key(keys[0])))
    first["signatures"] += second["signatures"]
    assert signing.unseal(json.dumps(first).encode(), signing.load_public_key(keys[1]), "x") == b"p"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-20],
        lambda data: b"",
        lambda data: b"[]",
        lambda data: b"{}",
        lambda data: data.replace(b'"payload":"', b'"payload":"!'),
        lambda data: data.replace(b"in-toto", b"in-t0t0"),
        lambda data: data.replace(b'"sig":"', b'"sig":"AAAA'),
    ],
)
def test_damaged_envelope_is_refused(keys: tuple[str, str], damage: t.Callable[[bytes], bytes]) -> None:
    sealed = signing.seal(b"payload", signing.load_private_key(keys[0]))
    with pytest.raises(signing.SignatureWrong):
        signing.unseal(damage(sealed), signing.load_public_key(keys[1]), "x")


def test_unusable_keys_are_refused(keys: tuple[str, str], tmp_path: pathlib.Path) -> None:
    key = rsa.generate_private_key(65537, 2048)
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8)
    (tmp_path / "rsa").write_bytes(key.private_bytes(*pem, serialization.NoEncryption()))
    (tmp_path / "locked").write_bytes(key.private_bytes(*pem, serialization.BestAvailableEncryption(b"secret")))
    (tmp_path / "rsa.pub").write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    for name, said in {"absent": "Cannot read", "rsa": "no Ed25519 key", "locked": "without a passphrase", "rsa.pub": "no private key"}.items():
        with pytest.raises(Refused, match=said):
            signing.load_private_key(str(tmp_path / name))
    for name, said in {"absent": "Cannot read", "rsa.pub": "no Ed25519 key", "rsa": "no public key"}.items():
        with pytest.raises(Refused, match=said):
            signing.load_public_key(str(tmp_path / name))


def test_key_that_others_can_read_is_noticed(keys: tuple[str, str]) -> None:
    assert not signing.open_to_others(keys[0])
    pathlib.Path(keys[0]).chmod(0o640)
    assert signing.open_to_others(keys[0])
