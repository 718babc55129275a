from __future__ import annotations

import pathlib
import stat
import subprocess

from lab import keys
from lab.state import LabState


def test_keys_are_made_once_and_kept(state: LabState) -> None:
    keys.up(state)
    directory = state.dir / "keys"
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    keys.up(state)
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before
    assert len(before["canary.key"]) == 32
    assert keys.status(state)[0].state == "up"


def test_private_keys_are_for_the_owner_only(state: LabState) -> None:
    keys.up(state)
    for name in ("signing.pem", "canary.key", "id_ed25519"):
        assert stat.S_IMODE((state.dir / "keys" / name).stat().st_mode) == 0o600


def test_openssl_verifies_what_the_signing_key_signs(state: LabState, tmp_path: pathlib.Path) -> None:
    keys.up(state)
    (tmp_path / "text").write_text("x")
    where = state.connection["keys"]
    for argv in (["-sign", "-inkey", where["signing"], "-out", tmp_path / "sig"],
                 ["-verify", "-pubin", "-inkey", where["signing_public"], "-sigfile", tmp_path / "sig"]):
        subprocess.run(["openssl", "pkeyutl", *argv, "-rawin", "-in", tmp_path / "text"], check=True, capture_output=True)


def test_ssh_public_key_belongs_to_the_private_one(state: LabState) -> None:
    keys.up(state)
    done = subprocess.run(["ssh-keygen", "-y", "-f", state.connection["ssh"]["private_key_file"]], check=True, capture_output=True, text=True)
    assert done.stdout.split()[:2] == state.connection["ssh"]["public_key"].split()[:2]
