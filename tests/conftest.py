"""Before any test: shapes in annotations become checks, and torch takes one thread."""

import ast
import importlib
import sys
import typing
from collections.abc import Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import jaxtyping
import pytest
import torch

ROOT = Path(__file__).parents[1]
# An int is a float to mypy (PEP 484); beartype has to be told.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
# No function body in there, and beartype refuses the protocols before they are checkable.
UNCHECKED = {"mmalign.contracts"}


def shaped() -> dict[str, Path]:
    """The modules of mmalign and its first-party plugins that name axes."""
    files = sorted([*ROOT.glob("mmalign/*.py"), *ROOT.glob("plugins/*/*.py")])
    return {
        f"{file.parent.name}.{file.stem}": file
        for file in files
        if "from jaxtyping import" in file.read_text()
    }


def import_for_type_checking(module: ModuleType, file: Path, ours: bool) -> None:
    """Do the imports under ``if TYPE_CHECKING:``, those of mmalign's own names or the others.

    Modules that must not import torch name its types there only. Beartype wants types such
    as Tensor when a function is defined, and classes of ours when it is called.
    """
    for block in ast.parse(file.read_text()).body:
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING":
            wanted = [line for line in block.body if ("mmalign" in ast.unparse(line)) == ours]
            exec(compile(ast.Module(wanted, []), str(file), "exec"), vars(module))


def make_protocols_checkable() -> None:
    """Beartype asks isinstance of every annotation, protocols included."""
    contracts = importlib.import_module("mmalign.contracts")
    for value in list(vars(contracts).values()):
        if getattr(value, "_is_protocol", False) and value is not typing.Protocol:
            typing.runtime_checkable(value)


def check_shapes() -> None:
    """Import every module that names axes under jaxtyping's hook."""
    modules = {name: file for name, file in shaped().items() if name not in UNCHECKED}
    if early := sorted(set(modules) & set(sys.modules)):
        raise RuntimeError(f"imported before the hook, hence unchecked: {', '.join(early)}")
    installed = jaxtyping.install_import_hook(list(modules), CHECKER)
    find = installed.hook.find_spec

    def find_spec(name: str, *rest: Any) -> ModuleSpec | None:
        spec = find(name, *rest)
        if spec is not None:
            run = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                import_for_type_checking(module, modules[name], ours=False)
                run(module)

            spec.loader.exec_module = exec_module
        return spec

    installed.hook.find_spec = find_spec
    with installed:
        make_protocols_checkable()
        for name in modules:
            importlib.import_module(name)
    for name, file in modules.items():
        import_for_type_checking(sys.modules[name], file, ours=True)


check_shapes()
torch.set_num_threads(1)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """One headless Chromium for a module's tests: while it is open, its event loop is running."""
    from browsing import opened

    yield from opened()
