"""The HTTP side: endpoints, TLS, start and stop."""

from __future__ import annotations

import asyncio
import ipaddress
import signal
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp import web

from lab.nas.server import (  # noqa: F401  (importing registers their methods)
    alert, api_key, auth, config, core, dataset, dataset_write, disk, download, encryption, filesystem, iscsi, keychain, pool, replication, replication_crud,
    sharing_nfs, sharing_smb, snapshot, snapshottask, system, user)
from lab.nas.server.middleware import Middleware
from lab.nas.server.ratelimit import RateLimit
from lab.nas.server.registry import API_VERSIONS
from lab.nas.server.scheduler import Scheduler
from lab.nas.server.session import Session


def build(mw: Middleware, *, tls: bool) -> web.Application:
    """Return the application; ``tls`` says whether its clients come by TLS."""
    limiter = RateLimit(int(mw.config["rate_limit"]))
    served = API_VERSIONS[mw.version]

    async def versions(_: web.Request) -> web.Response:
        return web.json_response(served)

    async def socket(request: web.Request) -> web.StreamResponse:
        version = request.match_info["version"]
        if version != "current" and version not in served:
            raise web.HTTPNotFound()
        # Sizes are checked per message, since they depend on the login; this only bounds memory.
        response = web.WebSocketResponse(max_msg_size=4 * 1024 * 1024)
        await response.prepare(request)
        origin = request.remote or "0.0.0.0"
        session = Session(mw, limiter, origin, secure=tls or ipaddress.ip_address(origin).is_loopback, tls=tls, api=version)
        await session.serve(response)
        return response

    async def file(request: web.Request) -> web.StreamResponse:
        return await download.serve(mw, request)

    async def end_downloads(_: web.Application) -> None:
        download.close_all(mw)

    app = web.Application()
    app.on_shutdown.append(end_downloads)
    app.router.add_get("/api/versions", versions)
    app.router.add_get("/api/{version}", socket)
    app.router.add_get(r"/_download/{job:\d+}", file)
    return app


def _tls(config: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(config["certificate"], config["certificate_key"])
    context.set_alpn_protocols(["http/1.1"])
    return context


async def serve(config: dict[str, Any]) -> None:
    """Serve until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(max_workers=40, thread_name_prefix="call"))
    mw = Middleware(config)
    mw.loop = loop
    context = await asyncio.to_thread(_tls, config)
    runners = []
    for port, tls in ((config["ports"]["api"], context), (config["ports"]["plain"], None)):
        runner = web.AppRunner(build(mw, tls=tls is not None), access_log=None, shutdown_timeout=1)
        await runner.setup()
        await web.TCPSite(runner, config["address"], port, ssl_context=tls, reuse_address=True).start()
        runners.append(runner)
    scheduler = Scheduler(mw) if config["scheduler"] else None
    if scheduler:
        scheduler.start()
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    if scheduler:
        scheduler.stop()
    for job in list(mw.jobs.records()):
        running = mw.jobs.live(job["id"])
        if running:
            running.abort()
    for runner in runners:
        await runner.cleanup()
