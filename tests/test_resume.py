"""A run that was killed goes on to the same bits, wherever it was killed."""

import json
import random
import time

import pytest
import torch
from killing import PLACES, After, During, survived
from rich.console import Console
from test_sweep import BASE

from mmalign.plugins import discover
from mmalign.recipe import assemble
from mmalign.run import run
from mmalign.unfinished import latest

FEW_SHOTS = """
[protocol]
shots = 1
draws = 2
"""
RECIPES = {
    "two seeds": {"run": {"seeds": [3, 0]}},
    "shuffled": {"method": {"draw": "shuffle", "noise": "independent", "clip": 1.0}},
    "few-shot": {"protocol": {"shots": 1, "draws": 2}, "head": {"use": "few-shot"}},
    "as one": {"run": {"seeds": 2, "together": True}},
}


def recipe_of(name, registry):
    import tomllib

    table = tomllib.loads(BASE)
    table["run"] = {"checkpoint": 0}
    for key, values in RECIPES[name].items():
        table[key] = {**(table.get(key, {}) if "use" not in values else {}), **values}
        if key == "run":
            table[key]["checkpoint"] = 0
    return assemble("mine", table, registry)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def registry():
    return discover()


@pytest.fixture(scope="module", params=RECIPES)
def case(request, registry, tmp_path_factory):
    """A recipe, and the folder of a run of it that nobody killed, with its seconds."""
    recipe = recipe_of(request.param, registry)
    began = time.perf_counter()
    whole = run(recipe, registry, Console(quiet=True), tmp_path_factory.mktemp("whole")).folder
    return recipe, whole, time.perf_counter() - began


def files_of(folder):
    """Every file of a run, without what tells the time."""
    found = {}
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = path.read_bytes()
        if path.name == "report.json":
            report = json.loads(content)
            report.pop("seconds")
            content = json.dumps(report)
        found[path.relative_to(folder).as_posix()] = content
    return found


def go_on(recipe, registry, out):
    """Begin a run, or go on with the one that was left in the middle."""
    run(recipe, registry, Console(quiet=True), out, resume=latest(out / recipe.name))


def killed_until_done(recipe, registry, out, kills):
    """How many of these kills came before the end."""
    count = 0
    for each in kills:
        if survived(lambda: go_on(recipe, registry, out), each):
            break
        count += 1
    else:
        assert survived(lambda: go_on(recipe, registry, out))
    return count


def ends_of(out):
    """The folders of runs that came to their end; what was killed before its recipe was
    written is no run."""
    return [each for each in (out / "mine").iterdir() if (each / "report.json").exists()]


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_every_place_on_its_way(case, registry, tmp_path, place):
    recipe, whole, _ = case
    count = killed_until_done(
        recipe, registry, tmp_path, [During(place, n) for n in (1, 2, 3, 5, 8, 13)]
    )
    assert count > 0
    (folder,) = ends_of(tmp_path)
    assert files_of(folder) == files_of(whole)


def test_killed_at_random_moments(case, registry, tmp_path):
    recipe, whole, seconds = case
    draw = random.Random(0)
    kills = [After(draw.uniform(0.1, 1.1) * seconds) for _ in range(4)]
    killed_until_done(recipe, registry, tmp_path, kills)
    (folder,) = ends_of(tmp_path)
    assert files_of(folder) == files_of(whole)
