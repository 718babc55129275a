"""What vault_backup calls a recovery point, and what it tells the manifest."""

from __future__ import annotations

import typing as t

import pytest
from roles.templating import evaluate, role_variables

SNAPSHOT = {
    "taken_at": "2026-11-21T06:37:04.180629Z", "index": 136, "term": 3, "version": "2.7.2", "size_bytes": 77854, "sha256": "4aeb6c0e" + "0" * 56,
    "seal": {"type": "transit", "key_id": "v1"}, "keys_by_prefix": {"core/": 10}, "leader_address": "https://10.0.0.1:8200",
}
COPY = {"destination": "offsite", "key": "k", "sha256": SNAPSHOT["sha256"], "read_back_sha256": SNAPSHOT["sha256"], "size_bytes": 77854}


@pytest.fixture
def variables() -> dict[str, t.Any]:
    return {
        **role_variables("vault_backup"),
        "platform_environment": "production",
        "__vault_backup_taken": {"snapshot": SNAPSHOT},
        "__vault_backup_copies": {"results": [{"copy": COPY}]},
    }


def test_key_tells_environment_cluster_time_index_and_digest(variables: dict[str, t.Any]) -> None:
    assert evaluate("__vault_backup_key", variables) == "production/vault/vault/20261121T063704Z-136-4aeb6c0e.snap"


def test_id_of_the_run_takes_the_place_of_the_time(variables: dict[str, t.Any]) -> None:
    assert evaluate("__vault_backup_name", {**variables, "vault_backup_id": "run-7"}) == "run-7-136-4aeb6c0e"


def test_recovery_point_has_what_a_manifest_wants(variables: dict[str, t.Any]) -> None:
    point = evaluate("__vault_backup_point", variables)
    assert {key: point[key] for key in ("asset", "kind", "id", "taken_at", "size_bytes", "sha256", "newest_canary", "copies")} == {
        "asset": "vault", "kind": "vault_raft_snapshot", "id": "20261121T063704Z-136-4aeb6c0e", "taken_at": SNAPSHOT["taken_at"],
        "size_bytes": 77854, "sha256": SNAPSHOT["sha256"], "newest_canary": None, "copies": [COPY],
    }
    assert (point["details"]["index"], point["details"]["seal"]["key_id"]) == (136, "v1")


def test_canary_is_passed_on(variables: dict[str, t.Any]) -> None:
    canary = {"store": "vault", "sequence": 9, "time": "2026-11-21T06:37:03Z"}
    assert evaluate("__vault_backup_point", {**variables, "vault_backup_newest_canary": canary})["newest_canary"] == canary
