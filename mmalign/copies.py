"""The other processes of a run on this host: started by the first, watched, and ended with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from types import TracebackType
from typing import IO, Any

from rich.console import Console

from mmalign.group import LostError

CHILD = "MMALIGN_CHILD"  # set where the first process of the host started this one
GRACE = 2.0  # seconds for what befalls all processes to be said by the first
OFTEN = 0.1  # seconds between two looks at the others


class Copies:
    """Copies of this program, which end when it ends; when one fails, all do.

    Fabric can start copies, too. But when one of them fails it kills this process within
    five seconds, and what went wrong is not said.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.running: list[tuple[subprocess.Popen[bytes], IO[bytes], str]] = []
        self.over = threading.Event()
        self.watcher: threading.Thread | None = None

    def start(self, devices: int, nodes: int, environment: Any) -> None:
        """Start one for each further device of this host; ``environment`` is the cluster's."""
        os.environ["MASTER_ADDR"] = environment.main_address
        os.environ["MASTER_PORT"] = str(environment.main_port)
        os.environ["NODE_RANK"] = str(environment.node_rank())
        os.environ["LOCAL_RANK"] = "0"
        for local in range(1, devices):
            said = tempfile.TemporaryFile()  # noqa: SIM115 - it is read when the process fails
            process = subprocess.Popen(
                [sys.executable, "-m", "mmalign", *sys.argv[1:]],
                env={**os.environ, "LOCAL_RANK": str(local), CHILD: "1"},
                stdin=subprocess.PIPE,  # its end tells that we are gone
                stdout=said,
                stderr=subprocess.STDOUT,
            )
            number = environment.node_rank() * devices + local + 1
            self.running.append((process, said, f"process {number} of {nodes * devices}"))

    def __enter__(self) -> Copies:
        if self.running:
            self.watcher = threading.Thread(target=self._watch, daemon=True)
            self.watcher.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, LostError) and self.watcher is not None:
            self.watcher.join(2 * GRACE)  # which knows what became of it, and ends us
        self.over.set()
        until = time.monotonic() + (GRACE if error is not None else 10 * GRACE)
        for process, *_ in self.running:
            try:
                process.wait(max(0.0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _watch(self) -> None:
        """End everything when a process has failed, and say in one line how."""
        while not self.over.wait(OFTEN):
            for process, said, name in self.running:
                status = process.poll() or 0
                # An error may be every process's, and then the first one says it.
                if status and not self.over.wait(GRACE if status > 0 else 0):
                    for other, *_ in self.running:
                        other.kill()
                    said.seek(0)
                    text = said.read().decode(errors="replace").strip()
                    self.console.show_cursor()  # the progress bar hides it
                    lines, ours = told(name, status, text)
                    print(lines, file=sys.stderr, flush=True)
                    os._exit(ours)


def told(name: str, status: int, text: str) -> tuple[str, int]:
    """What is said of a process that ended with this status and text, and our own status."""
    if status < 0:
        return f"error: {name} was killed by {signal.Signals(-status).name}; the run is over", 2
    before, mark, last = text.rpartition("error: ")
    if status == 2 and mark and (not before or before.endswith("\n")):
        return f"error: {name}: {last}", 2
    return f"{text}\nerror: {name} ended with status {status}, as said above", 1


def end_with_parent() -> None:
    """End this process when the one that started it has ended: its end of our input closes."""

    def wait() -> None:
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
