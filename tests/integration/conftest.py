"""Remembers test files that passed, so that an interrupted ``make test-all`` goes on with the first one that did not.

``RESILIENT_TEST_LEDGER`` names the file; ``tests/run.sh all`` sets it, one for each state of the tree. A file counts when all of its tests
that were selected have ended and none failed. It is written down at once: a kill loses the file that was running and nothing else.
"""

from __future__ import annotations

import collections
import os
import pathlib

import pytest


class Ledger:
    """The memory of one run; ``kind`` (the marker expression) keeps the stages apart."""

    def __init__(self, path: pathlib.Path, config: pytest.Config) -> None:
        self.path, self.root = path, config.rootpath
        self.kind = (config.option.markexpr or "all").replace(" ", "_")
        self.passed = set(path.read_text(encoding="utf-8").splitlines()) if path.exists() else set()
        self.left: collections.Counter[str] = collections.Counter()
        self.failed: set[str] = set()
        self.spared: set[str] = set()

    def _line(self, file: str) -> str:
        return f"file {self.kind} {file}"

    # After the selection by -m and -k, which is what the counts have to be of.
    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        def file_of(item: pytest.Item) -> str:
            return item.path.relative_to(self.root).as_posix()

        spared = [item for item in items if self._line(file_of(item)) in self.passed]
        self.spared = {file_of(item) for item in spared}
        items[:] = [item for item in items if file_of(item) not in self.spared]
        config.hook.pytest_deselected(items=spared)
        self.left = collections.Counter(item.nodeid.partition("::")[0] for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = report.nodeid.partition("::")[0]
        if report.failed:
            self.failed.add(file)
        if report.when == "teardown":
            self.left[file] -= 1
            if not self.left[file] and file not in self.failed:
                with self.path.open("a", encoding="utf-8") as stream:
                    stream.write(self._line(file) + "\n")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for file in sorted(self.spared):
            terminalreporter.write_line(f"{file}: passed before in this tree")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED and self.spared:
            session.exitstatus = pytest.ExitCode.OK


def pytest_configure(config: pytest.Config) -> None:
    name = os.environ.get("RESILIENT_TEST_LEDGER")
    # A part of a file must not pass for the whole of it.
    if name and not config.option.keyword and not any("::" in argument for argument in config.args):
        config.pluginmanager.register(Ledger(pathlib.Path(name), config), "resilient-ledger")
