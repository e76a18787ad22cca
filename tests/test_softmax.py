"""The softmax head against a plain torch loop, and how it is kept and tuned."""

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from helpers import generator, numbers

from mmalign import Linear, MmalignError, Session, Signature, fit_linear
from mmalign_gzsl.fewshot import FewShot
from mmalign_gzsl.fitting import train_part
from mmalign_gzsl.softmax import Softmax

CLASSES = (1, 2, 5, 7)
SEEN, UNSEEN = (1, 5), (2, 7)
SIGNATURE = Signature(tuple("abcdefgh"), SEEN, UNSEEN, {}, {})


@dataclass
class Blobs:
    """Latents around a point for each class; ``without`` have none."""

    seen: tuple[int, ...] = SEEN
    unseen: tuple[int, ...] = UNSEEN
    dim: int = 3
    without: tuple[int, ...] = ()
    shots: int = 2
    levels: ClassVar = {"image": "sample", "sound": "sample", "attributes": "class"}
    asked: list[tuple] = field(default_factory=list)

    def draw(self, modalities, classes, count, purpose, rows="training"):
        self.asked.append((tuple(modalities), tuple(classes), count, purpose, rows))
        labels = [index for index in classes if index not in self.without for _ in range(count)]
        centres = 2 * numbers(8, self.dim, seed=1).float()
        noise = numbers(len(labels), self.dim, seed=2).float()
        return centres[labels] + 0.3 * noise, torch.tensor(labels, dtype=torch.int64)


def head(**changed):
    few = {"seen": 8, "unseen": 9, "unseen_only": 7, "epochs": 5, "epochs_unseen_only": 3}
    return Softmax(**few | {"batch": 8, "lr": 0.05} | changed)


def data(rows=30, dim=4):
    labels = torch.tensor(CLASSES)[torch.randint(4, (rows,), generator=generator(4))]
    return numbers(rows, dim), labels


def ours(z, labels, **changed):
    settings = {"epochs": 4, "batch": 8, "lr": 0.01} | changed
    generators = {"initialisation": generator(1), "order": generator(2)}
    return fit_linear(z, labels, CLASSES, **settings, **generators)


def plain(z, labels, epochs=4, batch=8, lr=0.01):
    """The same by nn.Linear, cross-entropy and autograd; also the mean loss of each epoch."""
    net = torch.nn.Linear(z.shape[1], len(CLASSES), dtype=z.dtype)
    torch.nn.init.xavier_uniform_(net.weight, gain=0.5, generator=generator(1))
    torch.nn.init.zeros_(net.bias)
    optimiser = torch.optim.Adam(net.parameters(), lr=lr, betas=(0.5, 0.999))
    order, losses = generator(2), []
    targets = torch.tensor([CLASSES.index(label) for label in labels.tolist()])
    for _ in range(epochs):
        total = 0.0
        for rows in torch.randperm(len(z), generator=order).split(batch):
            loss = torch.nn.functional.cross_entropy(net(z[rows]), targets[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(rows)
        losses.append(total / len(z))
    return net.weight.detach().T, net.bias.detach(), losses


@pytest.mark.parametrize("batch", [8, 7, 100])  # 30 rows: a short last batch, and a short only one
def test_the_fit_is_that_of_a_plain_torch_loop(batch):
    z, labels = data()
    heard = []
    fitted = ours(z, labels, batch=batch, epoch_ended=lambda *told: heard.append(told[:2]))
    weight, bias, losses = plain(z, labels, batch=batch)
    # Adam divides by the root of its second moment, so rounding errors of 1e-16 grow.
    torch.testing.assert_close(fitted.weight, weight, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(fitted.bias, bias, rtol=1e-6, atol=1e-8)
    assert heard == [(epoch + 1, pytest.approx(loss)) for epoch, loss in enumerate(losses)]


@pytest.mark.parametrize(("taken", "scores"), [(16, 2**20), (2**20, 12), (8, 4), (1, 1)])
def test_the_fit_is_the_same_whatever_is_held_at_a_time(monkeypatch, taken, scores):
    z, labels = data()
    whole, told = ours(z, labels), []
    monkeypatch.setattr("mmalign.linearfit.TAKEN", taken)
    monkeypatch.setattr("mmalign.linearfit.SCORES", scores)
    parts = ours(z, labels, epoch_ended=lambda epoch, loss, now: told.append(loss))
    # In float64, but for the order in which gradients are added.
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(parts.bias, whole.bias, rtol=1e-10, atol=1e-12)
    assert told == pytest.approx(plain(z, labels)[2], rel=1e-6)


def test_the_fit_survives_large_latents():
    z, labels = data()
    assert ours(1e4 * z, labels).weight.isfinite().all()


def test_scores_are_given_for_the_classes_asked_in_their_order():
    z = numbers(5, 3)
    linear = Linear(numbers(3, 4, seed=1), numbers(4, seed=2), CLASSES)
    scores = z @ linear.weight + linear.bias
    torch.testing.assert_close(linear.scores(z, CLASSES), scores)
    torch.testing.assert_close(linear.scores(z, [7, 1]), scores[:, [3, 0]])


def test_the_head_draws_once_for_each_classifier():
    latents = Blobs()
    head().fit(latents, Session(0))
    assert latents.asked == [
        (("image", "sound"), SEEN, 8, "head.all", "training"),
        (("attributes",), UNSEEN, 9, "head.all", "training"),
        (("attributes",), UNSEEN, 7, "head.unseen", "training"),
    ]


def test_the_head_draws_from_the_modalities_that_it_names():
    latents = Blobs()
    head(seen_from=("sound",), unseen_from=("attributes",)).fit(latents, Session(0))
    assert [each[0] for each in latents.asked] == [("sound",), ("attributes",), ("attributes",)]


def test_the_few_shot_head_draws_from_shots_too():
    latents = Blobs()
    few = {"seen": 8, "unseen": 5, "unseen_only": 0, "shots": 6, "shots_from": ("image",)}
    fitted = FewShot(**few, epochs=5, epochs_unseen_only=3).fit(latents, Session(0))
    assert latents.asked == [
        (("image", "sound"), SEEN, 8, "head.all", "training"),
        (("attributes",), UNSEEN, 5, "head.all", "training"),
        (("image",), UNSEEN, 6, "head.all", "shots"),
        (("attributes",), UNSEEN, 0, "head.unseen", "training"),
        (("image",), UNSEEN, 6, "head.unseen", "shots"),
    ]
    assert fitted.all.classes == CLASSES


def test_a_fitted_head_tells_its_classes_apart():
    fitted = head(epochs=30, epochs_unseen_only=30).fit(Blobs(), Session(0))
    z, labels = Blobs().draw(("image",), CLASSES, 20, "test")
    right = torch.tensor(CLASSES)[fitted.scores(z, CLASSES).argmax(1)] == labels
    assert right.float().mean() > 0.9  # the blobs are several of their deviations apart
    alone = torch.isin(labels, torch.tensor(UNSEEN))
    said = torch.tensor(UNSEEN)[fitted.scores(z[alone], UNSEEN).argmax(1)]
    assert (said == labels[alone]).float().mean() > 0.9


def test_unseen_classes_alone_are_scored_by_their_own_classifier():
    fitted = head().fit(Blobs(), Session(0))
    z = numbers(4, 3).float()
    assert torch.equal(fitted.scores(z, UNSEEN), fitted.unseen.scores(z, UNSEEN))
    assert torch.equal(fitted.scores(z, CLASSES), fitted.all.scores(z, CLASSES))


def test_restored_heads_give_the_same_bits():
    fitted = head().fit(Blobs(), Session(0))
    back = head().restore(fitted.state(), SIGNATURE)
    z = numbers(50, 3).float()
    for classes in (CLASSES, UNSEEN, (7, 1)):
        assert torch.equal(back.scores(z, classes), fitted.scores(z, classes))


def test_tensors_that_do_not_fit_are_refused():
    state = dict(head().fit(Blobs(), Session(0)).state())
    with pytest.raises(MmalignError, match="'unseen' do not fit 3 classes"):
        head().restore(state, Signature(tuple("abcdefgh"), (1,), (2, 5, 7), {}, {}))
    del state["all.bias"]
    with pytest.raises(MmalignError, match="'all' do not fit"):
        head().restore(state, SIGNATURE)


@pytest.mark.parametrize("without", [(1,), (7,), (1, 2)])
def test_a_class_without_latents_is_refused(without):
    with pytest.raises(MmalignError, match=f"of {len(without)} classes .*index {without[0]}"):
        head().fit(Blobs(without=without), Session(0))


def test_the_session_is_told_every_epoch_of_both():
    heard = []
    head().fit(Blobs(), Session(0, epoch_ended=lambda *told: heard.append(told[:3])))
    expected = [("head.all", epoch, 5) for epoch in range(1, 6)]
    assert heard == expected + [("head.unseen", epoch, 3) for epoch in range(1, 4)]


def test_tuning_takes_the_first_of_the_best_epochs():
    curves = {"H": [0.1, 0.4, 0.3, 0.4], "T1": [0.2, 0.1, 0.3, 0.25]}
    left = {name: iter(curve) for name, curve in curves.items()}
    open_ended = head(epochs="validation", epochs_unseen_only="validation", most_epochs=4)
    assert open_ended.needs_validation
    tuned, facts = open_ended.tuned(Blobs(), lambda _, metric: next(left[metric]), Session(0))
    assert (tuned.epochs, tuned.epochs_unseen_only) == (2, 3)
    assert not tuned.needs_validation
    assert facts == {"validation_H": curves["H"], "validation_T1": curves["T1"]}


def test_tuning_leaves_alone_what_was_given():
    tuned, facts = head(epochs="validation", most_epochs=2).tuned(
        Blobs(), lambda _, metric: {"H": 0.5}[metric], Session(0)
    )
    assert (tuned.epochs, tuned.epochs_unseen_only, facts.keys()) == (1, 3, {"validation_H"})


def test_each_epoch_is_measured_as_it_would_be_fitted():
    """Epoch e of the tuning is the classifier that a fit of e epochs gives, bit for bit."""
    measured = []

    def measure(scorer, metric):
        measured.append(scorer.scores(numbers(6, 3).float(), CLASSES))
        return 0.0

    head(epochs="validation", most_epochs=3).tuned(Blobs(), measure, Session(0))
    for epochs, scores in enumerate(measured, start=1):
        fitted = train_part(head(), "all", Blobs(), Session(0), epochs)
        assert torch.equal(fitted.scores(numbers(6, 3).float(), CLASSES), scores)


def test_open_epochs_must_be_tuned_before_a_fit():
    with pytest.raises(MmalignError, match="tuned"):
        head(epochs="validation").fit(Blobs(), Session(0))


@pytest.mark.parametrize("field", ["epochs", "epochs_unseen_only"])
def test_a_head_without_epochs_is_refused(field):
    with pytest.raises(ValueError, match=field):
        head(**{field: 0})
