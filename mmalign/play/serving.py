"""Serves the page on this machine, and opens it."""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from typing import TYPE_CHECKING

import uvicorn

from mmalign.errors import MmalignError
from mmalign.play.limits import Limits
from mmalign.play.server import make_app

if TYPE_CHECKING:
    from mmalign.play.table import Table

HOST = "127.0.0.1"
PORT = 8008
TRIED = 100  # ports from there on, where none was named


def listening(port: int | None) -> socket.socket:
    """A socket on this machine's own address: at ``port``, or the first free one from 8008 on.

    Raises MmalignError where it is taken.
    """
    for each in range(PORT, PORT + TRIED) if port is None else (port,):
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # Else a port that was closed a moment ago would be taken for a minute.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((HOST, each))
            made.listen(128)
        except OSError as error:
            made.close()
            if port is not None or error.errno != errno.EADDRINUSE:
                raise MmalignError(
                    f"port {each}: {error.strerror or error}; leave out --port to have a free one"
                ) from None
        else:
            return made
    raise MmalignError(f"ports {PORT} to {PORT + TRIED - 1} are taken; name a free one: --port")


def server_of(table: Table, limits: Limits) -> uvicorn.Server:
    """The server; ``server.run([socket])`` serves until it is told to end."""
    settings = uvicorn.Config(
        make_app(table, limits),
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        lifespan="off",
        ws="none",
        limit_concurrency=limits.connections,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )
    return uvicorn.Server(settings)


def serve(table: Table, port: int | None, browser: bool, limits: Limits) -> None:
    """Serve the page until Ctrl-C; open it in a browser where ``browser`` says so."""
    with listening(port) as made:
        url = f"http://{HOST}:{made.getsockname()[1]}/"
        print(f"{url} asks {table.path} about pictures; Ctrl-C ends it", flush=True)
        if browser and has_screen():
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        with suppress(KeyboardInterrupt):  # how a person ends it; uvicorn has closed it by then
            server_of(table, limits).run([made])


def has_screen() -> bool:
    """Whether there is a screen to open a page on; a browser in the terminal would take it over."""
    if sys.platform in ("darwin", "win32"):
        return True
    return any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
