"""Made-up data: the same for a seed, any number of modalities, and honest splits."""

import numpy as np
import pytest

from mmalign import MmalignError
from mmalign_synthetic.dataset import Synthetic


def made(**settings):
    return Synthetic(**{"seen": 6, "unseen": 3, "validation": 2, "samples": 10, **settings})


def test_the_seed_decides_every_number():
    one, same, other = made().load(), made().load(), made(seed=1).load()
    for name, view in one.arrays.items():
        assert np.array_equal(view.values, same.arrays[name].values)
        assert not np.array_equal(view.values, other.arrays[name].values)
    assert one.hashes == same.hashes != other.hashes


def test_a_further_modality_moves_no_number_of_the_others():
    alone, more = made().load(), made(sample_views=(64, 5), class_views=(24, 3), missing=0.5).load()
    for name in ("image", "attributes"):
        assert np.array_equal(alone.arrays[name].values, more.arrays[name].values)


@pytest.mark.parametrize(
    ("sample_views", "class_views"),
    [((4,), (3,)), ((4, 5, 6), (3, 2)), ((1,) * 5, (1, 1)), ((4,), ())],
)
def test_there_are_as_many_modalities_as_asked_for(sample_views, class_views):
    source = made(sample_views=sample_views, class_views=class_views).load()
    widths = {name: (view.level, view.dim, len(view)) for name, view in source.arrays.items()}
    names = ["image", *(f"image{place}" for place in range(2, 9))]
    expected = {n: ("sample", dim, 90) for n, dim in zip(names, sample_views, strict=False)}
    names = ["attributes", *(f"attributes{place}" for place in range(2, 9))]
    expected |= {n: ("class", dim, 9) for n, dim in zip(names, class_views, strict=False)}
    assert widths == expected


def test_a_share_of_rows_lacks_each_modality_but_the_first():
    source = made(samples=100, sample_views=(4, 4, 4), missing=0.3).load()
    assert source.arrays["image"].mask.all()
    assert source.arrays["attributes"].mask.all()
    for name in ("image2", "image3"):
        view = source.arrays[name]
        assert (~view.mask).mean() == pytest.approx(0.3, abs=0.05)
        assert np.isnan(view.values[~view.mask]).all()
    assert (source.arrays["image2"].mask != source.arrays["image3"].mask).any()


def test_every_sample_is_in_one_split_and_no_unseen_class_trains():
    source = made().load()
    splits = source.splits
    parts = [splits.train, splits.test_seen, splits.test_unseen]
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(source.labels)))
    classes = [set(source.labels[rows].tolist()) for rows in parts]
    assert classes == [set(range(6)), set(range(6)), {6, 7, 8}]
    assert set(splits.validation_classes.tolist()) <= classes[0]
    assert len(splits.validation_classes) == 2
    assert [source.classes[index].split()[0] for index in (0, 5, 6, 8)] == [
        *("seen", "seen", "unseen", "unseen")
    ]


def test_the_classes_can_be_told_apart_and_without_spread_are_points():
    source = made(spread=0.0, samples=4).load()
    image = source.arrays["image"].values.reshape(9, 4, -1)
    within = image.std(1).mean()
    between = image.mean(1).std(0).mean()
    assert within < 0.05 < between


@pytest.mark.parametrize(
    "settings",
    [{"validation": 6}, {"sample_views": ()}, {"sample_views": (0,)}, {"class_views": (3, -1)}],
)
def test_sizes_that_leave_nothing_are_refused(settings):
    with pytest.raises(MmalignError, match="data set 'synthetic'"):
        made(**settings).load()


@pytest.mark.parametrize(
    "settings",
    [
        *({"seen": 1}, {"unseen": 0}, {"samples": 1}, {"validation": 0}, {"factors": 0}),
        *({"spread": -1.0}, {"missing": 1.0}, {"missing": float("nan")}, {"seed": -1}),
    ],
)
def test_numbers_out_of_range_are_refused_when_a_recipe_is_read(settings):
    with pytest.raises(ValueError, match=next(iter(settings))):
        made(**settings)
