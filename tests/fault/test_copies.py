"""Copies and manifests that are damaged or forged: a rebuild refuses before it changes anything, and says which one it is."""

from __future__ import annotations

import base64
import copy
import json
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import signing
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_verify import verify
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from harness import LONG_ONLY, looks
from harness.refusals import Copies, Result, Runner, flipped, rewritten, truncated

pytestmark = pytest.mark.fault

PLAN = str(pathlib.Path(__file__).with_name("plan.yml"))
Damage = t.Callable[[bytes], t.Optional[bytes]]


def gone(_data: bytes) -> None:
    """Nothing is left."""


def everything(runner: Runner) -> tuple[list[str], list[str], list[str]]:
    """Return what a rebuild would change; snapshots by the NAS's own schedule are not the rebuild's."""
    snapshots = [name for name in looks.zfs(runner.state, "nas-a", "snapshot") if "@auto-" not in name]
    return looks.tasks(runner.state), snapshots, sorted(looks.objects(runner.state, "lab/vault/"))


def refused(runner: Runner) -> Result:
    """Ask for a rebuild; it has to refuse, and nothing may have been changed."""
    before, known = everything(runner), len(runner.records())
    result = runner.rebuild()
    assert result.status != 0, f"the rebuild went on: see {result.log}"
    assert {record["step"] for record in runner.records()[known:]} <= {"run", "rebuild_plan"}, "it went on after the plan"
    assert everything(runner) == before
    return result


@pytest.mark.parametrize(
    "damage", [rewritten, *(pytest.param(damage, marks=LONG_ONLY) for damage in (truncated, flipped, gone))], ids=lambda damage: damage.__name__
)
def test_snapshot_that_is_damaged_everywhere_stops_the_rebuild(runner: Runner, copies: Copies, damage: Damage) -> None:
    key = copies.snapshot
    copies.put(key, damage(copies.offsite[key]), nas=True)
    said = refused(runner).said
    assert "There is no good copy of the recovery point" in said
    for place in ("The copy at offsite cannot be used", "The copy at nas cannot be used", key.rpartition("/")[2], "Nothing was changed"):
        assert place in said
    failed = [(record["check"], record["asset"]) for record in runner.records() if record["outcome"] == "failed"]
    assert failed[-3:] == [("copy_at_offsite", "vault"), ("copy_at_nas", "vault"), ("copy_chosen", "vault")]


def test_rewritten_snapshot_is_whole_by_all_that_is_inside_of_it(copies: Copies, tmp_path: pathlib.Path) -> None:
    """So that the test above shows that the manifest caught it."""
    path = tmp_path / "rewritten.snap"
    path.write_bytes(rewritten(copies.offsite[copies.snapshot]))
    assert [check.name for check in verify(str(path)).checks if check.outcome == "failed"] == []


def test_manifest_signed_by_another_key_stops_the_rebuild(runner: Runner, copies: Copies) -> None:
    payload = base64.b64decode(copies.envelope()["payload"])
    copies.put(copies.manifest_key, signing.seal(payload, Ed25519PrivateKey.generate()), nas=True)
    said = refused(runner).said
    assert f"/{copies.manifest_key} (destination 'offsite')" in said and "sign" in said


@LONG_ONLY
def test_manifest_whose_content_was_changed_stops_the_rebuild(runner: Runner, copies: Copies) -> None:
    envelope = copies.envelope()
    statement = json.loads(base64.b64decode(envelope["payload"]))
    forged = copy.deepcopy(statement)
    forged["predicate"]["recovery_points"][0]["size_bytes"] += 1
    envelope["payload"] = base64.b64encode(json.dumps(forged, sort_keys=True, separators=(",", ":")).encode()).decode()
    copies.put(copies.manifest_key, json.dumps(envelope).encode(), nas=True)
    said = refused(runner).said
    assert f"/{copies.manifest_key} (destination 'offsite')" in said and "sign" in said


def test_no_manifest_anywhere_stops_the_rebuild(runner: Runner, copies: Copies) -> None:
    for key in [key for key in copies.offsite if "/manifests/" in key]:
        copies.put(key, None, nas=True)
    said = refused(runner).said
    assert "There is no manifest of 'lab' at the off-site destinations. Nothing was changed." in said


# The last one here: a rebuild whose plan is made stays with its manifest.
def test_good_copy_is_taken_for_a_bad_one_and_both_stand_in_the_evidence(runner: Runner, copies: Copies) -> None:
    copies.put(copies.snapshot, flipped(copies.offsite[copies.snapshot]), nas=False)
    known = len(runner.records())
    result = runner.run(PLAN, "-e", "dr_rebuild_confirm=lab")
    assert result.status == 0, f"see {result.log}"
    assert "is taken from nas. The copy at offsite cannot be used" in result.said
    records = {record["check"]: record for record in runner.records()[known:]}
    assert (records["copy_at_offsite"]["outcome"], records["copy_at_nas"]["outcome"], records["copy_chosen"]["outcome"]) == ("failed", "passed", "passed")
    assert "a good copy at nas" in records["copy_chosen"]["actual"] and "is not what was backed up" in records["copy_chosen"]["actual"]
