"""A run that was killed goes on to the same bits, wherever it was killed."""

import json
import random
import re
import subprocess
import time
import tomllib
from dataclasses import replace

import pytest
import torch
from commands import PROGRAM, call, only, refused
from killing import PLACES, After, During, survived
from rich.console import Console
from test_sweep import BASE

from mmalign.checkpoints import Checkpoints
from mmalign.errors import MmalignError
from mmalign.lock import locked
from mmalign.loop import Loop
from mmalign.plugins import discover
from mmalign.recipe import assemble
from mmalign.run import run
from mmalign.types import Session
from mmalign.unfinished import UNFINISHED, is_unfinished, latest

RECIPES = {
    "two seeds": {"run": {"seeds": [3, 0]}},
    "shuffled": {"method": {"draw": "shuffle", "noise": "independent", "clip": 1.0}},
    "few-shot": {
        "protocol": {"shots": 1, "draws": 2},
        "head": {"use": "few-shot", "most_epochs": 3},
    },
    "as one": {"run": {"seeds": 2, "together": True}},
}


KILLS = {"fsync": (7, 20), "rename": (4, 9), "checkpoint": (2,), "export": (1,), "card": (3,)}


def recipe_of(name, registry):
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
        if path.name == "report.html":  # says the seconds, and the folder's name
            seconds = rb'<dt class="name">seconds</dt><dd>[0-9.]+</dd>'
            content, count = re.subn(seconds, b"", content.replace(folder.name.encode(), b""))
            assert count == 1
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
    """What is in the folders of the runs that came to their end: two, where one was killed after
    its end. What was killed before its recipe was written is no run."""
    ended = [each for each in (out / "mine").iterdir() if (each / "report.json").exists()]
    assert ended
    return [files_of(each) for each in ended]


def test_what_was_killed_after_its_end_is_cleared_away(tmp_path):
    for name, more in (("ended", ()), ("buggy", ("seed-1/error.txt",)), ("begun", ())):
        kept = tmp_path / name / "unfinished"
        for each in ("lock", *more):
            (kept / each).parent.mkdir(parents=True, exist_ok=True)
            (kept / each).touch()
        (tmp_path / name / "recipe.toml").touch()
        if name != "begun":
            (tmp_path / name / "report.json").touch()
    assert latest(tmp_path) == tmp_path / "begun"
    assert not (tmp_path / "ended" / "unfinished").exists()
    assert (tmp_path / "ended" / "report.json").exists()
    assert (tmp_path / "buggy" / "unfinished" / "seed-1" / "error.txt").exists()


def killed_at(place, calls, case, registry, out):
    recipe, whole, _ = case
    kills = [During(place, n) for n in calls]
    assert killed_until_done(recipe, registry, out, kills) > 0
    assert all(each == files_of(whole) for each in ends_of(out))


@pytest.mark.parametrize("place", PLACES)
def test_killed_at_every_place_on_its_way(case, registry, tmp_path, place):
    """Of 50 kills and more, with the slow ones, these are those that take a few seconds."""
    killed_at(place, KILLS[place], case, registry, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("place", PLACES)
def test_killed_at_many_calls_of_every_place(case, registry, tmp_path, place):
    killed_at(place, (1, 2, 3, 5, 8, 13, 21), case, registry, tmp_path)


def test_killed_at_random_moments(case, registry, tmp_path):
    recipe, whole, seconds = case
    draw = random.Random(0)
    kills = [After(draw.uniform(0.1, 1.1) * seconds) for _ in range(2)]
    killed_until_done(recipe, registry, tmp_path, kills)
    assert all(each == files_of(whole) for each in ends_of(tmp_path))


def trained(session, epochs=5):
    """A loop of every kind of state; its weights, and which epochs it really did."""
    net, order = torch.nn.Linear(3, 2), session.generator("order")
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.rand(parameter.shape, generator=order))
    adam = torch.optim.Adam(net.parameters(), amsgrad=True, fused=True)
    total, twice, done = torch.zeros(2), torch.zeros(1), []
    state = {"net": net, "adam": adam, "order": order, "total": total, "more": {"twice": twice}}
    loop = Loop(session, "test", epochs, state)
    for epoch in loop:
        adam.zero_grad()
        loss = net(torch.rand(4, 3, generator=order)).square().sum()
        loss.backward()
        adam.step()
        total += loss.detach()
        twice += 2 * loss.detach()
        done.append(epoch)
        loop.ended({"loss": float(loss.detach())})
    return [*net.state_dict().values(), total, twice], done


class StopError(Exception):
    """Where a test kills a loop."""


def stopped_at(folder, last, every=0.0, clock=time.monotonic):
    """Train, and stop when this epoch was told, before its checkpoint."""

    def told(stage, epoch, epochs, terms):
        if epoch == last:
            raise StopError

    with pytest.raises(StopError):
        trained(Session(0, epoch_ended=told, checkpoints=Checkpoints(folder, every, clock)))


def test_a_loop_goes_on_with_its_state_and_tells_of_the_epochs_before(tmp_path):
    whole, _ = trained(Session(0))
    stopped_at(tmp_path, 4)
    heard = []
    again = Session(0, epoch_ended=lambda *said: heard.append(said[1]))
    weights, done = trained(replace(again, checkpoints=Checkpoints(tmp_path, 0)))
    assert done == [3, 4]
    assert heard == [1, 2, 3, 4, 5]
    assert all(torch.equal(one, other) for one, other in zip(weights, whole, strict=True))


def test_two_checkpoints_are_kept_and_a_damaged_one_is_passed_over(tmp_path):
    stopped_at(tmp_path, 5)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["test-1.000003.safetensors", "test-1.000004.safetensors"]
    last = tmp_path / kept[-1]
    content = bytearray(last.read_bytes())
    content[-3] ^= 1  # a bit of a number: still a file of tensors
    last.write_bytes(content)
    whole, _ = trained(Session(0))
    weights, done = trained(Session(0, checkpoints=Checkpoints(tmp_path, 1e9)))
    assert done == [3, 4]
    assert all(torch.equal(one, other) for one, other in zip(weights, whole, strict=True))
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:-1])
    assert trained(Session(0, checkpoints=Checkpoints(tmp_path, 1e9)))[1] == [0, 1, 2, 3, 4]


def test_a_checkpoint_is_written_when_its_seconds_have_passed(tmp_path):
    ticks = iter(range(0, 1000, 4))  # a clock that goes on by 4 whenever it is read
    stopped_at(tmp_path, 5, every=7, clock=lambda: next(ticks))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "test-1.000002.safetensors",
        "test-1.000004.safetensors",
    ]
    ticks = iter(range(1000, 0, -1))  # and one that goes backwards: none is due, none is lost
    stopped_at(tmp_path / "back", 5, every=7, clock=lambda: next(ticks))
    assert not (tmp_path / "back").exists()


def test_a_state_that_is_not_finite_is_never_kept(tmp_path):
    bad = torch.tensor([1.0, float("nan")])
    loop = Loop(Session(0, checkpoints=Checkpoints(tmp_path, 0)), "test", 2, {"bad": bad})
    assert next(iter(loop)) == 0
    with pytest.raises(MmalignError, match="after epoch 1 of the test, 'bad/' is no longer finite"):
        loop.ended({"loss": 0.0})
    assert not list(tmp_path.iterdir())


def half_done(folder, *more):
    """A run's folder that was left in its second seed, and the recipe's file."""
    (folder / "mine.toml").write_text(BASE, encoding="utf-8")
    laid = ("--set", "run.checkpoint=0", *more)

    def work():
        call("run", "mine.toml", *laid, cwd=folder)

    assert not survived(work, During("checkpoint", 3))
    return only(folder / "runs" / "mine"), laid


def test_resume_takes_the_recipe_s_last_run_or_a_folder(tmp_path):
    folder, laid = half_done(tmp_path)
    assert is_unfinished(folder)
    done = call("run", folder.relative_to(tmp_path), "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"report and model: {folder}" in done.stdout
    assert not (folder / UNFINISHED).exists()
    again = call("run", "mine.toml", *laid, "--resume", cwd=tmp_path)
    assert "no run of it was left in the middle; this is a new one" in again.stdout
    first, second = sorted((tmp_path / "runs" / "mine").iterdir())
    assert files_of(first) == files_of(second)
    said = refused("run", first, "--resume", cwd=tmp_path)
    assert said == f"error: {first}: no run that was left in the middle\n"


def test_what_has_changed_since_is_named(tmp_path):
    folder, laid = half_done(tmp_path)
    said = refused("run", "mine.toml", *laid, "--set", "method.lr=0.1", "--resume", cwd=tmp_path)
    assert "  recipe.method.lr: 0.00015 then, 0.1 now" in said.splitlines()
    assert said.splitlines()[-1] == "  leave out --resume to begin anew"
    said = refused("run", folder, "--resume", "--set", "method.lr=0.1", cwd=tmp_path)
    assert "it goes on with its own settings" in said
    same = folder / UNFINISHED / "seed-0" / "same.json"
    then = json.loads(same.read_text())
    then["versions"]["torch"] = "1.0"
    same.write_text(json.dumps(then))
    said = refused("run", "mine.toml", *laid, "--resume", cwd=tmp_path)
    assert f'versions.torch: "1.0" then, "{torch.__version__}" now' in said
    assert is_unfinished(folder)


def test_two_do_not_go_on_with_one_run(tmp_path):
    folder, laid = half_done(tmp_path)
    with locked(folder / UNFINISHED, "run"):
        said = refused("run", "mine.toml", *laid, "--resume", cwd=tmp_path)
    assert "another run is at work here" in said


@pytest.mark.slow
def test_seeds_in_processes_go_on_too(tmp_path):
    """Its processes die with it, and the next one finds what each seed kept."""
    (tmp_path / "mine.toml").write_text(BASE, encoding="utf-8")
    laid = ("--set", "run.seeds=[3, 1]", "--set", "method.epochs=60", "--set", "run.checkpoint=0")
    whole = call("run", "mine.toml", *laid, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    command = [PROGRAM, "run", "mine.toml", *laid, "--workers", "1"]
    running = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not list(tmp_path.glob("runs/mine/*/unfinished/seed-3/representation-1.00004*")):
        assert time.monotonic() < until, "no checkpoint after two minutes"
        time.sleep(0.01)
    running.kill()
    running.wait()
    done = call("run", "mine.toml", *laid, "--resume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert files_of(only(tmp_path / "runs" / "mine")) == files_of(only(tmp_path / "whole" / "mine"))
