"""A plugin's code is let run, and kept from spoiling what is not its own.

What it prints goes to standard error, under its name; what it changes of the process is put
back and named; while it takes long, it is said who does. It is trusted all the same: nothing
here keeps a plugin from reading files or from ending the process by ``os._exit``.
"""

from __future__ import annotations

import io
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from weakref import WeakKeyDictionary

from mmalign.errors import MmalignError
from mmalign.state import Snapshot

PATIENCE = 10.0  # seconds until it is said who takes long
GLANCE = 0.5  # seconds between two looks at that
SECONDS = "MMALIGN_PLUGIN_SECONDS"

# Where a component's class comes from, as a sentence names it.
_HOMES: WeakKeyDictionary[type, str] = WeakKeyDictionary()
_PACKAGES: dict[str, str] = {}
_RUNNING: list[Late] = []
_WATCHMEN: list[threading.Thread] = []
_LOCK = threading.Lock()
_NEVER = threading.Event()
_HEARD: ContextVar[list[str] | None] = ContextVar("heard", default=None)


class Hung(BaseException):
    """It took longer than it may. No ``except Exception`` of a plugin's swallows it."""


def name_home(cls: type, said: str) -> None:
    """Remember how a sentence names a component of this class; the first word stays."""
    _HOMES.setdefault(cls, said)


def name_package(module: str, said: str) -> None:
    """Remember how a sentence names what else a plugin's package brings, such as fitted things."""
    _PACKAGES.setdefault(module.partition(".")[0], said)


def named(component: Any) -> str:
    """A component, its plugin and distribution, as a sentence names them."""
    cls = component if isinstance(component, type) else type(component)
    home = _PACKAGES.get(cls.__module__.partition(".")[0], cls.__module__)
    return _HOMES.get(cls) or f"'{getattr(cls, 'name', cls.__name__)}' ({home})"


def tell(line: str) -> None:
    """Say it on standard error; a worker process leaves that to the reports."""
    processes = sys.modules.get("multiprocessing")
    if processes is None or processes.parent_process() is None:
        print(line, file=sys.stderr, flush=True)


def note(line: str) -> None:
    """Say it, and to whoever gathers what is said; what was gathered before is not said again."""
    heard = _HEARD.get()
    if heard is not None:
        if line in heard:
            return
        heard.append(line)
    tell(line)


@contextmanager
def gathered(heard: list[str] | None = None) -> Iterator[list[str]]:
    """The notes of all that is guarded meanwhile, each once, after those ``heard`` before."""
    heard = [] if heard is None else heard
    token = _HEARD.set(heard)
    try:
        yield heard
    finally:
        _HEARD.reset(token)


@contextmanager
def guarded(who: str, doing: str, most: float | None = None) -> Iterator[None]:
    """Let somebody's code run, and have it leave nothing behind.

    With ``most``, a number of seconds, it is named when it takes longer than a person waits,
    and stopped after that time: ``Hung`` is raised, as far as Python still runs there. Only a
    program's main thread is guarded: standard output is that of all threads.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before, spoken = Snapshot(), Spoken(who)
    try:
        with before, redirect_stdout(spoken), _watched(f"{who} {doing}", most):
            yield
    finally:
        spoken.end()
        if changed := before.put_back():
            note(f"{who} changed {', '.join(changed)} {doing}; put back")


def most_seconds(default: float) -> float:
    """How long a plugin may take: ``MMALIGN_PLUGIN_SECONDS``, where 0 is for ever.

    Raises MmalignError for anything that is no such number.
    """
    given = os.environ.get(SECONDS)
    try:
        seconds = default if given is None else float(given)
    except ValueError:
        seconds = math.nan
    if not seconds >= 0:
        raise MmalignError(f"{SECONDS}={given}: give a number of seconds, 0 for no limit")
    return seconds or math.inf


def of_ours(error: BaseException) -> bool:
    """Whether mmalign's core raised it in a plugin's midst, as the handler of a signal does."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    home = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__", ""))
    return home.partition(".")[0] == "mmalign"


class Spoken(io.TextIOBase):
    """Standard output of a plugin: its lines go to standard error, each under its name."""

    def __init__(self, who: str) -> None:
        super().__init__()
        self.who = who
        self.rest = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """As standard error's."""
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    @property
    def buffer(self) -> Any:
        """Bytes go to standard error as they are."""
        return sys.stderr.buffer

    def fileno(self) -> int:
        """A child process that is handed this writes to standard error."""
        return sys.stderr.fileno()

    def writable(self) -> bool:
        """Always, even when it has ended: somebody may have kept it."""
        return True

    def write(self, text: str) -> int:
        """Pass on the lines that are whole."""
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            print(f"{self.who} says: {line}", file=sys.stderr)
        return len(text)

    def end(self) -> None:
        """Pass on what is left."""
        if self.rest:
            self.write("\n")


@contextmanager
def _watched(who_doing: str, most: float | None) -> Iterator[None]:
    if most is None:
        yield
        return
    hint = "; Ctrl-C ends it, and MMALIGN_PLUGINS= does without third parties"
    said = f"{who_doing}: this has taken {PATIENCE:g} s by now{hint}"
    late = Late(time.monotonic() + PATIENCE, said)
    _watch(late)
    try:
        with _stopped(f"this took longer than {most:g} s ({SECONDS})", most):
            yield
    finally:
        _RUNNING.remove(late)


@dataclass(eq=False)
class Late:
    """What is said of something when it is not over at a time."""

    due: float
    said: str


def _watch(late: Late) -> None:
    """Have a thread look whether it is over in time; one for all, since to start one takes long."""
    with _LOCK:
        _RUNNING.append(late)
        if not _WATCHMEN:
            _WATCHMEN.append(threading.Thread(target=_look_about, daemon=True))
            _WATCHMEN[0].start()


def _look_about() -> None:
    while True:
        _NEVER.wait(GLANCE)  # not time.sleep, which somebody may have replaced
        for late in tuple(_RUNNING):
            if time.monotonic() >= late.due:
                late.due = math.inf
                tell(late.said)
        with _LOCK:
            if not _RUNNING:
                _WATCHMEN.clear()
                return


@contextmanager
def _stopped(why: str, most: float) -> Iterator[None]:
    """Raise ``Hung`` after ``most`` seconds, where the system and the thread allow it."""
    if not hasattr(signal, "setitimer") or not math.isfinite(most):
        yield
        return
    if signal.getitimer(signal.ITIMER_REAL)[0]:  # somebody else's clock, which stays as it is
        yield
        return
    over = False

    def late(*_: object) -> None:
        if not over:
            raise Hung(why)

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, most, 1.0)  # again, should it have been swallowed
    try:
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
