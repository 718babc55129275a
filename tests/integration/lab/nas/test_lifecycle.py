"""Faults, restarts, a second lab, and that nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
import time
from typing import Any

import pytest

from lab import nas
from lab.nas.layout import all_nas, get
from lab.nas.server.client import Client, RemoteError
from lab.state import LabState

from .conftest import POOL, Pair, leftovers, make_pair

pytestmark = pytest.mark.lab


def test_up_twice_changes_nothing(pair: Pair) -> None:
    before = [(one.daemon.pid(), one.server.pid()) for one in all_nas(pair.state)]
    keys = pair.details("primary")["api_key"]
    nas.up(pair.state, pair.settings)
    assert [(one.daemon.pid(), one.server.pid()) for one in all_nas(pair.state)] == before
    assert pair.details("primary")["api_key"] == keys
    assert [(row.component, row.state) for row in nas.status(pair.state)] == [("nas-a", "up"), ("nas-b", "up")]


def test_acknowledged_writes_survive_a_killed_daemon(pair: Pair) -> None:
    with pair.client() as api:
        api.job("pool.create", [POOL])
        api.call("pool.dataset.create", [{"name": "tank/log"}])
    path, acknowledged, ended = pair.mount("primary", "tank/log/records"), [0], threading.Event()

    def write() -> None:
        try:
            with open(path, "ab") as stream:
                while not ended.is_set():
                    stream.write(b"%08d\n" % acknowledged[0])
                    stream.flush()
                    os.fsync(stream.fileno())
                    acknowledged[0] += 1
        except OSError:
            pass

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    time.sleep(1)
    assert "killed" in nas.fault(pair.state, "nas-kill", {"nas": "nas-a"})
    ended.set()
    writer.join(10)
    assert [row.state for row in nas.status(pair.state)] == ["broken", "up"]
    assert "tank" in nas.fault(pair.state, "nas-restart", {"nas": "primary"})
    lines = path.read_bytes().splitlines()
    assert len(lines) >= acknowledged[0] > 0
    with pair.client() as api:
        assert api.call("pool.query", [[], {"get": True}])["status"] == "ONLINE"
        assert api.call("pool.dataset.create", [{"name": "tank/log/after"}])["mountpoint"] == "/mnt/tank/log/after"


def test_killed_server_comes_back_with_everything(pair: Pair) -> None:
    with pair.client() as api:
        task = api.call("pool.snapshottask.create", [{"dataset": "tank/log"}])
        jobs = api.call("core.get_jobs", [[], {"count": True}])
        key = api.call("api_key.create", [{"name": "second", "username": "automation"}])["key"]
    nas.fault(pair.state, "server-kill", {})
    deadline = time.monotonic() + 10
    while get(pair.state, "nas-a").server.pid() and time.monotonic() < deadline:
        time.sleep(0.05)
    nas.fault(pair.state, "nas-restart", {})
    one = pair.details("primary")
    login = {"mechanism": "API_KEY_PLAIN", "username": "automation", "api_key": key}
    with Client(f"wss://{one['host']}:{one['port']}/api/current", pair.state.connection["ca_file"], login) as api:
        assert api.call("pool.snapshottask.get_instance", [task["id"]])["dataset"] == "tank/log"
        assert api.call("core.get_jobs", [[], {"count": True}]) == jobs


def test_lost_disks_put_tasks_on_hold(pair: Pair) -> None:
    with pair.client() as api:
        replication = api.call("replication.create", [{
            "name": "local", "direction": "PUSH", "transport": "LOCAL", "source_datasets": ["tank/log"], "target_dataset": "tank/copy", "recursive": False,
            "also_include_naming_schema": ["auto-%Y-%m-%d_%H-%M"], "auto": False, "retention_policy": "NONE"}])
    nas.fault(pair.state, "pool-lost", {})
    with pair.client() as api:
        pool = api.call("pool.query", [[], {"get": True}])
        assert pool["status"] == "OFFLINE" and pool["topology"] is None
        assert api.call("replication.get_instance", [replication["id"]])["state"] == {"state": "HOLD", "reason": "Pool tank is offline."}
        with pytest.raises(RemoteError, match="Task is on hold"):
            api.job("replication.run", [replication["id"]])
        with pytest.raises(RemoteError, match="already exists"):
            api.job("pool.create", [POOL])
        api.job("pool.export", [pool["id"]])
        assert api.job("pool.create", [POOL])["status"] == "ONLINE"


def test_pool_destroy_fault(pair: Pair) -> None:
    assert "destroyed tank" in nas.fault(pair.state, "pool-destroy", {"nas": "nas-a"})
    with pair.client() as api:
        assert api.call("pool.query") == [] and api.call("pool.dataset.query") == []
    assert list(pair.mount("primary").iterdir()) == []
    with pytest.raises(Exception, match="no pool"):
        nas.fault(pair.state, "pool-destroy", {"nas": "nas-a"})


def test_pool_destroy_while_a_file_is_open(pair: Pair) -> None:
    with pair.client() as api:
        api.job("pool.create", [POOL])
    handle = os.open(pair.mount("primary", "tank/open"), os.O_CREAT | os.O_WRONLY)
    try:
        with pair.client() as api, pytest.raises(RemoteError, match="EBUSY"):
            api.job("pool.export", [api.call("pool.query")[0]["id"], {"destroy": True}])
        os.write(handle, b"the refused destroy did no harm")
        assert "destroyed tank" in nas.fault(pair.state, "pool-destroy", {})
        with pytest.raises(OSError, match="(?i)not connected"):
            os.write(handle, b"x")
    finally:
        with contextlib.suppress(OSError):
            os.close(handle)
    with pair.client() as api:
        assert api.job("pool.create", [POOL])["status"] == "ONLINE"


def test_two_labs_side_by_side_and_killed_ones_leave_nothing(pair: Pair, tmp_path: pathlib.Path) -> None:
    other = LabState("second", tmp_path / "second")
    other.dir.mkdir()
    try:
        second = make_pair(other.dir, rate_limit=0, scheduler=False)
        clients: list[Any] = [pair.client("secondary"), second.client(), second.client("secondary")]
        for client in clients:
            client.job("pool.create", [POOL])
            assert client.call("pool.dataset.create", [{"name": "tank/same"}])["mountpoint"] == "/mnt/tank/same"
            client.close()
        pair.mount("secondary", "tank/same/file").write_text("first lab")
        assert not second.mount("secondary", "tank/same/file").exists()
        for one in all_nas(other):
            for process in (one.daemon.pid(), one.server.pid()):
                assert process is not None
                os.kill(process, signal.SIGKILL)
        time.sleep(0.5)
        assert [row.state for row in nas.status(other)] == ["down", "down"]
        nas.up(second.state, second.settings)
        with second.client() as api:
            assert api.call("pool.dataset.get_instance", ["tank/same"])["mountpoint"] == "/mnt/tank/same"
        for one in all_nas(other):
            killed = one.daemon.pid()
            assert killed is not None
            os.kill(killed, signal.SIGKILL)
    finally:
        nas.down(other)
    assert leftovers(other.dir) == []
    assert pair.mount("secondary", "tank/same/file").read_text() == "first lab"
    nas.down(other)
