"""backup_retention: over two destinations, by signed manifests and signed evidence; what was last proved always stays."""

from __future__ import annotations

import datetime
import os
import pathlib
import shutil
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.modules import backup_copy, backup_manifest, backup_retention
from helpers.evidence import POINT, good_run, make_keys
from helpers.modules import ModuleFailed, run_module

Args = dict[str, t.Any]
NOW = datetime.datetime.now(datetime.timezone.utc)
# Age in days of each snapshot; the second is the one that the evidence of helpers.evidence.good_run proves.
AGES = {"a": 400, POINT["id"]: 300, "b": 200, "c": 100, "d": 3, "e": 2, "f": 1}


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Args:
    """Seven backups at two destinations, one of which a signed drill restored."""
    private, public = make_keys(tmp_path)
    targets = [{"name": name, "type": "directory", "path": str(tmp_path / name)} for name in ("offsite", "nas")]
    for number, (name, age) in enumerate(AGES.items(), 1):
        (tmp_path / "src").write_bytes(f"snapshot {name}".encode())
        copies = []
        for target in targets:
            pathlib.Path(target["path"]).mkdir(exist_ok=True)
            copies.append(run_module(backup_copy.main, {"src": str(tmp_path / "src"), "key": f"lab/vault/main/{name}.snap", "destination": target})["copy"])
        taken = (NOW - datetime.timedelta(days=age)).isoformat()
        point = {**POINT, "id": name, "taken_at": taken, "size_bytes": copies[0]["size_bytes"], "sha256": copies[0]["sha256"], "copies": [
            {key: copy[key] for key in ("destination", "key", "sha256", "read_back_sha256", "size_bytes")} for copy in copies]}
        run_module(backup_manifest.main, {"environment": "lab", "run_id": f"run-{number}", "recovery_points": [point], "destinations": targets,
                                          "signing_key": private})
    good_run(tmp_path / "evidence", private)
    return {"environment": "lab", "destinations": targets, "evidence_dir": str(tmp_path / "evidence"), "public_key": public, "keep_last": 2, "keep_days": 10}


def left(site: Args) -> list[set[str]]:
    return [{path.stem for path in pathlib.Path(target["path"]).glob("lab/vault/main/*.snap")} for target in site["destinations"]]


def test_old_ones_go_everywhere_and_the_last_proven_stays(site: Args, tmp_path: pathlib.Path) -> None:
    (tmp_path / "nas/lab/vault/main/unlisted.snap").write_text("of nobody's manifest")
    predicted = run_module(backup_retention.main, site, check=True, diff=True)
    assert left(site)[0] == set(AGES)
    done = run_module(backup_retention.main, site, diff=True)
    assert done["diff"] == predicted["diff"] and done["retention"] == predicted["retention"]
    stays = {POINT["id"], "d", "e", "f"}
    assert left(site) == [stays, stays | {"unlisted"}]
    assert done["retention"]["kept"] == {"f": ["newest", "young"], "e": ["newest", "young"], "d": ["young"], POINT["id"]: ["last_proven"]}
    assert (done["retention"]["last_proven"], done["retention"]["last_proven_at"]) == (POINT["id"], ["offsite", "nas"])
    assert len(done["retention"]["removed"]) == 6
    assert len(list((tmp_path / "nas/lab/manifests").iterdir())) == len(AGES)
    assert not run_module(backup_retention.main, site)["changed"]


def test_nothing_goes_until_a_restore_was_proved(site: Args) -> None:
    shutil.rmtree(site["evidence_dir"])
    with pytest.raises(ModuleFailed, match="no restore of this environment was ever proved"):
        run_module(backup_retention.main, site)
    assert left(site)[0] == set(AGES)
    assert not run_module(backup_retention.main, {**site, "keep_days": 1000})["changed"], "nothing is over its time: nothing to refuse"


def test_evidence_that_was_edited_proves_nothing(site: Args) -> None:
    (run_dir,) = [path for path in pathlib.Path(site["evidence_dir"]).iterdir() if (path / "report.json").exists()]
    (run_dir / "report.json").write_text((run_dir / "report.json").read_text().replace(POINT["id"], "a"))
    with pytest.raises(ModuleFailed, match="ever proved"):
        run_module(backup_retention.main, site)


def test_nothing_goes_when_the_last_proven_is_gone_or_damaged(site: Args, tmp_path: pathlib.Path) -> None:
    os.unlink(tmp_path / f"nas/lab/vault/main/{POINT['id']}.snap")
    assert run_module(backup_retention.main, site, check=True)["retention"]["last_proven_at"] == ["offsite"]
    (tmp_path / f"offsite/lab/vault/main/{POINT['id']}.snap").write_text("short")
    with pytest.raises(ModuleFailed, match="lies at no destination as it was written"):
        run_module(backup_retention.main, site)
    assert "a" in left(site)[0]


def test_nothing_is_decided_on_a_manifest_that_cannot_be_trusted(site: Args, tmp_path: pathlib.Path) -> None:
    path = sorted((tmp_path / "offsite/lab/manifests").iterdir())[2]
    path.write_text(path.read_text().replace('"sig"', '"gis"'))
    with pytest.raises(ModuleFailed):
        run_module(backup_retention.main, site)
    assert left(site) == [set(AGES), set(AGES)]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keep_last": 0}, "would keep nothing"),
        ({"destinations": []}, "needs the destinations"),
        ({"destinations": [{"name": "x", "type": "directory", "path": "/nonexistent"}]}, "does not exist"),
    ],
)
def test_bad_input_is_refused(site: Args, change: Args, said: str) -> None:
    with pytest.raises(ModuleFailed, match=said):
        run_module(backup_retention.main, {**site, **change})
    assert left(site)[0] == set(AGES)


def test_a_file_that_cannot_be_removed_is_named(site: Args, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: t.Any) -> t.NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "unlink", refuse)
    with pytest.raises(ModuleFailed, match="Cannot remove lab/vault/main/"):
        run_module(backup_retention.main, site)
