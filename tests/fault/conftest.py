"""One drill for all fault tests: killed, resumed, and then the lab that it leaves is damaged in one way after the other.

``RESILIENT_LAB`` names a lab that is up and has not been used. ``RESILIENT_FAULT_SEED`` chooses where the kills fall; without it always the
same. Two kills, or with ``RESILIENT_LONG_TESTS=1`` one in every step. The plays' output is kept in ``RESILIENT_FAULT_LOGS``.
``RESILIENT_FAULT_AGAIN=1`` looks at the drill of the last session once more instead of another one.
"""

from __future__ import annotations

import os
import pathlib
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from harness import LONG  # noqa: E402
from harness.drill import COMMAND, Drill, plan  # noqa: E402
from harness.refusals import Copies, Runner  # noqa: E402

from lab.state import LabState  # noqa: E402

# The auditor's minute is spent in other tests.
_LEAN = ("-e", "harden_audit=false")

# What looks at the drill first, then what damages its lab, and at last what makes another drill.
_ORDER = ("test_kill", "test_secrets", "test_copies", "test_canaries", "test_more_rebuilds")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests of this directory in order; others are not touched."""
    here = [item for item in items if item.path.parent == pathlib.Path(__file__).parent]
    ordered = iter(sorted(here, key=lambda item: _ORDER.index(item.path.stem)))
    items[:] = [next(ordered) if item in here else item for item in items]


@pytest.fixture(scope="session")
def state() -> LabState:
    """The lab."""
    found = LabState.open(os.environ.get("RESILIENT_LAB", "default"), create=False)
    assert "proxmox" in found.connection, "start a lab for these tests: python -m lab --name NAME up"
    return found


@pytest.fixture(scope="session")
def drill(state: LabState, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Drill:
    """A drill that was killed and resumed, and has ended by itself."""
    logs = pathlib.Path(os.environ.get("RESILIENT_FAULT_LOGS") or tmp_path_factory.mktemp("fault"))
    logs.mkdir(parents=True, exist_ok=True)
    found = Drill(state, logs, COMMAND if LONG else (*COMMAND, *_LEAN))
    if os.environ.get("RESILIENT_FAULT_AGAIN"):
        found.load()
        return found
    assert not found.run_dirs, f"lab '{state.name}' has had drills: take it down and up again, so that what is counted is this one's"
    seed = int(os.environ.get("RESILIENT_FAULT_SEED") or 20261121)
    kills = plan(seed, every_step=LONG)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        print(f"\nRESILIENT_FAULT_SEED={seed}: kills in {', '.join(f'{kill.step} ({kill.fraction:.0%})' for kill in kills)}; logs in {logs}", flush=True)
        found.go(kills)
    found.save()
    return found


@pytest.fixture(scope="session")
def runner(drill: Drill) -> Runner:
    """Runs plays against the platform that the drill has rebuilt."""
    assert drill.attempts[-1].status == 0, f"the drill did not end well, so there is nothing to damage: see {drill.attempts[-1].log}"
    return Runner(drill.state, drill.logs)


@pytest.fixture
def copies(runner: Runner) -> t.Iterator[Copies]:
    """The backups at every destination; put back as they were when the test is over."""
    found = Copies.load(runner.state)
    yield found
    found.restore()
