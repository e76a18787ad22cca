"""Pages written again, from what lies in a folder: those of older runs, and of runs cut short."""

from __future__ import annotations

from pathlib import Path

from mmalign.errors import MmalignError
from mmalign.pages import PAGE
from mmalign.pages.runpage import page_of
from mmalign.pages.sweepfolder import run_folder
from mmalign.pages.sweeppage import sweep_page
from mmalign.writing import write_whole


def write_again(folder: Path) -> Path:
    """Write report.html of a run or a sweep, and those of a sweep's runs; its path.

    Raises MmalignError for a folder of neither.
    """
    if (folder / "report.json").is_file():
        write_whole(folder / PAGE, page_of(folder))
        return folder / PAGE
    for home in (folder, folder / "sweep"):
        if (home / "results.csv").is_file():
            for done in sorted(home.glob("cells/*/*/done.json")):
                run = run_folder(home, done.parent.relative_to(home).as_posix())
                if run is not None and (run / "report.json").is_file():
                    write_whole(run / PAGE, page_of(run))
            write_whole(home / PAGE, sweep_page(home))
            return home / PAGE
    begun = (folder / "recipe.toml").is_file()
    hint = f"; go on with it: mmalign run {folder} --resume" if begun else ""
    raise MmalignError(
        f"{folder}: no finished run and no sweep; it has neither report.json nor results.csv{hint}"
    )
