"""Replication between two real pools: bases, scratch, trees, retention, trust, failures."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab import nas
from lab.nas.layout import get
from lab.nas.server.client import Client, RemoteError

from .conftest import POOL, SCHEMA, Pair

pytestmark = pytest.mark.lab
_NUMBER = itertools.count()


@pytest.fixture(scope="module")
def a(pair: Pair) -> Iterator[Client]:
    with pair.client() as client:
        client.job("pool.create", [POOL])
        yield client


@pytest.fixture(scope="module")
def b(pair: Pair) -> Iterator[Client]:
    with pair.client("secondary") as client:
        client.job("pool.create", [POOL])
        yield client


@pytest.fixture(scope="module")
def credentials(pair: Pair, a: Client, b: Client) -> int:
    """SSH credentials on the primary for the secondary, made by hand: key, scanned host key, authorized key."""
    other = pair.details("secondary")
    keys = a.call("keychaincredential.generate_ssh_key_pair")
    key = a.call("keychaincredential.create", [{"name": "key", "type": "SSH_KEY_PAIR", "attributes": keys}])
    root = b.call("user.query", [[["username", "=", "root"]], {"get": True}])
    b.call("user.update", [root["id"], {"sshpubkey": keys["public_key"]}])
    scanned = a.call("keychaincredential.remote_ssh_host_key_scan", [{"host": other["replication_host"], "port": other["ssh_port"]}])
    found = a.call("keychaincredential.create", [{"name": "to b", "type": "SSH_CREDENTIALS", "attributes": {
        "host": other["replication_host"], "port": other["ssh_port"], "private_key": key["id"], "remote_host_key": scanned}}])
    return int(found["id"])


def _once(client: Client, credentials: int, source: str, target: str, **options: Any) -> None:
    client.job("replication.run_onetime", [{
        "direction": "PUSH", "transport": "SSH", "ssh_credentials": credentials, "source_datasets": [source], "target_dataset": target,
        "recursive": False, "also_include_naming_schema": [SCHEMA], "retention_policy": "NONE", "retries": 1, **options}], timeout=60)


def _dataset(client: Client, *names: str) -> str:
    """Make a dataset with a name of its own and snapshots."""
    name = f"tank/d{next(_NUMBER)}"
    client.call("pool.dataset.create", [{"name": name}])
    for one in names:
        client.call("pool.snapshot.create", [{"dataset": name, "name": one}])
    return name


def _names(client: Client, dataset: str) -> list[str]:
    return [one["snapshot_name"] for one in client.call("pool.snapshot.query", [[["dataset", "=", dataset]]])]


D1, D2, D3 = (f"auto-2026-01-0{day}_00-00" for day in (1, 2, 3))


def test_only_snapshots_of_the_schema_go(a: Client, b: Client, credentials: int) -> None:
    source = _dataset(a, D1, "manual", D2)
    _once(a, credentials, source, "tank/in/named")
    assert _names(b, "tank/in/named") == [D1, D2]
    plain = _dataset(a, "manual")
    with pytest.raises(RemoteError, match="does not have any matching snapshots to replicate"):
        _once(a, credentials, plain, "tank/in/plain")
    _once(a, credentials, plain, "tank/in/plain", also_include_naming_schema=[], name_regex="man.*")
    assert _names(b, "tank/in/plain") == ["manual"]


def test_without_common_base_only_from_scratch(a: Client, b: Client, credentials: int, pair: Pair) -> None:
    source = _dataset(a, D1)
    _once(a, credentials, source, "tank/in/base")
    a.call("pool.snapshot.delete", [f"{source}@{D1}"])
    a.call("pool.snapshot.create", [{"dataset": source, "name": D2}])
    unmatched = a.call("replication.target_unmatched_snapshots", ["PUSH", [source], "tank/in/base", "SSH", credentials])
    assert unmatched == {"tank/in/base": [D1]}
    with pytest.raises(RemoteError, match="No incremental base on dataset .* and replication from scratch is not allowed"):
        _once(a, credentials, source, "tank/in/base")
    assert _names(b, "tank/in/base") == [D1]
    _once(a, credentials, source, "tank/in/base", allow_from_scratch=True)
    assert _names(b, "tank/in/base") == [D2]
    b.call("pool.dataset.create", [{"name": "tank/in/data"}])
    pair.mount("secondary", "tank/in/data/precious").write_bytes(os.urandom(500_000))
    with pytest.raises(RemoteError, match="Refusing to overwrite existing data"):
        _once(a, credentials, source, "tank/in/data")
    assert pair.mount("secondary", "tank/in/data/precious").exists()


def test_a_tree_with_exclusion(a: Client, b: Client, credentials: int) -> None:
    root = _dataset(a)
    for child in ("x", "y", "x/z"):
        a.call("pool.dataset.create", [{"name": f"{root}/{child}"}])
    a.call("pool.snapshot.create", [{"dataset": root, "name": D1, "recursive": True}])
    _once(a, credentials, root, "tank/in/tree", recursive=True, exclude=[f"{root}/y"])
    assert [one["id"] for one in b.call("pool.dataset.query", [[["id", "^", "tank/in/tree"]], {"select": ["id"]}])] == [
        "tank/in/tree", "tank/in/tree/x", "tank/in/tree/x/z"]
    assert all(one["readonly"]["parsed"] for one in b.call("pool.dataset.query", [[["id", "^", "tank/in/tree"]]]))
    _once(a, credentials, root, "tank/in/whole", recursive=True, replicate=True, retention_policy="SOURCE", also_include_naming_schema=[SCHEMA])
    assert _names(b, "tank/in/whole/x/z") == [D1] and _names(b, "tank/in/whole/y") == [D1]


def test_retention_source_and_custom(a: Client, b: Client, credentials: int) -> None:
    source = _dataset(a, D1, D2)
    _once(a, credentials, source, "tank/in/keep")
    a.call("pool.snapshot.delete", [f"{source}@{D1}"])
    a.call("pool.snapshot.create", [{"dataset": source, "name": D3}])
    _once(a, credentials, source, "tank/in/keep", retention_policy="SOURCE")
    assert _names(b, "tank/in/keep") == [D2, D3]
    _once(a, credentials, source, "tank/in/keep", retention_policy="CUSTOM", lifetime_value=1, lifetime_unit="HOUR")
    assert _names(b, "tank/in/keep") == [D3], "old as it is, the last one of a schema stays"


def test_trust_is_checked(a: Client, b: Client, credentials: int) -> None:
    source = _dataset(a, D1)
    good = a.call("keychaincredential.get_instance", [credentials])["attributes"]
    other = a.call("keychaincredential.create", [
        {"name": "unknown key", "type": "SSH_KEY_PAIR", "attributes": a.call("keychaincredential.generate_ssh_key_pair")}])
    cases = {"Authentication failed": {"private_key": other["id"]}, "Host key for server .* does not match": {"remote_host_key": "ssh-ed25519 AAAA"},
             "Unable to connect to port 1 ": {"port": 1}}
    for text, change in cases.items():
        made = a.call("keychaincredential.create", [{"name": text, "type": "SSH_CREDENTIALS", "attributes": {**good, **change}}])
        with pytest.raises(RemoteError, match=text):
            _once(a, made["id"], source, "tank/in/never")
        with pytest.raises(RemoteError, match=text):
            a.call("replication.list_datasets", ["SSH", made["id"]])
    assert b.call("pool.dataset.query", [[["id", "=", "tank/in/never"]]]) == []
    used = a.call("keychaincredential.used_by", [good["private_key"]])
    assert {"title": "SSH credentials to b", "unbind_method": "delete"} in used
    with pytest.raises(RemoteError, match="no cascade option"):
        a.call("keychaincredential.delete", [good["private_key"]])


def _task(a: Client, credentials: int, **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = a.call("replication.create", [{
        "name": f"task {next(_NUMBER)}", "direction": "PUSH", "transport": "SSH", "ssh_credentials": credentials, "recursive": False, "auto": False,
        "also_include_naming_schema": [SCHEMA], "retention_policy": "NONE", "retries": 1, **options}])
    return found


def test_state_tells_the_outcome(a: Client, credentials: int) -> None:
    source = _dataset(a, D1)
    task = _task(a, credentials, source_datasets=[source], target_dataset="tank/in/state")
    assert task["state"] == {"state": "PENDING"} and task["ssh_credentials"]["id"] == credentials
    a.job("replication.run", [task["id"]])
    after = a.call("replication.get_instance", [task["id"]])
    assert after["state"]["state"] == "FINISHED" and after["state"]["last_snapshot"] == f"{source}@{D1}" and after["job"]["state"] == "SUCCESS"
    a.call("replication.update", [task["id"], {"source_datasets": ["tank/none"]}])
    with pytest.raises(RemoteError, match="dataset does not exist"):
        a.job("replication.run", [task["id"]])
    after = a.call("replication.get_instance", [task["id"]])
    assert after["state"]["state"] == "ERROR" and after["job"]["state"] == "FAILED"
    assert [one["klass"] for one in a.call("alert.list")] == ["ReplicationFailed"]
    a.call("replication.update", [task["id"], {"enabled": False}])
    with pytest.raises(RemoteError, match="Task is not enabled"):
        a.job("replication.run", [task["id"]])
    a.call("replication.delete", [task["id"]])


def test_pending_snapshots_are_held(a: Client, credentials: int) -> None:
    source = _dataset(a, "auto-2020-01-01_00-00", "auto-2020-01-02_00-00", "auto-2020-01-03_00-00")
    snapshots = a.call("pool.snapshottask.create", [{"dataset": source, "lifetime_value": 1, "lifetime_unit": "DAY"}])
    task = _task(a, credentials, source_datasets=[source], target_dataset="tank/in/pending", periodic_snapshot_tasks=[snapshots["id"]],
                 also_include_naming_schema=[], hold_pending_snapshots=True)
    a.call("pool.snapshottask.run", [snapshots["id"]])
    _settled(a, snapshots["id"])
    assert len(_names(a, source)) == 4, "nothing is deleted before it was sent"
    a.job("replication.run", [task["id"]])
    other = a.call("pool.snapshottask.create", [{"dataset": _dataset(a)}])
    a.call("pool.snapshottask.run", [other["id"]])  # retention looks at all tasks, whichever ran
    _settled(a, other["id"])
    assert not any(name.startswith("auto-2020") for name in _names(a, source))
    a.call("replication.delete", [task["id"]])


def _settled(a: Client, task: int) -> None:
    deadline = time.monotonic() + 20
    while a.call("pool.snapshottask.get_instance", [task])["state"]["state"] not in ("FINISHED", "ERROR") and time.monotonic() < deadline:
        time.sleep(0.2)
    time.sleep(0.5)
    assert a.call("pool.snapshottask.get_instance", [task])["state"]["state"] == "FINISHED"


def test_restore_goes_the_other_way(a: Client, b: Client, credentials: int, pair: Pair) -> None:
    source = _dataset(a)
    pair.mount("primary", source, "file").write_text("precious")
    a.call("pool.snapshot.create", [{"dataset": source, "name": D1}])
    task = _task(a, credentials, source_datasets=[source], target_dataset="tank/in/back")
    a.job("replication.run", [task["id"]])
    a.call("pool.dataset.delete", [source, {"recursive": True}])
    assert a.call("replication.query", [[["id", "=", task["id"]]]]) == [], "deleting a dataset deletes the task on it"
    task = _task(a, credentials, source_datasets=[source], target_dataset="tank/in/back")
    back = a.call("replication.restore", [task["id"], {"name": "back", "target_dataset": source}])
    assert back["direction"] == "PULL" and back["naming_schema"] == [SCHEMA]
    a.job("replication.run", [back["id"]])
    assert pair.mount("primary", source, "file").read_text() == "precious"
    del b


def test_receiver_killed_in_the_middle(a: Client, credentials: int, pair: Pair) -> None:
    source = _dataset(a)
    with open(pair.mount("primary", source, "big"), "wb") as stream:
        for _unused in range(300):
            stream.write(os.urandom(1_000_000))
        os.fsync(stream.fileno())
    a.call("pool.snapshot.create", [{"dataset": source, "name": D1}])
    task = _task(a, credentials, source_datasets=[source], target_dataset="tank/in/killed")
    number = a.call("replication.run", [task["id"]])
    time.sleep(0.6)
    victim = get(pair.state, "nas-b").daemon.pid()
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    job: dict[str, Any] = {"state": "RUNNING"}
    deadline = time.monotonic() + 60
    while job["state"] in ("RUNNING", "WAITING") and time.monotonic() < deadline:
        time.sleep(0.2)
        job = a.call("core.get_jobs", [[["id", "=", number]], {"get": True}])
    assert job["state"] == "FAILED", job
    nas.fault(pair.state, "nas-restart", {"nas": "nas-b"})
    a.job("replication.run", [task["id"]], timeout=120)
    with pair.client("secondary") as b:
        assert _names(b, "tank/in/killed") == [D1]
    assert (pair.mount("secondary", "tank/in/killed/big")).stat().st_size == 300_000_000


def test_abort_ends_the_stream(a: Client, credentials: int, pair: Pair) -> None:
    source = _dataset(a)
    with open(pair.mount("primary", source, "big"), "wb") as stream:
        for _unused in range(200):
            stream.write(os.urandom(1_000_000))
        os.fsync(stream.fileno())
    a.call("pool.snapshot.create", [{"dataset": source, "name": D1}])
    task = _task(a, credentials, source_datasets=[source], target_dataset="tank/in/aborted", retries=3)
    number = a.call("replication.run", [task["id"]])
    time.sleep(0.4)
    a.call("core.job_abort", [number])
    deadline = time.monotonic() + 20
    while a.call("core.get_jobs", [[["id", "=", number]], {"get": True}])["state"] == "RUNNING" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert a.call("core.get_jobs", [[["id", "=", number]], {"get": True}])["state"] == "ABORTED"
    assert a.call("replication.get_instance", [task["id"]])["state"]["state"] == "ERROR"
