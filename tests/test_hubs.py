"""timm and torchvision, in an environment of their own: ``make test-vision``.

torchvision from PyPI does not import beside the build of torch for processors alone that all
other tests run with, so a new environment is given a pair that belongs together: gigabytes.
"""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Releases that belong together; the second pair is the last that is small on Arm.
PAIRS = {"aarch64": ("torch==2.9.1", "torchvision==0.24.1")}
PAIR = PAIRS.get(platform.machine(), ("torch==2.14.1", "torchvision==0.29.1"))
ROOM = 15e9  # bytes; the environment takes 5.6 GB, and pip unpacks beside it


def run(*program: str | Path, cwd: Path, **more: str) -> None:
    """Run a program at low priority; what it prints is seen where it fails."""
    done = subprocess.run(
        ["nice", *map(str, program)], cwd=cwd, env={**os.environ, **more}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.slow
def test_timm_and_torchvision(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    if free < ROOM:
        pytest.skip(f"{free / 1e9:.0f} GB free of {ROOM / 1e9:.0f} that PyTorch's builds take")
    made = tmp_path / "environment"
    try:
        run(sys.executable, "-m", "venv", made, cwd=tmp_path)
        install = (made / "bin" / "python", "-m", "pip", "install", "--quiet", "--no-cache-dir")
        run(*install, *PAIR, f"{ROOT}[vision]", "pytest", cwd=tmp_path)
        # Not from the checkout: what was installed is tried, not what lies there.
        run(
            *(made / "bin" / "python", "-m", "pytest", "--noconftest", "-c", os.devnull, "-q"),
            *("-p", "no:cacheprovider", f"--rootdir={ROOT}", ROOT / "tests" / "hubs_checks.py"),
            cwd=tmp_path,
            HF_HUB_OFFLINE="1",
        )
    finally:
        shutil.rmtree(made, ignore_errors=True)
