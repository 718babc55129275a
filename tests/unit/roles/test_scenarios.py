"""Every role has a Molecule scenario, and what a scenario says it runs is there: Molecule only warns of a missing playbook."""

from __future__ import annotations

import pathlib
import re
import typing as t

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
SCENARIOS = sorted(path.parent for path in (ROOT / "molecule").glob("*/molecule.yml") if path.parent.name != "default")
SHARED = yaml.safe_load((ROOT / ".config/molecule/config.yml").read_text(encoding="utf-8"))
PLAYBOOKS = {"check": "converge", "idempotence": "converge"}


def sequence(scenario: pathlib.Path) -> list[str]:
    """Return the actions of a scenario, its own or the shared ones."""
    own = yaml.safe_load((scenario / "molecule.yml").read_text(encoding="utf-8")) or {}
    return t.cast("list[str]", {**SHARED["scenario"], **own.get("scenario", {})}["test_sequence"])


def listed(name: str) -> list[str]:
    """Return a list of scenarios that tests/scenarios.sh holds."""
    found = re.search(rf"^{name}=\(([^)]*)\)$", (ROOT / "tests/scenarios.sh").read_text(encoding="utf-8"), re.MULTILINE)
    assert found
    return found[1].split()


@pytest.fixture(params=SCENARIOS, ids=lambda path: path.name)
def scenario(request: pytest.FixtureRequest) -> pathlib.Path:
    return t.cast(pathlib.Path, request.param)


def test_every_role_and_the_drill_have_a_scenario() -> None:
    roles = {path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir()}
    assert {path.name for path in SCENARIOS} >= roles | {"dr_drill"}


def test_every_scenario_is_run() -> None:
    assert sorted(listed("all")) == [path.name for path in SCENARIOS]
    assert set(listed("fixed")) <= set(listed("all"))


def test_every_action_has_its_playbook(scenario: pathlib.Path) -> None:
    for action in sequence(scenario):
        name, *playbooks = action.split()
        # Molecule passes over an action with a playbook of its own where the scenario has none of the action's name.
        for playbook in [*playbooks, f"{PLAYBOOKS.get(name, name)}.yml"]:
            assert (scenario / playbook).is_file(), f"{action}: {playbook}"


def test_every_playbook_is_run(scenario: pathlib.Path) -> None:
    wanted = {"molecule.yml"}
    for action in sequence(scenario):
        name, *playbooks = action.split()
        wanted |= set(playbooks or [f"{PLAYBOOKS.get(name, name)}.yml"])
    assert {path.name for path in scenario.glob("*.yml")} <= wanted


def test_every_scenario_converges_and_looks_at_the_result(scenario: pathlib.Path) -> None:
    names = [action.split()[0] for action in sequence(scenario)]
    assert {"converge", "verify"} <= set(names)
    assert "check" in names or scenario.name == "dr_drill"
    assert names.index("converge") < names.index("verify")


def test_a_scenario_without_idempotence_says_why(scenario: pathlib.Path) -> None:
    text = (scenario / "molecule.yml").read_text(encoding="utf-8")
    assert "idempotence" in sequence(scenario) or re.search(r"^# .*operation", text, re.MULTILINE)
