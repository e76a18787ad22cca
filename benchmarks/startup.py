"""Milliseconds that commands take to start, each in a fresh process, against a bare Python.

Rounds alternate all commands, `python -c pass` among them; the first round is a warm-up, which
also writes the bytecode of whatever has none (so PYTHONDONTWRITEBYTECODE is taken away). Given
are the wall's clock and the processor's, user and system: where other programs run beside, the
second is the one to read. The ratio is of medians of processor time. Modules counts what is in
`sys.modules` at the end.

    python benchmarks/startup.py --rounds 15 --json startup.json
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

import common

BARE = "python -c pass"
MMALIGN = "from mmalign.cli import main; main()"
COMMANDS: dict[str, list[str]] = {
    BARE: ["pass"],
    "import mmalign": ["import mmalign"],
    "mmalign --help": [MMALIGN, "--help"],
    "mmalign ls": [MMALIGN, "ls"],
    "mmalign ls aligned-vae": [MMALIGN, "ls", "aligned-vae"],
    "mmalign plugins": [MMALIGN, "plugins"],
    "mmalign check quickstart": [MMALIGN, "check", "quickstart"],
    "import numpy": ["import numpy"],
    "import torch": ["import torch"],
}
SURROUNDINGS = {
    name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
}


def start(program: str, *arguments: str) -> tuple[float, float]:
    """Milliseconds of one start, by the wall and by the processor."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdout=subprocess.DEVNULL,
        env=SURROUNDINGS,
        check=True,
    )
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return 1e3 * wall, 1e3 * spent


def modules(program: str, *arguments: str) -> int:
    """How many modules a command has imported by its end."""
    counting = "import atexit, sys; atexit.register(lambda: print('\\n', len(sys.modules)));"
    done = subprocess.run(
        [sys.executable, "-c", counting + program, *arguments],
        capture_output=True,
        text=True,
        check=True,
        env=SURROUNDINGS,
    )
    return int(done.stdout.split()[-1])


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    rounds, warm = (1, 0) if given.small else (given.rounds, 1)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
    for turn in range(warm + rounds):
        for name, command in COMMANDS.items():
            took = start(*command)
            if turn >= warm:
                times[name].append(took)
    figures = {
        name: {
            "wall_ms": common.spread([wall for wall, _ in each]),
            "cpu_ms": common.spread([spent for _, spent in each]),
            "modules": modules(*COMMANDS[name]),
        }
        for name, each in times.items()
    }
    bare = figures[BARE]["cpu_ms"]["median"]
    for each in figures.values():
        each["times_bare"] = each["cpu_ms"]["median"] / bare
    lines = [
        [
            name,
            common.said(each["wall_ms"], 0),
            common.said(each["cpu_ms"], 0),
            f"{each['times_bare']:.0f}",
            str(each["modules"]),
        ]
        for name, each in figures.items()
    ]
    head = ["", "ms, wall", "ms, processor", f"x {BARE}", "modules"]
    text = f"median (min-max) of {rounds} starts\n{common.table(head, lines)}"
    common.finish(given, {"figures": figures}, text)


if __name__ == "__main__":
    main()
