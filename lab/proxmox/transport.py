"""What pveproxy does with a request before any API method sees it, where fakepve is more lenient than the real one."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web
from fakepve.model import PveError
from fakepve.server import FakePve

# Real seconds until a refused login is answered (PVE: 3).
AUTH_DELAY = 3.0


def refusal(status: int, message: str) -> web.Response:
    """An error as pveproxy sends it."""
    return web.json_response({"data": None, "message": message + "\n"}, status=status, reason=message.splitlines()[0][:200])


class Transport(FakePve):  # type: ignore[misc]  # fakepve has no types
    """Part of the API server: bodies, connections and refused logins."""

    auth_delay = AUTH_DELAY

    def _build_app(self) -> web.Application:
        app: web.Application = super()._build_app()
        app.middlewares.insert(0, self._proxy)
        return app

    @web.middleware
    async def _proxy(self, request: web.Request, handler: Any) -> web.StreamResponse:
        """Refuse what AnyEvent.pm refuses; close the connection after every error."""
        response = await self._checked(request, handler)
        if response.status == 401:
            await asyncio.sleep(self.auth_delay)
        if response.status >= 400:
            response.force_close()
        return response

    @staticmethod
    async def _checked(request: web.Request, handler: Any) -> web.StreamResponse:
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            return refusal(501, "chunked transfer encoding not supported")
        if request.method in ("GET", "DELETE", "HEAD") and (request.content_length or 0) > 0:
            return refusal(501, f"Unexpected content for method '{request.method}'")
        try:
            answer: web.StreamResponse = await handler(request)
        except (web.HTTPNotFound, web.HTTPMethodNotAllowed):
            return Transport._unknown(request)
        # fakepve names the path with its prefix; the real server knows only what comes after it.
        return Transport._unknown(request) if answer.status == 501 and (answer.reason or "").startswith("Method '") else answer

    @staticmethod
    def _unknown(request: web.Request) -> web.Response:
        path = request.path.removeprefix("/api2/json").removeprefix("/api2/extjs")
        return refusal(501, f"Method '{request.method} {path}' not implemented")

    def _authenticate(self, request: web.Request) -> Any:
        """As the parent, with the texts of the real server."""
        try:
            return super()._authenticate(request)
        except PveError as exc:
            if exc.status != 401 or "csrf" in exc.message:
                raise
            given = request.headers.get("Authorization") or request.cookies.get("PVEAuthCookie")
            raise PveError(401, "Authentication failed!" if given else "No ticket") from exc
