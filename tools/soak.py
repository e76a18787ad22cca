"""Faults, kills and hostile files for a given time: python tools/soak.py --minutes 20.

First tests/test_faults.py, once. Of the time that is left half goes to runs that are killed again
and again (SIGKILL, at a random moment or in the middle of a random write) until they have come to
their end, whose files must be those of a run that nobody killed; and half to fuzz/run.py, each
target in turn. Exit status 1 where anything was lost or let in.

    python tools/soak.py --minutes 20 --json benchmarks/results/soak.json
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "benchmarks")]
os.environ.setdefault("OMP_NUM_THREADS", "1")  # with threads, a fork may inherit a held lock

import common  # noqa: E402
import test_resume  # noqa: E402
from killing import PLACES, After, During  # noqa: E402
from rich.console import Console  # noqa: E402

from mmalign.plugins import discover  # noqa: E402
from mmalign.run import run  # noqa: E402

NAMES = {
    "moment": "at a random moment",
    "fsync": "before a file is on the disk, half of it gone",
    "rename": "between a file and its place",
    "checkpoint": "while a checkpoint is put together",
    "export": "while the model is written, half of it there",
    "card": "while a folder is brought to the disk",
}


def faults() -> str:
    """The tests of faults; pytest's last line."""
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_faults.py"],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(done.stdout, flush=True)
    return done.stdout.strip().splitlines()[-1]


def kills(draw: random.Random, seconds: float) -> Iterator[After | During]:
    """Kills, as many as are asked for."""
    while True:
        place = draw.choice([*PLACES, "moment"])
        yield (
            After(draw.uniform(0.05, 1.1) * seconds)
            if place == "moment"
            else During(place, draw.randint(1, 8))
        )


class Killing:
    """Runs that are killed until they are done; how many kills of each kind, and what was lost."""

    def __init__(self, seed: int) -> None:
        self.draw, self.registry = random.Random(seed), discover()
        self.killed: Counter[str] = Counter()
        self.runs, self.wrong, self.most = 0, 0, 0
        self.folder = Path(tempfile.mkdtemp(prefix="mmalign-soak-"))
        self.cases = [self.case(name) for name in test_resume.RECIPES]

    def case(self, name: str) -> tuple[Any, Path, float]:
        """A recipe, a run of it that nobody kills, and its seconds."""
        recipe, began = test_resume.recipe_of(name, self.registry), time.perf_counter()
        whole = run(recipe, self.registry, Console(quiet=True), self.folder / name).folder
        return recipe, whole, time.perf_counter() - began

    def one(self, most: int = 12) -> None:
        """A run, killed at most so often, and compared."""
        recipe, whole, seconds = self.draw.choice(self.cases)
        out, came = self.folder / "killed", 0
        for each in kills(self.draw, seconds):
            last = came == most
            if test_resume.survived(
                lambda: test_resume.go_on(recipe, self.registry, out), None if last else each
            ):
                break
            self.killed["moment" if isinstance(each, After) else each.place] += 1
            came += 1
        self.runs, self.most = self.runs + 1, max(self.most, came)
        if any(each != test_resume.files_of(whole) for each in test_resume.ends_of(out)):
            self.wrong += 1
            print(f"LOST: {out} is not {whole}", flush=True)
            out.rename(self.folder / f"lost-{self.wrong}")  # to be looked at
        else:
            shutil.rmtree(out)

    def text(self) -> str:
        """What was done, as a table."""
        lines = [[NAMES[name], f"{self.killed[name]}"] for name in NAMES]
        lines.append(["kills in all", f"{self.killed.total()}"])
        said = common.table(["killed", "times"], lines)
        return (
            f"{said}\n{self.runs} runs came to their end, after up to {self.most} kills each;"
            f" not the same to the bit: {self.wrong}"
        )


def fuzzing(seconds: float) -> tuple[int, str]:
    """Fuzz every target for its share of the time; exit status, and what was said."""
    sys.path.insert(0, str(ROOT / "fuzz"))
    import targets

    each = max(1, int(seconds / len(targets.TARGETS)))
    done = subprocess.run(
        [sys.executable, "fuzz/run.py", "--seconds", str(each)],
        cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(done.stdout, flush=True)
    return done.returncode, done.stdout.strip()


def main() -> int:
    """Do all of it; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the kills")
    parser.add_argument("--json", type=Path, help="where the record goes")
    given = parser.parse_args()
    began = time.monotonic()
    end = began + 60 * given.minutes
    tested = faults()
    killing = Killing(given.seed)
    half = time.monotonic() + (end - time.monotonic()) / 2
    while time.monotonic() < half:
        killing.one()
    status, fuzzed = fuzzing(end - time.monotonic())
    minutes = (time.monotonic() - began) / 60
    text = f"{minutes:.0f} minutes\nfaults: {tested}\n\n{killing.text()}\n\n{fuzzed}"
    print(text)
    if given.json:
        record = {
            "machine": common.machine(), "clock": "wall", "small": False, "text": text,
            "seed": given.seed, "kills": dict(killing.killed),
        }  # fmt: skip
        given.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if not killing.wrong:
        shutil.rmtree(killing.folder)
    return int(bool(killing.wrong or status or re.search(r"\d+ (failed|error)", tested)))


if __name__ == "__main__":
    sys.exit(main())
