"""What differs between 25.04, 25.10, 26 and 27, and the ways of a login that is not a plain key. Each test names its source.

MW is truenas/middleware, 27.0.0-BETA.1 (66d9e1b), below src/middlewared/middlewared; fangtooth is its branch of 25.04.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable
from typing import Any

from aiohttp.test_utils import TestClient, TestServer

from lab.nas.server import app
from lab.nas.server.auth import OTP_TOKEN
from lab.nas.server.middleware import Middleware
from lab.nas.server.scram import final, first
from lab.nas.server.secret import client_key, mac

from .conftest import Scenario, Wire

Talk = Callable[[Scenario], None]


def _final(text: str, opening: str, reply: str, gs2: bytes = b"n,,") -> str:
    """A client's second message, written from RFC 5802 and not from the server's code."""
    nonce, salt, rounds = (part.partition("=")[2] for part in reply.split(","))
    ours, _theirs = client_key(text, base64.b64decode(salt), int(rounds))
    unproven = f"c={base64.b64encode(gs2).decode()},r={nonce}"
    signature = mac(hashlib.sha512(ours).digest(), f"{opening},{reply},{unproven}".encode())
    return f"{unproven},p={base64.b64encode(bytes(a ^ b for a, b in zip(ours, signature, strict=True))).decode()}"


async def _scram(wire: Wire, text: str, username: str = "automation") -> Any:
    opening = f"n={username}:{text.partition('-')[0]},r=fyko+d2lbbFgONRv9qkxdawL"
    reply = await wire.call("auth.login_ex", {"mechanism": "SCRAM", "scram_type": "CLIENT_FIRST_MESSAGE", "rfc_str": f"n,,{opening}"})
    if reply["response_type"] != "SCRAM_RESPONSE":
        return reply
    assert reply["scram_type"] == "SERVER_FIRST_RESPONSE"
    message = _final(text, opening, reply["rfc_str"])
    return await wire.call("auth.login_ex", {"mechanism": "SCRAM", "scram_type": "CLIENT_FINAL_MESSAGE", "rfc_str": message})


def test_scram_from_26_on(talk: Talk) -> None:
    """MW docs/source/accounts/scram_authentication.rst; api/v25_10_5/auth.py has no such mechanism."""

    async def scenario(wire: Wire) -> None:
        key = wire.mw.config["api_key"]
        if wire.mw.version < "26":
            error = await wire.error("auth.login_ex", {"mechanism": "SCRAM", "scram_type": "CLIENT_FIRST_MESSAGE", "rfc_str": "n,,n=automation:1,r=x"})
            assert error["code"] == -32602
            return
        reply = await _scram(wire, key)
        assert reply["scram_type"] == "SERVER_FINAL_RESPONSE" and reply["rfc_str"].startswith("v=") and reply["user_info"]["pw_name"] == "automation"
        await wire.call("auth.logout")
        assert await _scram(wire, key[:-1] + ("a" if key[-1] != "a" else "b")) == {"response_type": "AUTH_ERR"}
        assert await _scram(wire, key, "root") == {"response_type": "AUTH_ERR"}, "the key of somebody else"
        wire.mw.store.update("api_key", 1, {"expires_at": time.time() - 1})
        assert await _scram(wire, key) == {"response_type": "AUTH_ERR"}, "login_ex tells nothing else of a failed SCRAM"
        error = await wire.error("auth.login_ex", {"mechanism": "SCRAM", "scram_type": "CLIENT_FINAL_MESSAGE", "rfc_str": "c=biws,r=x,p=y"})
        assert "not in progress" in error["data"]["reason"]

    talk(scenario)


def test_an_old_version_of_the_api_has_the_old_mechanisms(mw: Middleware) -> None:
    """MW api/v25_10_5/auth.py beside api/v26_0_0/auth.py; facts 1.1: old versions stay."""

    async def main() -> None:
        async with TestClient(TestServer(app.build(mw, tls=False))) as client, client.ws_connect("/api/v25.04.2") as socket:
            wire = Wire(socket, mw)
            assert (await wire.error("auth.login_ex", {"mechanism": "SCRAM", "scram_type": "CLIENT_FIRST_MESSAGE", "rfc_str": "x"}))["code"] == -32602
            assert (await wire.error("core.set_options", {"legacy_jobs": False}))["code"] == -32602
            await wire.login()

    asyncio.run(main())


def test_channel_binding_is_taken_by_tls_only(mw: Middleware) -> None:
    """MW docs/source/accounts/scram_authentication.rst, Channel Binding."""
    keys = mw.store.table("api_key")
    opening = "p=tls-server-end-point,,n=automation:1,r=abc"
    assert first(opening, keys, tls=False) is None and first(opening, keys, tls=True) is not None
    exchange = first("n,,n=automation:1,r=abc", keys, tls=True)
    assert exchange is not None
    wrong = _final(mw.config["api_key"], exchange.bare, exchange.reply, b"p=tls-server-end-point,,something")
    assert final(wrong, exchange, None) is None, "another binding than the first message announced"


def test_a_second_factor_is_asked_for_after_the_password(talk: Talk) -> None:
    """MW plugins/auth.py, login_ex (PASSWORD_PLAIN, OTP_TOKEN)."""

    async def scenario(wire: Wire) -> None:
        data = {"mechanism": "PASSWORD_PLAIN", "username": "second-factor", "password": "pass-word"}
        assert await wire.call("auth.login_ex", {**data, "password": "no"}) == {"response_type": "AUTH_ERR"}
        for token, outcome in (("000000", "AUTH_ERR"), (OTP_TOKEN, "SUCCESS")):
            assert await wire.call("auth.login_ex", data) == {"response_type": "OTP_REQUIRED", "username": "second-factor"}
            assert (await wire.call("auth.login_ex_continue", {"mechanism": "OTP_TOKEN", "otp_token": token}))["response_type"] == outcome
        error = await wire.error("auth.login_ex", {"mechanism": "OTP_TOKEN", "otp_token": OTP_TOKEN})
        assert error["data"]["errname"] == "EINVAL", "nobody asked for one"

    talk(scenario)


def test_a_standby_controller_sends_elsewhere(talk: Talk, config: dict[str, Any]) -> None:
    """MW plugins/auth.py, login_ex: REDIRECT before the credential is looked at."""
    config["standby_of"] = ["10.0.0.2"]

    async def scenario(wire: Wire) -> None:
        login = {"mechanism": "API_KEY_PLAIN", "username": "automation", "api_key": "1-wrong"}
        assert await wire.call("auth.login_ex", login) == {"response_type": "REDIRECT", "urls": ["10.0.0.2"]}

    talk(scenario)


def test_an_expired_key_is_told_from_a_wrong_one_and_from_no_right(talk: Talk) -> None:
    """MW plugins/auth_/login_ex_impl.py, login_ex_api_key_plain; facts 1.2."""

    async def scenario(wire: Wire) -> None:
        login = {"mechanism": "API_KEY_PLAIN", "username": "automation", "api_key": wire.mw.config["api_key"]}
        wire.mw.store.update("api_key", 1, {"username": "nobody-special"})
        assert (await wire.call("auth.login_ex", {**login, "username": "nobody-special"}))["response_type"] == "DENIED"
        wire.mw.store.update("api_key", 1, {"username": "automation", "expires_at": time.time() - 1})
        assert (await wire.call("auth.login_ex", login))["response_type"] == "EXPIRED"
        assert (await wire.call("auth.login_ex", {**login, "api_key": "1-wrong"}))["response_type"] == "AUTH_ERR"

    talk(scenario)


def test_both_styles_of_attribute_names(talk: Talk) -> None:
    """facts 1.3; fangtooth plugins/pool_/dataset.py (Dict 'pool_dataset_create') and schema/dict_schema.py; MW api/v25_10_0/pool_dataset.py."""

    async def scenario(wire: Wire) -> None:
        await wire.login()
        found = (await wire.error("pool.dataset.create", {"nope": 1}))["data"]["extra"]
        old = [["pool_dataset_create.name", "attribute required", 22], ["pool_dataset_create.nope", "Field was not expected", 22]]
        new = [["data.name", "Field required", 22], ["data.nope", "Extra inputs are not permitted", 22]]
        assert found == (old if wire.mw.version == "25.04" else new)
        found = (await wire.error("pool.dataset.update", 5, {}))["data"]["extra"]
        assert [one[0] for one in found] == ["id"]

    talk(scenario)


def test_snapshots_are_found_where_each_release_has_them(mw: Middleware) -> None:
    """facts 1.7, Snapshots."""
    here, gone = ("zfs.snapshot", "pool.snapshot") if mw.version == "25.04" else ("pool.snapshot", "zfs.snapshot")
    assert f"{here}.query" in mw.methods and f"{gone}.query" not in mw.methods
