"""The tidy table: draws and variants are rows, columns have one type, text is exact."""

import csv
import io
import json

import pyarrow.parquet
import pytest
from rich.console import Console

from mmalign import results
from mmalign.cells import expand
from mmalign.job import Done
from mmalign.plugins import discover
from mmalign.recipe import read

REGISTRY = discover()
RUNS = {"H": [0.1, 0.30000000000000004], "T1": [0.5, 0.7]}


@pytest.fixture
def sweep():
    laid = ['sweep={ "head.epochs" = ["validation", 3] }', "report.target.H=25.0"]
    recipe = read("synthetic", REGISTRY, laid)
    return expand(recipe, REGISTRY)


@pytest.fixture
def rows(sweep, tmp_path):
    """The rows of a seed with two draws, and a variant that has no T1."""
    statistics = {name: {"mean": sum(runs) / 2, "runs": runs} for name, runs in RUNS.items()}
    report = {
        "summary": statistics,
        "variants": {"nearest": {"H": statistics["H"]}},
        "runs": [{"seed": 4, "draw": 0}, {"seed": 4, "draw": 1}],
    }
    (tmp_path / "report.json").write_text(json.dumps(report), encoding="utf-8")
    done = Done(tmp_path, 1.5, "", "0")
    return [
        row
        for cell in sweep.cells
        for row in results.rows_of(cell, sweep.keys, 4, done, tmp_path.relative_to(tmp_path))
    ]


def test_each_draw_and_each_variant_is_a_row(rows):
    first = [row for row in rows if row["cell"] == "epochs=3"]
    assert [(row["variant"], row["draw"], row["H"]) for row in first] == [
        ("", 0, 0.1), ("", 1, 0.30000000000000004),
        ("nearest", 0, 0.1), ("nearest", 1, 0.30000000000000004),
    ]  # fmt: skip
    assert [row.get("T1") for row in first] == [0.5, 0.7, None, None]
    assert [row.get("published_H") for row in first] == [0.25, 0.25, None, None]


def test_columns_have_an_order_and_files_the_same_numbers(rows, sweep, tmp_path):
    results.write(rows, sweep.keys, tmp_path)
    text = (tmp_path / "results.csv").read_text(encoding="utf-8")
    said = list(csv.DictReader(io.StringIO(text)))
    assert list(said[0]) == [
        *("cell", "head.epochs", "seed", "draw", "variant", "H", "T1"),
        *("published_H", "seconds", "folder"),
    ]
    assert [float(row["H"]) for row in said] == [row["H"] for row in rows]
    table = pyarrow.parquet.read_table(tmp_path / "results.parquet").to_pylist()
    assert [row["H"] for row in table] == [row["H"] for row in rows]
    assert {row["head.epochs"] for row in table} == {"validation", "3"}  # one type a column


def test_the_summary_is_over_seeds_and_draws(rows, sweep):
    lines = list(results.summarised(rows, sweep.keys))
    assert [(line["cell"], line["variant"], line["runs"]) for line in lines] == [
        ("epochs=validation", "", 2), ("epochs=validation", "nearest", 2),
        ("epochs=3", "", 2), ("epochs=3", "nearest", 2),
    ]  # fmt: skip
    assert lines[0]["H_mean"] == pytest.approx(0.2)
    assert lines[0]["H_std"] == pytest.approx(0.2 / 2**0.5)
    assert lines[0]["H_difference"] == pytest.approx(-0.05)
    assert lines[1]["T1_mean"] is None


@pytest.mark.parametrize("width", [80, 120])
def test_the_printed_table_fits_its_terminal(rows, sweep, width):
    out = Console(file=io.StringIO(), width=width, markup=False, emoji=False, highlight=False)
    out.print(results.as_text(sweep, rows, width))
    lines = out.file.getvalue().splitlines()
    assert len(lines) == 5
    assert max(map(len, lines)) <= width
    assert ("H published" if width == 120 else "publ.") in lines[0]
    assert "epochs=3 [nearest]" in lines[4]
