"""A small client of our own, for faults and for one NAS that sets another one up (a NAS is a client there, too)."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from typing import Any

import websocket

FINAL = ("SUCCESS", "FAILED", "ABORTED")


class RemoteError(Exception):
    """The other side answered with an error, or not at all."""


class Client:
    """One authenticated connection. Use it as a context manager."""

    def __init__(self, url: str, ca: str | None, login: Mapping[str, Any], timeout: float = 30) -> None:
        # The lab's names are addresses, and its authority signs them: both are checked whenever there is a CA.
        options: dict[str, Any] = {"ca_certs": ca} if ca else {"cert_reqs": ssl.CERT_NONE, "check_hostname": False}
        try:
            self._socket = websocket.create_connection(url, sslopt=options, timeout=timeout)
        except (OSError, websocket.WebSocketException) as exc:
            raise RemoteError(f"Unable to connect to {url}: {exc}") from exc
        self._number = 0
        answer = self.call("auth.login_ex", [dict(login)])
        if answer["response_type"] != "SUCCESS":
            self.close()
            raise RemoteError(f"{url} refused the login: {answer['response_type']}")

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._socket.close()

    def call(self, method: str, params: list[Any] | None = None) -> Any:
        """Call a method and return its result. RemoteError carries the reason."""
        self._number += 1
        try:
            self._socket.send(json.dumps({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params or []}))
            while True:
                answer = json.loads(self._socket.recv())
                if answer.get("id") == self._number:
                    break
        except (OSError, ValueError, websocket.WebSocketException) as exc:
            raise RemoteError(f"{method}: {exc}") from exc
        if "error" in answer:
            raise RemoteError(f"{method}: {answer['error'].get('data', {}).get('reason') or answer['error']['message']}")
        return answer["result"]

    def job(self, method: str, params: list[Any], timeout: float = 60) -> Any:
        """Call a job method and wait for its result."""
        number = self.call(method, params)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            job = self.call("core.get_jobs", [[["id", "=", number]], {"get": True}])
            if job["state"] in FINAL:
                break
            time.sleep(0.1)
        if job["state"] != "SUCCESS":
            raise RemoteError(f"{method}: {job['state']}: {job['error']}")
        return job["result"]


def call_once(config: Mapping[str, Any], method: str, params: list[Any], timeout: float = 0) -> Any:
    """Log in to a NAS by its configuration and call one method; with a timeout it is a job to wait for. RemoteError."""
    url = f"wss://{config['address']}:{config['ports']['api']}/api/current"
    login = {"mechanism": "API_KEY_PLAIN", "username": config["username"], "api_key": config["api_key"]}
    with Client(url, config["ca"], login) as client:
        return client.job(method, params, timeout) if timeout else client.call(method, params)
