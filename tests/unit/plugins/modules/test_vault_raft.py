"""Raft: looking, taking, restoring, proving, against a scripted server."""

from __future__ import annotations

import importlib
import json
import os
import pathlib
import stat
import typing as t

import pytest
import requests
from ansible_collections.resilient.platform.plugins.module_utils._evidence import manifest
from helpers import vault
from helpers.modules import ModuleFailed, run_module
from helpers.vault import OTHER, SEAL_SHAMIR, URL, Script, pack, snapshot_members, state_of, write_snapshot

script = vault.script

SNAPSHOT = "sys/storage/raft/snapshot"
FORCE = "sys/storage/raft/snapshot-force"
TRANSIT = {"type": "transit", "recovery_seal": True, "initialized": True, "sealed": False, "n": 1, "t": 1}
SHAMIR = {"type": "shamir", "initialized": True, "sealed": False, "n": 3, "t": 2}


def run(module: str, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    main = importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.{module}").main
    return run_module(main, {"url": URL, "token": "tok", **options}, check=check, diff=True)


# --- info

CONFIGURATION = {"data": {"config": {"servers": [{"node_id": "a", "address": "x:8201", "leader": True, "voter": True}]}}}
AUTOPILOT = {"data": {"healthy": True, "failure_tolerance": 1, "leader": "a", "voters": ["a"], "servers": {"a": {}}}}


def test_each_node_and_the_leader_are_asked(script: Script) -> None:
    script.node("standby", url=OTHER, leader=URL, index=39).node(index=40)
    script.expect("GET", "sys/storage/raft/configuration", body=CONFIGURATION).expect("GET", "sys/storage/raft/autopilot/state", body=AUTOPILOT)
    raft = run("vault_raft_info", node_urls=[OTHER, URL])["raft"]
    assert raft["leader_address"] == URL
    assert [(node["url"], node["state"], node["applied_index"]) for node in raft["nodes"]] == [(OTHER, "standby", 39), (URL, "active", 40)]
    assert raft["servers"] == [{"node_id": "a", "address": "x:8201", "leader": True, "voter": True}]
    assert raft["autopilot"]["failure_tolerance"] == 1


def test_nodes_that_are_down_are_states(script: Script) -> None:
    script.expect("GET", "sys/health", raises=requests.ConnectionError("refused")).node("failing", url=OTHER)
    raft = run("vault_raft_info", node_urls=[URL, OTHER])["raft"]
    assert [node["state"] for node in raft["nodes"]] == ["unreachable", "failing"]
    assert raft["nodes"][1]["error"] == "decryption failed"
    assert (raft["leader_address"], raft["servers"], raft["autopilot"]) == ("", None, None)


def test_without_a_token_only_the_nodes_are_asked(script: Script) -> None:
    script.node()
    assert run("vault_raft_info", token=None)["raft"]["servers"] is None


def test_a_standby_alone_leads_to_the_leader(script: Script) -> None:
    script.node("standby", leader=OTHER)
    script.expect("GET", "sys/storage/raft/configuration", body={"data": {}}, url=OTHER).expect(
        "GET", "sys/storage/raft/autopilot/state", 404, url=OTHER
    )
    raft = run("vault_raft_info")["raft"]
    assert (raft["leader_address"], raft["servers"], raft["autopilot"]) == (OTHER, [], None)


def test_a_leader_question_without_an_answer_is_a_state(script: Script) -> None:
    script.expect("GET", "sys/health", 200, {"initialized": True, "sealed": False}).expect("GET", "sys/leader", raises=requests.ReadTimeout())
    node = run("vault_raft_info", token=None)["raft"]["nodes"][0]
    assert node["state"] == "active" and "no answer in time" in node["error"]


# --- snapshot


def ready_to_take(script: Script, *, index: int = 40) -> Script:
    return script.node("standby", leader=OTHER).node(url=OTHER, leader=OTHER, index=index).may(SNAPSHOT, "read", url=OTHER)


def test_a_snapshot_comes_from_the_leader_whole_and_private(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.snap"
    path.write_text("the one before")
    ready_to_take(script)
    predicted = run("vault_raft_snapshot", check=True, dest=str(path))
    assert path.read_text() == "the one before"
    data = pack(snapshot_members())
    ready_to_take(script).expect("GET", SNAPSHOT, content=iter([data[:100], data[100:]]), url=OTHER, token="tok")
    done = run("vault_raft_snapshot", dest=str(path))
    snapshot = done["snapshot"]
    assert path.read_bytes() == data
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert (snapshot["path"], snapshot["index"], snapshot["minimum_index"], snapshot["leader_address"]) == (str(path), 50, 40, OTHER)
    assert set(predicted["snapshot"]) == set(snapshot) and predicted["snapshot"]["sha256"] is None
    assert predicted["diff"] == done["diff"]


@pytest.mark.parametrize(
    ("data", "index", "text"),
    [
        (b"", 40, "it is empty"),
        (pack({key: value for key, value in snapshot_members().items() if key != "SHA256SUMS.sealed"}), 40, "the server did not finish"),
        (pack(snapshot_members())[:-9], 40, "cut off"),
        (pack(snapshot_members()), 51, "ends at raft index 50, while 51 had been applied"),
    ],
)
def test_an_incomplete_snapshot_is_an_error_and_leaves_the_old_one(
    script: Script, tmp_path: pathlib.Path, data: bytes, index: int, text: str
) -> None:
    path = tmp_path / "x.snap"
    path.write_text("the one before")
    ready_to_take(script, index=index).expect("GET", SNAPSHOT, content=data, url=OTHER)
    with pytest.raises(ModuleFailed, match=text) as failed:
        run("vault_raft_snapshot", dest=str(path))
    assert failed.value.result["error"]["type"] == "Incomplete"
    assert path.read_text() == "the one before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_nothing_behind(script: Script, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ready_to_take(script).expect("GET", SNAPSHOT, content=pack(snapshot_members()), url=OTHER)
    monkeypatch.setattr(os, "fsync", vault.full_disk)
    with pytest.raises(ModuleFailed, match="No space left on device"):
        run("vault_raft_snapshot", dest=str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_missing_rights_are_found_in_check_mode(script: Script, tmp_path: pathlib.Path) -> None:
    script.node().may(SNAPSHOT, "deny")
    with pytest.raises(ModuleFailed, match="may not take a snapshot: it has deny on sys/storage/raft/snapshot.*Grant 'read'"):
        run("vault_raft_snapshot", check=True, dest=str(tmp_path / "x"))


def test_rights_that_may_not_be_asked_for_are_no_error(script: Script, tmp_path: pathlib.Path) -> None:
    script.node().expect("POST", "sys/capabilities-self", 403).expect("GET", "auth/token/lookup-self")
    assert run("vault_raft_snapshot", check=True, dest=str(tmp_path / "x"))["changed"]


def test_a_bad_token_is_found_in_check_mode(script: Script, tmp_path: pathlib.Path) -> None:
    script.node().expect("POST", "sys/capabilities-self", 403).expect("GET", "auth/token/lookup-self", 403)
    with pytest.raises(ModuleFailed) as failed:
        run("vault_raft_snapshot", check=True, dest=str(tmp_path / "x"))
    assert failed.value.result["error"]["type"] == "AuthenticationError"


@pytest.mark.parametrize("mode", ["rw", "0999", "0", "01777"])
def test_a_bad_mode_is_refused(script: Script, tmp_path: pathlib.Path, mode: str) -> None:
    with pytest.raises(ModuleFailed, match="is no file mode"):
        run("vault_raft_snapshot", dest=str(tmp_path / "x"), mode=mode)


def test_no_leader_is_refused(script: Script, tmp_path: pathlib.Path) -> None:
    script.node("sealed")
    with pytest.raises(ModuleFailed, match="no leader to be found: .* is sealed"):
        run("vault_raft_snapshot", dest=str(tmp_path / "x"))
    script.node("standby", leader=OTHER).node("standby", url=OTHER, leader=URL)
    with pytest.raises(ModuleFailed, match="that node does not say so"):
        run("vault_raft_snapshot", dest=str(tmp_path / "x"))


# --- verify


def test_the_verifier_needs_no_server(tmp_path: pathlib.Path) -> None:
    digest = write_snapshot(tmp_path / "x")
    main = importlib.import_module("ansible_collections.resilient.platform.plugins.modules.vault_raft_snapshot_verify").main
    done = run_module(main, {"path": str(tmp_path / "x"), "expected_sha256": digest})
    assert (done["verdict"], done["changed"], done["snapshot"]["index"]) == ("verified", False, 50)


@pytest.mark.parametrize(
    ("fail_on", "digest", "fails"),
    [("not_verified", "0" * 64, True), ("not_verified", None, True), ("failed", "0" * 64, True), ("failed", None, False), ("never", "0" * 64, False)],
)
def test_the_caller_says_what_fails_the_task(tmp_path: pathlib.Path, fail_on: str, digest: str | None, fails: bool) -> None:
    write_snapshot(tmp_path / "x")
    main = importlib.import_module("ansible_collections.resilient.platform.plugins.modules.vault_raft_snapshot_verify").main
    options = {"path": str(tmp_path / "x"), "expected_sha256": digest, "fail_on": fail_on}
    if fails:
        with pytest.raises(ModuleFailed, match="digest: ") as failed:
            run_module(main, options)
        assert failed.value.result["checks"]
    else:
        assert run_module(main, options)["verdict"] != "verified"


def test_a_digest_that_is_none_is_refused(tmp_path: pathlib.Path) -> None:
    main = importlib.import_module("ansible_collections.resilient.platform.plugins.modules.vault_raft_snapshot_verify").main
    with pytest.raises(ModuleFailed, match="is no SHA-256 digest"):
        run_module(main, {"path": str(tmp_path), "expected_sha256": "abc"})


# --- restore


def ready_to_restore(script: Script, *, seal: dict[str, t.Any] | None = None, force: bool = False) -> Script:
    script.node(cluster_id="throw-away", index=30).expect("GET", "sys/seal-status", body=seal or TRANSIT).may(SNAPSHOT, "update")
    return script.may(FORCE, "root") if force else script


def restore(path: pathlib.Path, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    if options.get("force") and options.get("expected_sha256"):
        options = {**vault.write_manifest(path.parent, options["expected_sha256"]), **options}
    return run("vault_raft_restore", check=check, path=str(path), wait_sleep=0, **{"wait_timeout": 5, **options})


@pytest.fixture
def snap(tmp_path: pathlib.Path) -> tuple[pathlib.Path, str]:
    return tmp_path / "x.snap", write_snapshot(tmp_path / "x.snap")


def test_a_restore_is_done_when_it_has_been_seen_not_when_it_is_accepted(script: Script, snap: tuple[pathlib.Path, str]) -> None:
    path, digest = snap
    ready_to_restore(script)
    predicted = restore(path, check=True, expected_sha256=digest)
    ready_to_restore(script).expect("POST", SNAPSHOT, 204, token="tok")
    script.node(cluster_id="throw-away", index=30).node("failing", times=2).expect("GET", "sys/health", raises=requests.ReadTimeout())
    # The new term of office shows before the new cluster id does.
    script.node(cluster_id="throw-away", index=56, active_time="t2").node(cluster_id="source", index=56, active_time="t2", times=3)
    done = restore(path, expected_sha256=digest)
    found = done["restore"]
    assert done["diff"] == predicted["diff"]
    assert set(found) == set(predicted["restore"])
    assert (found["cluster_id_before"], found["cluster_id_after"], found["state"]) == ("throw-away", "source", "active")
    assert (found["evidence"], found["forced"], found["restart_required"], found["unseal_required"]) == ("cluster_id changed", False, True, False)


def test_the_own_snapshot_shows_by_the_term_of_office(script: Script, snap: tuple[pathlib.Path, str]) -> None:
    ready_to_restore(script).expect("POST", SNAPSHOT, 204).node(cluster_id="throw-away", index=30, times=2)
    script.node(cluster_id="throw-away", index=56, active_time="t2", times=3)
    assert restore(snap[0])["restore"]["evidence"] == "active_time changed and the applied index went on"


def test_a_restore_that_is_never_seen_is_an_error(script: Script, snap: tuple[pathlib.Path, str]) -> None:
    ready_to_restore(script).expect("POST", SNAPSHOT, 204).node(cluster_id="throw-away", index=30)
    with pytest.raises(ModuleFailed, match="accepted the snapshot, but within 0 s it was not seen to be applied") as failed:
        restore(snap[0], wait_timeout=0)
    assert failed.value.result["error"]["last"]["cluster_id"] == "throw-away"


def test_force_is_tried_second_and_a_foreign_shamir_node_ends_sealed(script: Script, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    digest = write_snapshot(path, SEAL_SHAMIR)
    ready_to_restore(script, seal=SHAMIR, force=True).expect("POST", SNAPSHOT, 400, {"errors": ["different set of unseal keys"]}).expect(
        "POST", FORCE, 204
    )
    script.node(cluster_id="throw-away", index=30).node("sealed")
    found = restore(path, expected_sha256=digest, force=True)["restore"]
    assert (found["state"], found["forced"], found["unseal_required"], found["evidence"]) == ("sealed", True, True, "sealed")


def test_without_force_other_keys_are_an_error_that_says_how(script: Script, snap: tuple[pathlib.Path, str]) -> None:
    ready_to_restore(script).expect("POST", SNAPSHOT, 400, {"errors": ["different autoseal key"]})
    with pytest.raises(ModuleFailed, match="different autoseal key.*set force with manifest"):
        restore(snap[0])


def test_what_the_server_refuses_even_by_force_is_an_error(script: Script, snap: tuple[pathlib.Path, str]) -> None:
    ready_to_restore(script, force=True).expect("POST", SNAPSHOT, 400).expect("POST", FORCE, 500, {"errors": ["hash check failed"]})
    with pytest.raises(ModuleFailed, match="hash check failed.*does not accept the file"):
        restore(snap[0], expected_sha256=snap[1], force=True)


def test_a_damaged_file_is_not_sent_by_force_either(script: Script, snap: tuple[pathlib.Path, str]) -> None:
    ready_to_restore(script, force=True).expect("POST", SNAPSHOT, 500, {"errors": ["broken"]})
    with pytest.raises(ModuleFailed, match="broken"):
        restore(snap[0], expected_sha256=snap[1], force=True)


def test_an_automatic_seal_without_the_key_is_an_error(script: Script, snap: tuple[pathlib.Path, str]) -> None:
    ready_to_restore(script).expect("POST", SNAPSHOT, 204).node("sealed", times=10)
    with pytest.raises(ModuleFailed, match="cannot decrypt the snapshot's keys.*v1"):
        restore(snap[0])


def test_a_change_of_the_kind_of_seal_ends_sealed_and_is_no_error(script: Script, tmp_path: pathlib.Path) -> None:
    digest = write_snapshot(tmp_path / "x", SEAL_SHAMIR)
    ready_to_restore(script, force=True).expect("POST", SNAPSHOT, 400).expect("POST", FORCE, 204).node("sealed", times=10)
    found = restore(tmp_path / "x", expected_sha256=digest, force=True)["restore"]
    assert found["state"] == "sealed" and found["unseal_required"]


def test_a_standby_and_a_sealed_node_are_refused(script: Script, snap: tuple[pathlib.Path, str]) -> None:
    script.node("standby", leader=OTHER)
    with pytest.raises(ModuleFailed, match="is a standby of https://other.test:8200. Set url to") as failed:
        restore(snap[0], check=True)
    assert failed.value.result["error"]["type"] == "NotLeader"
    script.node("sealed")
    with pytest.raises(ModuleFailed, match="has to be initialised, unsealed and active"):
        restore(snap[0])


def test_the_file_is_checked_before_the_server_is_asked(script: Script, snap: tuple[pathlib.Path, str], tmp_path: pathlib.Path) -> None:
    path, _digest = snap
    with pytest.raises(ModuleFailed, match="Will not restore .*: digest: ") as failed:
        restore(path, check=True, expected_sha256="0" * 64)
    assert {check["name"] for check in failed.value.result["error"]["checks"]} >= {"digest", "archive"}
    with pytest.raises(ModuleFailed, match="force needs manifest and public_key"):
        restore(path, force=True)
    with pytest.raises(ModuleFailed, match="Will not restore .*No such file"):
        restore(tmp_path / "none")


def test_only_a_signed_manifest_vouches_for_a_file(script: Script, snap: tuple[pathlib.Path, str], tmp_path: pathlib.Path) -> None:
    path, digest = snap
    other = vault.write_manifest(tmp_path, "0" * 64)
    for force in (True, False):
        with pytest.raises(ModuleFailed, match="vouches for no snapshot with its digest"):
            restore(path, force=force, **other)
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    with pytest.raises(ModuleFailed, match="The signature of .* is wrong"):
        restore(path, force=True, manifest=vault.write_manifest(stranger, digest)["manifest"], public_key=other["public_key"])
    with pytest.raises(ModuleFailed, match="Cannot read the manifest"):
        restore(path, force=True, manifest=str(tmp_path / "none"), public_key=other["public_key"])
    (tmp_path / "manifest.dsse.json").write_bytes(b"{}")
    with pytest.raises(ModuleFailed, match="no whole DSSE envelope"):
        restore(path, force=True, **other)
    good = vault.write_manifest(tmp_path, "1" * 64, digest)
    ready_to_restore(script, force=True)
    assert restore(path, check=True, force=True, **good)["restore"]["sha256"] == digest


def test_a_signed_document_that_is_no_manifest_is_refused(snap: tuple[pathlib.Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "PREDICATE", "urn:other")
    wanted = vault.write_manifest(snap[0].parent, snap[1])
    monkeypatch.undo()
    with pytest.raises(ModuleFailed, match="is signed, but is no manifest"):
        restore(snap[0], force=True, **wanted)


@pytest.mark.parametrize(
    ("snapshot_seal", "server", "force", "text"),
    [
        (None, SHAMIR, True, "needs a transit seal .key v1., the server has shamir: it could never be unsealed"),
        (SEAL_SHAMIR, TRANSIT, False, "sealed by shamir, the server by transit.*set force"),
    ],
)
def test_seals_that_do_not_fit_are_refused(
    script: Script, tmp_path: pathlib.Path, snapshot_seal: bytes | None, server: dict[str, t.Any], force: bool, text: str
) -> None:
    path = tmp_path / "x"
    digest = write_snapshot(path, snapshot_seal) if snapshot_seal else write_snapshot(path)
    script.node().expect("GET", "sys/seal-status", body=server)
    with pytest.raises(ModuleFailed, match=text):
        restore(path, check=True, expected_sha256=digest, force=force)


def warnings_of(script: Script, monkeypatch: pytest.MonkeyPatch, path: pathlib.Path, **options: t.Any) -> str:
    from ansible.module_utils.basic import AnsibleModule

    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _self, text: said.append(text))
    restore(path, check=True, **options)
    return " ".join(said)


def test_what_ends_well_only_with_care_is_a_warning(script: Script, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    digest = write_snapshot(path, SEAL_SHAMIR)
    ready_to_restore(script, seal=TRANSIT, force=True)
    assert "migrate=true" in warnings_of(script, monkeypatch, path, expected_sha256=digest, force=True)
    ready_to_restore(script, seal={**SHAMIR, "n": 1, "t": 1})
    assert "restart the server before you unseal it" in warnings_of(script, monkeypatch, path)
    path.write_bytes(pack(snapshot_members(state_of(extra={b"core/versions/2.9.1": b"x"}))))
    ready_to_restore(script)
    assert "written by version 2.9.1, the server is 2.7.2" in warnings_of(script, monkeypatch, path)


def test_a_file_that_vanishes_is_named(script: Script, snap: tuple[pathlib.Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.resilient.platform.plugins.module_utils._vault import restore as module

    real = module.check_capability

    def vanish(*args: t.Any, **kwargs: t.Any) -> bool:
        snap[0].unlink(missing_ok=True)
        return real(*args, **kwargs)

    monkeypatch.setattr(module, "check_capability", vanish)
    ready_to_restore(script)
    with pytest.raises(ModuleFailed, match="Cannot read .*No such file"):
        restore(snap[0])


# --- prove

KV = "kv/data/resilient/raft_proof"


def ready_to_prove(script: Script, path: str = KV) -> Script:
    return script.node().may(path, "create", "update", "read").may(path, "create", "update", "read")


def prove(script: Script, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    return run("vault_raft_prove", check=check, **{"node_urls": [URL, OTHER], "wait_sleep": 0, "wait_timeout": 5, **options})


@pytest.fixture
def value(monkeypatch: pytest.MonkeyPatch) -> str:
    import secrets

    monkeypatch.setattr(secrets, "token_hex", lambda _size: "f00d")
    return "f00d"


@pytest.mark.parametrize(("version", "path"), [(2, KV), (1, "kv/resilient/raft_proof")])
def test_a_write_is_proved_on_every_node(script: Script, value: str, version: int, path: str) -> None:
    ready_to_prove(script, path)
    assert prove(script, check=True, kv_version=version)["proof"]["leader_address"] == URL
    ready_to_prove(script, path).expect("POST", path).node(index=41)
    script.node(index=41).node("standby", url=OTHER, index=40).node(index=42).node("standby", url=OTHER, index=41)
    answer = {"data": {"value": value}} if version == 1 else {"data": {"data": {"value": value}}}
    script.expect("GET", path, 400).expect("GET", path, body=answer, times=2).expect("GET", path, body=answer, url=OTHER, times=2)
    proof = prove(script, kv_version=version)["proof"]
    assert proof["index"] == 41
    assert proof["nodes"] == [{"url": URL, "applied_index": 42}, {"url": OTHER, "applied_index": 41}]
    written = json.loads(
        next(request.body for request in reversed(script.seen) if request.method == "POST" and str(request.url).endswith(path)) or "{}"
    )
    assert (written["data"] if version == 2 else written)["value"] == value


def test_a_node_that_lags_is_named(script: Script) -> None:
    ready_to_prove(script).expect("POST", KV).node(index=47).node(index=47).node("standby", url=OTHER, index=42)
    with pytest.raises(
        ModuleFailed, match="write at raft index 47 did not reach every node.*https://other.test:8200 is standby at index 42"
    ) as failed:
        prove(script, wait_timeout=0)
    assert failed.value.result["error"]["type"] == "NotReplicated"
    assert failed.value.result["error"]["nodes"][1]["applied_index"] == 42


def test_a_node_that_serves_stale_data_is_named(script: Script, value: str) -> None:
    ready_to_prove(script).expect("POST", KV).node(index=41).node(index=41).node("standby", url=OTHER, index=41)
    script.expect("GET", KV, body={"data": {"data": {"value": value}}}, times=2).expect("GET", KV, body={"data": {"data": None}}, url=OTHER, times=2)
    with pytest.raises(ModuleFailed, match="other.test:8200 has applied the write's raft index but does not return its value"):
        prove(script)


def test_a_server_without_raft_is_refused(script: Script) -> None:
    ready_to_prove(script).expect("POST", KV).expect("GET", "sys/health", 503, {"initialized": True, "sealed": True})
    with pytest.raises(ModuleFailed, match="tells no raft_applied_index"):
        prove(script)


@pytest.mark.parametrize("urls", [[], [URL, f"{URL}/"]])
def test_nodes_are_named_once(script: Script, urls: list[str]) -> None:
    with pytest.raises(ModuleFailed, match="names no node, or one twice"):
        prove(script, node_urls=urls)
