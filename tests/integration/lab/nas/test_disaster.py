"""The storage part of the main job: build, replicate, lose the pool, rebuild, bring back, compare."""

from __future__ import annotations

import hashlib
import os

import pytest

from .conftest import POOL, SCHEMA, Pair

pytestmark = pytest.mark.lab


def _trust(pair: Pair, source: str, target: str) -> int:
    """Let one NAS log in to the other; returns the id of its SSH credentials."""
    other = pair.details(target)
    with pair.client(target) as there, pair.client(source) as here:
        token = there.call("auth.generate_token", [300, {}, False])
        pair_ = here.call("keychaincredential.create", [
            {"name": "replication", "type": "SSH_KEY_PAIR", "attributes": here.call("keychaincredential.generate_ssh_key_pair")}])
        found = here.call("keychaincredential.remote_ssh_semiautomatic_setup", [
            {"name": target, "url": f"https://{other['host']}:{other['port']}", "token": token, "private_key": pair_["id"]}])
    assert found["attributes"]["port"] == other["ssh_port"]
    return int(found["id"])


def _sha256(path: object) -> str:
    return hashlib.sha256(open(str(path), "rb").read()).hexdigest()


def test_pool_lost_and_brought_back_from_the_second_nas(pair: Pair) -> None:
    with pair.client() as a, pair.client("secondary") as b:
        for client in (a, b):
            assert client.job("pool.create", [POOL])["status"] == "ONLINE"
        owner = {"key": "org.example:owner", "value": "me"}
        dataset = a.call("pool.dataset.create", [{"name": "tank/canary", "quota": 2 * 1024**3, "user_properties": [owner]}])
        assert dataset["quota"]["parsed"] == 2 * 1024**3
        file = pair.mount("primary", "tank/canary/data")
        file.write_bytes(os.urandom(3_000_000))
        digest = _sha256(file)
        task = a.call("pool.snapshottask.create", [{"dataset": "tank/canary", "naming_schema": SCHEMA}])
        first = a.call("pool.snapshot.create", [{"dataset": "tank/canary", "name": "auto-2026-01-01_00-00"}])

        credentials = _trust(pair, "primary", "secondary")
        replication = a.call("replication.create", [{
            "name": "to b", "direction": "PUSH", "transport": "SSH", "ssh_credentials": credentials, "source_datasets": ["tank/canary"],
            "target_dataset": "tank/backup/canary", "recursive": False, "auto": True, "periodic_snapshot_tasks": [task["id"]],
            "retention_policy": "NONE"}])
        a.job("replication.run", [replication["id"]])
        assert a.call("replication.get_instance", [replication["id"]])["state"]["state"] == "FINISHED"

        # The second run is incremental, and the target has been read meanwhile.
        assert _sha256(pair.mount("secondary", "tank/backup/canary/data")) == digest
        with open(file, "ab") as stream:
            stream.write(b"more")
            os.fsync(stream.fileno())
        digest = _sha256(file)
        a.call("pool.snapshot.create", [{"dataset": "tank/canary", "name": "auto-2026-01-01_00-05"}])
        a.job("replication.run", [replication["id"]])
        state = a.call("replication.get_instance", [replication["id"]])["state"]
        assert state["last_snapshot"] == "tank/canary@auto-2026-01-01_00-05"

        mine = {one["snapshot_name"]: one["properties"]["guid"]["rawvalue"] for one in a.call("pool.snapshot.query", [[["dataset", "=", "tank/canary"]]])}
        theirs = {one["snapshot_name"]: one["properties"]["guid"]["rawvalue"]
                  for one in b.call("pool.snapshot.query", [[["dataset", "=", "tank/backup/canary"]]])}
        assert mine == theirs and first["properties"]["guid"]["rawvalue"] in mine.values()
        target = b.call("pool.dataset.get_instance", ["tank/backup/canary"])
        assert target["readonly"]["parsed"] is True and target["user_properties"]["org.example:owner"]["value"] == "me"
        with pytest.raises(OSError, match="Read-only"):
            pair.mount("secondary", "tank/backup/canary/forbidden").write_text("x")

        pool = a.call("pool.query", [[["name", "=", "tank"]], {"get": True}])
        a.job("pool.export", [pool["id"], {"destroy": True}])
        assert a.call("pool.query") == [] and not file.exists()
        assert a.call("replication.get_instance", [replication["id"]])["enabled"] is False

        a.job("pool.create", [POOL])
        a.job("replication.run_onetime", [{
            "direction": "PULL", "transport": "SSH", "ssh_credentials": credentials, "source_datasets": ["tank/backup/canary"],
            "target_dataset": "tank/canary", "recursive": False, "naming_schema": [SCHEMA], "retention_policy": "NONE", "readonly": "IGNORE",
            "properties_override": {"readonly": "off"}}], timeout=120)
        assert _sha256(file) == digest
        back = {one["snapshot_name"]: one["properties"]["guid"]["rawvalue"] for one in a.call("pool.snapshot.query", [[["dataset", "=", "tank/canary"]]])}
        assert back == theirs
        restored = a.call("pool.dataset.get_instance", ["tank/canary"])
        assert restored["quota"]["parsed"] == 2 * 1024**3 and restored["readonly"]["parsed"] is False
        file.write_text("writable again")
