"""What vault_recover decides: how far a cluster is, and whose data may be wiped."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from roles.templating import evaluate, role_variables

NAMES = ["v1", "v2", "v3"]
POINT = {
    "asset": "vault",
    "kind": "vault_raft_snapshot",
    "id": "20261121T060000Z-42-0123abcd",
    "sha256": "a" * 64,
    "size_bytes": 1,
    "copies": [{"destination": "offsite", "key": "k"}, {"destination": "nas", "key": "k"}],
}


@pytest.fixture
def variables(tmp_path: pathlib.Path) -> dict[str, t.Any]:
    (tmp_path / "admin.json").write_text("{}")
    found = {
        **role_variables("vault_cluster"),
        **role_variables("vault_recover"),
        "inventory_hostname": "v1",
        "vault_cluster_nodes": [{"name": name, "address": f"10.0.0.{number}"} for number, name in enumerate(NAMES, 1)],
        "vault_cluster_credentials_dir": str(tmp_path),
        "platform_environment": "lab",
        "platform_work_dir": str(tmp_path),
        "vault_recover_recovery_point": POINT,
        "vault_recover_destination": {"name": "offsite"},
        "vault_recover_confirm": "lab",
    }
    return {**found, **hosts()}


def hosts(*, data: t.Sequence[str] = (), marked: t.Sequence[str] = (), mark: str = "20261121T060000Z-42-0123abcd") -> dict[str, t.Any]:
    """What the look registered on each host."""
    looks = {name: json.dumps({"name": name, "has_data": name in data, "recovering": mark if name in marked else "", "current": True}) for name in NAMES}
    return {"hostvars": {name: {"__vault_cluster_look": {"stdout": text}} for name, text in looks.items()}, "ansible_play_hosts": NAMES}


def login(*states: str, voters: t.Sequence[str] = tuple(NAMES)) -> dict[str, t.Any]:
    """What the login with the old credentials gave; no state at all: it was refused."""
    if not states:
        return {"msg": "Cannot log in: 403 permission denied."}
    nodes = [{"url": f"https://10.0.0.{number}:8200", "state": state} for number, state in enumerate(states, 1)]
    return {"raft": {"nodes": nodes, "servers": [{"node_id": name, "voter": True} for name in voters]}}


@pytest.mark.parametrize(
    ("answer", "found", "stage"),
    [
        (login("standby", "active", "standby"), hosts(data=NAMES), "whole"),
        (login("active", "standby", "unreachable"), hosts(data=NAMES), "restored"),
        (login("active", "standby", "standby", voters=["v1", "v2"]), hosts(data=NAMES), "restored"),
        (login("active", "standby", "standby"), hosts(data=NAMES, marked=["v1"]), "restored"),
        (login("active", "unreachable", "unreachable", voters=["v1"]), hosts(data=["v1"], marked=["v1"]), "restored"),
        # Cut off while another recovery point was brought in: its data are not what is wanted now.
        (login("active", "unreachable", "unreachable", voters=["v1"]), hosts(data=["v1"], marked=["v1"], mark="another"), "lost"),
        (login(), hosts(), "lost"),
        (login(), hosts(data=["v1"], marked=["v1"]), "lost"),
        ({"raft": {"nodes": [], "servers": None}}, hosts(data=NAMES), "lost"),
    ],
)
def test_stage_follows_from_what_the_servers_say(variables: dict[str, t.Any], answer: dict[str, t.Any], found: dict[str, t.Any], stage: str) -> None:
    assert evaluate("__vault_recover_stage", {**variables, **found, "__vault_recover_login": answer}) == stage


@pytest.mark.parametrize(
    ("states", "found", "foreign"),
    [
        ([], hosts(), []),
        ([], hosts(data=NAMES), NAMES),
        ([], hosts(data=["v1"], marked=["v1"]), []),
        ([], hosts(data=["v1", "v2"], marked=["v1"]), ["v2"]),
        # A server that was started without ever being initialised has files but no data.
        (["not_initialised"], hosts(data=["v1"]), []),
        (["sealed"], hosts(data=["v1"]), ["v1"]),
        (["unreachable"], hosts(data=["v1"]), ["v1"]),
    ],
)
def test_only_marked_or_uninitialised_data_may_be_wiped(variables: dict[str, t.Any], states: list[str], found: dict[str, t.Any], foreign: list[str]) -> None:
    nodes = [{"url": f"https://10.0.0.{number}:8200", "state": state, "initialized": state == "sealed"} for number, state in enumerate(states, 1)]
    assert evaluate("__vault_recover_foreign", {**variables, **found, "__vault_cluster_said": {"raft": {"nodes": nodes}}}) == foreign


def test_good_input_breaks_no_rule(variables: dict[str, t.Any]) -> None:
    assert [rule["message"] for rule in evaluate("__vault_recover_rules", variables) if not rule["holds"]] == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vault_recover_confirm": ""}, "set it to 'lab'"),
        ({"vault_recover_recovery_point": {**POINT, "kind": "zfs_snapshot"}}, "of the kind 'zfs_snapshot'"),
        ({"vault_recover_recovery_point": {**POINT, "id": "../../etc"}}, "has no id"),
        ({"vault_recover_recovery_point": {**POINT, "sha256": None}}, "has no sha256"),
        ({"vault_recover_destination": {"name": "elsewhere"}}, "no copy at elsewhere, but at offsite, nas"),
        ({"vault_cluster_credentials_dir": "/nowhere"}, "/nowhere/admin.json does not exist"),
        ({"ansible_play_hosts": NAMES[:2]}, "without --limit"),
    ],
)
def test_bad_input_breaks_exactly_its_rule(variables: dict[str, t.Any], change: dict[str, t.Any], said: str) -> None:
    messages = [rule["message"] for rule in evaluate("__vault_recover_rules", {**variables, **change}) if not rule["holds"]]
    assert len(messages) == 1 and said in messages[0], messages
