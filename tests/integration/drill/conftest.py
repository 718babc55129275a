"""Drills on a lab."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from plays import ROOT, Lab  # noqa: E402


@pytest.fixture(scope="session")
def lab() -> Lab:
    """The lab that the tests of this stage share; what is in it is not known."""
    return Lab(os.environ.get("RESILIENT_LAB", "default"))


@pytest.fixture(scope="module")
def site() -> t.Iterator[Lab]:
    """A lab of its own with the whole platform in it and one backup; it goes when the tests are done."""
    if not os.environ.get("RESILIENT_LONG_TESTS"):
        pytest.skip("builds a whole platform (15 minutes): set RESILIENT_LONG_TESTS=1, as make test-all does")
    name = f"{os.environ.get('RESILIENT_LAB', 'default')[:16]}-iso"
    manage = [sys.executable, "-m", "lab", "--name", name]
    subprocess.run([*manage, "up"], cwd=ROOT, check=True)
    try:
        made = Lab(name)
        for playbook in ("resilient.platform.site", "resilient.platform.backup"):
            done = made.play(playbook)
            assert done.returncode == 0, done.stdout[-4000:]
        yield made
    finally:
        subprocess.run([*manage, "down"], cwd=ROOT, check=True)
