"""What passes between the rooms, and what it refuses."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import gaussian, source, training

from mmalign import MmalignError, Session, Source, Texts, View
from mmalign.types import Scaling

NAN = float("nan")


def floats(*rows):
    return np.array(rows, dtype=np.float32)


def test_a_view_without_a_mask_has_every_row():
    view = View(floats([1, 2], [3, 4], [5, 6]), "sample")
    assert view.mask.tolist() == [True, True, True]
    assert (len(view), view.dim) == (3, 2)


def test_a_view_takes_rows_with_their_mask():
    view = View(floats([1], [NAN], [3]), "class", np.array([True, False, True]))
    taken = view.take(np.array([2, 1]))
    assert (taken.level, taken.mask.tolist()) == ("class", [True, False])
    assert taken.values[0] == 3


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_a_view_refuses_what_is_not_finite_unless_it_is_masked(bad):
    values = floats([1, 2], [3, bad])
    with pytest.raises(MmalignError, match="row 1 of a view holds NaN or infinity"):
        View(values, "sample")
    assert len(View(values, "sample", np.array([True, False]))) == 2


def test_a_view_refuses_shapes_that_disagree():
    with pytest.raises(MmalignError, match="two axes"):
        View(np.zeros(3, dtype=np.float32), "sample")
    with pytest.raises(MmalignError, match="2 rows has a mask of shape"):
        View(floats([1], [2]), "sample", np.array([True]))


@pytest.mark.parametrize(("level", "what"), [("sample", "samples"), ("class", "classes")])
def test_a_source_refuses_arrays_of_another_length(level, what):
    given = source()
    with pytest.raises(MmalignError, match=f"'tiny': 'extra' has 2 rows for .* {what}"):
        Source(
            name="tiny",
            classes=given.classes,
            labels=given.labels,
            arrays={"extra": View(floats([1], [2]), level)},
            splits=given.splits,
        )


def test_a_view_keeps_its_word_when_rows_are_taken():
    view = View(floats([1], [2]), "class", notes=("two",), hashes={"file": "0" * 64})
    taken = view.take(np.array([1]))
    assert (taken.notes, taken.hashes) == (view.notes, view.hashes)


def test_a_source_takes_over_what_its_views_say():
    given = replace(source(), notes=("own",), hashes={"a": "1"})
    view = View(floats([1]), "class", notes=("one", "two"), hashes={"file": "2"})
    told = given.with_word_of({"words": view, "image": given.arrays["image"]})
    assert told.notes == ("own", "words: one", "words: two")
    assert told.hashes == {"a": "1", "words/file": "2"}


@pytest.mark.parametrize("level", ["sample", "class"])
def test_texts_have_a_row_each(level):
    given = source()
    rows = len(given.labels if level == "sample" else given.classes)
    texts = Texts((("one", "two"), *[()] * (rows - 1)), level)
    assert replace(given, texts={"t": texts}).texts["t"] is texts
    with pytest.raises(MmalignError, match=f"'t' has 1 rows for {rows}"):
        replace(given, texts={"t": Texts((("one",),), level)})


def test_names_of_samples_are_one_each_and_apart():
    given = source()
    names = tuple(f"{place}.jpg" for place in range(len(given.labels)))
    assert replace(given, samples=names).samples == names
    with pytest.raises(MmalignError, match=f"1 names for {len(names)} samples"):
        replace(given, samples=names[:1])
    with pytest.raises(MmalignError, match=r"two samples are called '0\.jpg'"):
        replace(given, samples=(names[0], *names[:-1]))


def test_scaling_by_hand_and_zeros_where_masked():
    view = View(floats([1, 2], [NAN, NAN], [3, 6]), "sample", np.array([True, False, True]))
    offset, factor = np.float32([1, 2]), np.float32([2, 0.5])
    assert Scaling(offset, factor)(view).values.tolist() == [[0, 0], [0, 0], [4, 2]]
    unit = Scaling(offset, factor, unit=True)(view).values
    np.testing.assert_allclose(unit, [[0, 0], [0, 0], [2 / 5**0.5, 1 / 5**0.5]], rtol=1e-6)
    with pytest.raises(MmalignError, match="trained on 2"):
        Scaling(offset, factor)(View(floats([1]), "sample"))


def test_a_gaussians_rows_and_deviation():
    p = gaussian(rows=4)
    some = p[torch.tensor([2, 0])]
    assert torch.equal(some.mean, p.mean[[2, 0]])
    torch.testing.assert_close(some.std.square(), p.logvar[[2, 0]].exp())


def test_a_signature_is_names_and_shapes():
    signature = training().signature
    assert (signature.seen, signature.unseen) == ((0, 1, 2, 3), (4, 5))
    assert signature.dims == {"image": 5, "attributes": 3}
    assert signature.levels == {"image": "sample", "attributes": "class"}


def draw(seed, name):
    return torch.rand(64, generator=Session(seed).generator(name))


def test_generators_are_reproducible_and_go_by_name_and_seed():
    assert torch.equal(draw(0, "order"), draw(0, "order"))
    assert not torch.equal(draw(0, "order"), draw(0, "noise"))
    assert not torch.equal(draw(0, "order"), draw(1, "order"))


def test_generators_are_independent():
    draws = torch.stack([draw(seed, name) for seed in range(20) for name in "ab"])
    correlation = torch.corrcoef(draws) - torch.eye(len(draws))
    # 780 correlations of 64 numbers have a standard error of 1/8 each; 5 of them are enough.
    assert correlation.abs().max() < 5 / 8


def test_one_generators_draws_do_not_move_anothers():
    session = Session(0)
    one, other = session.generator("one"), session.generator("other")
    torch.rand(9, generator=other)
    assert torch.equal(torch.rand(64, generator=one), draw(0, "one"))
