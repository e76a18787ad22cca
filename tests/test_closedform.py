"""The closed-form heads: prototypes by brute force, ridge by its normal equations."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from commands import SMALL, call, refused
from helpers import generator, numbers

from mmalign import Latents, MmalignError, Session, Signature
from mmalign_closedform.prototype import Prototype
from mmalign_closedform.regression import regression
from mmalign_closedform.ridge import Ridge

CLASSES = (1, 2, 5, 7)
SEEN, UNSEEN = (1, 5), (2, 7)
SIGNATURE = Signature(tuple("abcdefgh"), SEEN, UNSEEN, {}, {})
DIM = 3
HEADS = [Prototype(metric=each) for each in ("euclidean", "cosine", "mahalanobis")]
HEADS += [Ridge(regulariser=0.1, regulariser_unseen_only=0.2)]
IDS = ["euclidean", "cosine", "mahalanobis", "ridge"]


@dataclass
class Blobs:
    """Latents around a point for each class, those of shots a little apart; in float64."""

    seen: tuple[int, ...] = SEEN
    unseen: tuple[int, ...] = UNSEEN
    dim: int = DIM
    shots: int = 0
    spread: float = 0.3
    without: tuple[int, ...] = ()
    levels: ClassVar = {"image": "sample", "sound": "sample", "attributes": "class"}
    asked: list[tuple] = field(default_factory=list)

    def draw(self, modalities, classes, count, purpose, rows="training"):
        self.asked.append((tuple(modalities), tuple(classes), count, purpose, rows))
        labels = [index for index in classes if index not in self.without for _ in range(count)]
        centres = 2 * numbers(8, self.dim, seed=1) + (rows == "shots")
        noise = torch.randn(len(labels), self.dim, generator=generator(len(self.asked))).double()
        return centres[labels] + self.spread * noise, torch.tensor(labels, dtype=torch.int64)


def drawn_again(head, **latents):
    """What a fit of this head draws."""
    blobs = Blobs(**latents)
    head.fit(blobs, Session(0))
    again = Blobs(**latents)
    parts = [again.draw(*asked) for asked in blobs.asked if asked[3] == "head.all"]
    return torch.cat([z for z, _ in parts]), torch.cat([of for _, of in parts])


def test_the_stand_in_is_latents():
    assert isinstance(Blobs(), Latents)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "mahalanobis"])
@pytest.mark.parametrize("shots", [0, 2])
def test_the_nearest_prototype_is_that_of_brute_force(metric, shots):
    head = Prototype(metric=metric, shrinkage=0.2, seen=9, unseen=6, shots=4)
    fitted = head.fit(Blobs(shots=shots), Session(0))
    z, labels = drawn_again(head, shots=shots)
    assert len(z) == 2 * 9 + 2 * 6 + (2 * 4 if shots else 0)
    rows = {index: z[labels == index] for index in CLASSES}
    means = {index: of.mean(0) for index, of in rows.items()}
    within = sum(of.T.cov(correction=0) for of in (rows[1], rows[5])) / 2
    shrunk = 0.8 * within + 0.2 * within.trace() / DIM * torch.eye(DIM)
    asked = 2 * numbers(20, DIM, seed=8)

    def near(x, mean):
        if metric == "cosine":
            return torch.cosine_similarity(x, mean, dim=0)
        between = torch.eye(DIM).double() if metric == "euclidean" else shrunk
        return -(x - mean) @ torch.linalg.inv(between) @ (x - mean) / 2

    expected = torch.stack([torch.stack([near(x, means[c]) for c in CLASSES]) for x in asked])
    scores = fitted.scores(asked, CLASSES)
    # Scores leave a constant of the row open, but for the cosine, which is one.
    if metric != "cosine":
        scores, expected = (each - each[:, :1] for each in (scores, expected))
    torch.testing.assert_close(scores, expected)


def test_a_covariance_without_an_inverse_is_refused():
    head = Prototype(metric="mahalanobis", shrinkage=0, seen=2)
    with pytest.raises(MmalignError, match=r"cannot invert .* raise head\.shrinkage"):
        head.fit(Blobs(), Session(0))
    with pytest.raises(MmalignError, match="cannot invert"):
        Prototype(metric="mahalanobis").fit(Blobs(spread=0), Session(0))


def unbalanced(rows=40, dtype=torch.float64):
    """Latents of three classes, with very different numbers of rows."""
    labels = torch.tensor([2] * 25 + [4] * 12 + [9] * (rows - 37))
    return (numbers(rows, DIM) + labels[:, None] / 3).to(dtype), labels


@pytest.mark.parametrize("strength", [1e-4, 0.3, 50.0])
def test_ridge_satisfies_its_normal_equations(strength):
    z, labels = unbalanced()
    linear = regression(z, labels, (2, 4, 9)).solve(strength)
    targets = torch.stack([labels == index for index in (2, 4, 9)], 1).double()
    share = (targets / targets.sum(0) / 3).sum(1)  # of each row: 1 / (classes * rows of its class)
    average = share @ z
    unit = (share @ (z - average).square()).mean()
    residual = z @ linear.weight + linear.bias - targets
    by_weight = z.T @ (share[:, None] * residual) + strength * unit * linear.weight
    torch.testing.assert_close(by_weight, torch.zeros_like(by_weight), rtol=0, atol=1e-12)
    by_bias = share @ residual
    torch.testing.assert_close(by_bias, torch.zeros_like(by_bias), rtol=0, atol=1e-12)


def test_ridge_does_not_count_how_many_latents_a_class_gave():
    z, labels = unbalanced()
    more = labels == 9
    twice = torch.cat([z, z[more]]), torch.cat([labels, labels[more]])
    one, other = (regression(*each, (2, 4, 9)).solve(0.1) for each in ((z, labels), twice))
    torch.testing.assert_close(one.weight, other.weight)
    torch.testing.assert_close(one.bias, other.bias)


def test_ridge_keeps_float64s_digits_for_latents_far_from_zero():
    z, labels = unbalanced(dtype=torch.float32)
    near = regression(z, labels, (2, 4, 9)).solve(1e-4)
    far = regression(z + 1000, labels, (2, 4, 9)).solve(1e-4)
    # 1000 costs float32 three of its seven digits, in the latents themselves.
    torch.testing.assert_close(near.weight, far.weight, rtol=2e-3, atol=1e-3)
    assert near.weight.dtype == torch.float32


def test_ridge_of_latents_that_are_all_the_same_tells_nothing_apart():
    linear = regression(torch.ones(6, DIM), torch.tensor([1, 1, 1, 4, 4, 4]), (1, 4)).solve(1.0)
    scores = linear.scores(numbers(2, DIM).float(), (1, 4))
    assert torch.equal(scores, torch.full((2, 2), 0.5))


@pytest.mark.parametrize("head", HEADS, ids=IDS)
@pytest.mark.parametrize("shots", [0, 2])
def test_a_fitted_head_tells_its_classes_apart(head, shots):
    fitted = head.fit(Blobs(shots=shots), Session(0))
    z, labels = Blobs().draw(("image",), CLASSES, 20, "test")
    right = torch.tensor(CLASSES)[fitted.scores(z, CLASSES).argmax(1)] == labels
    assert right.double().mean() > 0.9  # the blobs are several of their deviations apart
    alone = torch.isin(labels, torch.tensor(UNSEEN))
    said = torch.tensor(UNSEEN)[fitted.scores(z[alone], UNSEEN).argmax(1)]
    assert (said == labels[alone]).double().mean() > 0.9


@pytest.mark.parametrize("head", HEADS, ids=IDS)
def test_restored_heads_give_the_same_bits(head):
    fitted = head.fit(Blobs(), Session(0))
    back = head.restore(fitted.state(), SIGNATURE)
    for classes in (CLASSES, UNSEEN, (7, 1)):
        z = numbers(50, DIM)
        assert torch.equal(back.scores(z, classes), fitted.scores(z, classes))
    with pytest.raises(MmalignError, match="do not fit 5 classes"):
        head.restore(fitted.state(), Signature(tuple("abcdefgh"), SEEN, (2, 3, 7), {}, {}))


@pytest.mark.parametrize("head", [Prototype(unseen=0), Ridge(unseen=0)], ids=["p", "r"])
def test_a_class_without_latents_is_refused(head):
    tuned, _ = head.tuned(Blobs(shots=1), lambda *_: 0.0, Session(0))
    with pytest.raises(MmalignError, match=r"of 2 classes .*index 2"):
        tuned.fit(Blobs(), Session(0))
    tuned.fit(Blobs(shots=1), Session(0))  # shots alone are enough


def test_heads_draw_from_what_they_name_and_from_shots_where_there_are_any():
    named = {"seen_from": ("sound",), "unseen_from": ("attributes",), "shots_from": ("image",)}
    ridge = Ridge(seen=3, unseen=4, shots=5, regulariser=1, regulariser_unseen_only=1, **named)
    latents = Blobs(shots=1)
    ridge.fit(latents, Session(0))
    described = (("attributes",), UNSEEN, 4), (("image",), UNSEEN, 5)
    assert latents.asked == [
        (("sound",), SEEN, 3, "head.all", "training"),
        (*described[0], "head.all", "training"),
        (*described[1], "head.all", "shots"),
        (*described[0], "head.unseen", "training"),
        (*described[1], "head.unseen", "shots"),
    ]
    latents = Blobs()
    Prototype(seen=3, unseen=4).fit(latents, Session(0))
    assert latents.asked == [
        (("image", "sound"), SEEN, 3, "head.all", "training"),
        (*described[0], "head.all", "training"),
    ]


def test_ridge_takes_the_first_of_the_best_regularisers():
    curves = {"H": [0.1, 0.4, 0.4], "T1": [0.2, 0.1, 0.3]}
    left = {name: iter(curve) for name, curve in curves.items()}
    head = Ridge(grid=(10, 1, 0.1))
    assert head.needs_validation
    tuned, facts = head.tuned(Blobs(), lambda _, metric: next(left[metric]), Session(0))
    assert (tuned.regulariser, tuned.regulariser_unseen_only) == (1, 0.1)
    assert not tuned.needs_validation
    assert facts == {"validation_H": curves["H"], "validation_T1": curves["T1"]}
    kept, facts = Ridge(regulariser=7, grid=(1,)).tuned(Blobs(), lambda *_: 0.0, Session(0))
    assert (kept.regulariser, kept.regulariser_unseen_only, facts.keys()) == (
        7,
        1,
        {"validation_T1"},
    )


def test_each_regulariser_is_measured_as_it_would_be_fitted():
    measured = {"H": [], "T1": []}

    def measure(scorer, metric):
        classes = CLASSES if metric == "H" else UNSEEN
        measured[metric].append(scorer.scores(numbers(6, DIM), classes))
        return 0.0

    Ridge(grid=(3, 0.3), unseen=5).tuned(Blobs(), measure, Session(0))
    for place, each in enumerate((3, 0.3)):
        fixed = Ridge(regulariser=each, regulariser_unseen_only=each, unseen=5)
        fitted = fixed.fit(Blobs(), Session(0))
        torch.testing.assert_close(measured["H"][place], fitted.scores(numbers(6, DIM), CLASSES))
        alone = Blobs(asked=[()] * 2)  # its noise goes by the number of the call
        unseen = regression(*alone.draw(("attributes",), UNSEEN, 5, ""), UNSEEN).solve(each)
        torch.testing.assert_close(measured["T1"][place], unseen.scores(numbers(6, DIM), UNSEEN))


def test_an_open_regulariser_must_be_tuned_before_a_fit():
    with pytest.raises(MmalignError, match="tuned"):
        Ridge().fit(Blobs(), Session(0))


HEAD = """
[head]
use = "{}"
seen = 20
unseen = 20
"""


@pytest.mark.parametrize("name", ["prototype", "ridge"])
@pytest.mark.parametrize("shots", [0, 1])
def test_a_recipe_runs_with_it_with_shots_and_without(name, shots, tmp_path, synthetic):
    recipe = tmp_path / "closed.toml"
    recipe.write_text(synthetic + HEAD.format(name))
    given = [*SMALL[: SMALL.index("head.most_epochs=3") - 1]]  # of another head
    given += ["--set", f"protocol.shots={shots}", "--set", "protocol.draws=2"]
    done = call("run", recipe, *given, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "harmonic mean" in done.stdout


def test_a_grid_without_numbers_is_refused(tmp_path, synthetic):
    recipe = tmp_path / "closed.toml"
    recipe.write_text(synthetic + HEAD.format("ridge") + "grid = []\n")
    assert "head.grid" in refused("run", recipe, cwd=tmp_path)


@pytest.fixture
def synthetic():
    """`synthetic` without its head."""
    from mmalign.recipe import shipped

    text = shipped()["synthetic"].read_text(encoding="utf-8")
    before, _, after = text.partition("[head]")
    return before + "[run]" + after.partition("[run]")[2]
