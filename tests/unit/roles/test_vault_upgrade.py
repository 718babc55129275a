"""What vault_upgrade decides: the order, what is left of a run that was cut off, what is refused."""

from __future__ import annotations

import json
import pathlib
import subprocess
import typing as t

import pytest
from roles.templating import ROLES, evaluate, role_variables

NAMES = ["v1", "v2", "v3"]


def looks(marks: t.Mapping[str, str]) -> dict[str, t.Any]:
    """What the look registered on each host."""
    return {
        name: {
            "__vault_cluster_look": {"stdout": json.dumps({"name": name, "current": True})},
            "__vault_upgrade_look": {"stdout": json.dumps({"name": name, "mark": marks.get(name, ""), "disk": "2.6.2"})},
        }
        for name in NAMES
    }


def said(*states: str, healthy: bool = True, tolerance: int = 1) -> dict[str, t.Any]:
    """What the nodes answer; each state is ``state/version``."""
    nodes = [{"url": f"https://10.0.0.{number}:8200", "state": state.split("/")[0], "version": state.partition("/")[2] or None}
             for number, state in enumerate(states, 1)]
    return {"raft": {"nodes": nodes, "servers": [], "autopilot": {"healthy": healthy, "failure_tolerance": tolerance}}}


WHOLE = said("standby/2.6.2", "active/2.6.2", "standby/2.6.2")


@pytest.fixture
def variables(tmp_path: pathlib.Path) -> dict[str, t.Any]:
    (tmp_path / "admin.json").write_text("{}")
    (tmp_path / "bao").touch()
    return {
        **role_variables("vault_cluster"),
        **role_variables("vault_upgrade"),
        "inventory_hostname": "v1",
        "ansible_check_mode": False,
        "vault_cluster_nodes": [{"name": name, "address": f"10.0.0.{number}"} for number, name in enumerate(NAMES, 1)],
        "vault_cluster_credentials_dir": str(tmp_path),
        "vault_cluster_version": "2.7.2",
        "vault_cluster_binary": str(tmp_path / "bao"),
        "platform_environment": "lab",
        "platform_work_dir": str(tmp_path),
        "__vault_upgrade_raft": WHOLE,
        "hostvars": looks({}),
        "ansible_play_hosts": NAMES,
    }


def order(variables: dict[str, t.Any], answer: dict[str, t.Any], marks: t.Mapping[str, str]) -> list[str]:
    changed = {**variables, "__vault_upgrade_raft": answer, "hostvars": looks(marks)}
    return [node["name"] for node in evaluate("__vault_upgrade_order", changed)]


@pytest.mark.parametrize(
    ("answer", "marks", "expected"),
    [
        (WHOLE, {}, ["v1", "v3", "v2"]),
        (said("active/2.6.2", "standby/2.6.2", "standby/2.6.2"), {}, ["v2", "v3", "v1"]),
        # Cut off: v3 is down because of us, v1 was done.
        (said("standby/2.7.2", "active/2.6.2", "unreachable"), {"v3": "2.7.2"}, ["v3", "v2"]),
        # Started, but nobody saw that it has what the others have.
        (said("standby/2.7.2", "active/2.6.2", "standby/2.7.2"), {"v3": "2.7.2"}, ["v3", "v2"]),
        # The old leader ended last and was cut off there.
        (said("active/2.7.2", "unreachable", "standby/2.7.2"), {"v2": "2.7.2"}, ["v2"]),
        (said("standby/2.7.2", "active/2.7.2", "standby/2.7.2"), {}, []),
    ],
)
def test_leader_is_last_and_what_is_down_because_of_us_first(
    variables: dict[str, t.Any], answer: dict[str, t.Any], marks: dict[str, str], expected: list[str]
) -> None:
    assert order(variables, answer, marks) == expected


def test_prediction_names_order_and_leader(variables: dict[str, t.Any]) -> None:
    text = evaluate("__vault_upgrade_prediction", variables)
    assert "From 2.6.2 to 2.7.2: a snapshot, then v1, then v3, then v2 (v2 leads now and is stopped last)" in text
    done = {**variables, "__vault_upgrade_raft": said("standby/2.7.2", "active/2.7.2", "standby/2.7.2")}
    assert evaluate("__vault_upgrade_prediction", done).strip() == "Nothing: every node runs 2.7.2."


def broken(name: str, variables: dict[str, t.Any]) -> list[str]:
    return [rule["message"] for rule in evaluate(name, variables) if not rule["holds"]]


def test_good_input_breaks_no_rule(variables: dict[str, t.Any]) -> None:
    assert broken("__vault_upgrade_rules", variables) == broken("__vault_upgrade_state_rules", variables) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"vault_cluster_version": ""}, "give a whole version"),
        ({"vault_cluster_version": "2.7"}, "give a whole version"),
        ({"vault_cluster_binary": ""}, "Set one of"),
        ({"vault_cluster_binary": "/nowhere/bao"}, "/nowhere/bao, which is no file"),
        ({"vault_cluster_binary": "", "vault_cluster_archive_url": "https://example.org/bao.tar.gz"}, "needs vault_upgrade_archive_checksum"),
        ({"ansible_play_hosts": NAMES[:2]}, "without --limit"),
        ({"vault_cluster_credentials_dir": "/nowhere"}, "/nowhere/admin.json does not exist"),
    ],
)
def test_bad_input_breaks_exactly_its_rule(variables: dict[str, t.Any], change: dict[str, t.Any], text: str) -> None:
    messages = broken("__vault_upgrade_rules", {**variables, **change})
    assert len(messages) == 1 and text in messages[0], messages


@pytest.mark.parametrize(
    ("answer", "marks", "version", "text"),
    [
        (said("standby/2.6.2", "standby/2.6.2", "standby/2.6.2"), {}, "2.7.2", "No node leads"),
        (said("standby/2.8.0", "active/2.8.0", "standby/2.8.0"), {}, "2.7.2", "which is newer than 2.7.2"),
        (said("standby/2.6.2", "active/2.6.2", "standby/2.7.2"), {}, "2.7.1", "which is newer than 2.7.1"),
        (WHOLE, {}, "4.0.0", "a major version would be skipped"),
        (said("standby/2.6.2", "active/2.6.2", "unreachable"), {}, "2.7.2", "v3 does not serve"),
        (said("standby/2.6.2", "active/2.6.2", "sealed/2.6.2"), {"v1": "2.7.2"}, "2.7.2", "v3 does not serve"),
        (said("standby/2.6.2", "active/2.6.2", "standby/2.6.2"), {"v1": "2.7.1"}, "2.7.2", "An upgrade to 2.7.1 was cut off"),
        (said("standby/2.6.2", "active/2.6.2", "standby/2.6.2", healthy=False), {}, "2.7.2", "Mend the cluster first"),
        (said("standby/2.6.2", "active/2.6.2", "standby/2.6.2", tolerance=0), {}, "2.7.2", "Mend the cluster first"),
    ],
)
def test_cluster_that_cannot_be_upgraded_breaks_exactly_its_rule(
    variables: dict[str, t.Any], answer: dict[str, t.Any], marks: dict[str, str], version: str, text: str
) -> None:
    changed = {**variables, "__vault_upgrade_raft": answer, "hostvars": looks(marks), "vault_cluster_version": version}
    messages = broken("__vault_upgrade_state_rules", changed)
    assert len(messages) == 1 and text in messages[0], messages


def test_next_major_is_no_skip(variables: dict[str, t.Any]) -> None:
    assert broken("__vault_upgrade_state_rules", {**variables, "vault_cluster_version": "3.0.0"}) == []


def test_look_tells_mark_and_version(tmp_path: pathlib.Path) -> None:
    binary = tmp_path / "bao"
    binary.write_text("#!/bin/sh\necho 'OpenBao v2.7.2 (9e0a0d3c3504a0a0), committed 2026-10-26'\n")
    binary.chmod(0o755)
    (tmp_path / "upgrading").write_text('2.7.2"$(touch /tmp/x)\n')
    argv = ["sh", "-c", (ROLES / "vault_upgrade/files/look.sh").read_text(), "look", "v1", str(binary), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"name": "v1", "mark": "2.7.2touchtmpx", "disk": "2.7.2"}
