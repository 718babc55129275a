"""A lab of its own, as empty as a new platform, for tests of the state playbooks."""

from __future__ import annotations

import os
import pathlib
import sys
from collections.abc import Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from lab.state import LabState  # noqa: E402
from runs import lab  # noqa: E402


@pytest.fixture(scope="session")
def empty_lab() -> Iterator[LabState]:
    """A running lab in which nothing was ever provisioned; tests that use it write nothing to it."""
    name = os.environ.get("RESILIENT_LAB", "test") + "-st"
    lab(name, "up")
    state = LabState.open(name, create=False)
    state.load()
    yield state
    lab(name, "down")
