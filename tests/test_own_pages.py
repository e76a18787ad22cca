"""docs/own-*.md: the four files of each page are a plugin, which is declared, conforms and runs."""

import importlib
import re
import shlex
import sys
import tomllib
from pathlib import Path

import pytest
from commands import call, only

from mmalign.testing import checks

ROOT = Path(__file__).parents[1]
PAGES = {
    "own-modality.md": "trigrams",
    "own-loss.md": "bhattacharyya",
    "own-method.md": "exemplars",
}
FILE = re.compile(r"^<!-- file: (\S+) -->\n```\w+\n(.*?)^```", re.M | re.S)
COMMANDS = re.compile(r"^```bash\n(.*?)^```", re.M | re.S)
DATA = {"dataset.use": '"synthetic"', "dataset.samples": "6", "dataset.seen": "6"}
DATA |= {"dataset.validation": "2", "dataset.unseen": "3"}
SMALL = {
    "trigrams": {"method.epochs": "1", "method.latent": "4", "modality.image.hidden": "[8, 8]"},
    "bhattacharyya": {"method.epochs": "2", "head.most_epochs": "2"},
    "exemplars": {"run.seeds": "1"},
}


def text_of(page):
    return (ROOT / "docs" / page).read_text(encoding="utf-8")


@pytest.fixture(params=PAGES)
def page(request):
    return request.param


@pytest.fixture
def installed(page, tmp_path, monkeypatch):
    """The page's files in a folder, declared as pip would declare them."""
    files = dict(FILE.findall(text_of(page)))
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    for text in re.findall(r"^```csv\n(.*?)^```", text_of(page), re.M | re.S):
        (tmp_path / "new.csv").write_text(text, encoding="utf-8")
    project = tomllib.loads(files["pyproject.toml"])
    about = tmp_path / f"{project['project']['name'].replace('-', '_')}-0.1.0.dist-info"
    about.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['project']['name']}\nVersion: 0.1.0\n"
    (about / "METADATA").write_text(head)
    lines = [f"{k} = {v}\n" for k, v in project["project"]["entry-points"]["mmalign"].items()]
    (about / "entry_points.txt").write_text("[mmalign]\n" + "".join(lines))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"] == [
        name for name in files if name.startswith("mmalign_")
    ]
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("MMALIGN_PLUGINS", raising=False)
    yield tmp_path
    sys.modules.pop(f"mmalign_{PAGES[page]}", None)


def test_its_component_conforms(page, installed):
    """As the page's own test does, which pytest would run in a process of its own."""
    assert (
        f"from mmalign_{PAGES[page]} import " in (installed / f"test_{PAGES[page]}.py").read_text()
    )
    module = importlib.import_module(f"mmalign_{PAGES[page]}")
    (component,) = (
        value
        for value in vars(module).values()
        if isinstance(value, type) and vars(value).get("name") == PAGES[page]
    )
    for check in checks(component()):
        check()


def test_its_commands_run(page, installed):
    said = {}
    for line in "".join(COMMANDS.findall(text_of(page))).splitlines():
        program, command, *words = shlex.split(line)
        if program != "mmalign":
            assert (program, command) in (("pip", "install"), ("pytest", f"test_{PAGES[page]}.py"))
            continue
        words = [str(only(installed / "runs" / "names")) if "*" in each else each for each in words]
        if command == "run":
            for key, value in (DATA | SMALL[PAGES[page]]).items():
                words += ["--set", f"{key}={value}"]
        done = call(command, *words, cwd=installed)
        assert done.returncode == 0, done.stderr
        said[command] = done.stdout
    assert PAGES[page] in said["ls"]
    if page == "own-modality.md":
        assert re.search(
            r"mmalign-trigrams 0\.1\.0\n +trigrams +modality:trigrams", said["plugins"]
        )
        assert "1 class more, 10 in all, described by trigrams" in said["add-classes"]
    else:
        assert "H = " in said["run"]


@pytest.mark.slow
def test_the_result_of_the_letters_of_names(installed):
    """Against what the page says, where its test is the modality's; a minute."""
    if not (installed / "names.toml").exists():
        pytest.skip("the page has no result")
    done = call("run", "names.toml", cwd=installed)
    assert done.returncode == 0, done.stderr
    (h,) = re.findall(r"H = (\d+\.\d) %", done.stdout)
    (shown,) = re.findall(r"H (?:is|=) (\d+\.\d)", text_of("own-modality.md"))
    assert float(h) == pytest.approx(float(shown), abs=1.5)
