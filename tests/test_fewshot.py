"""Few shots: what is given away, to whom, and what is asked then."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from commands import SMALL, call, only, refused, report_of
from helpers import ASKED, SEEN, TRAINED, UNSEEN_ROWS, modalities, source

from mmalign import Aligner, MmalignError, Protocol, Session, View, pose, sample, validation
from mmalign_aligned_vae.fusion import product
from mmalign_aligned_vae.latents import Drawer

VALIDATION = np.array([1, 3])
UNSEEN = (4, 5)


def posed(given=None, draw=0, seed=0, **protocol):
    given = given or source(VALIDATION)
    made = modalities(scaler="none")
    return pose(given, given.arrays, made, Protocol(**protocol), seed, draw)


def images(view):
    """The rows of a view as a set, to compare what is where."""
    return {row.tobytes() for row in view.values}


@pytest.mark.parametrize("shots", [1, 3])
def test_shots_leave_the_question_and_join_what_may_be_learnt_from(shots):
    before, after = posed(), posed(shots=shots)
    given = after.training.shots
    assert sorted(given.labels.tolist()) == sorted(UNSEEN * shots)
    counts = np.bincount(after.question.labels)
    assert counts.tolist() == [ASKED] * SEEN + [UNSEEN_ROWS - shots] * 2
    asked, shown = images(after.question.views["image"]), images(given.views["image"])
    assert not asked & shown
    assert asked | shown == images(before.question.views["image"])
    # The representation's rows are as they were: nothing of an unseen class is among them.
    assert np.array_equal(after.training.labels, before.training.labels)
    assert images(after.training.views["image"]) == images(before.training.views["image"])


def test_labels_of_shots_and_of_what_is_left_stay_with_their_rows():
    given = source(VALIDATION)
    label = {
        row.tobytes(): int(y)
        for row, y in zip(given.arrays["image"].values, given.labels, strict=True)
    }
    after = posed(given, shots=2)
    for part in (after.training.shots, after.question):
        for row, y in zip(part.views["image"].values, part.labels, strict=True):
            assert label[row.tobytes()] == y


def test_a_draw_is_the_same_for_every_seed_and_method_and_another_is_not():
    one, same, other = (posed(draw=d, seed=s, shots=2) for d, s in ((0, 0), (0, 7), (1, 0)))
    shown = [images(each.training.shots.views["image"]) for each in (one, same, other)]
    assert shown[0] == shown[1] != shown[2]


def test_one_shot_is_among_the_first_two():
    one, two = (images(posed(shots=k).training.shots.views["image"]) for k in (1, 2))
    assert one < two


def test_the_representation_sees_the_shots_where_it_is_to():
    problem = posed(shots=2, shots_in_representation=True)
    training = problem.training
    assert len(training.labels) == SEEN * TRAINED + 4
    assert images(training.shots.views["image"]) < images(training.views["image"])
    assert training.seen.tolist() == [0, 1, 2, 3]
    assert training.unseen.tolist() == [4, 5]


def test_shots_are_scaled_as_the_training_rows_are():
    given = source(VALIDATION)
    problem = pose(given, given.arrays, modalities(scaler="min-max"), Protocol(shots=1), draw=3)
    raw = posed(given, shots=1, draw=3).training.shots.views["image"]
    scaled = problem.scalings["image"](raw)
    np.testing.assert_array_equal(problem.training.shots.views["image"].values, scaled.values)


@pytest.mark.parametrize("in_representation", [False, True])
def test_validation_gives_as_many_shots_of_its_own_unseen_classes(in_representation):
    training = posed(shots=2, shots_in_representation=in_representation).training
    problem = validation(training)
    shots = problem.training.shots
    assert sorted(shots.labels.tolist()) == [1, 1, 3, 3]
    counts = np.bincount(problem.question.labels, minlength=6)
    assert counts[[1, 3]].tolist() == [TRAINED - 2] * 2
    assert counts[[4, 5]].tolist() == [0, 0]  # no row of a truly unseen class is asked ...
    learnt = set(problem.training.labels.tolist())
    assert learnt == ({0, 1, 2, 3} if in_representation else {0, 2})  # ... or learnt from
    assert not images(shots.views["image"]) & images(problem.question.views["image"])


def test_the_validation_question_itself_can_be_a_few_shot_one():
    problem = posed(split="validation", shots=2)
    assert sorted(problem.training.shots.labels.tolist()) == [1, 1, 3, 3]


def test_a_class_that_would_have_no_row_left_is_named():
    with pytest.raises(MmalignError, match="'t' has 4 samples to ask; 4 shots would leave none"):
        posed(shots=4)


def test_latents_of_shots_are_of_the_shots_tiled():
    training = posed(shots=2).training
    aligner = Aligner(modalities(), training.signature.dims, 4, Session(0).generator)
    latents = Drawer(Session(0), "independent", "std", aligner, training)
    assert latents.shots == 2
    z, labels = latents.draw(("image", "attributes"), (5,), 3, "p", "shots")
    assert labels.tolist() == [5, 5, 5]
    rows = training.shots.views["image"].values[training.shots.labels == 5][[0, 1, 0]]
    posterior = aligner.encode("image", torch.from_numpy(rows))
    generator = Session(0).generator("p.shots.image")
    assert torch.equal(z, sample(posterior, generator, "independent", "std"))


def test_a_count_is_shared_out_among_the_modalities_that_a_class_has():
    training = posed().training
    attributes = training.views["attributes"].values
    views = {
        "a": View(attributes, "class"),
        "b": View(attributes, "class", np.arange(6) != 4),
        "c": View(attributes, "class", np.arange(6) != 4),
    }
    shared = {name: modalities()["attributes"] for name in views}
    training = replace(training, views=views)
    aligner = Aligner(shared, training.signature.dims, 4, Session(0).generator)
    latents = Drawer(Session(0), "independent", "std", aligner, training)
    _, labels = latents.draw(("a", "b", "c"), (4, 5), 8, "p")
    assert labels.tolist() == [4] * 8 + [5] * 3 + [5] * 3 + [5] * 2
    with pytest.raises(MmalignError, match="draws from 'sound'"):
        latents.draw(("sound",), (4,), 1, "p")
    # "a+b" is one source: of the product where a class has both, of "a" alone where it has not.
    _, labels = latents.draw(("a+b", "c"), (4, 5), 8, "p")
    assert labels.tolist() == [4] * 8 + [5] * 4 + [5] * 4
    z, _ = latents.draw(("a+b",), (4, 5), 2, "p")
    posteriors = [
        aligner.encode(name, torch.from_numpy(attributes[[4, 4, 5, 5]])) for name in ("a", "b")
    ]
    present = torch.tensor([[True] * 4, [False, False, True, True]])
    generator = Session(0).generator("p.a+b")
    expected = sample(product(posteriors, present), generator, "independent", "std")
    assert torch.equal(z, expected)


def test_a_product_of_samples_and_classes_is_refused():
    training = posed().training
    aligner = Aligner(modalities(), training.signature.dims, 4, Session(0).generator)
    latents = Drawer(Session(0), "independent", "std", aligner, training)
    with pytest.raises(MmalignError, match="rows of one kind"):
        latents.draw(("attributes+image",), (4,), 1, "p")


SHOTS = ["--set", "head.use=few-shot", "--set", "protocol.shots=1", "--set", "protocol.draws=2"]


def test_a_run_answers_every_draw_of_each_seed_with_one_representation(tmp_path):
    done = call("run", "synthetic", *SMALL, *SHOTS, "--seeds", 2, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 seeds and 2 draws of the shots" in done.stdout
    folder = only(tmp_path / "runs" / "synthetic")
    report = report_of(folder)
    assert [(each["seed"], each["draw"]) for each in report["runs"]] == [
        (0, 0), (0, 1), (1, 0), (1, 1),
    ]  # fmt: skip
    told = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    trained = [line for line in told if '"stage": "representation", "epoch": 1,' in line]
    assert len(trained) == 2


def test_a_head_and_a_protocol_that_disagree_about_shots_are_refused(tmp_path):
    said = refused("run", "synthetic", "--set", "protocol.shots=1", cwd=tmp_path)
    assert "'softmax' draws nothing from protocol.shots" in said
    said = refused("run", "synthetic", "--set", "head.use=few-shot", cwd=tmp_path)
    assert "protocol.shots: missing" in said


@pytest.mark.parametrize("field", ["seen_from", "unseen_from", "shots_from"])
def test_a_head_that_draws_from_what_is_not_there_is_refused_at_once(field, tmp_path):
    given = ["--set", "head.use=few-shot", "--set", "protocol.shots=1"]
    given += ["--set", f'head.{field}=["attributes + imagf"]']
    said = refused("run", "synthetic", *given, cwd=tmp_path)
    assert f"head.{field}: no modality 'imagf'; did you mean 'image'?" in said
