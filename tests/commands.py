"""The commands as a user calls them: in a folder, with what they print and return."""

import contextlib
import io
import json
import subprocess
import sys
from pathlib import Path
from unittest import mock

from mmalign import cli

PROGRAM = Path(sys.executable).with_name("mmalign")
SMALL = [
    *("--set", "dataset.samples=6", "--set", "dataset.seen=6", "--set", "dataset.validation=2"),
    *("--set", "dataset.unseen=3", "--set", "method.epochs=2", "--set", "head.most_epochs=3"),
]


def installed(*arguments, cwd):
    """Call the installed program, as a process of its own: seconds, for the imports."""
    return subprocess.run(
        [PROGRAM, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, timeout=120
    )


def call(*arguments, cwd):
    """The same within this process: whatever would be a traceback is raised here."""
    said, wrong, status = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(said),
        contextlib.redirect_stderr(wrong),
        mock.patch.object(sys, "argv", [str(PROGRAM), *map(str, arguments)]),
    ):
        try:
            cli.main()
        except SystemExit as stop:
            status = stop.code
    return subprocess.CompletedProcess(arguments, status, said.getvalue(), wrong.getvalue())


def refused(*arguments, cwd, by=call):
    """The message of a call that must be refused."""
    done = by(*arguments, cwd=cwd)
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    return done.stderr


def only(folder):
    """The one thing in a folder."""
    (found,) = folder.iterdir()
    return found


def report_of(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))
