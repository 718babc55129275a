"""Autopilot, audit devices and raft members, against a scripted server."""

from __future__ import annotations

import importlib
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._vault.product import read_product
from ansible_collections.resilient.platform.plugins.module_utils._vault.client import VaultClient
from helpers import vault
from helpers.modules import ModuleFailed, run_module
from helpers.vault import OTHER, URL, Script

script = vault.script
PILOT = "sys/storage/raft/autopilot/configuration"
STATE = "sys/storage/raft/autopilot/state"
MEMBERS = "sys/storage/raft/configuration"
CAPABILITY = "sys/storage/raft/remove-peer"
SETTINGS = {"cleanup_dead_servers": False, "dead_server_last_contact_threshold": "24h0m0s", "min_quorum": 0, "last_contact_threshold": "10s"}


def run(module: str, *, check: bool = False, **options: t.Any) -> dict[str, t.Any]:
    main = importlib.import_module(f"ansible_collections.resilient.platform.plugins.modules.{module}").main
    return run_module(main, {"url": URL, "token": "tok", **options}, check=check, diff=True)


# --- autopilot


def test_autopilot_writes_what_differs(script: Script) -> None:
    wanted = {"last_contact_threshold": 10, "dead_server_last_contact_threshold": "48h"}
    script.expect("GET", PILOT, body={"data": SETTINGS})
    predicted = run("vault_raft_autopilot", check=True, **wanted)
    after = {**SETTINGS, "dead_server_last_contact_threshold": "48h0m0s"}
    script.expect("GET", PILOT, body={"data": SETTINGS}).expect("POST", PILOT, 204, sent={"dead_server_last_contact_threshold": "48h"})
    script.expect("GET", PILOT, body={"data": after})
    done = run("vault_raft_autopilot", **wanted)
    assert done["diff"] == predicted["diff"] and done["autopilot"] == after
    script.expect("GET", PILOT, body={"data": after})
    assert not run("vault_raft_autopilot", **wanted)["changed"]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"last_contact_threshold": "soon"}, "no duration"),
        ({"min_quorum": -1}, "not negative"),
        ({"cleanup_dead_servers": True}, "at least 3"),
        ({"cleanup_dead_servers": True, "min_quorum": 3, "dead_server_last_contact_threshold": "10s"}, "at least 1m"),
    ],
)
def test_autopilot_refuses_what_the_server_would(script: Script, options: dict[str, t.Any], text: str) -> None:
    script.expect("GET", PILOT, body={"data": SETTINGS})
    with pytest.raises(ModuleFailed, match=text):
        run("vault_raft_autopilot", **options)


def test_autopilot_needs_a_setting_and_is_read(script: Script) -> None:
    with pytest.raises(ModuleFailed, match="No setting"):
        run("vault_raft_autopilot")
    script.expect("GET", PILOT, body={"data": SETTINGS}).expect("GET", STATE, 404)
    assert run("vault_raft_autopilot_info") == {"changed": False, "autopilot": SETTINGS, "state": None}


# --- audit


@pytest.mark.parametrize(
    ("status", "backend", "product"),
    [
        ({"version": "1.21.0", "build_date": "x"}, None, "vault"),
        ({"version": "2.7.2", "commit_date": "x"}, None, "openbao"),
        ({"version": "2.5.1", "build_date": "x"}, 404, "openbao"),
        ({"version": "2.0.1", "build_date": "x"}, 200, "vault"),
    ],
)
def test_products_are_told_apart(script: Script, status: dict[str, str], backend: int | None, product: str) -> None:
    script.expect("GET", "sys/seal-status", body=status)
    if backend:
        script.expect("GET", "sys/seal-backend-status", backend)
    assert read_product(VaultClient(URL, session=script.session())) == product


DEVICE = {"type": "file", "description": "All", "local": False, "options": {"file_path": "/l", "log_raw": "false"}}
WANTED = {"path": "main", "type": "file", "description": "All", "options": {"file_path": "/l", "log_raw": False}}


def devices(script: Script, found: dict[str, t.Any], *, api: bool | None = True, product: str = "openbao") -> Script:
    """Expect the questions that a plan asks. *api* is ``None`` if the token may not ask."""
    script.expect("GET", "sys/audit", body={"data": found})
    if product == "vault":
        return script.expect("GET", "sys/seal-status", body={"version": "1.21.0"})
    script.expect("GET", "sys/seal-status", body={"version": "2.7.2", "commit_date": "x"})
    answer = {"data": {"unsafe_allow_api_audit_creation": api}}
    return script.expect("GET", "sys/config/state/sanitized", 403 if api is None else 200, {} if api is None else answer)


@pytest.mark.parametrize("product", ["vault", "openbao"])
def test_a_device_is_enabled_by_the_api(script: Script, product: str) -> None:
    devices(script, {}, product=product)
    predicted = run("vault_audit", check=True, **WANTED)
    devices(script, {}, product=product).expect("PUT", "sys/audit/main", 204, sent=DEVICE).expect("GET", "sys/audit", body={"data": {"main/": DEVICE}})
    done = run("vault_audit", **WANTED)
    assert done["diff"] == predicted["diff"] and done["audit"] == predicted["audit"] == {"path": "main", **DEVICE}
    devices(script, {"main/": DEVICE}, product=product)
    assert not run("vault_audit", **WANTED)["changed"]


def test_a_device_of_other_settings_is_replaced_only_if_asked(script: Script) -> None:
    devices(script, {"main/": DEVICE})
    with pytest.raises(ModuleFailed, match="which no server can change"):
        run("vault_audit", **{**WANTED, "description": "Other"})
    other = {**DEVICE, "description": "Other"}
    devices(script, {"main/": DEVICE}).expect("DELETE", "sys/audit/main", 204).expect("PUT", "sys/audit/main", 204, sent=other)
    script.expect("GET", "sys/audit", body={"data": {"main/": other}})
    done = run("vault_audit", **{**WANTED, "description": "Other", "recreate": True, "confirm": "main"})
    assert done["diff"]["before"] == {"description": "All"} and done["audit"]["description"] == "Other"


def test_a_device_is_disabled(script: Script) -> None:
    devices(script, {"main/": DEVICE}).expect("DELETE", "sys/audit/main", 204).expect("GET", "sys/audit", body={"data": {}})
    done = run("vault_audit", path="main", type="file", state="absent", confirm="main")
    assert done["changed"] and done["audit"] is None
    devices(script, {})
    assert not run("vault_audit", path="main", type="file", state="absent", confirm="main")["changed"]


@pytest.mark.parametrize("options", [{"path": "/", "type": "file"}, {"type": "file", "state": "absent"}, {"type": "file", "recreate": True, "confirm": "x"}])
def test_a_device_without_path_or_confirmation_is_refused(options: dict[str, t.Any]) -> None:
    with pytest.raises(ModuleFailed, match="has no path|Set confirm"):
        run("vault_audit", **options)


def test_a_configuration_only_server_gets_a_stanza_told(script: Script) -> None:
    devices(script, {}, api=False)
    with pytest.raises(ModuleFailed) as failed:
        run("vault_audit", **{**WANTED, "local": True})
    stanza = 'audit "file" "main" {\n  description = "All"\n  local = true\n  options {\n    file_path = "/l"\n    log_raw = "false"\n  }\n}\n'
    assert failed.value.result["error"]["stanza"] == stanza
    devices(script, {"main/": DEVICE}, api=False)
    with pytest.raises(ModuleFailed, match="from its configuration only"):
        run("vault_audit", **{**WANTED, "options": {"file_path": "/other"}})
    devices(script, {"main/": DEVICE}, api=False)
    assert run("vault_audit", **WANTED)["managed_by"] == "configuration"
    devices(script, {"main/": DEVICE}, api=False)
    with pytest.raises(ModuleFailed, match="Take its stanza out"):
        run("vault_audit", path="main", type="file", state="absent", confirm="main")
    devices(script, {}, api=None)
    assert run("vault_audit", check=True, path="main", type="file")["managed_by"] == "unknown"
    devices(script, {"main/": DEVICE, "b/": DEVICE}, api=False)
    assert [device["path"] for device in run("vault_audit_info", path="main/")["audits"]] == ["main"]


# --- members


def members(*names: str, leader: str = "a", voters: t.Sequence[str] | None = None) -> dict[str, t.Any]:
    servers = [
        {"node_id": name, "address": f"{name}:8201", "leader": name == leader, "voter": voters is None or name in voters} for name in names
    ]
    return {"data": {"config": {"servers": servers}}}


def pilot(**healthy: bool) -> dict[str, t.Any]:
    return {"data": {"servers": {name: {"node_status": "alive", "healthy": good} for name, good in healthy.items()}}}


REMOVE = {"node_id": "b", "state": "absent", "confirm": "b", "wait_sleep": 0.0}
ADD = {"node_id": "b", "node_url": OTHER, "wait_sleep": 0.0}


def test_a_peer_is_removed_and_seen_to_be_out(script: Script) -> None:
    for check in (True, False):
        script.node().expect("GET", MEMBERS, body=members("a", "b", "c", "d")).may(CAPABILITY, "update")
        script.expect("GET", STATE, body=pilot(a=True, c=True, d=True))
        if not check:
            script.expect("POST", CAPABILITY, 204, sent={"server_id": "b"})
            script.expect("GET", MEMBERS, body=members("a", "b", "c", "d")).expect("GET", MEMBERS, body=members("a", "c", "d"))
        done = run("vault_raft_peer", check=check, **REMOVE)
        assert done["changed"] and done["peer"] is None and done["diff"]["before"] == {"member": True, "voter": True}
    script.node().expect("GET", MEMBERS, body=members("a", "c", "d"))
    assert not run("vault_raft_peer", **REMOVE)["changed"]


@pytest.mark.parametrize(
    ("servers", "healthy", "text"),
    [
        (members("b", "c", "d", leader="b"), None, "is the leader"),
        (members("a", "b", "c"), {}, "has no autopilot"),
        (members("a", "b", "c"), {"a": True, "c": False}, "2 voters, of which 1 live"),
        (members("a", "b", "c"), {"a": True, "c": True}, "fewer than minimum_voters"),
    ],
)
def test_a_quorum_is_never_endangered(script: Script, servers: dict[str, t.Any], healthy: dict[str, bool] | None, text: str) -> None:
    script.node().expect("GET", MEMBERS, body=servers).may(CAPABILITY, "update")
    if healthy is not None:
        script.expect("GET", STATE, 404 if not healthy else 200, None if not healthy else pilot(**healthy))
    with pytest.raises(ModuleFailed, match=text):
        run("vault_raft_peer", **REMOVE)


def test_a_peer_without_a_vote_is_removed_without_a_question(script: Script) -> None:
    script.node().expect("GET", MEMBERS, body=members("a", "b", voters=["a"])).may(CAPABILITY, "update")
    assert run("vault_raft_peer", check=True, **REMOVE)["changed"]


def test_an_empty_server_joins(script: Script, tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca.pem").write_text("CA")
    wanted = {**ADD, "leader_ca_path": str(tmp_path / "ca.pem"), "leader_tls_servername": "a"}
    script.node().expect("GET", MEMBERS, body=members("a")).node("not_initialised", url=OTHER)
    predicted = run("vault_raft_peer", check=True, **wanted)
    script.node().expect("GET", MEMBERS, body=members("a")).node("not_initialised", url=OTHER)
    sent = {"leader_api_addr": URL, "non_voter": False, "leader_ca_cert": "CA", "leader_tls_servername": "a"}
    script.expect("POST", "sys/storage/raft/join", body={"joined": True}, url=OTHER, sent=sent, token="")
    script.expect("GET", MEMBERS, body=members("a")).node("not_initialised", url=OTHER)
    script.expect("GET", MEMBERS, body=members("a", "b")).node("standby", url=OTHER)
    script.expect("GET", MEMBERS, body=members("a", "b"))
    done = run("vault_raft_peer", **wanted)
    assert done["diff"] == predicted["diff"] and done["peer"]["address"] == "b:8201" and predicted["peer"]["node_id"] == "b"


@pytest.mark.parametrize("progress", [[1, 0], [1]])
def test_a_shamir_server_gets_its_keys(script: Script, tmp_path: pathlib.Path, progress: list[int]) -> None:
    keys = tmp_path / "init.json"
    keys.write_text('{"keys_base64": ["k1", "k2", "k3"]}' if len(progress) > 1 else '{"keys_base64": ["k1"]}')
    script.node().expect("GET", MEMBERS, body=members("a")).node("not_initialised", url=OTHER)
    script.expect("POST", "sys/storage/raft/join", body={"joined": True}, url=OTHER).expect("GET", "sys/seal-status", body={"type": "shamir"}, url=OTHER)
    for number, now in enumerate(progress):
        script.expect("POST", "sys/unseal", body={"sealed": True, "progress": now}, url=OTHER, sent={"key": f"k{number + 1}"}, token="")
    if len(progress) == 1:
        with pytest.raises(ModuleFailed, match="wants more than the 1 keys"):
            run("vault_raft_peer", **ADD, keys_file=str(keys))
        return
    script.expect("GET", MEMBERS, body=members("a", "b")).node("standby", url=OTHER).expect("GET", MEMBERS, body=members("a", "b"))
    assert run("vault_raft_peer", **ADD, keys_file=str(keys))["changed"]


@pytest.mark.parametrize(("after", "text"), [(members("a", "x"), "joined as x, not as b"), (members("a"), "does not name it"), (members("a", "b"), "names it")])
def test_an_answer_is_not_believed(script: Script, after: dict[str, t.Any], text: str) -> None:
    script.node().expect("GET", MEMBERS, body=members("a")).node("not_initialised", url=OTHER)
    script.expect("POST", "sys/storage/raft/join", body={"joined": True}, url=OTHER)
    script.expect("GET", MEMBERS, body=after).node("sealed", url=OTHER)
    with pytest.raises(ModuleFailed, match=text):
        run("vault_raft_peer", **ADD, wait_timeout=0)


@pytest.mark.parametrize(
    ("member", "state", "cluster", "text"),
    [
        (False, "standby", "c1", "was removed, or is of another cluster"),
        (True, "standby", "c2", "belongs to another cluster"),
        (True, "not_initialised", "", "the machine was replaced"),
    ],
)
def test_servers_that_would_not_join_are_refused(script: Script, member: bool, state: str, cluster: str, text: str) -> None:
    script.node().expect("GET", MEMBERS, body=members(*("ab" if member else "a"))).node(state, url=OTHER, cluster_id=cluster)
    if cluster == "c2":
        script.node()
    with pytest.raises(ModuleFailed, match=text):
        run("vault_raft_peer", **ADD)


def test_a_member_is_left_alone_and_a_silent_server_refused(script: Script) -> None:
    script.node().expect("GET", MEMBERS, body=members("a", "b")).node("standby", url=OTHER).node()
    assert not run("vault_raft_peer", **ADD)["changed"]
    script.node().expect("GET", MEMBERS, body=members("a")).expect("GET", "sys/health", raises=ConnectionError("down"), url=OTHER)
    with pytest.raises(ModuleFailed, match="does not answer"):
        run("vault_raft_peer", **ADD)


def test_a_new_machine_takes_the_place_of_the_old(script: Script) -> None:
    for check in (True, False):
        script.node().expect("GET", MEMBERS, body=members("a", "b", "c")).node("not_initialised", url=OTHER).may(CAPABILITY, "update")
        script.expect("GET", STATE, body=pilot(a=True, c=True))
        if not check:
            script.expect("POST", CAPABILITY, 204).expect("GET", MEMBERS, body=members("a", "c"))
            script.expect("POST", "sys/storage/raft/join", body={"joined": True}, url=OTHER)
            script.expect("GET", MEMBERS, body=members("a", "b", "c")).node("standby", url=OTHER).expect("GET", MEMBERS, body=members("a", "b", "c"))
        done = run("vault_raft_peer", check=check, **ADD, state="replaced", confirm="b")
        assert done["diff"]["before"] == {"member": "the old machine"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({**ADD, "node_id": " "}, "is empty"),
        ({**ADD, "state": "replaced"}, "Set confirm to 'b'"),
        ({**ADD, "leader_ca_path": "/nowhere/ca.pem"}, "Cannot read /nowhere/ca.pem"),
    ],
)
def test_input_that_makes_no_sense_is_refused(options: dict[str, t.Any], text: str) -> None:
    with pytest.raises(ModuleFailed, match=text):
        run("vault_raft_peer", **options)
