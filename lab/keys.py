"""Keys that survive every disaster of the lab: signing, canary authentication, SSH."""

from __future__ import annotations

import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from lab.state import LabState, Row, write_private

_FILES = ("signing.pem", "signing.pub.pem", "canary.key", "id_ed25519", "id_ed25519.pub")


def _signing(directory: Path) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    write_private(directory / "signing.pub.pem", key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo), 0o644)
    write_private(directory / "signing.pem", key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def _ssh(directory: Path, comment: str) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    write_private(directory / "id_ed25519.pub", f"{public} {comment}\n", 0o644)
    write_private(directory / "id_ed25519", key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()))


def up(state: LabState) -> None:
    """Make what is missing; a key that exists is never replaced."""
    directory = state.path("keys", "signing.pem").parent
    directory.chmod(0o700)
    if not (directory / "signing.pem").exists():
        _signing(directory)
    if not (directory / "canary.key").exists():
        # 32 bytes as they are: the canary's HMAC-SHA256 key.
        write_private(directory / "canary.key", secrets.token_bytes(32))
    if not (directory / "id_ed25519").exists():
        _ssh(directory, f"lab-{state.name}")
    state.update("keys", {
        "signing": str(directory / "signing.pem"), "signing_public": str(directory / "signing.pub.pem"),
        "canary": str(directory / "canary.key"),
    })
    state.update("ssh", {
        "user": "platform", "private_key_file": str(directory / "id_ed25519"),
        "public_key": (directory / "id_ed25519.pub").read_text().strip(),
    })


def down(state: LabState) -> None:
    """Nothing runs; the files go with the state directory."""
    del state


def status(state: LabState) -> list[Row]:
    """One row: whether all keys are there."""
    missing = [name for name in _FILES if not (state.dir / "keys" / name).exists()]
    return [Row("keys", "down" if missing else "up", f"missing: {', '.join(missing)}" if missing else str(state.dir / "keys"))]
