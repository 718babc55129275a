"""What is broken on real pools, and what truenas_replication_verify says: docs/detection_truenas.md is this file's result.

``RESILIENT_WRITE_DOCS=1`` writes the page anew. A miss, a false alarm, a reason too many or a page that says something else is red.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._truenas.verify import REASONS
from ansible_collections.resilient.platform.plugins.modules import truenas_replication_verify
from helpers.modules import run_module

from lab import nas

from .world import OLD, ONE, THREE, TWO, Copy, World, copied, make_world

pytestmark = pytest.mark.lab
PAGE = pathlib.Path(__file__).resolve().parents[4] / "docs" / "detection_truenas.md"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Its own pair, because one of the systems is killed at the end."""
    with make_world(tmp_path_factory.mktemp("nas")) as made:
        yield made


@dataclasses.dataclass
class Case:
    """Something that is broken (or not), and the reasons the verifier must give, by dataset; nothing means it must keep quiet."""

    what: str
    does: Callable[[World], tuple[Copy, dict[str, Any]]]
    expected: list[list[str]]


def nothing(world: World) -> tuple[Copy, dict[str, Any]]:
    return copied(world), {}


def tree(world: World) -> tuple[Copy, dict[str, Any]]:
    return copied(world, recursive=True, children=("x", "y"), exclude=[]), {}


def excluded(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world, recursive=True, children=("x", "y"), run=False)
    world.a.call("replication.update", [made.task, {"exclude": [f"{made.source}/y"]}])
    made.run()
    return made, {}


def retention_of_source(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.a.call("pool.snapshot.delete", [f"{made.source}@{ONE}"])
    return made, {}


def retention_of_target(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world, snapshots=(ONE, TWO, THREE))
    world.b.call("pool.snapshot.delete", [f"{made.target}@{ONE}"])
    return made, {}


def on_its_way(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    made.snapshot(THREE)
    return made, {}


def manual(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world, snapshots=(ONE, "by-hand", TWO))
    return made, {}


def local(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world, transport="LOCAL", ssh_credentials=None)
    return made, {}


def disabled(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.a.call("replication.update", [made.task, {"enabled": False}])
    return made, {}


def deleted(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.a.call("replication.delete", [made.task])
    return made, {}


def on_hold(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.a.call("replication.update", [made.task, {"source_datasets": ["exported/apps"]}])
    return made, {}


def newest_destroyed(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.b.call("pool.snapshot.delete", [f"{made.target}@{TWO}"])
    return made, {}


def middle_destroyed(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world, snapshots=(ONE, TWO, THREE))
    world.b.call("pool.snapshot.delete", [f"{made.target}@{TWO}"])
    return made, {}


def all_destroyed(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    for one in (ONE, TWO):
        world.b.call("pool.snapshot.delete", [f"{made.target}@{one}"])
    return made, {}


def target_destroyed(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.b.call("pool.dataset.delete", [made.target, {"recursive": True}])
    return made, {}


def child_destroyed(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world, recursive=True, children=("x", "y"))
    world.b.call("pool.dataset.delete", [f"{made.target}/y", {"recursive": True}])
    return made, {}


def dirty(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.b.call("pool.dataset.update", [made.target, {"readonly": "OFF"}])
    world.pair.mount("secondary", made.target, "file").write_text("changed by somebody")
    return made, {}


def diverged(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.b.call("pool.snapshot.create", [{"dataset": made.target, "name": THREE}])
    return made, {}


def swapped(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.b.call("pool.snapshot.delete", [f"{made.target}@{TWO}"])
    world.b.call("pool.snapshot.create", [{"dataset": made.target, "name": TWO}])
    return made, {}


def replaced(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.b.call("pool.dataset.delete", [made.target, {"recursive": True}])
    world.b.call("pool.dataset.create", [{"name": made.target}])
    for one in (ONE, TWO):
        world.b.call("pool.snapshot.create", [{"dataset": made.target, "name": one}])
    world.b.call("pool.dataset.update", [made.target, {"readonly": "ON"}])
    return made, {}


def source_remade(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    for one in (ONE, TWO):
        world.a.call("pool.snapshot.delete", [f"{made.source}@{one}"])
    made.snapshot(THREE)
    return made, {}


def source_gone(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.zfs("nas-a", "destroy", "-r", made.source)
    return made, {}


def rolled_back(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world, snapshots=(ONE, TWO, THREE))
    world.a.call("pool.snapshot.rollback", [f"{made.source}@{ONE}", {"recursive": True}])
    return made, {}


def warned(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world, recursive=True)
    world.a.call("pool.dataset.create", [{"name": f"{made.source}/new"}])
    made.snapshot(THREE)
    made.run()
    return made, {}


def not_recursive(world: World) -> tuple[Copy, dict[str, Any]]:
    """The replication is recursive, the snapshots are not: a dataset below has old ones only."""
    made = world.aged("tree")
    made.snapshot(THREE)
    made.run()
    return made, {"max_age": OLD}


def stale(world: World) -> tuple[Copy, dict[str, Any]]:
    return world.aged("stale"), {"max_age": OLD}


def stopped(world: World) -> tuple[Copy, dict[str, Any]]:
    made = world.aged("stopped")
    made.snapshot(THREE)
    return made, {"max_age": OLD}


def never_ran(world: World) -> tuple[Copy, dict[str, Any]]:
    return copied(world, run=False), {}


def never_taken(world: World) -> tuple[Copy, dict[str, Any]]:
    return copied(world, run=False, snapshots=()), {}


def other_schema(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.a.call("replication.update", [made.task, {"also_include_naming_schema": ["nightly-%Y-%m-%d_%H-%M"]}])
    return made, {}


def full(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.zfs("nas-b", "set", "quota=3M", made.target)
    world.pair.mount("primary", made.source, "big").write_bytes(os.urandom(8_000_000))
    made.snapshot(THREE)
    made.run(fails="[EFAULT]")
    return made, {}


def key_rotated(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    world.b.call("user.update", [world.root, {"sshpubkey": "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0N1c2tpYW5vdGhlcmtleXRoYXRpc25vdG91cnM= other"}])
    made.snapshot(THREE)
    made.run(fails="Authentication failed")
    world.b.call("user.update", [world.root, {"sshpubkey": world.public}])
    return made, {}


def wrong_pair(world: World) -> tuple[Copy, dict[str, Any]]:
    made, other = copied(world), copied(world)
    return made, {"pairs": [{"source": made.source, "target": other.target}]}


def no_server(world: World) -> tuple[Copy, dict[str, Any]]:
    made = copied(world)
    nas.fault(world.pair.state, "server-kill", {"nas": "nas-b"})
    return made, {}


CASES = [
    Case("nothing", nothing, [[]]),
    Case("nothing, with datasets below", tree, [[], [], []]),
    Case("nothing, a dataset below is excluded", excluded, [[], []]),
    Case("nothing, the source keeps less than the target", retention_of_source, [[]]),
    Case("nothing, the target keeps less than the source", retention_of_target, [[]]),
    Case("nothing, a new snapshot waits for the next run", on_its_way, [[]]),
    Case("nothing, a snapshot taken by hand is not sent", manual, [[]]),
    Case("nothing, both datasets on one system", local, [[]]),
    Case("replication disabled", disabled, [["task_disabled"]]),
    Case("replication deleted", deleted, [["task_missing"]]),
    Case("replication on hold: pool of the source exported", on_hold, [["source_missing", "task_hold"]]),
    Case("newest snapshot destroyed on the target", newest_destroyed, [["last_snapshot_gone"]]),
    Case("a snapshot in the middle destroyed on the target", middle_destroyed, [["gap"]]),
    Case("all snapshots destroyed on the target", all_destroyed, [["target_empty", "last_snapshot_gone"]]),
    Case("target dataset destroyed", target_destroyed, [["target_missing"]]),
    Case("one of the datasets below destroyed on the target", child_destroyed, [[], [], ["target_missing"]]),
    Case("target made writable, and a file in it changed", dirty, [["target_writable"]]),
    Case("snapshot taken on the target", diverged, [["target_diverged"]]),
    Case("snapshot of the target swapped for another of the same name", swapped, [["guid_mismatch"]]),
    Case("target replaced by another dataset with the same snapshots by name", replaced, [["guid_mismatch", "no_common_snapshot"]]),
    Case("all common snapshots destroyed on the source", source_remade, [["no_common_snapshot"]]),
    Case("source rolled back behind what was sent", rolled_back, [["target_diverged"]]),
    Case("source dataset destroyed in a shell", source_gone, [["source_missing"]]),
    Case("run ended with a warning: a new dataset below has no snapshot", warned,
         [["task_warnings"], ["target_missing", "no_source_snapshots", "task_warnings"]]),
    Case("snapshots not taken of what is below any more", not_recursive, [[], ["source_stale", "too_old"]]),
    Case("no snapshots any more", stale, [["source_stale", "too_old"]]),
    Case("snapshots are taken and not replicated", stopped, [["too_old"]]),
    Case("replication never ran", never_ran, [["target_missing", "task_pending"]]),
    Case("snapshots never taken", never_taken, [["target_missing", "no_source_snapshots", "task_pending"]]),
    Case("naming schema of replication and snapshots differ", other_schema, [["schema_mismatch"]]),
    Case("secondary full", full, [["task_failed"]]),
    Case("SSH key rotated on the secondary", key_rotated, [["task_failed"]]),
    Case("target of another dataset named as the copy", wrong_pair, [["guid_mismatch", "no_common_snapshot"]]),
    Case("API of the secondary gone", no_server, [["target_unreachable"]]),
]  # fmt: skip
ELSEWHERE = {"task_stuck": "a run that doesn't end", "clock": "a clock in the future", "source_unreachable": "the source system gone"}


def verified(world: World, made: Copy, options: dict[str, Any]) -> list[list[str]]:
    """Run the verifier and return the reasons of each pair, in its order."""
    chosen = {} if "pairs" in options else {"replications": [made.name]}
    systems = {**world.connection("primary"), "peer": world.connection("secondary")}
    result = run_module(truenas_replication_verify.main, {**systems, "fail": False, **chosen, **options})
    found = [[why["reason"] for why in pair["reasons"]] for pair in result["pairs"]]
    assert result["verdict"] == ("failed" if any(found) else "verified")
    return found


def page(rows: list[tuple[str, list[list[str]]]]) -> str:
    """The page, from what the verifier said."""
    lines = [
        "# What the verifier of TrueNAS replicas detects", "",
        "Each row was broken on two real pools (the lab's, `tests/integration/lab/nas/test_detection.py`), and `truenas_replication_verify` was asked.",
        "The test writes this page and is red at a miss, a false alarm or a reason too many. Datasets below a recursive one are judged on their own;",
        "`verified` and reasons of several datasets are separated by a slash.", "",
        "| what was broken | what the verifier said |", "|---|---|",
    ]
    lines += [f"| {what} | {' / '.join(', '.join(f'`{one}`' for one in dataset) or 'verified' for dataset in said)} |" for what, said in rows]
    shown = {one for _what, said in rows for dataset in said for one in dataset}
    lines += ["", f"{sum(not any(said) for _what, said in rows)} rows with nothing broken raised no alarm; {sum(any(said) for _what, said in rows)} "
              "broken ones were all detected.", "", "## Reasons", "", "| reason | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in REASONS.items()]
    missing = sorted(set(REASONS) - shown)
    lines += ["", "Shown by unit tests only (`tests/unit/plugins/module_utils/_truenas/test_verify.py`), as the lab can't break it without hurting others: "
              + ", ".join(f"`{name}` ({ELSEWHERE[name]})" for name in missing) + ".", "",
              "Not detected: data of a target that was changed and made read-only again, before the next run. That run rolls it back, and",
              "`truenas_restore_test` reads the files of a snapshot, which nobody can change."]
    return "\n".join(lines) + "\n"


def test_detection_table(two: World) -> None:
    two.begin_ageing()
    rows, wrong = [], []
    for case in CASES:
        said = verified(two, *case.does(two))
        rows.append((case.what, said))
        if said != case.expected:
            wrong.append(f"{case.what}: {said} instead of {case.expected}")
    assert not wrong, "\n".join(wrong)
    text = page(rows)
    if os.environ.get("RESILIENT_WRITE_DOCS"):
        PAGE.write_text(text, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == text, "write docs/detection_truenas.md anew: RESILIENT_WRITE_DOCS=1"
