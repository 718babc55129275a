"""What vault_drill refuses, and that its playbook reads the manifest off-site only."""

from __future__ import annotations

import typing as t

import pytest
from roles.templating import evaluate, role_variables


@pytest.fixture
def variables() -> dict[str, t.Any]:
    return {
        **role_variables("vault_drill"),
        "platform_environment": "site",
        "platform_vault_urls": ["https://10.0.0.1:8200", "https://10.0.0.2:8200"],
        "platform_credentials_dir": "/custody",
        "platform_work_dir": "/work",
        "ansible_play_hosts_all": ["s1", "s2", "s3"],
        "hostvars": {f"s{number}": {"ansible_host": f"10.9.0.{number}"} for number in (1, 2, 3)},
        "vault_drill_confirm": "site",
    }


def broken(variables: dict[str, t.Any]) -> list[str]:
    return [rule["message"] for rule in evaluate("__vault_drill_rules", variables) if not rule["holds"]]


def test_scratch_hosts_are_those_of_the_play(variables: dict[str, t.Any]) -> None:
    nodes = [(node["name"], node["address"]) for node in evaluate("vault_drill_nodes", variables)]
    assert nodes == [("s1", "10.9.0.1"), ("s2", "10.9.0.2"), ("s3", "10.9.0.3")]


def test_the_cluster_itself_is_forbidden_unless_told_otherwise(variables: dict[str, t.Any]) -> None:
    assert evaluate("vault_drill_forbidden", variables) == ["10.0.0.1:8200", "10.0.0.2:8200"]


def test_good_input_breaks_no_rule(variables: dict[str, t.Any]) -> None:
    assert broken(variables) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vault_drill_confirm": ""}, "set it to 'site'"),
        ({"ansible_play_hosts_all": ["s1", "s2"]}, "an odd number"),
        (
            {"hostvars": {"s1": {"ansible_host": "10.0.0.1"}, "s2": {"ansible_host": "10.9.0.2"}, "s3": {"ansible_host": "10.9.0.3"}}},
            "10.0.0.1 is of the cluster",
        ),
        ({"vault_drill_forbidden": ["database"]}, "wants address:port and has database"),
    ],
)
def test_bad_input_breaks_exactly_its_rule(variables: dict[str, t.Any], change: dict[str, t.Any], said: str) -> None:
    messages = broken({**variables, **change})
    assert len(messages) == 1 and said in messages[0], messages
