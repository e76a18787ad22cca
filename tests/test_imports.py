"""Who imports whom, over the syntax trees; and what imports no torch."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmalign

ROOT = Path(__file__).parents[1]
CORE = ROOT / "mmalign"
PLUGINS = sorted(path.name for path in (ROOT / "plugins").iterdir() if path.is_dir())

# From the ground up: a module imports from layers below its own, never beside or above.
LAYERS = (
    {"errors", "progress", "state"},
    {"memory", "ahead", "group", "writing", "guard", "entries", "npyfile", "jsonfile"},
    {"arrays", "checkpoints", "metricsfile"},
    {"stored"},
    {"moments"},
    {"types", "component", "shipped", "board", "lock", "extras", "terminal", "download", "unpack"}
    | {"namelist"},
    {"asking"},
    {"stores", "answers", "loop", "figure", "grid", "calibration", "retrieval", "checked"},
    {"contracts", "report", "pictures", "datafiles", "bundlefiles"},
    {"modality", "nets", "losses", "scaling", "withheld", "hooks", "summary", "testing"}
    | {"sources", "linear", "featurefile", "reclassing"},
    {"trackers", "trust"},
    {"align", "plugins", "protocol", "linearfit", "model", "classfile", "rows", "card"},
    {"feeding", "terms"},
    {"streaming"},
    {"train", "tables", "searching", "latentfiles", "listing", "systems"} | {"onnxfile"},
    {"recipe", "answering", "place", "together", "copies"},
    {"bundle", "reporting", "unfinished", "newcomers", "sklearn", "inspecting"}
    | {"latentmap", "pages"},
    {"runfiles", "reproduce"},
    {"seedfit"},
    {"run", "extract", "fetching", "hub", "inspection_text"},
    {"job", "inputs", "processes"},
    {"seedjob", "crew", "cells", "comparison", "predictions"},
    {"workers", "results", "comparison_text"},
    {"raycrew"},
    {"executors"},
    {"series", "space"},
    {"drawing", "search"},
    {"sweep", "tune", "seeds"},
    {"cli_model", "cli_recipes", "cli_data", "cli_hub", "cli_runs", "cli_extract"},
    {"play"},
    {"cli_latent", "cli_play", "cli_train"},
    {"cli"},
    {"__main__"},
)
RANK = {name: rank for rank, layer in enumerate(LAYERS) for name in layer}
# What learns knows nothing of recipes, plugins, folders and terminals.
LEARNING = {
    "types",
    "contracts",
    "nets",
    "losses",
    "align",
    "group",
    "feeding",
    "loop",
    "terms",
    "protocol",
    "scaling",
    "withheld",
    "train",
    "together",
    "report",
    "answers",
    "calibration",
    "sources",
    "linear",
    "linearfit",
    "systems",
}
PROGRAM = {
    "hooks",
    "entries",
    "trackers",
    "trust",
    "plugins",
    "tables",
    "recipe",
    "shipped",
    "listing",
    "progress",
    "summary",
    "card",
    "bundle",
    "bundlefiles",
    "model",
    "reclassing",
    "classfile",
    "newcomers",
    "retrieval",
    "sklearn",
    "searching",
    "latentfiles",
    "cli_latent",
    "inputs",
    "predictions",
    "play",
    "cli_play",
    "datafiles",
    "inspecting",
    "inspection_text",
    "download",
    "unpack",
    "fetching",
    "cli_data",
    "onnxfile",
    "npyfile",
    "jsonfile",
    "hub",
    "cli_hub",
    "cli_model",
    "cli_recipes",
    "terminal",
    "answering",
    "place",
    "reporting",
    "extract",
    "run",
    "runfiles",
    "seedfit",
    "unfinished",
    "checkpoints",
    "metricsfile",
    "reproduce",
    "cli_extract",
    "cli_runs",
    "cli_train",
    "writing",
    "copies",
    "processes",
    "__main__",
    "board",
    "lock",
    "figure",
    "job",
    "crew",
    "workers",
    "raycrew",
    "executors",
    "latentmap",
    "pages",
    "seedjob",
    "seeds",
    "cells",
    "results",
    "series",
    "drawing",
    "sweep",
    "extras",
    "grid",
    "space",
    "search",
    "tune",
    "comparison",
    "comparison_text",
    "cli",
}


def imports(file: Path, types_too: bool = False) -> Iterator[tuple[str, str]]:
    """Module and name of every import, those inside functions too; (module, "") for a module.

    Those under ``if TYPE_CHECKING:`` happen at no run time, and are left out.
    """
    tree = ast.parse(file.read_text(encoding="utf-8"))
    unreal: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            unreal |= {inner for each in node.body for inner in ast.walk(each)}
    for node in ast.walk(tree):
        if node in unreal and not types_too:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute here"
            yield from ((node.module or "", alias.name) for alias in node.names)


def core(file: Path) -> Iterator[str]:
    """The core's modules that a file imports."""
    for module, name in imports(file):
        top, _, rest = module.partition(".")
        if top != "mmalign":
            continue
        if rest:
            yield rest.split(".")[0]
        elif name in RANK:
            yield name


def module_of(file: Path) -> str:
    return file.relative_to(CORE).with_suffix("").parts[0]


FILES = sorted(file for file in CORE.rglob("*.py") if file != CORE / "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(CORE)))
def test_core_imports_from_layers_below(file: Path) -> None:
    own = module_of(file)
    assert own in RANK, f"say in LAYERS where {own} belongs"
    for other in set(core(file)) - {own}:
        assert RANK[other] < RANK[own], f"{own} imports {other}, which is not below it"
        if own in LEARNING:
            assert other not in PROGRAM, f"{own} learns, and needs no {other}"


@pytest.mark.parametrize("file", sorted((CORE / "testing").glob("*.py")), ids=lambda f: f.stem)
def test_kit_sees_the_contracts_only(file: Path) -> None:
    assert set(core(file)) <= {
        "errors",
        "arrays",
        "types",
        "contracts",
        "checkpoints",
        "component",
        "testing",
    }


@pytest.mark.parametrize(
    "file",
    [file for name in PLUGINS for file in sorted((ROOT / "plugins" / name).rglob("*.py"))],
    ids=lambda file: str(file.relative_to(ROOT / "plugins")),
)
def test_plugin_imports_public_names_only(file: Path) -> None:
    own = file.relative_to(ROOT / "plugins").parts[0]
    for module, name in imports(file, types_too=True):
        top = module.partition(".")[0]
        assert top not in set(PLUGINS) - {own}, f"{file} imports another plugin, {top}"
        if top == "mmalign":
            assert module == "mmalign", f"{file}: import {name} from mmalign itself"
            assert name in mmalign.__all__, f"{file}: {name or 'mmalign'} is no public name"


def test_public_names_are_there() -> None:
    assert len(set(mmalign.__all__)) == len(mmalign.__all__)
    for name in mmalign.__all__:
        assert getattr(mmalign, name) is not None
    assert set(mmalign.__all__) <= set(dir(mmalign))
    with pytest.raises(AttributeError, match="no attribute 'no_such_name'"):
        _ = mmalign.no_such_name


def test_public_names_are_the_same_for_type_checkers() -> None:
    tree = ast.parse((CORE / "__init__.py").read_text(encoding="utf-8"))
    declared = {
        (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mmalign.")
        for alias in node.names
    }
    served = {(f"mmalign.{home}", name) for name, home in mmalign._HOME.items()}
    assert declared == served | {("mmalign.component", "component")}


COMMANDS = {
    "import": "import mmalign",
    "help": "sys.argv = ['mmalign', '--help']; run()",
    "plugins": "sys.argv = ['mmalign', 'plugins']; run()",
    "ls": "sys.argv = ['mmalign', 'ls']; run()",
    "ls component": "sys.argv = ['mmalign', 'ls', 'aligned-vae']; run()",
    "check": "sys.argv = ['mmalign', 'check', 'quickstart']; run()",
}
# What none of them needs, since each costs more than all that is left. pydantic is
# not among them: the command line needs it, too.
HEAVY = ["torch", "scipy", "sklearn", "pandas", "pyarrow", "matplotlib", "optuna", "gensim"]
HEAVY += ["PIL", "onnx", "onnxruntime", "huggingface_hub", "transformers", "sentence_transformers"]
HEAVY += ["jinja2", "mmalign.pages"]
HEAVY += ["jaxtyping", "geomloss", "ray", "lightning", "asyncio", "multiprocessing"]
HEAVY += ["fastapi", "starlette", "uvicorn"]
NEEDLESS = {
    "import": [*HEAVY, "numpy", "pydantic", "rich", "typer", "pluggy", "mmalign.contracts"],
    "help": [*HEAVY, "numpy", "pydantic", "rich", "pluggy", "mmalign.contracts"],
    "plugins": [*HEAVY, "mmalign.tables", "mmalign.recipe", "mmalign.report", "mmalign.align"],
    "ls": [*HEAVY, "numpy", "mmalign.tables", "mmalign.recipe", "mmalign.report", "mmalign.align"],
    "check": [*HEAVY, "rich", "mmalign.align", "mmalign.run", "mmalign.sweep", "mmalign.tune"],
}


def after(code: str, then: str) -> None:
    """Run ``code``, and then ``then``, in a fresh interpreter."""
    program = f"""
import sys
def run():
    from mmalign.cli import main
    try:
        main()
    except SystemExit as exit:
        assert not exit.code, exit.code
{code}
{then}
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_imports_nothing_that_it_does_not_need(command: str) -> None:
    needless = NEEDLESS[command.partition(" ")[0]]
    after(
        COMMANDS[command],
        f"found = [n for n in {needless} if n in sys.modules]; assert not found, found",
    )


def test_listing_builds_no_validators() -> None:
    """They take longer than the rest of ``mmalign ls``, and no value is made."""
    after(
        COMMANDS["ls"],
        "from mmalign_gzsl.softmax import Softmax\n"
        "from mmalign_xlsa17.datasets import CUB\n"
        "for each in (Softmax, CUB): assert not each.__pydantic_complete__, each",
    )
