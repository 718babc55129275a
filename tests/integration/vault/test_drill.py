"""What a drill of Vault finds: each fault on a real server, with a real drill. docs/detection_vault.md is to be its result.

``RESILIENT_WRITE_DOCS=1`` writes the page anew. A miss, a false alarm, or a page that says something else is red. Long: RESILIENT_LONG_TESTS=1.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import tarfile
import typing as t

import pytest
import versions
from drills import DrillSite

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.environ.get("RESILIENT_LONG_TESTS") != "1", reason="a drill takes a minute, and this has many: set RESILIENT_LONG_TESTS=1"),
]
PAGE = pathlib.Path(__file__).resolve().parents[3] / "docs/detection_vault.md"
CLEAN = int(os.environ.get("RESILIENT_CLEAN_DRILLS", "20"))
SAID: dict[str, str] = {}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[DrillSite]:
    made = DrillSite(tmp_path_factory.mktemp("drill"))
    try:
        made.start(*versions.new()).play("resilient.platform.vault")
        made.backup()
        yield made
    finally:
        made.stop()


@dataclasses.dataclass
class Case:
    """A fault: what breaks, what mends again, and what the drill has to say."""

    what: str
    said: str
    breaks: t.Callable[[DrillSite], dict[str, t.Any] | None]
    mends: t.Callable[[DrillSite], object] = lambda site: None
    backs_up: bool = False


def keep(path: pathlib.Path) -> None:
    shutil.copy2(path, path.parent / f".{path.name}.kept")


def put_back(site: DrillSite) -> None:
    for kept in site.offsite.rglob(".*.kept"):
        kept.replace(kept.parent / kept.name[1:].removesuffix(".kept"))


def truncated(site: DrillSite) -> None:
    keep(site.copy())
    with site.copy().open("r+b") as stream:
        stream.truncate(site.copy().stat().st_size - 300)


def flipped(site: DrillSite) -> None:
    keep(site.copy())
    data = bytearray(site.copy().read_bytes())
    data[len(data) // 2] ^= 4
    site.copy().write_bytes(data)


def forged(site: DrillSite) -> None:
    """Flip one bit of the data and rewrite the checksums so that they fit."""
    keep(site.copy())
    with tarfile.open(site.copy(), "r:gz") as archive:
        content = {member.name: t.cast(t.IO[bytes], archive.extractfile(member)).read() for member in archive}
    state = bytearray(content["state.bin"])
    state[-1] ^= 1
    content["state.bin"] = bytes(state)
    content["SHA256SUMS"] = "".join(f"{hashlib.sha256(content[name]).hexdigest()}  {name}\n" for name in ("state.bin", "meta.json")).encode()
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in content.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    site.copy().write_bytes(gzip.compress(raw.getvalue(), 0))


def gone(site: DrillSite) -> None:
    keep(site.copy())
    site.copy().unlink()


def manifest_edited(site: DrillSite) -> None:
    path = site.manifests()[-1]
    keep(path)
    envelope = json.loads(path.read_text())
    envelope["payload"] = envelope["payload"][:-8] + "AAAA" + envelope["payload"][-4:]
    path.write_text(json.dumps(envelope))


def manifests_gone(site: DrillSite) -> None:
    for path in site.manifests():
        keep(path)
        path.unlink()


def other_key(site: DrillSite) -> dict[str, t.Any]:
    site.kms.call("POST", "transit/keys/other", {})
    return {"vault_drill_seal": {**site.kms.seal, "key_name": "other"}}


def minimum_raised(site: DrillSite) -> None:
    site.kms.call("POST", "transit/keys/autounseal/rotate", {})
    site.kms.call("POST", "transit/keys/autounseal/config", {"min_decryption_version": 2})


def minimum_lowered(site: DrillSite) -> None:
    site.kms.call("POST", "transit/keys/autounseal/config", {"min_decryption_version": 1})


def token_revoked(site: DrillSite) -> dict[str, t.Any]:
    token = site.kms.call("POST", "auth/token/create", {"policies": ["root"]}).json()["auth"]["client_token"]
    site.kms.call("POST", "auth/token/revoke", {"token": token})
    return {"vault_drill_seal": {**site.kms.seal, "token": token}, "vault_cluster_start_timeout": 15}


def kms_away(site: DrillSite) -> dict[str, t.Any]:
    return {"vault_drill_seal": {**site.kms.seal, "address": "https://127.0.0.1:9"}, "vault_cluster_start_timeout": 15}


def stale(site: DrillSite) -> dict[str, t.Any]:
    return {"platform_recovery_objectives": {"vault": {"rto_seconds": 1800, "rpo_seconds": 1}}}


def slow(site: DrillSite) -> dict[str, t.Any]:
    return {"platform_recovery_objectives": {"vault": {"rto_seconds": 1, "rpo_seconds": 86400}}}


def policy_deleted(site: DrillSite) -> None:
    assert site.call("DELETE", "sys/policies/acl/extra", token=site.login("admin")).status_code == 204


def canaries_deleted(site: DrillSite) -> None:
    """Somebody deletes what was acknowledged, and then there is a backup."""
    admin = site.login("admin")
    policy = 'path "kv/*" { capabilities = ["list", "read", "delete"] }'
    assert site.call("POST", "sys/policies/acl/wipe", {"policy": policy}, token=admin).status_code == 204
    assert site.call("POST", "auth/approle/role/canary", {"token_policies": ["canary", "wipe"]}, token=admin).status_code == 204
    token = site.login("canary")

    def wipe(path: str) -> int:
        if not path.endswith("/"):
            assert site.call("DELETE", f"kv/metadata/{path}", token=token).status_code == 204
            return 1
        return sum(wipe(path + name) for name in site.call("GET", f"kv/metadata/{path}?list=true", token=token).json()["data"]["keys"])

    assert wipe("canary/") > 0


def custody_of_another(site: DrillSite) -> dict[str, t.Any]:
    custody = site.directory / "custody-of-another"
    shutil.copytree(site.custody, custody, dirs_exist_ok=True)
    admin = json.loads((custody / "admin.json").read_text())
    (custody / "admin.json").write_text(json.dumps({**admin, "secret_id": "00000000-0000-0000-0000-000000000000"}))
    return {"vault_drill_credentials_dir": str(custody), "vault_cluster_start_timeout": 15}


def custody_gone(site: DrillSite) -> dict[str, t.Any]:
    return {"vault_drill_credentials_dir": "/nonexistent"}


def not_isolated(site: DrillSite) -> dict[str, t.Any]:
    return {"vault_drill_forbidden": [f"{site.hosts[0].address}:8200"]}


CASES = [
    Case("the off-site copy is cut short", "SHA-256", truncated, put_back),
    Case("one bit of the off-site copy is flipped", "SHA-256", flipped, put_back),
    Case("one bit of the data is flipped, and the sums in the archive are made to fit", "SHA-256", forged, put_back),
    Case("the off-site copy is gone", "There is no .*snap", gone, put_back),
    Case("the newest manifest is edited", "signature", manifest_edited, put_back),
    Case("the manifests are gone", "There is no manifest", manifests_gone, put_back),
    Case("the seal has another key than the snapshot", "different autoseal key|cannot decrypt|seal", other_key),
    Case(
        "the key service no longer decrypts the snapshot's version of the key", "min_decryption_version|too old|cannot|seal|400",
        minimum_raised, minimum_lowered,
    ),  # fmt: skip
    Case("the seal's token is revoked", "start|timed out|Timeout|403", token_revoked),
    Case("the key service is away", "start|timed out|Timeout", kms_away),
    Case("the recovery point is older than its objective", "RPO|rpo|objective|loss", stale),
    Case("the restore takes longer than its objective", "RTO|rto|objective|took", slow),
    Case("credentials in custody are not the cluster's", "log in|403|invalid|denied", custody_of_another),
    Case("the custody is gone", "admin.json", custody_gone),
    Case("the scratch host reaches production", "Cut the host off", not_isolated),
    Case("a policy was deleted before the backup", "contents", policy_deleted, backs_up=True),
    Case("canaries that were acknowledged were deleted before the backup", "canar", canaries_deleted, backs_up=True),
]


def reason(report: dict[str, t.Any]) -> str:
    """What the report says, without what differs from run to run."""
    text = "; ".join(report["reasons"])
    for pattern, instead in (
        (r"/\S*/(offsite|nas)/", r"\1:"), (r"/tmp/\S*?/([\w.-]+)(?=[ ,.;:)]|$)", r"\1"), (r"\b[0-9a-f]{64}\b", "…"), (r"site-backup-\S+?-[0-9a-f]{8}\b", "…"),
        (r"\b127(\.\d+){3}", "…"), (r"[0-9a-f]{8}-[0-9a-f-]{27}", "…"), (r"\d+(\.\d+)?", "#"), (r"\s+", " "), (r"\|", "/"),
    ):
        text = re.sub(pattern, instead, text)
    return text


def test_a_clean_drill_is_verified_and_leaves_nothing(site: DrillSite) -> None:
    said, report = site.drill(fails=False)
    assert report["verdict"] == "verified", said[-3000:]
    (vault,) = [row for row in report["assets"] if row["asset"] == "vault"]
    assert vault["rto_seconds"] > 0 and vault["rpo_seconds"] >= 0
    assert site.residue() == []
    SAID["nothing"] = "verified"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_every_fault_is_told(site: DrillSite, case: Case) -> None:
    extra = case.breaks(site) or {}
    try:
        if case.backs_up:
            site.play("resilient.platform.backup")
        said, report = site.drill(fails=True, **extra)
    finally:
        case.mends(site)
    SAID[case.what] = f"{report['verdict']}: {reason(report)}"
    assert report["verdict"] in ("failed", "could_not_verify")
    assert re.search(case.said, " ".join(report["reasons"])), f"{case.what}: {report['reasons']}\n{said[-2000:]}"
    assert site.residue() == []


def test_the_page_says_what_was_said(site: DrillSite) -> None:
    wanted = ["nothing", *(case.what for case in CASES)]
    if set(SAID) != set(wanted):
        pytest.skip("not all of the faults were tried in this run")
    rows = "\n".join(f"| {what} | {SAID[what]} |" for what in wanted)
    text = f"""# What a drill of Vault detects

Each row was broken on a real server and its backups (`tests/integration/vault/test_drill.py`), and `resilient.platform.vault_drill` was run.
The test writes this page and is red at a miss, at a false alarm, and when anything of a drill is left. Numbers are written as `#`, digests and
names of recovery points as `…`. `failed` means that a check failed; `could_not_verify` that one could not be made, which is no success either.

| what was broken | what the drill said |
|---|---|
{rows}
"""
    if os.environ.get("RESILIENT_WRITE_DOCS") == "1":
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text


def test_twenty_clean_drills_raise_no_false_alarm(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = DrillSite(tmp_path_factory.mktemp("clean"))
    try:
        made.start(*versions.new()).play("resilient.platform.vault")
        alarms = []
        for number in range(CLEAN):
            if number % 5 == 0:
                made.backup()
            _said, report = made.drill(fails=False)
            if report["verdict"] != "verified" or made.residue():
                alarms.append((number, report["reasons"], made.residue()))
        assert alarms == []
    finally:
        made.stop()


def test_three_scratch_hosts_replicate_and_survive_a_restart_each(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = DrillSite(tmp_path_factory.mktemp("three"), scratch=3)
    try:
        made.start(*versions.new()).play("resilient.platform.vault")
        made.backup()
        said, report = made.drill(fails=False)
        assert report["verdict"] == "verified", said[-3000:]
        assert [check for check in report["checks"] if check["check"] == "replication" and "scratch-1, scratch-2, scratch-3" in str(check["actual"])]
        assert made.residue() == []
    finally:
        made.stop()
