"""Reports as text, as JSON and as a model card."""

import io
import json
import math

import pytest
from huggingface_hub import ModelCard
from rich.console import Console

from mmalign.card import card
from mmalign.report import Measures, Report, Statistic
from mmalign.summary import as_json, as_text, interval, percent

CLASSES = ("a [bold] one", "plain", "last")
CONTEXT = {
    "unseen": 2,
    "seen": 1,
    "reading": "Protocol: test split.",
    "data": {"images.mat": "0f" * 32},
    "versions": {"mmalign": "0.1.0"},
    "recipe_table": {
        "method": {"use": "aligned-vae"},
        "dataset": {"use": "synthetic"},
        "protocol": {"split": "test"},
        "modality": {"image": {}, "attributes": {}},
    },
}


def measures(h=0.5):
    return Measures(0.6, 0.4, h, 0.7, 0.3, {0: 0.0, 1: 0.25, 2: 1.0}, {(0, 1): 3})


def report(*each, target=(), notes=()):
    return Report(
        recipe="mine", seeds=tuple(range(len(each))), measures=each, classes=CLASSES,
        target=dict(target), notes=notes, context=CONTEXT,
        facts=tuple({"head": {"epochs": 3 + seed}} for seed in range(len(each))),
    )  # fmt: skip


def shown(given, width=100):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    console.print(as_text(given))
    return console.file.getvalue()


def test_one_seed_is_a_value_without_deviation():
    text = shown(report(measures()))
    assert text.startswith("mine: H = 50.0 % over seed 0; 2 classes were never seen")
    assert "value" in text
    for absent in ("±", "interval", "published", "warning"):
        assert absent not in text


def test_several_seeds_have_deviation_and_interval():
    text = shown(report(measures(0.5), measures(0.6)))
    assert text.startswith("mine: H = 55.0 ± 7.1 % over 2 seeds")
    assert "95 % interval" in text
    assert "head: epochs 3, 4" in text


def test_published_numbers_stand_beside_ours_where_there_are_any():
    text = shown(report(measures(), target={"H": 52.4, "source": "table 2"}))
    (line,) = (line for line in text.splitlines() if line.startswith("H "))
    assert line.split()[:4] == ["H", "50.0", "52.4", "-2.4"]
    assert "published: table 2" in text


def test_what_a_reader_must_know_comes_first():
    text = shown(report(measures(), notes=("LEAK: test rows were looked at", "another")))
    assert text.splitlines()[:2] == ["warning: LEAK: test rows were looked at", "warning: another"]


def test_classes_are_named_as_they_are_from_the_hardest_to_the_easiest():
    text = shown(report(measures()))
    assert "hardest: a [bold] one 0 %, plain 25 %, last 100 %" in text
    assert "easiest: last 100 %, plain 25 %, a [bold] one 0 %" in text


def test_a_narrow_terminal_still_shows_every_metric():
    text = shown(report(measures(), measures(), target={"H": 52.4}), width=50)
    for name in ("S", "U", "H", "T1", "AUSUC"):
        assert any(line.startswith(f"{name} ") for line in text.splitlines())


def test_what_was_not_asked_is_left_out():
    given = report(Measures(math.nan, math.nan, math.nan, 0.7, math.nan, {1: 0.7}))
    assert shown(given).startswith("mine: T1 = 70.0 %")
    assert set(as_json(given)["summary"]) == {"T1"}


def test_without_seen_rows_u_comes_first_and_the_best_five_are_shown():
    found = Measures(*(math.nan, 0.1, math.nan, 0.2, math.nan), {1: 0.1}, {}, 0.3, 0.4, 0.5)
    text = shown(report(found))
    assert text.startswith("mine: U = 10.0 %")
    shares = {line.split()[0]: line.split()[1] for line in text.splitlines() if " as U" in line}
    assert shares == {"U5": "30.0", "U_rows": "40.0", "U5_rows": "50.0"}
    assert "| U5 | 30.0 |" in card(report(found), 0)


def test_where_seen_classes_are_asked_the_best_five_are_in_the_json_alone():
    found = Measures(*(0.6, 0.1, 0.2, 0.2, 0.3), {1: 0.1}, {}, 0.3, 0.4, 0.5)
    assert "U5" not in shown(report(found)) + card(report(found), 0)
    assert as_json(report(found))["summary"]["U5"]["mean"] == 0.3


@pytest.mark.parametrize(
    ("mean", "half", "said"),
    [(0.5, 0.02, "48.0 to 52.0"), (0.97, 0.1, "87.0 to 100.0"), (0.02, 0.1, "0.0 to 12.0")],
)
def test_an_interval_ends_where_an_accuracy_does(mean, half, said):
    assert interval(Statistic(mean, 0.01, half, (mean, mean))) == said


def test_percent_gives_the_deviation_where_there_is_one():
    assert percent(Statistic(0.5, None, None, (0.5,))) == "50.0"
    assert percent(Statistic(0.5, 0.012, 0.1, (0.5, 0.5))) == "50.0 ± 1.2"


def test_json_holds_fractions_and_every_run_and_no_nan():
    given = as_json(report(measures(0.5), measures(0.6), target={"H": 52.4}, notes=("a",)))
    again = json.loads(json.dumps(given, allow_nan=False))
    assert again["summary"]["H"]["runs"] == [0.5, 0.6]
    assert again["summary"]["H"]["mean"] == pytest.approx(0.55)
    assert again["runs"][1]["facts"] == {"head": {"epochs": 4}}
    assert again["runs"][0]["per_class"] == {"a [bold] one": 0.0, "plain": 0.25, "last": 1.0}
    assert (again["notes"], again["target"], again["seeds"]) == (["a"], {"H": 52.4}, [0, 1])


def test_a_card_says_what_it_is_how_it_scored_and_what_it_saw():
    text = card(report(measures(0.5), measures(0.6), notes=("LEAK: beware",)), seed=0)
    assert text.startswith("---\nlibrary_name: mmalign\n")
    for said in (
        "A `aligned-vae` model trained on `synthetic` from image, attributes",
        "1 seen classes, and 2", "It is the model of seed 0", "over 2 seed(s)",
        "| H | 55.0 ± 7.1 |", "> **Warning.** LEAK: beware", "Protocol: test split.",
        "mmalign predict model features.npy", "mmalign.load(", "## Limits",
        f"`images.mat`: `{'0f' * 32}`", "mmalign 0.1.0",
    ):  # fmt: skip
        assert " ".join(said.split()) in " ".join(text.split())


def test_a_cards_head_is_what_the_hub_reads():
    read = ModelCard(card(report(measures(0.5), measures(0.6)), seed=1)).data
    assert (read.library_name, read.model_name) == ("mmalign", "mine")
    assert read.tags == ["zero-shot-learning", "aligned-vae"]
    found = {each.metric_name: each.metric_value for each in read.eval_results}
    assert found["H: harmonic mean of S and U"] == 0.6, "of this seed's model, and no mean"
    assert {each.dataset_split for each in read.eval_results} == {"test"}
