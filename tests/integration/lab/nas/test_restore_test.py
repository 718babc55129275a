"""truenas_restore_test on real pools: clones, checksums, damage, and what is left of a run that was killed."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.resilient.platform.plugins.modules import truenas_restore_test
from helpers.modules import ModuleFailed, run_module

from .world import THREE, TWO, Copy, World, copied, make_world

pytestmark = pytest.mark.lab
FILES = {"file": b"one", "empty": b"", "sub/dir/big": os.urandom(3_000_000), "sub/na\u00efve \\ name": b"two"}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with make_world(tmp_path_factory.mktemp("nas")) as made:
        yield made


@pytest.fixture(scope="module")
def copy(two: World) -> Copy:
    """A copy of a few files."""
    made = copied(two, snapshots=(), run=False)
    put(two, made.source, FILES)
    made.snapshot(TWO)
    made.run()
    return made


def put(world: World, dataset: str, files: dict[str, bytes], role: str = "primary") -> None:
    for name, content in files.items():
        path = world.pair.mount(role, dataset, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            stream.write(content)
            os.fsync(stream.fileno())


def digests(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}


def clean(world: World) -> bool:
    """Nothing of any test is on either system."""
    return not [one for client in (world.a, world.b) for one in client.call("pool.dataset.query") if "restore-test" in one["id"]]


def run(world: World, made: Copy, *, check: bool = False, **args: Any) -> dict[str, Any]:
    options = {**world.connection("secondary"), "dataset": made.target, **args}
    return run_module(truenas_restore_test.main, options, check=check, diff=True)


def against_source(world: World, made: Copy) -> dict[str, Any]:
    return {"source": made.source, "peer": world.connection("primary")}


def test_the_copy_is_what_the_original_is(two: World, copy: Copy) -> None:
    found = run(two, copy, **against_source(two, copy))
    assert (found["verdict"], found["changed"], found["bytes"]) == ("verified", False, sum(map(len, FILES.values())))
    assert found["counts"] == {"expected": 4, "read": 4, "missing": 0, "changed": 0, "extra": 0, "unreadable": 0}
    assert found["snapshot"]["name"] == TWO and 0 < found["rto_seconds"] < 60
    assert clean(two)


def test_by_a_directory_and_a_manifest(two: World, copy: Copy, tmp_path: pathlib.Path) -> None:
    path = tmp_path / "manifest"
    subprocess.run("find . -type f -exec sha256sum {} + > " + str(path), shell=True, check=True, cwd=two.pair.mount("primary", copy.source))
    assert "\\\\" in path.read_text(), "a name that sha256sum escapes"
    found = run(two, copy, manifest_path=str(path), directory=str(two.pair.mount("secondary")))
    assert found["verdict"] == "verified" and found["counts"]["read"] == 4 and clean(two)


def test_damage_is_named(two: World) -> None:
    """The target was changed by somebody, and snapshotted: what is in the snapshot is what is read."""
    made = copied(two, snapshots=(), run=False)
    put(two, made.source, FILES)
    made.snapshot(TWO)
    made.run()
    two.b.call("pool.dataset.update", [made.target, {"readonly": "OFF"}])
    put(two, made.target, {"file": b"0ne", "more": b"x"}, "secondary")
    two.pair.mount("secondary", made.target, "empty").unlink()
    two.b.call("pool.snapshot.create", [{"dataset": made.target, "name": THREE}])
    with pytest.raises(ModuleFailed, match="is not what it should be") as caught:
        run(two, made, manifest=digests(FILES))
    result = caught.value.result
    assert (result["missing"], result["changed_files"], result["extra"]) == (["empty"], ["file"], ["more"])
    assert result["reasons"] == ["missing", "changed", "extra"] and clean(two)
    # The newest that both have by guid is intact.
    assert run(two, made, **against_source(two, made))["snapshot"]["name"] == TWO


def test_check_mode_does_not_test(two: World, copy: Copy) -> None:
    jobs = len(two.b.call("core.get_jobs"))
    found = run(two, copy, check=True, **against_source(two, copy))
    assert (found["verdict"], found["snapshot"]["name"], found["changed"]) == ("not_tested", TWO, False)
    assert len(two.b.call("core.get_jobs")) == jobs and clean(two)


SLOW = """
import json, sys, time
sys.path[:0] = json.loads(sys.argv[2])
import tests.conftest
from helpers.modules import run_module
from ansible_collections.resilient.platform.plugins.module_utils._truenas import content
from ansible_collections.resilient.platform.plugins.modules import truenas_restore_test as module
def digest(*unused):
    print("reading", flush=True)
    time.sleep(60)
content.digest = digest
run_module(module.main, json.loads(sys.argv[1]))
"""


@pytest.mark.parametrize(("number", "left"), [(signal.SIGTERM, 0), (signal.SIGKILL, 1)])
def test_a_killed_run(two: World, copy: Copy, number: signal.Signals, left: int) -> None:
    """SIGTERM: cleaned up on the way out. SIGKILL: found by the next run, which leaves it alone while it may be at work."""
    root = pathlib.Path(__file__).resolve().parents[4]
    options = {**two.connection("secondary"), "dataset": copy.target, "manifest": digests(FILES)}
    command = [sys.executable, "-c", SLOW, json.dumps(options), json.dumps([str(root), str(root / "tests/unit")])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=root) as process:
        assert process.stdout is not None and process.stdout.readline() == "reading\n"
        process.send_signal(number)
        process.wait(timeout=30)
    clones = [one["id"] for one in two.b.call("pool.dataset.query") if one["id"].startswith("tank/restore-test/")]
    assert len(clones) == left
    if not left:
        assert clean(two)
        return
    found = run(two, copy, manifest=digests(FILES))
    assert (found["verdict"], found["leftovers_present"], found["leftovers_removed"]) == ("verified", clones, [])
    time.sleep(1.1)
    planned = run(two, copy, check=True, manifest=digests(FILES), leftover_age=1)
    found = run(two, copy, manifest=digests(FILES), leftover_age=1)
    assert found["leftovers_removed"] == clones and found["changed"] and found["diff"] == planned["diff"]
    assert clean(two)


def test_a_dataset_of_somebody_else_is_no_scratch(two: World, copy: Copy) -> None:
    two.b.call("pool.dataset.create", [{"name": "tank/mine"}])
    with pytest.raises(ModuleFailed, match="was not made by a restore test"):
        run(two, copy, manifest=digests(FILES), scratch="tank/mine")
    assert two.b.call("pool.dataset.query", [[["id", "=", "tank/mine"]]])
