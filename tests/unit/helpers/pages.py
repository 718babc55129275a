"""What the tests of comparison pages share: tables of a page, and tests that a page names."""

from __future__ import annotations

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[3]
_NAMED = re.compile(r"`((?:unit|integration)/[^`]+::[^`]+)`")


def page(name: str) -> str:
    """Return a page of docs/."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def named_tests(text: str) -> list[str]:
    """Return the tests that a page names, as ``path::function`` below tests/."""
    return sorted(set(_NAMED.findall(text)))


def exists(named: str) -> bool:
    """Whether a test that a page names is there."""
    path, _separator, name = named.partition("::")
    file = ROOT / "tests" / path
    if not file.is_file():
        return False
    return name in {node.name for node in ast.parse(file.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef)}


def lines(text: str) -> list[list[str]]:
    """Return the cells of all tables of a page, line by line, without headings' rules."""
    found = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [cells for cells in found if not set("".join(cells)) <= set("-: ")]
