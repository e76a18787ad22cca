"""Mixed side information: each class carries one of two class-level modalities."""

from dataclasses import replace

import numpy as np
import pytest
from commands import SMALL, call, refused
from helpers import modalities, source
from test_aligned_vae import method, parts

from mmalign import Mix, MmalignError, Protocol, Session, View, pose
from mmalign.withheld import mixed

SEEN, UNSEEN = np.arange(10), np.arange(10, 20)


def views(**missing):
    return {
        name: View(np.ones((20, 2), np.float32), "class", ~np.isin(np.arange(20), lacking))
        for name, lacking in ({"a": [], "b": []} | missing).items()
    }


def carried(seen, unseen, seed=0):
    mix = Mix(between=("a", "b"), seen=seen, unseen=unseen)
    made = mixed(views(), mix, SEEN, UNSEEN, seed)
    assert np.array_equal(made["a"].mask, ~made["b"].mask)  # exactly one each
    return set(np.flatnonzero(made["b"].mask).tolist())


@pytest.mark.parametrize(("seen", "unseen"), [(0, 0), (30, 70), (100, 0), (100, 100)])
def test_each_side_has_its_share(seen, unseen):
    second = carried(seen, unseen)
    assert len(second & set(range(10))) == seen / 10
    assert len(second & set(range(10, 20))) == unseen / 10


def test_a_larger_share_holds_the_smaller_one_and_a_seed_its_own():
    assert carried(30, 30) < carried(50, 30) < carried(50, 80)
    assert carried(50, 50, seed=1) != carried(50, 50)


def test_the_share_of_one_side_moves_nothing_on_the_other():
    assert carried(0, 50) & set(range(10, 20)) == carried(70, 50) & set(range(10, 20))


def test_a_class_that_lacks_what_it_is_to_carry_is_an_error():
    mix = Mix(between=("a", "b"), seen=100)
    with pytest.raises(MmalignError, match=r"1 classes are to carry 'b' and lack it.*index 3"):
        mixed(views(b=[3, 15]), mix, SEEN, UNSEEN, 0)


def test_what_a_class_does_not_carry_is_never_learnt_from():
    """NaN in the place of what is hidden changes no bit of the fit."""
    given = source(np.array([1, 3]))
    attributes = given.arrays["attributes"]
    arrays = {**given.arrays, "other": View(attributes.values[:, ::-1].copy(), "class")}
    given = replace(given, arrays=arrays)
    three = {**modalities(), "other": modalities()["attributes"]}
    mix = Mix(between=("attributes", "other"), seen=50, unseen=50)
    problem = pose(given, given.arrays, three, Protocol(mix=mix))
    poisoned = {
        name: View(np.where(view.mask[:, None], view.values, np.nan), view.level, view.mask)
        for name, view in problem.training.views.items()
    }
    around = replace(parts(), modalities=three)
    fitted = [
        method().fit(training, around, Session(0))
        for training in (problem.training, replace(problem.training, views=poisoned))
    ]
    one, other = (
        each.scores(problem.question.views, problem.question.search.tolist()) for each in fitted
    )
    np.testing.assert_array_equal(one, other)


MIXED = [
    *("--set", "dataset.class_views=[24,24]", "--set", "modality.more.use=attributes"),
    *("--set", "modality.more.array=attributes2", "--set", "modality.more.hidden=[16,16]"),
    *("--set", 'protocol.mix.between=["attributes","more"]', "--set", "protocol.mix.unseen=50"),
]


def test_a_mixed_recipe_runs_even_where_no_seen_class_carries_the_second(tmp_path):
    done = call("run", "synthetic", *SMALL, *MIXED, "--seeds", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "0 % of seen and 50 % of unseen classes carry more" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("between", "said"),
    [('["attributes","sound"]', "no modality 'sound'"), ('["a","a"]', "two different")],
)
def test_a_mix_of_what_is_not_there_is_refused(between, said, tmp_path):
    given = ["--set", f"protocol.mix.between={between}"]
    assert said in refused("run", "synthetic", *given, cwd=tmp_path)


def test_a_mix_needs_side_information_of_classes():
    given = source()
    protocol = Protocol(mix=Mix(between=("image", "attributes")))
    with pytest.raises(MmalignError, match="'image' has one row a sample"):
        pose(given, given.arrays, modalities(), protocol)
