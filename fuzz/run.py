"""Fuzzes the readers of files for a given time.

    python fuzz/run.py --seconds 60              # each target for 60 seconds
    python fuzz/run.py --seconds 60 mat words    # these targets

With atheris (the extra "fuzz") inputs are bred by the code that they reach; without it, or
with ``--blind``, they are random damages to the corpus. Each target runs in a process of its
own with bounded memory; what crashes, hangs or raises anything but MmalignError is kept in
fuzz/crashes/, one input for each place that raises, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CRASHES = HERE / "crashes"
MEMORY = 4 * 2**30  # bytes of address space: torch and pyarrow alone take over one
PATIENCE = 10  # seconds that an input of some kilobytes may take
LARGEST = 2**15  # bytes of an input


class Fuzz:
    """Hands inputs to one target and keeps those that raise what they should not."""

    def __init__(self, name: str, said: Path) -> None:
        import targets

        self.name, self.said, self.targets = name, said, targets
        self.folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{name}-"))
        self.known: set[str] = set()
        self.tried, self.began, self.slowest = 0, time.monotonic(), 0.0
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def __call__(self, content: bytes) -> None:
        """Try one input."""
        began = time.monotonic()
        (self.folder.parent / f"{self.folder.name}.last").write_bytes(content)
        try:
            self.targets.run(self.name, content, self.folder)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._keep(error, content)
        took = time.monotonic() - began
        self.tried, self.slowest = self.tried + 1, max(self.slowest, took)
        if took > 1 and self.tried > 1:  # the first imports
            self._file("slow", content, f"{took:.1f} s")
        if self.tried % 64 == 0:
            self.tell()

    def tell(self) -> None:
        """How far it has got, for whoever started it."""
        about = {"tried": self.tried, "slowest": self.slowest, "found": len(self.known)}
        self.said.write_text(json.dumps(about))

    def _keep(self, error: BaseException, content: bytes) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [each for each in frames if "mmalign" in each.filename] or list(frames)
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}"
        self._file(f"{type(error).__name__}-{place}", content, str(error)[:300])

    def _file(self, what: str, content: bytes, message: str) -> None:
        if what in self.known:
            return
        self.known.add(what)
        CRASHES.mkdir(exist_ok=True)
        number = self.targets.number(content)
        (CRASHES / f"{self.name}-{what.replace(':', '-')}-{number}").write_bytes(content)
        print(f"  {self.name}: {what} ({len(content)} bytes): {message}", flush=True)


def child(given: argparse.Namespace) -> None:
    """Fuzz one target in this process."""
    sys.path.insert(0, str(HERE))
    if given.blind:
        fuzz, rng = Fuzz(given.targets[0], given.said), random.Random(given.seed)
        blind(fuzz, given.targets[0], given.seconds, rng)
        fuzz.tell()
        return
    import atheris

    with atheris.instrument_imports(include=["mmalign", *_plugins()]):
        import targets  # noqa: F401
    fuzz = Fuzz(given.targets[0], given.said)
    corpus = HERE / "corpus" / given.targets[0]
    words = [sys.argv[0], f"-max_total_time={given.seconds}", f"-timeout={PATIENCE}"]
    words += [f"-max_len={LARGEST}", "-rss_limit_mb=3000", f"-artifact_prefix={CRASHES}/"]
    words += [f"-seed={given.seed}", "-verbosity=0", str(given.grown), str(corpus)]
    atheris.Setup(words, fuzz)
    atheris.Fuzz()


def blind(fuzz: Any, name: str, seconds: float, rng: random.Random) -> None:
    """Random damages to the corpus."""
    import targets
    from mutate import mutated

    found = [content for _, content in targets.seeds(name)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        fuzz(mutated(rng.choice(found), rng, 512))


def _plugins() -> list[str]:
    return sorted(path.name for path in (HERE.parent / "plugins").iterdir() if path.is_dir())


def fuzzed(name: str, seconds: int, seed: int, is_blind: bool) -> dict[str, Any]:
    """One target, in as many processes as die on the way, for so many seconds."""
    end, total = time.monotonic() + seconds, {"tried": 0, "slowest": 0.0, "found": 0, "died": 0}
    with tempfile.TemporaryDirectory(prefix="fuzz-") as place:
        grown, said = Path(place) / "grown", Path(place) / "said.json"
        grown.mkdir()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": place}
        CRASHES.mkdir(exist_ok=True)
        while (left := int(end - time.monotonic())) > 0:
            said.unlink(missing_ok=True)
            command = [sys.executable, __file__, "--child", f"--seconds={left}", f"--seed={seed}"]
            command += [f"--grown={grown}", f"--said={said}", name, *(["--blind"] * is_blind)]
            died = _watched(command, environment, left + 60)
            about = json.loads(said.read_text()) if said.is_file() else {}
            total["tried"] += about.get("tried", 0)
            total["found"] += about.get("found", 0)
            total["slowest"] = max(total["slowest"], about.get("slowest", 0.0))
            if not died:
                break
            total["died"], seed = total["died"] + 1, seed + 1
            for last in Path(place).glob("*.last"):
                shutil.copy(last, CRASHES / f"{name}-died-{total['died']}-{os.getpid()}")
                last.unlink()
            print(f"  {name}: a process died:\n{died}", flush=True)
            if not about and total["died"] > 3:
                raise SystemExit(f"{name} does not even begin")
    return total


def _watched(command: list[str], environment: dict[str, str], seconds: float) -> str:
    """Run a child to its end; what it said where it died, "" where it did not."""
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, errors="replace"
    )
    try:
        _, wrong = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return f"no end after {seconds:.0f} s"
    except KeyboardInterrupt:
        process.kill()
        raise
    return "" if process.returncode == 0 else wrong[-3000:] or f"status {process.returncode}"


def main() -> int:
    """Fuzz, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", help="all by default")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="without atheris")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--grown", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--said", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given)
        return 0
    from importlib.util import find_spec

    is_blind = given.blind or find_spec("atheris") is None
    names = given.targets or sorted(each.name for each in (HERE / "corpus").iterdir())
    bad = 0
    for name in names:
        if name == "bundle":  # what the targets "config" and "weights" are put into
            continue
        total = fuzzed(name, given.seconds, given.seed, is_blind)
        bad += total["found"] + total["died"]
        print(
            f"{name}: {total['tried']:,} inputs in {given.seconds} s"
            f"{' (blind)' if is_blind else ''}, {total['found']} found, {total['died']} died,"
            f" slowest {total['slowest']:.2f} s",
            flush=True,
        )
    with contextlib.suppress(OSError):
        CRASHES.rmdir()  # where nothing was found
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
