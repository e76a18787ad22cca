"""The hooks that tell plugins of a run, guarded: no tracker can lose a run, or change one."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from copy import deepcopy
from inspect import signature
from pathlib import Path
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any

from mmalign.entries import Plugin
from mmalign.errors import MmalignError, did_you_mean
from mmalign.guard import Hung, gathered, guarded, most_seconds, note, of_ours
from mmalign.hooks import hookimpl

if TYPE_CHECKING:
    from pluggy import HookCaller, HookImpl

READY = "mmalign_tracker_ready"
RUN = ("mmalign_run_started", "mmalign_epoch_ended", "mmalign_run_ended")
MOST = 600.0  # seconds that a tracker may take for one event


def trackers_of(run: Mapping[str, Any]) -> tuple[str, ...]:
    """The trackers that a run's recipe asks for."""
    settings = run.get("recipe", {}).get("run", {})
    return tuple(settings.get("trackers", ()))


class Trackers:
    """What trackers did in each run: those that failed hear no more of it.

    A run is known by its folder, where the traceback of a failure is kept. ``ready`` has the
    trackers by the names of their plugins, with what a recipe calls that asks for one; None for
    those that hear of every run.
    """

    def __init__(self) -> None:
        self.ready: dict[str, Callable[[], None] | None] = {}
        self.failed: set[tuple[str, str]] = set()
        self.heard: dict[str, list[str]] = {}

    def notes(self, folder: Path) -> tuple[str, ...]:
        """What a report must say of the trackers of the run in this folder."""
        return tuple(self.heard.get(str(folder), ()))

    def objections(self, names: Iterable[str]) -> list[str]:
        """What is wrong with asking for these, each line with its path in the recipe."""
        found = []
        for place, name in enumerate(names):
            path = f"run.trackers.{place}"
            if name not in self.ready:
                known = did_you_mean(name, self.ready)
                found.append(f"{path}: no tracker '{name}'; {known}")
                continue
            try:
                if ready := self.ready[name]:
                    ready()
            except MmalignError as error:
                found.append(f"{path}: {error}")
        return found

    def stand_in(
        self, plugin: Plugin, module: ModuleType, callers: list[HookCaller]
    ) -> ModuleType | None:
        """A module with the same hooks, the run's guarded; None where there are none of these."""
        if not any(caller.name in RUN for caller in callers):
            return None
        self.ready[plugin.name] = getattr(module, READY, None)
        made = ModuleType(getattr(module, "__name__", plugin.name))
        for caller in callers:
            for impl in caller.get_hookimpls():
                if impl.plugin is module:
                    run = caller.name in RUN
                    hook = self._guarded(plugin, caller.name, impl) if run else impl.function
                    setattr(made, caller.name, hook)
        return made

    def _guarded(self, plugin: Plugin, hook: str, impl: HookImpl) -> Callable[..., None]:
        wanted = set(signature(impl.function).parameters)

        def call(**given: Any) -> None:
            kept = {name: value for name, value in given.items() if name in wanted}
            self._call(plugin, hook, impl.function, kept, given)

        def mmalign_run_started(run: Mapping[str, Any]) -> None:
            call(run=run)

        def mmalign_epoch_ended(
            run: Mapping[str, Any], epoch: int, losses: Mapping[str, float]
        ) -> None:
            call(run=run, epoch=epoch, losses=losses)

        def mmalign_run_ended(run: Mapping[str, Any], report: Any) -> None:
            call(run=run, report=report)

        each: tuple[FunctionType, ...] = (
            mmalign_run_started,
            mmalign_epoch_ended,
            mmalign_run_ended,
        )  # type: ignore[assignment]
        (made,) = (function for function in each if function.__name__ == hook)
        return hookimpl(tryfirst=impl.tryfirst, trylast=impl.trylast)(made)

    def _call(
        self,
        plugin: Plugin,
        hook: str,
        function: Callable[..., Any],
        kept: Mapping[str, Any],
        given: Mapping[str, Any],
    ) -> None:
        folder = str(given["run"].get("folder", ""))
        if (folder, plugin.name) in self.failed or not self._wanted(plugin.name, given["run"]):
            return
        with gathered(self.heard.setdefault(folder, [])):
            try:
                with guarded(plugin.home, f"in {hook}", most_seconds(MOST)):
                    # Copies: what is told is also what is written down afterwards.
                    returned = function(**deepcopy(dict(kept)))
            except (Exception, SystemExit, Hung) as error:
                if isinstance(error, SystemExit) and of_ours(error):
                    raise
                self.failed.add((folder, plugin.name))
                self._tell(plugin, hook, folder, error)
            else:
                if returned is not None:
                    kind = type(returned).__name__
                    note(f"{plugin.home}: {hook} returned {kind}, and nobody listens; ignored")

    def _wanted(self, name: str, run: Mapping[str, Any]) -> bool:
        return self.ready.get(name) is None or name in trackers_of(run)

    def _tell(self, plugin: Plugin, hook: str, folder: str, error: BaseException) -> None:
        """Name who failed, and keep the traceback in the run's folder."""
        said = " ".join(f"{type(error).__name__}: {error}".split())
        path = Path(folder) / f"plugin-{re.sub(r'[^A-Za-z0-9._-]', '_', plugin.name)}.txt"
        lines = [f"{plugin.home}, in {hook}\n\n", *traceback.format_exception(error)]
        where = "no traceback could be written"
        with suppress(OSError):
            path.write_text("".join(lines), encoding="utf-8")
            where = f"traceback: {path}"
        note(
            f"{plugin.home}: {hook} raised {said}; it hears no more of this run, which goes on"
            f" ({where})"
        )
