"""The sum of all terms against a plain implementation that loops over rows and pairs."""

from itertools import combinations, permutations
from typing import ClassVar, Literal, get_args

import pytest
import torch
from helpers import LATENT, NAMES, aligner, assert_same, batch, flow, generator, gradients
from torch import Tensor

from mmalign import ERRORS, Batch, CrossAlignment, Gaussian, Objective, Ramp, Wasserstein, ramp
from mmalign.contracts import Over, Weighted

BETA, GAMMA, DELTA = 0.25, 2.37, 8.13
ERROR = {"a": "l1", "b": "l1", "c": "l2", "d": "bernoulli", "e": "cosine"}
COUNTS = (1, 2, 3, 5)


def objective(names, reduction="sum", beta=BETA, losses=None):
    if losses is None:
        losses = {
            "cross": Weighted(CrossAlignment(), ramp(GAMMA)),
            "distribution": Weighted(Wasserstein(), ramp(DELTA)),
        }
    return Objective({name: ERRORS[ERROR[name]] for name in names}, ramp(beta), losses, reduction)


def layer(model, name, x):
    weights = dict(model.named_parameters())
    return weights[f"{name}.weight"] @ x + weights[f"{name}.bias"]


def error(kind, x, decoded):
    """Reconstruction errors of one row, written another way."""
    if kind == "l1":
        return torch.linalg.vector_norm(x - decoded, ord=1)
    if kind == "l2":
        return torch.linalg.vector_norm(x - decoded) ** 2
    if kind == "bernoulli":
        chance = decoded.sigmoid()
        return -(x * chance.log() + (1 - x) * (1 - chance).log()).sum()
    return 1 - torch.cosine_similarity(x, decoded, dim=0)


def plain(model, given, reduction="sum"):
    """The formulas of CADA-VAE for one row after the other; gives each term's sum."""
    names = model.names
    rows = len(given.values[names[0]])
    noise = {
        name: torch.randn(rows, LATENT, generator=generator(ord(name)), dtype=torch.float64)
        for name in names
    }
    terms = dict.fromkeys(("reconstruction", "kl", "cross", "distribution"), torch.zeros(()))
    for row in range(rows):
        own = [name for name in names if name not in given.masks or given.masks[name][row]]
        x = {name: given.values[name][row] for name in own}
        mean, std, z = {}, {}, {}
        for name in own:
            hidden = layer(model, f"encoders.{name}.hidden", x[name]).clamp(min=0)
            moments = layer(model, f"encoders.{name}.moments", hidden)
            mean[name], std[name] = moments[:LATENT], (0.5 * moments[LATENT:]).exp()
            z[name] = mean[name] + std[name] * noise[name][row]

        def decoding(i, j, x=x, z=z):
            hidden = layer(model, f"decoders.{j}.hidden", z[i]).clamp(min=0)
            return error(ERROR[j], x[j], layer(model, f"decoders.{j}.output", hidden))

        pairs = len(own) * (len(own) - 1) / 2
        once, both = (pairs, 2 * pairs) if reduction == "mean" and pairs else (1, 1)
        terms["reconstruction"] = sum((decoding(m, m) for m in own), terms["reconstruction"])
        for m in own:
            square = mean[m] ** 2 + std[m] ** 2
            terms["kl"] = terms["kl"] + (square - 1 - 2 * std[m].log()).sum() / 2
        for i, j in permutations(own, 2):
            terms["cross"] = terms["cross"] + decoding(i, j) / both
        for i, j in combinations(own, 2):
            distance = ((mean[i] - mean[j]) ** 2).sum() + ((std[i] - std[j]) ** 2).sum()
            terms["distribution"] = terms["distribution"] + distance.sqrt() / once
    weights = {"reconstruction": 1, "kl": BETA, "cross": GAMMA, "distribution": DELTA}
    return sum(weights[name] * value for name, value in terms.items()), terms


def masks(names, rows=6):
    """Every modality is missing somewhere, row 0 has all of them, row 1 the first alone."""
    present = torch.rand(len(names), rows, generator=generator(3)) < 0.6
    present[:, 0], present[:, 1], present[0, 1] = True, False, True
    present[torch.arange(len(names)), 2 + torch.arange(len(names)) % (rows - 2)] = False
    return dict(zip(names, present, strict=True))


def filled(given: Batch, number: float) -> Batch:
    """The batch with this number wherever a row lacks the modality."""
    values = {
        name: torch.where(given.masks[name][:, None], x, number) for name, x in given.values.items()
    }
    return Batch(values, given.masks)


def assert_plain(model, given, reduction="sum"):
    loss, terms = objective(model.names, reduction)(flow(model, given), 0)
    expected, expected_terms = plain(model, given, reduction)
    assert_same(terms, {name: value.double() for name, value in expected_terms.items()})
    assert_same(gradients(model, loss), gradients(model, expected))


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("count", COUNTS)
def test_it_is_the_plain_formula_term_by_term(count, reduction):
    names = NAMES[:count]
    assert_plain(aligner(names), batch(names), reduction)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_rows_that_lack_modalities_are_in_none_of_their_terms(count, reduction):
    names = NAMES[:count]
    assert_plain(aligner(names), batch(names, masks=masks(names)), reduction)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_what_stands_in_masked_rows_changes_nothing(count, reduction):
    names = NAMES[:count]
    model, given = aligner(names), batch(names, masks=masks(names))
    outcomes = []
    for number in (float("nan"), float("inf"), 0.0, 1e6):
        loss, terms = objective(names, reduction)(flow(model, filled(given, number)), 0)
        outcomes.append(terms | gradients(model, loss))
    for outcome in outcomes[1:]:
        assert_same(outcomes[0], outcome, rtol=0, atol=0)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_a_modality_that_no_row_has_is_as_if_it_were_not_there(reduction):
    nobody = torch.zeros(6, dtype=torch.bool)
    model, without = aligner(("a", "b", "c")), aligner(("a", "c"))
    given = batch(("a", "b", "c"), masks={"b": nobody})
    loss, terms = objective(model.names, reduction)(flow(model, given), 0)
    fewer, fewer_terms = objective(("a", "c"), reduction)(flow(without, batch(("a", "c"))), 0)
    assert_same(terms, fewer_terms)
    learnt, expected = gradients(model, loss), gradients(without, fewer)
    assert all((learnt.pop(k) == 0).all() for k in list(learnt) if k.split(".")[1] == "b")
    assert_same(learnt, expected)


def test_rows_without_any_modality_give_zero():
    nobody = dict.fromkeys("ab", torch.zeros(6, dtype=torch.bool))
    model = aligner(("a", "b"))
    loss, terms = objective(model.names)(flow(model, batch(("a", "b"), masks=nobody)), 0)
    assert loss == 0
    assert not any(terms.values())
    assert all((gradient == 0).all() for gradient in gradients(model, loss).values())


@pytest.mark.parametrize("count", COUNTS)
def test_the_order_of_modalities_changes_nothing(count):
    names = NAMES[:count]
    outcomes = []
    for order in (names, names[::-1], names[1:] + names[:1]):
        model = aligner(order)
        loss, terms = objective(order)(flow(model, batch(order, masks=masks(names))), 0)
        outcomes.append(terms | gradients(model, loss))
    for outcome in outcomes[1:]:
        assert_same(outcomes[0], outcome, rtol=0, atol=0)


class Counting:
    """One for each row of each call."""

    name = "counting"

    def __init__(self, over):
        self.over, self.calls = over, 0

    def __call__(self, first, *_):
        self.calls += 1
        rows = first.mean if isinstance(first, Gaussian) else first
        return rows.new_ones(() if self.over == "batches" else len(rows))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("over", get_args(Over))
def test_a_loss_is_called_once_for_each_pair(count, over):
    names = NAMES[:count]
    pairs = count * (count - 1) // (1 if over.startswith("ordered") else 2)
    loss = Counting(over)
    counted = objective(names, losses={"n": Weighted(loss, ramp(1.0))})
    _, terms = counted(flow(aligner(names), batch(names, rows=6)), 0)
    assert (loss.calls, terms["n"]) == (pairs, 6 * pairs)
    mean = objective(names, "mean", losses={"n": Weighted(loss, ramp(1.0))})
    _, terms = mean(flow(aligner(names), batch(names, masks=masks(names))), 0)
    # Each row that has a pair counts 1, however many pairs it has.
    paired = torch.stack(list(masks(names).values())).sum(0) >= 2
    assert terms["n"].item() == pytest.approx(int(paired.sum()))


class Between:
    """Distances of means, counted as ``over`` says: of rows, or of the two clouds."""

    name = "between"

    def __init__(self, over):
        self.over = over

    def __call__(self, p, q):
        if self.over == "batches":
            return (p.mean.mean(0) - q.std.mean(0)).square().sum() + (
                q.mean.mean(0) - p.std.mean(0)
            ).square().sum()
        return (p.mean - 2 * q.mean).square().sum(-1)


def between_plainly(model, given, over, reduction):
    """The same for one pair and one row after the other."""
    names, posteriors = model.names, flow(model, given).posteriors
    rows = len(given.values[names[0]])
    present = {name: given.masks.get(name, torch.ones(rows, dtype=torch.bool)) for name in names}
    orders = combinations if over == "batches" else permutations
    total = torch.zeros((), dtype=torch.float64)
    for i, j in orders(names, 2):
        shared = [row for row in range(rows) if present[i][row] and present[j][row]]
        for row in shared:
            own = sum(bool(present[name][row]) for name in names)
            pairs = len(list(orders(range(own), 2))) if reduction == "mean" else 1
            which = torch.tensor(shared if over == "batches" else [row])
            value = Between(over)(posteriors[i][which], posteriors[j][which])
            total = total + value.sum() / pairs
    return total


@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("over", ["ordered-posteriors", "batches"])
@pytest.mark.parametrize("count", [2, 3, 5])
def test_ordered_posteriors_and_batches_count_the_rows_that_have_both(count, over, reduction):
    names = NAMES[:count]
    model, given = aligner(names), batch(names, masks=masks(names))
    losses = {"between": Weighted(Between(over), ramp(3.0))}
    outcomes = []
    for number in (float("nan"), float("inf"), 0.0):
        summed = objective(names, reduction, losses=losses)
        loss, terms = summed(flow(model, filled(given, number)), 0)
        outcomes.append(terms | gradients(model, loss))
    for outcome in outcomes[1:]:  # what stands in rows without the modality changes nothing
        assert_same(outcomes[0], outcome, rtol=0, atol=0)
    expected = between_plainly(model, given, over, reduction)
    torch.testing.assert_close(outcomes[0]["between"], expected)
    rest, _ = objective(names, reduction, losses={})(flow(model, given), 0)
    slopes = gradients(model, rest + 3 * between_plainly(model, given, over, reduction))
    assert_same({name: outcomes[0][name] for name in slopes}, slopes)


class Refuses:
    """An alignment term that must not be asked."""

    name: ClassVar[str] = "refuses"
    over: ClassVar[Literal["ordered-pairs"]] = "ordered-pairs"

    def __call__(self, *_: Tensor) -> Tensor:
        raise AssertionError("a term without weight was computed")


def test_a_term_without_weight_is_not_computed():
    model, given = aligner(("a", "b")), batch(("a", "b"))
    later = Weighted(Refuses(), Ramp(to=1.0, start=5, end=9))
    with_it, terms = objective(model.names, losses={"later": later})(flow(model, given), 5)
    without, fewer = objective(model.names, losses={})(flow(model, given), 5)
    assert terms.keys() == fewer.keys()
    assert_same(gradients(model, with_it), gradients(model, without), rtol=0, atol=0)
    _, terms = objective(model.names, beta=0.0, losses={})(flow(model, given), 0)
    assert terms.keys() == {"reconstruction"}


def test_pairs_are_summed_by_default_and_decoded_across_only_where_a_loss_asks():
    names = NAMES[:3]
    model, given = aligner(names), batch(names)
    losses = {"distribution": Weighted(Wasserstein(), ramp(DELTA))}
    own = flow(model, given)
    by_default = Objective({n: ERRORS[ERROR[n]] for n in names}, ramp(BETA), losses)
    assert_same(by_default(own, 0)[1], objective(names, losses=losses)(flow(model, given), 0)[1])
    assert own.decoding("a", "a")
    with pytest.raises(KeyError):
        own.decoding("a", "b")


def test_the_ramps_weights_enter_the_total_and_not_the_terms():
    model, given = aligner(("a", "b")), batch(("a", "b"))
    losses = {"cross": Weighted(CrossAlignment(), Ramp(to=2.0, start=0, end=4))}
    for epoch, weight in ((1, 0.5), (4, 2.0)):
        loss, terms = objective(model.names, losses=losses)(flow(model, given), epoch)
        total = terms["reconstruction"] + BETA * terms["kl"] + weight * terms["cross"]
        torch.testing.assert_close(loss, total)


def test_the_gradient_is_that_of_finite_differences():
    names = NAMES[:3]
    model, given = aligner(names), batch(names, masks=masks(names))

    def loss():
        return objective(names)(flow(model, given), 0)[0]

    slope, h = gradients(model, loss()), 1e-6
    direction = {
        name: torch.randn(p.shape, generator=generator(9), dtype=p.dtype)
        for name, p in model.named_parameters()
    }

    @torch.no_grad()
    def at(step):
        for name, p in model.named_parameters():
            p.add_(direction[name], alpha=step)
        return loss().item()

    ahead, behind = at(h), at(-2 * h)
    expected = sum((slope[name] * v).sum().item() for name, v in direction.items())
    # Central differences err by h^2 and by rounding over h: about 1e-9 of the slope here.
    assert (ahead - behind) / (2 * h) == pytest.approx(expected, rel=1e-6)
