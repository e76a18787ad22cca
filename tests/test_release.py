"""The lock is whole, and the audit says what it did and did not find."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


def module(path: Path) -> ModuleType:
    """A program of this repository that is in no package."""
    spec = importlib.util.spec_from_file_location(path.stem + "_program", path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


LOCK = module(ROOT / "tools" / "lock.py")


def pins() -> dict[str, tuple[str, str]]:
    found: dict[str, tuple[str, str]] = LOCK.locked(LOCK.LOCK.read_text(encoding="utf-8"))
    return found


def test_every_requirement_of_development_is_pinned_to_what_is_installed() -> None:
    assert LOCK.differences(pins()) == []


def test_the_lock_is_as_the_tool_writes_it() -> None:
    assert LOCK.written(pins()) == LOCK.LOCK.read_text(encoding="utf-8")


def test_no_build_is_pinned() -> None:
    wrong = [name for name, version in pins().values() if "+" in version]
    assert wrong == []
    assert not [name for name in pins() if name.startswith(("nvidia", "cuda", "triton"))]


def test_what_is_not_pinned_or_pinned_otherwise_is_found() -> None:
    less = pins()
    assert less.pop("numpy")
    less["rich"] = ("rich", "0.1")
    found = LOCK.differences(less)
    assert [line.split()[0] for line in found] == ["numpy", "rich"]
    assert found[0].endswith("is not pinned")
    assert found[1].startswith("rich is pinned to 0.1, and ")
    assert "\nnumpy==" in LOCK.written(less)
    assert "\nrich==0.1\n" not in LOCK.written(less)


def test_the_tools_of_a_release_are_pinned() -> None:
    lines = (ROOT / "tools" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    tools = LOCK.locked("\n".join(lines))
    assert {"build", "twine", "cyclonedx-bom", "pip-audit"} <= set(tools)


ANSWER = {
    "clean": {"dependencies": [{"name": "a", "version": "1", "vulns": []}]},
    "all unknown": {"dependencies": [{"name": "b", "skip_reason": "not found on PyPI"}]},
    "found": {
        "dependencies": [
            {"name": "a", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]},
            {"name": "b", "skip_reason": "not found"},
            {"name": "c", "version": "3", "vulns": [{"id": "PYSEC-2", "fix_versions": []}]},
        ]
    },
}
FAKE = """
import sys
from pathlib import Path
answer = {answer!r}
if answer:
    Path(sys.argv[sys.argv.index("--output") + 1]).write_text(answer)
    sys.exit("PYSEC" in answer)
print("ERROR: Max retries exceeded", file=sys.stderr)
sys.exit(1)
"""
NOT = "constraints.txt: NOT AUDITED, since no advisory service answered.\n  "
AUDITS = {
    "clean": ("constraints.txt: no known vulnerability in 1 of 1 packages\n", 0),
    "found": (
        "constraints.txt: 2 known vulnerabilities in 2 of 3 packages\n"
        "  a 1: PYSEC-1, mended in 2\n"
        "  c 3: PYSEC-2, mended in no version\n"
        "  b not audited: not found\n",
        1,
    ),
    "all unknown": (f"{NOT}not found on PyPI\n", 1),
    "no network": (f"{NOT}ERROR: Max retries exceeded\n", 1),
}


@pytest.mark.parametrize("case", AUDITS)
def test_audit(case: str, tmp_path: Path) -> None:
    said, strict = AUDITS[case]
    answer = json.dumps(ANSWER[case]) if case in ANSWER else ""
    (tmp_path / "fake.py").write_text(FAKE.format(answer=answer))
    program = [sys.executable, str(ROOT / "tools" / "audit.py")]
    fake = ["--program", sys.executable, str(tmp_path / "fake.py")]
    done = subprocess.run([*program, *fake], capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(said)
    assert ("This is advice" in done.stdout) == bool(strict)
    assert subprocess.run([*program, "--strict", *fake], capture_output=True).returncode == strict


def test_audit_without_the_program(tmp_path: Path) -> None:
    program = [sys.executable, str(ROOT / "tools" / "audit.py")]
    nothing = ["--program", str(tmp_path / "no-such-program")]
    done = subprocess.run([*program, *nothing], capture_output=True, text=True)
    assert done.returncode == 0
    assert "NOT AUDITED" in done.stdout
    assert "pip-audit cannot be started" in done.stdout
