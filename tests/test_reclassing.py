"""Classes come to a finished model and go, by the commands and by its Python object."""

import json
import shutil

import numpy as np
import pytest
from commands import SMALL, call, refused

import mmalign
from mmalign import MmalignError
from mmalign.bundle import CARD, CONFIG

GROWN = ["--set", "protocol.search=seen"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that knows nothing of unseen classes; its folder, and the run that knows them."""
    place = tmp_path_factory.mktemp("runs")
    found = []
    for more in (GROWN, []):
        done = call("run", "quickstart", *SMALL, *more, "--set", "run.seeds=1", cwd=place)
        assert done.returncode == 0, done.stderr
        (run,) = set((place / "runs" / "quickstart").iterdir()) - set(found)
        found.append(run)
    return found


@pytest.fixture
def place(finished, tmp_path):
    shutil.copytree(finished[0] / "model", tmp_path / "model")
    return tmp_path


def table(path, names, dim=32, seed=0, header="class"):
    numbers = np.random.default_rng(seed).random((len(names), dim)).round(3)
    lines = [",".join([header, *(f"a{column}" for column in range(dim))])]
    lines += [",".join([name, *map(str, row)]) for name, row in zip(names, numbers, strict=True)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return numbers.astype(np.float32)


def width(place):
    return mmalign.load(place / "model").signature.dims["attributes"]


def rows(place, count=4):
    dim = mmalign.load(place / "model").signature.dims["image"]
    return np.random.default_rng(0).random((count, dim)).astype(np.float32)


def test_classes_are_added_and_removed_by_the_commands(place):
    before = mmalign.load(place / "model")
    table(place / "new.csv", ["unicorn", "kraken"], width(place))
    done = call("add-classes", "model", "new.csv", "bigger", cwd=place)
    assert done.returncode == 0, done.stderr
    count = len(before.known_classes)
    assert f"2 classes more, {count + 2} in all, described by attributes" in done.stdout
    bigger = mmalign.load(place / "bigger")
    assert bigger.known_classes == (*before.known_classes, "unicorn", "kraken")
    assert bigger.scores(rows(place)).shape == (4, count + 2)
    assert "## Classes were changed" in (place / "bigger" / CARD).read_text()
    assert "added: unicorn, kraken" in (place / "bigger" / CARD).read_text()

    done = call("remove-classes", "bigger", "unicorn", before.classes[0], "--to", "less", cwd=place)
    assert done.returncode == 0, done.stderr
    less = mmalign.load(place / "less")
    assert less.known_classes == (*before.known_classes[1:], "kraken")
    card = (place / "less" / CARD).read_text()
    assert card.count("## Classes were changed") == 1
    assert f"removed: {before.classes[0]}, unicorn" in card
    assert mmalign.load(place / "model").known_classes == before.known_classes


def test_what_was_unseen_is_added_as_if_it_had_been_known(finished, place):
    """Whoever adds the data set's own unseen classes gets the classifier of these alone."""
    known = mmalign.load(finished[1])
    seen_only = mmalign.load(place / "model")
    names = [known.classes[index] for index in known.signature.unseen]
    source = mmalign_synthetic(known)
    described = source.arrays["attributes"].values[list(known.signature.unseen)]
    later = seen_only.with_classes(names, {"attributes": described})
    x = rows(place, 20)
    one, other = known.scores(x, names), later.scores(x, names)
    # Both heads have the same latents and generators; the descriptions were encoded in
    # another batch.
    np.testing.assert_allclose(one, other, atol=1e-4)


def mmalign_synthetic(model):
    from mmalign.plugins import discover
    from mmalign.recipe import assemble

    return assemble("model", model.config["recipe"], discover()).dataset.load()


def test_a_model_in_python_says_what_it_cannot_take(place):
    model = mmalign.load(place / "model")
    one = np.zeros((1, width(place)), np.float32)
    for names, given, message in [
        ([model.classes[0]], {"attributes": one}, "knows the class"),
        (["x", "x"], {"attributes": one.repeat(2, 0)}, "there twice"),
        ([], {"attributes": one[:0]}, "no class to add"),
        (["x"], {"image": one}, "'image' describes no class"),
        (["x"], {"attributes": one.repeat(2, 0)}, "2 rows for 1 classes"),
        (["x"], {}, "'x' has no description"),
        (["x"], {"attributes": one * np.nan}, "'x' has no description"),
        (["x"], {"attributes": one[:, :-1]}, "the model was trained on"),
        (["x"], {"attributes": one[0]}, r"\(classes, dim\) was expected"),
        (["x"], {"attributes": [["a"]]}, "'attributes'"),
    ]:
        with pytest.raises(MmalignError, match=message):
            model.with_classes(names, given)
    with pytest.raises(MmalignError, match="knows no class 'unicorn'"):
        model.without_classes(["unicorn"])
    with pytest.raises(MmalignError, match="1 classes would be left"):
        model.without_classes(model.known_classes[1:])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("class,a\n", "no line below"),
        ("name,a\nx,1\n", "no column 'class'"),
        ("class,a\nx,1\n", "columns of numbers; the model takes"),
        ("class\nx\n", "nothing in it describes classes"),
        ("class,description\nx,a red bird\n", "nothing in it describes classes"),
        ("class,a\nx,nan\n", "no number that an attribute can have"),
        ("class,a\nx,1,2\n", "3 cells for 2 columns"),
        ("class,split,a\nx,seen,1\n", "has a column 'split'"),
    ],
)
def test_wrong_files_of_classes_are_refused(place, text, message):
    (place / "new.csv").write_text(text, encoding="utf-8")
    said = refused("add-classes", "model", "new.csv", "bigger", cwd=place)
    assert message in said
    assert not (place / "bigger").exists()


def test_a_file_that_is_not_there_and_a_folder_that_is(place):
    assert "is not there" in refused("add-classes", "model", "none.csv", "bigger", cwd=place)
    table(place / "new.csv", ["unicorn"], width(place))
    said = refused("add-classes", "model", "new.csv", "model", cwd=place)
    assert "is there already" in said


def test_a_system_takes_any_class_that_is_described(tmp_path):
    """Nothing is fitted again: the same scores for the others, bit for bit."""
    done = call("cp", "quickstart", "mine.toml", cwd=tmp_path)
    text = (tmp_path / "mine.toml").read_text()
    kept = text[: text.index("[method]")] + '[method]\nuse = "eszsl"\n'
    (tmp_path / "mine.toml").write_text(kept, encoding="utf-8")
    done = call("run", "mine.toml", *SMALL[:8], "--set", "run.seeds=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs" / "mine").iterdir()
    shutil.copytree(run / "model", tmp_path / "model")
    before = mmalign.load(tmp_path / "model")
    table(tmp_path / "new.csv", ["unicorn"], width(tmp_path))
    assert call("add-classes", "model", "new.csv", "bigger", cwd=tmp_path).returncode == 0
    bigger, x = mmalign.load(tmp_path / "bigger"), rows(tmp_path)
    np.testing.assert_array_equal(bigger.scores(x)[:, :-1], before.scores(x))
    gone = before.known_classes[0]
    less = bigger.without_classes([gone])
    np.testing.assert_array_equal(less.scores(x), bigger.scores(x)[:, 1:])


def test_the_bundle_keeps_the_head_that_was_chosen(place):
    config = json.loads((place / "model" / CONFIG).read_text())
    assert isinstance(config["recipe"]["head"]["epochs"], int)


def test_a_classifier_of_made_up_features_cannot_change_its_classes(tmp_path):
    laid = ["--set", "sweep.seeds=1", "--set", "sweep.models=true", "--workers", 1]
    call("cp", "quickstart_table", "mine.toml", cwd=tmp_path)
    text = (tmp_path / "mine.toml").read_text()
    start = text.index("[sweep.cells.CMT]")
    cell = text.index("[sweep.cells.CVAE]")
    end = text.index("[sweep.cells.", cell + 1)
    (tmp_path / "mine.toml").write_text(text[:start] + text[cell:end], encoding="utf-8")
    done = call("run", "mine.toml", *laid, *SMALL[:8], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (folder,) = tmp_path.glob("runs/mine/sweep/cells/*/*/*/*/model")
    table(tmp_path / "new.csv", ["unicorn"], mmalign.load(folder).signature.dims["attributes"])
    said = refused("add-classes", folder, "new.csv", "bigger", cwd=tmp_path)
    assert "a classifier of the classes that it was trained for" in said
