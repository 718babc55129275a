"""Canonical JSON, times and atomic writes."""

from __future__ import annotations

import datetime
import os
import pathlib

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import PlatformError, Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import canonical, libs


def test_canonical_json_is_sorted_compact_utf8() -> None:
    assert canonical.canonical({"b": [1.0, 2.5, True, None], "a": "ü\n", 3: "x"}) == '{"3":"x","a":"ü\\n","b":[1,2.5,true,null]}'.encode()


def test_pretty_ends_with_a_newline() -> None:
    assert canonical.pretty({"a": 1.0}) == b'{\n  "a": 1\n}\n'


@pytest.mark.parametrize("value", [float("inf"), float("nan"), {1, 2}, b"x"])
def test_what_is_no_json_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="cannot be written as JSON"):
        canonical.canonical([value])


def test_time_round_trip_in_utc() -> None:
    moment = canonical.parse_time("2026-11-21T07:45:00.5+02:00")
    assert canonical.format_time(moment) == "2026-11-21T05:45:00.500000Z"
    assert canonical.parse_time(canonical.utc_now()) <= datetime.datetime.now(datetime.timezone.utc)
    assert canonical.seconds_between("2026-11-21T05:45:00Z", "2026-11-21T05:46:00.25Z") == 60.25


@pytest.mark.parametrize(("text", "said"), [("yesterday", "is no"), ("2026-11-21T05:45:00", "names no time zone"), (None, "is no")])
def test_unusable_time_is_refused(text: str, said: str) -> None:
    with pytest.raises(Refused, match=said.replace("is no", "is not a time")):
        canonical.parse_time(text)


def test_file_digest(tmp_path: pathlib.Path) -> None:
    (tmp_path / "x").write_bytes(b"abc")
    assert canonical.sha256_file(str(tmp_path / "x")) == ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)


def test_failed_atomic_write_leaves_the_old_file_and_no_other(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    canonical.write_atomically(str(path), b"old", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600

    def refuse(*_args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", refuse)
    with pytest.raises(OSError, match="No space"):
        canonical.write_atomically(str(path), b"new")
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["x"]


def test_missing_package_is_named() -> None:
    libs.need("minio", None)
    with pytest.raises(PlatformError, match="minio"):
        libs.need("minio", ImportError("No module named minio"))
