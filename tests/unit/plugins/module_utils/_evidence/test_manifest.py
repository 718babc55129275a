"""Manifests: signed, chained, and never taken from a place where they cannot be trusted."""

from __future__ import annotations

import json
import os
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import ConnectionFailed, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import manifest, signing
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import canonical, utc_now
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import DirectoryDestination

from helpers.evidence import POINT, make_keys


class Site:
    """Two destinations and a key."""

    def __init__(self, directory: pathlib.Path) -> None:
        private, public = make_keys(directory)
        self.key, self.public = signing.load_private_key(private), signing.load_public_key(public)
        self.other = signing.load_private_key(make_keys(directory, "other")[0])
        self.places = []
        for name in ("s3", "nas"):
            (directory / name).mkdir()
            self.places.append(DirectoryDestination(name, str(directory / name)))

    def path(self, sequence: int, place: int = 0) -> pathlib.Path:
        return pathlib.Path(self.places[place].location(manifest.key_for("lab", sequence)))

    def write(self, before: manifest.Found | None = None, places: t.Sequence[int] = (0, 1), **changes: t.Any) -> manifest.Found:
        made = {**manifest.make("lab", "r1", [POINT], before, utc_now()), **changes}
        for place in places:
            path = self.path(made["sequence"], place)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(manifest.seal(made, self.key))
        return manifest.Found(made, manifest.digest_of(made), "", "")

    def newest(self, **options: t.Any) -> manifest.Chain:
        return manifest.find_newest(self.places, "lab", self.public, **{"need_all": False, **options})


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Site:
    return Site(tmp_path)


def test_empty_destinations_hold_none(site: Site) -> None:
    assert site.newest() == manifest.Chain()


def test_newest_is_found_and_says_where(site: Site) -> None:
    first = site.write()
    second = site.write(first)
    third = site.write(second, places=(0,))
    chain = site.newest()
    assert chain.newest is not None and chain.newest.manifest == third.manifest and chain.at == ["s3"]
    assert chain.newest.manifest["previous_sha256"] == second.sha256 and chain.newest.manifest["sequence"] == 3
    result = chain.newest.as_result()
    assert result["source"] == "s3" and result["sha256"] == third.sha256 and result["location"].endswith("00000003.dsse.json")


def test_same_manifest_at_both(site: Site) -> None:
    site.write()
    assert site.newest().at == ["s3", "nas"]


@pytest.mark.parametrize("cut", [0, 1, 100, 400])
def test_truncated_newest_is_refused_and_not_skipped(site: Site, cut: int) -> None:
    site.write(site.write(), places=(0,))
    path = site.path(2)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(signing.SignatureWrong, match=r"00000002.*'s3'.*truncated"):
        site.newest()


def test_wrong_signature_is_refused_and_named(site: Site) -> None:
    site.write(places=(1,))
    made = manifest.make("lab", "r1", [POINT], None, utc_now())
    site.path(1, 1).write_bytes(manifest.seal(made, site.other))
    with pytest.raises(signing.SignatureWrong, match=r"signature of The manifest .*'nas'.* is wrong"):
        site.newest()


@pytest.mark.parametrize("newer", [False, True])
def test_intact_copy_elsewhere_is_taken_and_the_wrong_one_told(site: Site, newer: bool) -> None:
    first = site.write()
    site.path(1, 1).write_bytes(site.path(1, 1).read_bytes()[:100])
    if newer:
        site.write(first, places=(0,))
    chain = site.newest()
    assert chain.newest is not None and chain.newest.manifest["sequence"] == (2 if newer else 1) and chain.at == ["s3"]
    assert list(chain.untrusted) == ["nas"] and "truncated" in chain.untrusted["nas"]
    with pytest.raises(signing.SignatureWrong, match="'nas'"):
        site.newest(need_all=True)


def test_flipped_byte_is_refused(site: Site) -> None:
    site.write(places=(0,))
    path = site.path(1)
    whole = path.read_bytes()
    for offset in range(0, whole.find(b'"signatures"'), 37):
        changed = bytearray(whole)
        changed[offset] ^= 0x01
        path.write_bytes(changed)
        with pytest.raises((signing.SignatureWrong, manifest.ManifestWrong)):
            site.newest()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"environment": "prod"}, "environment 'prod'"),
        ({"version": 2}, "version 2"),
        ({"schema": "other"}, "is no manifest"),
        ({"extra": 1}, "version 1; this release"),
    ],
)
def test_signed_but_not_what_belongs_there_is_refused(site: Site, changes: dict[str, t.Any], said: str) -> None:
    site.write(**changes)
    with pytest.raises(manifest.ManifestWrong, match=said):
        site.newest()


def test_old_manifest_under_a_new_number_is_refused(site: Site) -> None:
    site.write()
    site.path(7).write_bytes(site.path(1).read_bytes())
    with pytest.raises(manifest.ManifestWrong, match="was copied to this place"):
        site.newest()


def test_other_signed_document_is_refused(site: Site) -> None:
    site.write()
    statement = signing.statement([("x", "0" * 64)], signing.TEST_RESULT, {"result": "PASSED"})
    site.path(2).write_bytes(signing.seal(canonical(statement), site.key))
    with pytest.raises(manifest.ManifestWrong, match="is no manifest"):
        site.newest()


def test_broken_chain_is_refused(site: Site) -> None:
    first = site.write()
    site.write(manifest.Found(first.manifest, "0" * 64, "", ""))
    with pytest.raises(manifest.ManifestWrong, match="does not follow"):
        site.newest()


def test_predecessor_removed_by_retention_is_no_break(site: Site) -> None:
    site.write(site.write())
    for place in (0, 1):
        site.path(1, place).unlink()
    assert site.newest().newest is not None


def test_two_of_the_same_number_are_refused(site: Site) -> None:
    site.write(places=(0,), run_id="r1")
    site.write(places=(1,), run_id="r2")
    with pytest.raises(manifest.ManifestWrong, match="same number and different content"):
        site.newest()


def test_destination_that_is_gone(site: Site) -> None:
    site.write()
    os.rename(site.places[1].path, site.places[1].path + ".away")
    chain = site.newest()
    assert chain.newest is not None and "nas" in chain.unreachable
    with pytest.raises(Exception, match="does not exist"):
        site.newest(need_all=True)
    os.rename(site.places[0].path, site.places[0].path + ".away")
    with pytest.raises(ConnectionFailed, match="No destination could be asked"):
        site.newest()


def test_one_by_its_number(site: Site) -> None:
    first = site.write()
    site.write(first)
    chain = manifest.find_one(site.places, "lab", 1, site.public)
    assert chain.newest is not None and chain.newest.sha256 == first.sha256 and chain.at == ["s3", "nas"]
    assert manifest.find_one(site.places, "lab", 9, site.public).newest is None
    site.path(1).write_bytes(b"")
    with pytest.raises(signing.SignatureWrong):
        manifest.find_one(site.places, "lab", 1, site.public)
    os.rename(site.places[0].path, site.places[0].path + ".away")
    assert "s3" in manifest.find_one(site.places, "lab", 1, site.public).unreachable


def test_subjects_are_the_files(site: Site) -> None:
    sealed = manifest.seal(manifest.make("lab", None, [POINT, {**POINT, "id": "z", "kind": "zfs_snapshot", "sha256": None}], None, utc_now()), site.key)
    statement = json.loads(signing.unseal(sealed, site.public, "x"))
    assert [item["name"] for item in statement["subject"]] == ["manifest", "nas:lab/vault/main/1.snap"]
    assert statement["subject"][1]["digest"] == {"sha256": POINT["sha256"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "tape"}, "kind 'tape'"),
        ({"extra": 1}, "unknown field 'extra'"),
        ({"taken_at": "yesterday"}, "no usable taken_at"),
        ({"sha256": None}, "file without sha256"),
        ({"sha256": "abc"}, "sha256 that is none"),
        ({"copies": []}, "has no copies"),
        ({"copies": [{"destination": "nas", "read_back_sha256": None}]}, "was not read back"),
        ({"copies": [{"destination": "nas", "read_back_sha256": "b" * 64}]}, "was not read back"),
    ],
)
def test_recovery_point_that_a_rebuild_could_not_use_is_refused(changes: dict[str, t.Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        manifest.check_points([{**POINT, **changes}])


def test_points_that_are_missing_or_double_are_refused() -> None:
    for points, said in (([], "without recovery points"), ([POINT, POINT], "is there twice"), ([{"asset": "a"}], "lacks 'id'")):
        with pytest.raises(Refused, match=said):
            manifest.check_points(t.cast(t.Any, points))
    manifest.check_points([POINT, {"asset": "data", "kind": "zfs_snapshot", "id": "tank@1", "taken_at": utc_now()}])
