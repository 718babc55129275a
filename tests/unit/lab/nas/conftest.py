"""A NAS without ZFS: a scripted ``zfs`` and everything else for real."""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse
from aiohttp.test_utils import TestClient, TestServer

from lab.nas.server import app, auth
from lab.nas.server.middleware import Middleware
from lab.nas.server.registry import VERSIONS
from lab.nas.server.secret import hash_key, new_key
from lab.nas.server.zfs import Snapshot, Zfs

Scenario = Callable[["Wire"], Awaitable[None]]


class FakeZfs(Zfs):
    """Knows datasets and snapshots by name; refuses every command."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, list[Snapshot]] = {}
        self.health = {"tank": "ONLINE"}

    def run(self, *argv: str) -> str:
        raise AssertionError(f"unexpected command: {argv}")

    def exists(self, name: str) -> bool:
        return name in self.names

    def datasets(self, below: str | None = None) -> list[str]:
        return sorted(name for name in self.names if below is None or name == below or name.startswith(f"{below}/"))

    def snapshots(self, dataset: str | None = None, *, recursive: bool = False, properties: str = "") -> list[Snapshot]:
        assert dataset is not None
        names = self.datasets(dataset) if recursive else [dataset]
        return [one for name in names for one in self.names[name]]

    def pools(self) -> dict[str, str]:
        return self.health


class Wire:
    """One WebSocket connection to the NAS under test."""

    def __init__(self, socket: ClientWebSocketResponse, mw: Middleware) -> None:
        self.socket, self.mw = socket, mw
        self._number = 0
        self.events: list[dict[str, Any]] = []

    async def send(self, method: str, *params: Any) -> int:
        """Send a request; returns its id."""
        self._number += 1
        await self.socket.send_str(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": list(params)}))
        return self._number

    async def answer(self, number: int) -> dict[str, Any]:
        """Return the reply to a request; events that come before it are kept."""
        while True:
            message: dict[str, Any] = json.loads(await self.socket.receive_str(timeout=20))
            if message.get("id") == number:
                return message
            self.events.append(message)

    async def call(self, method: str, *params: Any) -> Any:
        """Call and return the result; a failed call fails the test."""
        reply = await self.answer(await self.send(method, *params))
        assert "error" not in reply, reply
        return reply["result"]

    async def error(self, method: str, *params: Any) -> dict[str, Any]:
        """Call and return the error."""
        found: dict[str, Any] = (await self.answer(await self.send(method, *params)))["error"]
        return found

    async def login(self) -> None:
        """Log in with the key of the fixture."""
        reply = await self.call("auth.login_ex", {"mechanism": "API_KEY_PLAIN", "username": "automation", "api_key": self.mw.config["api_key"]})
        assert reply["response_type"] == "SUCCESS"


@pytest.fixture(autouse=True)
def no_delay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused logins and exceeded limits wait on purpose; tests do not."""
    monkeypatch.setattr(auth, "FAILURE_DELAY", 0.0)
    monkeypatch.setattr("lab.nas.server.session.random.uniform", lambda low, high: 0.0)


@pytest.fixture(params=VERSIONS)
def release(request: pytest.FixtureRequest) -> str:
    """Every release in turn. A file whose tests choose theirs has a fixture of this name of its own."""
    return str(request.param)


@pytest.fixture
def config(tmp_path: pathlib.Path, release: str) -> dict[str, Any]:
    """The configuration of a NAS."""
    return {"name": "nas-a", "dir": str(tmp_path), "address": "127.0.0.1", "ports": {"api": 1, "plain": 2, "ssh": 3}, "version": release, "rate_limit": 20,
            "scheduler": False, "disks": ["sda"], "username": "automation", "password": "pass-word", "peers": [], "api_key": "", "ca": None}


@pytest.fixture
def mw(config: dict[str, Any]) -> Middleware:
    """A NAS with one API key."""
    made = Middleware(config, FakeZfs())
    number, text = new_key(made.store.next_id("api_key"))
    made.store.table("api_key").append({**hash_key(text), "id": number, "name": "lab", "username": "automation", "revoked": False, "revoked_reason": None,
                                        "expires_at": None, "created_at": time.time()})
    config["api_key"] = text
    return made


@pytest.fixture
def talk(mw: Middleware) -> Callable[[Scenario], None]:
    """Run a scenario against the NAS's real WebSocket endpoint."""

    def run(scenario: Scenario) -> None:
        async def main() -> None:
            mw.loop = asyncio.get_running_loop()
            async with TestClient(TestServer(app.build(mw, tls=False))) as client, client.ws_connect("/api/current", max_msg_size=0) as socket:
                await scenario(Wire(socket, mw))

        asyncio.run(main())

    return run
