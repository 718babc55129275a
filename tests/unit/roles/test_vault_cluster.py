"""What vault_cluster decides: what it refuses, who is initialised, in which order nodes are restarted."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest
from ansible.template import trust_as_template
from roles.templating import ROLES, evaluate, role_variables

FILES = ROLES / "vault_cluster/files"
NODES = [{"name": f"v{number}", "address": f"10.0.0.{number}"} for number in (1, 2, 3)]


@pytest.fixture
def variables(tmp_path: pathlib.Path) -> dict[str, t.Any]:
    binary = tmp_path / "bao"
    binary.touch()
    return {
        **role_variables("vault_cluster"),
        "inventory_hostname": "v1",
        "vault_cluster_nodes": NODES,
        "vault_cluster_binary": str(binary),
        "vault_cluster_credentials_dir": str(tmp_path / "custody"),
        "vault_cluster_seal": {"address": "https://kms:8200", "token": "t"},
    }


def broken(variables: dict[str, t.Any]) -> list[str]:
    return [rule["message"] for rule in evaluate("__vault_cluster_rules", variables) if not rule["holds"]]


def test_good_input_breaks_no_rule(variables: dict[str, t.Any]) -> None:
    assert broken(variables) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vault_cluster_nodes": NODES[:2]}, "even number"),
        ({"vault_cluster_nodes": [NODES[0], {"name": "v1", "address": "10.0.0.9"}, NODES[2]]}, "names a node twice"),
        ({"vault_cluster_nodes": [NODES[0], {"name": "x", "address": "10.0.0.1"}, NODES[2]]}, "an address twice"),
        ({"vault_cluster_nodes": [{**NODES[0], "url": "http://10.0.0.1:8200"}, *NODES[1:]]}, "begin with https://"),
        ({"vault_cluster_node_name": "other"}, "other is not in vault_cluster_nodes"),
        ({"vault_cluster_archive_url": "https://example.org/bao.tar.gz", "vault_cluster_archive_checksum": "sha256:" + "a" * 64}, "Set one of"),
        ({"vault_cluster_binary": ""}, "Set one of"),
        ({"vault_cluster_package": "openbao"}, "Set one of"),
        ({"vault_cluster_audit_devices": [{"name": "file", "type": "file"}]}, "names one twice"),
        ({"vault_cluster_binary": "/nowhere/bao"}, "/nowhere/bao, which is no file"),
        ({"vault_cluster_binary": "", "vault_cluster_archive_url": "https://example.org/bao.tar.gz"}, "needs vault_cluster_archive_checksum"),
        ({"vault_cluster_seal": {"type": "awskms", "address": "https://kms", "token": "t"}}, "knows transit only"),
        ({"vault_cluster_seal": {"address": "https://kms"}}, "needs address and token"),
        ({"vault_cluster_seal": {"address": "http://kms", "token": "t"}}, "does not begin with https://"),
        ({"vault_cluster_seal": {"address": "https://kms", "token": "t", "ca_file": "/nowhere.pem"}}, "/nowhere.pem, which is no file"),
        ({"vault_cluster_recovery_threshold": 6}, "vault_cluster_recovery_threshold"),
        ({"vault_cluster_approles": {"admin": {}}}, "AppRoles of the role itself"),
    ],
)
def test_bad_input_breaks_exactly_its_rule(variables: dict[str, t.Any], change: dict[str, t.Any], said: str) -> None:
    messages = broken({**variables, **change})
    assert len(messages) == 1 and said in messages[0], messages


def test_url_is_made_from_the_address_unless_given(variables: dict[str, t.Any]) -> None:
    variables["vault_cluster_nodes"] = [*NODES[:2], {**NODES[2], "url": "https://vault-3.example.org"}]
    assert evaluate("__vault_cluster_urls", variables) == ["https://10.0.0.1:8200", "https://10.0.0.2:8200", "https://vault-3.example.org"]


def said(*states: str) -> dict[str, t.Any]:
    known = {"active": True, "standby": True, "sealed": True, "not_initialised": False, "unreachable": None}
    nodes = [{"url": f"https://10.0.0.{number}:8200", "state": state, "initialized": known[state]} for number, state in enumerate(states, 1)]
    return {"raft": {"nodes": nodes}}


@pytest.mark.parametrize(
    ("states", "initialized"),
    [
        (("unreachable", "unreachable", "unreachable"), False),
        (("not_initialised", "unreachable", "unreachable"), False),
        (("not_initialised", "unreachable", "sealed"), True),
        (("active", "standby", "standby"), True),
    ],
)
def test_one_initialised_node_forbids_another_initialisation(variables: dict[str, t.Any], states: tuple[str, ...], initialized: bool) -> None:
    variables["__vault_cluster_said"] = said(*states)
    assert evaluate("__vault_cluster_initialized", variables) is initialized


@pytest.mark.parametrize(
    ("status", "admin", "states", "unfinished"),
    [
        ("pending", False, ("active", "unreachable", "unreachable"), True),
        ("pending", False, ("not_initialised", "unreachable", "unreachable"), False),
        ("pending", False, ("active", "standby", "unreachable"), False),
        ("pending", True, ("active", "unreachable", "unreachable"), False),
        ("complete", False, ("active", "unreachable", "unreachable"), False),
        (None, False, ("active", "unreachable", "unreachable"), False),
    ],
)
def test_only_an_initialisation_without_keys_is_taken_back(
    variables: dict[str, t.Any], tmp_path: pathlib.Path, status: str | None, admin: bool, states: tuple[str, ...], unfinished: bool
) -> None:
    custody = tmp_path / "custody"
    custody.mkdir()
    if status:
        (custody / "init.json").write_text(json.dumps({"status": status}))
    if admin:
        (custody / "admin.json").write_text("{}")
    variables["__vault_cluster_said"] = said(*states)
    assert evaluate("__vault_cluster_unfinished", variables) is unfinished


@pytest.mark.parametrize(
    ("stale", "leader", "order"),
    [
        (["v1", "v2", "v3"], 2, ["v1", "v3", "v2"]),
        (["v1", "v2"], 1, ["v2", "v1"]),
        (["v3"], 1, ["v3"]),
        ([], 1, []),
    ],
)
def test_leader_is_restarted_last(variables: dict[str, t.Any], stale: list[str], leader: int, order: list[str]) -> None:
    states = ["active" if number == leader else "standby" for number in (1, 2, 3)]
    looks = {node["name"]: {"__vault_cluster_look": {"stdout": json.dumps({"name": node["name"], "current": node["name"] not in stale})}} for node in NODES}
    variables |= {"ansible_check_mode": False, "__vault_cluster_said": said(*states), "hostvars": looks, "ansible_play_hosts": list(looks)}
    assert [node["name"] for node in evaluate("__vault_cluster_restart_order", variables)] == order


def test_check_mode_predicts_the_restart_of_what_it_would_rewrite(variables: dict[str, t.Any]) -> None:
    looks = {
        node["name"]: {
            "__vault_cluster_look": {"stdout": json.dumps({"name": node["name"], "current": True})},
            "__vault_cluster_written": {"changed": node["name"] != "v2"},
        }
        for node in NODES
    }
    variables |= {"ansible_check_mode": True, "hostvars": looks, "ansible_play_hosts": list(looks)}
    assert evaluate("__vault_cluster_stale", variables) == ["v1", "v3"]


def look(tmp_path: pathlib.Path, *, active: str = "inactive") -> dict[str, t.Any]:
    stub = tmp_path / "systemctl"
    stub.write_text(f"#!/bin/sh\necho {active}\n")
    stub.chmod(0o755)
    argv = ["sh", "-c", (FILES / "look.sh").read_text(), "look", "v1", str(tmp_path / "bao"), "nounit.service", str(tmp_path / "data"), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    return t.cast(dict[str, t.Any], json.loads(done.stdout))


def test_look_at_an_empty_host(tmp_path: pathlib.Path) -> None:
    assert look(tmp_path) == {
        "name": "v1", "sha256": "", "active": "inactive", "enabled": "inactive", "has_data": False, "recovering": "", "current": False,
    }


def test_look_at_a_host_with_data_and_mark(tmp_path: pathlib.Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/vault.db").touch()
    (tmp_path / "data/.recovering").write_text('2026-11-21"$(touch /tmp/x)\n')
    (tmp_path / "bao").write_text("server")
    seen = look(tmp_path, active="active")
    assert (seen["active"], seen["has_data"], seen["recovering"]) == ("active", True, "2026-11-21touchtmpx")
    assert seen["sha256"] == "b3eacd33433b31b5252351032c9b3e7a2e7aa7738d5decdf0dd6c62680853c06"


def unpack(tmp_path: pathlib.Path, digest: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "bao").write_text("old")
    (tmp_path / "new").write_text("server")
    with (tmp_path / "bao.gz").open("wb") as packed:
        subprocess.run(["gzip", "-c", str(tmp_path / "new")], stdout=packed, check=True)
    return subprocess.run(["sh", "-c", (FILES / "unpack.sh").read_text(), "unpack", str(tmp_path / "bao"), digest], capture_output=True, text=True, check=False)


def test_what_was_sent_takes_the_place_of_the_old_server(tmp_path: pathlib.Path) -> None:
    assert unpack(tmp_path, "b3eacd33433b31b5252351032c9b3e7a2e7aa7738d5decdf0dd6c62680853c06").returncode == 0
    assert (tmp_path / "bao").read_text() == "server"
    assert not (tmp_path / "bao.gz").exists()


def test_what_was_not_sent_does_not(tmp_path: pathlib.Path) -> None:
    done = unpack(tmp_path, "0" * 64)
    assert done.returncode == 1 and "not what was sent" in done.stderr
    assert (tmp_path / "bao").read_text() == "old"


def test_a_package_has_its_server_in_its_own_place(variables: dict[str, t.Any]) -> None:
    changed = {**variables, "vault_cluster_binary": "", "vault_cluster_package": "openbao=2.7.2"}
    assert broken(changed) == []
    assert evaluate("__vault_cluster_binary", changed) == "/usr/bin/bao"
    assert evaluate("__vault_cluster_binary", variables) == "/usr/local/bin/bao"


@pytest.mark.parametrize(
    ("nodes", "said", "expected"),
    [
        (NODES, {}, {"cleanup_dead_servers": True, "dead_server_last_contact_threshold": "24h", "min_quorum": 3}),
        (NODES, {"cleanup_dead_servers": False}, {"cleanup_dead_servers": False, "dead_server_last_contact_threshold": "24h", "min_quorum": 3}),
        (NODES[:1], {}, {}),
    ],
)
def test_autopilot_never_cleans_below_the_number_of_nodes(
    variables: dict[str, t.Any], nodes: list[dict[str, str]], said: dict[str, t.Any], expected: dict[str, t.Any]
) -> None:
    assert evaluate("__vault_cluster_all_autopilot", {**variables, "vault_cluster_nodes": nodes, "vault_cluster_autopilot": said}) == expected


def test_audit_devices_stand_in_the_configuration(variables: dict[str, t.Any]) -> None:
    device = {"name": "remote", "type": "socket", "options": {"address": "10.0.0.9:601", "socket_type": "tcp"}}
    changed = {**variables, "vault_cluster_audit_devices": [device], "config": "{{ lookup('ansible.builtin.template', 'server.hcl.j2') }}"}
    changed["config"] = trust_as_template(changed["config"])
    text = evaluate("config", changed, basedir=ROLES / "vault_cluster/templates")
    assert 'audit "file" "file" {' in text and 'mode = "0600"' in text
    assert 'audit "socket" "remote" {' in text and 'address = "10.0.0.9:601"' in text
    assert 'usage_gauge_period        = "10m"' in text
