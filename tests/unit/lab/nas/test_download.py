"""Files of the double by HTTP, as truenas/middleware does it: service/core_service.py `download`, apps/file_app.py, plugins/filesystem.py `get`."""

from __future__ import annotations

import asyncio
import pathlib
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from lab.nas.server import app, download, filesystem
from lab.nas.server.middleware import Middleware

from .conftest import Scenario, Wire

Talk = Callable[[Scenario], None]
CONTENT = bytes(range(256)) * 20_000


@pytest.fixture
def file(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file that the NAS serves."""
    monkeypatch.setattr(filesystem, "_checked", pathlib.Path)
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return str(path)


@pytest.fixture
def both(mw: Middleware) -> Callable[[Callable[[Wire, Any], Any]], None]:
    """Run a scenario with a WebSocket and HTTP to the same NAS."""

    def run(scenario: Callable[[Wire, Any], Any]) -> None:
        async def main() -> None:
            mw.loop = asyncio.get_running_loop()
            async with TestClient(TestServer(app.build(mw, tls=False))) as client, client.ws_connect("/api/current", max_msg_size=0) as socket:
                wire = Wire(socket, mw)
                await wire.login()
                await scenario(wire, client)

        asyncio.run(main())

    return run


def test_a_file_comes_once(both: Any, file: str) -> None:
    async def scenario(wire: Wire, http: Any) -> None:
        number, path = await wire.call("core.download", "filesystem.get", [file], "file")
        assert path.startswith(f"/_download/{number}?auth_token=")
        async with http.get(path) as answer:
            assert (answer.status, answer.headers["Content-Disposition"]) == (200, 'attachment; filename="file"')
            assert await answer.read() == CONTENT
        async with http.get(path) as answer:
            assert answer.status == 401, "the token is for one use"

    both(scenario)


def test_who_has_no_token_gets_nothing(both: Any, file: str) -> None:
    async def scenario(wire: Wire, http: Any) -> None:
        one, first = await wire.call("core.download", "filesystem.get", [file], "file")
        two, second = await wire.call("core.download", "filesystem.get", [file], "file")
        for path in (f"/_download/{one}", f"/_download/{one}?auth_token=x", second.replace(f"/{two}?", f"/{one}?")):
            async with http.get(path) as answer:
                assert answer.status == 401
        async with http.get(first) as answer:
            assert await answer.read() == CONTENT

    both(scenario)


def test_a_file_that_nobody_comes_for_ends_its_job(both: Any, file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "PATIENCE", -1)

    async def scenario(wire: Wire, http: Any) -> None:
        number, path = await wire.call("core.download", "filesystem.get", [file], "file")
        async with http.get(path) as answer:
            assert answer.status == 410
        for _unused in range(100):
            job = await wire.call("core.get_jobs", [["id", "=", number]], {"get": True})
            if job["state"] == "FAILED":
                return
            await asyncio.sleep(0.05)
        raise AssertionError(job)

    both(scenario)


def test_a_nas_that_stops_ends_the_jobs_that_wait_for_a_reader(both: Any, file: str, mw: Middleware) -> None:
    waiting: list[Any] = []

    async def scenario(wire: Wire, http: Any) -> None:
        del http
        number, _path = await wire.call("core.download", "filesystem.get", [file], "file")
        job = wire.mw.jobs.live(number)
        assert job, "the pipe is smaller than the file"
        waiting.append(job.future)

    both(scenario)
    with pytest.raises(BrokenPipeError):
        waiting[0].result(timeout=10)
    assert not download._pipes(mw)


def test_what_cannot_be_read_ends_early_and_well(both: Any, tmp_path: pathlib.Path, file: str) -> None:
    """The server sends status 200 before it knows: a client has to count."""
    del file

    async def scenario(wire: Wire, http: Any) -> None:
        number, path = await wire.call("core.download", "filesystem.get", [str(tmp_path)], "file")
        async with http.get(path) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        job = await wire.call("core.get_jobs", [["id", "=", number]], {"get": True})
        assert job["state"] == "FAILED" and "is not a file" in job["error"]

    both(scenario)


def test_only_by_download_and_only_what_makes_files(both: Any, file: str) -> None:
    async def scenario(wire: Wire, http: Any) -> None:
        del http
        assert "Pipe 'output' is not open" in (await wire.error("filesystem.get", file))["data"]["reason"]
        assert "core.ping has no output" in (await wire.error("core.download", "core.ping", [], "x"))["data"]["reason"]
        assert "not found" in (await wire.error("core.download", "core.none", [], "x"))["data"]["reason"]
        next(iter(wire.mw.sessions)).user["roles"] = ["READONLY_ADMIN"]  # type: ignore[index]
        assert "[EACCES] Not authorized" in (await wire.error("core.download", "filesystem.get", [file], "x"))["data"]["reason"]

    both(scenario)
