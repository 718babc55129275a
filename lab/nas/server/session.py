"""One WebSocket connection: messages in, replies and events out."""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
import random
import uuid
from typing import Any

from aiohttp import WSMsgType, web

from lab.nas.server import ejson, errors, roles
from lab.nas.server.errors import CallError, RpcError
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.ratelimit import RateLimit
from lab.nas.server.registry import Method, methods
from lab.nas.server.schema import old_name, parse
from lab.nas.server.scram import Exchange

LIMIT_BEFORE_LOGIN, LIMIT_AFTER_LOGIN = 8 * 1024, 64 * 1024
SOFT_LIMIT, HARD_LIMIT = 10, 20
_LOG = logging.getLogger("nas.rpc")


class Session:
    """State of a connection. ``secure``: came by TLS or from loopback; ``origin``: the client's address; ``api``: the version it speaks."""

    def __init__(self, mw: Middleware, limiter: RateLimit, origin: str, *, secure: bool, tls: bool = False, api: str = "current") -> None:
        self.mw, self.origin, self.secure, self.tls = mw, origin, secure, tls
        self.api = mw.version if api == "current" else ".".join(api.removeprefix("v").split(".")[: 2 if api.startswith("v25") else 1])
        self.second_factor_of: str | None = None
        self.scram: Exchange | None = None
        self._limiter = limiter
        self.id = str(uuid.uuid4())
        self.created_at = datetime.datetime.now(datetime.timezone.utc)
        self.user: dict[str, Any] | None = None
        self.credentials: dict[str, Any] = {}
        self.options: dict[str, Any] = {"legacy_jobs": True, "private_methods": False, "py_exceptions": False}
        self.subscriptions: dict[str, str] = {}
        self._outgoing: asyncio.Queue[str | None] = asyncio.Queue()
        self._running, self._soft = 0, asyncio.Semaphore(SOFT_LIMIT)

    def credential_summary(self) -> dict[str, Any] | None:
        """Return what job records say about who started them."""
        return {"type": self.credentials["type"], "data": {"username": self.user["username"]}} if self.user else None

    def subscribed_to(self, collection: str) -> bool:
        """Say whether events of this collection go to this session."""
        return any(name in (collection, "*") for name in self.subscriptions.values())

    def send(self, message: dict[str, Any]) -> None:
        """Queue a message; messages leave in the order they came."""
        self._outgoing.put_nowait(ejson.dumps(message))

    async def serve(self, socket: web.WebSocketResponse) -> None:
        """Answer until the client goes."""
        writer = asyncio.create_task(self._write(socket))
        tasks: set[asyncio.Task[None]] = set()
        self.mw.sessions.add(self)
        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    await socket.close(code=1003, message=b"Binary messages are not supported")
                    break
                limit = LIMIT_AFTER_LOGIN if self.user else LIMIT_BEFORE_LOGIN
                if len(message.data.encode()) > limit:
                    await socket.close(code=1009, message=b"Max message length is %d" % limit)
                    break
                # A task each: a job's reply may be held for minutes while other calls go on.
                task = asyncio.create_task(self._answer(message.data))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
        finally:
            self.mw.sessions.discard(self)
            self._outgoing.put_nowait(None)
            for task in tasks:
                task.cancel()
            await writer

    async def _write(self, socket: web.WebSocketResponse) -> None:
        while (text := await self._outgoing.get()) is not None:
            try:
                await socket.send_str(text)
            except (ConnectionError, RuntimeError):
                return

    async def _answer(self, text: str) -> None:
        key: Any = None
        try:
            message = _parse(text)
            key = message.get("id")
            result = await self._limited(message, key)
            reply = {"jsonrpc": "2.0", "id": key, "result": result}
        except Exception as exc:  # every failure is an answer
            if not isinstance(exc, (CallError, RpcError, errors.ValidationErrors)):
                _LOG.exception("call failed: %.200s", text)
            reply = {"jsonrpc": "2.0", "id": key, "error": errors.to_wire(exc)}
        if key is not None or "error" in reply:
            self.send(reply)

    async def _limited(self, message: dict[str, Any], key: Any) -> Any:
        if self._running >= HARD_LIMIT:
            raise RpcError(errors.TOO_MANY_CALLS, f"Maximum number of concurrent calls ({HARD_LIMIT}) has exceeded.")
        self._running += 1
        try:
            async with self._soft:
                return await self._call(message["method"], message.get("params", []), key)
        finally:
            self._running -= 1

    async def _call(self, name: str, params: list[Any], key: Any) -> Any:
        method = self.mw.methods.get(name)
        if method is not None and name.startswith("auth.login_ex"):
            # The adapters between versions are missing here but for this: a client that speaks an old one cannot use SCRAM.
            method = methods(self.api)[name]
        if method is None:
            raise RpcError(errors.METHOD_NOT_FOUND, "Method does not exist")
        if self.user is None:
            await self._check_anonymous(method)
        else:
            roles.check(self.user, name)
        arguments = parse(method.args, params, old=old_name(name) if self.api < "25.10" else None)
        call = Call(self.mw, self, key)
        if not method.job:
            return await asyncio.to_thread(method.function, call, *arguments)
        job = self.mw.start_job(name, arguments, call)
        if self.options["legacy_jobs"]:
            return job.id
        return await asyncio.wrap_future(job.future)

    async def _check_anonymous(self, method: Method) -> None:
        if not method.public:
            raise CallError("Not authenticated", errors.ENOTAUTHENTICATED)
        if not method.unlimited and self._limiter.exceeded(method.name, self.origin):
            await asyncio.sleep(random.uniform(1, 10))
            raise CallError("Rate Limit Exceeded", 16)


def _parse(text: str) -> dict[str, Any]:
    try:
        message = ejson.loads(text)
    except ValueError as exc:
        raise RpcError(errors.PARSE_ERROR, f"Parse error: {exc}") from exc
    if isinstance(message, list):
        raise RpcError(errors.INVALID_REQUEST, "Batch requests are not supported")
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        raise RpcError(errors.INVALID_REQUEST, f"Invalid Message Format: {json.dumps(text)[:100]}")
    if not isinstance(message.get("params", []), list):
        raise RpcError(errors.INVALID_REQUEST, "Invalid Message Format: `params` must be an array")
    return message
