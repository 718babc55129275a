"""The page that compares tools for Vault says what is so: nothing of the facts is left out, and every yes has a test that is there."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "comparison_vault.md").read_text(encoding="utf-8")
HERE, SHOWN = 7, 8
FEATURES = (
    "install", "init, unseal", "raft join", "remove or replace", "autopilot", "take a snapshot", "completeness", "several off-site targets",
    "read back", "offline inspect", "signature, chain", "restore: leader only", "restore drill", "`peers.json`", "seal migration", "seal-key custody",
    "rekey or rotate", "audit devices", "policies, auth methods", "PKI", "rolling upgrade", "age of the newest snapshot", "last proved restore",
    "OpenBao 2.5",
)  # fmt: skip
ROWS = [[cell.strip() for cell in line.split("|")] for line in PAGE.partition("## How")[0].splitlines() if line.startswith("| ")][1:]
NAMED = sorted(set(re.findall(r"`((?:unit|integration|fault)/[^`]+::[^`]+)`", PAGE)))


def test_every_line_has_all_columns() -> None:
    assert len(ROWS) > len(FEATURES) and all(len(cells) == SHOWN + 2 for cells in ROWS)


@pytest.mark.parametrize("feature", FEATURES)
def test_nothing_that_was_compared_is_left_out(feature: str) -> None:
    found = [cells[HERE] for cells in ROWS if feature in cells[1]]
    assert len(found) == 1 and found[0].startswith(("Y", "~")), feature


def test_every_yes_names_what_shows_it() -> None:
    for cells in ROWS:
        if cells[HERE].startswith(("Y", "~")):
            assert "::" in cells[SHOWN] or cells[SHOWN].startswith("`molecule/"), cells[1]
        else:
            assert cells[HERE].startswith("use "), cells[1]


@pytest.mark.parametrize("named", NAMED)
def test_named_test_exists(named: str) -> None:
    path, _separator, name = named.partition("::")
    tree = ast.parse((ROOT / "tests" / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_named_scenarios_exist() -> None:
    named = re.findall(r"`(molecule/[^`]+)`", PAGE)
    assert named and all((ROOT / path).is_file() for path in named)
