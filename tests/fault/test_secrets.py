"""The drill ran at ``-vvv`` with ``--diff``: no secret that went into it may stand in anything that came out."""

from __future__ import annotations

import pathlib

import pytest
from harness import looks
from harness.drill import Drill
from harness.planted import Secrets, forms, search

from lab.state import LabState

pytestmark = pytest.mark.fault


@pytest.fixture(scope="module")
def secrets(drill: Drill) -> Secrets:
    drill.planted.collect()
    return drill.planted.secrets


def test_every_kind_of_secret_is_looked_for(secrets: Secrets) -> None:
    kinds = (
        "proxmox.token_secret", "proxmox.password", "primary.api_key", "secondary.api_key", "s3.secret_key", "kms.token", "keys/signing.pem",
        "keys/canary.key", "keys/id_ed25519", "admin.json.secret_id", "backup.json.secret_id", "canary.json.secret_id",
        "credentials/init.json.root_token", "throwaway.json.root_token", "init.json.recovery_keys", "tls/vault-1.key", "nas-a/db.json",
    )
    assert [kind for kind in kinds if not any(kind in name for name in secrets)] == []


def test_the_search_finds_what_is_there_in_every_form(secrets: Secrets) -> None:
    for name in secrets:
        one = Secrets({name: secrets[name]})
        assert {tuple(search(one, {"here": f"x{form}y".encode()})) for form in forms(secrets[name])} == {(f"{name} in here",)}


def test_no_output_and_no_log_of_the_controller_holds_one(drill: Drill, secrets: Secrets) -> None:
    texts = looks.files(drill.logs)
    assert sum(map(len, texts.values())) > 1_000_000, "this was not the output of -vvv"
    assert search(secrets, texts) == []


def test_no_command_line_held_one(drill: Drill, secrets: Secrets) -> None:
    assert any("ansible-playbook" in line for line in drill.command_lines)
    assert search(secrets, {line: line.encode() for line in drill.command_lines}) == []


def test_no_evidence_report_manifest_or_copy_holds_one(drill: Drill, state: LabState, secrets: Secrets) -> None:
    backups = pathlib.Path(state.connection["truenas"]["primary"]["mount"]) / "tank/platform"
    texts = {**looks.files(state.dir / "evidence", state.dir / "work", backups), **looks.objects(state)}
    assert any(path.endswith("report.html") for path in texts)
    assert any("/manifests/" in path for path in texts)
    assert search(secrets, texts) == []


def test_no_result_of_a_background_job_holds_one(drill: Drill, secrets: Secrets) -> None:
    assert search(secrets, looks.files(pathlib.Path.home() / ".ansible_async")) == []


def test_no_log_of_a_guest_holds_one(drill: Drill, state: LabState, secrets: Secrets) -> None:
    texts = looks.guest_logs(state)
    assert all(b"ansible" in text for text in texts.values()), "modules log what they are called with"
    assert search(secrets, texts) == []
