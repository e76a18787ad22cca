"""report.html without a browser: what it holds, what it escapes, how large it gets."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from commands import call, only, refused
from reportfolder import HOSTILE, names_of, put, report_of, write_run, write_sweep

from mmalign import MmalignError, measure
from mmalign.latentmap import CLASSES, latent_map, write_map
from mmalign.pages import render, runpage
from mmalign.pages.again import write_again
from mmalign.pages.learning import passes, stages, thinned
from mmalign.pages.limits import LARGEST
from mmalign.pages.palette import DARK, LIGHT
from mmalign.pages.runpage import page_of, write_page
from mmalign.pages.scales import around, per_cent, steps
from mmalign.pages.sweeppage import sweep_page
from mmalign.types import Question, View

TINY = [
    *("--set", "dataset.samples=6", "--set", "dataset.seen=6", "--set", "dataset.validation=2"),
    *("--set", "dataset.unseen=3", "--set", "method.epochs=2", "--set", "head.epochs=2"),
    *("--set", "head.epochs_unseen_only=2", "--seeds", 1),
]


class Page(HTMLParser):
    """A page taken apart: its elements with their attributes, and its text."""

    def __init__(self, content):
        super().__init__()
        self.tags, self.words, self.inside = [], [], []
        self.feed(content.decode("utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.inside.append(tag)

    def handle_endtag(self, tag):
        while self.inside and self.inside.pop() != tag:
            pass

    def handle_data(self, data):
        if not {"script", "style"} & set(self.inside[-1:]):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def count(self, tag):
        return sum(name == tag for name, _ in self.tags)

    def all(self, name):
        return [attributes[name] for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = write_run(tmp_path_factory.mktemp("run"), *names_of(20, 8), notes=["a leak"])
    return folder, page_of(folder)


def alone(page):
    """Nothing is asked of a network, no two elements have one id, and every figure is named."""
    found = Page(page)
    policy = next(a["content"] for t, a in found.tags if "http-equiv" in a)
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-")
    outside = re.compile(rb"""(?:src|href|action|poster|srcset)\s*=\s*["']?\s*(?:https?:)?//""")
    assert not outside.findall(page)
    assert b"url(" not in page
    assert b"@import" not in page
    assert {a for a in found.all("href") if not a.startswith(("#", "data:", "cells/"))} == set()
    idents = found.all("id")
    assert len(set(idents)) == len(idents)
    for tag, attributes in found.tags:
        if tag == "svg" and "role" in attributes:
            assert attributes["role"] == "img"
            assert set(attributes["aria-labelledby"].split()) <= set(idents)
    return found


def test_a_page_says_all_there_is(made):
    found = alone(made[1])
    assert "H = 4" in found.text
    assert "over 2 seeds" in found.text
    assert "against the published 52.4; 8 of 28 classes were never seen in training." in found.text
    assert "a leak" in found.text
    assert found.text.index("were never seen") < found.text.index("a leak") < 1200
    for said in ("nobody & sons", "calibrated stacking", "12.3", "ab" * 32, "Protocol: test split"):
        assert said in found.text, said
    assert "Not here:" not in found.text
    figures = [i for i in found.all("id") if i.startswith(("figure-", "learning-"))]
    shown = {i for i in figures if not i.endswith(("-title", "-desc", "-heading"))}
    assert {"figure-result", "figure-classes", "figure-sides", "figure-curve", "figure-map"} < shown
    assert found.count("h1") == 1
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert all(next_ - level <= 1 for level, next_ in pairwise(levels))


def test_figures_hold_no_number_that_is_none(made):
    attributes = re.findall(rb'\b(?:d|x|y|cx|cy|r|width|height|transform)="([^"]*)"', made[1])
    assert len(attributes) > 300
    assert not [a for a in attributes if re.search(rb"nan|inf|None|e[+-]", a)]


def test_one_seed_has_no_interval(tmp_path):
    found = alone(page_of(write_run(tmp_path, *names_of(5, 3), seeds=1, variants=False)))
    assert "over seed 0" in found.text
    assert "there is no interval" in found.text
    assert "±" not in found.text


def test_what_others_wrote_is_text(tmp_path):
    seen, unseen = names_of(8, 8)
    write_run(tmp_path, [*seen, *HOSTILE], unseen, notes=HOSTILE)
    said = json.loads((tmp_path / "report.json").read_text())
    said |= {"recipe": HOSTILE[0], "reading": HOSTILE[3], "dataset": HOSTILE[2]}
    said["variants"] = {HOSTILE[1]: said["variants"]["calibrated stacking"]}
    said["data"] = {each: each for each in HOSTILE}
    said["target"]["source"] = HOSTILE[3]
    put(tmp_path, "report.json", said)
    (tmp_path / "recipe.toml").write_text(HOSTILE[0] + HOSTILE[3], encoding="utf-8")
    page = page_of(tmp_path)
    found = alone(page)
    assert found.count("script") == 1
    assert found.count("style") == 1
    assert found.count("img") == 0
    assert found.count("h1") == 1
    assert not [name for _, a in found.tags for name in a if name.startswith("on")]
    assert "<script>document.title='hacked'</script>" in found.text
    assert "{{ 7 * 7 }}" in found.text
    assert re.search(rb"[\x00-\x09\x0b-\x1f\x7f]|\xe2\x80\xae", page) is None
    longest = max(len(word) for word in found.words if word.startswith("long long"))
    assert longest <= runpage.NOTE


def test_a_page_stays_small(tmp_path):
    """Of 21,000 classes, 200 stages and 40 seeds it shows the most telling, and says so."""
    seen, unseen = ([f"{side} {i} {'x' * 60}" for i in range(n)] for side, n in
                    (("seen", 1000), ("unseen", 20_000)))  # fmt: skip
    seen[:20] = [f"{i}{'<&' * 1000}" for i in range(20)]
    write_run(tmp_path, seen, unseen, seeds=1, epochs=1, notes=["y" * 2000] * 200)
    terms = {f"term {i}": 1 / (i + 1) for i in range(5)}
    with (tmp_path / "metrics.jsonl").open("w") as file:
        for seed in range(40):
            for stage in range(30):
                line = json.dumps({"seed": seed, "stage": f"s{stage}", "epoch": "?", **terms})
                file.writelines(line.replace('"?"', str(each)) + "\n" for each in range(8))
    page = page_of(tmp_path)
    assert len(page) <= LARGEST / 2
    found = Page(page)
    assert "the 20,000 best of 21,000 are left out here" in found.text
    assert "140 more in report.json" in found.text
    assert re.search(r"[\d,]+ classes are shown, [\d,]+ are left out", found.text)


def test_a_page_that_is_too_large_shows_less(tmp_path, monkeypatch):
    write_run(tmp_path, *names_of(800, 200))
    whole = len(page_of(tmp_path))
    monkeypatch.setattr(render, "LARGEST", whole // 4)
    assert len(page_of(tmp_path)) <= whole // 4


PARTS = {
    "metrics.jsonl": "no metrics.jsonl",
    "confusion.csv": "no confusion.csv",
    "figures.json": "no figures.json",
    "recipe.toml": "no recipe.toml",
}


@pytest.mark.parametrize("file", PARTS)
def test_what_is_missing_is_named(tmp_path, file):
    write_run(tmp_path, *names_of(5, 3))
    (tmp_path / file).unlink()
    assert PARTS[file] in alone(page_of(tmp_path)).text
    (tmp_path / file).write_bytes(b"\xff{ broken")
    assert "Not here:" in alone(page_of(tmp_path)).text or file == "confusion.csv"
    (tmp_path / file).unlink()
    for other in PARTS:
        (tmp_path / other).unlink(missing_ok=True)
    assert alone(page_of(tmp_path)).text.count("Not here:") == 6


@pytest.mark.parametrize("said", [
    {"map": {"points": 3}}, {"map": 5, "curves": [{"points": [[1]]}]}, [], "x",
    {"curves": [{"seed": 0, "points": [[0.0, float("nan")]]}]}, {"side": "seen", "classes": 7},
    {"map": {"classes": {"0": "a"}, "points": {"image": [[0, float("inf"), 1, 2]]}}},
])  # fmt: skip
def test_figures_of_another_form_are_named(tmp_path, said):
    put(write_run(tmp_path, *names_of(5, 3)), "figures.json", said)
    assert "Not here:" in alone(page_of(tmp_path)).text


def test_sides_of_an_older_run_come_from_its_model(tmp_path):
    seen, unseen = names_of(5, 3)
    write_run(tmp_path, seen, unseen)
    (tmp_path / "figures.json").unlink()
    assert "which classes are unseen" in Page(page_of(tmp_path)).text
    (tmp_path / "model").mkdir()
    signature = {"classes": [*seen, *unseen], "unseen": [5, 6, 7]}
    put(tmp_path / "model", "config.json", {"signature": signature})
    assert "which classes are unseen" not in Page(page_of(tmp_path)).text


@pytest.mark.parametrize("said", [
    [], {}, 3, {"summary": {}}, {**report_of(["a"], ["b"], 1), "runs": []},
    {**report_of(["a"], ["b"], 1), "summary": {"H": {"mean": float("nan")}}},
])  # fmt: skip
def test_a_report_of_another_form_is_refused(tmp_path, said):
    put(tmp_path, "report.json", said)
    with pytest.raises(MmalignError, match="no report of a run"):
        write_again(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_bug_in_the_page_costs_no_run(tmp_path, monkeypatch):
    monkeypatch.setattr(runpage, "shown", lambda *_: 1 / 0)
    write_page(tmp_path, report_of(["a"], ["b"], 1))
    said = (tmp_path / "report.html").read_text()
    assert "ZeroDivisionError" in said
    assert "a bug of mmalign" in said


def test_a_sweep_links_its_runs_and_chooses_by_validation(tmp_path):
    cells = [("good on test <b>", [0.9, 0.8]), ("good on validation", [0.5, 0.6])]
    folder = write_sweep(tmp_path / "named" / "sweep", cells, validation=(0.2, 0.4))
    said = {"recipe": "a", "jobs": 5, "done": 4, "failed": [["x <i>", "of <u>"]], "notes": ["n"]}
    put(folder, "sweep.json", said)
    (folder / "figure.svg").write_text("<svg onload='alert(1)'><script>1</script></svg>")
    page = sweep_page(folder)
    found = alone(page)
    assert "2 cells, 4 runs; 4 of 5 jobs done, 1 failed; H from 55.0 to 85.0 %." in found.text
    assert "failed: x <i>: of <u>" in found.text
    assert "good on validation ★" in found.text
    assert "never by the test rows" in found.text
    links = [href for href in found.all("href") if href.startswith("cells/")]
    assert len(links) == 4
    assert links[0] == "cells/cell%200%23/seed-0/mine/now/report.html"
    assert found.count("script") == 1
    assert found.count("b") == 0
    assert found.all("src")[0].startswith("data:image/svg+xml;base64,")


def test_a_sweep_of_test_rows_alone_marks_no_best(tmp_path):
    cells = [("a", [0.9, 0.8]), ("b", [0.5, 0.6])]
    text = Page(sweep_page(write_sweep(tmp_path / "one", cells))).text
    assert "No cell is marked as the best" in text
    assert "★" not in text
    text = Page(sweep_page(write_sweep(tmp_path / "two", cells, split="validation"))).text
    assert "a ★" in text


def test_a_sweep_reads_and_links_nothing_outside_its_folder(tmp_path):
    folder = write_sweep(tmp_path / "sweep", [("a", [0.5])])
    put(folder / "cells/cell 0#/seed-0", "done.json", {"run": "../../../../elsewhere"})
    assert not [h for h in Page(sweep_page(folder)).all("href") if ".." in h or "cells" in h]
    rows = (folder / "results.csv").read_text().replace("cells/cell 0#/seed-0", "javascript:1")
    (folder / "results.csv").write_text(rows)
    assert not [h for h in Page(sweep_page(folder)).all("href") if "javascript" in h]


def test_a_run_writes_its_page_and_report_writes_it_again(tmp_path):
    done = call("run", "synthetic", *TINY, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = only(tmp_path / "runs" / "synthetic")
    place = f"{folder.relative_to(tmp_path)}/report.html"
    assert done.stdout.splitlines()[-1] == f"report: {place}"
    first = (folder / "report.html").read_bytes()
    found = alone(first)
    assert "Not here:" not in found.text
    said = json.loads((folder / "figures.json").read_text())
    assert len(said["classes"]) == 3
    assert said["map"]["levels"] == {"image": "sample", "attributes": "class"}
    assert len(said["map"]["points"]["image"]) == 9
    done = call("report", folder.relative_to(tmp_path), cwd=tmp_path)
    assert done.stdout == f"report: {place}\n"
    assert (folder / "report.html").read_bytes() == first
    (folder / "report.json").unlink()
    said = refused("report", folder, cwd=tmp_path)
    assert "no finished run and no sweep" in said
    assert "--resume" in said


# What the figures are drawn from.


def question_of(rows, seen, unseen, draw):
    labels = draw.integers(0, seen + unseen, rows)
    view = View(draw.normal(size=(rows, 6)).astype(np.float32), "sample")
    sides = np.arange(seen), np.arange(seen, seen + unseen)
    return Question(labels, {"image": view}, *sides, np.arange(seen + unseen))


def test_the_curve_is_thinned_and_keeps_its_area():
    draw = np.random.default_rng(3)
    question = question_of(5000, 12, 8, draw)
    scores = draw.normal(size=(5000, 20)) + 2 * np.eye(20)[question.labels]
    found = measure(scores.astype(np.float32), question)
    u, s = np.array(found.curve).T
    assert 150 <= len(u) <= 200
    assert (u[0], s[-1]) == (0, 0)
    assert (np.diff(u) >= 0).all()
    assert (np.diff(s) <= 0).all()
    area = float(np.sum(np.diff(u) * (s[1:] + s[:-1]) / 2))
    assert area == pytest.approx(found.AUSUC, abs=1 / 200)  # a step along is at most 2 / 199
    few = measure(scores[:40].astype(np.float32), question_of(40, 12, 8, draw))
    u, s = np.array(few.curve).T
    assert float(np.sum(np.diff(u) * (s[1:] + s[:-1]) / 2)) == pytest.approx(few.AUSUC, abs=1e-5)


class Flat:
    """A latent space whose latents are its numbers: the map must show their distances."""

    name = "flat"

    def embed(self, views):
        (view,) = views.values()
        assert view.level == "sample"
        return view.array

    decode = scores = state = facts = embed


def problem_of(question, classes, dim=6):
    draw = np.random.default_rng(5)
    plane = draw.normal(size=(classes, 2)) @ np.linalg.qr(draw.normal(size=(dim, 2)))[0].T
    views = {
        "image": question.views["image"],
        "text": View(plane.astype(np.float32), "class"),
    }
    training = SimpleNamespace(classes=[f"c{i}" for i in range(classes)], views=views)
    return SimpleNamespace(question=question, training=training), plane


def test_the_map_shows_distances_in_a_plane():
    draw = np.random.default_rng(4)
    question = question_of(400, 6, 4, draw)
    problem, plane = problem_of(question, 10)
    of_class = View(plane.astype(np.float32)[question.labels], "sample")
    problem.question = replace(question, views={"image": of_class})
    said = latent_map(Flat(), problem, Flat())
    assert sum(said["explained"]) == pytest.approx(1, abs=1e-3)
    places = np.array([point[1:3] for point in said["points"]["text"]])
    apart = np.linalg.norm(plane[:, None] - plane[None], axis=-1)
    assert np.linalg.norm(places[:, None] - places[None], axis=-1) == pytest.approx(apart, abs=1e-3)
    assert said["points"]["image"][3][1:3] == pytest.approx(
        said["points"]["text"][3][1:3], abs=1e-3
    )
    assert {point[3] for point in said["points"]["image"]} == {10}


def test_the_map_of_many_classes_takes_some_of_each_side():
    question = question_of(9000, 1500, 20, np.random.default_rng(4))
    said = latent_map(Flat(), problem_of(question, 1520)[0], Flat())
    assert said["of"] > 1400
    shown = [int(index) for index in said["classes"]]
    assert sum(index < 1500 for index in shown) <= CLASSES
    assert sum(index >= 1500 for index in shown) == 20


@pytest.mark.parametrize("fitted", ["none", "raises", "nan"])
def test_no_map_is_said_why(tmp_path, fitted):
    question = question_of(50, 3, 2, np.random.default_rng(4))
    problem, _ = problem_of(question, 5)

    class Broken(Flat):
        def embed(self, views):
            if fitted == "raises":
                raise ValueError("broken <b>")
            return np.full((len(next(iter(views.values()))), 4), np.nan, np.float32)

    method = Broken() if fitted != "none" else SimpleNamespace(name="plain")
    write_map(tmp_path, method, problem, method, 0, None)
    said = json.loads((tmp_path / "map.json").read_text())
    why = {"none": "no latent space", "raises": "broken <b>", "nan": "not finite"}[fitted]
    assert why in said["why"]


# How they are drawn.


def test_scales_name_round_numbers_within():
    assert steps(0, 100, 5) == [0, 20, 40, 60, 80, 100]
    assert steps(0.013, 0.049, 4) == [0.02, 0.03, 0.04]
    assert steps(3, 3, 4) == [3]
    for values in ([1.0], [0.0, 0.0], [-5, 5], [1e-9, 2e-9], [1e300, 2.0], []):
        scale = around(values, 0, 100, log=True)
        assert scale.high > scale.low
        assert all(0 <= scale(tick) <= 100 for tick in scale.ticks())
    wide = around([0.01, 500], 0, 100, log=True)
    assert wide.log
    assert 0.1 in wide.ticks()
    assert not around([0.0, 500], 0, 100, log=True).log
    for values in ([0.0], [100.0], [51.2, 53.0], [float("nan")], []):
        scale = per_cent(values, 0, 1)
        assert 0 <= scale.low < scale.high <= 100
        assert scale.high - scale.low >= 20


def test_long_curves_keep_their_peaks_and_passes_are_apart():
    points = [(float(i), 100.0 if i == 777 else float(i % 3)) for i in range(2000)]
    kept = thinned(points, 100)
    assert len(kept) <= 110
    assert (777.0, 100.0) in kept
    assert kept == sorted(kept)
    twice = [(1.0, 5.0), (2.0, 4.0), (1.0, 5.0), (2.0, 3.0)]
    assert [len(each) for each in passes(twice)] == [2, 2]
    (stage,) = stages({"head.all": {"loss": {"seed 0": twice}}}, 100, 5, 5)
    assert stage.panels[0].figure.count("<path") == 2


def test_colours_stand_out_in_both_themes():
    def light(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    def contrast(one, other):  # WCAG 2.2
        low, high = sorted((light(one), light(other)))
        return (high + 0.05) / (low + 0.05)

    for theme in (LIGHT, DARK):
        for behind in ("paper", "card"):
            for text in ("ink", "soft", "link", *(f"s{i}" for i in range(7))):
                assert contrast(theme[text], theme[behind]) >= 4.5, (text, behind)
        assert contrast(theme["warn"], theme["warned"]) >= 4.5
        assert contrast(theme["grave"], theme["graved"]) >= 4.5
        assert contrast(theme["grave"], theme["warned"]) >= 4.5
