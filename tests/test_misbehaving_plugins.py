"""Plugins that do at import, or in a run's hooks, what no plugin should."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import SMALL, call, only, refused, report_of
from misbehaving import SOUND, WHO, forget, install

from mmalign import MmalignError
from mmalign.plugins import Registry, discover


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path, as site-packages is; its modules are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("MMALIGN_PLUGINS", raising=False)
    monkeypatch.delenv("MMALIGN_PLUGIN_SECONDS", raising=False)
    yield tmp_path
    forget(tmp_path)


def found(folder: Path) -> list[EntryPoint]:
    return [each for d in distributions(path=[str(folder)]) for each in d.entry_points]


def loaded(folder: Path, code: str) -> Registry:
    """A registry of a plugin that misbehaves and one that does not."""
    install(folder, code)
    install(folder, SOUND, plugin="gaze")
    registry = discover(found(folder))
    assert registry.find("modality", "gaze").__module__ == "gaze_module"
    return registry


# What a plugin changes, how it is called, and how to look at it.
CHANGES = {
    "default dtype": ("torch.set_default_dtype(torch.float64)", torch.get_default_dtype),
    "default device": ("torch.set_default_device('meta')", torch.get_default_device),
    "number of threads": ("torch.set_num_threads(3)", torch.get_num_threads),
    "matrix products": (
        "torch.set_float32_matmul_precision('medium')",
        torch.get_float32_matmul_precision,
    ),
    "gradient mode": ("torch.set_grad_enabled(False)", torch.is_grad_enabled),
    "deterministic": (
        "torch.use_deterministic_algorithms(True)",
        torch.are_deterministic_algorithms_enabled,
    ),
    "torch's random seed": ("torch.manual_seed(7)", torch.initial_seed),
    "Python's random seed": ("import random; random.seed(7)", random.getstate),
    "numpy's random seed": (
        "import numpy; numpy.random.seed(7)",
        lambda: np.random.get_state()[1].tolist(),  # noqa: NPY002
    ),
    "numpy's way with errors": ("import numpy; numpy.seterr(all='raise')", np.geterr),
    "the working folder": ("import os; os.chdir('/')", Path.cwd),
    "$OMP_NUM_THREADS": (
        "import os; os.environ['OMP_NUM_THREADS'] = '77'",
        lambda: os.environ.get("OMP_NUM_THREADS"),
    ),
    "what SIGINT does": (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)",
        lambda: signal.getsignal(signal.SIGINT),
    ),
    "sys.stderr": ("import sys, io; sys.stderr = io.StringIO()", lambda: sys.stderr),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_an_import_changes_is_put_back_and_named(
    what: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, look = CHANGES[what]
    before = look()
    registry = loaded(folder, f"import torch\n{code}\n{SOUND.replace('gaze', 'other')}")
    assert look() == before
    bad = registry.plugins[0]
    assert (bad.problem, bad.components) == (None, ("modality:other",))
    (said,) = bad.notes
    assert said.startswith(f"{WHO} changed ")
    assert what in said
    assert said.endswith("while it was imported; put back")
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines()[-1] == said  # a slow machine is told first that it takes long


@pytest.mark.parametrize(
    "code",
    [
        "import random; [random.random() for _ in range(5000)]",
        "import numpy; numpy.random.rand(5000)",
        "import torch; torch.nn.Linear(50, 50)",
    ],
)
def test_who_only_draws_from_a_global_generator_is_not_blamed(code: str, folder: Path) -> None:
    assert loaded(folder, f"{code}\n{SOUND.replace('gaze', 'other')}").plugins[0].notes == ()


def test_what_it_prints_is_no_output_of_ours(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "print('hello,'); print('you', end='')\n" + SOUND.replace("gaze", "other")
    code = code.replace("    return", "    print('asked')\n    return")
    registry = loaded(folder, code)
    assert registry.plugins[0].problem is None
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "".join(f"{WHO} says: {line}\n" for line in ("hello,", "youasked"))


def test_an_output_that_it_keeps_goes_on_to_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loaded(folder, f"from sys import stdout\n{SOUND.replace('gaze', 'other')}")
    sys.modules["bad_module"].stdout.write("later\n")
    assert capsys.readouterr() == ("", f"{WHO} says: later\n")


HANGS = {
    "asleep": "import time; time.sleep(60)",
    "busy": "while True: pass",
    "stubborn": "import time\nfor _ in range(9):\n try: time.sleep(60)\n except Exception: pass",
    "waiting": "import threading; threading.Event().wait(60)",
    "a child": "import subprocess; subprocess.run(['sleep', '60'])",
}


@pytest.mark.parametrize("code", HANGS.values(), ids=HANGS.keys())
def test_one_that_hangs_is_stopped(
    code: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MMALIGN_PLUGIN_SECONDS", "0.2")
    before = signal.getsignal(signal.SIGALRM)
    bad = loaded(folder, code).plugins[0]
    assert bad.problem == "Hung: this took longer than 0.2 s (MMALIGN_PLUGIN_SECONDS)"
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_one_that_takes_long_is_named_before_it_is_stopped(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mmalign.guard.PATIENCE", 0.05)
    monkeypatch.setattr("mmalign.guard.GLANCE", 0.05)
    monkeypatch.setenv("MMALIGN_PLUGIN_SECONDS", "0")  # for ever
    registry = loaded(folder, f"import time; time.sleep(1.5)\n{SOUND.replace('gaze', 'other')}")
    assert [each.problem for each in registry.plugins] == [None, None]
    said = capsys.readouterr().err
    assert said.startswith(f"{WHO} while it was imported: this has taken 0.05 s by now; Ctrl-C")
    assert "MMALIGN_PLUGINS=" in said


@pytest.mark.parametrize("given", ["soon", "-1", "nan"])
def test_patience_is_a_number(given: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMALIGN_PLUGIN_SECONDS", given)
    with pytest.raises(MmalignError, match=f"MMALIGN_PLUGIN_SECONDS={given}: give a number"):
        loaded(folder, SOUND)


TRACKER = """
from mmalign import hookimpl

@hookimpl
def mmalign_run_started(run):
    STARTED

@hookimpl
def mmalign_epoch_ended(epoch, losses):
    EPOCH

@hookimpl
def mmalign_run_ended(run, report):
    ENDED
"""


def tracker(started: str = "pass", epoch: str = "pass", ended: str = "pass") -> str:
    return TRACKER.replace("STARTED", started).replace("EPOCH", epoch).replace("ENDED", ended)


def told(registry: Registry, folder: Path, epochs: int = 2) -> tuple[str, ...]:
    """Tell the trackers of a run; what a report would say of them."""
    hook, run = registry.manager.hook, {"folder": str(folder), "recipe": {"a": {"b": 1}}}
    hook.mmalign_run_started(run=run)
    for epoch in range(epochs):
        hook.mmalign_epoch_ended(run=run, epoch=epoch, losses={"loss": 1.0})
    hook.mmalign_run_ended(run=run, report="a report")
    assert run["recipe"] == {"a": {"b": 1}}
    return registry.trackers.notes(folder)


FAILING = {
    "raises": ("1 / 0", "ZeroDivisionError: division by zero"),
    "exits": ("raise SystemExit(3)", "SystemExit: 3"),
    "hangs": ("import time; time.sleep(60)", "Hung: this took longer than 0.2 s"),
}


@pytest.mark.parametrize("fault", FAILING)
def test_a_tracker_that_fails_hears_no_more(
    fault: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, why = FAILING[fault]
    monkeypatch.setenv("MMALIGN_PLUGIN_SECONDS", "0.2")
    install(folder, tracker(epoch=f"print(epoch); {code}"))
    install(folder, tracker(ended="print('whole')"), plugin="other")
    registry = discover(found(folder))
    (note,) = told(registry, folder)
    assert note.startswith(f"{WHO}: mmalign_epoch_ended raised {why}")
    trace = folder / "plugin-bad.txt"
    assert note.endswith(f"it hears no more of this run, which goes on (traceback: {trace})")
    assert "bad_module.py" in trace.read_text()
    assert WHO in trace.read_text()
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        f"{WHO} says: 0",
        note,
        "plugin 'other' of other-dist 1.2 says: whole",
    ]
    again = folder / "again"  # another run begins anew
    again.mkdir()
    assert len(told(registry, again)) == 1
    assert (again / "plugin-bad.txt").is_file()


def test_a_traceback_that_cannot_be_kept_stops_nothing(folder: Path) -> None:
    registry = loaded(folder, tracker(started="1 / 0"))
    (note,) = told(registry, folder / "nowhere")
    assert "no traceback could be written" in note


def test_what_a_tracker_returns_is_ignored_with_a_word(folder: Path) -> None:
    notes = told(loaded(folder, tracker(epoch="return {'loss': 0}")), folder, epochs=3)
    assert notes == (f"{WHO}: mmalign_epoch_ended returned dict, and nobody listens; ignored",)


def test_what_a_tracker_changes_is_put_back_and_said_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    epoch = "import torch; torch.set_default_dtype(torch.float64); losses.clear()"
    started = "run['recipe']['a']['b'] = 2"
    notes = told(loaded(folder, tracker(started, epoch)), folder, epochs=3)
    assert torch.get_default_dtype() == torch.float32
    assert notes == (f"{WHO} changed torch's default dtype in mmalign_epoch_ended; put back",)
    assert capsys.readouterr().err.splitlines() == list(notes)


def test_an_interrupt_is_not_a_trackers_failure(folder: Path) -> None:
    registry = loaded(folder, tracker(started="raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        told(registry, folder)


def test_no_tracker_wraps_the_others(folder: Path) -> None:
    code = (
        tracker().replace("@hookimpl", "@hookimpl(wrapper=True)").replace("pass", "return (yield)")
    )
    problem = loaded(folder, code).plugins[0].problem
    assert problem is not None
    assert "mmalign_epoch_ended would wrap those of other plugins" in problem


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_run_survives_its_tracker(seeds: int, folder: Path) -> None:
    """In this process, and with each seed in a process of its own."""
    install(folder, tracker(started="print('begun')", epoch="1 / 0", ended="1 / 0"))
    done = call("run", "synthetic", *SMALL, "--seeds", seeds, cwd=folder)
    assert done.returncode == 0
    run = only(folder / "runs" / "synthetic")
    why = f"{WHO}: mmalign_epoch_ended raised ZeroDivisionError"
    assert [note for note in report_of(run)["notes"] if note.startswith(why)]
    assert why in done.stdout
    assert f"{WHO} says: begun" in done.stderr
    assert "says" not in done.stdout
    assert (run / "model" / "model.safetensors").is_file()
    assert "ZeroDivisionError" in (run / "plugin-bad.txt").read_text()


def test_through_the_program_as_it_is_started(tmp_path: Path) -> None:
    """A process of its own: torch comes with the plugin, and is looked at in that moment."""
    spoiling = """
    import random
    print("at import")
    import torch
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(3)
    torch.manual_seed(7)
    random.seed(7)
    """
    install(tmp_path, textwrap.dedent(spoiling) + tracker(epoch="1 / 0"))
    install(tmp_path, "import sys; sys.exit('goodbye')", plugin="exiting")
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "300"}
    environment.pop("MMALIGN_PLUGINS", None)

    def program(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "mmalign", *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    done = program("run", "synthetic", *SMALL, "--seeds", "1")
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert said[0] == f"{WHO} says: at import"
    what = "Python's random seed, torch's default dtype, torch's number of threads"
    assert said[1].startswith(f"{WHO} changed ")
    assert {each.strip() for each in what.split(",")} | {"torch's random seed"} == {
        each.strip() for each in said[1][len(f"{WHO} changed ") :].split(" while ")[0].split(",")
    }
    (run,) = (tmp_path / "runs" / "synthetic").iterdir()
    assert f"{WHO}: mmalign_epoch_ended raised ZeroDivisionError" in said[2]
    assert said[2] in report_of(run)["notes"]
    assert said[3:] == []
    listed = program("plugins").stdout
    assert "not loaded: SystemExit: goodbye" in listed
    assert "torch's default dtype" in listed


def test_json_lines_stay_json_lines(folder: Path) -> None:
    """Answers on standard output, and a plugin that prints wherever it can."""
    noisy = tracker("print('started')", "print('epoch')", "print('ended')")
    install(folder, "print('imported')\n" + noisy)
    done = call("run", "synthetic", *SMALL, "--seeds", 1, cwd=folder)
    assert done.returncode == 0
    model = only(folder / "runs" / "synthetic")
    np.save(folder / "rows.npy", np.zeros((2, report_dim(model)), np.float32))
    forget(folder)
    done = call("predict", model, "rows.npy", "--format", "jsonl", cwd=folder)
    assert [json.loads(line)["row"] for line in done.stdout.splitlines()] == [0, 1]
    assert f"{WHO} says: imported" in done.stderr


def report_dim(run: Path) -> int:
    config = json.loads((run / "model" / "config.json").read_text())
    return int(config["signature"]["dims"]["image"])


def test_without_third_parties(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(folder, "raise ImportError")
    monkeypatch.setenv("MMALIGN_PLUGINS", "")
    said = call("plugins", cwd=folder).stdout
    assert "bad-dist" not in said
    assert "modality:image" in said
    monkeypatch.setenv("MMALIGN_PLUGINS", "bad")
    assert "bad-dist" in call("plugins", cwd=folder).stdout
    monkeypatch.setenv("MMALIGN_PLUGINS", "image")
    assert "bad-dist" not in call("plugins", cwd=folder).stdout
    monkeypatch.setenv("MMALIGN_PLUGINS", "bat")
    assert "'bat': no such plugin; did you mean 'bad'?" in refused("plugins", cwd=folder)


def test_its_notes_are_listed(folder: Path) -> None:
    install(folder, f"import random; random.seed(0)\n{SOUND}")
    said = " ".join(call("plugins", cwd=folder).stdout.split())
    assert "modality:gaze" in said
    assert "changed Python's random seed while it was imported; put back" in said
