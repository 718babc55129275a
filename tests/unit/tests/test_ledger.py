"""An interrupted integration stage goes on where it was: looked at from outside, on a small tree of its own."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import pytest

CONFTEST = pathlib.Path(__file__).resolve().parents[2] / "integration" / "conftest.py"


class Tree:
    """Two test files; the second fails while ``broken`` exists."""

    def __init__(self, root: pathlib.Path) -> None:
        self.root = root
        (root / "pytest.ini").write_text("[pytest]\nmarkers = lab\n    server\naddopts = -p no:cacheprovider\n")
        (root / "conftest.py").write_text(CONFTEST.read_text())
        head = "import pathlib, pytest\npytestmark = [pytest.mark.lab, pytest.mark.server]\n"
        (root / "test_a.py").write_text(head + "def test_one(): pass\ndef test_two(): pytest.skip('no such thing here')\n")
        (root / "test_b.py").write_text(head + "def test_one(): assert not pathlib.Path('broken').exists()\ndef test_two(): pass\n")

    def run(self, *argv: str) -> tuple[int, str]:
        done = subprocess.run([sys.executable, "-m", "pytest", "-q", *argv], cwd=self.root, capture_output=True, text=True, check=False,
                              env={**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "RESILIENT_TEST_LEDGER": str(self.root / "ledger")})
        return done.returncode, done.stdout


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> Tree:
    return Tree(tmp_path)


def test_only_what_did_not_pass_runs_again(tree: Tree) -> None:
    (tree.root / "broken").touch()
    code, output = tree.run("-m", "lab")
    assert (code, "2 passed, 1 skipped" in output, "1 failed" in output) == (1, True, True), output
    (tree.root / "broken").unlink()
    code, output = tree.run("-m", "lab")
    assert (code, "2 passed, 2 deselected" in output) == (0, True), output
    assert "test_a.py: passed before in this tree" in output and "test_b.py: passed" not in output
    code, output = tree.run("-m", "lab")
    assert (code, "4 deselected" in output) == (0, True), output


def test_stages_do_not_take_each_others_word(tree: Tree) -> None:
    assert tree.run("-m", "lab")[0] == 0
    assert "3 passed, 1 skipped" in tree.run("-m", "server")[1]


def test_part_of_a_file_does_not_pass_for_the_whole(tree: Tree) -> None:
    assert tree.run("-m", "lab", "-k", "test_two")[0] == 0
    assert tree.run("-m", "lab", "test_b.py::test_two")[0] == 0
    assert "3 passed, 1 skipped" in tree.run("-m", "lab")[1]


def test_killed_run_keeps_the_files_that_were_done(tree: Tree) -> None:
    (tree.root / "test_b.py").write_text("import os, signal, pytest\n@pytest.mark.lab\ndef test_one(): os.kill(os.getpid(), signal.SIGKILL)\n")
    assert tree.run("-m", "lab")[0] == -9
    (tree.root / "test_b.py").write_text("import pytest\n@pytest.mark.lab\ndef test_one(): pass\n")
    assert "1 passed, 2 deselected" in tree.run("-m", "lab")[1]
