"""Models to a hub and from one; the hub is tests/fakehub.py, on this machine."""

import json
import shutil
import socket

import huggingface_hub.constants
import numpy as np
import pytest
from commands import SMALL, call, installed, only, refused
from fakehub import OWNER, READER, running

import mmalign
from mmalign import MmalignError, from_pretrained, push_to_hub
from mmalign.bundlefiles import CARD, CONFIG, WEIGHTS

# huggingface_hub's own, of how it sends a large file.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
NAME = "somebody/birds"
ROWS = np.random.default_rng(0).random((5, 64)).astype(np.float32)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    made = tmp_path_factory.mktemp("hub")
    done = call("run", "synthetic", *SMALL, "--set", "run.seeds=1", cwd=made)
    assert done.returncode == 0, done.stderr
    return only(made / "runs" / "synthetic") / "model"


@pytest.fixture
def hub(monkeypatch):
    """A running hub; nothing of this machine's own tokens and settings is used."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    with running() as hub:
        yield hub


def files(bundle):
    return {name: (bundle / name).read_bytes() for name in (WEIGHTS, CONFIG, CARD)}


def fetched(hub, tmp_path, name=NAME, **more):
    return from_pretrained(name, endpoint=hub.endpoint, cache=tmp_path / "cache", **more)


def test_a_model_goes_up_and_comes_back_the_same(hub, bundle, tmp_path):
    said = push_to_hub(bundle.parent, NAME, token=OWNER, private=True, endpoint=hub.endpoint)
    there = hub.repositories[NAME]
    (sha,) = there.branches["main"]
    assert said == f"{hub.endpoint}/{NAME}/commit/{sha}"
    assert there.private
    assert there.commits[sha] == files(bundle)
    assert list(hub.objects.values()) == [files(bundle)[WEIGHTS]]  # sent by itself, as LFS

    model = fetched(hub, tmp_path, token=READER)
    assert np.array_equal(model.scores(ROWS), mmalign.load(bundle).scores(ROWS))


def test_a_model_in_memory_is_pushed_as_it_is_now(hub, bundle, tmp_path):
    push_to_hub(bundle, NAME, token=OWNER, endpoint=hub.endpoint)
    less = mmalign.load(bundle).without_classes(["seen 001"])
    push_to_hub(less, NAME, token=OWNER, endpoint=hub.endpoint)
    first, second = hub.repositories[NAME].branches["main"]
    assert np.array_equal(fetched(hub, tmp_path).scores(ROWS), less.scores(ROWS))
    before = fetched(hub, tmp_path, revision=first)
    assert before.known_classes == mmalign.load(bundle).known_classes
    assert fetched(hub, tmp_path, revision=second).known_classes == less.known_classes


def test_only_the_three_files_are_asked_for(hub, bundle, tmp_path):
    others = {"modeling.py": b"raise SystemExit('executed')", "sub/config.json": b"{}"}
    hub.add(NAME, {**files(bundle), **others, "pytorch_model.bin": b"pickled"})
    assert fetched(hub, tmp_path).known_classes
    asked = {path.partition("/resolve/")[2].partition("/")[2] for _, path in hub.asked}
    assert asked - {""} == {WEIGHTS, CONFIG, CARD}
    stored = {path.name for path in (tmp_path / "cache").rglob("snapshots/*/*")}
    assert stored == {WEIGHTS, CONFIG, CARD}


def test_what_was_fetched_is_there_without_a_network(hub, bundle, tmp_path, monkeypatch):
    hub.add(NAME, files(bundle))
    scores = fetched(hub, tmp_path).scores(ROWS)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    count = len(hub.asked)
    assert np.array_equal(fetched(hub, tmp_path).scores(ROWS), scores)
    assert len(hub.asked) == count
    with pytest.raises(MmalignError, match="cannot be reached, and no copy is kept"):
        fetched(hub, tmp_path, "somebody/else")


@pytest.mark.parametrize(
    ("name", "more", "said"),
    [
        ("somebody/nothing", {}, "there is no 'somebody/nothing' for you"),
        ("somebody/nothing", {"token": READER}, "there is no 'somebody/nothing' for you"),
        ("somebody/secret", {}, "there is no 'somebody/secret' for you: .* private"),
        ("somebody/birds", {"revision": "v9"}, "'somebody/birds' has no revision 'v9'"),
        ("no name at all", {}, "is no name of a repository, OWNER/NAME"),
        ("somebody/empty", {}, "'somebody/empty' holds no model of mmalign"),
        ("somebody/bert", {}, "'somebody/bert' cannot be loaded: config.json: this is no model"),
        (
            "somebody/newer",
            {},
            "'somebody/newer' cannot be loaded: config.json: format 99 is newer",
        ),
        ("somebody/cut", {}, "'somebody/cut' cannot be loaded: model.safetensors: "),
    ],
)
def test_what_cannot_be_fetched_is_one_line(hub, bundle, tmp_path, name, more, said):
    whole = files(bundle)
    hub.add("somebody/birds", whole)
    hub.add("somebody/secret", whole, private=True)
    hub.add("somebody/empty", {"README.md": b"# soon"})
    hub.add("somebody/bert", {CONFIG: b'{"model_type": "bert"}', WEIGHTS: whole[WEIGHTS]})
    newer = json.dumps({**json.loads(whole[CONFIG]), "format": 99}).encode()
    hub.add("somebody/newer", {**whole, CONFIG: newer})
    hub.add("somebody/cut", {**whole, WEIGHTS: whole[WEIGHTS][:1000]})
    with pytest.raises(MmalignError, match=said) as raised:
        fetched(hub, tmp_path, name, **more)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("token", [None, READER])
def test_what_must_not_be_pushed_is_one_line_and_changes_nothing(hub, bundle, token):
    with pytest.raises(MmalignError, match=r"the hub refuses|there is no") as raised:
        push_to_hub(bundle, NAME, token=token, endpoint=hub.endpoint)
    assert "\n" not in str(raised.value)
    assert NAME not in hub.repositories
    sha = hub.add(NAME, {"README.md": b"mine"})
    with pytest.raises(MmalignError, match=r"the hub refuses|there is no"):
        push_to_hub(bundle, NAME, token=token, endpoint=hub.endpoint)
    assert hub.repositories[NAME].branches["main"] == [sha]


def test_a_hub_that_is_out_of_order_or_away_is_one_line(hub, bundle, tmp_path):
    hub.broken = 418
    with pytest.raises(MmalignError, match=r"the hub answered 418|cannot be reached"):
        fetched(hub, tmp_path)
    with pytest.raises(MmalignError, match="the hub answered 418"):
        push_to_hub(bundle, NAME, token=OWNER, endpoint=hub.endpoint)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(MmalignError, match="cannot be reached"):
        from_pretrained(NAME, endpoint=nobody, cache=tmp_path / "cache")
    with pytest.raises(MmalignError, match="cannot be reached"):
        push_to_hub(bundle, NAME, token=OWNER, endpoint=nobody)


def test_a_card_that_the_hub_does_not_like_is_said(hub, bundle):
    hub.rejected_card = "license: unknown"
    with pytest.raises(MmalignError, match=r"README\.md"):
        push_to_hub(bundle, NAME, token=OWNER, endpoint=hub.endpoint)
    assert not hub.repositories[NAME].commits


def test_an_upload_that_fails_leaves_the_repository_as_it_was(hub, bundle):
    hub.full = True
    with pytest.raises(MmalignError, match=r"Error while uploading 'model.safetensors'.*507"):
        push_to_hub(bundle, NAME, token=OWNER, endpoint=hub.endpoint)
    assert not hub.repositories[NAME].commits


def test_an_unsound_model_is_not_pushed(hub, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "model")
    (tmp_path / "model" / WEIGHTS).write_bytes(files(bundle)[WEIGHTS][:-1])
    with pytest.raises(MmalignError, match=WEIGHTS):
        push_to_hub(tmp_path / "model", NAME, token=OWNER, endpoint=hub.endpoint)
    assert not hub.asked


def test_a_file_that_leads_elsewhere_is_not_pushed(hub, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "model")
    secret = tmp_path / "secret"
    secret.write_text("of this machine")
    (tmp_path / "model" / CARD).unlink()
    (tmp_path / "model" / CARD).symlink_to(secret)
    with pytest.raises(MmalignError, match="a link"):
        push_to_hub(tmp_path / "model", NAME, token=OWNER, endpoint=hub.endpoint)
    assert not hub.asked


@pytest.mark.slow
def test_the_program_pushes_and_pulls(hub, bundle, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
    monkeypatch.setenv("HF_TOKEN", OWNER)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    done = installed("push", bundle.parent, NAME, "--private", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{hub.endpoint}/{NAME}/commit/")
    done = installed("pull", NAME, "mine", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "mine: 9 classes, rows of image\n"
    assert files(tmp_path / "mine") == files(bundle)
    assert "there already" in refused("pull", NAME, "mine", cwd=tmp_path, by=installed)
    said = refused("pull", "somebody/nothing", "other", cwd=tmp_path, by=installed)
    assert "there is no 'somebody/nothing' for you" in said
    assert not (tmp_path / "other").exists()
    assert not any(path.is_symlink() for path in (tmp_path / "mine").iterdir())


def test_a_model_that_does_not_load_leaves_no_folder(hub, bundle, tmp_path):
    from mmalign.hub import pull

    hub.add(NAME, {**files(bundle), WEIGHTS: b"nonsense"})
    with pytest.raises(MmalignError, match="cannot be loaded"):
        pull(NAME, tmp_path / "mine", endpoint=hub.endpoint, cache=tmp_path / "cache")
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_without_the_extra_it_is_one_line(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr("mmalign.extras.find_spec", lambda name: None)
    for command in (("push", bundle, NAME), ("pull", NAME, "mine")):
        said = refused(*command, cwd=tmp_path)
        assert "huggingface_hub: not installed" in said
        assert "pip install 'mmalign[hub]'" in said
    assert not list(tmp_path.iterdir())
