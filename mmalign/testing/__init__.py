"""The conformance kit: what every component must do, as checks for a plugin's own tests.

A plugin's test is five lines::

    import pytest
    from mmalign.testing import checks
    from mmalign_gaze.modality import Gaze

    @pytest.mark.parametrize("check", checks(Gaze()), ids=str)
    def test_gaze_conforms(check):
        check()

A check that fails raises ConformanceError with one sentence: what is wrong, and what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from mmalign.contracts import KINDS, Kind, Parts
from mmalign.testing import backbones, components, datasets, fits, graphs, losses, modalities
from mmalign.testing.trial import ConformanceError, Trial, tiny_source
from mmalign.types import Source

__all__ = ["Check", "ConformanceError", "checks", "tiny_source"]

Checker: TypeAlias = Callable[[Trial], None]

CHECKS: Mapping[Kind, Sequence[Checker]] = {
    "dataset": datasets.CHECKS,
    "modality": modalities.CHECKS,
    "loss": losses.CHECKS,
    "head": (fits.leaves_nothing_open, *fits.CHECKS),
    "backbone": backbones.CHECKS,
    "method": (
        fits.accepts_its_parts,
        *fits.CHECKS,
        fits.bears_missing_rows,
        graphs.gives_a_module_of_its_scores,
    ),
}


@dataclass(frozen=True)
class Check:
    """One thing that a component must do. Call it; ``str`` gives its name."""

    checker: Checker
    trial: Trial

    def __call__(self) -> None:
        """Raise ConformanceError where the component does not do it."""
        self.checker(self.trial)

    def __str__(self) -> str:
        return self.checker.__name__.replace("_", "-")


def checks(
    component: Any, *, source: Source | None = None, parts: Parts | None = None
) -> list[Check]:
    """Every check for a component, which says by its members what kind it is.

    ``source`` is what a modality or a method is tried on; by default a tiny one, which has
    a modality's own array as non-negative numbers per sample (``tiny_source`` makes
    others). ``parts`` are what a method works with; by default an image and an attribute
    modality alone. Take settings that train quickly: a head or a method is fitted a few
    times. Raises ConformanceError for a component of no kind.
    """
    kind = kind_of(component)
    trial = Trial(kind, component, source or tiny_source(getattr(component, "array", None)), parts)
    return [Check(checker, trial) for checker in (*components.CHECKS, *CHECKS[kind])]


def kind_of(component: Any) -> Kind:
    """The kind whose members a component has. Raises ConformanceError for none or several."""
    missing = {
        kind: [name for name in members(contract) if not hasattr(component, name)]
        for kind, contract in KINDS.items()
    }
    found = [kind for kind, names in missing.items() if not names]
    if len(found) == 1:
        return found[0]
    said = f"{type(component).__name__}: "
    if found:
        raise ConformanceError(
            f"{said}has the members of {' and '.join(found)}; make one component of each"
        )
    near = min(missing, key=lambda kind: len(missing[kind]) / len(members(KINDS[kind])))
    raise ConformanceError(
        f"{said}is no component of any kind; it is nearest to a {near}, which needs"
        f" {', '.join(missing[near])} too"
    )


def members(contract: type) -> list[str]:
    """The names that a contract asks for."""
    own = {name for name in vars(contract) if not name.startswith("_")}
    own |= {"__call__"} & vars(contract).keys()
    return sorted(own | set(contract.__annotations__))
