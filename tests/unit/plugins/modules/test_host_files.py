"""host_files on a real directory."""

from __future__ import annotations

import os
import pathlib
import pwd
import stat
import typing as t

import pytest
from ansible.module_utils import basic
from helpers.modules import ModuleFailed, run_module

from ansible_collections.resilient.platform.plugins.module_utils._host import disk
from ansible_collections.resilient.platform.plugins.modules import host_files


@pytest.fixture(autouse=True)
def _temporary(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(basic.AnsibleModule, "tmpdir", str(scratch))


def run(*files: dict[str, t.Any], **kwargs: bool) -> dict[str, t.Any]:
    return run_module(host_files.main, {"files": list(files)}, **kwargs)


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_present_creates_file_and_parents(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "a/b/c.conf"
    result = run({"path": str(path), "content": "x\n", "mode": "0640"})
    assert result["files"] == [{"path": str(path), "changed": True}]
    assert (path.read_text(), mode(path), mode(path.parent)) == ("x\n", 0o640, 0o755)


def test_present_twice_is_unchanged(tmp_path: pathlib.Path) -> None:
    file = {"path": str(tmp_path / "x"), "content": "x\n", "mode": "0640", "owner": pwd.getpwuid(os.getuid()).pw_name}
    assert run(file)["changed"] and not run(file)["changed"]


def test_check_mode_writes_nothing_and_predicts_the_diff(tmp_path: pathlib.Path) -> None:
    edited, removed, folder = tmp_path / "edited", tmp_path / "removed", tmp_path / "folder"
    edited.write_text("UMASK 022\nother\n")
    removed.write_text("gone\n")
    files: list[dict[str, t.Any]] = [
        {"path": str(edited), "lines": [{"match": "^UMASK", "line": "UMASK 027"}], "mode": "0600"},
        {"path": str(removed), "state": "absent"},
        {"path": str(folder), "state": "directory", "mode": "0700"},
    ]
    predicted = run(*files, check=True, diff=True)
    assert edited.read_text() == "UMASK 022\nother\n" and removed.exists() and not folder.exists()
    real = run(*files, diff=True)
    assert predicted == real and real["changed"]
    assert (edited.read_text(), mode(edited), removed.exists(), mode(folder)) == ("UMASK 027\nother\n", 0o600, False, 0o700)
    assert not run(*files)["changed"]


def test_content_keeps_mode_of_an_existing_file(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    path.write_text("old")
    path.chmod(0o600)
    run({"path": str(path), "content": "new"})
    assert (path.read_text(), mode(path)) == ("new", 0o600)


def test_new_file_is_never_more_open_than_asked(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    run({"path": str(path), "content": "plain"})
    assert mode(path) == 0o644


def test_link_stays_a_link(tmp_path: pathlib.Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    link.symlink_to(target)
    run({"path": str(link), "content": "new"})
    assert link.is_symlink() and target.read_text() == "new"


def test_bytes_that_are_no_utf8_survive(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"caf\xe9\na\n")
    run({"path": str(path), "lines": [{"match": "^a", "line": "a1"}]})
    assert path.read_bytes() == b"caf\xe9\na1\n"


def test_nothing_is_written_when_one_file_is_not_valid(tmp_path: pathlib.Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    with pytest.raises(ModuleFailed, match="grep -q good") as caught:
        run({"path": str(first), "content": "x"}, {"path": str(second), "content": "bad\n", "validate": "grep -q good %s"})
    assert not first.exists() and not second.exists()
    assert caught.value.result["error"]["type"] == "Refused" and caught.value.result["changed"] is False
    assert list((tmp_path / "scratch").iterdir()) == []


def test_valid_file_is_written(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    run({"path": str(path), "content": "good\n", "validate": "grep -q good %s"})
    assert path.read_text() == "good\n"


def test_validate_without_placeholder_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ModuleFailed, match="has no %s"):
        run({"path": str(tmp_path / "x"), "content": "x", "validate": "true"})


def test_check_mode_goes_on_without_a_validator_that_is_not_installed_yet(tmp_path: pathlib.Path) -> None:
    file = {"path": str(tmp_path / "x"), "content": "x", "validate": "no-such-validator %s"}
    assert run(file, check=True)["changed"]
    with pytest.raises(ModuleFailed, match="there is no command 'no-such-validator'"):
        run(file)


def test_same_path_twice_is_refused(tmp_path: pathlib.Path) -> None:
    file = {"path": str(tmp_path / "x"), "content": "x"}
    with pytest.raises(ModuleFailed, match="listed twice"):
        run(file, file)


def test_unknown_owner_says_what_to_do(tmp_path: pathlib.Path) -> None:
    with pytest.raises(ModuleFailed, match="Create that user or group first"):
        run({"path": str(tmp_path / "x"), "content": "x", "owner": "no-such-user-here"})


def test_unknown_group_reports_what_was_done_before(tmp_path: pathlib.Path) -> None:
    first = tmp_path / "first"
    with pytest.raises(ModuleFailed) as caught:
        run({"path": str(first), "content": "x"}, {"path": str(tmp_path / "x"), "content": "x", "group": "no-such-group-here"})
    assert caught.value.result["files"] == [{"path": str(first), "changed": True}] and caught.value.result["changed"]


def test_unreadable_file_says_become(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> t.NoReturn:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(disk.os, "stat", refuse)
    with pytest.raises(ModuleFailed, match="become"):
        run({"path": str(tmp_path / "x"), "content": "x"})


def test_read_only_file_system_says_so(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> t.NoReturn:
        raise OSError(30, "Read-only file system")

    path = tmp_path / "x"
    path.write_text("x")
    monkeypatch.setattr(disk.os, "chmod", refuse)
    with pytest.raises(ModuleFailed, match="Read-only file system"):
        run({"path": str(path), "state": "existing", "mode": "0600"})


def test_ids_without_a_name_are_numbers(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x"
    path.write_text("x")
    assert (disk.user(4242424), disk.group(4242424), disk.user_id("12"), disk.group_id("12")) == ("4242424", "4242424", 12, 12)
    assert (disk.user_id(None), disk.group_id(None)) == (-1, -1)
    assert disk.read(str(path / "below"), with_content=True).kind is None
