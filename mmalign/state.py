"""What a process has only one of: a plugin that changes it changes everybody's results.

Looking imports nothing: torch and numpy are looked at where they are there already, or the
moment after somebody else has imported them.
"""

from __future__ import annotations

import operator
import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.machinery import ModuleSpec
from typing import Any

# Worker processes inherit them, and threads, devices and rounding hang on them.
VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES"),
    *("CUBLAS_WORKSPACE_CONFIG", "PYTHONHASHSEED", "MMALIGN_PLUGINS", "MMALIGN_PLUGIN_SECONDS"),
)
TWISTS = 64  # how far a generator may have been drawn from, in 624 numbers each


@dataclass(frozen=True)
class Item:
    """One thing: its name in a sentence, and how it is read, written and compared."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], Any]
    same: Callable[[Any, Any], bool] = operator.eq


class Snapshot:
    """How the process was when this was made; ``put_back`` makes it so again.

    Within a ``with`` statement, torch and numpy are looked at as soon as they are imported.
    """

    def __init__(self) -> None:
        self.kept: list[tuple[Item, Any]] = [(item, item.read()) for item in _process()]
        for name in MODULES:
            if name in sys.modules:
                self._look(name)

    def __enter__(self) -> Snapshot:
        if any(name not in sys.modules for name in MODULES):
            sys.meta_path.insert(0, self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def put_back(self) -> list[str]:
        """The names of what has changed, all of which is as before now."""
        changed = []
        for item, before in self.kept:
            if not item.same(before, item.read()):
                item.write(before)
                changed.append(item.name)
        return changed

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A finder of modules that finds what the others do, and looks at it once it is there."""
        if name not in MODULES:
            return None
        others = (each for each in sys.meta_path if each is not self)
        specs = (each.find_spec(name, path, target) for each in others)
        spec = next((each for each in specs if each is not None), None)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                self._look(name)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec

    def _look(self, name: str) -> None:
        self.kept += [(item, item.read()) for item in MODULES[name](sys.modules[name])]


def _process() -> Iterator[Item]:
    yield Item("the working folder", _folder, _go)
    yield Item("sys.stderr", lambda: sys.stderr, lambda before: setattr(sys, "stderr", before))
    for name in VARIABLES:
        yield Item(f"${name}", partial(os.environ.get, name), _setter(name))
    for number in (signal.SIGINT, signal.SIGTERM):
        yield Item(f"what {number.name} does", partial(signal.getsignal, number), _handler(number))


def _folder() -> str | None:
    try:
        return os.getcwd()  # noqa: PTH109
    except OSError:  # somebody has removed it
        return None


def _go(folder: str | None) -> None:
    if folder is not None:
        os.chdir(folder)


def _setter(name: str) -> Callable[[str | None], None]:
    def write(before: str | None) -> None:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before

    return write


def _handler(number: signal.Signals) -> Callable[[Any], None]:
    def write(before: Any) -> None:
        if before is not None:  # one that no Python set cannot be set by any
            signal.signal(number, before)

    return write


def _random(random: Any) -> Iterator[Item]:
    def same(before: Any, after: Any) -> bool:
        def ahead() -> Iterator[Any]:
            other = random.Random()
            other.setstate(before)
            for _ in range(TWISTS):
                yield other.getstate()[1][:-1]
                other.getrandbits(32 * 624)

        return before[1][:-1] == after[1][:-1] or any(key == after[1][:-1] for key in ahead())

    yield Item("Python's random seed", random.getstate, random.setstate, same)


def _numpy(numpy: Any) -> Iterator[Item]:
    yield Item("numpy's way with errors", numpy.geterr, lambda before: numpy.seterr(**before))


def _numpy_random(random: Any) -> Iterator[Item]:
    def same(before: Any, after: Any) -> bool:
        def ahead() -> Iterator[Any]:
            other = random.RandomState()
            other.set_state(before)
            for _ in range(TWISTS):
                yield other.get_state()[1]
                other.bytes(4 * 624)

        if not (isinstance(before, tuple) and isinstance(after, tuple)):
            return True  # another kind of generator, whose numbers follow no twist
        return bool((before[1] == after[1]).all()) or any(
            (key == after[1]).all() for key in ahead()
        )

    yield Item("numpy's random seed", random.get_state, random.set_state, same)


def _torch(torch: Any) -> Iterator[Item]:
    yield Item("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype)
    yield Item(
        "torch's default device",
        torch.get_default_device,
        lambda before: torch.set_default_device(None if before.type == "cpu" else before),
    )
    yield Item("torch's number of threads", torch.get_num_threads, torch.set_num_threads)
    yield Item(
        "torch's precision of matrix products",
        torch.get_float32_matmul_precision,
        torch.set_float32_matmul_precision,
    )
    yield Item("torch's gradient mode", torch.is_grad_enabled, torch.set_grad_enabled)
    yield Item(
        "torch's deterministic algorithms",
        lambda: (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
        ),
        lambda before: torch.use_deterministic_algorithms(before[0], warn_only=before[1]),
    )
    # Who draws from the generator moves it, too, but leaves the number that it was seeded with.
    yield Item(
        "torch's random seed",
        lambda: (torch.initial_seed(), torch.get_rng_state()),
        lambda before: torch.set_rng_state(before[1]),
        lambda before, after: before[0] == after[0],
    )


MODULES: dict[str, Callable[[Any], Iterator[Item]]] = {
    "random": _random,
    "numpy": _numpy,
    "numpy.random": _numpy_random,
    "torch": _torch,
}
