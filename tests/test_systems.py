"""The base of the comparison systems: rows, choices, the oracle, and what is refused."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
import torch
from commands import call, only, refused
from helpers import modalities, source
from torch import Tensor

from mmalign import (
    Epoch,
    MmalignError,
    Parts,
    Protocol,
    Session,
    System,
    View,
    component,
    pose,
    scale,
    validation,
)
from mmalign.systems.fitted import FittedSystem
from mmalign.systems.rows import rows_of


@dataclass(frozen=True)
class Shift:
    """The nearest class mean, with the unseen classes' scores moved by a number."""

    by: Tensor
    weight: Tensor

    def scores(self, x, asked):
        near = -torch.cdist(asked.descriptions @ self.weight, x).T
        return near + torch.where(asked.known, 0.0, self.by)

    def state(self):
        return {"by": self.by, "weight": self.weight}


@component
class Toy(System):
    """Regresses features on descriptions; epoch e moves unseen scores by (e - 3) * step."""

    name: ClassVar[str] = "toy"
    open: ClassVar[tuple[str, ...]] = ("step",)
    step: float | tuple[float, ...] = 1.0
    epochs: int = 5
    broken: float = float(2**40)

    def train(self, rows, session) -> Iterator[Epoch]:
        weight = torch.linalg.lstsq(rows.descriptions[rows.labels], rows.x).solution
        for number in range(1, self.epochs + 1):
            by = torch.tensor((number - 3) * self.step)
            if self.step == self.broken:
                by = by * float("nan")
            yield Epoch(number, lambda by=by: Shift(by, weight), {"loss": 1 / number})

    def model(self, state: Mapping[str, Tensor]) -> Shift:
        return Shift(state["by"], state["weight"])


GIVEN = source(validation_classes=np.array([2, 3]))
PARTS = Parts(modalities())


def posed(given=GIVEN, **protocol):
    return pose(given, given.arrays, PARTS.modalities, Protocol(**protocol))


def fitted(system, told=None, **session):
    end = told.append if told is not None else lambda _: None
    session = Session(0, epoch_ended=lambda *said: end(said), **session)
    return system.fit(posed().training, PARTS, session)


def with_view(name, view):
    return replace(GIVEN, arrays={**GIVEN.arrays, name: view})


def test_the_epoch_and_the_step_are_those_of_brute_force_on_validation():
    system = Toy(step=(2.0, 5.0))
    chosen = fitted(system).chosen
    problem = scale(validation(posed().training, 0), PARTS.modalities)
    best = {"H": (-1.0, None), "T1": (-1.0, None)}
    for step in system.step:
        for epoch in range(1, 6):
            one = Toy(step=step, epochs=epoch, select="last")
            made = one.fit(problem.training, PARTS, Session(0))
            question = problem.question
            scores = made.scores(question.views, question.search.tolist())
            right = question.search[scores.argmax(1)] == question.labels
            sides = [
                np.mean([right[question.labels == c].mean() for c in side])
                for side in (question.seen, question.unseen)
            ]
            h = 2 * sides[0] * sides[1] / max(sum(sides), 1e-9)
            if h > best["H"][0]:
                best["H"] = (h, (step, epoch))
    assert (chosen["H"]["step"], chosen["H"]["epoch"]) == best["H"][1]
    assert chosen["H"]["value"] == pytest.approx(best["H"][0], abs=1e-5)
    assert chosen["by"] == "validation"


def test_of_equally_good_choices_the_first_is_taken():
    # T1 searches unseen classes alone, all of which are moved alike: every epoch is as good.
    assert fitted(Toy()).chosen["T1"]["epoch"] == 1


def test_the_model_is_that_of_the_chosen_epoch_trained_on_all_rows():
    made = fitted(Toy(step=(2.0, 5.0)))
    chosen = made.chosen["H"]
    again = fitted(Toy(step=chosen["step"], epochs=chosen["epoch"], select="last"))
    assert float(made.all.by) == float(again.all.by)
    torch.testing.assert_close(made.all.weight, again.all.weight)
    assert float(made.alone.by) != float(made.all.by)


def test_last_takes_the_last_epoch_and_needs_no_validation():
    told = []
    made = fitted(Toy(select="last"), told)
    assert float(made.all.by) == 2.0
    assert made.alone is made.all
    assert {stage for stage, *_ in told} == {"training"}
    assert made.chosen == {}


def test_last_chooses_hyperparameters_at_the_last_epoch():
    told = []
    made = fitted(Toy(select="last", step=(0.01, 1.0)), told)
    assert made.chosen["H"]["epoch"] == 5
    assert [epoch for stage, epoch, *_ in told if stage == "validation"] == [5, 10]


def test_a_candidate_that_diverges_is_out():
    made = fitted(Toy(step=(Toy.broken, 0.01)))
    assert made.chosen["H"]["step"] == 0.01
    with pytest.raises(MmalignError, match="'toy' diverged with every one"):
        fitted(Toy(step=(Toy.broken,), select="validation"))


def test_progress_counts_all_candidates_as_one_stage():
    told = []
    fitted(Toy(step=(0.01, 1.0)), told)
    places = [(epoch, epochs) for stage, epoch, epochs, _ in told if stage == "validation"]
    assert places == [(place, 10) for place in range(1, 11)]
    assert {"step", "H", "T1"} == set(told[0][3])


def test_the_oracle_is_asked_only_where_the_recipe_says_so():
    seen = []

    def oracle(made):
        assert isinstance(made, FittedSystem)
        seen.append(float(made.all.by))
        value = 1.0 if made.all.by == 1.0 else 0.5
        return type("Measures", (), {"H": value, "T1": value})

    made = fitted(Toy(select="test-oracle"), oracle=oracle)
    assert float(made.all.by) == 1.0
    assert seen == [-2.0, -1.0, 0.0, 1.0, 2.0]
    seen.clear()
    fitted(Toy(), oracle=oracle)
    assert seen == []
    with pytest.raises(MmalignError, match="none were handed over"):
        fitted(Toy(select="test-oracle"))


def test_shots_are_rows_like_any_other():
    training = posed(shots=2).training
    rows = rows_of(training, "cpu")
    assert rows.known == (0, 1, 2, 3, 4, 5)
    assert rows.unseen == (4, 5)
    assert torch.bincount(rows.labels).tolist() == [10] * 4 + [2] * 2
    shown = posed(shots=2, shots_in_representation=True).training
    torch.testing.assert_close(rows_of(shown, "cpu").x.sort(0).values, rows.x.sort(0).values)


def test_modalities_stand_side_by_side_in_the_order_of_their_names():
    more = View(np.arange(len(GIVEN.labels), dtype=np.float32)[:, None], "sample")
    words = View(np.arange(6, dtype=np.float32)[:, None], "class")
    given = replace(GIVEN, arrays={"words": words, "a": more, **GIVEN.arrays})
    small = type(PARTS.modalities["image"])
    parts = {n: small(array=n) for n in ("words", "image", "attributes", "a")}
    training = pose(given, given.arrays, parts, Protocol()).training
    rows = rows_of(training, "cpu")
    assert rows.x.shape == (40, 6)
    assert rows.x[:, 0].tolist() == GIVEN.splits.train.tolist()
    assert rows.descriptions[:, 3].tolist() == [0, 1, 2, 3, 4, 5]
    assert rows.targets.tolist() == rows.labels.tolist()


def test_a_row_that_lacks_a_feature_does_not_train_and_is_not_scored():
    mask = np.ones(len(GIVEN.labels), dtype=bool)
    mask[0] = False
    values = GIVEN.arrays["image"].values.copy()
    values[0] = np.nan
    rows = rows_of(posed(with_view("image", View(values, "sample", mask))).training, "cpu")
    assert len(rows.x) == 39
    assert torch.isfinite(rows.x).all()
    asked = View(values[:2], "sample", mask[:2])
    with pytest.raises(MmalignError, match="row 0 lacks one of image"):
        fitted(Toy()).scores({"image": asked}, [0])
    with pytest.raises(MmalignError, match="scores rows by image; got attributes"):
        fitted(Toy()).scores({"attributes": GIVEN.arrays["attributes"]}, [0])


def test_a_class_without_description_or_without_rows_is_named():
    mask = np.array([True] * 5 + [False])
    view = View(GIVEN.arrays["attributes"].values, "class", mask)
    with pytest.raises(MmalignError, match="'u' has no description: it lacks attributes"):
        rows_of(posed(with_view("attributes", view)).training, "cpu")
    mask = GIVEN.labels != 1
    view = View(GIVEN.arrays["image"].values, "sample", mask)
    with pytest.raises(MmalignError, match="no training row of the class 'q' has all of image"):
        rows_of(posed(with_view("image", view)).training, "cpu")


@pytest.mark.parametrize("kept", ["image", "attributes"])
def test_both_kinds_of_modality_are_needed(kept):
    only = {kept: PARTS.modalities[kept]}
    training = pose(GIVEN, {kept: GIVEN.arrays[kept]}, only, Protocol()).training
    with pytest.raises(MmalignError, match=r"this method needs a (class|sample)-level modality"):
        rows_of(training, "cpu")


def test_losses_and_heads_are_refused():
    from mmalign_gzsl.softmax import Softmax

    problems = Toy().check(replace(PARTS, head=Softmax()))
    assert problems == ["head: the method 'toy' is trained by its own loss; leave it out"]


def test_tensors_of_another_shape_are_refused():
    made = fitted(Toy())
    signature = posed().training.signature
    state = dict(made.state())
    back = Toy().restore(state, signature, PARTS)
    asked = {"image": GIVEN.arrays["image"].take(np.arange(5))}
    assert np.array_equal(back.scores(asked, range(6)), made.scores(asked, range(6)))
    assert np.array_equal(back.scores(asked, [4, 5]), made.scores(asked, [4, 5]))
    for name, tensor in (
        ("all.weight", torch.zeros(4, 5)),
        ("descriptions", torch.zeros(6, 4)),
        ("descriptions", torch.zeros(5, 3)),
        ("known", torch.tensor([[0.5]])),
    ):
        with pytest.raises(MmalignError, match="do not fit its configuration"):
            Toy().restore({**state, name: tensor}, signature, PARTS)
    with pytest.raises(MmalignError, match="surplus tensor 'other'"):
        Toy().restore({**state, "other": torch.zeros(1)}, signature, PARTS)


RECIPE = """
[dataset]
use = "synthetic"
seen = 6
validation = 2
unseen = 3
samples = 6
[modality.image]
use = "image"
[modality.attributes]
use = "attributes"
[method]
use = "eszsl"
gamma = [0.1, 1.0]
lam = 0.1
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "mine.toml").write_text(RECIPE)
    return tmp_path


def test_a_system_runs_says_what_it_chose_and_predicts(recipe):
    out = call("run", "mine.toml", cwd=recipe).stdout
    assert "chosen by H: gamma" in out
    assert "ORACLE" not in out
    report = json.loads(next(recipe.glob("runs/mine/*/report.json")).read_text())
    assert report["runs"][0]["facts"]["chosen"]["by"] == "validation"
    np.save(recipe / "rows.npy", np.zeros((2, report_dim(recipe)), np.float32))
    said = call("predict", only(recipe / "runs" / "mine"), "rows.npy", "--top", 9, cwd=recipe)
    assert said.returncode == 0
    assert len(said.stdout.splitlines()) == 1 + 2 * 9


def report_dim(folder):
    config = json.loads(next(folder.glob("runs/mine/*/model/config.json")).read_text())
    return config["signature"]["dims"]["image"]


def test_an_oracle_is_called_one_in_the_first_line_everywhere(recipe):
    out = call("run", "mine.toml", "--set", "method.select=test-oracle", cwd=recipe).stdout
    first = next(line for line in out.splitlines() if not line.startswith("seed 0 (1/1)"))
    assert first.startswith("warning: ORACLE: the epoch and the hyper-parameters were chosen on")
    folder = next(recipe.glob("runs/mine/*"))
    assert json.loads((folder / "report.json").read_text())["notes"][0].startswith("ORACLE")
    card = (folder / "model" / "README.md").read_text().split("---\n")[2].splitlines()
    assert "ORACLE" in next(line for line in card if line and not line.startswith("#"))
    assert "mine (oracle)" in call("table", "mine", cwd=recipe).stdout


def test_a_value_that_no_hyperparameter_can_have_is_refused(recipe):
    said = refused("run", "mine.toml", "--set", "method.gamma=[1.0, -1.0]", cwd=recipe)
    assert "method.gamma" in said
    said = refused("run", "mine.toml", "--set", "method.gamma=[]", cwd=recipe)
    assert "method.gamma" in said
