"""Classes come to a finished model and go, by the commands and by its Python object."""

import contextlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from commands import SMALL, call, refused
from helpers import modalities, source

import mmalign
from mmalign import MmalignError, Parts, Protocol, Session, pose
from mmalign.bundlefiles import CARD, CONFIG
from mmalign.newcomers import read_newcomers

GROWN = ["--set", "protocol.search=seen"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that knows nothing of unseen classes; its folder, and the run that knows them."""
    place = tmp_path_factory.mktemp("runs")
    found = []
    for more in (GROWN, []):
        done = call("run", "synthetic", *SMALL, *more, "--set", "run.seeds=1", cwd=place)
        assert done.returncode == 0, done.stderr
        (run,) = set((place / "runs" / "synthetic").iterdir()) - set(found)
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
    with pytest.raises(MmalignError, match="only 1 would be left"):
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
        ("class,split,a\nx,seen,1\n", "no number that an attribute can have"),
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
    done = call("cp", "synthetic", "mine.toml", cwd=tmp_path)
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


def test_a_number_that_was_a_class_of_training_is_no_newcomer_s():
    """A gate tells rows of trained classes apart by number; one that has gone is not given on."""
    from mmalign_baselines.cmt import CMT

    given = source()
    problem = pose(given, given.arrays, modalities(), Protocol())
    old = problem.training.signature
    few = {"iterations": 5, "classifier_epochs": 2, "gate": "gaussian", "quantile": 0.5}
    fitted = CMT(**few).fit(problem.training, Parts(modalities()), Session(0))
    seen = replace(old, classes=old.classes[:4], unseen=())
    fewer = replace(old, classes=old.classes[:3], seen=(0, 1, 2), unseen=())
    again = replace(fewer, classes=(*fewer.classes, "new"), unseen=(3,))
    described = given.arrays["attributes"].take(np.array([5]))
    changed = fitted.reclassed(range(4), {}, seen, Session(0))
    changed = changed.reclassed(range(3), {}, fewer, Session(0))
    changed = changed.reclassed(range(3), {"attributes": described}, again, Session(0))
    assert set(changed.numbers).isdisjoint({3, 4, 5})
    views = problem.question.views
    alike = fitted.scores(views, (0, 1, 2, 5))  # the class that the newcomer is described as
    np.testing.assert_array_equal(changed.scores(views, (0, 1, 2, 3)), alike)


def grown_of(tmp_path, text, csv):
    """A small model by a recipe of this class-level modality, and the newcomers of a file."""
    call("cp", "synthetic", "mine.toml", cwd=tmp_path)
    recipe = (tmp_path / "mine.toml").read_text()
    cut = recipe.index("[modality.attributes]")
    recipe = recipe[:cut] + text + recipe[recipe.index("[method]") :]
    (tmp_path / "mine.toml").write_text(recipe, encoding="utf-8")
    done = call("run", "mine.toml", *SMALL, "--set", "run.seeds=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (run,) = (tmp_path / "runs" / "mine").iterdir()
    (tmp_path / "new.csv").write_text(csv, encoding="utf-8")
    model = mmalign.load(run)
    return model, read_newcomers(tmp_path / "new.csv", model)


def test_names_are_enough_where_words_are_known(tmp_path):
    names = [*(f"seen 00{n}" for n in range(6)), *(f"unseen 00{n}" for n in range(3))]
    words = {"seen": (1, 0, 0), "unseen": (0, 1, 0), "unicorn": (0, 0, 1)}
    words |= {f"00{n}": (n, n * n, 1) for n in range(6)}
    lines = [" ".join(map(str, (word, *numbers))) for word, numbers in words.items()]
    (tmp_path / "words.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = '[modality.words]\nuse = "word2vec"\nfile = "words.txt"\nhidden = [8, 8]\n\n'
    with contextlib.chdir(tmp_path):
        model, found = grown_of(tmp_path, text, "class\nunicorn\nunseen unicorn\n")
    assert set(model.known_classes) <= set(names)
    np.testing.assert_allclose(found.views["words"].values, [[0, 0, 1], [0, 0.5, 0.5]])
    grown = model.with_classes(found.names, found.views)
    assert grown.known_classes[-2:] == ("unicorn", "unseen unicorn")


def test_a_text_is_embedded_by_what_embedded_the_others(monkeypatch, tmp_path):
    from mmalign_sentences import embedding

    asked = []

    def vectors_of(texts, settings):
        asked.append((settings.model, list(texts)))
        return np.array([[len(text), text.count("a"), 1] for text in texts], np.float32), ()

    monkeypatch.setattr(embedding, "vectors_of", vectors_of)
    names = [*(f"seen 00{n}" for n in range(6)), *(f"unseen 00{n}" for n in range(3))]
    lines = [f"{name},{'a' * place} bird" for place, name in enumerate(names)]
    (tmp_path / "texts.csv").write_text("\n".join(["class,text", *lines]) + "\n")
    text = '[modality.sentences]\nuse = "sentences"\ntexts = "texts.csv"\nmodel = "mine"\n\n'
    csv = "class,description,description\nunicorn,a horn,aaa\nkraken,arms,\nkraken,many arms,\n"
    with contextlib.chdir(tmp_path):
        model, found = grown_of(tmp_path, text, csv)
    assert asked[-1] == ("mine", ["a horn", "aaa", "arms", "many arms"])
    expected = [[4.5, 2, 1], [6.5, 1.5, 1]]  # the mean of each class's texts
    np.testing.assert_allclose(found.views["sentences"].values, expected)
    assert model.with_classes(found.names, found.views).known_classes[-2:] == ("unicorn", "kraken")


def test_the_bundle_keeps_the_head_that_was_chosen(place):
    config = json.loads((place / "model" / CONFIG).read_text())
    assert isinstance(config["recipe"]["head"]["epochs"], int)


def test_a_classifier_of_made_up_features_cannot_change_its_classes(tmp_path):
    laid = ["--set", "sweep.seeds=1", "--set", "sweep.models=true", "--workers", 1]
    call("cp", "synthetic_table", "mine.toml", cwd=tmp_path)
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
