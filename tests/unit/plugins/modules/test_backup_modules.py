"""backup_copy, backup_manifest and backup_manifest_info on directories."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._evidence import manifest
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import sha256_hex
from ansible_collections.resilient.platform.plugins.modules import backup_copy, backup_manifest, backup_manifest_info

from helpers.evidence import POINT, make_keys
from helpers.modules import ModuleFailed, run_module

Args = dict[str, t.Any]
CONTENT = b"snapshot" * 1000
DIGEST = sha256_hex(CONTENT)
KEY = "lab/vault/main/1.snap"


@pytest.fixture
def nas(tmp_path: pathlib.Path) -> Args:
    (tmp_path / "nas").mkdir()
    return {"name": "nas", "type": "directory", "path": str(tmp_path / "nas")}


@pytest.fixture
def put(tmp_path: pathlib.Path, nas: Args) -> Args:
    (tmp_path / "src").write_bytes(CONTENT)
    return {"src": str(tmp_path / "src"), "destination": nas, "key": KEY}


@pytest.fixture
def fetch(tmp_path: pathlib.Path, nas: Args) -> Args:
    return {"direction": "fetch", "dest": str(tmp_path / "dest"), "destination": nas, "key": KEY, "expected_sha256": DIGEST}


def test_copy_and_back_again(put: Args, fetch: Args) -> None:
    predicted = run_module(backup_copy.main, put, check=True, diff=True)
    assert predicted["changed"] and predicted["copy"]["read_back_sha256"] is None and not os.path.exists(predicted["copy"]["location"])
    done = run_module(backup_copy.main, put, diff=True)
    assert done["diff"] == predicted["diff"] == {**done["diff"], "before": {}, "after": {"sha256": DIGEST}}
    assert done["copy"]["sha256"] == done["copy"]["read_back_sha256"] == DIGEST and done["copy"]["size_bytes"] == 8000
    again = run_module(backup_copy.main, put)
    assert not again["changed"] and again["copy"]["read_back_sha256"] == DIGEST
    predicted = run_module(backup_copy.main, fetch, check=True)
    assert predicted["changed"] and not os.path.exists(fetch["dest"])
    fetched = run_module(backup_copy.main, fetch)
    assert fetched["changed"] and pathlib.Path(fetch["dest"]).read_bytes() == CONTENT and fetched["diff"] == predicted["diff"]
    assert not run_module(backup_copy.main, fetch)["changed"]


def test_other_content_is_replaced_only_if_allowed(put: Args, tmp_path: pathlib.Path) -> None:
    run_module(backup_copy.main, put)
    (tmp_path / "src").write_bytes(b"other")
    with pytest.raises(ModuleFailed, match="holds something else"):
        run_module(backup_copy.main, {**put, "replace": False})
    assert run_module(backup_copy.main, put)["diff"]["before"] == {"sha256": DIGEST}


@pytest.mark.parametrize("check", [True, False])
def test_damaged_copy_is_not_fetched(put: Args, fetch: Args, check: bool) -> None:
    path = pathlib.Path(run_module(backup_copy.main, put)["copy"]["location"])
    path.write_bytes(CONTENT[:-1] + b"X")
    with pytest.raises(ModuleFailed, match="SHA-256") as caught:
        run_module(backup_copy.main, fetch, check=check)
    assert caught.value.result["error"]["type"] == "CopyDiffers" and not os.path.exists(fetch["dest"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"src": "/nonexistent"}, "There is no file"),
        ({"expected_sha256": "0" * 64}, "and not 0000"),
        ({"expected_sha256": "abc"}, "is no SHA-256"),
        ({"key": "../x"}, "cannot be a key"),
        ({"destination": {"name": "gone", "type": "directory", "path": "/nonexistent"}}, "does not exist"),
        ({"src": None}, "src"),
    ],
)
def test_bad_put_is_refused(put: Args, nas: Args, options: Args, said: str) -> None:
    with pytest.raises(ModuleFailed, match=said):
        run_module(backup_copy.main, {**put, **options})
    assert os.listdir(nas["path"]) == []


def test_empty_file_is_no_backup(put: Args, tmp_path: pathlib.Path) -> None:
    (tmp_path / "src").write_bytes(b"")
    with pytest.raises(ModuleFailed, match="is empty"):
        run_module(backup_copy.main, put)


def test_absent_key_or_directory_cannot_be_fetched(fetch: Args) -> None:
    with pytest.raises(ModuleFailed, match=f"no {KEY}"):
        run_module(backup_copy.main, fetch)
    with pytest.raises(ModuleFailed, match="does not exist"):
        run_module(backup_copy.main, {**fetch, "dest": "/nonexistent/x"})


class Manifests:
    """Arguments of both manifest modules."""

    def __init__(self, directory: pathlib.Path) -> None:
        private, self.public = make_keys(directory)
        self.other = make_keys(directory, "other")[0]
        self.places = [{"name": name, "type": "directory", "path": str(directory / name)} for name in ("s3", "nas")]
        for place in self.places:
            os.mkdir(place["path"])
        self.args: Args = {"environment": "lab", "recovery_points": [POINT], "destinations": self.places, "signing_key": private, "run_id": "r1"}

    def write(self, check: bool = False, **options: t.Any) -> Args:
        return run_module(backup_manifest.main, {**self.args, **options}, check=check, diff=True)

    def newest(self, **options: t.Any) -> Args:
        return run_module(backup_manifest_info.main, {"environment": "lab", "destinations": self.places, "public_key": self.public, **options})

    def path(self, sequence: int, place: int = 0) -> pathlib.Path:
        return pathlib.Path(self.places[place]["path"], manifest.key_for("lab", sequence))


@pytest.fixture
def manifests(tmp_path: pathlib.Path) -> Manifests:
    return Manifests(tmp_path)


def test_nothing_is_there_at_first(manifests: Manifests) -> None:
    assert manifests.newest() == {"changed": False, "exists": False, "manifest": None, "found_at": [], "unreachable": {}, "untrusted": {}}


def test_manifest_is_written_everywhere_and_read_back(manifests: Manifests, tmp_path: pathlib.Path) -> None:
    predicted = manifests.write(check=True, work_dir=str(tmp_path / "work"))
    assert predicted["changed"] and predicted["copies"] == [] and not (tmp_path / "work").exists() and not manifests.path(1).exists()
    done = manifests.write(work_dir=str(tmp_path / "work"))
    assert done["diff"] == predicted["diff"] and [copy["destination"] for copy in done["copies"]] == ["s3", "nas"]
    assert done["manifest"]["sequence"] == 1 and done["manifest"]["previous_sha256"] is None
    found = manifests.newest()
    assert found["exists"] and found["manifest"]["recovery_points"] == [POINT] and found["found_at"] == ["s3", "nas"]
    assert (tmp_path / "work/manifests/00000001.dsse.json").read_bytes() == manifests.path(1).read_bytes()


def test_same_backup_of_the_same_run_is_written_once(manifests: Manifests) -> None:
    first = manifests.write()["manifest"]
    again = manifests.write()
    assert not again["changed"] and again["manifest"]["sha256"] == first["sha256"] and len(again["copies"]) == 2


def test_destination_that_lacks_it_gets_it(manifests: Manifests) -> None:
    manifests.write()
    before = manifests.path(1, 1).read_bytes()
    manifests.path(1, 1).unlink()
    again = manifests.write()
    assert again["changed"] and again["manifest"]["sequence"] == 1 and manifests.path(1, 1).read_bytes() == before
    assert list(again["diff"]["after"]) == [str(manifests.path(1, 1))]


def test_next_run_follows_the_one_before(manifests: Manifests) -> None:
    first = manifests.write()["manifest"]
    for options in ({"run_id": "r2"}, {"run_id": None}, {"run_id": None}):
        done = manifests.write(**options)["manifest"]
    assert done["sequence"] == 4
    assert manifests.newest(sequence=2)["manifest"]["previous_sha256"] == first["sha256"]
    assert manifests.newest(sequence=1)["manifest"]["sha256"] == first["sha256"]
    with pytest.raises(ModuleFailed, match="No destination holds the manifest 9"):
        manifests.newest(sequence=9)


def test_manifest_that_cannot_be_trusted_stops_the_writer_and_is_named(manifests: Manifests) -> None:
    manifests.write()
    manifests.path(1, 1).write_bytes(manifests.path(1, 1).read_bytes()[:50])
    with pytest.raises(ModuleFailed, match="'nas'") as caught:
        manifests.write(run_id="r2")
    assert caught.value.result["error"]["type"] == "SignatureWrong"
    assert not manifests.path(2).exists()
    found = manifests.newest()
    assert found["found_at"] == ["s3"] and "truncated" in found["untrusted"]["nas"]


def test_manifest_that_can_be_trusted_nowhere_stops_the_reader(manifests: Manifests) -> None:
    manifests.write()
    for place in (0, 1):
        manifests.path(1, place).write_bytes(manifests.path(1, place).read_bytes()[:50])
    with pytest.raises(ModuleFailed, match="'s3'") as caught:
        manifests.newest()
    assert caught.value.result["error"]["type"] == "SignatureWrong"


def test_other_key_is_refused(manifests: Manifests) -> None:
    manifests.write()
    with pytest.raises(ModuleFailed, match="is wrong"):
        manifests.write(signing_key=manifests.other, run_id="r2")


def test_destination_that_is_down_stops_the_writer_and_not_the_reader(manifests: Manifests) -> None:
    manifests.write()
    os.rename(manifests.places[1]["path"], manifests.places[1]["path"] + ".away")
    with pytest.raises(ModuleFailed, match="does not exist"):
        manifests.write(run_id="r2")
    assert not manifests.path(2).exists()
    found = manifests.newest()
    assert found["exists"] and "nas" in found["unreachable"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"recovery_points": []}, "without recovery points"),
        ({"recovery_points": [{**POINT, "kind": "tape"}]}, "kind 'tape'"),
        ({"recovery_points": [{**POINT, "details": {"token": "x"}}]}, "it is a secret"),
        ({"destinations": []}, "needs a destination"),
        ({"environment": "../x"}, "cannot be a key"),
        ({"signing_key": "/nonexistent"}, "Cannot read the signing key"),
    ],
)
def test_bad_manifest_is_refused(manifests: Manifests, options: Args, said: str) -> None:
    with pytest.raises(ModuleFailed, match=said):
        manifests.write(**options)
    assert os.listdir(manifests.places[0]["path"]) == []


def test_info_needs_destinations(manifests: Manifests) -> None:
    with pytest.raises(ModuleFailed, match="there are none"):
        manifests.newest(destinations=[])
