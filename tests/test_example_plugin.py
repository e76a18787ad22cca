"""Third parties' plugins, each built and installed as a distribution of its own, and run."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
EXAMPLES = [ROOT / "examples" / name for name in ("mmalign-gaze", "mmalign-conse")]
BIN = "Scripts" if os.name == "nt" else "bin"

BROKEN = {
    "pyproject.toml": """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "mmalign-broken"
version = "0.7"

[project.entry-points.mmalign]
broken = "mmalign_broken"
""",
    "mmalign_broken.py": "raise ImportError('libbroken.so is not there')",
}


def call(*command: str | Path, cwd: Path, fails: bool = False) -> str:
    """Run a program as a user does; its output, both streams."""
    hidden = ("PYTHONPATH", "MMALIGN_PLUGINS", "PYTEST_ADDOPTS")
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k not in hidden} | {"COLUMNS": "160"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


def wheel(project: Path, folder: Path) -> Path:
    build = (sys.executable, "-m", "build", "--wheel", "--no-isolation")
    call(*build, "--outdir", folder / project.name, project, cwd=folder)
    (made,) = (folder / project.name).glob("*.whl")
    return made


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with mmalign and both plugins installed from wheels.

    What they depend on (torch above all) is lent by the environment of the tests, through
    a .pth file that is put there afterwards: installing it again would take minutes.
    mmalign itself, and every entry point, come from what was installed here.
    """
    folder = tmp_path_factory.mktemp("outside")
    broken = folder / "mmalign-broken"
    broken.mkdir()
    for name, text in BROKEN.items():
        (broken / name).write_text(text)
    wheels = [wheel(project, folder) for project in (ROOT, *EXAMPLES, broken)]
    call(sys.executable, "-m", "venv", "--without-pip", folder / "venv", cwd=folder)
    python = folder / "venv" / BIN / "python"
    install = (sys.executable, "-m", "pip", "--python", python, "install", "--no-deps")
    call(*install, "--no-index", "--disable-pip-version-check", *wheels, cwd=folder)
    purelib = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(call(python, "-c", purelib, cwd=folder).strip())
    (site / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for example in EXAMPLES:
        shutil.copytree(example / "tests", folder / "tests", dirs_exist_ok=True)
        for recipe in example.glob("*.toml"):
            if recipe.name != "pyproject.toml":
                shutil.copy(recipe, folder)
    return folder


@pytest.fixture
def program(outside: Path) -> Path:
    return outside / "venv" / BIN / "mmalign"


def test_everything_comes_from_what_was_installed(outside: Path) -> None:
    code = "import mmalign, mmalign_gaze; print(mmalign.__file__, mmalign_gaze.__file__)"
    for path in call(outside / "venv" / BIN / "python", "-c", code, cwd=outside).split():
        assert Path(path).is_relative_to(outside / "venv")


def test_plugins_are_listed_with_their_distributions(outside: Path, program: Path) -> None:
    homes = {}
    for part in call(program, "plugins", cwd=outside).strip().split("\n\n"):
        home, *lines = part.splitlines()
        homes[home] = dict(line.split(maxsplit=1) for line in lines)
    assert homes["mmalign-gaze 0.1.0"] == {"gaze": "modality:gaze"}
    assert homes["mmalign 0.1.0"]["image"] == "modality:image"
    said = "not loaded: ImportError: libbroken.so is not there"
    assert homes["mmalign-broken 0.7"] == {"broken": said}


def test_recipe_runs_beside_a_broken_plugin(outside: Path, program: Path) -> None:
    assert call(program, "check", "gaze.toml", cwd=outside).split() == ["ok", "gaze.toml"]
    said = call(program, "run", "gaze.toml", "--out", "runs", cwd=outside)
    (report,) = (outside / "runs" / "gaze").glob("*/report.json")
    assert "mmalign-gaze 0.1.0" in report.read_text()
    assert "report and model" in said


def test_the_wheel_runs_the_quickstart(outside: Path, program: Path) -> None:
    """Recipes, emoji and all, from another folder: nothing is left behind in the repository."""
    quick = ("--set", "method.epochs=2", "--set", "run.seeds=1")
    said = call(program, "run", "quickstart", *quick, "--out", "quick", cwd=outside)
    assert "report and model" in said
    assert list((outside / "quick" / "quickstart").glob("*/model/model.safetensors"))


def test_what_would_be_imported_is_what_was_installed(outside: Path, program: Path) -> None:
    said = call(program, "plugins", "--trust", cwd=outside)
    assert "STRAY" not in said
    assert "ALTERED" not in said
    blocks = said.split("\n\n")
    (gaze,) = (block for block in blocks if block.startswith("mmalign-gaze 0.1.0  third party"))
    assert "match their RECORD" in gaze
    assert "mmalign_gaze-0.1.0-py3-none-any.whl, by pip" in gaze
    (module,) = outside.rglob("venv/**/mmalign_gaze/__init__.py")
    before = module.read_text()
    module.write_text(before + "# touched\n")
    said = call(program, "plugins", "--trust", cwd=outside)
    module.write_text(before)
    assert f"differ from their RECORD: mmalign_gaze{os.sep}__init__.py" in said


def test_third_parties_turned_off(outside: Path) -> None:
    python = outside / "venv" / BIN / "python"
    code = "import os; os.environ['MMALIGN_PLUGINS'] = ''; from mmalign.cli import app; app()"
    said = call(python, "-c", code, "plugins", cwd=outside)
    assert "modality:image" in said
    assert "mmalign-gaze" not in said


def test_a_method_of_a_third_partys_stands_in_the_table(outside: Path, program: Path) -> None:
    call(program, "run", "conse.toml", "--workers", "1", cwd=outside)
    said = call(program, "table", "conse.toml", cwd=outside)
    assert [line.split()[0] for line in said.splitlines()] == ["system", "ConSE", "ESZSL"]
    said = call(program, "table", "conse.toml", "--test", "ConSE", "ESZSL", cwd=outside)
    assert "in each of 2 runs; what no seed changes cannot be tested over seeds" in said


def test_recipe_that_needs_a_broken_plugin_names_it(outside: Path, program: Path) -> None:
    setting = 'modality.gaze.use="broken"'
    said = call(program, "check", "gaze.toml", "--set", setting, cwd=outside, fails=True)
    assert "'broken' of mmalign-broken: ImportError: libbroken.so is not there" in said


def test_its_own_test_passes(outside: Path) -> None:
    python = outside / "venv" / BIN / "python"
    said = call(python, "-m", "pytest", "-q", "-W", "error", "tests", cwd=outside)
    assert "passed" in said
