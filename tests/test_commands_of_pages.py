"""Every command of every page is run by a test, or parsed where that cannot be, with the reason."""

import re
import shlex
import tomllib

import pytest
import typer
from commands import call
from pagecommands import CUB, LIGHT, PARSED, ROOT, RUN_BY, WALKED, commands, told_by

from mmalign.cli import app
from mmalign.plugins import discover
from mmalign.recipe import read, shipped

COMMANDS = commands()
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
OURS = [each for each in COMMANDS if "mmalign " in each.line and not each.line.startswith("pip")]


def words_of(line):
    """What mmalign is called with, as a shell hands it on."""
    words = shlex.split(line.replace("$CUB", CUB), comments=True)
    return words[words.index("mmalign") + 1 :]


def parsed(words):
    """The command and its options, as the program itself reads them; raises for a wrong one."""
    command, context = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        context = context or command.context_class(command, info_name="mmalign")
        name, command, words = command.resolve_command(context, words)
    made = command.make_context(name, list(words), parent=context)
    return name, made.params


def light(command):
    """Whether it is run here."""
    words = words_of(command.line) if command in OURS else [""]
    return words[0] in LIGHT and "mmalign-" not in command.page


def test_there_are_commands():
    assert len(COMMANDS) >= 130
    assert len({each.page for each in COMMANDS}) >= 20


@pytest.mark.parametrize("command", sorted(set(COMMANDS)), ids=lambda c: f"{c.page}: {c.line[:60]}")
def test_something_says_that_it_works(command):
    named = told_by(command, RUN_BY)
    test = WALKED.get(command.page) or (RUN_BY[named] if named else "")
    if told_by(command, PARSED):
        return
    if light(command):
        return
    assert test, f"{command.page}: no test runs `{command.line}`: say which in pagecommands.py"
    text = (ROOT / "tests" / test).read_text(encoding="utf-8")
    if command in OURS:  # the test calls such a command, or does whatever the page has
        verb = words_of(command.line)[0]
        assert f'"{verb}"' in text or command.page.rpartition("/")[2] in text, (verb, test)


def test_what_is_said_of_commands_is_of_some():
    present = {each.page for each in COMMANDS}
    for table in (RUN_BY, PARSED):
        told = {told_by(each, table) for each in COMMANDS}
        stale = [key for key in table if key not in told and key[0] in present]
        assert stale == [], "no such command any more"
    assert set(WALKED) <= present
    for page, test in WALKED.items():
        assert page.split("/")[1] in (ROOT / "tests" / test).read_text(encoding="utf-8")


@pytest.mark.parametrize("command", sorted(set(OURS)), ids=lambda c: f"{c.page}: {c.line[:60]}")
def test_the_program_knows_its_options(command):
    name, given = parsed(words_of(command.line))
    if name in ("run", "tune") or "recipes" in given:
        names = given["recipes"] if "recipes" in given else [given["recipe"]]
        for recipe in names or ():
            wrong = "wrong" in recipe or "unsen" in command.line
            if recipe in shipped() and not wrong:
                read(recipe, discover(), given["settings"] or ())
            elif recipe == "mine.toml" and not wrong:
                read("quickstart", discover(), given["settings"] or ())
            else:
                assert recipe.endswith(".toml"), recipe


@pytest.mark.parametrize(
    "command", sorted({c for c in COMMANDS if c not in OURS}), ids=lambda c: c.line[:60]
)
def test_what_other_programs_are_given_is_there(command):
    words = shlex.split(command.line, comments=True)
    if words[0] == "make":
        assert words[1] in TARGETS
    elif words[0].startswith("python") and words[1] != "-m":
        text = (ROOT / words[1]).read_text(encoding="utf-8")
        libraries = "\n".join(p.read_text(encoding="utf-8") for p in ROOT.glob("benchmarks/*.py"))
        for option in re.findall(r" (--[\w-]+)", command.line):
            assert f'"{option}"' in text + libraries, option
    elif words[:2] == ["pip", "install"]:
        for extras in re.findall(r"(?:mmalign|\.)\[([\w,]+)\]", command.line):
            assert set(extras.split(",")) <= set(EXTRAS)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the files that the light commands are of."""
    folder = tmp_path_factory.mktemp("light")
    quickstart = shipped()["quickstart"].read_text(encoding="utf-8")
    (folder / "mine.toml").write_text(quickstart, encoding="utf-8")
    (folder / "wrong.toml").write_text(quickstart.replace("latent", "latend"), encoding="utf-8")
    return folder


LIGHT_ONES = sorted({(c.page, c.line) for c in COMMANDS if light(c) and c.page not in WALKED})


@pytest.mark.parametrize(("page", "line"), LIGHT_ONES, ids=lambda each: each[:60])
def test_light_ones_run_here(place, page, line):
    words = words_of(line)
    if words[0] == "cp":
        (place / words[-1]).unlink(missing_ok=True)
    done = call(*words, cwd=place)
    assert done.returncode == (2 if "wrong" in line else 0), done.stderr
