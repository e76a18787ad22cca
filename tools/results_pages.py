"""Write what programs measured into the pages of docs/: python tools/results_pages.py.

Between ``<!-- result NAME -->`` and ``<!-- end -->`` goes the table of benchmarks/results/NAME.json
as the program printed it, and the machine; all else on the page is written by hand. A result that
is not there, or is of the small size, is said to be missing: no number is typed by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "docs" / name for name in ("performance.md", "reliability.md")]
PLACE = re.compile(r"(<!-- result (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def shown(name: str, results: Path) -> str:
    """The table of one result, or what to run for it."""
    program = "make soak" if name == "soak" else f"python benchmarks/{name}.py"
    path = results / f"{name}.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if "text" not in result or result.get("small"):
        return f"*No result yet.* `{program}` writes `benchmarks/results/{name}.json`\n"
    machine = ", ".join(f"{key} {value}" for key, value in result["machine"].items())
    lines = [line.rstrip() for line in result["text"].splitlines()]
    table = "\n".join(lines)
    return f"`{program}`\n\n```text\n{table}\n```\n\n{machine}; clock: {result['clock']}\n"


def written(page: str, results: Path) -> str:
    """The page with every table from its result."""
    return PLACE.sub(lambda found: found[1] + shown(found[2], results) + found[3], page)


def main() -> None:
    """Write the pages anew."""
    for path in PAGES:
        page = path.read_text(encoding="utf-8")
        path.write_text(written(page, ROOT / "benchmarks" / "results"), encoding="utf-8")


if __name__ == "__main__":
    main()
