"""The hooks that a plugin may implement (pluggy)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from mmalign.report import Report

hookspec = pluggy.HookspecMarker("mmalign")
hookimpl = pluggy.HookimplMarker("mmalign")


@hookspec
def mmalign_modalities() -> list[type]:  # type: ignore[empty-body]
    """Modality classes: what turns a data set's offer into numbers."""


@hookspec
def mmalign_datasets() -> list[type]:  # type: ignore[empty-body]
    """Dataset classes: what reads data sets."""


@hookspec
def mmalign_losses() -> list[type]:  # type: ignore[empty-body]
    """Loss classes: alignment terms between modalities."""


@hookspec
def mmalign_heads() -> list[type]:  # type: ignore[empty-body]
    """Head classes: classifiers trained on latents."""


@hookspec
def mmalign_methods() -> list[type]:  # type: ignore[empty-body]
    """Method classes: whole systems that score rows over classes."""


@hookspec
def mmalign_backbones() -> list[type]:  # type: ignore[empty-body]
    """Backbone classes: frozen networks that turn pictures into features."""


@hookspec
def mmalign_tracker_ready() -> None:
    """A tracker that hears only of runs that ask for it by its plugin's name, in [run] trackers.

    Called when such a recipe is read; raises MmalignError where it cannot work, as when what it
    writes with is not installed. A tracker without this hook hears of every run.
    """


@hookspec
def mmalign_run_started(run: Mapping[str, Any]) -> None:
    """A run begins. ``run`` holds its name, folder, seeds and resolved recipe."""


@hookspec
def mmalign_epoch_ended(run: Mapping[str, Any], epoch: int, losses: Mapping[str, float]) -> None:
    """An epoch of training ended. ``losses`` are means per row; ``run`` names seed and stage."""


@hookspec
def mmalign_run_ended(run: Mapping[str, Any], report: Report) -> None:
    """A run is over and its files are written."""
