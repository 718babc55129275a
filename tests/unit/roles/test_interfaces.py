"""A role's interface is written twice, in defaults and in the argument spec: both must say the same."""

from __future__ import annotations

import pathlib
import typing as t

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
ROLES = sorted(path for path in (ROOT / "roles").iterdir() if path.is_dir())


def read(path: pathlib.Path) -> t.Any:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def spec_options(role: pathlib.Path) -> dict[str, dict[str, t.Any]]:
    """All options of all entry points; the same option must be told the same way in each."""
    merged: dict[str, dict[str, t.Any]] = {}
    for entry in read(role / "meta/argument_specs.yml")["argument_specs"].values():
        for name, option in (entry.get("options") or {}).items():
            default = merged.get(name, {}).get("default", option.get("default"))
            assert default == option.get("default", default), f"{name} has different defaults in two entry points"
            merged[name] = {**merged.get(name, {}), **option}
    return merged


@pytest.fixture(params=ROLES, ids=lambda path: path.name)
def role(request: pytest.FixtureRequest) -> pathlib.Path:
    return t.cast(pathlib.Path, request.param)


def test_every_default_is_in_the_argument_spec_and_back(role: pathlib.Path) -> None:
    defaults = read(role / "defaults/main.yml")
    options = spec_options(role)
    without_default = {name for name, option in options.items() if "default" not in option}
    assert set(defaults) - set(options) == set(), "in defaults only"
    assert set(options) - without_default - set(defaults) == set(), "default in the argument spec only"


def test_defaults_are_equal(role: pathlib.Path) -> None:
    defaults = read(role / "defaults/main.yml")
    for name, option in spec_options(role).items():
        if "default" in option and not (isinstance(defaults[name], str) and "{{" in defaults[name]):
            assert option["default"] == defaults[name], name


def test_option_without_default_in_the_spec_has_a_templated_default_or_none(role: pathlib.Path) -> None:
    defaults = read(role / "defaults/main.yml")
    for name, option in spec_options(role).items():
        if "default" not in option and name in defaults:
            assert isinstance(defaults[name], str) and "{{" in defaults[name], f"{name}: state its default in the spec"


def test_variables_carry_the_role_name(role: pathlib.Path) -> None:
    for name in [*read(role / "defaults/main.yml"), *spec_options(role)]:
        assert name.startswith(f"{role.name}_"), name


def test_role_has_readme_that_names_every_variable(role: pathlib.Path) -> None:
    text = (role / "README.md").read_text(encoding="utf-8")
    missing = [name for name in spec_options(role) if name not in text]
    assert missing == []


def test_main_is_a_table_of_contents(role: pathlib.Path) -> None:
    lines = (role / "tasks/main.yml").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 60, "move the work into named files"
