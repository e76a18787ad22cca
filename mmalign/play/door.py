"""Who may come in: this machine's own page, and no other page that a browser shows."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from mmalign.play.limits import RefusedError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

HOSTS = ("127.0.0.1", "localhost")
OVER = 4  # times the limit are read of what is too large, so that its sender hears why
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none';"
    " frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Door:
    """An application that turns foreign requests away, and puts safe headers on every answer.

    A name that leads to this machine (DNS rebinding) is another Host; another page's script
    or form has another Origin, and its pictures and links another site.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})

        async def safely(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                own = [(name.encode(), value.encode()) for name, value in HEADERS.items()]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        why = foreign(Headers(scope=scope), scope["method"], scope["path"])
        if why is None:
            return await self.app(scope, receive, safely)
        return await JSONResponse({"error": why}, 403)(scope, receive, safely)


def foreign(headers: Headers, method: str, path: str) -> str | None:
    """Why a request is not from the page itself; None where it is, or from no browser."""
    hosts = headers.getlist("host")
    host = hosts[0] if len(hosts) == 1 else ""
    if host.lower().partition(":")[0] not in HOSTS:
        return "this page answers to the names 127.0.0.1 and localhost alone; open it under one"
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    opened = method == "GET" and path == "/" and headers.get("sec-fetch-mode") == "navigate"
    if (origin is not None and origin != f"http://{host}") or (
        site not in ("none", "same-origin") and not opened
    ):
        return "another page may not ask this one; open it in a tab of its own"
    return None


async def content(request: Request, most: int, seconds: float, what: str) -> bytes:
    """A request's body, counted as it comes. Raises RefusedError for too much, and for too slow."""
    kept, count = bytearray(), 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                count += len(part)
                if count > OVER * most:
                    break
                if count <= most:
                    kept += part
    except TimeoutError:
        raise RefusedError(
            408, f"{what} did not come within {seconds:g} s; send it again"
        ) from None
    except ClientDisconnect:
        raise RefusedError(400, f"{what} broke off; send it again") from None
    if count > most:
        raise RefusedError(413, f"{what} is larger than {size(most)}; make it smaller")
    return bytes(kept)


def size(count: int) -> str:
    """Bytes as a person reads them: "8 MiB"."""
    return f"{count / 2**20:g} MiB" if count >= 2**20 else f"{count / 2**10:g} KiB"
