"""A lab of its own, as empty as a new platform, for tests of the state playbooks."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lab.state import LabState  # noqa: E402
from runs import ROOT  # noqa: E402


def lab(name: str, command: str) -> None:
    """Run ``python -m lab``."""
    done = subprocess.run([sys.executable, "-m", "lab", "--name", name, command], cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, f"lab {command}:\n{done.stdout}\n{done.stderr}"


@pytest.fixture(scope="session")
def empty_lab() -> Iterator[LabState]:
    """A running lab in which nothing was ever provisioned; tests that use it write nothing to it."""
    name = os.environ.get("RESILIENT_LAB", "test") + "-st"
    lab(name, "up")
    state = LabState.open(name, create=False)
    state.load()
    yield state
    lab(name, "down")
