"""A model goes to another minor version of PyTorch and back: ``pytest tests/test_other_torch.py``.

The other PyTorch is installed into an environment of its own: gigabytes where its build is that
for graphics cards.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import SMALL, call, only

import mmalign

ROOT = Path(__file__).parents[1]
# Releases of another minor version than the tested one: a small one on Arm, and a later one.
OTHERS = {"aarch64": "2.9.1"}
OTHER = OTHERS.get(platform.machine(), "2.14.1")
ROOM = 15e9  # bytes; the larger environment takes 5.6 GB, and pip unpacks beside it
# Of a row's largest score. Another build sums in another order; float32 has 6e-8 a step, and sums
# of a thousand terms stay well within a hundred of them.
TOLERANCE = 1e-5

THERE = """
import json, sys
import numpy as np, torch
import mmalign
model = mmalign.load("model")
rows = np.load("rows.npy")
np.save("there.npy", model.scores(rows))
fewer = model.without_classes(["seen 001"])
np.save("fewer.npy", fewer.scores(rows))
mmalign.save_model(fewer, "fewer")
json.dump({"torch": torch.__version__, "mmalign": mmalign.__file__}, open("there.json", "w"))
"""


def run(*program: str | Path, cwd: Path) -> None:
    """Run a program at low priority; what it prints is seen where it fails."""
    done = subprocess.run(
        ["nice", *map(str, program)], cwd=cwd, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-5000:]


def apart(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest difference, relative to the largest score of its row."""
    assert ours.shape == theirs.shape
    return float((np.abs(ours - theirs) / np.abs(ours).max(axis=1, keepdims=True)).max())


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory):
    """The Python of an environment with mmalign and the other PyTorch."""
    folder = tmp_path_factory.mktemp("environment")
    free = shutil.disk_usage(folder).free
    if free < ROOM:
        pytest.skip(f"{free / 1e9:.0f} GB free of {ROOM / 1e9:.0f} that PyTorch's builds take")
    made = folder / "venv"
    try:
        run(sys.executable, "-m", "venv", made, cwd=folder)
        python = made / "bin" / "python"
        install = (python, "-m", "pip", "install", "--quiet", "--no-cache-dir")
        run(*install, f"torch=={OTHER}", ROOT, cwd=folder)
        yield python
    finally:
        shutil.rmtree(made, ignore_errors=True)


@pytest.mark.slow
def test_a_model_goes_to_another_pytorch_and_back(tmp_path: Path, other: Path) -> None:
    assert OTHER.split(".")[:2] != torch.__version__.split(".")[:2]
    done = call("run", "synthetic", *SMALL, "--set", "run.seeds=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shutil.copytree(only(tmp_path / "runs" / "synthetic") / "model", tmp_path / "model")
    rows = np.random.default_rng(0).random((500, 64)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)

    run(other, "-c", THERE, cwd=tmp_path)
    about = json.loads((tmp_path / "there.json").read_text())
    assert about["torch"].startswith(OTHER)
    assert os.fspath(ROOT) not in about["mmalign"], "what was installed is tried"

    model = mmalign.load(tmp_path / "model")
    there = apart(model.scores(rows), np.load(tmp_path / "there.npy"))
    back = apart(np.load(tmp_path / "fewer.npy"), mmalign.load(tmp_path / "fewer").scores(rows))
    print(f"PyTorch {torch.__version__} and {about['torch']}: {there:.1e} there, {back:.1e} back")
    assert there <= TOLERANCE
    assert back <= TOLERANCE
