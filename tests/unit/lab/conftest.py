"""Every test gets a cache and a state directory of its own."""

from __future__ import annotations

import pathlib

import pytest

from lab.state import LabState


@pytest.fixture(autouse=True)
def cache(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> pathlib.Path:
    """The lab's cache directory."""
    monkeypatch.setenv("RESILIENT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RESILIENT_LAB_STATE", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def state(cache: pathlib.Path) -> LabState:
    """A lab with a network that exists on paper."""
    state = LabState.open("unit")
    state.update("network", {"name": "resilient-unit", "cidr": "10.93.7.0/24", "gateway": "127.0.0.1", "prefix": 24})
    return state
