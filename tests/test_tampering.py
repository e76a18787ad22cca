"""Whatever is done to a model's files, loading says so in a message, and executes nothing."""

import json
import os
import shutil
import sys
from copy import deepcopy

import numpy as np
import pytest
import torch
from commands import SMALL, call, only, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import mmalign
from mmalign import MmalignError
from mmalign.bundle import load
from mmalign.bundlefiles import CARD, CONFIG, LARGEST, WEIGHTS, config_digest, digest
from mmalign.plugins import discover

ROWS = np.random.default_rng(0).random((3, 64)).astype(np.float32)
METHODS = ("aligned-vae", "eszsl")
ESZSL = """
[dataset]
use = "synthetic"
samples = 6
seen = 6
validation = 2
unseen = 3
[modality.image]
[modality.attributes]
[method]
use = "eszsl"
gamma = 1.0
lam = 1.0
"""
TRIES = settings(max_examples=60, deadline=None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A model's files by method, a place to spoil them, and what each scored."""
    folder = tmp_path_factory.mktemp("tampering")
    (folder / "eszsl.toml").write_text(ESZSL)
    for words in (("synthetic", *SMALL), ("eszsl.toml",)):
        done = call("run", *words, "--set", "run.seeds=1", cwd=folder)
        assert done.returncode == 0, done.stderr
    found = {}
    for method, recipe in zip(METHODS, ("synthetic", "eszsl"), strict=True):
        bundle = only(folder / "runs" / recipe) / "model"
        files = {name: (bundle / name).read_bytes() for name in (WEIGHTS, CONFIG, CARD)}
        found[method] = files, mmalign.load(bundle).scores(ROWS)
    return found


@pytest.fixture(scope="module")
def registry():
    return discover()


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory):
    return tmp_path_factory.mktemp("spoilt")


def written(folder, files):
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def opened(folder, registry):
    """The scores of what is there, or None where loading said what is wrong with it."""
    try:
        return load(folder, registry).scores(ROWS)
    except MmalignError:
        return None


def damaged(draw, content):
    """The bytes with one changed, cut off at one, or some of them put in or left out."""
    place = draw(st.integers(0, len(content) - 1))
    how = draw(st.sampled_from(["change", "cut", "insert", "leave out"]))
    if how == "cut":
        return content[:place]
    if how == "change":
        other = bytes([content[place] ^ draw(st.integers(1, 255))])
        return content[:place] + other + content[place + 1 :]
    if how == "insert":
        return content[:place] + draw(st.binary(min_size=1, max_size=9)) + content[place:]
    return content[:place] + content[place + draw(st.integers(1, 9)) :]


@pytest.mark.parametrize("method", METHODS)
def test_a_damaged_configuration_is_an_error_or_the_same_model(made, registry, spoilt, method):
    files, scores = made[method]

    @TRIES
    @given(st.data())
    def tried(data):
        found = opened(
            written(spoilt, {**files, CONFIG: damaged(data.draw, files[CONFIG])}), registry
        )
        assert found is None or np.array_equal(found, scores)

    tried()


def test_a_configuration_that_was_changed_is_seen_and_can_be_meant(made, registry, spoilt):
    files, scores = made["eszsl"]
    config = json.loads(files[CONFIG])
    config["signature"]["unseen"] = config["signature"]["unseen"][1:]
    folder = written(spoilt, {**files, CONFIG: json.dumps(config).encode()})
    with pytest.raises(MmalignError, match="changed after the model was written"):
        load(folder, registry)
    del config["sha256"][CONFIG]
    found = opened(written(spoilt, {**files, CONFIG: json.dumps(config).encode()}), registry)
    assert found.shape[1] == scores.shape[1] - 1


@pytest.mark.parametrize("method", METHODS)
def test_damaged_weights_are_an_error(made, registry, spoilt, method):
    files, _ = made[method]

    @TRIES
    @given(st.data())
    def tried(data):
        content = damaged(data.draw, files[WEIGHTS])
        with pytest.raises(MmalignError, match=r"model\.safetensors: its SHA-256 is not"):
            load(written(spoilt, {**files, WEIGHTS: content}), registry)

    tried()


@pytest.mark.parametrize("method", METHODS)
def test_damaged_weights_without_a_digest_are_an_error_or_numbers(made, registry, spoilt, method):
    """As of an older mmalign, or of somebody who mended the digest: no other exception."""
    files, scores = made[method]
    config = json.loads(files[CONFIG])
    del config["sha256"]
    older = {**files, CONFIG: json.dumps(config).encode()}
    assert np.array_equal(opened(written(spoilt, older), registry), scores)

    @TRIES
    @given(st.data())
    def tried(data):
        # The header is where the structure is; it opens the file.
        head = int.from_bytes(files[WEIGHTS][:8], "little") + 8
        content = damaged(data.draw, files[WEIGHTS][:head]) + files[WEIGHTS][head:]
        found = opened(written(spoilt, {**older, WEIGHTS: content}), registry)
        assert found is None or found.shape == scores.shape

    tried()


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.sampled_from(["", "../../../etc/passwd", "/dev/zero", "os.system", "aligned-vae", "\x00"])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


def places(node, path=()):
    """The path of everything in a JSON value."""
    yield path
    inner = (
        node.items()
        if isinstance(node, dict)
        else enumerate(node)
        if isinstance(node, list)
        else ()
    )
    for key, each in inner:
        yield from places(each, (*path, key))


@pytest.mark.parametrize("method", METHODS)
def test_anything_anywhere_in_the_configuration_is_an_error_or_a_model(
    made, registry, spoilt, method
):
    files, _ = made[method]
    config = json.loads(files[CONFIG])
    where = [path for path in places(config) if path and path[0] not in ("facts", "data")]

    @settings(TRIES, max_examples=150)
    @given(st.sampled_from(where), ANYTHING, st.booleans())
    def tried(path, value, drop):
        changed = deepcopy(config)
        node = changed
        for key in path[:-1]:
            node = node[key]
        if drop:
            del node[path[-1]]
        else:
            node[path[-1]] = value
        text = json.dumps(changed).encode()
        found = opened(written(spoilt, {**files, CONFIG: text}), registry)
        assert found is None or len(found) == len(ROWS)

    tried()


def changed(folder, change):
    """Change the configuration, and its own digest with it, as somebody would who knows of it."""
    config = json.loads((folder / CONFIG).read_text())
    change(config)
    digests = config.get("sha256")
    if isinstance(digests, dict) and CONFIG in digests:
        digests[CONFIG] = config_digest(config)
    (folder / CONFIG).write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c["recipe"]["method"].update(latent=10**9), "do not fit"),
        (lambda c: c["recipe"]["modality"]["image"].update(hidden=[10**9, 10**9]), "do not fit"),
        (lambda c: c["signature"]["dims"].update(image=10**12), "not 1000000000000 wide"),
        (lambda c: c["signature"]["dims"].update(image=-1), "below 0"),
        (lambda c: c["signature"]["seen"].append(c["signature"]["unseen"][0]), "there twice"),
        (lambda c: c["unit"].update(image="yes"), r"unit\.image"),
        (lambda c: c.update(seed="0"), "seed"),
        (lambda c: c.update(seed=10**40), "seed"),
        (lambda c: c.update(changes=[{"added": "a"}]), r"changes\.0"),
        (lambda c: c.update(sha256="none"), "sha256"),
        (lambda c: c["recipe"]["head"].update(use="softmax; import os"), "no head"),
        (lambda c: c["recipe"]["method"].update(use="../../evil"), "no method"),
    ],
)
def test_numbers_names_and_types_that_cannot_be_are_said(made, spoilt, registry, change, said):
    folder = written(spoilt, made["aligned-vae"][0])
    changed(folder, change)
    with pytest.raises(MmalignError, match=said):
        load(folder, registry)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.update({k: v.double() for k, v in t.items()}), "float32"),
        (lambda t: t.update({"head.all.weight": t["head.all.weight"].double()}), "do not fit"),
        (lambda t: t.update({"head.all.weight": t["head.all.weight"][:-1]}), "latent space"),
        (lambda t: t.update({"aligner.encoders.image.moments.bias": torch.ones(3)}), "do not fit"),
        (lambda t: t.update({"scaling.image.offset": t["scaling.image.offset"].half()}), "scaling"),
        (lambda t: t.update({"statistics.shots": torch.tensor([1, 2])}), "statistics"),
    ],
)
def test_weights_of_other_shapes_and_precision_are_said(made, spoilt, registry, change, said):
    folder = written(spoilt, made["aligned-vae"][0])
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / WEIGHTS)
    changed(folder, lambda c: c["sha256"].update({WEIGHTS: digest(folder / WEIGHTS)}))
    with pytest.raises(MmalignError, match=said):
        load(folder, registry)


def test_files_that_lead_elsewhere_and_devices_are_refused(made, tmp_path):
    for name in (WEIGHTS, CONFIG, CARD):
        folder = tmp_path / name
        folder.mkdir()
        written(folder, made["aligned-vae"][0])
        (folder / name).rename(tmp_path / f"real {name}")
        (folder / name).symlink_to(tmp_path / f"real {name}")
        with pytest.raises(MmalignError, match=f"{name}: a link"):
            mmalign.load(folder)
    folder = tmp_path / "pipe"
    folder.mkdir()
    written(folder, made["aligned-vae"][0])
    (folder / CARD).unlink()
    os.mkfifo(folder / CARD)  # who reads it waits for ever
    assert mmalign.load(folder).card == ""


def test_a_configuration_without_end_is_not_read(made, spoilt):
    folder = written(spoilt, made["aligned-vae"][0])
    with (folder / CONFIG).open("r+b") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(MmalignError, match="larger than 64 MB"):
        mmalign.load(folder)


def test_the_program_says_it_in_one_message_and_writes_nothing(made, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    written(folder, made["aligned-vae"][0])
    (folder / WEIGHTS).write_bytes(b"nonsense")
    said = refused("export", folder, "copy", cwd=tmp_path)
    assert "SHA-256" in said
    assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_export_takes_a_models_own_files_alone(made, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    written(folder, made["aligned-vae"][0])
    (folder / "setup.py").write_text("raise SystemExit")
    assert call("export", folder, "copy", cwd=tmp_path).returncode == 0
    assert {path.name for path in (tmp_path / "copy").iterdir()} == {WEIGHTS, CONFIG, CARD}


def test_loading_imports_nothing_that_a_file_names(made, tmp_path, monkeypatch):
    """A module of that name lies ready on the path; importing it would be seen."""
    (tmp_path / "evil_module.py").write_text("raise SystemExit('executed')")
    monkeypatch.syspath_prepend(str(tmp_path))
    files = made["aligned-vae"][0]
    config = json.loads(files[CONFIG])
    folder = tmp_path / "model"
    for path in places(config):
        node = config
        for key in path:
            node = node[key]
        if not isinstance(node, str) or path[0] in ("data", "facts", "versions"):
            continue
        for name in ("evil_module", "evil_module:Model", "evil_module.Model"):
            other = deepcopy(config)
            place = other
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = name
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            written(folder, {**files, CONFIG: json.dumps(other).encode()})
            opened(folder, discover())
            assert "evil_module" not in sys.modules, path


def test_a_model_of_a_plugin_that_is_not_here_names_it(made, spoilt, registry):
    folder = written(spoilt, made["aligned-vae"][0])
    changed(folder, lambda c: c["plugins"].update(gaze="mmalign-gaze 0.1.0"))
    assert load(folder, registry).classes, "it is not needed"
    changed(folder, lambda c: c["recipe"]["modality"]["image"].update(use="gaze"))
    with pytest.raises(MmalignError, match=r"not installed here: gaze \(mmalign-gaze 0\.1\.0\)"):
        load(folder, registry)
