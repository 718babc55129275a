"""A client that shows the wire of the lab's Proxmox API, and an API to talk to, without real guests."""

from __future__ import annotations

import asyncio
import http.client
import json
import pathlib
import ssl
import threading
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest

from lab import pki
from lab.proxmox.room import Room
from lab.proxmox.server import LabPve
from lab.state import LabState

QEMU = "/nodes/pve1/qemu"


class Api:
    """A client that shows the wire: one connection a request."""

    def __init__(self, pve: LabPve, ca: pathlib.Path) -> None:
        self.pve = pve
        self.context = ssl.create_default_context(cafile=str(ca))
        self.token = "PVEAPIToken=automation@pve!lab=secret"

    def raw(
        self, method: str, path: str, *, body: bytes | None = None, headers: dict[str, str] | None = None, token: str | None = ""
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPSConnection("127.0.0.1", self.pve.port, context=self.context, timeout=20)
        head = {"Authorization": self.token if token == "" else token} if token is not None else {}
        connection.request(method, "/api2/json" + path, body=body, headers={**head, **(headers or {})})
        return connection.getresponse()

    def __call__(self, method: str, path: str, /, **values: Any) -> Any:
        """The data of an answer; AssertionError with status and message for an error."""
        form = urllib.parse.urlencode(values)
        if method in ("GET", "DELETE"):
            answer = self.raw(method, f"{path}?{form}" if form else path)
        else:
            answer = self.raw(method, path, body=form.encode(), headers={"Content-Type": "application/x-www-form-urlencoded"})
        data = json.loads(answer.read())
        if answer.status >= 400:
            raise AssertionError(f"{answer.status} {data.get('message', '').strip()} {json.dumps(data.get('errors') or {})}")
        return data["data"]

    def wait(self, upid: str) -> str:
        for _unused in range(400):
            status = self("GET", f"/nodes/pve1/tasks/{urllib.parse.quote(upid, safe='')}/status")
            if status["status"] == "stopped":
                return str(status["exitstatus"])
            time.sleep(0.01)
        raise AssertionError(f"{upid} did not end")

    def create(self, vmid: int, **config: Any) -> None:
        assert self.wait(self("POST", QEMU, vmid=vmid, **config)) == "OK"


@pytest.fixture
def api(state: LabState) -> Iterator[Api]:
    pki.up(state)
    certificate, key = pki.server_certificate(state, "proxmox")
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(job: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(job, loop).result(20)

    async def make() -> LabPve:
        pve = LabPve(Room(state), "127.0.0.1", 0, state.path("proxmox", "state.json"), "root password")
        pve.auth_delay = 0.05
        pve.apitokens["automation@pve!lab"] = "secret"
        await pve.start(str(certificate), str(key))
        return pve
    pve = run(make())
    try:
        yield Api(pve, state.dir / "pki" / "ca.pem")
    finally:
        run(pve.stop())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
