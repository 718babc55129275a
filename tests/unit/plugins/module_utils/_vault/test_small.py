"""Durations, files and the connection options."""

from __future__ import annotations

import json
import os
import pathlib
import stat
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils import _files as files
from ansible_collections.resilient.platform.plugins.module_utils._vault import argspec
from ansible_collections.resilient.platform.plugins.module_utils._vault.duration import same, seconds
from helpers import vault
from helpers.modules import ModuleFailed, run_module
from helpers.vault import URL, Script

script = vault.script


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (600, 600),
        ("600", 600),
        ("10m", 600),
        ("10m0s", 600),
        ("1h30m", 5400),
        ("1d", 86400),
        ("500ms", 0.5),
        ("1.5h", 5400),
        ("x", None),
        ("", None),
        (True, None),
        ("10 m", None),
    ],
)
def test_durations(value: t.Any, expected: float | None) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize(
    ("wanted", "current", "expected"),
    [
        ("10m", 600, True),
        ("10m", 601, False),
        (["a", "b"], ["b", "a"], True),
        (["a"], ["a", "b"], False),
        ("a,b", ["a", "b"], True),
        ([], None, True),
        (["x"], None, False),
        (5, ["5"], True),
        (True, True, True),
        (True, "true", True),
        (False, None, False),
        ("text", "text", True),
        ("", None, True),
        ({"a": "1m"}, {"a": 60, "b": 1}, True),
        ({"a": 1}, None, False),
    ],
)
def test_settings_are_compared_by_meaning(wanted: t.Any, current: t.Any, expected: bool) -> None:
    assert same(wanted, current) is expected


def test_json_is_written_whole_and_private(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old")
    path.chmod(0o644)
    files.write_json(str(path), {"b": 1, "a": 2})
    assert json.loads(path.read_text()) == {"a": 2, "b": 1}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
    assert files.read_json(str(path)) == {"a": 2, "b": 1}


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    files.write_json(str(path), {"a": 1})
    monkeypatch.setattr(os, "fsync", vault.full_disk)
    with pytest.raises(Refused, match="No space left") as refused:
        files.write_json(str(path), {"root_token": "hunter2"})
    assert "hunter2" not in str(refused.value)
    monkeypatch.undo()
    assert files.read_json(str(path)) == {"a": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places_are_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(Refused, match="is a directory"):
        files.check_writable(str(tmp_path))
    with pytest.raises(Refused, match="Cannot write into"):
        files.check_writable(str(tmp_path / "missing" / "x"))
    with pytest.raises(Refused, match="Cannot write"):
        files.write_json(str(tmp_path / "missing" / "x"), {})
    files.check_writable(str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_file_that_is_not_ours_is_refused_without_being_shown(tmp_path: pathlib.Path, content: str) -> None:
    path = tmp_path / "x"
    path.write_text(content)
    with pytest.raises(Refused, match="holds no JSON"):
        files.read_json(str(path))
    with pytest.raises(Refused, match="Cannot read"):
        files.read_json(str(tmp_path))
    assert files.read_json(str(tmp_path / "none")) is None


def run(**options: t.Any) -> dict[str, t.Any]:
    """Run a module that only connects."""

    def main() -> None:
        module = argspec.vault_spec().create_module()
        argspec.run(
            module, lambda: {"url": argspec.client_from_params(module.params).url, "token_of": argspec.client_from_params(module.params).token[:3]}
        )

    return run_module(main, options)


def test_options_come_from_the_environment_of_either_product(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BAO_ADDR", URL)
    monkeypatch.setenv("BAO_TOKEN", "bao-token")
    assert run() == {"changed": False, "url": URL, "token_of": "bao"}
    monkeypatch.setenv("VAULT_TOKEN", "vault-token")
    assert run()["token_of"] == "vau"
    assert run(token="opt-ion")["token_of"] == "opt"


def test_skip_verify_is_the_opposite_of_validate_certs(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[t.Any] = []

    def main() -> None:
        module = argspec.vault_spec().create_module()
        seen.append(module.params["validate_certs"])
        module.exit_json()

    run_module(main, {"url": URL})
    monkeypatch.setenv("BAO_SKIP_VERIFY", "1")
    run_module(main, {"url": URL})
    run_module(main, {"url": URL, "validate_certs": True})
    monkeypatch.setenv("VAULT_SKIP_VERIFY", "false")
    run_module(main, {"url": URL})
    assert seen == [True, False, True, True]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "No token for the server"),
        ({"auth_method": "approle", "role_id": "r"}, "role_id or secret_id is missing"),
        ({"token": "t", "request_timeout": 0}, "at least 1 second"),
        ({"token": "t", "ca_path": "/nowhere"}, "do not exist"),
    ],
)
def test_missing_credentials_are_refused(script: Script, options: dict[str, t.Any], text: str) -> None:
    with pytest.raises(ModuleFailed, match=text):
        run(url=URL, **options)


def test_approle_logs_in(script: Script) -> None:
    script.expect("POST", "auth/machines/login", body={"auth": {"client_token": "abc"}}, times=2)
    assert run(url=URL, auth_method="approle", role_id="r", secret_id="s", auth_mount_point="machines")["token_of"] == "abc"


def test_a_missing_library_is_named(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(argspec, "HAS_HVAC", False)
    with pytest.raises(ModuleFailed, match="hvac"):
        run(url=URL, token="t")
