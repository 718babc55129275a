"""Initialising and unsealing, against a scripted server."""

from __future__ import annotations

import json
import pathlib
import stat
import typing as t

import pytest
import requests
from ansible_collections.resilient.platform.plugins.module_utils._vault import seal
from ansible_collections.resilient.platform.plugins.modules import vault_init, vault_unseal
from helpers import vault
from helpers.modules import ModuleFailed, run_module
from helpers.vault import URL, Script

script = vault.script

ANSWER = {"keys": [], "keys_base64": [], "recovery_keys": ["rk1"], "recovery_keys_base64": ["cmsx"], "root_token": "s.root"}


def status(
    script: Script, *, automatic: bool = True, initialized: bool = False, sealed: bool = True, progress: int = 0, n: int = 0, threshold: int = 0
) -> Script:
    body = {
        "type": "transit" if automatic else "shamir",
        "recovery_seal": automatic,
        "initialized": initialized,
        "sealed": sealed,
        "progress": progress,
        "n": n,
        "t": threshold,
    }
    return script.expect("GET", "sys/seal-status", body=body, token="")


def initialise(path: pathlib.Path, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    return run_module(vault_init.main, {"url": URL, "credentials_file": str(path), **options}, check=check, diff=True)


def test_keys_and_root_token_go_to_the_file_and_nowhere_else(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "init.json"
    status(script).expect("GET", "sys/init", body={"initialized": False})
    predicted = initialise(path, check=True)
    assert not path.exists()
    status(script).expect("GET", "sys/init", body={"initialized": False})
    script.expect("PUT", "sys/init", body=ANSWER, sent={"recovery_shares": 5, "recovery_threshold": 3}).node()
    done = initialise(path)
    content = json.loads(path.read_text())
    assert content["root_token"] == "s.root" and content["recovery_keys"] == ["rk1"] and content["cluster_id"] == "c1"
    assert (content["status"], content["url"], content["seal_type"]) == ("complete", URL, "transit")
    assert "keys" not in content
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "s.root" not in json.dumps(done) and "rk1" not in json.dumps(done)
    assert done["diff"] == predicted["diff"]
    assert done["seal"] == {"type": "transit", "automatic": True, "shares": 5, "threshold": 3}


def test_a_shamir_server_gets_shares_of_its_own_and_no_cluster_id(script: Script, tmp_path: pathlib.Path) -> None:
    status(script, automatic=False).expect("GET", "sys/init", body={"initialized": False})
    script.expect(
        "PUT", "sys/init", body={"keys": ["k"], "keys_base64": ["aw=="], "root_token": "r"}, sent={"secret_shares": 1, "secret_threshold": 1}
    )
    initialise(tmp_path / "x", secret_shares=1, secret_threshold=1)
    content = json.loads((tmp_path / "x").read_text())
    assert content["keys_base64"] == ["aw=="] and "cluster_id" not in content


def test_custody_by_pgp_leaves_nothing_readable(script: Script, tmp_path: pathlib.Path) -> None:
    (tmp_path / "a.gpg").write_bytes(b"\x98\x0dkey")
    key, path = "mA1rZXk=", str(tmp_path / "a.gpg")
    for automatic, prefix, list_name in ((True, "recovery", "recovery_pgp_keys"), (False, "secret", "pgp_keys")):
        status(script, automatic=automatic).expect("GET", "sys/init", body={"initialized": False})
        sent = {f"{prefix}_shares": 1, f"{prefix}_threshold": 1, list_name: [key], "root_token_pgp_key": key}
        script.expect("PUT", "sys/init", body={**ANSWER, "keys": ["k"]}, sent=sent)
        if automatic:
            script.node()
        options = {f"{prefix}_shares": 1, f"{prefix}_threshold": 1, "pgp_key_files": [path], "root_token_pgp_key_file": path}
        initialise(tmp_path / prefix, **options)
        content = json.loads((tmp_path / prefix).read_text())
        assert "root_token" not in content and content["root_token_pgp"] == "s.root" and content["keys_encrypted"]


def test_the_root_token_is_wrapped_when_the_server_can(script: Script, tmp_path: pathlib.Path) -> None:
    status(script).expect("GET", "sys/init", body={"initialized": False}).expect("PUT", "sys/init", body=ANSWER).node(times=2)
    script.expect("POST", "sys/wrapping/wrap", body={"wrap_info": {"token": "w", "ttl": 900}}, sent={"root_token": "s.root"}, token="s.root")
    initialise(tmp_path / "x", wrap_ttl="15m")
    content = json.loads((tmp_path / "x").read_text())
    assert script.seen[-1].headers["X-Vault-Wrap-TTL"] == "15m"
    assert content["wrapping_token"] == "w" and "root_token" not in content and content["recovery_keys"] == ["rk1"]


@pytest.mark.parametrize(
    ("options", "automatic", "text"),
    [
        ({"wrap_ttl": "soon"}, True, "wrap_ttl is 'soon'"),
        ({"wrap_ttl": "5m"}, False, "nobody can wrap"),
        ({"wrap_ttl": "5m", "root_token_pgp_key_file": "KEY"}, True, "either wrapped or encrypted"),
        ({"pgp_key_files": ["KEY"]}, True, "1 PGP keys are given for 5 shares"),
    ],
)
def test_custody_that_cannot_be_is_refused_first(script: Script, tmp_path: pathlib.Path, options: dict[str, t.Any], automatic: bool, text: str) -> None:
    (tmp_path / "a.gpg").write_bytes(b"\x98\x0dkey")
    path = str(tmp_path / "a.gpg")
    wanted = {name: [path] if value == ["KEY"] else path if value == "KEY" else value for name, value in options.items()}
    status(script, automatic=automatic)
    with pytest.raises(ModuleFailed, match=text):
        initialise(tmp_path / "x", **wanted)


def test_an_initialised_server_is_left_alone(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    for content in (None, {"status": "complete"}):
        if content:
            path.write_text(json.dumps(content))
        status(script, initialized=True, n=5, threshold=3).expect("GET", "sys/init", body={"initialized": True})
        done = initialise(path)
        assert not done["changed"] and done["seal"]["shares"] == 5


@pytest.mark.parametrize(
    ("initialized", "content", "text"),
    [
        (True, {"status": "pending", "begun_at": "2026-11-21"}, "never delivered its keys.*delete its data"),
        (False, {"status": "complete"}, "holds the keys of a cluster that was"),
        (False, {"other": 1}, "was not written by this module"),
    ],
)
def test_server_and_file_that_contradict_are_refused(
    script: Script, tmp_path: pathlib.Path, initialized: bool, content: dict[str, str], text: str
) -> None:
    (tmp_path / "x").write_text(json.dumps(content))
    status(script).expect("GET", "sys/init", body={"initialized": initialized})
    with pytest.raises(ModuleFailed, match=text):
        initialise(tmp_path / "x")
    assert json.loads((tmp_path / "x").read_text()) == content


def test_an_unwritable_place_is_found_before_the_server_is_asked(script: Script, tmp_path: pathlib.Path) -> None:
    status(script).expect("GET", "sys/init", body={"initialized": False})
    with pytest.raises(ModuleFailed, match="Cannot write"):
        initialise(tmp_path / "missing" / "x")


@pytest.mark.parametrize(
    "options",
    [
        {"recovery_shares": 3, "recovery_threshold": 4},
        {"recovery_threshold": 0},
        {"recovery_shares": 3, "recovery_threshold": 1},
        {"recovery_shares": 256},
    ],
)
def test_shares_that_the_server_would_refuse_are_refused(script: Script, tmp_path: pathlib.Path, options: dict[str, int]) -> None:
    status(script)
    with pytest.raises(ModuleFailed, match="recovery_threshold is"):
        initialise(tmp_path / "x", **options)


def test_a_cut_connection_leaves_the_mark_and_says_so(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    status(script).expect("GET", "sys/init", body={"initialized": False}).expect("PUT", "sys/init", raises=requests.ReadTimeout())
    with pytest.raises(ModuleFailed, match="may have done it without us getting the keys"):
        initialise(path)
    assert json.loads(path.read_text())["status"] == "pending"
    status(script).expect("GET", "sys/init", body={"initialized": False}).expect("PUT", "sys/init", 400, {"errors": ["invalid seal"]})
    with pytest.raises(ModuleFailed, match="The server refused"):
        initialise(path)


def test_a_cluster_id_that_does_not_appear_is_no_error(script: Script, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vault_init, "Waiter", lambda timeout: seal.Waiter(timeout=0))
    status(script).expect("GET", "sys/init", body={"initialized": False}).expect("PUT", "sys/init", body=ANSWER).node("sealed")
    assert initialise(tmp_path / "x")["changed"]
    assert json.loads((tmp_path / "x").read_text())["root_token"] == "s.root"


# --- unseal


def unseal(*, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    return run_module(vault_unseal.main, {"url": URL, "wait_sleep": 0, "wait_timeout": 0, **options}, check=check, diff=True)


def shamir(script: Script, **kwargs: t.Any) -> Script:
    return status(script, automatic=False, initialized=True, n=3, threshold=2, **kwargs)


def key(script: Script, value: str, code: int = 200, *, sealed: bool = True) -> Script:
    return script.expect("POST", "sys/unseal", code, {"sealed": sealed} if code == 200 else {"errors": ["invalid key"]}, sent={"key": value})


def test_exactly_as_many_keys_as_needed_are_entered(script: Script, tmp_path: pathlib.Path) -> None:
    (tmp_path / "init.json").write_text(json.dumps({"keys_base64": ["a", "b", "c"], "keys": ["x"]}))
    shamir(script).node("sealed")
    predicted = unseal(check=True, keys_file=str(tmp_path / "init.json"))
    shamir(script)
    key(script, "a")
    key(script, "b", sealed=False).node()
    done = unseal(keys_file=str(tmp_path / "init.json"))
    assert done["changed"] and done["node"]["state"] == "active" and done["diff"] == predicted["diff"]
    shamir(script, sealed=False).node()
    assert not unseal(keys_file=str(tmp_path / "init.json"))["changed"]


def test_too_few_keys_are_refused_before_the_first_is_entered(script: Script) -> None:
    shamir(script)
    with pytest.raises(ModuleFailed, match="1 different keys were given, 2 are needed"):
        unseal(keys=["a", "a"])
    shamir(script)
    with pytest.raises(ModuleFailed, match="no key was given"):
        unseal()


def test_wrong_keys_are_forgotten_and_named_without_being_shown(script: Script) -> None:
    shamir(script, progress=1)
    key(script, "secret-key", 400).expect("POST", "sys/unseal", sent={"reset": True})
    with pytest.raises(ModuleFailed, match="the server refused the keys.*another cluster") as failed:
        unseal(keys=["secret-key"])
    assert "secret-key" not in json.dumps(failed.value.result)


def test_a_node_that_stays_sealed_is_an_error(script: Script) -> None:
    shamir(script)
    key(script, "a")
    key(script, "b")
    with pytest.raises(ModuleFailed, match="still sealed after 2 keys"):
        unseal(keys=["a", "b"])


def test_automatic_unseal_is_waited_for(script: Script) -> None:
    status(script, initialized=True).node("sealed").node()
    done = unseal(wait_timeout=5)
    assert not done["changed"] and done["node"]["state"] == "active"
    status(script, initialized=True).node("sealed")
    with pytest.raises(ModuleFailed, match="seen last: .* is sealed. With automatic unseal"):
        unseal()


def test_a_joining_node_is_waited_for(script: Script) -> None:
    status(script, automatic=False).node("not_initialised").node("sealed")
    shamir(script, sealed=False).node("standby", leader="https://other.test:8200")
    assert unseal(wait_timeout=5)["node"]["state"] == "standby"
    status(script).node("not_initialised")
    with pytest.raises(ModuleFailed, match="to be initialised or to join"):
        unseal()


@pytest.mark.parametrize(("content", "text"), [(None, "There is no"), ({"recovery_keys": ["x"]}, "holds no unseal keys")])
def test_a_file_without_keys_is_refused(script: Script, tmp_path: pathlib.Path, content: dict[str, t.Any] | None, text: str) -> None:
    if content is not None:
        (tmp_path / "x").write_text(json.dumps(content))
    shamir(script)
    with pytest.raises(ModuleFailed, match=text):
        unseal(keys_file=str(tmp_path / "x"))


def test_a_change_of_the_kind_of_seal_takes_the_old_keys(script: Script) -> None:
    status(script, initialized=True, n=1, threshold=1)
    for key, sealed in (("a", True), ("b", False)):
        script.expect("POST", "sys/unseal", body={"sealed": sealed}, sent={"key": key, "migrate": True})
    script.node()
    done = run_module(vault_unseal.main, {"url": URL, "keys": ["a", "b"], "migrate": True})
    assert done["changed"]
