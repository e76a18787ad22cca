"""The training loop: which rows it takes, what it learns, what it tells, when it stops."""

from dataclasses import replace

import pytest
import torch
from helpers import Small, aligner, assert_same, batch, flow, generator, gradients, training

from mmalign import (
    ERRORS,
    Aligner,
    Batch,
    CrossAlignment,
    Objective,
    Ramp,
    Session,
    View,
    Wasserstein,
    train_aligner,
)
from mmalign.align import draw_noise
from mmalign.contracts import Weighted
from mmalign.feeding import Resident, indices
from mmalign.terms import DivergedError, Terms
from mmalign.together import _clipped

SETTINGS = {
    "epochs": 6,
    "batch": 16,
    "lr": 3e-3,
    "draw": "random",
    "noise": "shared",
    "scale": "std",
}


def untrained(session):
    data = training()
    dims = data.signature.dims
    aligner = Aligner(dict.fromkeys(data.views, Small()), dims, 4, session.generator)
    losses = {
        "cross": Weighted(CrossAlignment(), Ramp(to=2.37, start=1, end=3)),
        "distribution": Weighted(Wasserstein(), Ramp(to=8.13, start=0, end=2)),
    }
    errors = dict.fromkeys(data.views, ERRORS["l1"])
    return data, aligner, Objective(errors, Ramp(to=0.25, start=0, end=4), losses)


def fit(session, **changed):
    data, aligner, objective = untrained(session)
    train_aligner(aligner, objective, data, session, **SETTINGS | changed)
    return aligner.state_dict()


def told(**changed):
    heard = []
    fit(Session(0, epoch_ended=lambda *args: heard.append(args)), **changed)
    return heard


def test_shuffled_rows_are_each_taken_once():
    epoch = indices(23, 5, "shuffle", generator(0))
    assert [len(rows) for rows in epoch] == [5, 5, 5, 5, 3]
    assert sorted(torch.cat(epoch).tolist()) == list(range(23))


def test_random_rows_are_drawn_anew_for_each_step():
    epoch = indices(23, 5, "random", generator(0))
    assert [len(rows) for rows in epoch] == [5] * 5
    assert all(len(rows.unique()) == 5 for rows in epoch)
    taken = torch.cat(epoch)
    assert len(taken.unique()) < 23
    assert taken.min() >= 0
    assert taken.max() < 23


@pytest.mark.parametrize("draw", ["random", "shuffle"])
def test_a_batch_larger_than_the_data_is_all_of_it(draw):
    (rows,) = indices(4, 50, draw, generator(0))
    assert sorted(rows.tolist()) == [0, 1, 2, 3]


def test_batches_look_class_level_rows_up_by_label():
    data = training()
    rows = torch.tensor([25, 3, 3])
    given = Resident(data, "cpu").batch(rows)
    assert given.masks == {}
    assert given.rows == 3
    assert (given.values["image"].numpy() == data.views["image"].values[rows]).all()
    # Two of the rows are of one class, which has one row.
    assert given.values["attributes"].shape[0] == 2
    attributes = given.values["attributes"][given.places["attributes"]]
    assert (attributes.numpy() == data.views["attributes"].values[data.labels[rows]]).all()


def test_batches_carry_the_masks_of_both_levels():
    data = training()
    some = View(data.views["image"].values, "sample", data.labels != 0)
    mask = torch.tensor([True, True, False, True, True, True]).numpy()
    classes = View(data.views["attributes"].values, "class", mask)
    data.views.update(image=some, attributes=classes)
    rows = torch.tensor([0, 15, 25])  # of the classes 0, 1, 2
    masks = Resident(data, "cpu").batch(rows).masks
    assert masks["image"].tolist() == [False, True, True]
    assert masks["attributes"].tolist() == [True, True, False]


@pytest.mark.parametrize("masked", [False, True])
def test_rows_of_one_class_are_encoded_once_and_learn_the_same(masked):
    names = ("a", "b")
    place = torch.tensor([1, 0, 1, 2, 1])
    values = batch(names, rows=5).values | {"b": batch(("b",), rows=3).values["b"]}
    masks = {"b": torch.tensor([True, False, True, True, True])} if masked else {}
    if masked:
        values["b"][0] = torch.nan
    once = Batch(values, masks, {"b": place})
    apart = Batch(values | {"b": values["b"][place]}, masks)
    found = []
    for given in (once, apart):
        model = aligner(names)
        losses = {
            "cross": Weighted(CrossAlignment(), Ramp(to=2.0)),
            "distribution": Weighted(Wasserstein(), Ramp(to=3.0)),
        }
        objective = Objective(dict.fromkeys(names, ERRORS["l1"]), Ramp(to=0.5), losses)
        loss, _ = objective(flow(model, given), 0)
        found.append({"loss": loss.detach(), **gradients(model, loss)})
    # In float64, but for the order in which the rows' gradients are added.
    assert_same(*found, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("draw", ["random", "shuffle"])
def test_a_fit_lowers_the_reconstruction_error(draw):
    first, *_, last = [terms["reconstruction"] for *_, terms in told(epochs=20, draw=draw)]
    assert last < 0.8 * first


def test_the_session_is_told_every_epoch():
    heard = told(stage="rehearsal")
    assert [entry[:3] for entry in heard] == [("rehearsal", epoch, 6) for epoch in range(1, 7)]
    # The ramp of "distribution" is 0 in epoch 0, that of "cross" until epoch 1.
    assert heard[0][3].keys() == {"loss", "reconstruction"}
    assert heard[1][3].keys() == {"loss", "reconstruction", "kl", "distribution"}
    for *_, terms in heard[2:]:
        assert terms.keys() == {"loss", "reconstruction", "kl", "cross", "distribution"}


def test_what_is_told_is_the_mean_of_a_row():
    # Nothing is learnt at this rate, so that both tell of the same rows; each of their 40
    # draws of noise is far smaller than a tenth of the error.
    whole, parts = (told(epochs=1, lr=1e-12, draw="shuffle", batch=size) for size in (40, 7))
    assert parts[0][3]["loss"] == pytest.approx(whole[0][3]["loss"], rel=0.1)


def test_it_is_a_plain_loop_of_adam_with_amsgrad():
    session = Session(0)
    data, aligner, objective = untrained(session)
    rows_of, order = Resident(data, "cpu"), session.generator("representation.order")
    generators = {n: session.generator(f"representation.noise.{n}") for n in aligner.names}
    optimiser = torch.optim.Adam(aligner.parameters(), lr=3e-3, amsgrad=True)
    for epoch in range(6):
        for rows in indices(40, 16, "random", order):
            optimiser.zero_grad()
            noise = {n: draw_noise(len(rows), 4, "shared", g) for n, g in generators.items()}
            flow = aligner(rows_of.batch(rows), noise, "std")
            objective(flow, epoch)[0].backward()
            optimiser.step()
    # The fused step adds in another order: single precision's 1e-7, grown over 18 steps.
    assert_same(fit(session), aligner.state_dict(), rtol=1e-4, atol=1e-6)


def test_the_same_seed_learns_the_same_bits_and_another_does_not():
    assert_same(fit(Session(0)), fit(Session(0)), rtol=0, atol=0)
    one, other = fit(Session(0)), fit(Session(1))
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_other_draws_move_none_of_its_numbers():
    new = Session(0).generator("new")
    session = Session(0, epoch_ended=lambda *_: (torch.rand(3, generator=new), torch.rand(3)))
    assert_same(fit(session), fit(Session(0)), rtol=0, atol=0)


def test_divergence_is_an_error_that_names_step_and_epoch():
    with pytest.raises(DivergedError, match=r"in step \d+ of epoch \d+ of the representation"):
        fit(Session(0), lr=1e6)


@pytest.mark.parametrize("draw", ["random", "shuffle"])
def test_divergence_names_the_terms_and_the_rows_of_the_batch(draw):
    data, aligner, objective = untrained(Session(0))
    (name,) = [name for name, view in data.views.items() if view.level == "sample"][:1]
    values = data.views[name].values.copy()
    values[7] = 3e38  # a number, but its error is none in float32
    data = replace(data, views={**data.views, name: replace(data.views[name], values=values)})
    heard = []
    session = Session(0, epoch_ended=lambda *said: heard.append(said))
    with pytest.raises(DivergedError) as caught:
        train_aligner(aligner, objective, data, session, **SETTINGS | {"draw": draw})
    error = caught.value
    assert error.epoch == len(heard) + 1
    rows = indices(
        len(data.labels), SETTINGS["batch"], draw, order_of(Session(0), error.epoch, draw)
    )
    assert error.rows == tuple(rows[error.step - 1].tolist())
    assert 7 in error.rows
    assert not any(7 in before for before in rows[: error.step - 1])
    assert "loss" in error.terms
    assert "kl" in error.terms or "reconstruction" in error.terms
    assert f"({len(error.rows)} in all)" in str(error)


def order_of(session, epoch, draw):
    """The generator of the order, where this epoch (from 1) begins."""
    order = session.generator("representation.order")
    for _ in range(epoch - 1):
        indices(len(training().labels), SETTINGS["batch"], draw, order)
    return order


def test_a_seed_among_several_that_diverges_is_told_by_its_own_terms():
    seen = Terms()
    given = Batch({"x": torch.zeros(2, 1)}, {}, picked=torch.tensor([4, 9]))
    seen.add(given, {"loss": torch.tensor([1.0, 1.0]), "kl": torch.tensor([1.0, 1.0])})
    seen.add(given, {"loss": torch.tensor([1.0, 3.0]), "kl": torch.tensor([float("inf"), 2.0])})
    assert seen.means("test", 1, seed=1) == {"loss": 1.0, "kl": 0.75}
    with pytest.raises(DivergedError, match="kl no longer finite in step 2 of epoch 1 of the test"):
        seen.means("test", 1, seed=0)


def test_clipping_bounds_the_norm_of_all_gradients_together():
    """Against steps of plain SGD's kind: Adam's own steps do not depend on the gradient's size."""
    gradient = {"a": torch.tensor([[3.0, 0.0], [0.3, 0.0]]), "b": torch.tensor([[4.0], [0.4]])}
    clipped = _clipped(gradient, 1.0)
    norms = sum(each.square().sum(1) for each in clipped.values()).sqrt()
    torch.testing.assert_close(norms, torch.tensor([1.0, 0.5]))
    assert_same(fit(Session(0), clip=1e9), fit(Session(0)), rtol=0, atol=0)
    small = fit(Session(0), clip=1e-3)
    assert not any(torch.equal(small[name], value) for name, value in fit(Session(0)).items())
