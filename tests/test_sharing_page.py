"""What docs/sharing.md says is done, in its order, with a hub on this machine."""

import re
import shlex
from pathlib import Path

import huggingface_hub.constants
import pytest
from commands import call
from fakehub import OWNER, running

from mmalign.plugins import discover

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "sharing.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", TEXT, re.M | re.S)
# huggingface_hub's own, of how it sends a large file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(tmp_path_factory, monkeypatch):
    """A hub that huggingface_hub takes for the usual one."""
    constants = huggingface_hub.constants
    with running() as hub:
        template = f"{hub.endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("cache")))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", OWNER)
        yield hub


def as_a_shell(word: str, folder: Path) -> list[str]:
    """A word as a shell hands it on."""
    return [str(path) for path in folder.glob(word)] if "*" in word else [word]


def test_page_is_done_from_top_to_bottom(tmp_path: Path, hub, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for language, text in BLOCKS:
        if language == "python":
            exec(text, {})
            continue
        for line in text.splitlines():
            program, *words = shlex.split(line)
            assert program == "mmalign"
            opened = [each for word in words for each in as_a_shell(word, tmp_path)]
            done = call(*opened, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
    assert (tmp_path / "my-model.onnx").is_file()
    assert (tmp_path / "pulled-model" / "model.safetensors").is_file()
    first, second = hub.repositories["somebody/birds"].branches["main"]
    assert hub.repositories["somebody/birds"].private
    commits = hub.repositories["somebody/birds"].commits
    assert b"removed: unseen 001" not in commits[first]["README.md"]
    assert b"removed: unseen 001" in commits[second]["README.md"]


def test_the_table_names_every_method_and_links_are_there() -> None:
    table = "\n".join(line for line in TEXT.splitlines() if line.startswith("| `"))
    ours = {"eszsl", "aligned-vae", "cmt"}
    methods = set(discover().components["method"])
    assert ours <= methods
    assert methods <= set(re.findall(r"`([\w-]+)`", table))
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
