"""Directories as destinations, and what holds for every destination."""

from __future__ import annotations

import os
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import ApiError, NotFound, PermissionDenied, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import destinations
from ansible_collections.resilient.platform.plugins.module_utils._evidence.canonical import sha256_hex
from ansible_collections.resilient.platform.plugins.module_utils._evidence.destinations import CopyDiffers, DirectoryDestination

KEY = "lab/vault/main/1.snap"


@pytest.fixture
def nas(tmp_path: pathlib.Path) -> DirectoryDestination:
    (tmp_path / "nas").mkdir()
    return DirectoryDestination("nas", str(tmp_path / "nas"))


@pytest.fixture
def source(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "source"
    path.write_bytes(os.urandom(2_500_000))
    return path


def test_copy_is_read_back(nas: DirectoryDestination, source: pathlib.Path) -> None:
    sha256 = sha256_hex(source.read_bytes())
    copy = destinations.put_and_compare(nas, KEY, str(source), sha256)
    assert copy["sha256"] == copy["read_back_sha256"] == sha256 and copy["size_bytes"] == 2_500_000
    assert copy["location"] == os.path.join(nas.path, KEY) and copy["read_back_at"].endswith("Z")
    assert nas.list("lab/") == [KEY] and nas.size(KEY) == 2_500_000


def test_copy_that_is_damaged_on_the_way_is_noticed(nas: DirectoryDestination, source: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nas, "read", lambda key: iter([source.read_bytes()[:-1]]))
    with pytest.raises(CopyDiffers, match="is not what was put there"):
        destinations.put_and_compare(nas, KEY, str(source), sha256_hex(source.read_bytes()))


def test_interrupted_write_leaves_the_old_copy_and_no_part(nas: DirectoryDestination, source: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source.parent / "old").write_bytes(b"old")
    nas.put(KEY, str(source.parent / "old"))

    def refuse(*_args: t.Any) -> t.NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(ApiError, match="No space left"):
        nas.put(KEY, str(source))
    assert os.listdir(os.path.dirname(nas.location(KEY))) == ["1.snap"] and b"".join(nas.read(KEY)) == b"old"


def test_directory_that_is_gone_is_not_made_up_for(nas: DirectoryDestination, source: pathlib.Path) -> None:
    os.rmdir(nas.path)
    for call in (lambda: nas.put(KEY, str(source)), nas.check, lambda: nas.list("lab/")):
        with pytest.raises(NotFound, match="does not exist"):
            call()
    assert not os.path.exists(nas.path)


def test_directory_that_is_read_only_is_refused(nas: DirectoryDestination, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *args: False)
    with pytest.raises(PermissionDenied, match="Not allowed to write"):
        nas.check()


def test_absent_key(nas: DirectoryDestination) -> None:
    assert nas.size(KEY) is None and nas.list("none/") == []
    with pytest.raises(NotFound, match=f"no {KEY}"):
        list(nas.read(KEY))


@pytest.mark.parametrize(
    ("error", "kind"),
    [(PermissionError(13, "Permission denied"), PermissionDenied), (OSError(5, "Input/output error"), ApiError), (FileNotFoundError(2, "gone"), NotFound)],
)
def test_errors_of_the_system_are_typed(nas: DirectoryDestination, monkeypatch: pytest.MonkeyPatch, error: OSError, kind: type[ApiError]) -> None:
    def refuse(*_args: t.Any, **_kwargs: t.Any) -> t.NoReturn:
        raise error

    monkeypatch.setattr(nas, "_copy", refuse)
    with pytest.raises(kind):
        nas.put(KEY, "source")
    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(kind):
        list(nas.read(KEY))
    if kind is not NotFound:
        monkeypatch.setattr(os, "stat", refuse)
        with pytest.raises(kind):
            nas.size(KEY)


def test_files_being_written_are_not_listed(nas: DirectoryDestination) -> None:
    os.makedirs(os.path.join(nas.path, "lab"))
    for name in (".1.snap.x.part", "1.snap"):
        pathlib.Path(nas.path, "lab", name).touch()
    assert nas.list("lab/") == ["lab/1.snap"] == nas.list("lab/1")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "a/../b", "a//b", "a b", ".hidden", "a/.x", "x" * 1000, "a\\b", "ä"])
def test_unsafe_keys_are_refused(key: str) -> None:
    with pytest.raises(Refused, match="cannot be a key"):
        destinations.check_key(key)


def test_fetched_file_appears_only_if_it_is_the_right_one(nas: DirectoryDestination, source: pathlib.Path, tmp_path: pathlib.Path) -> None:
    nas.put(KEY, str(source))
    dest, sha256 = tmp_path / "dest", sha256_hex(source.read_bytes())
    with pytest.raises(CopyDiffers, match="is not what was backed up"):
        destinations.fetch(nas, KEY, str(dest), "0" * 64)
    assert not dest.exists() and sorted(os.listdir(tmp_path)) == ["nas", "source"]
    assert destinations.fetch(nas, KEY, str(dest), sha256) == (sha256, 2_500_000)
    assert dest.read_bytes() == source.read_bytes()
    assert destinations.fetch(nas, KEY, str(dest), None)[0] == sha256
    with pytest.raises(Refused, match="does not exist"):
        destinations.fetch(nas, KEY, str(tmp_path / "none" / "dest"), None)


def test_large_thing_is_no_manifest(nas: DirectoryDestination, source: pathlib.Path) -> None:
    nas.put(KEY, str(source))
    assert destinations.read_small(nas, KEY) == source.read_bytes()
    with pytest.raises(ApiError, match="larger than 100 bytes"):
        destinations.read_small(nas, KEY, limit=100)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": "a", "type": "directory"}, "without a path"),
        ({"name": "a", "type": "directory", "path": "relative"}, "is relative"),
        ({"name": "a", "type": "s3"}, "lacks endpoint, bucket, access_key, secret_key"),
    ],
)
def test_incomplete_destination_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        destinations.build(options)


def test_two_destinations_of_one_name_are_refused() -> None:
    with pytest.raises(Refused, match="the name 'a'"):
        destinations.build_all([{"name": "a", "type": "directory", "path": "/x"}, {"name": "a", "type": "directory", "path": "/y"}])
    assert destinations.build_all(None) == []
