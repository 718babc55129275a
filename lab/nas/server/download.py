"""Files by HTTP: ``core.download`` starts a job that writes into a pipe, ``GET /_download/JOB`` reads from it, once."""

from __future__ import annotations

import asyncio
import errno
import math
import os
import threading
import time
from dataclasses import dataclass, field
from typing import IO, Any

from aiohttp import web

from lab.nas.server import auth
from lab.nas.server.errors import CallError
from lab.nas.server.middleware import Call, Middleware
from lab.nas.server.registry import method
from lab.nas.server.schema import Model, parse

PATIENCE, PATIENCE_BUFFERED = 60, 3600
_PIECE = 1 << 20


@dataclass
class Pipe:
    """What a job writes and a download reads. Without a buffer the job waits for its reader. ``ends``: when nobody may come any more."""

    ends: float
    reader: IO[bytes] = field(init=False)
    writer: IO[bytes] = field(init=False)
    taken: bool = False

    def __post_init__(self) -> None:
        read, write = os.pipe()
        self.reader, self.writer = os.fdopen(read, "rb"), os.fdopen(write, "wb")


_LOCK = threading.Lock()


def _pipes(mw: Middleware, now: float | None = None) -> dict[int, Pipe]:
    """Pipes by job; those that nobody came for in time are closed, which ends their jobs."""
    found: dict[int, Pipe] = mw.__dict__.setdefault("pipes", {})
    now = time.monotonic() if now is None else now
    with _LOCK:
        for number in [number for number, pipe in found.items() if not pipe.taken and pipe.ends < now]:
            found.pop(number).reader.close()
    return found


def close_all(mw: Middleware) -> None:
    """Close what nobody came for yet: its jobs wait for a reader, and a process does not end before its threads."""
    _pipes(mw, now=math.inf)


class DownloadArgs(Model):
    """Arguments of download."""

    method: str
    args: list[Any]
    filename: str
    buffered: bool = False


@method("core.download", DownloadArgs)
def download(call: Call, name: str, args: list[Any], filename: str, buffered: bool) -> Any:
    """Start a job that makes a file; returns its number and where the file can be fetched, once and soon."""
    assert call.session is not None and call.session.user is not None
    mw = call.mw
    wanted = mw.methods.get(name)
    if wanted is None or not wanted.output:
        raise CallError(f"Method {name!r} not found" if wanted is None else f"{name} has no output", errno.EINVAL)
    if "FULL_ADMIN" not in call.session.user["roles"]:
        raise CallError("Not authorized", errno.EACCES)
    pipe = Pipe(time.monotonic() + (PATIENCE_BUFFERED if buffered else PATIENCE))
    job = mw.start_job(name, parse(wanted.args, args), Call(mw, call.session, extra={"output": pipe.writer}))
    job.future.add_done_callback(lambda _done: _close(pipe.writer))
    _pipes(mw)[job.id] = pipe
    token = auth.generate_token(call, 300, {"filename": filename, "job": job.id}, True, True)
    return [job.id, f"/_download/{job.id}?auth_token={token}"]


def _close(stream: IO[bytes]) -> None:
    try:
        stream.close()
    except OSError:  # the reader has gone
        pass


async def serve(mw: Middleware, request: web.Request) -> web.StreamResponse:
    """``GET /_download/JOB?auth_token=…``. A job that fails ends the file early, and still with status 200, as the server does."""
    number = int(request.match_info["job"])
    token = auth.take_token(request.query.get("auth_token", ""), request.remote or "0.0.0.0")
    attrs = token["attrs"] if token else {}
    if attrs.get("job") != number:
        raise web.HTTPUnauthorized()
    pipe = _pipes(mw).get(number)
    if pipe is None or pipe.taken:
        raise web.HTTPGone() if any(record["id"] == number for record in mw.jobs.records()) else web.HTTPNotFound()
    pipe.taken = True
    response = web.StreamResponse(headers={"Content-Type": "application/octet-stream", "Content-Disposition": f'attachment; filename="{attrs["filename"]}"'})
    response.enable_chunked_encoding()
    try:
        await response.prepare(request)
        while piece := await asyncio.to_thread(pipe.reader.read1, _PIECE):  # type: ignore[attr-defined]
            await response.write(piece)
        await response.write_eof()
    finally:
        _pipes(mw).pop(number, None)
        pipe.reader.close()
    return response
