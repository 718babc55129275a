"""``site --check --diff`` on a platform that does not exist yet."""

from __future__ import annotations

import json

import pytest
from held import untouched
from runs import play

from lab.state import LabState

pytestmark = pytest.mark.lab


def test_check_of_an_empty_platform_names_what_is_missing_and_what_would_be_made(empty_lab: LabState) -> None:
    with untouched(empty_lab):
        run = play("site", on=empty_lab.name, check=True)
    assert run.status == 0, run.explain()
    assert all(host["failures"] == host["unreachable"] == 0 for host in run.stats.values())

    said = run.said()
    for host in ("vault-1", "vault-2", "vault-3"):
        for what in ("Harden the guests", "Build the Vault cluster"):
            assert any(line.startswith(f"{host} does not exist yet") and f'"{what}"' in line for line in said), said

    shown = json.dumps(list(run.changes.values()))
    for name in ("vault-1", "vault-2", "vault-3", "(next free id)", "(host key that the guest makes)",
                 "tank/platform/files", "backup.topology", "tank/platform@auto-", "platform to nas-b", "nas-b"):
        assert name in shown, name
    assert empty_lab.connection["truenas"]["secondary"]["api_key"] not in json.dumps(run.document)
