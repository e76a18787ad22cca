"""What the generative systems share: features that are made up, and the head they train."""

from dataclasses import dataclass, replace

import pytest
import torch
from helpers import generator, numbers

from mmalign import MmalignError, Rows, Session, fit_linear
from mmalign_baselines.cvae import CVAE
from mmalign_baselines.f_clswgan import FCLSWGAN
from mmalign_baselines.generative import Generative
from mmalign_baselines.se import SE
from mmalign_baselines.synthetic_features import (
    SyntheticFeatureClassifier,
    synthesise,
    training_set,
)

KNOWN, UNSEEN = (*range(10), *range(11, 20)), (10, 20)
ALL, Q, DIM = tuple(range(21)), 3, 6
HEAD = {"n_syn": 30, "epochs_cls": 15, "lr_cls": 0.02, "batch_cls": 60}
SYSTEMS = [
    FCLSWGAN(epochs=20, every=20, hidden=256, batch=32, lr=0.01, beta=0.1, **HEAD),
    CVAE(epochs=20, every=20, encoder=32, decoder=64, latent=4, lr=5e-3, **HEAD),
    SE(epochs=30, every=30, hidden=64, latent=4, lr=0.01, lr_end=1e-3, **HEAD),
]
IDS = [each.name for each in SYSTEMS]


@dataclass
class Shifted:
    """A generator that is known: a description with noise."""

    spread: float = 0.1

    def sample(self, a, noise):
        e = torch.randn(a.shape, generator=noise, dtype=a.dtype)
        return a + self.spread * e


@dataclass
class Centred(Shifted):
    """The same, centred."""

    mean: torch.Tensor = None
    std: torch.Tensor = None

    def sample(self, a, noise):
        return (super().sample(a, noise) - self.mean) / self.std


def descriptions():
    """21 points around the middle of a cube; the classes never shown are well apart."""
    points = numbers(21, Q, seed=3).sigmoid().float()
    points[list(UNSEEN)] = torch.tensor([[0.3, 0.7, 0.4], [0.7, 0.3, 0.6]])
    return points


def features(labels, seed=0):
    """Features in [0, 1]: a description and its mirror image, with a little noise."""
    of_classes = torch.cat([descriptions(), 1 - descriptions()], 1)
    return (of_classes[labels] + 0.03 * numbers(len(labels), DIM, seed=seed).float()).clamp(0, 1)


def rows(shots=(), each=20, dim=DIM):
    labels = torch.tensor([index for index in KNOWN for _ in range(each)] + list(shots))
    known = tuple(sorted({*KNOWN, *shots}))
    return Rows(features(labels)[:, :dim], labels, descriptions(), known, UNSEEN)


def settings(**changed):
    class Tried(Generative):
        name = "tried"

    few = {"n_syn": 5, "epochs_cls": 3, "batch_cls": 8, "lr_cls": 1e-4, "centre": False}
    return Tried(**few | changed)


def last(system, given, session=None):
    (epoch,) = list(system.train(given, session or Session(0)))
    return epoch.model()


@pytest.mark.parametrize("shots", [(), (20, 20, 10)])
@pytest.mark.parametrize("known_from", ["real", "synthetic"])
def test_the_classifiers_are_trained_on_real_and_made_up_features(known_from, shots):
    given, session = rows(shots, dim=3), Session(0)
    x, labels, classes = training_set(
        settings(known_from=known_from), "all", Shifted(), given, session
    )
    assert classes == ALL
    real = len(given.x) if known_from == "real" else len(shots)
    made = UNSEEN if known_from == "real" else classes
    kept = given.labels if known_from == "real" else given.labels[len(given.x) - len(shots) :]
    assert torch.equal(labels[:real], kept)
    assert torch.equal(x[:real], given.x[len(given.x) - real :])
    assert labels[real:].tolist() == [index for index in made for _ in range(5)]
    # What is made of a class lies around its description.
    expected = descriptions()[labels[real:]]
    torch.testing.assert_close(x[real:], expected, rtol=0, atol=0.5)
    x, labels, classes = training_set(
        settings(known_from=known_from, n_syn_alone=3), "unseen", Shifted(), given, session
    )
    assert classes == UNSEEN
    assert labels.tolist() == [*shots, 10, 10, 10, 20, 20, 20]
    assert torch.equal(x[: len(shots)], given.x[len(given.x) - len(shots) :])


def test_the_head_of_a_known_generator_is_a_classifier_of_its_features():
    given, session, tried = rows(dim=3), Session(0), settings()
    made = SyntheticFeatureClassifier.train(tried, Shifted(), given, session)
    for part, found in (("all", made.pair.all), ("unseen", made.pair.unseen)):
        x, labels, classes = training_set(tried, part, Shifted(), given, session)
        plain = fit_linear(
            x,
            labels,
            classes,
            epochs=3,
            batch=8,
            lr=1e-4,
            initialisation=session.generator(f"tried.head.{part}.initialisation"),
            order=session.generator(f"tried.head.{part}.order"),
        )
        z = numbers(5, 3).float()
        torch.testing.assert_close(found.scores(z, classes), plain.scores(z, classes))
        assert found.classes == classes


def test_features_may_be_centred_for_the_training_alone():
    """The same scores as of a classifier of centred features, by features as they are."""
    given, session, tried = rows(dim=3), Session(0), settings(centre=True)
    x, _, _ = training_set(tried, "all", Shifted(), given, session)
    mean, std = x.mean(0), x.var(0, correction=0).mean().sqrt()
    found = SyntheticFeatureClassifier.train(tried, Shifted(), given, session)
    inner = SyntheticFeatureClassifier.train(
        replace(tried, centre=False),
        Centred(0.1, mean, std),
        replace(given, x=(given.x - mean) / std),
        session,
    )
    z, asked = numbers(5, 3).float(), given.asked(ALL)
    expected = inner.scores((z - mean) / std, asked)
    torch.testing.assert_close(found.scores(z, asked), expected, rtol=1e-4, atol=1e-5)


def test_unseen_classes_alone_have_a_classifier_of_their_own():
    given = rows(dim=3)
    made = SyntheticFeatureClassifier.train(settings(), Shifted(), given, Session(0))
    z = numbers(4, 3).float()
    assert torch.equal(made.scores(z, given.asked((20, 10))), made.pair.unseen.scores(z, (20, 10)))
    assert torch.equal(made.scores(z, given.asked((20, 0))), made.pair.all.scores(z, (20, 0)))


def test_the_classifiers_are_their_tensors():
    given = rows(dim=3)
    made = SyntheticFeatureClassifier.train(settings(), Shifted(), given, Session(0))
    state = dict(made.state())
    back = SyntheticFeatureClassifier.of(state)
    for classes in (ALL, UNSEEN, (20, 0, 7)):
        z, asked = numbers(9, 3).float(), given.asked(classes)
        assert torch.equal(back.scores(z, asked), made.scores(z, asked))
    for name in state:
        with pytest.raises(KeyError, match=name):
            SyntheticFeatureClassifier.of({k: v for k, v in state.items() if k != name})


def test_features_are_made_up_in_chunks(monkeypatch):
    drawn = {}
    for chunk in (4096, 7):
        monkeypatch.setattr("mmalign_baselines.synthetic_features.CHUNK", chunk)
        drawn[chunk] = synthesise(Shifted(0.0), descriptions(), (3, 1), 10, generator(0))
    for one, other in zip(drawn[4096], drawn[7], strict=True):
        assert torch.equal(one, other)


def test_a_generator_that_has_diverged_is_said():
    with pytest.raises(MmalignError, match="diverged"):
        synthesise(Shifted(float("inf")), descriptions(), (3, 1), 2, generator(0))


@pytest.mark.parametrize(
    ("every", "epochs", "offered"), [(2, 5, [2, 4, 5]), (9, 3, [3]), (1, 2, [1, 2])]
)
def test_some_epochs_may_be_chosen_and_the_last_one_always(every, epochs, offered):
    tried = CVAE(epochs=epochs, every=every, encoder=4, decoder=4, latent=2, lr_cls=0.1)
    assert [epoch.number for epoch in tried.train(rows(each=2), Session(0))] == offered


class Counted(Generative):
    """A generator that is known from the start; says which candidate it was trained for."""

    name = "counted"

    def generators(self, rows, session):
        heard.append(self)
        for _ in range(self.epochs):
            yield Shifted(), {}


heard = []


def test_candidates_that_differ_in_the_classifier_share_a_generator():
    open_ended = Counted(n_syn=(4, 6), lr_cls=(0.1, 0.01), epochs=4, every=3, batch_cls=8)
    heard.clear()
    candidates = open_ended.candidates()
    explored = list(open_ended.explore(candidates, rows(each=2, dim=3), Session(0)))
    assert heard == [candidates[0]]
    assert [(each, epoch.number) for each, epoch in explored] == [
        (each, number) for number in (3, 4) for each in candidates
    ]
    # As they would have been alone.
    for each, epoch in explored[4:6]:
        alone, last = each.train(rows(each=2, dim=3), Session(0))
        assert (alone.number, last.number) == (3, 4)
        for name, tensor in epoch.model().state().items():
            assert torch.equal(tensor, last.model().state()[name])


def test_candidates_of_other_epochs_share_it_too_and_others_do_not():
    heard.clear()
    short, long = (Counted(epochs=2, every=3), Counted(epochs=5, every=3, lr_cls=0.3))
    other = Counted(epochs=1, lr=0.1)
    explored = list(short.explore([short, long, other], rows(), Session(0)))
    assert heard == [long, other]
    told = [(each, epoch.number) for each, epoch in explored]
    assert told == [(short, 2), (long, 3), (long, 5), (other, 1)]


@pytest.mark.parametrize("system", SYSTEMS, ids=IDS)
def test_a_class_that_was_never_shown_is_recognised(system):
    given = rows(each=10)
    made = last(system, given)
    labels = torch.tensor(UNSEEN).repeat_interleave(50)
    x = features(labels, seed=9)
    alone = torch.tensor(UNSEEN)[made.scores(x, given.asked(UNSEEN)).argmax(1)]
    assert (alone == labels).float().mean() > 0.9  # chance is 0.5
    among_all = made.scores(x, given.asked(ALL)).argmax(1)
    assert (among_all == labels).float().mean() > 0.15  # chance is 1 of 21


@pytest.mark.parametrize("system", SYSTEMS, ids=IDS)
def test_an_epoch_is_the_same_whether_others_were_looked_at(system):
    """And a model stays what it was while training goes on."""
    tried, given = replace(system, epochs=3, every=1), rows(each=4)
    asked, z = given.asked(ALL), features(torch.tensor(UNSEEN))
    looked, before = [], None
    for epoch in tried.train(given, Session(0)):
        looked.append(epoch.model())
        before = looked[0].scores(z, asked) if before is None else before
    assert torch.equal(looked[0].scores(z, asked), before)
    assert not torch.equal(looked[-1].scores(z, asked), before)
    straight = last(replace(tried, every=3), given)
    assert torch.equal(straight.scores(z, asked), looked[-1].scores(z, asked))


@pytest.mark.parametrize("system", SYSTEMS, ids=IDS)
def test_rows_of_a_class_asked_as_unseen_are_learnt_from(system):
    tried, given = replace(system, epochs=1), rows(shots=(10, 20, 20), each=4)
    asked = given.asked(UNSEEN)
    scores = last(tried, given).scores(features(torch.tensor(UNSEEN)), asked)
    assert scores.isfinite().all()
