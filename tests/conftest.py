"""Before any test: shapes in annotations become checks, and torch takes one thread."""

import ast
import builtins
import importlib
import sys
import typing
from pathlib import Path

import jaxtyping
import torch

ROOT = Path(__file__).parents[1]
# An int is a float to mypy (PEP 484); beartype has to be told.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
# No function body in there, and beartype refuses the protocols before they are checkable.
UNCHECKED = {"mmalign.contracts"}
# What modules that must not import torch import for the type checker alone. Beartype reads
# annotations when a function is defined, and falls back on builtins.
SHAPES = {
    "Bool": jaxtyping.Bool,
    "Float": jaxtyping.Float,
    "Int": jaxtyping.Int,
    "Tensor": torch.Tensor,
    "torch": torch,
}


def shaped() -> dict[str, Path]:
    """The modules of mmalign and its first-party plugins that name axes."""
    files = sorted([*ROOT.glob("mmalign/*.py"), *ROOT.glob("plugins/*/*.py")])
    found = {f"{file.parent.name}.{file.stem}": file for file in files}
    return {
        name: file
        for name, file in found.items()
        if "from jaxtyping import" in file.read_text() and name not in UNCHECKED
    }


def make_protocols_checkable() -> None:
    """Beartype asks isinstance of every annotation, protocols included."""
    contracts = importlib.import_module("mmalign.contracts")
    for value in list(vars(contracts).values()):
        if getattr(value, "_is_protocol", False) and value is not typing.Protocol:
            typing.runtime_checkable(value)


def import_for_type_checking(name: str, file: Path) -> None:
    """Run a module's ``if TYPE_CHECKING:`` block, so that its names can be looked up."""
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            exec(compile(ast.Module(node.body, []), str(file), "exec"), vars(sys.modules[name]))


def check_shapes() -> None:
    """Import every module that names axes under jaxtyping's hook."""
    modules = shaped()
    if early := sorted(set(modules) & set(sys.modules)):
        raise RuntimeError(f"imported before the hook, hence unchecked: {', '.join(early)}")
    vars(builtins).update(SHAPES)
    with jaxtyping.install_import_hook(list(modules), CHECKER):
        make_protocols_checkable()
        for name in modules:
            importlib.import_module(name)
    for name in SHAPES:
        delattr(builtins, name)
    for name, file in modules.items():
        import_for_type_checking(name, file)


check_shapes()
torch.set_num_threads(1)
