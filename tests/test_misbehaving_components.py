"""Components of a recipe that give what no component should: one sentence that names them."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import SMALL, call, only, refused, report_of
from misbehaving import WHO, component, forget, install

from mmalign import MmalignError, Session, Source, Splits, View
from mmalign.answering import answer
from mmalign.checked import loaded
from mmalign.plugins import discover
from mmalign.recipe import read

QUICK = (*SMALL, "--seeds", 1, "--set", "loss.distribution.weight=1.0")
USE = {
    "datasets": 'dataset.use="bad"',
    "modalities": 'modality.image.use="bad"',
    "losses": 'loss.distribution.use="bad"',
    "heads": 'head.use="bad"',
    "methods": 'method.use="bad"',
}
BASES = {
    "datasets": ("Synthetic", "mmalign_synthetic.dataset"),
    "modalities": ("Image", "mmalign_image.modality"),
    "losses": ("Wasserstein", "mmalign"),
    "heads": ("Softmax", "mmalign_gzsl.softmax"),
    "methods": ("AlignedVAE", "mmalign_aligned_vae.method"),
}
FITTED = """
    def fit(self, training, parts, session):
        fitted = super().fit(training, parts, session)
        return Fit(fitted)
"""
FIT = """
import dataclasses
from types import SimpleNamespace

def Fit(fitted):
    def scores(views, classes):
        found = fitted.scores(views, classes)
        return {scores}
    made = SimpleNamespace(scores=scores, state=fitted.state, facts=dict(fitted.facts))
    {more}
    return made
"""


def fitted(scores: str = "found", more: str = "pass") -> tuple[str, str]:
    return FITTED, FIT.format(scores=scores, more=more)


# Kind, what the component does (and what stands above it), what is said.
WRONG: dict[str, tuple[str, str | tuple[str, str], str]] = {
    "load: dict": (
        "datasets",
        "def load(self): return {}",
        "load() gave an object of type dict; a mmalign.Source was expected",
    ),
    "load: none": (
        "datasets",
        "def load(self): pass",
        "load() gave nothing (None); a mmalign.Source was expected",
    ),
    "load: exit": (
        "datasets",
        "def load(self): raise SystemExit('no data')",
        "load() would end the program (sys.exit('no data'))",
    ),
    "view: list": (
        "modalities",
        "def view(self, source): return [[1.0]]",
        "view() gave an object of type list; a mmalign.View was expected",
    ),
    "view: list inside": (
        "modalities",
        "def view(self, source): return View([[1.0]], 'sample')",
        "a view's values are a numpy array or Stored rows, not list",
    ),
    "view: float64": (
        "modalities",
        "def view(self, source): return View(super().view(source).values.astype('f8'), 'sample')",
        "view() gave numbers of float64; float32 was expected",
    ),
    "view: too few": (
        "modalities",
        "def view(self, source): return super().view(source).take(np.arange(3))",
        "view() gave 3 rows; one for each of",
    ),
    "view: level": (
        "modalities",
        "def view(self, source):\n"
        "    found = super().view(source)\n"
        "    object.__setattr__(found, 'level', 'rows')\n"
        "    return found",
        'view() gave the level \'rows\'; "sample" or "class" was expected',
    ),
    "view: mask": (
        "modalities",
        "def view(self, source):\n"
        "    found = super().view(source)\n"
        "    return View(found.values, 'sample', np.ones(len(found)))",
        "a view's mask is an array of bool, not float64",
    ),
    "loss: number": (
        "losses",
        "def __call__(self, p, q): return 1.0",
        "a call gave an object of type float; a tensor was expected",
    ),
    "loss: sum": (
        "losses",
        "def __call__(self, p, q): return (p.mean - q.mean).square().sum()",
        "a call gave the shape (); the shape (",
    ),
    "loss: column": (
        "losses",
        "def __call__(self, p, q): return p.mean - q.mean",
        "a call gave the shape (",
    ),
    "head: fit": (
        "heads",
        "def fit(self, latents, session): pass",
        "fit() gave nothing (None); a fitted head, with scores() and state(), was expected",
    ),
    "head: tuned": (
        "heads",
        "def tuned(self, latents, measure, session): return self",
        "tuned() gave an object of type Bad; a head and facts, as a tuple, was expected",
    ),
    "head: scores": (
        "heads",
        (
            "def fit(self, latents, session): return Fit(super().fit(latents, session))\n"
            "def tuned(self, latents, measure, session):\n"
            "    return dataclasses.replace(self, epochs=1, epochs_unseen_only=1), {}",
            FIT.format(scores="found[:, :1]", more="pass").replace("views", "z"),
        ),
        "scores() gave the shape (",
    ),
    "method: fit": (
        "methods",
        "def fit(self, training, parts, session): pass",
        "fit() gave nothing (None); something that has scores() and state() was expected",
    ),
    "method: check": (
        "methods",
        "def check(self, parts): pass",
        "check() gave nothing (None); a list of sentences was expected",
    ),
    "method: list": (
        "methods",
        fitted("found.tolist()"),
        "scores() gave an object of type list; a numpy array of float32 was expected",
    ),
    "method: whole numbers": (
        "methods",
        fitted("found.astype(int)"),
        "scores() gave an array of int64; a numpy array of float32 was expected",
    ),
    "method: shape": (
        "methods",
        fitted("found.T"),
        "scores() gave the shape (",
    ),
    "method: NaN": (
        "methods",
        fitted("found * np.nan"),
        "scores() gave NaN or infinity; a finite score for each class was expected",
    ),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, as site-packages is; its modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("MMALIGN_PLUGINS", raising=False)
    yield tmp_path
    forget(tmp_path)


def bad(folder: Path, kind: str, body: str | tuple[str, str]) -> tuple[str, str]:
    """Install the component; the setting that uses it."""
    body, more = (body, "") if isinstance(body, str) else body
    install(folder, component(*BASES[kind], kind, body, more))
    return "--set", USE[kind]


@pytest.mark.parametrize(("kind", "body", "said"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_answer_is_one_sentence(
    kind: str, body: str | tuple[str, str], said: str, folder: Path
) -> None:
    setting = bad(folder, kind, body)
    wrong = refused("run", "synthetic", *QUICK, *setting, cwd=folder)
    assert said in wrong
    if "a view's " not in said:  # which View itself says
        assert f"'bad' ({WHO}): " in wrong


RAISING = {
    "load": ("datasets", "def load(self): raise KeyError('x')", "load() of dataset"),
    "view": ("modalities", "def view(self, source): raise KeyError('x')", "view() of modality"),
    "call": ("losses", "def __call__(self, p, q): raise KeyError('x')", "a call of loss"),
    "head": ("heads", "def fit(self, latents, session): raise KeyError('x')", "fit() of head"),
    "fit": ("methods", "def fit(self, *of): raise KeyError('x')", "fit() of method"),
    "check": ("methods", "def check(self, parts): raise KeyError('x')", "check() of method"),
    "fields": (
        "modalities",
        "def __post_init__(self): raise KeyError('x')",
        "the reading of [modality.image] of modality",
    ),
}


@pytest.mark.parametrize(("kind", "body", "where"), RAISING.values(), ids=RAISING.keys())
def test_an_exception_keeps_its_traceback_and_says_who(
    kind: str, body: str, where: str, folder: Path
) -> None:
    setting = bad(folder, kind, body)
    with pytest.raises(KeyError) as caught:
        call("run", "synthetic", *QUICK, *setting, cwd=folder)
    assert caught.value.__notes__[0] == f"raised in {where} 'bad' ({WHO})"
    assert "bad_module.py" in str(caught.traceback[-1].path)


def test_a_mistake_of_the_users_stays_one_sentence(folder: Path) -> None:
    setting = bad(folder, "datasets", "def load(self): raise MmalignError('no such file')")
    said = refused("run", "synthetic", *QUICK, *setting, cwd=folder)
    assert said == "error: no such file\n"


def run_of(folder: Path, kind: str, body: str | tuple[str, str]) -> tuple[Path, str, str]:
    """A run's folder and what it said; the run must come to its end."""
    done = call("run", "synthetic", *QUICK, *bad(folder, kind, body), cwd=folder)
    assert done.returncode == 0, done.stderr
    return only(folder / "runs" / "synthetic"), done.stdout, done.stderr


def test_what_components_change_is_put_back_and_in_the_report(folder: Path) -> None:
    body = """
    def view(self, source):
        import random, torch
        torch.set_default_dtype(torch.float64)
        random.seed(0)
        return super().view(source)
    """
    run, out, wrong = run_of(folder, "modalities", body)
    assert torch.get_default_dtype() == torch.float32
    (note,) = (each for each in report_of(run)["notes"] if WHO in each)
    assert note.startswith(f"modality 'bad' ({WHO}) changed ")
    assert "Python's random seed" in note
    assert "torch's default dtype in view(); put back" in note
    assert note in wrong
    assert WHO in " ".join(out.split())


def test_the_numbers_are_those_of_a_run_without_the_change(folder: Path) -> None:
    """A method that changes the default dtype and the threads, after it has fitted."""
    body = """
    def fit(self, training, parts, session):
        import torch
        fitted = super().fit(training, parts, session)
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(2)
        return fitted
    """
    run, _, _ = run_of(folder, "methods", body)
    call("run", "synthetic", *QUICK, "--out", "sound", cwd=folder)
    sound = only(folder / "sound" / "synthetic")
    assert report_of(run)["runs"] == report_of(sound)["runs"]
    assert report_of(run)["summary"] == report_of(sound)["summary"]
    (note,) = (each for each in report_of(run)["notes"] if WHO in each)
    assert "torch's default dtype, torch's number of threads in fit(); put back" in note


def test_what_components_print_is_no_output_of_ours(folder: Path) -> None:
    body = """
    def fit(self, training, parts, session):
        print("fitting")
        return super().fit(training, parts, session)
    """
    _, out, wrong = run_of(folder, "methods", body)
    assert "fitting" not in out
    assert "epoch 2/2" in out  # ours, while the method fits
    assert f"method 'bad' ({WHO}) says: fitting" in wrong


FACTS = {
    "NaN": ("made.facts['odd'] = float('nan')", "its fact 'odd' is left out"),
    "no JSON": ("made.facts['odd'] = {1, 2}", "its fact 'odd' is left out"),
    "raising": ("del made.facts", "its facts are left out of the report; they raised Attribute"),
    "none": ("made.facts = None", "its facts are left out of the report; they raised TypeError"),
}


@pytest.mark.parametrize("fault", FACTS)
def test_facts_that_are_no_json_lose_no_run(fault: str, folder: Path) -> None:
    more, why = FACTS[fault]
    run, _, _ = run_of(folder, "methods", fitted(more=more))
    report = report_of(run)
    assert [note for note in report["notes"] if why in note and WHO in note]
    assert "odd" not in report["runs"][0]["facts"]
    assert math.isfinite(report["summary"]["H"]["mean"])
    assert (run / "model" / "model.safetensors").is_file()


def test_what_is_in_a_source_is_looked_at() -> None:
    def made(**changes: Any) -> Any:
        numbers = torch.arange(8).reshape(4, 2).float().numpy()
        rows = torch.arange(4).numpy()
        given = {
            "name": "tiny",
            "classes": ("a", "b"),
            "labels": rows % 2,
            "arrays": {"image": View(numbers, "sample")},
            "splits": Splits(rows[:2], rows[2:3], rows[3:]),
        }

        class Tiny:
            name = "tiny"

            def load(self) -> Source:
                source = Source(**given)  # type: ignore[arg-type]
                for name, value in changes.items():  # past what the tests' beartype would see
                    object.__setattr__(source, name, value)
                return source

        return Tiny()

    loaded(made(), {})
    rows = torch.arange(4).numpy()
    for changes, said in (
        ({"labels": [0, 1, 0, 1]}, "an object of type list as labels; a row of indices"),
        ({"labels": rows}, "3 in labels; an index from 0 to 1"),
        ({"labels": rows - 1}, "2 in labels; an index from 0 to 1"),
        ({"splits": Splits(rows, rows + 4, rows)}, "7 in splits.test_seen; an index from 0 to 3"),
        ({"splits": (rows, rows, rows)}, "an object of type tuple as splits; mmalign.Splits"),
    ):
        with pytest.raises(MmalignError, match="'tiny'") as caught:
            loaded(made(**changes), {})
        assert said in str(caught.value)


def test_a_fit_that_is_interrupted_is_nobodys_fault(folder: Path) -> None:
    setting = bad(folder, "methods", "def fit(self, *of): raise KeyboardInterrupt")
    recipe = read("synthetic", discover(), [*SMALL[1::2], setting[1]])
    source, views = loaded(recipe.dataset, recipe.parts.modalities)
    with pytest.raises(KeyboardInterrupt):
        answer(recipe, source, views, Session(0))
