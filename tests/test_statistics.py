"""What a model keeps of each class gives a head the same latents, without the data."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import modalities, source

from mmalign import Aligner, MmalignError, Parts, Protocol, Session, Weighted, pose, ramp
from mmalign.losses import CrossAlignment, Wasserstein
from mmalign_aligned_vae.method import AlignedVAE
from mmalign_aligned_vae.noting import Noted
from mmalign_aligned_vae.statistics import Moments, restored
from mmalign_gzsl.fewshot import FewShot
from mmalign_gzsl.softmax import Softmax

SEEN, UNSEEN = (0, 1, 2, 3), (4, 5)
READINGS = [("shared", "variance"), ("shared", "std"), ("independent", "variance")]
READINGS += [("independent", "std")]


def posed(**protocol):
    given = source()
    return pose(given, given.arrays, modalities(scaler="min-max"), Protocol(**protocol))


def noted(noise="independent", scale="std", latent=3, **protocol):
    training = posed(**protocol).training
    aligner = Aligner(modalities(), training.signature.dims, latent, Session(0).generator)
    with torch.no_grad():  # an untrained encoder puts every row in nearly the same place
        for parameter in aligner.parameters():
            parameter.mul_(2)
    return Noted(Session(0), noise, scale, aligner, training)


def kept(of):
    """Statistics of what a softmax head draws from."""
    of.draw(("image",), SEEN, 2, "any")
    of.draw(("attributes",), UNSEEN, 2, "any")
    return of.statistics()


@pytest.mark.parametrize(("noise", "scale"), READINGS)
def test_moments_are_those_of_the_latents_that_are_drawn(noise, scale):
    of = noted(noise, scale)
    moments = kept(of).moments["training", "image"]
    assert moments.classes.tolist() == [0, 1, 2, 3]
    count = 40_000  # each of a class's ten rows 4,000 times
    z, labels = of.draw(("image",), SEEN, count, "many")
    below = torch.tril_indices(3, 3)
    for place, index in enumerate(SEEN):
        own = z[labels == index].double()
        spread = own.std(0)
        # Five standard errors of a mean, and of a covariance of nearly normal numbers.
        tolerance = 5 * spread / count**0.5
        assert ((own.mean(0) - moments.mean[place]).abs() < tolerance).all()
        found = torch.cov(own.T)[below[0], below[1]]
        error = 5 * (2**0.5) * (spread[below[0]] * spread[below[1]]) / count**0.5
        assert ((found - moments.covariance[place]).abs() < error).all()


def test_a_root_is_the_symmetric_one_of_the_whole_covariance():
    whole = torch.tensor([[2.0, 1.0], [1.0, 5.0]])
    moments = Moments(torch.tensor([7]), torch.zeros(1, 2), torch.tensor([[2.0, 1.0, 5.0]]))
    (root,) = moments.roots()
    torch.testing.assert_close(root, root.T)
    torch.testing.assert_close(root @ root, whole.double())


def test_latents_out_of_statistics_have_the_moments():
    statistics = kept(noted("shared", "variance"))
    moments = statistics.moments["training", "image"]
    count = 40_000
    z, labels = statistics.draw(("image",), (2, 0), count, "many")
    assert labels.tolist() == [2] * count + [0] * count
    for index in (2, 0):
        own = z[labels == index].double()
        spread = own.std(0)
        assert ((own.mean(0) - moments.mean[index]).abs() < 5 * spread / count**0.5).all()
        root = moments.roots()[index]
        error = 5 * 2**0.5 * spread[:, None] * spread / count**0.5
        assert ((torch.cov(own.T) - root @ root).abs() < error).all()


def test_latents_of_descriptions_are_the_same_bits():
    of = noted()
    statistics = kept(of)
    for classes in (UNSEEN, (5,), (0, 5)):
        one, labels = of.draw(("attributes",), classes, 6, "again")
        other, same = statistics.draw(("attributes",), classes, 6, "again")
        assert torch.equal(labels, same)
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)  # encoded in another batch


def test_shots_are_kept_apart_from_training_rows():
    of = noted(shots=2)
    of.draw(("image",), UNSEEN, 4, "any", "shots")
    statistics = kept(of)
    assert statistics.shots == 2
    assert statistics.moments["shots", "image"].classes.tolist() == [4, 5]
    assert statistics.draw(("image",), UNSEEN, 3, "any", "shots")[1].tolist() == [4] * 3 + [5] * 3
    z, _ = statistics.draw(("attributes",), UNSEEN, 3, "any", "shots")
    assert len(z) == 0, "a description is no shot"


def test_what_was_never_drawn_is_not_kept():
    of = noted()
    of.draw(("attributes",), UNSEEN, 2, "any")
    statistics = of.statistics()
    assert not statistics.moments
    assert len(statistics.draw(("image",), SEEN, 2, "any")[0]) == 0


def test_statistics_come_back_from_their_tensors():
    statistics = kept(noted())
    empty = replace(statistics, described={}, moments={})
    back = restored(statistics.state(), empty)
    assert back.state().keys() == statistics.state().keys()
    for name in (("image",), ("attributes",)):
        one, other = (each.draw(name, SEEN, 3, "x")[0] for each in (back, statistics))
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: state.pop("shots"),
        lambda state: state.pop("training.image.mean"),
        lambda state: state.update({"training.image.more": torch.zeros(1)}),
        lambda state: state.update({"training.image.classes": torch.tensor([0, 1, 2, 6])}),
        lambda state: state.update({"training.image.covariance": torch.zeros(4, 3)}),
        lambda state: state.update({"described.attributes.has": torch.ones(6)}),
        lambda state: state.update({"described.attributes.mean": torch.zeros(5, 3)}),
        lambda state: state.update({"elsewhere.image.mean": torch.zeros(4, 3)}),
    ],
)
def test_other_tensors_are_refused(change):
    statistics = kept(noted())
    state = dict(statistics.state())
    change(state)
    with pytest.raises(MmalignError, match="latent statistics do not fit"):
        restored(state, replace(statistics, described={}, moments={}))


# The model that they are for.


def method(**changed):
    settings = {"latent": 3, "epochs": 40, "batch": 10, "lr": 3e-3, "kl": 0.01, "scale": "std"}
    return AlignedVAE(**settings | changed)


def parts(head=None):
    few = {"seen": 200, "unseen": 200, "unseen_only": 40}
    few |= {"epochs": 40, "epochs_unseen_only": 20}
    losses = {"cross": Weighted(CrossAlignment(), ramp(1.0))}
    losses["distribution"] = Weighted(Wasserstein(), ramp(1.0))
    return Parts(modalities(scaler="min-max"), losses, head or Softmax(**few, lr=0.02))


def signature_of(signature, **changed):
    return replace(signature, **changed)


@pytest.fixture(scope="module")
def whole():
    """The model that knew all six classes from the start, and its problem."""
    problem = posed()
    return problem, method().fit(problem.training, parts(), Session(0))


@pytest.fixture(scope="module")
def grown(whole):
    """The model that saw four, and to which two were added."""
    problem = posed(search="seen")
    fitted = method().fit(problem.training, parts(), Session(0))
    assert fitted.head.unseen.classes == ()
    described = problem.scalings["attributes"](source().arrays["attributes"]).take(np.array(UNSEEN))
    signature = whole[0].training.signature
    return fitted, fitted.reclassed(SEEN, {"attributes": described}, signature, Session(0))


def test_a_class_that_is_added_is_known_as_if_from_the_start(whole, grown):
    problem, known = whole
    question = problem.question
    _, later = grown
    for name in ("weight", "bias"):  # drawn from descriptions alone, by the same generators
        one, other = (getattr(each.head.unseen, name) for each in (known, later))
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    said = [each.scores(question.views, range(6)).argmax(1) for each in (known, later)]
    # Latents of seen classes are others, which moves borders between them by a row or two.
    assert (said[0] == said[1]).mean() >= 0.85


def test_old_classes_keep_their_places(grown):
    before, later = grown
    views = posed(search="seen").question.views
    said = [each.scores(views, SEEN).argmax(1) for each in (before, later)]
    assert (said[0] == said[1]).mean() >= 0.75  # of 12 rows


def test_a_class_that_goes_leaves_nothing(whole):
    problem, known = whole
    signature = signature_of(
        problem.training.signature, classes=tuple("prtu"), seen=(0, 1), unseen=(2, 3)
    )
    less = known.reclassed((0, 2, 4, 5), {}, signature, Session(0))
    assert less.statistics.moments["training", "image"].classes.tolist() == [0, 1]
    assert len(less.statistics.described["attributes"].has) == 4
    scores = less.scores(problem.question.views, (0, 1, 2, 3))
    assert scores.shape == (len(problem.question.labels), 4)
    with pytest.raises(MmalignError, match="not trained on the class"):
        less.scores(problem.question.views, (5,))


def test_a_class_without_any_description_is_refused(whole):
    problem, known = whole
    old = problem.training.signature
    signature = signature_of(old, classes=(*old.classes, "new"), unseen=(*old.unseen, 6))
    with pytest.raises(MmalignError, match="no latent can be drawn of 1 classes"):
        known.reclassed((*SEEN, *UNSEEN), {}, signature, Session(0))


def test_a_few_shot_model_keeps_its_shots(whole):
    problem = posed(shots=2)
    few = {"seen": 20, "unseen": 20, "unseen_only": 20, "shots": 20}
    head = FewShot(**few, epochs=10, epochs_unseen_only=10, lr=0.02)
    fitted = method(epochs=5).fit(problem.training, parts(head), Session(0))
    old = problem.training.signature
    signature = signature_of(old, classes=(*old.classes, "new"), unseen=(*old.unseen, 6))
    described = problem.scalings["attributes"](source().arrays["attributes"]).take(np.array([0]))
    later = fitted.reclassed((*SEEN, *UNSEEN), {"attributes": described}, signature, Session(0))
    assert later.statistics.moments["shots", "image"].classes.tolist() == [4, 5]
    assert later.scores(problem.question.views, range(7)).shape[1] == 7


def test_a_model_of_old_says_that_it_keeps_none(whole):
    problem, known = whole
    state = {k: v for k, v in known.state().items() if not k.startswith("statistics.")}
    old = method().restore(state, problem.training.signature, parts())
    with pytest.raises(MmalignError, match="keeps no latent statistics"):
        old.reclassed(SEEN, {}, problem.training.signature, Session(0))
