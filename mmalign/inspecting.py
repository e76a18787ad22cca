"""Looks through a folder of data, by a data set that can; and writes a new one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from typing import Any

from mmalign.asking import inside
from mmalign.checked import viewed
from mmalign.contracts import Modality
from mmalign.datafiles import Inspectable, Inspection
from mmalign.errors import MmalignError, did_you_mean
from mmalign.plugins import Registry
from mmalign.recipe import built, read

RECIPE = "recipe.toml"


def able(registry: Registry, members: Sequence[str]) -> dict[str, Any]:
    """The data sets that have all of these members, by name."""
    return {
        name: cls
        for name, cls in sorted(registry.components["dataset"].items())
        if all(hasattr(cls, member) for member in members)
    }


def inspectable(registry: Registry, use: str | None) -> Any:
    """The data set that looks through folders: the one named, or the only one there is."""
    known = able(registry, ("inspect", "template"))
    if use is None and len(known) == 1:
        return next(iter(known.values()))
    if use is None:
        said = f"--use says which: {', '.join(known)}" if known else "no plugin offers any"
        raise MmalignError(f"{len(known)} data sets look through folders; {said}")
    registry.find("dataset", use)  # the error for a name that is none
    if use not in known:
        raise MmalignError(
            f"data set '{use}' does not look through folders; {did_you_mean(use, known)}"
        )
    return known[use]


@dataclass(frozen=True)
class Chosen:
    """A data set to look through; the recipe that says so, and what it makes of the data."""

    dataset: Inspectable
    recipe: Path | None = None
    modalities: Mapping[str, Modality] = field(default_factory=dict)


def chosen(path: Path, registry: Registry, use: str | None, settings: Sequence[str] = ()) -> Chosen:
    """The data set of a folder or of a recipe.

    A folder's own recipe.toml is followed where the folder has one. Raises MmalignError.
    """
    try:
        recipe = path / RECIPE if path.is_dir() and use is None else path
        written = recipe.is_file()
    except OSError as error:  # a name that no file can have
        raise MmalignError(f"{path}: cannot be looked into: {error.strerror}") from None
    if not written:
        cls, fields = inspectable(registry, use), [s.removeprefix("dataset.") for s in settings]
        title, table = f"data set {cls.name}", {"root": str(path)}
        return Chosen(built(cls, fields, "dataset", title, table))
    if recipe.suffix != ".toml":
        raise MmalignError(f"{path}: give a folder of data, or a recipe that reads one")
    laid = [each if each.startswith("dataset.") else f"dataset.{each}" for each in settings]
    followed = read(str(recipe), registry, laid)
    dataset = followed.dataset
    if not isinstance(dataset, Inspectable):
        raise MmalignError(f"{recipe}: its data set '{dataset.name}' does not look through folders")
    if path.is_dir() and not _is(dataset.root, path):
        raise MmalignError(
            f"{recipe}: its dataset.root is '{dataset.root}', which is not {path} from here; mend"
            " it, or call mmalign from the folder that it starts from"
        )
    return Chosen(dataset, recipe, followed.parts.modalities)


def _is(root: Path, path: Path) -> bool:
    """Whether the two are one folder."""
    try:
        return root.expanduser().resolve() == path.resolve()
    except (OSError, RuntimeError, ValueError):  # "~someone" without a home, links in a circle
        return False


def look(what: Chosen) -> Inspection:
    """Look through the folder, and let each of the recipe's modalities have its numbers."""
    with inside(what.dataset, "inspect()"):
        found = what.dataset.inspect()
    if found.source is None:
        return found
    plan, problems = list(found.plan), list(found.problems)
    for name, modality in what.modalities.items():
        try:
            view = viewed(modality, found.source, modality.view)
            lacking = int((~view.mask).sum())
            less = f", {lacking:,} of which lack it" if lacking else ""
            kind = "samples" if view.level == "sample" else "classes"
            plan.append(f"modality {name}: {view.dim:,} numbers for {len(view):,} {kind}{less}")
        except MmalignError as error:
            problems.append(f"modality.{name}: {error}")
    return replace(found, plan=tuple(plan), problems=tuple(problems))


def keep(found: Inspection, to: Path) -> None:
    """Write the recipe that suits the data. Raises MmalignError where a file is already."""
    if not found.recipe:
        raise MmalignError("--recipe: the data set suggests none")
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(f"# mmalign run {quote(to.as_posix())}\n\n{found.recipe}")
    except FileExistsError:
        raise MmalignError(f"--recipe: {to} is there already; choose another file") from None
    except OSError as error:
        raise MmalignError(f"--recipe: cannot write {to}: {error.strerror}") from None


def begin(path: Path, registry: Registry, use: str | None) -> tuple[str, ...]:
    """Write a data set's example into a new folder, whole or not at all; its files' names.

    Raises MmalignError for a folder in which anything is.
    """
    files = inspectable(registry, use).template(path.as_posix())
    where = path.absolute()
    try:
        if where.exists() and (not where.is_dir() or any(where.iterdir())):
            raise MmalignError(f"{path} is there already; choose a folder that is not")
        where.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=where.parent, prefix=f".{where.name}-") as made:
            folder = Path(made) / "new"
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            if where.is_dir():  # empty; it may be the working folder, and is not replaced
                for each in folder.iterdir():
                    each.rename(where / each.name)
            else:
                folder.rename(where)
    except OSError as error:
        raise MmalignError(f"cannot write {path}: {error.strerror or error}") from None
    return tuple(files)
