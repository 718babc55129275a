"""The protocol: framing, limits, logins, jobs, events."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from lab.nas.server import app, auth, registry
from lab.nas.server.errors import CallError
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.ratelimit import RateLimit
from lab.nas.server.registry import Method
from lab.nas.server.schema import NoArgs
from lab.nas.server.session import Session
from lab.nas.server.snapshottask import set_state

from .conftest import Scenario, Wire

Talk = Callable[[Scenario], None]


def test_versions_without_login_and_unknown_paths(mw: Middleware) -> None:
    async def main() -> None:
        async with TestClient(TestServer(app.build(mw, tls=False))) as client:
            assert await (await client.get("/api/versions")).json() == registry.API_VERSIONS[mw.version]
            assert (await client.get("/api/v99.1.0")).status == 404
            async with client.ws_connect("/api/v25.04.1") as socket:
                await Wire(socket, mw).login()

    asyncio.run(main())


def test_the_official_clients_first_calls(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        if wire.mw.version == "25.04":
            assert await wire.call("core.set_options", {"py_exceptions": False}) is None
        else:
            options = await wire.call("core.set_options", {"legacy_jobs": False, "private_methods": False, "py_exceptions": False})
            assert options == {"legacy_jobs": False, "private_methods": False, "py_exceptions": False}
        error = await wire.error("core.subscribe", "core.get_jobs")
        assert error["code"] == -32001 and error["data"]["error"] == 207 and error["data"]["errname"] == "ENOTAUTHENTICATED"
        assert "API_KEY_PLAIN" in await wire.call("auth.mechanism_choices")
        await wire.login()
        assert isinstance(await wire.call("core.subscribe", "core.get_jobs"), str)
        assert await wire.call("core.ping") == "pong"
        assert (await wire.call("auth.me"))["pw_name"] == "automation"
        assert await wire.call("auth.logout") is True
        assert (await wire.error("auth.me"))["data"]["error"] == 207

    talk(scenario)


def test_errors_of_the_protocol(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        for text, code in (("{", -32700), ("[]", -32600), ('{"jsonrpc":"2.0","id":1,"method":"core.ping","params":{}}', -32600), ('{"id":1}', -32600)):
            await wire.socket.send_str(text)
            assert json.loads(await wire.socket.receive_str())["error"]["code"] == code
        assert await wire.error("no.such") == {"code": -32601, "message": "Method does not exist"}

    talk(scenario)


def test_validation_and_not_found_have_the_middlewares_shape(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        await wire.login()
        error = await wire.error("api_key.create", {"nope": 1})
        assert error["code"] == -32602 and error["message"] == "Invalid params" and error["data"]["error"] == 22
        assert error["data"]["extra"] == [["data.username", "Field required", 22], ["data.nope", "Extra inputs are not permitted", 22]]
        assert error["data"]["trace"]["class"] == "ValidationErrors" and error["data"]["reason"].startswith("[EINVAL] data.username: Field required\n")
        error = await wire.error("replication.get_instance", 7)
        assert error["code"] == -32602 and error["data"]["extra"] == [[None, "Replication 7 does not exist", 2]]
        assert error["data"]["reason"] == "[ENOENT] ALL: Replication 7 does not exist\n"
        error = await wire.error("api_key.query", [["id", "=", 99]], {"get": True})
        assert error["code"] == -32001 and error["data"]["errname"] == "ENOENT"
        assert "Too many arguments" in (await wire.error("core.ping", 1))["data"]["reason"]

    talk(scenario)


@pytest.mark.parametrize(
    "logged_in, size, closes", [(False, 8 * 1024 - 200, False), (False, 9 * 1024, True), (True, 60 * 1024, False), (True, 65 * 1024, True)]
)
def test_too_long_messages_close_the_connection(talk: Talk, logged_in: bool, size: int, closes: bool) -> None:
    async def scenario(wire: Wire) -> None:
        if logged_in:
            await wire.login()
        await wire.send("no.such", "x" * size)
        message = await wire.socket.receive(timeout=5)
        assert (message.type is WSMsgType.CLOSE) is closes
        assert not closes or wire.socket.close_code == 1009

    talk(scenario)


def test_binary_frames_close_the_connection(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        await wire.socket.send_bytes(b"{}")
        assert (await wire.socket.receive(timeout=5)).type is WSMsgType.CLOSE

    talk(scenario)


def test_more_than_twenty_calls_at_once_are_refused(talk: Talk, mw: Middleware) -> None:
    mw.methods["test.slow"] = Method("test.slow", lambda call: time.sleep(0.3), NoArgs)

    async def scenario(wire: Wire) -> None:
        await wire.login()
        numbers = [await wire.send("test.slow") for _unused in range(25)]
        replies = [json.loads(await wire.socket.receive_str(timeout=10)) for _unused in numbers]
        refused = [reply for reply in replies if "error" in reply]
        assert len(refused) == 5 and {reply["error"]["code"] for reply in refused} == {-32000}

    talk(scenario)


def test_twenty_first_login_within_a_minute_is_refused(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        login = {"mechanism": "API_KEY_PLAIN", "username": "automation", "api_key": "1-wrong"}
        for _unused in range(20):
            assert await wire.call("auth.login_ex", login) == {"response_type": "AUTH_ERR"}
        error = await wire.error("auth.login_ex", login)
        assert error["code"] == -32001 and error["data"]["errname"] == "EBUSY" and "Rate Limit Exceeded" in error["data"]["reason"]
        assert await wire.call("auth.mechanism_choices"), "each method has its own count"
        for _unused in range(25):
            await wire.call("core.set_options", {"py_exceptions": False})

    talk(scenario)


def test_rate_limit_forgets_after_a_minute_and_can_be_off() -> None:
    now = [0.0]
    limit = RateLimit(2, clock=lambda: now[0])
    assert [limit.exceeded("m", "a") for _unused in range(3)] == [False, False, True]
    assert not limit.exceeded("m", "b") and not limit.exceeded("other", "a")
    now[0] = 61
    assert not limit.exceeded("m", "a")
    assert not any(RateLimit(0).exceeded("m", "a") for _unused in range(100))
    for number in range(150):
        limit.exceeded("m", str(number))
    assert len(limit._entries) == 100


def test_kinds_of_login(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        ways: list[tuple[dict[str, Any], str]] = [
            ({"mechanism": "PASSWORD_PLAIN", "username": "automation", "password": "no"}, "AUTH_ERR"),
            ({"mechanism": "PASSWORD_PLAIN", "username": "nobody-special", "password": "pass-word"}, "DENIED"),
            ({"mechanism": "API_KEY_PLAIN", "username": "root", "api_key": wire.mw.config["api_key"]}, "AUTH_ERR"),
            ({"mechanism": "TOKEN_PLAIN", "token": "nope"}, "AUTH_ERR"),
            ({"mechanism": "PASSWORD_PLAIN", "username": "root", "password": "pass-word"}, "SUCCESS")]
        for data, outcome in ways:
            assert (await wire.call("auth.login_ex", data))["response_type"] == outcome
        token = await wire.call("auth.generate_token", 60, {}, True, True)
        await wire.call("auth.logout")
        assert await wire.call("auth.login_with_token", token) is True
        await wire.call("auth.logout")
        assert await wire.call("auth.login_with_token", token) is False, "a single-use token"
        assert await wire.call("auth.login_with_api_key", "9-nope") is False
        assert await wire.call("auth.login_with_api_key", wire.mw.config["api_key"]) is True
        assert await wire.call("auth.login", "root", "wrong") is False
        assert len(await wire.call("auth.sessions")) == 1

    talk(scenario)


def test_a_key_sent_in_clear_is_revoked(mw: Middleware) -> None:
    async def session(secure: bool) -> Session:
        return Session(mw, RateLimit(0), "10.0.0.9", secure=secure)

    login = {"mechanism": "API_KEY_PLAIN", "username": "automation", "api_key": mw.config["api_key"], "login_options": {"user_info": False}}
    assert auth.login_ex(Call(mw, asyncio.run(session(True))), login)["response_type"] == "SUCCESS"
    assert auth.login_ex(Call(mw, asyncio.run(session(False))), login)["response_type"] == "EXPIRED"
    later = auth.login_ex(Call(mw, asyncio.run(session(True))), login)["response_type"]
    assert later == ("EXPIRED" if mw.version < "26" else "AUTH_ERR"), "plugins/auth_/login_ex_impl.py: from 26 on the same as a wrong one"
    key = mw.store.table("api_key")[0]
    assert key["revoked"] and key["revoked_reason"] == "Attempt to use over an insecure transport"


def test_api_keys_are_shown_once(talk: Talk) -> None:
    async def scenario(wire: Wire) -> None:
        await wire.login()
        made = await wire.call("api_key.create", {"name": "k", "username": "automation"})
        assert made["key"].startswith(f"{made['id']}-") and len(made["key"].partition("-")[2]) == 64
        assert "key" not in await wire.call("api_key.get_instance", made["id"])
        assert made["key"] not in wire.mw.store.path.read_text()
        assert [one["name"] for one in await wire.call("api_key.my_keys")] == ["lab", "k"]
        assert await wire.call("api_key.update", made["id"], {"name": "k2"})
        assert await wire.call("api_key.delete", made["id"]) is True
        assert (await wire.error("api_key.delete", made["id"]))["data"]["extra"][0][2] == 2

    talk(scenario)


def _add_job(mw: Middleware, function: Callable[[Call], Any]) -> None:
    mw.methods["test.job"] = Method("test.job", function, NoArgs, job=True, abortable=True)


def test_a_job_is_an_id_by_default_and_a_held_reply_on_request(talk: Talk, mw: Middleware) -> None:
    def work(call: Call) -> str:
        call.progress(50, "half")
        time.sleep(0.05)
        return "done"

    _add_job(mw, work)

    async def scenario(wire: Wire) -> None:
        await wire.login()
        number = await wire.call("test.job")
        assert isinstance(number, int)
        waiter = await wire.call("core.job_wait", number)
        assert isinstance(waiter, int) and waiter != number, "job_wait is a job itself"
        if wire.mw.version == "25.04":
            return  # which knows nothing else
        await wire.call("core.set_options", {"legacy_jobs": False})
        await wire.call("core.subscribe", "core.get_jobs")
        request = await wire.send("test.job")
        assert (await wire.answer(request))["result"] == "done"
        mine = [one["params"]["fields"] for one in wire.events if one["params"]["fields"]["message_ids"] == [request]]
        assert [one["state"] for one in mine][0] == "WAITING" and mine[-1]["state"] == "SUCCESS" and "$date" in mine[-1]["time_finished"]
        assert "half" in {one["progress"]["description"] for one in mine}
        jobs = await wire.call("core.get_jobs", [["method", "=", "test.job"]], {"select": ["state", "result"]})
        assert jobs == [{"state": "SUCCESS", "result": "done"}] * 2

    talk(scenario)


def test_failed_and_aborted_jobs(talk: Talk, mw: Middleware) -> None:
    def work(call: Call) -> None:
        assert call.job is not None
        if not call.extra and mw.store.value("fail"):
            raise CallError("no luck", 16)
        while True:
            call.job.check()
            time.sleep(0.02)

    _add_job(mw, work)

    async def scenario(wire: Wire) -> None:
        await wire.login()
        number = await wire.call("test.job")
        await wire.call("core.job_abort", number)
        while (await wire.call("core.get_jobs", [["id", "=", number]], {"get": True}))["state"] != "ABORTED":
            await asyncio.sleep(0.02)
        mw.store.set_value("fail", True)
        if wire.mw.version == "25.04":
            number = await wire.call("test.job")
            while (await wire.call("core.get_jobs", [["id", "=", number]], {"get": True}))["state"] in ("WAITING", "RUNNING"):
                await asyncio.sleep(0.02)
        else:
            await wire.call("core.set_options", {"legacy_jobs": False})
            error = await wire.error("test.job")
            assert error["data"]["errname"] == "EBUSY" and error["data"]["reason"] == "[EBUSY] no luck"
        last = (await wire.call("core.get_jobs"))[-1]
        assert last["state"] == "FAILED" and last["error"] == "[EBUSY] no luck" and last["exc_info"]["errno"] == 16
        if wire.mw.version == "25.04":
            return
        assert (await wire.error("core.job_wait", 999))["data"]["errname"] == "ENOENT"
        bulk = await wire.call("core.bulk", "replication.get_instance", [[5]])
        assert bulk[0]["result"] is None and "does not exist" in bulk[0]["error"]

    talk(scenario)


def test_jobs_survive_a_restart_and_running_ones_have_failed(mw: Middleware, config: dict[str, Any]) -> None:
    record = mw.jobs.start("x", [{"password": "p"}], lambda job: "ok").future
    record.result(5)
    table = mw.jobs._store.table("jobs")
    mw.jobs._store.insert("jobs", {**{k: v for k, v in table[0].items() if k != "id"}, "state": "RUNNING"})
    again = Middleware(config, mw.zfs)
    assert [one["state"] for one in again.jobs.records()] == ["SUCCESS", "FAILED"]


def test_a_task_that_ran_at_a_restart_is_as_it_ended_last(mw: Middleware, config: dict[str, Any]) -> None:
    """truenas/middleware, plugins/zettarepl_/state.py: only ERROR and FINISHED are kept."""
    for name in ("one", "two"):
        mw.store.insert("replication", {"name": name, "state": None})
    set_state(mw, "replication", 1, {"state": "FINISHED", "last_snapshot": "tank/a@x"})
    for key in (1, 2):
        set_state(mw, "replication", key, {"state": "RUNNING", "last_snapshot": None})
    first, second = Middleware(config, mw.zfs).store.table("replication")
    assert (first["state"]["state"], first["state"]["last_snapshot"], second["state"]) == ("FINISHED", "tank/a@x", None)


def test_secrets_do_not_get_into_job_records(mw: Middleware) -> None:
    mw.methods["test.job"] = Method("test.job", lambda call, data: None, NoArgs, job=True)
    job = mw.start_job("test.job", [{"password": "hunter2", "nested": [{"private_key": "s3cret", "name": "n"}]}])
    job.future.result(5)
    assert job.record["arguments"] == [{"password": "********", "nested": [{"private_key": "********", "name": "n"}]}]


def test_25_04_has_other_methods_and_options(config: dict[str, Any], talk: Talk, mw: Middleware) -> None:
    old = registry.methods("25.04")
    assert "zfs.snapshot.create" in old and "pool.snapshot.create" not in old and "pool.dataset.rename" not in old
    new = registry.methods("25.10")
    assert "pool.snapshot.create" in new and "zfs.snapshot.create" not in new and "pool.dataset.rename" in new
    config["version"] = "25.04"

    async def scenario(wire: Wire) -> None:
        error = await wire.error("core.set_options", {"legacy_jobs": False})
        assert error["data"]["extra"] == [["options.legacy_jobs", "Extra inputs are not permitted", 22]]
        assert "SCRAM" not in await wire.call("auth.mechanism_choices")
        await wire.login()
        assert (await wire.call("system.version_short")).startswith("25.04")
        assert "revoked_reason" not in (await wire.call("api_key.query"))[0]

    talk(scenario)
