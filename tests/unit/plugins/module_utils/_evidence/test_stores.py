"""The KV store by the real hvac client against scripted answers (as OpenBao 2.7.2 gives them)."""

from __future__ import annotations

import json
import pathlib
import typing as t

import pytest
from ansible_collections.resilient.platform.plugins.module_utils._errors import Refused
from ansible_collections.resilient.platform.plugins.module_utils._evidence import canary, stores
from ansible_collections.resilient.platform.plugins.module_utils._evidence.libs import MissingLibrary

from helpers.evidence import HMAC_KEY, Exchange, ScriptedServer

LOGIN = Exchange("POST", "/v1/auth/approle/login", body={"auth": {"client_token": "t1"}})
JSON = {"Content-Type": "application/json"}
KEY = "/v1/kv/data/canary/s1/00000001"
RECORD = canary.make("s1", "vault", 1, HMAC_KEY)


def put(status: int = 200, path: str = KEY, body: t.Any = None) -> Exchange:
    return Exchange("POST", path, status, body if body is not None else {"data": {"version": 1}}, JSON)


def store(*urls: str, **options: t.Any) -> stores.Store:
    return stores.build({"name": "vault", "type": "vault_kv", "urls": list(urls), "role_id": "r", "secret_id": "planted-secret", "timeout": 2, **options})


def denied(*errors: str) -> dict[str, t.Any]:
    return {"errors": list(errors)}


def test_write_logs_in_once_and_puts_one_key_for_a_record() -> None:
    second = canary.make("s1", "vault", 2, HMAC_KEY)
    with ScriptedServer(LOGIN, put(), put(path=KEY[:-1] + "2")) as server:
        place = store(server.url)
        place.write("s1", RECORD, first=True)
        place.write("s1", second, first=False)
        assert json.loads(server.seen[1][2])["data"] == RECORD


def test_expired_token_leads_to_a_new_login() -> None:
    with ScriptedServer(LOGIN, put(), put(403, body=denied("permission denied")), LOGIN, put()) as server:
        place = store(server.url)
        place.write("s1", RECORD, first=True)
        place.write("s1", RECORD, first=True)


def test_next_node_is_asked_if_one_is_down_or_sealed() -> None:
    with ScriptedServer(Exchange("POST", "/v1/auth/approle/login", 503, denied("Vault is sealed"), JSON)) as sealed, ScriptedServer(LOGIN, put()) as good:
        store("http://127.0.0.1:1", sealed.url, good.url).write("s1", RECORD, first=True)


def test_error_names_every_node_and_no_secret() -> None:
    with ScriptedServer(LOGIN, put(403, body=denied("1 error occurred:\n\t* permission denied\n\n"))) as server:
        with pytest.raises(stores.StoreError) as caught:
            store("http://127.0.0.1:1", server.url).write("s1", RECORD, first=True)
    said = str(caught.value)
    assert "http://127.0.0.1:1: no connection" in said and f"{server.url}: 1 error occurred: * permission denied" in said
    assert "planted-secret" not in said


def test_absent_engine_is_named() -> None:
    with ScriptedServer(LOGIN, put(404, body=denied("no handler for route"))) as server:
        with pytest.raises(stores.StoreError, match="no KV engine"):
            store(server.url).write("s1", RECORD, first=True)


def listed(*keys: str) -> Exchange:
    return Exchange("LIST", "/v1/kv/metadata/canary/s1", body={"data": {"keys": list(keys)}}, headers=JSON)


def got(record: t.Any, path: str = KEY) -> Exchange:
    return Exchange("GET", path, body={"data": {"data": record, "metadata": {"version": 1}}}, headers=JSON)


def test_read_gives_every_record() -> None:
    with ScriptedServer(LOGIN, listed("00000001", "sub/"), got(RECORD)) as server:
        assert store(server.url).read("s1") == [RECORD]


def test_absent_series_is_empty() -> None:
    with ScriptedServer(LOGIN, Exchange("LIST", "/v1/kv/metadata/canary/s1", 404, denied(), JSON)) as server:
        assert store(server.url).read("s1") == []


@pytest.mark.parametrize("record", [{**RECORD, "sequence": 2}, {"x": 1}, None, {**RECORD, "sequence": "1"}])
def test_what_is_no_record_or_at_another_key_is_none(record: t.Any) -> None:
    with ScriptedServer(LOGIN, listed("00000001"), got(record)) as server:
        assert store(server.url).read("s1") == [None]


def test_deleted_version_is_none() -> None:
    with ScriptedServer(LOGIN, listed("00000001"), Exchange("GET", KEY, 404, {"data": {"data": None, "metadata": {"deletion_time": "x"}}}, JSON)) as server:
        assert store(server.url).read("s1") == [None]


def leader(is_self: bool, **more: t.Any) -> Exchange:
    return Exchange("GET", "/v1/sys/leader", body={"ha_enabled": True, "is_self": is_self, **more}, headers=JSON)


def test_only_the_leader_is_read_from() -> None:
    with ScriptedServer(LOGIN, leader(False)) as standby, ScriptedServer(LOGIN, leader(True), listed("00000001"), got(RECORD)) as active:
        assert store(standby.url, active.url).read("s1") == [RECORD]


def test_no_leader_is_an_error() -> None:
    with ScriptedServer(LOGIN, leader(False)) as one, ScriptedServer(LOGIN, leader(False)) as two:
        with pytest.raises(stores.StoreError, match="not the leader"):
            store(one.url, two.url).read("s1")


def test_credentials_from_a_file_or_a_token(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"role_id": "r2", "secret_id": "s2"}))
    with ScriptedServer(LOGIN, put()) as server:
        store(server.url, credentials_file=str(path)).write("s1", RECORD, first=True)
        assert json.loads(server.seen[0][2]) == {"role_id": "r2", "secret_id": "s2"}
    with ScriptedServer(put()) as server:
        stores.build({"name": "v", "type": "vault_kv", "url": server.url, "token": "t", "validate_certs": False}).write("s1", RECORD, first=True)


@pytest.mark.parametrize("content", [None, "{", "{}", "[]"])
def test_unusable_credentials_file_is_named(tmp_path: pathlib.Path, content: str | None) -> None:
    path = tmp_path / "c.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(stores.StoreError, match="holds no role_id and secret_id"):
        store("http://127.0.0.1:1", credentials_file=str(path)).write("s1", RECORD, first=True)


def test_store_without_credentials_or_url_is_refused() -> None:
    with pytest.raises(Refused, match="no credentials"):
        stores.build({"name": "v", "type": "vault_kv", "url": "http://127.0.0.1:1"}).write("s1", RECORD, first=True)
    with pytest.raises(Refused, match="no url"):
        store()
    with pytest.raises(Refused, match="absolute path"):
        stores.build({"name": "f", "type": "file", "path": "x"})


def test_asset_is_the_name_unless_it_is_given() -> None:
    assert stores.build({"name": "f", "type": "file", "path": "/x"}).asset == "f"
    assert stores.build({"name": "f", "type": "file", "path": "/x", "asset": "data"}).asset == "data"


def test_causes_in_words() -> None:
    assert "ca_path" in stores._brief(stores.requests.exceptions.SSLError())
    assert "in time" in stores._brief(stores.requests.exceptions.ReadTimeout())
    assert stores._brief(ValueError()) == "ValueError"


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "HVAC_ERROR", ImportError("No module named hvac"))
    with pytest.raises(MissingLibrary, match="hvac"):
        store("http://127.0.0.1:1")
