"""A lost quorum: against small real HTTP servers, since nothing of hvac is used. And the custody of a seal, against a scripted one."""

from __future__ import annotations

import base64
import datetime
import http.server
import json
import os
import pathlib
import socket
import threading
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._vault import recover, seal_custody
from ansible_collections.resilient.platform.plugins.module_utils._vault.snapshot_state import Seal
from ansible_collections.resilient.platform.plugins.modules import vault_raft_recover, vault_seal_custody_info
from helpers import vault
from helpers.modules import ModuleFailed, run_module
from helpers.vault import SEAL_SHAMIR, URL, Script, full_disk

script = vault.script
Answers = dict[str, tuple[int, bytes]]


class Server:
    """A node that says what it is told to."""

    def __init__(self) -> None:
        answers: Answers = {}

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, body = answers.get(self.path.rsplit("/", 1)[1], (404, b"{}"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: t.Any) -> None:
                """Say nothing."""

        self.answers = answers
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def says(self, status: int, **health: t.Any) -> None:
        self.answers["health"] = (status, json.dumps({"initialized": status != 501, "sealed": status in (501, 503), **health}).encode())
        self.answers["leader"] = (200, json.dumps({"leader_address": "http://l"}).encode())


@pytest.fixture
def servers() -> t.Iterator[list[Server]]:
    made = [Server() for number in range(3)]
    yield made
    for each in made:
        each.server.shutdown()
        each.server.server_close()


def free_url() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def data(tmp_path: pathlib.Path) -> pathlib.Path:
    (tmp_path / "raft").mkdir()
    (tmp_path / "raft" / "raft.db").touch()
    return tmp_path


def options(data: pathlib.Path, urls: t.Sequence[str], **more: t.Any) -> dict[str, t.Any]:
    peers = [{"id": "a", "address": "10.0.0.1:8201"}]
    return {"data_dir": str(data), "node_id": "a", "peers": peers, "node_urls": list(urls), "confirm": "a", **more}


def run(wanted: dict[str, t.Any], *, check: bool = False, diff: bool = True) -> dict[str, t.Any]:
    return run_module(vault_raft_recover.main, wanted, check=check, diff=diff)


def test_a_list_is_written_when_nobody_lives(data: pathlib.Path, servers: list[Server]) -> None:
    servers[0].says(501)  # an empty machine is in nobody's way
    wanted = options(data, [servers[0].url, free_url(), free_url()])
    predicted = run(wanted, check=True)
    written = data / "raft" / "peers.json"
    assert not written.exists()
    done = run(wanted)
    assert done["diff"] == predicted["diff"] and [node["state"] for node in done["nodes"]] == ["not_initialised", "down", "down"]
    assert json.loads(written.read_text()) == [{"id": "a", "address": "10.0.0.1:8201", "non_voter": False}]
    assert not run(wanted, diff=False)["changed"]


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ((200, None, None), "A quorum of the 3 nodes lives .*leads"),
        ((429, 429, None), "A quorum of the 3 nodes lives .*are up"),
        ((429, None, None), "standby\\) still runs"),
        ((503, 503, 503), "sealed\\).* still runs"),
        ((418, None, None), "status 418\\) still runs"),
    ],
)
def test_nothing_is_written_while_somebody_lives(data: pathlib.Path, servers: list[Server], states: tuple[int | None, ...], text: str) -> None:
    for server, status in zip(servers, states):
        if status:
            server.says(status)
    urls = [server.url if status else free_url() for server, status in zip(servers, states)]
    with pytest.raises(ModuleFailed, match=text):
        run(options(data, urls))
    assert not (data / "raft" / "peers.json").exists()


def test_an_answer_that_is_none_may_be_of_the_living(data: pathlib.Path, servers: list[Server]) -> None:
    servers[0].answers["health"] = (200, b"no JSON")
    with pytest.raises(ModuleFailed, match="leads"):
        run(options(data, [servers[0].url]))
    with pytest.raises(ModuleFailed, match="Cannot tell whether"):
        run(options(data, [servers[0].url.replace("http:", "https:")]))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"confirm": "b"}, "Set confirm to 'a'"),
        ({"node_id": "b"}, "peers does not have b"),
        ({"node_urls": ["http://a", "http://a/"]}, "names a node twice"),
        ({"node_urls": ["a"]}, "no address"),
        ({"peers": [{"id": "a", "address": "10.0.0.1"}]}, "no cluster address"),
        ({"peers": [{"id": "a", "address": "10.0.0.1:99999"}]}, "no cluster address"),
        ({"peers": [{"id": "a", "address": "h:1"}, {"id": "a", "address": "i:1"}]}, "id a twice"),
        ({"peers": [{"id": "a", "address": "h:1"}, {"id": "b", "address": "h:1"}]}, "address h:1 twice"),
        ({"peers": [{"id": "a", "address": "h:1", "non_voter": True}]}, "None of peers votes"),
        ({"data_dir": "/nowhere"}, "Cannot look at /nowhere"),
    ],
)
def test_lists_that_make_no_cluster_are_refused(data: pathlib.Path, more: dict[str, t.Any], text: str) -> None:
    with pytest.raises(ModuleFailed, match=text):
        run(options(data, ["http://127.0.0.1:1"], **more))


def test_a_disk_that_is_full_leaves_nothing(data: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recover.os, "fsync", full_disk)
    with pytest.raises(ModuleFailed, match="No space left"):
        run(options(data, [free_url()]))
    assert os.listdir(data / "raft") == ["raft.db"]
    monkeypatch.undo()
    (data / "raft" / "peers.json").mkdir()
    with pytest.raises(ModuleFailed, match="Cannot read"):
        run(options(data, [free_url()]))


# --- custody of the seal

KEY = {"latest_version": 2, "min_decryption_version": 1, "keys": {"1": 1, "2": 2}}
TOKEN = {"ttl": 0, "orphan": True}
RIGHTS = {"transit/encrypt/autounseal": ["update"], "transit/decrypt/autounseal": ["root"]}


def static_seal(key_id: str) -> dict[bytes, bytes]:
    blob = b"*" + bytes([len(key_id) + 2]) + b"\x1a" + bytes([len(key_id)]) + key_id.encode()
    return {b"core/hsm/barrier-unseal-keys": blob}


def custody(path: pathlib.Path, **more: t.Any) -> dict[str, t.Any]:
    wanted = {"url": URL, "token": "tok", "path": str(path), **more}
    return t.cast("dict[str, t.Any]", run_module(vault_seal_custody_info.main, wanted)["custody"])


def outcomes(found: dict[str, t.Any]) -> dict[str, str]:
    return {check["name"]: check["outcome"] for check in found["checks"]}


def test_a_good_custody(script: Script, tmp_path: pathlib.Path) -> None:
    vault.write_snapshot(tmp_path / "s")
    script.expect("GET", "transit/keys/autounseal", body={"data": KEY}, token="tok")
    script.expect("GET", "auth/token/lookup-self", body={"data": TOKEN}, token="seal")
    script.expect("POST", "sys/capabilities-self", body={"data": RIGHTS}, token="seal")
    found = custody(tmp_path / "s", seal_token="seal")
    assert found["verdict"] == "good" and set(outcomes(found)) == {"key", "token", "token_rights"}
    assert found["key"]["versions"] == [1, 2] and found["token"]["days_left"] is None


@pytest.mark.parametrize(
    ("status", "data", "outcome"),
    [
        (404, None, "critical"),
        (403, None, "unknown"),
        (200, {**KEY, "min_decryption_version": 2}, "critical"),
        (200, {"latest_version": 0, "keys": {}}, "critical"),
        (200, {**KEY, "keys": {"2": 2}}, "critical"),
        (200, {**KEY, "latest_version": 1}, "good"),
    ],
)
def test_keys_that_cannot_unseal(script: Script, tmp_path: pathlib.Path, status: int, data: dict[str, t.Any] | None, outcome: str) -> None:
    vault.write_snapshot(tmp_path / "s")
    for fail_on in ("never", "critical"):
        script.expect("GET", "transit/keys/autounseal", status, {"data": data} if data else {})
        script.expect("POST", "auth/token/lookup-accessor", body={"data": TOKEN}, sent={"accessor": "a"})
        if fail_on == "never" or outcome == "good":
            assert outcomes(custody(tmp_path / "s", seal_token_accessor="a", fail_on=fail_on))["key"] == outcome
            continue
        with pytest.raises(ModuleFailed) as failed:
            custody(tmp_path / "s", seal_token_accessor="a", fail_on=fail_on)
        assert failed.value.result["error"]["type"] == "NotInCustody" and failed.value.result["error"]["custody"]["verdict"] == outcome


NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.timezone.utc)
DAY = 86400


@pytest.mark.parametrize(
    ("data", "outcome", "days"),
    [
        ({}, "good", None),
        ({"period": 30 * DAY, "ttl": 25 * DAY, "expire_time": "x"}, "good", None),
        ({"period": 30 * DAY, "ttl": 5 * DAY, "expire_time": "x"}, "critical", None),
        ({"period": 30 * DAY, "ttl": 25 * DAY, "expire_time": "x", "explicit_max_ttl": 40 * DAY, "creation_time": NOW.timestamp() - 30 * DAY}, "warning", 10),
        ({"ttl": 20 * DAY, "expire_time": "x"}, "good", 20),
        ({"ttl": DAY / 2, "expire_time": "x"}, "critical", 0.5),
    ],
)
def test_tokens_that_end(data: dict[str, t.Any], outcome: str, days: float | None) -> None:
    found = seal_custody.Custody(Seal("transit", 1, 1))
    seal_custody.check_token(found, {**TOKEN, **data}, warn_days=14, now=NOW)
    assert found.verdict == outcome and found.token and found.token["days_left"] == days


def test_a_warning_is_heard_and_may_fail(script: Script, tmp_path: pathlib.Path) -> None:
    vault.write_snapshot(tmp_path / "s")
    for fail_on in ("critical", "warning"):
        script.expect("GET", "transit/keys/autounseal", body={"data": {**KEY, "deletion_allowed": True}})
        script.expect("GET", "auth/token/lookup-self", body={"data": {"ttl": 0}}).expect("POST", "sys/capabilities-self", body={"data": RIGHTS})
        if fail_on == "critical":
            bad = {"key_deletion": "warning", "token_parent": "warning"}
            assert outcomes(custody(tmp_path / "s")) == {"key": "good", "token": "good", "token_rights": "good", **bad}
        else:
            with pytest.raises(ModuleFailed, match="may be deleted"):
                custody(tmp_path / "s", fail_on=fail_on)


def test_rights_and_tokens_that_are_not_there(script: Script, tmp_path: pathlib.Path) -> None:
    vault.write_snapshot(tmp_path / "s")
    for status, granted, outcome in ((403, {}, "unknown"), (200, {"transit/encrypt/autounseal": ["read"]}, "critical")):
        script.expect("GET", "transit/keys/autounseal", body={"data": KEY}).expect("GET", "auth/token/lookup-self", body={"data": TOKEN})
        script.expect("POST", "sys/capabilities-self", status, {"data": granted})
        assert outcomes(custody(tmp_path / "s", fail_on="never"))["token_rights"] == outcome
    script.expect("GET", "transit/keys/autounseal", body={"data": KEY}).expect("GET", "auth/token/lookup-self", 403)
    assert outcomes(custody(tmp_path / "s", fail_on="never"))["token"] == "critical"
    script.expect("GET", "transit/keys/autounseal", body={"data": KEY})
    script.expect("POST", "auth/token/lookup-accessor", 403, {"errors": ["permission denied"]}).expect("GET", "auth/token/lookup-self")
    with pytest.raises(ModuleFailed, match="look the seal's token up"):
        custody(tmp_path / "s", seal_token_accessor="a")


@pytest.mark.parametrize(
    ("kind", "options", "outcome"),
    [
        ("shamir", {}, "good"),
        ("static", {"static_key_ids": ["k2", "k1"]}, "good"),
        ("static", {"static_key_ids": ["k2"], "fail_on": "never"}, "critical"),
        ("awskms", {"fail_on": "never"}, "unknown"),
    ],
)
def test_other_seals_ask_no_server(tmp_path: pathlib.Path, kind: str, options: dict[str, t.Any], outcome: str) -> None:
    seal = SEAL_SHAMIR if kind == "shamir" else vault.SEAL_TRANSIT.replace(b"transit", kind.encode())
    state = vault.state_of(seal, None if kind == "shamir" else static_seal("k1"))
    (tmp_path / "s").write_bytes(vault.pack(vault.snapshot_members(state)))
    assert custody(tmp_path / "s", **options)["verdict"] == outcome


def test_a_snapshot_that_names_no_version_or_is_broken(script: Script, tmp_path: pathlib.Path) -> None:
    state = vault.state_of(extra=static_seal("arn"))
    (tmp_path / "s").write_bytes(vault.pack(vault.snapshot_members(state)))
    script.expect("GET", "transit/keys/autounseal", body={"data": KEY}).expect("POST", "auth/token/lookup-accessor", body={"data": TOKEN})
    assert outcomes(custody(tmp_path / "s", seal_token_accessor="a", fail_on="never"))["key"] == "unknown"
    (tmp_path / "s").write_bytes(base64.b64decode("AAAA"))
    with pytest.raises(ModuleFailed, match="Cannot learn from"):
        custody(tmp_path / "s")
