"""The aligned VAE from data to scores, and back from its tensors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import assert_same, modalities, source, training

from mmalign import (
    Aligner,
    CrossAlignment,
    MmalignError,
    Parts,
    Protocol,
    Question,
    Ramp,
    Session,
    View,
    Wasserstein,
    measure,
    pose,
    ramp,
    sample,
)
from mmalign.contracts import Weighted
from mmalign_aligned_vae.fitted import encode
from mmalign_aligned_vae.fitting import thinned
from mmalign_aligned_vae.latents import Drawer
from mmalign_aligned_vae.method import AlignedVAE
from mmalign_aligned_vae.posteriors import posteriors
from mmalign_aligned_vae.representing import represent
from mmalign_gzsl.softmax import Softmax

CLASSES = (0, 1, 2, 3, 4, 5)
UNSEEN = (4, 5)


def method(**changed):
    return AlignedVAE(**{"latent": 4, "epochs": 3, "batch": 10, "lr": 3e-3} | changed)


def parts(**changed):
    few = {"seen": 10, "unseen": 10, "unseen_only": 10, "epochs": 5, "epochs_unseen_only": 5}
    return Parts(
        modalities(scaler="min-max"),
        {
            "cross": Weighted(CrossAlignment(), Ramp(to=2.37, start=0, end=2)),
            "distribution": Weighted(Wasserstein(), ramp(8.13)),
        },
        Softmax(**few | {"lr": 0.02} | changed),
    )


def problem():
    given = source(validation_classes=np.array([1, 3]))
    return pose(given, given.arrays, modalities(scaler="min-max"), Protocol())


def listening(heard, **changed):
    return Session(0, epoch_ended=lambda stage, *_: heard.append(stage), **changed)


def test_it_learns_to_tell_seen_classes_apart():
    posed = problem()
    # Without the terms that pull latents together, which win on 40 rows.
    alone = replace(parts(epochs=40), losses={})
    fitted = method(epochs=60, kl=0.01, scale="std").fit(posed.training, alone, Session(0))
    scores = fitted.scores(posed.question.views, posed.question.search.tolist())
    assert scores.shape == (len(posed.question.labels), 6)
    # Chance is 1/6 and the classes are far apart; this asks only whether the wiring is right.
    assert measure(scores, posed.question).S > 0.5


def test_a_restored_model_gives_the_same_bits():
    posed = problem()
    fitted = method().fit(posed.training, parts(), Session(0))
    state = {name: tensor.clone() for name, tensor in fitted.state().items()}
    back = method().restore(state, posed.training.signature, parts())
    for classes in (CLASSES, UNSEEN, (5, 0)):
        one, other = (each.scores(posed.question.views, classes) for each in (fitted, back))
        np.testing.assert_array_equal(one, other)


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    one, same, other = (method().fit(training(), parts(), Session(s)).state() for s in (0, 0, 1))
    assert_same(one, same, rtol=0, atol=0)
    learnt = [name for name, tensor in one.items() if tensor.is_floating_point()]
    assert not any(torch.equal(one[name], other[name]) for name in learnt)


@pytest.mark.parametrize("change", ["missing", "surplus", "misshapen"])
def test_tensors_that_do_not_fit_are_refused(change):
    posed = problem()
    state = dict(method().fit(posed.training, parts(), Session(0)).state())
    name = "aligner.encoders.image.hidden.weight"
    if change == "missing":
        del state[name]
    else:
        state[name if change == "misshapen" else f"{name}.more"] = torch.zeros(2, 2)
    with pytest.raises(MmalignError, match=r"do not fit its configuration[\s\S]*hidden.weight"):
        method().restore(state, posed.training.signature, parts())


def test_a_reused_representation_is_the_same_and_is_not_trained_again(tmp_path):
    first, second = [], []
    one = method().fit(training(), parts(), listening(first, reuse=tmp_path))
    other = method().fit(training(), parts(), listening(second, reuse=tmp_path))
    assert first.count("representation") == 3
    assert second.count("representation") == 0
    assert_same(one.state(), other.state(), rtol=0, atol=0)
    without = method().fit(training(), parts(), Session(0))
    assert_same(one.state(), without.state(), rtol=0, atol=0)


def test_another_head_reuses_the_representation_and_other_settings_do_not(tmp_path):
    def stages(method, parts, given=None, seed=0):
        heard = []
        session = replace(listening(heard, reuse=tmp_path), seed=seed)
        method.fit(given or training(), parts, session)
        return set(heard)

    trained = {"representation", "head.all", "head.unseen"}
    fewer = replace(parts(), losses={"cross": parts().losses["cross"]})
    given = training()
    image = View(given.views["image"].values + 1, "sample")
    other_data = replace(given, views=given.views | {"image": image})
    assert stages(method(), parts()) == trained
    assert stages(method(), parts(epochs=2)) == {"head.all", "head.unseen"}
    assert stages(method(noise="independent"), parts()) == trained
    assert stages(method(), fewer) == trained
    assert stages(method(), parts(), other_data) == trained
    assert stages(method(), parts(), replace(given, labels=given.labels[::-1].copy())) == trained
    assert stages(method(), parts(), seed=1) == trained
    assert stages(method(), parts()) == {"head.all", "head.unseen"}


def test_what_the_head_leaves_open_is_chosen_on_training_rows():
    heard = []
    open_ended = parts(epochs="validation", epochs_unseen_only="validation", most_epochs=4)
    fitted = method().fit(problem().training, open_ended, listening(heard))
    assert heard.count("validation") == heard.count("representation") == 3
    choice = fitted.facts["choice"]
    assert (len(choice["validation_H"]), len(choice["validation_T1"])) == (4, 4)
    epochs = fitted.facts["head"]["epochs"]
    assert choice["validation_H"][epochs - 1] == max(choice["validation_H"])


def drawer(given, noise="independent", scale="std"):
    aligner = Aligner(modalities(), given.signature.dims, 4, Session(0).generator)
    return Drawer(Session(0), noise, scale, aligner, given)


def test_latents_are_of_the_first_rows_tiled_and_drawn_by_purpose():
    given = training()
    latents = drawer(given)
    z, labels = latents.draw(("image",), (2, 0), 13, "head.all")
    assert labels.tolist() == [2] * 13 + [0] * 13
    rows = [*range(20, 30), 20, 21, 22, *range(10), 0, 1, 2]
    posterior = latents.aligner.encode("image", torch.from_numpy(given.views["image"].values[rows]))
    generator = Session(0).generator("head.all.image")
    # A row that is drawn from twice is encoded once: a product of fewer rows rounds otherwise.
    torch.testing.assert_close(z, sample(posterior, generator, "independent", "std"))
    again, _ = latents.draw(("image",), (2, 0), 13, "head.all")
    other, _ = latents.draw(("image",), (2, 0), 13, "head.unseen")
    assert torch.equal(z, again)
    assert not torch.equal(z, other)


def test_latents_of_class_level_rows_are_of_the_class_itself():
    given = training()
    latents = drawer(given, noise="shared", scale="variance")
    z, labels = latents.draw(("attributes",), UNSEEN, 3, "head.all")
    assert labels.tolist() == [4, 4, 4, 5, 5, 5]
    x = torch.from_numpy(given.views["attributes"].values[labels])
    expected = sample(
        latents.aligner.encode("attributes", x),
        Session(0).generator("head.all.attributes"),
        "shared",
        "variance",
    )
    torch.testing.assert_close(z, expected)


@pytest.mark.parametrize("noise", ["shared", "independent"])
def test_latents_are_the_same_whatever_is_drawn_at_a_time(monkeypatch, noise):
    latents = drawer(training(), noise=noise)
    whole, _ = latents.draw(("image", "attributes"), CLASSES[:4], 90, "head.all")
    monkeypatch.setattr("mmalign_aligned_vae.drawing.PART", 64)
    monkeypatch.setattr("mmalign_aligned_vae.posteriors.PART", 7)
    parts, _ = latents.draw(("image", "attributes"), CLASSES[:4], 90, "head.all")
    torch.testing.assert_close(parts, whole)


def test_rows_and_classes_that_lack_the_modality_give_no_latents():
    given = training()
    image, attributes = given.views["image"], given.views["attributes"]
    mask = (given.labels != 1) & (np.arange(40) % 2 == 0)
    views = {
        "image": View(image.values, "sample", mask),
        "attributes": View(attributes.values, "class", np.arange(6) != 4),
    }
    latents = drawer(replace(given, views=views))
    _, labels = latents.draw(("image",), (0, 1), 5, "p")
    assert labels.tolist() == [0] * 5
    z, _ = latents.draw(("image",), (0,), 7, "p")
    x = torch.from_numpy(image.values[[0, 2, 4, 6, 8, 0, 2]])
    generator = Session(0).generator("p.image")
    torch.testing.assert_close(
        z, sample(latents.aligner.encode("image", x), generator, "independent", "std")
    )
    _, labels = latents.draw(("attributes",), UNSEEN, 2, "p")
    assert labels.tolist() == [5, 5]
    empty, none = latents.draw(("attributes",), (4,), 2, "p")
    assert (empty.shape, len(none)) == ((0, 4), 0)


@pytest.mark.parametrize("part", [1, 3, 5, 100])
def test_posteriors_in_parts_are_those_of_all_rows_at_once(part):
    given = training()
    aligner, view = drawer(given).aligner, given.views["image"]
    rows = np.array([7, 7, 0, 39, 7, 2, 0])
    found = posteriors(aligner, "image", view, rows, "cpu", part)
    expected = aligner.encode("image", torch.from_numpy(view.values[rows]))
    for name in ("mean", "logvar"):
        # Products of other sizes add up in another order: a few float32 steps.
        torch.testing.assert_close(
            getattr(found, name), getattr(expected, name), rtol=1e-5, atol=1e-6
        )


def test_a_kept_representation_is_found_again_whatever_classes_are_unseen(tmp_path):
    given = training()
    session = Session(0, reuse=tmp_path)
    views = given.views | {"attributes": View(given.views["attributes"].values.copy(), "class")}
    views["attributes"].values[list(UNSEEN)] += 1
    other = replace(given, views=views, unseen=given.unseen[:1])
    for each in (given, other):
        represent(method(), each, parts(), session, "representation")
    assert len(list(tmp_path.iterdir())) == 1
    views["attributes"].values[0] += 1
    represent(method(), other, parts(), session, "representation")
    assert len(list(tmp_path.iterdir())) == 2


def test_rows_are_encoded_by_what_they_have():
    dims = {"image": 5, "attributes": 5}
    aligner = Aligner(modalities(), dims, 4, Session(0).generator)
    values = training().views["image"].values[:3]
    half = values.copy()
    half[0] = np.nan
    views = {
        "image": View(values, "sample"),
        "attributes": View(half, "sample", np.array([False, True, True])),
    }
    x = torch.from_numpy(values)
    one, other = (aligner.encode(name, x).mean for name in ("image", "attributes"))
    expected = torch.cat([one[:1], (one[1:] + other[1:]) / 2])
    torch.testing.assert_close(encode(aligner, views, "cpu", "mixture"), expected)
    with pytest.raises(MmalignError, match="row 0 has none of the modalities attributes"):
        encode(aligner, {"attributes": views["attributes"]}, "cpu")
    with pytest.raises(MmalignError, match="got sound"):
        encode(aligner, {"sound": views["image"]}, "cpu")


def test_it_says_what_it_cannot_do():
    assert method().check(parts()) == []
    alone = {"image": modalities()["image"]}
    assert len(method().check(Parts(alone, parts().losses, None))) == 2
    with pytest.raises(MmalignError, match="head"):
        method().fit(training(), replace(parts(), head=None), Session(0))


def test_choices_among_very_many_rows_ask_as_large_a_share_of_every_class():
    labels = np.repeat(np.arange(4), [100, 200, 50, 400])[np.random.default_rng(0).permutation(750)]
    values = np.arange(750, dtype=np.float32)[:, None]
    classes = np.arange(4)
    question = Question(labels, {"image": View(values, "sample")}, classes, classes[:0], classes)
    assert thinned(question, most=3000) is question
    fewer = thinned(question, most=300)
    assert np.bincount(fewer.labels) == pytest.approx([10, 20, 5, 40], abs=1)
    rows = fewer.views["image"].values[:, 0].astype(np.int64)
    assert (np.diff(rows) > 0).all()
    assert (labels[rows] == fewer.labels).all()
