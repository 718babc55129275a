"""Root tokens and new keys, by the paths of OpenBao and by those of Vault, on real servers."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import shutil
import stat
import subprocess
import typing as t

import pytest
from helpers.modules import ModuleFailed
from openbao import Kms, wait_for
from openbao_runner import Fleet, Vault
from test_members import both, start

pytestmark = pytest.mark.server


class Old:
    """A node whose listener opens the paths of Vault, which want no token."""

    @staticmethod
    def start(fleet: Fleet, name: str, kms: Kms | None) -> t.Any:
        node = start(fleet, name, kms=kms, listener={"disable_unauthed_generate_root_endpoints": False, "disable_unauthed_rekey_endpoints": False})
        return fleet.vault(node)


def content(path: pathlib.Path) -> dict[str, t.Any]:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    return t.cast("dict[str, t.Any]", json.loads(path.read_text(encoding="utf-8")))


def policies(vault: Vault, token: str) -> list[str]:
    answer = vault.node.call("GET", "auth/token/lookup-self", token=token)
    return list(answer.json()["data"]["policies"]) if answer.status_code == 200 else []


def test_a_root_token_is_made_handed_over_and_revoked(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    vault = fleet.vault(start(fleet, "root", kms=kms)).initialise(recovery_shares=3, recovery_threshold=2)
    path = tmp_path / "root.json"
    options = {"keys_file": str(tmp_path / "init.json"), "credentials_file": str(path)}
    done = both(vault, "vault_generate_root", **options)
    made = content(path)["root_token"]
    assert policies(vault, made) == ["root"] and made not in json.dumps(done)
    vault.run("vault_token", credentials_file=str(path), token="")
    assert policies(vault, made) == []

    # Somebody's attempt is in the way until it is named.
    nonce = vault.node.call("POST", "sys/generate-root-token/attempt", {}, token=vault.token).json()["data"]["nonce"]
    with pytest.raises(ModuleFailed, match=f"set cancel_attempt to '{nonce}'"):
        vault.run("vault_generate_root", check=True, **options)
    with pytest.raises(ModuleFailed, match="is under way"):
        vault.run("vault_generate_root", state="cancelled", cancel_attempt="other")
    wrapped = {**options, "credentials_file": str(tmp_path / "wrapped.json"), "wrap_ttl": "5m", "cancel_attempt": nonce}
    done = both(vault, "vault_generate_root", **wrapped)
    wrap = content(tmp_path / "wrapped.json")
    assert "root_token" not in wrap and wrap["ttl_seconds"] == 300
    inner = vault.node.call("POST", "sys/wrapping/unwrap", token=wrap["wrapping_token"]).json()["data"]["root_token"]
    assert policies(vault, inner) == ["root"]
    assert vault.node.call("POST", "sys/wrapping/unwrap", token=wrap["wrapping_token"]).status_code == 400, "unwrapped twice"

    wrong = [base64.b64encode(os.urandom(33)).decode() for number in range(2)]
    with pytest.raises(ModuleFailed, match="enter a key"):
        vault.run("vault_generate_root", keys=wrong, credentials_file=str(tmp_path / "never.json"))
    assert not (tmp_path / "never.json").exists()
    state = vault.node.call("GET", "sys/generate-root-token/attempt", token=vault.token).json()["data"]
    assert state["started"] is False, "the failed attempt was left behind"
    with pytest.raises(ModuleFailed, match="was not written by this module"):
        vault.run("vault_generate_root", keys=wrong, credentials_file=str(tmp_path / "init.json"))
    with pytest.raises(ModuleFailed, match="disable_unauthed_generate_root_endpoints=false"):
        vault.run("vault_generate_root", **{**options, "credentials_file": str(tmp_path / "x.json")}, token="")


def test_recovery_keys_are_replaced_verified_and_a_cut_off_run_goes_on(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    vault = fleet.vault(start(fleet, "rotate", kms=kms)).initialise(recovery_shares=3, recovery_threshold=2)
    first, second = tmp_path / "init.json", tmp_path / "second.json"
    done = both(vault, "vault_rekey", keys_file=str(first), credentials_file=str(second), shares=2, threshold=2)
    keys = content(second)
    assert done["rekey"]["in_force"] and keys["status"] == "complete" and keys["recovery_keys_base64"][0] not in json.dumps(done)
    root = {"credentials_file": str(tmp_path / "root.json")}
    with pytest.raises(ModuleFailed, match="enter a key"):
        vault.run("vault_generate_root", keys_file=str(first), **root)
    assert vault.run("vault_generate_root", keys_file=str(second), **root)["changed"]

    # Cut off before the verification: the old keys are valid, and the run goes on.
    third = tmp_path / "third.json"
    started = vault.node.call(
        "POST", "sys/rotate/recovery/init", {"secret_shares": 1, "secret_threshold": 1, "require_verification": True}, token=vault.token
    ).json()["data"]
    options = {"keys_file": str(second), "credentials_file": str(third), "shares": 1, "threshold": 1}
    with pytest.raises(ModuleFailed, match=f"set cancel_attempt to '{started['nonce']}'"):
        vault.run("vault_rekey", **options)
    third.write_text(json.dumps({"made_by": "vault_rekey", "status": "started", "verify": True, "nonce": started["nonce"]}), encoding="utf-8")
    third.chmod(0o600)
    assert both(vault, "vault_rekey", **options)["rekey"]["in_force"], "an attempt of ours, cut off before it had its keys"
    cut = {**content(third), "status": "unverified"}
    fourth = tmp_path / "fourth.json"
    base, body = "sys/rotate/recovery", {"secret_shares": 1, "secret_threshold": 1, "require_verification": True}
    nonce = vault.node.call("POST", f"{base}/init", body, token=vault.token).json()["data"]["nonce"]
    key = cut["recovery_keys_base64"][0]
    answer = vault.node.call("POST", f"{base}/update", {"key": key, "nonce": nonce}, token=vault.token).json()["data"]
    saved = {"recovery_keys_base64": answer["keys_base64"], "verification_nonce": answer["verification_nonce"], "nonce": nonce}
    fourth.write_text(json.dumps({**cut, **saved}), encoding="utf-8")
    fourth.chmod(0o600)
    assert both(vault, "vault_rekey", **{**options, "credentials_file": str(fourth), "keys_file": str(third)})["rekey"]["in_force"]
    # The server forgets an unverified attempt when it restarts: the keys in the file never became valid, and the run begins anew.
    fourth.write_text(json.dumps({**content(fourth), "status": "unverified"}), encoding="utf-8")
    forgotten = {**options, "credentials_file": str(tmp_path / "fifth.json"), "keys_file": str(fourth)}
    shutil.copy(fourth, tmp_path / "fifth.json")
    vault.node.restart()
    wait_for(lambda: vault.node.health() == 200, "the node to be active again")
    assert both(vault, "vault_rekey", **forgotten)["rekey"]["in_force"]


@pytest.mark.long
def test_keys_for_people_are_encrypted_and_shown_later(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    if shutil.which("gpg") is None:
        pytest.skip("needs gpg, which stands for the people")
    home = tmp_path / "gnupg"
    home.mkdir(mode=0o700)

    def gpg(*args: str, stdin: bytes = b"") -> bytes:
        return subprocess.run(["gpg", "--homedir", str(home), "--batch", "--quiet", *args], input=stdin, check=True, capture_output=True).stdout

    vault = fleet.vault(start(fleet, "people", kms=kms)).initialise(recovery_shares=1, recovery_threshold=1)
    try:
        for name in ("ann", "bob"):
            gpg("--passphrase", "", "--quick-generate-key", name, "default", "default", "never")
        (tmp_path / "ann.asc").write_bytes(gpg("--armor", "--export", "ann"))
        (tmp_path / "bob.gpg").write_bytes(gpg("--export", "bob"))
        path = tmp_path / "people.json"
        files = [str(tmp_path / "ann.asc"), str(tmp_path / "bob.gpg")]
        options = {"keys_file": str(tmp_path / "init.json"), "credentials_file": str(path), "shares": 2, "threshold": 2, "pgp_key_files": files}
        done = both(vault, "vault_rekey", **options)
        assert done["rekey"] | {"in_force": False, "encrypted": True} == done["rekey"]
        assert len(content(path)["pgp_fingerprints"]) == 2
        decrypted = [gpg("--decrypt", stdin=base64.b64decode(key)).decode() for key in content(path)["recovery_keys_base64"]]
        # A server whose keys and root token were never readable for anybody else.
        envelope = fleet.vault(start(fleet, "envelope", kms=kms))
        custody = {"recovery_shares": 2, "recovery_threshold": 2, "pgp_key_files": files, "root_token_pgp_key_file": files[0]}
        envelope.run("vault_init", credentials_file=str(tmp_path / "envelope.json"), **custody)
        wait_for(lambda: envelope.node.health() == 200, "the node to be active")
        sealed = content(tmp_path / "envelope.json")
        assert "root_token" not in sealed
        assert policies(envelope, gpg("--decrypt", stdin=base64.b64decode(sealed["root_token_pgp"])).decode()) == ["root"]
        theirs = [gpg("--decrypt", stdin=base64.b64decode(key)).decode() for key in sealed["recovery_keys_base64"]]
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=False)
    assert len(set(theirs)) == 2
    options["verification_keys"] = decrypted
    done = both(vault, "vault_rekey", **options)
    assert done["rekey"]["in_force"] and decrypted[0] not in json.dumps(done) and decrypted[0] not in path.read_text()
    assert vault.run("vault_generate_root", keys=decrypted, credentials_file=str(tmp_path / "root.json"))["changed"]


def test_the_root_token_of_a_new_server_can_be_unwrapped_once(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path) -> None:
    vault = fleet.vault(start(fleet, "wrapped", kms=kms))
    vault.run("vault_init", credentials_file=str(tmp_path / "init.json"), wrap_ttl="5m")
    made = content(tmp_path / "init.json")
    assert "root_token" not in made and made["wrapping_ttl_seconds"] == 300
    root = vault.node.call("POST", "sys/wrapping/unwrap", token=made["wrapping_token"]).json()["data"]["root_token"]
    assert policies(vault, root) == ["root"]
    assert not vault.run("vault_init", credentials_file=str(tmp_path / "init.json"), wrap_ttl="5m")["changed"]


@pytest.mark.parametrize("sealed_by", ["transit", "shamir"])
def test_the_paths_of_vault_work_without_a_token(fleet: Fleet, kms: Kms, tmp_path: pathlib.Path, sealed_by: str) -> None:
    vault = Old.start(fleet, f"old-{sealed_by}", kms if sealed_by == "transit" else None)
    prefix = "recovery" if sealed_by == "transit" else "secret"
    vault.initialise(**{f"{prefix}_shares": 3, f"{prefix}_threshold": 2})
    new = tmp_path / "new.json"
    done = both(vault, "vault_rekey", keys_file=str(tmp_path / "init.json"), credentials_file=str(new), shares=3, threshold=2)
    assert done["rekey"]["kind"] == ("recovery" if sealed_by == "transit" else "unseal")
    path = tmp_path / "root.json"
    both(vault, "vault_generate_root", keys_file=str(new), credentials_file=str(path))
    assert policies(vault, content(path)["root_token"]) == ["root"]
    if sealed_by == "shamir":
        vault.node.restart()
        with pytest.raises(ModuleFailed, match="the server refused the keys"):
            vault.run("vault_unseal", keys_file=str(tmp_path / "init.json"), wait_timeout=5)
        assert vault.run("vault_unseal", keys_file=str(new), wait_timeout=30)["changed"]
