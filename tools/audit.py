"""Ask pip-audit whether the pinned versions have known vulnerabilities: python tools/audit.py.

It is advice, and its exit status is 0 whatever it finds: an advisory that is published today must
not stop a change that has nothing to do with it. ``--strict`` makes findings, and an audit that
could not be made, exit status 1. An audit that could not be made is never called a clean one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FILES = ("constraints.txt", "tools/requirements.txt")
SECONDS = 300  # for all packages; the service answers one at a time


def asked(program: list[str], file: Path) -> tuple[list[dict[str, Any]] | None, str]:
    """What pip-audit says of each package of a file; None, and why, where it could not ask."""
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder) / "answer.json"
        command = [*program, "--no-deps", "--disable-pip", "--progress-spinner", "off"]
        command += ["--format", "json", "--output", str(answer), "--requirement", str(file)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            found = json.loads(answer.read_text(encoding="utf-8"))["dependencies"]
        except subprocess.TimeoutExpired:
            return None, f"no answer within {SECONDS} s"
        except OSError as error:
            if not answer.exists() and error.filename != str(answer):
                return None, f"pip-audit cannot be started: {error.strerror}"
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            return None, lines[-1] if lines else f"pip-audit ended with {done.returncode}"
        except (ValueError, KeyError):
            return None, "pip-audit gave no answer that can be read"
    return found, ""


def said(name: str, found: list[dict[str, Any]] | None, why: str) -> tuple[list[str], bool]:
    """The lines of the audit of a file, and whether all is well."""
    skipped = [each for each in found or () if each.get("skip_reason")]
    if found is not None and len(skipped) == len(found):
        found, why = None, skipped[0]["skip_reason"] if skipped else "it names no package"
    if found is None:
        return [
            f"{name}: NOT AUDITED, since no advisory service answered.",
            f"  {why}",
            "  Nothing is known of these versions either way; ask again with a network.",
        ], False
    lines = []
    for each in found:
        for one in each.get("vulns", ()):
            mended = ", ".join(one.get("fix_versions", ())) or "no version"
            lines.append(f"{each['name']} {each['version']}: {one['id']}, mended in {mended}")
    known = f"{len(lines)} known vulnerabilities" if lines else "no known vulnerability"
    told = f"{known} in {len(found) - len(skipped)} of {len(found)} packages"
    lines += [f"{each['name']} not audited: {each['skip_reason']}" for each in skipped]
    return [f"{name}: {told}", *(f"  {line}" for line in lines)], not lines


def main() -> int:
    """Audit; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--strict", action="store_true", help="findings are exit status 1")
    parser.add_argument("--program", nargs="+", default=[sys.executable, "-m", "pip_audit"])
    given = parser.parse_args()
    well = True
    for name in FILES:
        lines, good = said(name, *asked(given.program, ROOT / name))
        print("\n".join(lines))
        well = well and good
    if not well and not given.strict:
        print("This is advice: the exit status is 0 all the same (--strict: 1).")
    return 1 if given.strict and not well else 0


if __name__ == "__main__":
    sys.exit(main())
