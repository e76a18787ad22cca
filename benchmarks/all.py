"""Run every benchmark, one after another, and say which of them failed.

A benchmark is a program in this folder; each takes `--small`, a size of seconds that measures
nothing and shows that it works. A program that lacks something (real files, an extra) ends with
status 77 and counts as left out. Results go to `--out`, one JSON file each.

    python benchmarks/all.py --small
    python benchmarks/all.py --out benchmarks/results step head growth
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
LACKING = 77  # as common.LACKING, which costs an import of torch
# Those need a recipe and fits, which have no sizes of their own.
RECIPES = {"calibration", "head_epochs", "newcomers"}


def programs(folder: Path = HERE) -> dict[str, Path]:
    """The benchmarks by name: whatever can be run, but for this."""
    return {
        path.stem: path
        for path in sorted(folder.glob("*.py"))
        if path.name != "all.py" and '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    }


def ended(program: Path, options: Sequence[str], limit: float) -> str:
    """Run one; how it ended, in a word or a line. What it prints goes straight through."""
    try:
        status = subprocess.run([sys.executable, str(program), *options], timeout=limit).returncode
    except subprocess.TimeoutExpired:
        return f"failed: took more than {limit:.0f} s"
    return {0: "ok", LACKING: "left out"}.get(status, f"failed: status {status}")


def main(arguments: Sequence[str] | None = None, folder: Path = HERE) -> int:
    known = programs(folder)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of: {', '.join(known)}")
    parser.add_argument("--small", action="store_true", help="seconds each: do they work?")
    parser.add_argument("--out", type=Path, help="folder for results, NAME.json each")
    parser.add_argument("--limit", type=float, default=3600, help="seconds for one program")
    given = parser.parse_args(arguments)
    if unknown := sorted(set(given.names) - set(known)):
        parser.error(f"no benchmark '{unknown[0]}'; there are: {', '.join(known)}")
    standard = [name for name in known if given.small or name not in RECIPES]
    outcomes = {}
    for name in given.names or standard:
        options = ["--small"] if given.small else []
        if given.out:
            options += ["--json", str(given.out / f"{name}.json")]
        print(f"== {name} {' '.join(options)}", flush=True)
        began = time.perf_counter()
        outcomes[name] = ended(known[name], options, given.limit)
        print(f"== {name}: {outcomes[name]}, {time.perf_counter() - began:.0f} s\n", flush=True)
    for name, said in outcomes.items():
        print(f"{name:20} {said}")
    return 1 if any(said.startswith("failed") for said in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
