"""Two NASes with a pool each and trust between them, and copies to break."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import pathlib
import time
from collections.abc import Iterator
from typing import Any

from lab import nas, pki
from lab.nas import namespace
from lab.nas.layout import Ports, Settings, get
from lab.nas.server.client import Client, RemoteError
from lab.nas.server.zfs import Zfs
from lab.state import LabState

from .conftest import POOL, Pair, free_ports, leftovers

_NUMBER = itertools.count()
SCHEMA = "auto-%Y-%m-%d_%H-%M"
ONE, TWO, THREE = (f"auto-2026-01-0{day}_00-00" for day in (1, 2, 3))
OLD = 20  # seconds; longer than anything between a new snapshot and its verification may take


class World:
    """Two systems, and what a case does with them."""

    def __init__(self, pair: Pair, a: Client, b: Client) -> None:
        self.pair, self.a, self.b = pair, a, b
        for client in (a, b):
            client.job("pool.create", [POOL])
        other = pair.details("secondary")
        keys = a.call("keychaincredential.generate_ssh_key_pair")
        key = a.call("keychaincredential.create", [{"name": "key", "type": "SSH_KEY_PAIR", "attributes": keys}])
        self.root = b.call("user.query", [[["username", "=", "root"]], {"get": True}])["id"]
        self.public = keys["public_key"]
        b.call("user.update", [self.root, {"sshpubkey": self.public}])
        scanned = a.call("keychaincredential.remote_ssh_host_key_scan", [{"host": other["replication_host"], "port": other["ssh_port"]}])
        self.credentials = a.call("keychaincredential.create", [{"name": "to b", "type": "SSH_CREDENTIALS", "attributes": {
            "host": other["replication_host"], "port": other["ssh_port"], "private_key": key["id"], "remote_host_key": scanned}}])["id"]
        self.early: dict[str, Copy] = {}
        self.began = 0.0

    def zfs(self, which: str, *command: str) -> None:
        """What an administrator does in a shell of the NAS; again while zfs-fuse has not let go yet of what was unmounted."""
        Zfs(namespace.enter(get(self.pair.state, which))).retry("zfs", *command, seconds=30)

    def begin_ageing(self) -> None:
        """Make the copies that are to be old later."""
        self.early = {"stale": copied(self), "stopped": copied(self), "tree": copied(self, recursive=True, children=("x",))}
        self.began = time.time()

    def aged(self, name: str) -> Copy:
        """Return a copy whose snapshots are older than OLD by now: those are made first and waited for last."""
        time.sleep(max(0.0, self.began + OLD + 2 - time.time()))
        return self.early[name]

    def connection(self, role: str) -> dict[str, Any]:
        one = self.pair.details(role)
        return {"api_host": one["host"], "api_port": one["port"], "api_username": one["username"], "api_key": one["api_key"],
                "ca_path": self.pair.state.connection["ca_file"]}


@dataclasses.dataclass
class Copy:
    """A dataset with two snapshots, replicated by a task of its own."""

    world: World
    source: str
    target: str
    task: int
    name: str

    def write(self, text: str) -> None:
        self.world.pair.mount("primary", self.source, "file").write_text(text)

    def snapshot(self, name: str, dataset: str = "") -> None:
        self.world.a.call("pool.snapshot.create", [{"dataset": dataset or self.source, "name": name}])

    def run(self, *, fails: str = "") -> None:
        try:
            self.world.a.job("replication.run", [self.task])
        except RemoteError as exc:
            assert fails and fails in str(exc), exc
            return
        assert not fails, "the run did not fail"


def copied(
    world: World, *, snapshots: tuple[str, ...] = (ONE, TWO), run: bool = True, recursive: bool = False, children: tuple[str, ...] = (), **fields: Any
) -> Copy:
    """Make a dataset, a replication and its first run."""
    number = next(_NUMBER)
    source, name = f"tank/d{number}", f"task {number}"
    for one in (source, *(f"{source}/{child}" for child in children)):
        world.a.call("pool.dataset.create", [{"name": one}])
    task = world.a.call("replication.create", [{
        "name": name, "direction": "PUSH", "transport": "SSH", "ssh_credentials": world.credentials, "source_datasets": [source],
        "target_dataset": f"tank/in/d{number}", "recursive": recursive, "auto": False, "also_include_naming_schema": [SCHEMA], "retention_policy": "NONE",
        "retries": 1, **fields}])
    made = Copy(world, source, f"tank/in/d{number}", task["id"], name)
    for index, one in enumerate(snapshots):
        made.write(f"{number} {index}")
        world.a.call("pool.snapshot.create", [{"dataset": source, "name": one, "recursive": recursive}])
    if run:
        made.run()
    return made


@contextlib.contextmanager
def make_world(directory: pathlib.Path) -> Iterator[World]:
    """Start two systems; whatever happens, nothing of them is left."""
    state, ports = LabState(directory.name, directory), free_ports(6)
    try:
        state.connection = {"network": {"gateway": "127.0.0.1"}}
        state.save()
        pki.up(state)
        settings = Settings(ports=(("nas-a", Ports(*ports[:3])), ("nas-b", Ports(*ports[3:]))), rate_limit=0, scheduler=False)
        nas.up(state, settings)
        pair = Pair(state, settings)
        with pair.client() as a, pair.client("secondary") as b:
            yield World(pair, a, b)
    finally:
        nas.down(state)
        assert leftovers(directory) == []
