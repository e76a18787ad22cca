"""Benchmarks do not rot: they are found, run at the small size, and their results are shown."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
BENCHMARKS = ROOT / "benchmarks"
QUICK = ["startup"]  # some seconds; `make bench` runs every one


def module(path: Path) -> ModuleType:
    """A program of this repository that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem + "_program", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


RUNNER = module(BENCHMARKS / "all.py")
PAGE = module(ROOT / "tools" / "results_pages.py")


def test_every_program_is_found_and_told_of() -> None:
    found = RUNNER.programs()
    assert {"startup", "growth", "step", "head"} <= set(found)
    assert not {"all", "common", "plain"} & set(found)
    table = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert [name for name in found if f"benchmarks/{name}.py" not in table] == []


def test_small_sizes_run_and_are_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "all.py", "--small", "--out", tmp_path, *QUICK],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in QUICK:
        result = json.loads((tmp_path / f"{name}.json").read_text())
        assert result["small"] is True
        assert result["machine"]["cpus"] >= 1
        assert result["text"] in done.stdout
    figures = json.loads((tmp_path / "startup.json").read_text())["figures"]
    assert figures["import mmalign"]["modules"] < figures["mmalign ls"]["modules"]
    assert figures["mmalign ls"]["modules"] < figures["import torch"]["modules"]


@pytest.mark.slow
def test_growth_varies_every_size(tmp_path: Path) -> None:
    out = tmp_path / "growth.json"
    subprocess.run([sys.executable, BENCHMARKS / "growth.py", "--small", "--json", out], check=True)
    curves = json.loads(out.read_text())["curves"]
    assert {(each["part"], each["axis"]) for each in curves} == {
        *(("aligned VAE", axis) for axis in ("rows", "classes", "dims", "modalities", "seeds")),
        *(("head", axis) for axis in ("rows", "classes", "dims")),
    }
    for point in (point for curve in curves for point in curve["points"]):
        assert point["ms_per_step"] > 0
        assert point["peak_mib"] > point["own_mib"] >= 0


def test_runner_tells_failures_from_what_is_left_out(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def program(name: str, body: str) -> None:
        text = f'import sys\nif __name__ == "__main__":\n    {body}\n'
        (tmp_path / f"{name}.py").write_text(text)

    program("sound", "assert sys.argv[1:] == ['--small']; print('measured')")
    program("wanting", "sys.exit(77)")
    assert RUNNER.main(["--small"], tmp_path) == 0
    said = capfd.readouterr().out
    assert "measured" in said
    assert "left out" in said
    program("broken", "1 / 0")
    program("slow", "import time; time.sleep(60)")
    (tmp_path / "shared.py").write_text("1 / 0")  # no program
    assert RUNNER.main(["--small", "--limit", "3"], tmp_path) == 1
    said = capfd.readouterr().out.split("\n\n")[-1]
    assert "broken               failed: status 1\n" in said
    assert "slow                 failed: took more than 3 s\n" in said
    assert "sound                ok\n" in said
    with pytest.raises(SystemExit):
        RUNNER.main(["nothing"], tmp_path)


def test_page_shows_what_was_measured(tmp_path: Path) -> None:
    page = "Above.\n<!-- result step -->\nold\n<!-- end -->\nBelow.\n"
    missing = PAGE.written(page, tmp_path)
    assert "*No result yet.* `python benchmarks/step.py` writes" in missing
    result = {"machine": {"cpu": "Good", "cpus": 2}, "clock": "cpu", "text": "a  1\nb  2"}
    (tmp_path / "step.json").write_text(json.dumps(result))
    once = PAGE.written(missing, tmp_path)
    assert "```text\na  1\nb  2\n```\n\ncpu Good, cpus 2; clock: cpu\n<!-- end -->\nBelow." in once
    assert "old" not in once
    assert PAGE.written(once, tmp_path) == once
    (tmp_path / "step.json").write_text(json.dumps(result | {"small": True}))
    assert PAGE.written(once, tmp_path) == missing


@pytest.mark.parametrize("path", PAGE.PAGES, ids=lambda path: path.stem)
def test_page_is_as_its_results(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert PAGE.written(text, BENCHMARKS / "results") == text, "run make docs"
