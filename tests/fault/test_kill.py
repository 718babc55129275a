"""A drill whose play is killed again and again, and started again by the same command: it completes, nothing is doubled, nothing is lost."""

from __future__ import annotations

import collections
import json
import pathlib
import subprocess
import sys

import pytest
from harness import looks
from harness.drill import Drill
from harness.play import ROOT

from lab.state import LabState

pytestmark = pytest.mark.fault

GUESTS = ["vault-1", "vault-2", "vault-3"]


def _report(drill: Drill) -> dict[str, object]:
    found: dict[str, object] = json.loads((drill.run_dirs[-1] / "report.json").read_text())
    return found


def test_every_kill_hit_a_running_play_and_the_last_attempt_ends_well(drill: Drill) -> None:
    for attempt in drill.attempts[:-1]:
        assert attempt.killed is not None, f"no kill in {attempt.kill}: the play ended with {attempt.status}, see {attempt.log}"
        assert any("ansible-playbook" in line for line in attempt.killed.processes)
    assert drill.attempts[-1].status == 0, f"see {drill.attempts[-1].log}"


def test_verdict_is_verified_and_every_kill_stands_in_the_evidence(drill: Drill) -> None:
    report = _report(drill)
    assert (report["verdict"], report["reasons"]) == ("verified", [])
    assert isinstance(report["run"], dict)
    assert (report["run"]["finished"], report["run"]["resumed"]) == (True, len(drill.attempts) - 1)


def test_it_is_one_run_with_one_chain(drill: Drill, state: LabState) -> None:
    assert len(drill.run_dirs) == 1
    run = drill.run_dirs[0]
    assert {record["run"] for record in drill.records()} == {run.name}
    argv = [sys.executable, str(ROOT / "plugins/module_utils/_evidence/verify.py"), str(run), "--public-key", str(state.dir / "keys/signing.pub.pem")]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_guests_are_there_once(drill: Drill, state: LabState) -> None:
    assert looks.guests(state) == GUESTS
    assert looks.containers(state) == len(GUESTS)


def test_storage_is_there_once(drill: Drill, state: LabState) -> None:
    below = ("", "/platform", "/platform/backups", "/platform/files")
    assert sorted(looks.zfs(state, "nas-a", "filesystem")) == [f"tank{name}" for name in below]
    assert sorted(looks.zfs(state, "nas-b", "filesystem")) == [f"backup{name}" for name in below]
    assert [row["dataset"] for row in looks.table(state, "nas-a", "snapshottask")] == ["tank/platform"]
    assert [row["name"] for row in looks.table(state, "nas-a", "replication")] == ["platform to nas-b"]
    assert sorted(row["type"] for row in looks.table(state, "nas-a", "keychain")) == ["SSH_CREDENTIALS", "SSH_KEY_PAIR"]


@pytest.mark.parametrize("nas", ["nas-a", "nas-b"])
def test_backup_took_one_snapshot_of_each_dataset(drill: Drill, state: LabState, nas: str) -> None:
    taken = collections.Counter(name.partition("@")[0] for name in looks.zfs(state, nas, "snapshot") if "@backup-" in name)
    pool = "tank" if nas == "nas-a" else "backup"
    assert taken == {f"{pool}/platform": 1, f"{pool}/platform/backups": 1, f"{pool}/platform/files": 1}


def test_vault_is_there_once(drill: Drill, state: LabState) -> None:
    client = looks.vault(state)
    assert sorted(client.sys.list_mounted_secrets_engines()["data"]) == ["cubbyhole/", "identity/", "kv/", "sys/"]
    assert sorted(client.sys.list_auth_methods()["data"]) == ["approle/", "token/"]
    servers = client.adapter.get("/v1/sys/storage/raft/configuration")["data"]["config"]["servers"]
    assert sorted(server["node_id"] for server in servers) == GUESTS
    roles = client.auth.approle.list_roles()["data"]["keys"]
    assert sorted(roles) == ["admin", "backup", "canary"]
    accessors = {role: len(client.auth.approle.list_secret_id_accessors(role)["data"]["keys"]) for role in roles}
    # A kill between the server's answer and the file leaves one that nobody has ever known.
    lost = sum(attempt.kill is not None and attempt.kill.step == "vault" for attempt in drill.attempts)
    assert min(accessors.values()) == 1 and sum(accessors.values()) <= len(roles) + lost, accessors


def test_there_is_one_manifest_with_one_recovery_point_of_each_asset(drill: Drill, state: LabState) -> None:
    assert list(looks.objects(state, "lab/manifests/")) == ["lab/manifests/00000001.dsse.json"]
    points = _report(drill)["recovery_points"]
    assert isinstance(points, list)
    assert sorted(point["asset"] for point in points) == ["files", "vault"]
    assert {key.split("/")[3] for key in looks.objects(state, "lab/evidence/dr_drill/")} == {drill.run_dirs[0].name}


def test_snapshots_at_the_destination_are_those_of_the_manifest(drill: Drill, state: LabState) -> None:
    """A kill between the copy and the manifest leaves a copy that no manifest names; at most one for each kill of that step."""
    points = _report(drill)["recovery_points"]
    assert isinstance(points, list)
    named = {copy["key"] for point in points for copy in point["copies"] if copy["destination"] == "offsite"}
    found = set(looks.objects(state, "lab/vault/"))
    assert named <= found
    assert len(found - named) <= sum(attempt.kill is not None and attempt.kill.step == "backup" for attempt in drill.attempts)


def test_nothing_that_the_backup_held_is_lost(drill: Drill, state: LabState) -> None:
    facts: dict[str, dict[str, int]] = {}
    for record in drill.records():
        facts.update({key: value for key, value in record["facts"].items() if key == "canary_minimum"})
    for store, held in facts["canary_minimum"].items():
        asked = _acknowledged(drill.run_dirs[0] / f"canary-{store}.jsonl")
        there = _vault_canaries(drill, state) if store == "vault" else _file_canaries(drill, state)
        assert there == set(range(1, max(there) + 1)), f"{store}: not a prefix"
        assert held <= max(there) <= max(asked)
        assert asked == set(range(1, max(asked) + 1)), f"{store}: the writer that was started again left a gap"


def _acknowledged(path: pathlib.Path) -> set[int]:
    return {item["sequence"] for item in map(json.loads, path.read_text().splitlines()) if item["kind"] == "ack"}


def _file_canaries(drill: Drill, state: LabState) -> set[int]:
    mount = pathlib.Path(state.connection["truenas"]["primary"]["mount"])
    path = mount / "tank/platform/files/canary" / f"{drill.run_dirs[0].name}.jsonl"
    return {json.loads(line)["sequence"] for line in path.read_text().splitlines()}


def _vault_canaries(drill: Drill, state: LabState) -> set[int]:
    answer = looks.vault(state, "canary").adapter.list(f"/v1/kv/metadata/canary/{drill.run_dirs[0].name}")
    return {int(key) for key in answer["data"]["keys"]}
