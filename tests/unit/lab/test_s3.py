"""The lab's S3 on loopback: the real SeaweedFS, started, killed, adopted and stopped."""

from __future__ import annotations

import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import minio
import pytest
import urllib3

from lab import pki, s3
from lab.state import LabError, LabState

ADDRESS = "127.77.0.1"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LabState]:
    base = tmp_path_factory.mktemp("s3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESILIENT_LAB_STATE", str(base))
        found = LabState.open("s3test")
        found.update("network", {"gateway": ADDRESS})
        pki.up(found)
        s3.up(found)
        yield found
        s3.down(found)


def _pid(state: LabState) -> int:
    return int(state.path("run", "s3.pid").read_text().split()[0])


def test_bucket_stores_and_returns_an_object_over_tls(state: LabState) -> None:
    client = s3.client(state)
    client.put_object(s3.BUCKET, "a/b", io.BytesIO(b"data"), 4)
    assert client.get_object(s3.BUCKET, "a/b").read() == b"data"
    assert state.connection["s3"]["endpoint"] == f"https://{ADDRESS}:8333"


def test_second_up_adopts_the_running_server(state: LabState) -> None:
    pid, before = _pid(state), dict(state.connection["s3"])
    s3.up(state)
    assert _pid(state) == pid
    assert state.connection["s3"] == before


def test_killed_server_is_started_again_with_its_data(state: LabState) -> None:
    s3.client(state).put_object(s3.BUCKET, "kept", io.BytesIO(b"1"), 1)
    pid = _pid(state)
    assert str(pid) in s3.FAULTS["s3-kill"](state, {})
    os.waitpid(pid, 0)
    with pytest.raises(LabError, match="does not run"):
        s3.FAULTS["s3-kill"](state, {})
    assert [row.state for row in s3.status(state)] == ["down"]
    s3.up(state)
    assert [row.state for row in s3.status(state)] == ["up"]
    assert s3.client(state).get_object(s3.BUCKET, "kept").read() == b"1"


def test_faults_damage_the_object_that_is_named(state: LabState) -> None:
    client = s3.client(state)
    client.put_object(s3.BUCKET, "dr/vault/1.snap", io.BytesIO(b"\x00" * 100), 100)
    assert "byte 50 of dr/vault/1.snap" in s3.FAULTS["s3-flip-bit"](state, {"match": ".snap"})
    assert client.get_object(s3.BUCKET, "dr/vault/1.snap").read() == b"\x00" * 50 + b"\x01" + b"\x00" * 49
    s3.FAULTS["s3-truncate"](state, {"key": "dr/vault/1.snap"})
    assert len(client.get_object(s3.BUCKET, "dr/vault/1.snap").read()) == 50
    s3.FAULTS["s3-delete"](state, {"key": "dr/vault/1.snap"})
    with pytest.raises(LabError, match="No object"):
        s3.FAULTS["s3-flip-bit"](state, {"key": "dr/vault/1.snap"})


def test_wrong_secret_key_is_refused(state: LabState) -> None:
    pool = urllib3.PoolManager(cert_reqs="CERT_REQUIRED", ca_certs=state.connection["ca_file"], retries=False)
    other = minio.Minio(f"{ADDRESS}:8333", access_key=state.connection["s3"]["access_key"], secret_key="wrong", region="us-east-1", http_client=pool)
    with pytest.raises(minio.error.S3Error) as refused:
        other.put_object(s3.BUCKET, "x", io.BytesIO(b"1"), 1)
    assert refused.value.code == "SignatureDoesNotMatch"


def test_inner_servers_are_not_reachable_from_the_bridge(state: LabState) -> None:
    ports = json.loads(state.path("s3", "settings.json").read_text())["ports"]
    for name in ("master.port", "volume.port", "filer.port"):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((ADDRESS, ports[name]), timeout=2)
        socket.create_connection(("127.0.0.1", ports[name]), timeout=2).close()


def test_down_leaves_no_process_and_no_socket(state: LabState) -> None:
    ports = json.loads(state.path("s3", "settings.json").read_text())["ports"]
    s3.down(state)
    s3.down(state)
    assert [row.state for row in s3.status(state)] == ["down"]
    assert not [path for port in ports.values() for path in Path("/tmp").glob(f"seaweedfs-*-{port}.sock")]


def test_a_block_that_is_in_use_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        busy = taken.getsockname()[1]
        monkeypatch.setattr(s3, "_BLOCKS", [busy - 3, 21500] * 25)
        monkeypatch.setattr("random.sample", lambda blocks, _count: blocks)
        assert busy not in s3._find_ports().values()
