"""Search in a latent space, against counting by hand; and the commands that look into one."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from commands import SMALL, call, only, refused, report_of

import mmalign
from mmalign import retrieval
from mmalign.featurefile import read_features
from mmalign.retrieval import measure_retrieval, nearest


def test_nearest_is_by_cosine_whatever_the_length():
    items = np.array([[1, 0], [0, 5], [-1, 0], [3, 3]], np.float32)
    places, cosines = nearest(np.array([[0.1, 0], [0, 100]], np.float32), items, 2)
    assert places.tolist() == [[0, 3], [1, 3]]
    assert cosines == pytest.approx(np.array([[1, 0.5**0.5]] * 2), abs=1e-6)


def test_of_equal_items_the_first_comes_first():
    items = np.array([[0, 1], [2, 0], [1, 0]], np.float32)
    assert nearest(np.array([[1, 0]], np.float32), items, 9)[0].tolist() == [[1, 2, 0]]


def test_parts_make_no_difference(monkeypatch):
    random = np.random.default_rng(0)
    queries, items = random.normal(size=(7, 3)), random.normal(size=(5, 3))
    wanted, labels = random.integers(0, 3, 7), random.integers(0, 3, 5)
    whole = nearest(queries, items, 4)
    measured = measure_retrieval(queries, wanted, items, labels)
    monkeypatch.setattr(retrieval, "PART", 10)
    for one, other in zip(whole, nearest(queries, items, 4), strict=True):
        assert one == pytest.approx(other)
    assert measure_retrieval(queries, wanted, items, labels) == measured


def test_recall_and_rank_are_those_counted_by_hand():
    angles = np.deg2rad([0, 10, 20, 30, 40, 50])
    items = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    labels = np.array([0, 0, 1, 1, 2, 3])
    # From 0 degrees, class 1 is first met at rank 3 and class 2 at 5; from 50, class 3 at 1.
    queries = items[[0, 0, 5]]
    found = measure_retrieval(queries, np.array([1, 2, 3]), items, labels)
    assert found.recall == {1: 1 / 3, 5: 1.0, 10: 1.0}
    assert found.mean_rank == pytest.approx((3 + 5 + 1) / 3)
    assert (found.queries, found.items) == (3, 6)


def test_ties_count_against_and_strangers_not_at_all():
    items = np.ones((4, 2))
    found = measure_retrieval(np.ones((2, 2)), np.array([1, 9]), items, np.array([0, 0, 1, 2]))
    assert found.mean_rank == 4
    assert found.queries == 1
    assert measure_retrieval(np.ones((1, 2)), np.array([9]), items, np.zeros(4, int)) is None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a finished run that was asked for retrieval, and rows to search."""
    folder = tmp_path_factory.mktemp("place")
    laid = ("--set", "report.retrieval=true", "--set", "modality.attributes.scaler=standard")
    done = call("run", "synthetic", *SMALL, "--set", "method.epochs=400", *laid, "--seeds", 1,
                cwd=folder)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "attributes to image, unseen" in done.stdout
    random = np.random.default_rng(0)
    np.save(folder / "rows.npy", random.random((6, 64)))
    with (folder / "text.csv").open("w", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["class", *(f"a{n}" for n in range(24))])
        lines.writerow(["one", *random.random(24)])
        lines.writerow(["other", *random.random(24)])
    return folder


@pytest.fixture(scope="module")
def model(place):
    return only(place / "runs" / "synthetic")


def test_the_report_has_recall_and_rank_there_and_back(place, model):
    (run,) = report_of(model)["runs"]
    found = run["facts"]["retrieval"]
    assert set(found) == {
        f"{way}, {space}"
        for way in ("attributes to image", "image to attributes")
        for space in ("unseen", "all")
    }
    there, back = found["attributes to image, unseen"], found["image to attributes, unseen"]
    assert (there["queries"], there["items"]) == (3, 18)
    assert (back["queries"], back["items"]) == (18, 3)
    assert back["R@5"] == 1  # of three items
    assert 1 <= back["mean_rank"] <= 3


def test_a_method_without_a_latent_space_is_refused_before_it_is_fitted(tmp_path):
    recipe = """
    dataset.use = "synthetic"
    method.use = "eszsl"
    report.retrieval = true
    [modality.image]
    [modality.attributes]
    """
    (tmp_path / "mine.toml").write_text(recipe)
    assert "report.retrieval: the method 'eszsl'" in refused("run", "mine.toml", cwd=tmp_path)


@pytest.mark.parametrize("suffix", ["npy", "safetensors", "parquet"])
def test_embed_writes_the_latents_of_the_model(place, model, suffix):
    out = f"latents.{suffix}"
    assert call("embed", model, "text.csv", "--out", out, cwd=place).returncode == 0
    described = np.genfromtxt(place / "text.csv", delimiter=",", skip_header=1)[:, 1:]
    expected = mmalign.load(model).embed({"attributes": described})
    if suffix == "npy":
        found = np.load(place / out)
    elif suffix == "parquet":
        table = pq.read_table(place / out)
        assert table["name"].to_pylist() == ["one", "other"]
        found = np.array(table["features"].to_pylist())
    else:
        assert read_features(place / out).names == ("one", "other")
        found = read_features(place / out).features
    assert found.shape == (2, 16)
    assert found == pytest.approx(expected, abs=1e-6)


def test_embed_fuses_several_modalities(place, model):
    np.save(place / "two.npy", np.full((6, 24), 0.5))
    given = ("image=rows.npy", "attributes=two.npy", "--out", "both.npy")
    assert call("embed", model, *given, cwd=place).returncode == 0
    rows = {"image": np.load(place / "rows.npy"), "attributes": np.full((6, 24), 0.5)}
    expected = mmalign.load(model).embed(rows)
    assert np.load(place / "both.npy") == pytest.approx(expected, abs=1e-6)


def test_translate_gives_unscaled_numbers_of_the_other_modality(place, model):
    given = ("rows.npy", "--to", "attributes", "--out", "said.npy")
    assert "6 rows of 24 numbers" in call("translate", model, *given, cwd=place).stdout
    loaded = mmalign.load(model)
    z = loaded.embed(np.load(place / "rows.npy"))
    scaled = loaded.fitted.decode(z, "attributes")
    scaling = loaded.scalings["attributes"]
    expected = scaled / scaling.factor + scaling.offset
    assert np.load(place / "said.npy") == pytest.approx(expected, abs=1e-5)


def test_scaling_is_undone(model):
    loaded = mmalign.load(model)
    rows = np.random.default_rng(1).random((4, 24)).astype(np.float32)
    scaling = loaded.scalings["attributes"]
    scaled = scaling(mmalign.View(rows, "sample")).values
    assert scaling.undone(scaled) == pytest.approx(rows, abs=1e-5)


def test_a_decoding_is_near_what_was_encoded(place, model):
    # A reconstruction must beat the mean of the rows, or nothing was learnt.
    source = mmalign.load(model)
    from mmalign_synthetic.dataset import Synthetic

    data = Synthetic(seen=6, unseen=3, samples=6, validation=2).load()
    rows = data.arrays["image"].values[data.splits.train]
    back = source.translate(rows, "image")
    assert np.abs(back - rows).mean() < 0.8 * np.abs(rows - rows.mean(0)).mean()


def test_retrieve_searches_across_modalities(place, model):
    said = call("retrieve", model, "text.csv", "rows.npy", "--top", 2, cwd=place).stdout
    found = list(csv.DictReader(io.StringIO(said)))
    loaded = mmalign.load(model)
    items = loaded.embed(np.load(place / "rows.npy"))
    described = np.genfromtxt(place / "text.csv", delimiter=",", skip_header=1)[:, 1:]
    places, cosines = nearest(loaded.embed({"attributes": described}), items, 2)
    assert [each["name"] for each in found] == ["one", "one", "other", "other"]
    assert [int(each["item"]) for each in found] == places.ravel().tolist()
    assert [float(each["cosine"]) for each in found] == pytest.approx(cosines.ravel(), rel=1e-4)
    call("retrieve", model, "rows.npy", "text.csv", "--out", "b.jsonl", cwd=place)
    lines = [json.loads(line) for line in (place / "b.jsonl").read_text().splitlines()]
    assert {each["item"] for line in lines for each in line["best"]} == {"one", "other"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("embed", "RUN", "rows.npy", "--out", "x.txt"), "name a file of one of .npy"),
        (("embed", "RUN", "none.npy", "--out", "x.npy"), "No such file"),
        (("embed", "RUN", "rows.npy", "--out", "no/x.npy"), "cannot write"),
        (("embed", "RUN", "rows.npy", "text.csv", "--out", "x.npy"), "each says its modality"),
        (("embed", "RUN", "image=rows.npy", "attributes=text.csv", "--out", "x.npy"), "alone"),
        (("translate", "RUN", "rows.npy", "--to", "sound", "--out", "x.npy"), "no modality"),
        (("retrieve", "RUN", "rows.npy", "none.csv"), "is not there"),
    ],
)
def test_wrong_calls_are_refused(place, model, arguments, said):
    given = [model if each == "RUN" else each for each in arguments]
    assert said in refused(*given, cwd=place)
    assert not list(place.glob("x.*"))


def test_a_system_without_a_latent_space_says_so(tmp_path):
    recipe = """
    dataset = { use = "synthetic", seen = 6, unseen = 3, validation = 2, samples = 6 }
    method.use = "eszsl"
    [modality.image]
    [modality.attributes]
    """
    (tmp_path / "mine.toml").write_text(recipe)
    assert call("run", "mine.toml", cwd=tmp_path).returncode == 0
    np.save(tmp_path / "rows.npy", np.ones((2, 64)))
    run = only(tmp_path / "runs" / "mine")
    said = refused("embed", run, "rows.npy", "--out", "x.npy", cwd=tmp_path)
    assert "'eszsl' has no latent space" in said
