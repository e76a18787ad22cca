"""One computation at a time: others wait, and are sent away when it takes too long."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from mmalign.play.limits import RefusedError

T = TypeVar("T")


class Desk:
    """Does one thing at a time in a thread, so that the page goes on answering meanwhile.

    A thread cannot be stopped: what takes too long is answered with an error, and keeps the
    desk until it is over. The threads are daemons, so that Ctrl-C ends the program at once.
    """

    def __init__(self, wait: float) -> None:
        self.wait = wait
        self._lock = asyncio.Lock()

    async def do(self, work: Callable[[], T], most: float | None = None) -> T:
        """What ``work`` returns or raises.

        Raises RefusedError where the desk is not free within ``wait`` seconds, and where the work
        takes more than ``most``.
        """
        try:
            async with asyncio.timeout(self.wait):
                await self._lock.acquire()
        except TimeoutError:
            raise RefusedError(
                503,
                f"another computation has kept this one waiting for {self.wait:g} s; try again"
                " when it is over",
            ) from None
        future = in_thread(work)
        future.add_done_callback(self._over)
        try:
            async with asyncio.timeout(most):
                return await asyncio.shield(future)
        except TimeoutError:
            if future.done():  # the work's own
                raise
            raise RefusedError(
                504,
                f"this has taken more than {most:g} s; it goes on, and other questions wait for"
                " it; try a smaller picture or model, or start the page anew",
            ) from None

    def _over(self, future: asyncio.Future[T]) -> None:
        self._lock.release()
        if not future.cancelled():
            future.exception()  # nobody may be left to hear of it


def in_thread(work: Callable[[], T]) -> asyncio.Future[T]:
    """A future of what ``work`` returns or raises in a thread of its own."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(done: Callable[[], None]) -> None:
        if not future.done():
            done()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            caught = error
            say = lambda: future.set_exception(caught)  # noqa: E731
        else:
            say = lambda: future.set_result(result)  # noqa: E731
        try:
            loop.call_soon_threadsafe(settle, say)
        except RuntimeError:  # the page was closed meanwhile
            return

    threading.Thread(target=run, daemon=True, name="mmalign play").start()
    return future
