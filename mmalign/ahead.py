"""Does the next item's work in a thread, while the last one is being used."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

T = TypeVar("T")
POLL = 0.1  # seconds after which a thread looks whether anybody still wants its items


def ahead(items: Iterator[T], depth: int = 1) -> Generator[T, None, None]:
    """The same items in order, made in a thread of their own.

    So many are held at most: the one that is used, ``depth`` that wait, and the one being
    made. What goes wrong in the thread is raised here; closing this ends the thread.
    """
    made: queue.Queue[tuple[bool, T | BaseException | None]] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(done: bool, item: T | BaseException | None) -> bool:
        while not unwanted.is_set():
            try:
                made.put((done, item), timeout=POLL)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(False, item):
                    return
                del item  # else it would be held while the next one is made
            put(True, None)
        except BaseException as error:  # whoever waits has to know
            put(True, error)

    thread = threading.Thread(target=work, name="mmalign-ahead", daemon=True)
    thread.start()
    try:
        while True:
            done, item = made.get()
            if done:
                if isinstance(item, BaseException):
                    raise item
                return
            yield item  # type: ignore[misc]  # an item where it is not done
            del item
    finally:
        unwanted.set()
        thread.join()
