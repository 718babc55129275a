"""What goes wrong on real pools while the modules work, on TrueNAS 26 by SCRAM and TLS: a clear error, nothing lost, and the next run converges."""

from __future__ import annotations

import hashlib
import os
import pathlib
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.resilient.platform.plugins.modules import (
    truenas_dataset,
    truenas_replication,
    truenas_replication_pair,
    truenas_snapshot,
    truenas_snapshot_task,
)
from helpers.modules import ModuleFailed, run_module

from lab import nas, pki
from lab.nas.layout import Ports, Settings, get
from lab.nas.lifecycle import start_server
from lab.nas.server.client import Client
from lab.state import LabState

from .conftest import POOL, Pair, free_ports, leftovers

pytestmark = pytest.mark.lab
ONE, TWO, THREE = (f"auto-2026-01-0{day}_00-00" for day in (1, 2, 3))
SCHEMA = "auto-%Y-%m-%d_%H-%M"
GIB = 1024**3


class World:
    """Two systems with a pool each, and modules run on the first."""

    def __init__(self, pair: Pair, a: Client, b: Client) -> None:
        self.pair, self.a, self.b = pair, a, b

    def options(self, role: str = "primary") -> dict[str, Any]:
        one = self.pair.details(role)
        return {"api_host": one["host"], "api_port": one["port"], "api_username": one["username"], "api_key": one["api_key"], "ca_path": one["ca_file"]}

    def run(self, module: Any, args: dict[str, Any], *, role: str = "primary", check: bool = False) -> dict[str, Any]:
        found: dict[str, Any] = run_module(module.main, {**self.options(role), **args}, check=check, diff=True)
        return found

    def refused(self, module: Any, args: dict[str, Any], *, role: str = "primary") -> dict[str, Any]:
        """Run in vain; what is returned is the failure."""
        with pytest.raises(ModuleFailed) as caught:
            self.run(module, args, role=role)
        found: dict[str, Any] = caught.value.result
        return found

    def trust(self) -> dict[str, Any]:
        """The arguments that pair both systems."""
        other = self.pair.details("secondary")
        return {"name": "to b", "host": other["replication_host"], "port": other["ssh_port"], "peer": self.options("secondary")}

    def names(self, dataset: str) -> list[str]:
        return [one["snapshot_name"] for one in self.b.call("pool.snapshot.query", [[["dataset", "=", dataset]]])]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("nas")
    state, ports = LabState(directory.name, directory), free_ports(6)
    try:
        state.connection = {"network": {"gateway": "127.0.0.1"}}
        state.save()
        pki.up(state)
        settings = Settings(ports=(("nas-a", Ports(*ports[:3])), ("nas-b", Ports(*ports[3:]))), version="26", rate_limit=0, scheduler=False)
        nas.up(state, settings)
        pair = Pair(state, settings)
        with pair.client() as a, pair.client("secondary") as b:
            a.job("pool.create", [POOL])
            b.job("pool.create", [POOL])
            made = World(pair, a, b)
            made.run(truenas_replication_pair, made.trust())
            yield made
    finally:
        nas.down(state)
        assert leftovers(directory) == []


def task(name: str, **changes: Any) -> dict[str, Any]:
    one = {"name": name, "direction": "PUSH", "transport": "SSH", "ssh_credentials": "to b", "source_datasets": [f"tank/{name}"], "recursive": False,
           "target_dataset": f"tank/in/{name}", "also_include_naming_schema": [SCHEMA], "auto": False, "retention_policy": "NONE", "retries": 1,
           "enabled": True, **changes}
    return {"tasks": [one], "run": True, "wait_timeout": 60, "wait_sleep": 1}


def take(world: World, name: str, *snapshots: str) -> None:
    world.run(truenas_dataset, {"datasets": [{"name": f"tank/{name}"}]})
    world.run(truenas_snapshot, {"snapshots": [{"dataset": f"tank/{name}", "name": one} for one in snapshots]})


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_held_and_cloned_snapshots_are_not_deleted(world: World) -> None:
    take(world, "kept", ONE, TWO)
    listed = [{"dataset": "tank/kept", "name": ONE, "hold": True}, {"dataset": "tank/kept", "name": THREE}, {"dataset": "tank/none", "name": ONE}]
    hold = {"snapshots": listed}
    assert "no dataset tank/none" in world.refused(truenas_snapshot, hold)["msg"]
    del hold["snapshots"][2]
    foretold, done = world.run(truenas_snapshot, hold, check=True), world.run(truenas_snapshot, hold)
    assert foretold["diff"] == done["diff"] and [one["held"] for one in done["snapshots"]] == [True, False]
    assert world.run(truenas_snapshot, hold)["changed"] is False
    world.a.call("pool.snapshot.clone", [{"snapshot": f"tank/kept@{TWO}", "dataset_dst": "tank/clone"}])
    gone = {"datasets": [{"name": "tank/kept", "state": "absent", "recursive": True, "allow_attachments": True}]}
    said = world.refused(truenas_dataset, gone)
    assert f"tank/kept@{ONE} is held" in said["msg"] and "tank/clone was cloned from its snapshots" in said["msg"] and said["done"] == []
    absent = {"dataset": "tank/kept", "name": ONE, "state": "absent"}
    assert "is held" in world.refused(truenas_snapshot, {"snapshots": [absent]})["msg"]
    assert world.run(truenas_snapshot, {"snapshots": [{**absent, "hold": False}]})["changed"] is True
    both = {"datasets": [*gone["datasets"], {"name": "tank/clone", "state": "absent"}]}
    foretold, done = world.run(truenas_dataset, both, check=True), world.run(truenas_dataset, both)
    assert foretold["diff"] == done["diff"] and done["diff"]["before"]["tank/kept.clones"] == ["tank/clone"]
    assert world.run(truenas_dataset, both)["changed"] is False


def test_more_snapshots_than_allowed_keep_their_retention(world: World) -> None:
    take(world, "aged", ONE, TWO, THREE)
    declared = {"dataset": "tank/aged", "lifetime_value": 20, "lifetime_unit": "YEAR"}
    world.run(truenas_snapshot_task, {"tasks": [declared]})
    shorter = {"tasks": [{**declared, "lifetime_value": 1, "lifetime_unit": "DAY"}], "max_snapshots_deleted": 2}
    assert "the retention of 3 snapshots would change, and max_snapshots_deleted is 2" in world.refused(truenas_snapshot_task, shorter)["msg"]
    foretold = world.run(truenas_snapshot_task, {**shorter, "max_snapshots_deleted": 3}, check=True)
    key = f"tank/aged@{SCHEMA}.retention_changes.tank/aged"
    assert foretold["diff"]["after"][key] == [ONE, TWO, THREE]


def test_a_target_that_is_full_dirty_or_has_lost_its_base(world: World) -> None:
    take(world, "data")
    big = world.pair.mount("primary", "tank/data/big")
    big.write_bytes(os.urandom(1024) * 60_000)
    world.run(truenas_snapshot, {"snapshots": [{"dataset": "tank/data", "name": ONE}]})
    world.b.call("pool.dataset.create", [{"name": "tank/in", "compression": "OFF"}])
    world.b.call("pool.dataset.create", [{"name": "tank/ballast", "refreservation": 0}])
    free = world.b.call("pool.dataset.get_instance", ["tank"])["available"]["parsed"]
    world.b.call("pool.dataset.update", ["tank/ballast", {"refreservation": free - 20 * 1024**2}])
    said = world.refused(truenas_replication, task("data"))
    assert "replication.run of data" in said["msg"] and "space" in said["msg"].lower(), said
    world.b.call("pool.dataset.update", ["tank/ballast", {"refreservation": 0}])
    assert world.run(truenas_replication, task("data"))["runs"][0]["state"] == "FINISHED"
    copy = world.pair.mount("secondary", "tank/in/data/big")
    assert digest(copy) == digest(big)
    # Dirty: somebody wrote into the copy, the next run puts it right.
    world.b.call("pool.dataset.update", ["tank/in/data", {"readonly": "OFF"}])
    with open(copy, "ab") as stream:
        stream.write(b"dirt")
        os.fsync(stream.fileno())
    world.run(truenas_snapshot, {"snapshots": [{"dataset": "tank/data", "name": TWO}]})
    assert world.run(truenas_replication, task("data"))["runs"][0]["state"] == "FINISHED"
    assert digest(copy) == digest(big) and world.names("tank/in/data") == [ONE, TWO]
    # The base is lost on both sides: refused until it may start from scratch; the copy is as it was.
    for one in (ONE, TWO):
        world.a.call("pool.snapshot.delete", [f"tank/data@{one}"])
    world.run(truenas_snapshot, {"snapshots": [{"dataset": "tank/data", "name": THREE}]})
    assert "No incremental base" in world.refused(truenas_replication, task("data"))["msg"]
    assert digest(copy) == digest(big) and world.names("tank/in/data") == [ONE, TWO]
    assert world.run(truenas_replication, task("data", allow_from_scratch=True))["runs"][0]["state"] == "FINISHED"
    assert world.names("tank/in/data") == [THREE] and digest(copy) == digest(big)


def test_a_key_that_was_rotated_is_told_and_paired_anew(world: World) -> None:
    take(world, "keyed", ONE)
    root = world.b.call("user.query", [[["username", "=", "root"]], {"get": True}])
    world.b.call("user.update", [root["id"], {"sshpubkey": ""}])
    said = world.refused(truenas_replication, task("keyed"))
    assert "keyed" in said["msg"] and "uthentication" in said["msg"], said
    world.run(truenas_replication_pair, {"name": "to b", "state": "absent", "cascade": True})
    # TrueNAS disables the replications that used the connection; the declaration brings them back.
    assert world.run(truenas_replication_pair, world.trust())["changed"] is True
    assert world.run(truenas_replication, task("keyed"))["runs"][0]["state"] == "FINISHED"
    said = world.refused(truenas_replication, task("keyed", ssh_credentials="nowhere"))
    assert "there is no SSH connection 'nowhere' (there are to b)" in said["msg"] and said["done"] == []


def test_the_middleware_restarts_in_the_middle_of_a_replication(world: World) -> None:
    take(world, "long")
    big = world.pair.mount("primary", "tank/long/big")
    with open(big, "wb") as stream:
        for _unused in range(150):
            stream.write(os.urandom(1024 * 1024))
    world.run(truenas_snapshot, {"snapshots": [{"dataset": "tank/long", "name": ONE}]})
    server = get(world.pair.state, "nas-a")
    stopped = threading.Event()

    def restart() -> None:
        while not any(one["method"] == "replication.run" for one in jobs()):
            time.sleep(0.05)
        time.sleep(0.3)
        victim = server.server.pid()
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        stopped.set()
        time.sleep(1.5)
        start_server(server)

    def jobs() -> list[dict[str, Any]]:
        with world.pair.client() as client:
            found: list[dict[str, Any]] = client.call("core.get_jobs", [[["state", "=", "RUNNING"]]])
        return found

    helper = threading.Thread(target=restart)
    helper.start()
    said = world.refused(truenas_replication, task("long"))
    helper.join(30)
    assert stopped.is_set() and "replication.run of long" in said["msg"], said
    world.a = world.pair.client().__enter__()
    assert world.run(truenas_replication, task("long"))["runs"][0]["state"] == "FINISHED"
    assert digest(world.pair.mount("secondary", "tank/in/long/big")) == digest(big)
