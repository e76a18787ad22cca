"""`mmalign table`: runs and sweeps side by side, in four forms, and the paired test."""

import csv
import io
import json

import pytest
from commands import SMALL, call, only, refused
from scipy.stats import ttest_rel

from mmalign import MmalignError
from mmalign.comparison import Line, gathered, paired
from mmalign.comparison_text import (
    as_csv,
    as_latex,
    as_markdown,
    as_text,
    cells,
    sections,
    sentence,
)

SEEDS = tuple((seed, 0) for seed in range(4))


def line(name, *h, **more):
    runs = SEEDS[: len(h)]
    metrics = {"S": h, "H": h}
    return Line(name, runs, metrics, tuple(10.0 for _ in h), **more)


ONE = line("one", 0.5, 0.52, 0.51, 0.55, parameters=1234567, published={"H": 0.5})
TWO = line("t_w|o & co", 0.4, 0.45, 0.42, 0.41)
CHEAT = line("cheat", 0.9, 0.9, 0.9, 0.9, oracle=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A sweep of two methods, and a plain run."""
    folder = tmp_path_factory.mktemp("compared")
    text = """
[dataset]
use = "synthetic"
seen = 6
validation = 2
unseen = 3
samples = 6
[modality.image]
use = "image"
[modality.attributes]
use = "attributes"
[method]
use = "eszsl"
gamma = 1.0
[sweep]
seeds = 2
[sweep.cells.ESZSL]
"report.target" = { H = 21.0 }
[sweep.cells.signed]
"method.targets" = "signed"
"method.lam" = 0.1
"""
    (folder / "mine.toml").write_text(text)
    done = call("run", "mine.toml", "--workers", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert call("run", "synthetic", *SMALL, "--seeds", 2, cwd=folder).returncode == 0
    return folder


def test_published_stands_next_to_reproduced_and_the_best_is_bold(folder):
    said = call("table", "mine.toml", "synthetic", "--format", "markdown", cwd=folder).stdout
    head, rule, *rows = said.splitlines()
    assert head.startswith("| system | S | U | H | T1 | AUSUC | runs | s/seed | parameters |")
    assert head.endswith("| H publ. | H diff. |")
    assert set(rule) <= set("|-: ")
    names = [row.split("|")[1].strip() for row in rows]
    assert names == ["ESZSL", "signed", "synthetic"]
    with (folder / "runs" / "mine" / "sweep" / "summary.csv").open() as file:
        summary = {row["cell"]: float(row["H_mean"]) for row in csv.DictReader(file)}
    report = json.loads((only(folder / "runs" / "synthetic") / "report.json").read_text())
    means = [summary["ESZSL"], summary["signed"], report["summary"]["H"]["mean"]]
    column = [row.split("|")[4].strip() for row in rows]
    for place, (cell, mean) in enumerate(zip(column, means, strict=True)):
        assert f"{100 * mean:.1f} ± " in cell
        assert cell.startswith("**") == (mean == max(means)), place
    assert rows[0].split("|")[-3].strip() == "21.0"
    assert rows[0].split("|")[-2].strip() == f"{100 * means[0] - 21:+.1f}"
    assert rows[1].split("|")[-3].strip() == ""


def test_csv_is_tidy_and_in_shares(folder):
    said = call("table", "mine", "--format", "csv", cwd=folder).stdout
    rows = list(csv.DictReader(io.StringIO(said)))
    assert [row["system"] for row in rows] == ["ESZSL", "signed"]
    assert [row["method.targets"] for row in rows] == ["binary", "signed"]
    assert float(rows[0]["H_published"]) == pytest.approx(0.21)
    assert 0 <= float(rows[0]["H_mean"]) <= 1
    assert float(rows[0]["H_difference"]) == pytest.approx(float(rows[0]["H_mean"]) - 0.21)
    assert rows[1]["H_published"] == ""
    assert int(rows[0]["parameters"]) > 0


def test_a_folder_of_a_run_or_a_sweep_will_do(folder):
    run = only(folder / "runs" / "synthetic")
    for place in (folder / "runs" / "mine" / "sweep", folder / "runs" / "mine"):
        assert [each.name for each in gathered([str(place)])] == ["ESZSL", "signed"]
    assert [each.name for each in gathered([str(run)])] == ["synthetic"]
    assert gathered([str(run)])[0].runs == ((0, 0), (1, 0))


def test_a_table_for_each_value_of_a_key(folder):
    said = call("table", "mine", "--by", "method.targets", cwd=folder).stdout
    assert "method.targets = binary" in said
    assert "method.targets = signed" in said
    said = refused("table", "mine", "--by", "method.nothing", cwd=folder)
    assert "does not vary 'method.nothing'" in said


def test_a_file_takes_the_table_whole(folder):
    done = call("table", "mine", "synthetic", "--out", "all.txt", cwd=folder)
    assert done.stdout == "all.txt\n"
    text = (folder / "all.txt").read_text()
    assert "parameters" in text
    assert all(line == line.rstrip() for line in text.splitlines())
    said = refused("table", "mine", "--out", "no/such/folder.txt", cwd=folder)
    assert "cannot write" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing",), "no results of 'nothing'"),
        (("mine", "mine"), "two of these systems are called 'ESZSL'"),
        (("mine", "--test", "ESZSL", "signal"), "no system 'signal' here; did you mean 'signed'"),
        (("mine", "--test", "ESZSL", "signed", "--metric", "Q"), "'ESZSL' has no Q"),
    ],
)
def test_what_is_not_there_is_refused(folder, arguments, message):
    assert message in refused("table", *arguments, cwd=folder)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"runs": 3}', '{"runs": []}'])
def test_a_damaged_report_is_refused(tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    with pytest.raises(MmalignError, match=r"report\.json"):
        gathered([str(tmp_path)])


@pytest.mark.parametrize("content", ["cell\nx\n", "cell,variant,seed,H\nx,,0,many\n"])
def test_a_damaged_table_of_a_sweep_is_refused(tmp_path, content):
    (tmp_path / "results.csv").write_text(content)
    with pytest.raises(MmalignError, match=r"results\.csv: no table of a sweep"):
        gathered([str(tmp_path)])


def test_the_paired_test_is_students(folder):
    found = paired([ONE, TWO], "one", "t_w|o & co", "H")
    other = ttest_rel(ONE.metrics["H"], TWO.metrics["H"])
    assert found.p == pytest.approx(other.pvalue)
    interval = other.confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert found.count == 4
    said = call("table", "mine", "--test", "ESZSL", "signed", "--metric", "T1", cwd=folder).stdout
    assert "ESZSL less signed: " in said
    assert "paired t-test over 2 runs" in said


def test_runs_are_paired_by_seed():
    turned = Line("turned", ((3, 0), (0, 0), (9, 0)), {"H": (0.5, 0.4, 0.0)}, (1.0,))
    found = paired([ONE, turned], "one", "turned", "H")
    assert found.count == 2
    assert found.mean == pytest.approx(((0.5 - 0.4) + (0.55 - 0.5)) / 2)
    with pytest.raises(MmalignError, match="share 1 seeds"):
        paired([ONE, line("few", 0.1)], "one", "few", "H")


def test_equal_runs_do_not_differ():
    assert paired([ONE, line("same", *ONE.metrics["H"])], "one", "same", "H").p == 1.0
    lower = line("lower", *(value - 0.25 for value in (0.5, 0.5, 0.5, 0.5)))
    half = line("half", 0.5, 0.5, 0.5, 0.5)
    found = paired([half, lower], "half", "lower", "H")
    assert found.p == 0.0
    assert "+25.0 points of H in each of 4 runs; what no seed changes" in sentence(found)


def test_an_oracle_is_marked_and_never_the_best():
    words = cells([ONE, TWO, CHEAT])
    assert [row[0] for row in words.rows] == ["one", "t_w|o & co", "cheat (oracle)"]
    assert {row for row, _ in words.best} == {0}


def test_latex_escapes_names_and_sets_the_best_in_bold():
    said = as_latex([ONE, TWO])
    assert r"t\_w|o \& co & 42.0\,$\pm$\,2.2" in said
    assert r"\textbf{52.0\,$\pm$\,2.2}" in said
    assert said.count(r"\\") == 3
    assert r"t_w\|o & co" in as_markdown([TWO])


def test_a_narrow_terminal_keeps_the_means(capsys):
    from rich.console import Console

    wide = line("w" * 30, 0.5, 0.5, published={"S": 0.5, "U": 0.5, "H": 0.5})
    console = Console(width=62, highlight=False)
    console.print(as_text([wide], width=62))
    said = capsys.readouterr().out
    assert "50.0±0.0" in said
    assert "H publ." in said
    assert "U publ." not in said
    assert "…" not in said


def test_metrics_that_one_lacks_stay_empty():
    words = cells([ONE, Line("other", SEEDS[:1], {"U": (0.3,)}, (1.0,))])
    assert words.heading[:4] == ("system", "S", "U", "H")
    assert words.rows[1][:4] == ("other", "", "30.0", "")
    assert list(sections([ONE], None)) == [""]
    row = list(csv.DictReader(io.StringIO(as_csv([ONE, TWO]))))[1]
    assert row["parameters"] == ""
