"""Root tokens and new keys, against a scripted server."""

from __future__ import annotations

import base64
import importlib
import json
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from helpers import vault
from helpers.modules import ModuleFailed, run_module
from helpers.vault import URL, Script

script = vault.script
NEW_ROOT, OLD_ROOT = "sys/generate-root-token", "sys/generate-root"
OTP = "0123456789"
TOKEN = "s.abcdefgh"
ENCODED = base64.b64encode(bytes(left ^ right for left, right in zip(TOKEN.encode(), OTP.encode()))).decode().rstrip("=")


def run(module: str, *, check: bool = False, token: str = "tok", **options: t.Any) -> dict[str, t.Any]:
    main = importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.{module}").main
    return run_module(main, {"url": URL, **({"token": token} if token else {}), **options}, check=check, diff=True)


def keys_file(path: pathlib.Path, **content: t.Any) -> str:
    path.write_text(json.dumps(content or {"recovery_keys_base64": ["k1", "k2"], "keys_base64": ["u1", "u2"]}))
    return str(path)


def bao(script: Script, path: str, status: int = 200, **data: t.Any) -> Script:
    """Expect the question for the product and for the attempt at OpenBao's path."""
    script.expect("GET", "sys/seal-status", body={"version": "2.7.2", "commit_date": "x", "type": "transit"})
    return script.expect("GET", path, status, {"data": {"started": False, "required": 2, **data}})


def generate(script: Script, path: str, *, wrap: bool = False, last: t.Any = None) -> None:
    """Expect the whole of it."""
    script.expect("PUT", f"{path}/attempt", body={"data": {"nonce": "n", "otp": OTP}}, sent={})
    script.expect("PUT", f"{path}/update", body={"data": {"complete": False}}, sent={"key": "k1", "nonce": "n"})
    script.expect("PUT", f"{path}/update", body=last or {"data": {"complete": True, "encoded_token": ENCODED}}, sent={"key": "k2", "nonce": "n"})
    if wrap:
        script.expect("POST", "sys/wrapping/wrap", body={"wrap_info": {"token": "w", "ttl": 60}}, sent={"root_token": TOKEN}, token=TOKEN)


@pytest.mark.parametrize("wrap", [False, True])
def test_a_root_token_goes_to_the_file_and_nowhere_else(script: Script, tmp_path: pathlib.Path, wrap: bool) -> None:
    path = tmp_path / "root.json"
    options = {"keys": ["k1", "k2"], "credentials_file": str(path), **({"wrap_ttl": "1m"} if wrap else {})}
    bao(script, f"{NEW_ROOT}/attempt")
    predicted = run("vault_generate_root", check=True, **options)
    assert not path.exists()
    bao(script, f"{NEW_ROOT}/attempt")
    generate(script, NEW_ROOT, wrap=wrap)
    done = run("vault_generate_root", **options)
    content = json.loads(path.read_text())
    assert done["diff"] == predicted["diff"] and TOKEN not in json.dumps(done)
    assert content.get("wrapping_token" if wrap else "root_token") == ("w" if wrap else TOKEN)
    script.expect("POST", "sys/wrapping/lookup", token="") if wrap else script.expect("GET", "auth/token/lookup-self", token=TOKEN)
    assert not run("vault_generate_root", **options)["changed"]


def test_vault_needs_no_token_and_keys_come_from_the_file(script: Script, tmp_path: pathlib.Path) -> None:
    script.expect("GET", "sys/seal-status", body={"type": "transit", "recovery_seal": True}).expect(
        "GET", f"{OLD_ROOT}/attempt", body={"required": 2, "started": False}
    )
    generate(script, OLD_ROOT)
    assert run("vault_generate_root", token="", keys_file=keys_file(tmp_path / "k"), credentials_file=str(tmp_path / "r"))["changed"]


def test_a_closed_server_says_how_to_open_it(script: Script, tmp_path: pathlib.Path) -> None:
    bao(script, f"{NEW_ROOT}/attempt", 403).expect("GET", f"{OLD_ROOT}/attempt", 405)
    with pytest.raises(ModuleFailed, match="answers 403 and .* answers 405.*disable_unauthed_generate_root_endpoints=false"):
        run("vault_generate_root", keys=["k1", "k2"], credentials_file=str(tmp_path / "r"))


def test_an_attempt_of_somebody_is_cancelled_only_by_name(script: Script, tmp_path: pathlib.Path) -> None:
    options = {"keys": ["k1", "k2"], "credentials_file": str(tmp_path / "r")}
    bao(script, f"{NEW_ROOT}/attempt", started=True, nonce="other", progress=1)
    with pytest.raises(ModuleFailed, match="1 of 2 keys, nonce other"):
        run("vault_generate_root", **options)
    bao(script, f"{NEW_ROOT}/attempt", started=True, nonce="other").expect("DELETE", f"{NEW_ROOT}/attempt", 204)
    generate(script, NEW_ROOT)
    assert run("vault_generate_root", **options, cancel_attempt="other")["changed"]
    for check in (True, False):
        bao(script, f"{NEW_ROOT}/attempt", started=True, nonce="other")
        if not check:
            script.expect("DELETE", f"{NEW_ROOT}/attempt", 204)
        done = run("vault_generate_root", check=check, state="cancelled", cancel_attempt="other")
        assert done["diff"]["before"] == {"attempt": "other"}
    bao(script, f"{NEW_ROOT}/attempt")
    assert not run("vault_generate_root", state="cancelled", cancel_attempt="other")["changed"]


@pytest.mark.parametrize(
    ("last", "text"),
    [
        ({"data": {"complete": False}}, "wants more keys"),
        ({"data": {"complete": True, "encoded_token": "AAAA"}}, "does not fit"),
        ({"data": {"complete": True, "encoded_root_token": "!"}}, "does not fit"),
    ],
)
def test_an_attempt_that_fails_is_cancelled(script: Script, tmp_path: pathlib.Path, last: t.Any, text: str) -> None:
    bao(script, f"{NEW_ROOT}/attempt")
    generate(script, NEW_ROOT, last=last)
    script.expect("DELETE", f"{NEW_ROOT}/attempt", 204)
    with pytest.raises(ModuleFailed, match=text):
        run("vault_generate_root", keys=["k1", "k2"], credentials_file=str(tmp_path / "r"))
    assert not (tmp_path / "r").exists()


def test_a_server_without_a_password_is_refused(script: Script, tmp_path: pathlib.Path) -> None:
    bao(script, f"{NEW_ROOT}/attempt").expect("PUT", f"{NEW_ROOT}/attempt", body={"data": {"nonce": "n"}}).expect("DELETE", f"{NEW_ROOT}/attempt", 500)
    with pytest.raises(ModuleFailed, match="no one-time password"):
        run("vault_generate_root", keys=["k1", "k2"], credentials_file=str(tmp_path / "r"))


def test_a_token_that_cannot_be_kept_is_revoked(script: Script, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bao(script, f"{NEW_ROOT}/attempt")
    generate(script, NEW_ROOT)
    script.expect("POST", "auth/token/revoke-self", 204, token=TOKEN)
    monkeypatch.setattr(files.os, "fsync", vault.full_disk)
    with pytest.raises(ModuleFailed, match="No space left"):
        run("vault_generate_root", keys=["k1", "k2"], credentials_file=str(tmp_path / "r"))


@pytest.mark.parametrize(
    ("options", "text"),
    [({"wrap_ttl": "soon", "keys": ["k"]}, "wrap_ttl"), ({"keys": ["k"], "credentials_file": "FOREIGN"}, "was not written by this module")],
)
def test_a_root_token_is_refused_before_anything(script: Script, tmp_path: pathlib.Path, options: dict[str, t.Any], text: str) -> None:
    path = keys_file(tmp_path / "f")
    wanted = {"credentials_file": str(tmp_path / "r"), **options}
    if wanted["credentials_file"] == "FOREIGN":
        wanted["credentials_file"] = path
    with pytest.raises(ModuleFailed, match=text):
        run("vault_generate_root", **wanted)


def test_too_few_keys_are_found_first(script: Script, tmp_path: pathlib.Path) -> None:
    bao(script, f"{NEW_ROOT}/attempt")
    with pytest.raises(ModuleFailed, match="1 different keys were given, 2 are needed"):
        run("vault_generate_root", keys=["k", "k"], credentials_file=str(tmp_path / "r"))
    for content, text in (({"x": 1}, "holds no recovery keys"), (None, "There is no")):
        script.expect("GET", "sys/seal-status", body={"type": "transit", "recovery_seal": True})
        name = str(tmp_path / "none") if content is None else keys_file(tmp_path / "k", **content)
        with pytest.raises(ModuleFailed, match=text):
            run("vault_generate_root", keys_file=name, credentials_file=str(tmp_path / "r"))


# --- new keys

ROTATE, REKEY = "sys/rotate/recovery", "sys/rekey"


def seal(script: Script, *, automatic: bool = True, shares: int = 3, threshold: int = 2) -> Script:
    body = {"type": "transit" if automatic else "shamir", "recovery_seal": automatic, "n": shares, "t": threshold}
    return script.expect("GET", "sys/seal-status", body=body)


def rekey(path: pathlib.Path, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    wanted = {"keys": ["k1", "k2"], "credentials_file": str(path), "shares": 3, "threshold": 2, **options}
    return run("vault_rekey", check=check, **{name: value for name, value in wanted.items() if value is not None})


def made(script: Script, base: str, *, verification: str = "vn", update: bool = True, **sent: t.Any) -> None:
    """Expect that new keys are made."""
    body = {"secret_shares": 3, "secret_threshold": 2, "require_verification": bool(verification), **sent}
    script.expect("PUT", f"{base}/init", body={"data": {"nonce": "n"}}, sent=body)
    script.expect("PUT", f"{base}/update", body={"data": {"complete": False}}, sent={"key": "k1", "nonce": "n"})
    answer = {"complete": True, "keys": ["h1", "h2", "h3"], "keys_base64": ["n1", "n2", "n3"], "verification_nonce": verification}
    if update:
        script.expect("PUT", f"{base}/update", body={"data": answer}, sent={"key": "k2", "nonce": "n"})


def shown(script: Script, base: str, *, complete: bool = True, nonce: str = "vn") -> None:
    for number in (1, 2):
        done = complete and number == 2
        script.expect("PUT", f"{base}/verify", body={"data": {"complete": done}}, sent={"key": f"n{number}", "nonce": nonce})


def test_recovery_keys_are_made_shown_and_kept(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new.json"
    bao(seal(script), f"{ROTATE}/init")
    predicted = rekey(path, check=True)
    assert not path.exists()
    bao(seal(script), f"{ROTATE}/init")
    made(script, ROTATE)
    shown(script, ROTATE)
    done = rekey(path)
    content = json.loads(path.read_text())
    assert done["diff"] == predicted["diff"] and done["rekey"] == predicted["rekey"] and done["rekey"]["in_force"]
    assert content["recovery_keys_base64"] == ["n1", "n2", "n3"] and content["status"] == "complete" and "n1" not in json.dumps(done)
    bao(seal(script), f"{ROTATE}/init")
    assert not rekey(path)["changed"]
    bao(seal(script, shares=5), f"{ROTATE}/init")
    with pytest.raises(ModuleFailed, match="now has 2 of 5"):
        rekey(path)


def test_unseal_keys_without_verification_by_the_paths_of_vault(script: Script, tmp_path: pathlib.Path) -> None:
    seal(script, automatic=False).expect("GET", f"{REKEY}/init", body={"required": 2, "started": False})
    made(script, REKEY, verification="")
    done = rekey(tmp_path / "new.json", token="", verify=False, keys=None, keys_file=keys_file(tmp_path / "k", keys_base64=["k1", "k2"]))
    assert done["rekey"]["kind"] == "unseal" and done["rekey"]["in_force"]
    assert json.loads((tmp_path / "new.json").read_text())["keys_base64"] == ["n1", "n2", "n3"]


def test_encrypted_keys_wait_for_the_people(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new.json"
    raw = b"\x98\x0dbytes of a key"
    (tmp_path / "a.gpg").write_bytes(raw)
    armoured = base64.b64encode(raw).decode()
    (tmp_path / "b.asc").write_text(f"-----BEGIN PGP PUBLIC KEY BLOCK-----\nVersion: x\n\n{armoured}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n")
    options = {"pgp_key_files": [str(tmp_path / "a.gpg"), str(tmp_path / "b.asc"), str(tmp_path / "a.gpg")], "backup": True}
    bao(seal(script), f"{ROTATE}/init")
    predicted = rekey(path, check=True, **options)
    bao(seal(script), f"{ROTATE}/init")
    made(script, ROTATE, pgp_keys=[armoured] * 3, backup=True)
    done = rekey(path, **options)
    assert done["rekey"] == predicted["rekey"] and done["rekey"]["encrypted"] and not done["rekey"]["in_force"]
    for check, keys, changed in ((False, None, False), (True, ["n1", "n2"], True), (False, ["n1", "n2"], True)):
        bao(seal(script), f"{ROTATE}/init", started=True, nonce="n", verification_nonce="vn")
        if keys and not check:
            shown(script, ROTATE)
        done = rekey(path, check=check, **options, **({"verification_keys": keys} if keys else {}))
        assert done["changed"] is changed and done["rekey"]["in_force"] is changed


def test_keys_that_are_not_enough_leave_the_old_ones(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "new.json"
    bao(seal(script), f"{ROTATE}/init")
    made(script, ROTATE, update=False)
    script.expect("PUT", f"{ROTATE}/update", body={"data": {"complete": False}}).expect("DELETE", f"{ROTATE}/init", 204)
    with pytest.raises(ModuleFailed, match="wants more keys"):
        rekey(path)
    assert not path.exists()
    bao(seal(script), f"{ROTATE}/init")
    made(script, ROTATE)
    shown(script, ROTATE, complete=False)
    script.expect("PUT", f"{ROTATE}/verify", body={"data": {"complete": False}})
    with pytest.raises(ModuleFailed, match="the old keys are valid until then"):
        rekey(path)
    # The next run goes on with the keys in the file.
    bao(seal(script), f"{ROTATE}/init", started=True, nonce="n", verification_nonce="vn")
    shown(script, ROTATE)
    assert rekey(path)["diff"]["after"] == {"verified": True}


@pytest.mark.parametrize("forgotten", [True, False])
def test_an_unfinished_run_of_ours_begins_anew(script: Script, tmp_path: pathlib.Path, forgotten: bool) -> None:
    path = tmp_path / "new.json"
    path.write_text(json.dumps({"made_by": "vault_rekey", "status": "started", "verify": True, "nonce": "mine"}))
    bao(seal(script), f"{ROTATE}/init", **({} if forgotten else {"started": True, "nonce": "mine"}))
    if not forgotten:
        script.expect("DELETE", f"{ROTATE}/init", 204)
    made(script, ROTATE)
    shown(script, ROTATE)
    assert rekey(path)["rekey"]["in_force"]


@pytest.mark.parametrize(
    ("content", "answer", "text"),
    [
        (None, {"started": True, "nonce": "other"}, "set cancel_attempt to 'other'"),
        ({"made_by": "vault_rekey", "status": "started", "verify": False}, {}, "whether the server has new keys is not known"),
        ({"status": "complete"}, {}, "was not written by this module"),
    ],
)
def test_what_may_be_of_others_is_refused(
    script: Script, tmp_path: pathlib.Path, content: dict[str, t.Any] | None, answer: dict[str, t.Any], text: str
) -> None:
    if content:
        (tmp_path / "new.json").write_text(json.dumps(content))
    bao(seal(script), f"{ROTATE}/init", **answer)
    with pytest.raises(ModuleFailed, match=text):
        rekey(tmp_path / "new.json")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"threshold": 1}, "threshold is 1"),
        ({"backup": True}, "backup needs pgp_key_files"),
        ({"pgp_key_files": ["GOOD"]}, "1 PGP keys are given for 3 shares"),
        ({"pgp_key_files": ["/nowhere/x"]}, "Cannot read /nowhere/x"),
        ({"pgp_key_files": ["PRIVATE"]}, "private key"),
        ({"pgp_key_files": ["TEXT"]}, "holds no PGP public key"),
        ({"pgp_key_files": ["ARMOUR"]}, "Export it again"),
    ],
)
def test_new_keys_are_refused_before_anything(script: Script, tmp_path: pathlib.Path, options: dict[str, t.Any], text: str) -> None:
    texts = {
        "GOOD": b"\xc6\x0dnew form",
        "PRIVATE": b"-----BEGIN PGP PRIVATE KEY BLOCK-----",
        "TEXT": b"ssh-ed25519 AAAA",
        "ARMOUR": b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n%%%\n",
    }
    for name, raw in texts.items():
        (tmp_path / name).write_bytes(raw)
    wanted = dict(options)
    if "pgp_key_files" in wanted:
        wanted["pgp_key_files"] = [str(tmp_path / name) if name in texts else name for name in wanted["pgp_key_files"]]
    with pytest.raises(ModuleFailed, match=text):
        rekey(tmp_path / "new.json", **wanted)


def test_a_file_is_deleted_once(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x").touch()
    files.remove(str(tmp_path / "x"))
    files.remove(str(tmp_path / "x"))
    with pytest.raises(Refused, match="Cannot delete"):
        files.remove(str(tmp_path))
