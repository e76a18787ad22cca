"""A recipe's tables: those that are always the same, and the Reader of them all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import Field

from mmalign.asking import inside, kind_of, wrong
from mmalign.component import build, component, plain
from mmalign.contracts import Dataset, Head, Kind, Method, Modality, Parts, Weighted
from mmalign.errors import MmalignError, did_you_mean, nearest
from mmalign.figure import Figure
from mmalign.losses import Ramp, ramp
from mmalign.plugins import Registry
from mmalign.protocol import Protocol

TABLES = ("dataset", "modality", "method", "loss", "head", "protocol", "report", "run")
EXPERIMENT = ("sweep", "figure", "tune")  # of many runs
Count: TypeAlias = Annotated[int, Field(ge=1)]
MOST = 100_000  # of what a recipe asks for by a number: more is a slip of the finger
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]
Percent: TypeAlias = Annotated[float, Field(ge=0, le=100)]
# The name of a modality or a loss is part of a tensor's name and of --set's dotted keys.
NAME = re.compile(r"[A-Za-z0-9_-]+")
# metrics.jsonl keeps these beside the losses.
KEPT = ("seed", "stage", "epoch", "loss", "reconstruction", "kl")


@component
class Target:
    """Published numbers, in per cent, that the report prints beside ours."""

    S: Percent | None = None
    """Seen classes."""
    U: Percent | None = None
    """Unseen classes."""
    H: Percent | None = None
    """Harmonic mean."""
    T1: Percent | None = None
    """Unseen classes searched among unseen ones."""
    AUSUC: Percent | None = None
    """Area under the seen-unseen curve."""
    source: str = ""
    """Where they were published."""


@component
class ReportSettings:
    """What the report compares with."""

    target: Target = Target()
    """Published numbers."""
    targets: dict[str, Target] = Field(default_factory=dict)
    """The same by data set, which goes before ``target``."""
    retrieval: bool = False
    """Search rows by their class's description and back: recall at 1, 5 and 10, mean rank."""


@component
class RunSettings:
    """How often and where to run."""

    seeds: (
        Annotated[int, Field(ge=1, le=MOST)] | Annotated[tuple[Seed, ...], Field(min_length=1)]
    ) = 1
    """How many seeds (0, 1, ...), or which."""
    device: str = "cpu"
    """A torch device."""
    threads: Count | None = None
    """Threads of one process; torch's own choice by default."""
    together: bool | Literal["auto"] = "auto"
    """Train the representations of several seeds as one batched model; "auto": on a GPU."""
    checkpoint: Annotated[float, Field(ge=0)] = 60.0
    """Seconds between two checkpoints, which a killed run loses at most; 0: after each epoch."""
    trackers: tuple[str, ...] = ()
    """Plugins to tell of it, such as "tensorboard"; some are told of every run."""

    def __post_init__(self) -> None:
        if len(set(self.trackers)) < len(self.trackers):
            raise ValueError("trackers: each of them once")
        if isinstance(self.seeds, tuple) and len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: each of them once")


@component
class Weight:
    """The weight of a loss."""

    weight: Ramp | Annotated[float, Field(ge=0)] = 1.0
    """A number, or a ramp over the epochs."""


@dataclass(frozen=True)
class Recipe:
    """A whole experiment: its components, and the table that they were read from.

    ``table`` is the table of one run as resolved, with every default; ``given`` is the whole
    table as written. ``sweep`` and ``tune``, tables as written, ask for many runs.
    """

    name: str
    dataset: Dataset
    method: Method
    parts: Parts
    protocol: Protocol
    report: ReportSettings
    run: RunSettings
    table: Mapping[str, Any]
    given: Mapping[str, Any] = field(default_factory=dict, compare=False)
    sweep: Mapping[str, Any] | None = field(default=None, compare=False)
    figure: Figure | None = field(default=None, compare=False)
    tune: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds to run."""
        given = self.run.seeds
        return tuple(range(given)) if isinstance(given, int) else given

    @property
    def target(self) -> Target:
        """The published numbers of this data set."""
        return self.report.targets.get(self.dataset.name, self.report.target)

    @property
    def draws(self) -> tuple[int | None, ...]:
        """The draws of the shots that each seed answers; one None where none are drawn."""
        return tuple(range(self.protocol.draws)) if self.protocol.shots else (None,)


class Reader:
    """Reads a recipe's tables and keeps every problem that it meets."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.problems: list[str] = []
        self.resolved: dict[str, Any] = {}

    def recipe(self, name: str, table: Mapping[str, Any]) -> Recipe | None:
        """The whole recipe, or None when ``problems`` holds anything."""
        for key in table:
            if key not in (*TABLES, *EXPERIMENT):
                near = nearest(key, (*TABLES, *EXPERIMENT))
                self.problems.append(
                    f"{key}: no such table" + (f"; did you mean '{near}'?" if near else "")
                )
        self.require(("dataset",), table)
        dataset = self.one("dataset", table)
        made = self.parts(table)
        protocol = self.plain(Protocol, "protocol", table)
        report = self.plain(ReportSettings, "report", table)
        run = self.plain(RunSettings, "run", table)
        figure = self.figure(table)
        if run is not None:
            self.problems += self.registry.trackers.objections(cast("RunSettings", run).trackers)
        if not self.problems and made is not None:
            method, parts = made
            self.problems += disagreements(parts, protocol)
            if report.retrieval and not getattr(method, "latent_space", False):
                self.problems.append(
                    f"report.retrieval: the method '{method.name}' has no latent space to search"
                )
        if self.problems or made is None:
            return None
        return Recipe(
            name, cast("Dataset", dataset), *made,
            cast("Protocol", protocol), cast("ReportSettings", report), cast("RunSettings", run),
            self.resolved, table, table.get("sweep"), figure, table.get("tune"),
        )  # fmt: skip

    def parts(self, table: Mapping[str, Any]) -> tuple[Method, Parts] | None:
        """What a trained model is made of: no data set, no protocol."""
        self.require(("modality", "method"), table)
        modalities = self.many("modality", table)
        method = self.one("method", table)
        losses = self.losses(table)
        head = self.one("head", table)
        parts = Parts(cast("dict[str, Modality]", modalities), losses, cast("Head | None", head))
        if not self.problems and method is not None:
            self.problems += objections(cast("Method", method), parts)
        return None if self.problems or method is None else (cast("Method", method), parts)

    def require(self, keys: tuple[str, ...], table: Mapping[str, Any]) -> None:
        """Tables that must be there; where one is misspelt, that is said elsewhere."""
        for key in keys:
            if key not in table and not any(nearest(k, [key]) for k in table if k not in TABLES):
                self.problems.append(f"{key}: missing; a recipe needs a [{key}]")

    def figure(self, table: Mapping[str, Any]) -> Figure | None:
        """The figure of a sweep; [sweep] and [tune] themselves are read cell by cell."""
        for key in EXPERIMENT:
            if not isinstance(table.get(key, {}), Mapping):
                self.problems.append(f"{key}: a table was expected (got {table[key]!r})")
        if not isinstance(table.get("figure"), Mapping):
            return None
        if "sweep" not in table:
            self.problems.append("figure: it shows a sweep; give a [sweep]")
        made, problems = build(Figure, table["figure"], "figure")
        self.problems += problems
        return made

    def one(self, kind: Kind, table: Mapping[str, Any]) -> Any:
        """The component of a table that stands once."""
        if kind not in table:
            return None
        made = self.component(kind, table[kind], kind, default=None)
        if made is not None:
            self.resolved[kind] = {"use": made.name, **plain(made)}
        return made

    def many(self, kind: Kind, table: Mapping[str, Any]) -> dict[str, Any]:
        """The components of a table of tables."""
        made = {}
        for name, each in self.tables(kind, table).items():
            component = self.component(kind, each, f"{kind}.{name}", default=name)
            if component is not None:
                made[name] = component
                self.resolved.setdefault(kind, {})[name] = {
                    "use": component.name, **plain(component)
                }  # fmt: skip
        return made

    def losses(self, table: Mapping[str, Any]) -> dict[str, Weighted]:
        """The losses, each with its weight."""
        made = {}
        for name, each in self.tables("loss", table).items():
            path = f"loss.{name}"
            if not isinstance(each, Mapping):
                self.problems.append(f"{path}: a table was expected (got {each!r})")
                continue
            given = {k: v for k, v in each.items() if k == "weight"}
            weight, problems = build(Weight, given, path)
            self.problems += problems
            rest = {k: v for k, v in each.items() if k != "weight"}
            loss = self.component("loss", rest, path, default=name, more=("weight",))
            if loss is not None and weight is not None:
                made[name] = Weighted(loss, ramp(weight.weight))
                self.resolved.setdefault("loss", {})[name] = {
                    "use": loss.name, **plain(weight), **plain(loss)
                }  # fmt: skip
        return made

    def tables(self, kind: Kind, table: Mapping[str, Any]) -> Mapping[str, Any]:
        """The tables of one kind, by name."""
        found = table.get(kind, {})
        if not isinstance(found, Mapping):
            self.problems.append(f"{kind}: tables [{kind}.NAME] were expected (got {found!r})")
            return {}
        if kind == "modality" and kind in table and not found:
            self.problems.append("modality: at least one [modality.NAME] is needed")
        for name in found:
            if not NAME.fullmatch(name):
                self.problems.append(f"{kind}.{name}: name it with letters, digits, - and _")
            if kind == "loss" and name in KEPT:
                self.problems.append(f"{kind}.{name}: give it another name; '{name}' is taken")
        return found

    def component(
        self,
        kind: Kind,
        table: Any,
        path: str,
        default: str | None,
        more: tuple[str, ...] = (),
    ) -> Any:
        """Find and build one component; ``use`` defaults to the table's own name."""
        if not isinstance(table, Mapping):
            self.problems.append(f"{path}: a table was expected (got {table!r})")
            return None
        use = table.get("use", default)
        if not isinstance(use, str):
            near = nearest("use", [key for key in table if key != "use"])
            known = ", ".join(sorted(self.registry.components[kind]))
            hint = f"; '{near}' looks like it" if near else ""
            self.problems.append(f'{path}.use: missing{hint}; say use = "..." (known: {known})')
            return None
        try:
            cls = self.registry.find(kind, use)
        except MmalignError as error:
            self.problems.append(f"{path}.use: {error}")
            return None
        rest = {key: value for key, value in table.items() if key != "use"}
        with inside(cls, f"the reading of [{path}]"):
            made, problems = build(cls, rest, path, more=("use", *more))
        self.problems += problems
        return made

    def plain(self, cls: type, key: str, table: Mapping[str, Any]) -> Any:
        """A table that is always the same component."""
        given = table.get(key, {})
        if not isinstance(given, Mapping):
            self.problems.append(f"{key}: a table was expected (got {given!r})")
            return None
        made, problems = build(cls, given, key)
        self.problems += problems
        if made is not None:
            self.resolved[key] = plain(made)
        return made


def objections(method: Method, parts: Parts) -> list[str]:
    """What a method says that it cannot do with these parts."""
    with inside(method, "check()"):
        said: Any = method.check(parts)
    if not isinstance(said, (list, tuple)) or not all(isinstance(each, str) for each in said):
        return [str(wrong(method, "check()", kind_of(said), "a list of sentences"))]
    return list(said)


def disagreements(parts: Parts, protocol: Protocol) -> list[str]:
    """Where the protocol or the head asks for what the parts do not have."""
    problems = [
        f"head.{field}: no modality '{name}'; {did_you_mean(name, parts.modalities)}"
        for field in ("seen_from", "unseen_from", "shots_from")
        for given in getattr(parts.head, field, ())
        for name in map(str.strip, given.split("+"))
        if name not in parts.modalities
    ]
    for name in protocol.mix.between if protocol.mix is not None else ():
        if name not in parts.modalities:
            hint = did_you_mean(name, parts.modalities)
            problems.append(f"protocol.mix.between: no modality '{name}'; {hint}")
    uses = getattr(parts.head, "uses_shots", False)  # None: with or without
    if parts.head is not None and uses not in (None, bool(protocol.shots)):
        problems.append(
            f"head.use: '{parts.head.name}' draws nothing from protocol.shots; a head such as"
            " 'few-shot' does"
            if protocol.shots
            else f"protocol.shots: missing; the head '{parts.head.name}' draws from shots"
        )
    return problems
