"""Extraction: found, batched, kept, resumed; nothing twice and nothing mixed up."""

import errno
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from commands import call, refused
from PIL import Image
from rich.console import Console
from vision import Means, Seeing, made_folder, made_picture, quietly

from mmalign import MmalignError, read_features
from mmalign.extract import chosen, extract, find_pictures
from mmalign.extract.kept import Parts
from mmalign.featurefile import write_features
from mmalign.plugins import Registry, discover

NAMES = ["b/2.png", "a/1.jpg", "c.webp", "b/d/3.bmp", "b/0.gif", "z.JPEG", "a/10.png"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_folder(tmp_path / "pictures", NAMES)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "made" / "features.safetensors"


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all batches that any ``Means`` works on."""
    sizes: list[int] = []
    works = Seeing.__call__

    def call(self, batch):
        sizes.append(len(batch))
        return works(self, batch)

    monkeypatch.setattr(Seeing, "__call__", call)
    return sizes


def parts_of(out: Path) -> list[Path]:
    return sorted(out.with_name(f"{out.name}.parts").rglob("*.safetensors"))


def interrupted(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """An extraction that somebody stops after so many batches of two."""
    works, left = Seeing.__call__, [after]

    def stop(self, batch):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return works(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Seeing, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            quietly(folder, out, batch=2)


def test_file_holds_a_row_for_each_picture_in_order(folder: Path, out: Path) -> None:
    done = quietly(folder, out, batch=3)
    file = read_features(out)
    assert file.names == tuple(sorted(NAMES))
    assert file.features.shape == (7, 12)
    assert file.features.dtype == np.float32
    assert (done.reused, done.skipped) == (0, ())
    assert not out.with_name(f"{out.name}.parts").exists()
    assert file.metadata["format"] == "1"
    assert json.loads(file.metadata["backbone"]) == {"use": "means", "cells": 2}
    assert json.loads(file.metadata["facts"]) == {"by": "hand"}
    assert json.loads(file.metadata["versions"]).keys() == {"mmalign", "numpy", "pillow"}
    about = (folder / "c.webp").stat()
    assert file.stamps[file.names.index("c.webp")].tolist() == [about.st_size, about.st_mtime_ns]


def test_each_row_is_of_its_own_picture(folder: Path, out: Path) -> None:
    quietly(folder, out, batch=2, workers=4)
    file = read_features(out)
    alone = Means().extractor("cpu")
    for name, row in zip(file.names, file.features, strict=True):
        with Image.open(folder / name) as opened:
            one = alone(alone.prepare(opened.convert("RGB"))[None])[0]
        assert np.allclose(row, one, atol=1e-5), name


@pytest.mark.parametrize(("batch", "sizes"), [(1, [1] * 7), (3, [3, 3, 1]), (100, [7])])
def test_pictures_are_taken_in_batches(
    batch: int, sizes: list[int], folder: Path, out: Path, seen: list[int]
) -> None:
    quietly(folder, out, batch=batch)
    assert seen == sizes


def test_what_is_whole_is_not_made_again(folder: Path, out: Path, seen: list[int]) -> None:
    quietly(folder, out)
    before, about = out.read_bytes(), out.stat()
    done = quietly(folder, out)
    assert seen == [7]
    assert done.reused == 7
    assert (out.read_bytes(), out.stat().st_mtime_ns) == (before, about.st_mtime_ns)


def test_stopped_extraction_goes_on(
    folder: Path, out: Path, seen: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(folder, out, monkeypatch, after=2)
    assert not out.exists()
    assert len(parts_of(out)) == 1
    assert quietly(folder, out).reused == 4
    assert seen == [2, 2, 3]
    quietly(folder, tmp_path / "at_once.safetensors")
    assert np.array_equal(
        read_features(out).features, read_features(tmp_path / "at_once.safetensors").features
    )


def spoil(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.write_bytes(b"\xff" * len(content))


@pytest.mark.parametrize("how", ["cut", "empty", "noise"])
def test_parts_that_are_not_whole_are_made_again(
    how: str, folder: Path, out: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mmalign.extract.kept.EVERY", 0.0)
    interrupted(folder, out, monkeypatch, after=2)
    first, _ = parts_of(out)
    spoil(first, how)
    said = Console(file=io.StringIO(), width=200)
    done = extract(folder, out, Means(), said, batch=2)
    assert done.reused == 2
    assert seen == [2, 2, 2, 2, 1]
    assert "1 parts in" in said.file.getvalue()
    assert read_features(out).names == tuple(sorted(NAMES))


def test_a_part_is_written_at_intervals(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr("mmalign.extract.kept.time.monotonic", lambda: now[0])
    parts = Parts(out, {})
    rows = {each: np.ones(2, np.float32) for each in find_pictures(folder)}
    first, second, third = [{each: rows[each]} for each in list(rows)[:3]]
    parts.add(first)
    assert parts_of(out) == []
    now[0] += 1.5
    parts.add(second)
    assert len(parts_of(out)) == 1
    parts.add(third)
    assert Parts(out, {}).rows(rows).keys() == {*first, *second}
    assert Parts(out, {"device": "cuda"}).rows(rows) == {}


def test_another_backbone_takes_no_rows_of_the_first(
    folder: Path, out: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(folder, out, monkeypatch, after=2)
    done = quietly(folder, out, Means(cells=4))
    assert done.reused == 0
    assert read_features(out).features.shape == (7, 48)
    assert not out.with_name(f"{out.name}.parts").exists()


def test_file_of_another_backbone_is_kept_unless_forced(folder: Path, out: Path) -> None:
    quietly(folder, out)
    before = out.read_bytes()
    with pytest.raises(MmalignError, match="features of another backbone; --force"):
        quietly(folder, out, Means(cells=4))
    assert out.read_bytes() == before
    assert quietly(folder, out, Means(cells=4), force=True).reused == 0
    assert read_features(out).features.shape == (7, 48)


def test_file_of_other_facts_is_another(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quietly(folder, out)
    monkeypatch.setattr(Seeing, "facts", {"by": "another hand"})
    with pytest.raises(MmalignError, match="features of another facts; --force"):
        quietly(folder, out)


def change(path: Path) -> None:
    """Other content of the same size, at another time."""
    made_picture(99).save(path)
    os.utime(path, ns=(1, 1))


def test_folder_that_changed_between_runs(
    folder: Path, out: Path, seen: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(folder, out, monkeypatch, after=2)  # a/1.jpg, a/10.png, b/0.gif, b/2.png
    change(folder / "a" / "10.png")
    (folder / "b" / "2.png").unlink()
    made_picture(50).save(folder / "new.png")
    assert quietly(folder, out).reused == 2
    assert sum(seen) == 4 + 5
    file = read_features(out)
    assert file.names == tuple(sorted({*NAMES, "new.png"} - {"b/2.png"}))
    alone = Means().extractor("cpu")
    row = alone(alone.prepare(made_picture(99))[None])[0]
    assert np.allclose(file.features[file.names.index("a/10.png")], row, atol=1e-5)


def test_folder_that_changed_after_the_file(folder: Path, out: Path, seen: list[int]) -> None:
    quietly(folder, out)
    change(folder / "c.webp")
    (folder / "z.JPEG").unlink()
    with pytest.raises(MmalignError, match=r"\(1 are new or changed, 2 are gone or changed\)"):
        quietly(folder, out)
    assert quietly(folder, out, force=True).reused == 5
    assert seen == [7, 1]
    assert "z.JPEG" not in read_features(out).names
    (folder / "c.webp").unlink()
    with pytest.raises(MmalignError, match=r"\(0 are new or changed, 1 are gone or changed\)"):
        quietly(folder, out)


def test_what_a_file_says_it_left_out_is_not_taken_on_trust(folder: Path, out: Path) -> None:
    quietly(folder, out)
    file = read_features(out)
    for said in ("[1]", "{", '[["a/1.jpg", null, 2]]', "[" * 100_000):
        write_features(out, replace(file, metadata={**file.metadata, "skipped": said}))
        assert quietly(folder, out, skip_broken=True).skipped == ()


def break_some(folder: Path) -> None:
    for name in ("a/1.jpg", "c.webp"):
        (folder / name).write_bytes((folder / name).read_bytes()[:60])


def test_broken_pictures_are_listed_after_all_others_are_kept(
    folder: Path, out: Path, seen: list[int]
) -> None:
    break_some(folder)
    with pytest.raises(MmalignError) as raised:
        quietly(folder, out, batch=2)
    said = str(raised.value)
    assert said.startswith("2 of 7 pictures cannot be read; the rows of all others are kept in")
    assert f"{folder / 'a' / '1.jpg'}: no whole picture" in said
    assert f"{folder / 'c.webp'}: no whole picture" in said
    assert "--skip-broken" in said
    assert not out.exists()
    assert sum(seen) == 5
    made_picture(1).save(folder / "a" / "1.jpg")
    made_picture(2).save(folder / "c.webp")
    assert quietly(folder, out).reused == 5
    assert len(read_features(out).names) == 7


def test_broken_pictures_are_left_out_on_demand(folder: Path, out: Path, seen: list[int]) -> None:
    break_some(folder)
    done = quietly(folder, out, skip_broken=True)
    assert done.skipped == ("a/1.jpg", "c.webp")
    assert read_features(out).names == tuple(sorted({*NAMES} - {"a/1.jpg", "c.webp"}))
    again = quietly(folder, out, skip_broken=True)
    assert (again.reused, again.skipped) == (5, done.skipped)
    assert sum(seen) == 5
    with pytest.raises(MmalignError, match="2 are new or changed"):  # now they are asked for
        quietly(folder, out)
    change(folder / "a" / "1.jpg")
    with pytest.raises(MmalignError, match="1 are new or changed"):  # it may be whole now
        quietly(folder, out, skip_broken=True)
    assert quietly(folder, out, skip_broken=True, force=True).skipped == ("c.webp",)


def test_many_broken_pictures_are_counted(tmp_path: Path, out: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02d}.png").write_bytes(b"no picture")
    with pytest.raises(MmalignError, match=r"12 of 12 pictures") as raised:
        quietly(tmp_path, out, skip_broken=True)  # nothing would be left
    assert str(raised.value).count("no whole picture") == 5
    assert "and 7 more" in str(raised.value)


class Wrong(Seeing):
    """Gives what its fault says."""

    fault = ""

    def prepare(self, picture):
        if self.fault == "uneven":
            return np.zeros((3, *picture.size), np.float32)
        return super().prepare(picture)

    def __call__(self, batch):
        rows = super().__call__(batch)
        if self.fault == "nan":
            rows[-1, 0] = np.nan
        return rows[:-1] if self.fault == "few" else rows


@pytest.mark.parametrize(
    ("fault", "said"),
    [("nan", "NaN or infinity for .*z.JPEG"), ("few", r"gives \(6, 12\)"), ("uneven", "one shape")],
)
def test_wrong_backbone_is_said(
    fault: str, said: str, folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_picture(0, (9, 9)).save(folder / "c.webp")
    monkeypatch.setattr(Wrong, "fault", fault)
    monkeypatch.setattr(Means, "extractor", lambda self, device: Wrong(2))
    with pytest.raises(MmalignError, match=said):
        quietly(folder, out)


def test_backbones_bug_keeps_its_traceback(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self, picture):
        raise ZeroDivisionError

    monkeypatch.setattr(Seeing, "prepare", fail)
    with pytest.raises(ZeroDivisionError):
        quietly(folder, out)


def test_links_are_followed_and_loops_are_not(folder: Path, tmp_path: Path) -> None:
    beside = made_folder(tmp_path / "beside", ["x.png", "deep/y.png"])
    (folder / "a" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "a" / "linked").symlink_to(beside, target_is_directory=True)
    (folder / "a" / "again").symlink_to(beside / "deep", target_is_directory=True)
    (beside / "back").symlink_to(folder / "a", target_is_directory=True)
    (folder / "circle.png").symlink_to(folder / "circle.png")
    (folder / "nowhere.png").symlink_to(folder / "gone.png")
    (folder / "same.png").symlink_to(folder / "b" / "2.png")
    names = {each.name for each in find_pictures(folder)}
    links = {"circle.png", "nowhere.png", "same.png", "a/again/y.png", "a/linked/x.png"}
    assert names == {*NAMES, *links}
    with pytest.raises(MmalignError, match="2 of 12 pictures"):
        quietly(folder, tmp_path / "out.safetensors")


def test_hidden_files_pipes_and_other_suffixes_are_left_out(folder: Path) -> None:
    made_folder(folder, [".hidden.png", ".folder/a.png"])
    (folder / "notes.txt").write_text("no picture")
    (folder / "folder.png").mkdir()
    os.mkfifo(folder / "pipe.png")
    assert [each.name for each in find_pictures(folder)] == sorted(NAMES)


def test_folder_without_pictures_is_refused(tmp_path: Path, out: Path) -> None:
    with pytest.raises(MmalignError, match=r"nowhere is not there"):
        quietly(tmp_path / "nowhere", out)
    with pytest.raises(MmalignError, match=r"holds no picture; looked for \.bmp"):
        quietly(tmp_path, out)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(MmalignError, match=r"a\.png is no folder"):
        quietly(tmp_path / "a.png", out)


def test_folder_that_may_not_be_read_is_said(
    folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = os.scandir

    def scandir(path):  # root, as CI is, may look everywhere
        if Path(path).name == "b":
            raise PermissionError(errno.EACCES, "Permission denied")
        return look(path)

    monkeypatch.setattr("mmalign.extract.finding.os.scandir", scandir)
    with pytest.raises(MmalignError, match=r"cannot look into .*/b: Permission denied"):
        quietly(folder, out)


def test_name_that_is_no_text_is_refused(tmp_path: Path, out: Path) -> None:
    path = os.fsencode(tmp_path) + b"/a\xff.png"
    Path(os.fsdecode(path)).write_bytes(b"")
    with pytest.raises(MmalignError, match=r"rename 'a\\udcff.png'"):
        quietly(tmp_path, out)


def test_place_that_cannot_be_written_is_said(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MmalignError, match=r"cannot make .*: Not a directory"):
        quietly(folder, tmp_path / "file" / "out.safetensors")
    taken = tmp_path / "taken.safetensors"
    taken.write_text("something else")
    with pytest.raises(MmalignError, match="is there already, and holds no features"):
        quietly(folder, taken)
    assert taken.read_text() == "something else"
    quietly(folder, taken, force=True)
    assert len(read_features(taken).names) == 7
    (tmp_path / "a folder").mkdir()
    with pytest.raises(MmalignError, match="is there already, and holds no features"):
        quietly(folder, tmp_path / "a folder", force=True)


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry:
    made = Registry()
    made.components["backbone"]["means"] = Means
    return made


def test_backbone_is_chosen_with_its_fields(registry: Registry) -> None:
    assert chosen(registry, "means", ["cells=4"]) == Means(cells=4)
    made = chosen(discover(), "timm", ["model=2", "pretrained=false"])
    assert (made.model, made.pretrained) == ("2", False)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["cell=4"], "means.cell: no such key; did you mean 'cells'"),
        (["cells=many"], "means.cells: input should be a valid integer"),
        (["cells"], "--set cells: write it as"),
    ],
)
def test_wrong_field_is_said(settings: list[str], said: str, registry: Registry) -> None:
    with pytest.raises(MmalignError, match=said):
        chosen(registry, "means", settings)
    with pytest.raises(MmalignError, match="no backbone 'mean'; did you mean 'means'"):
        chosen(registry, "mean")


LITE = ["--backbone", "efficientnet-lite0"]


def test_command_line_says_what_it_does(folder: Path, tmp_path: Path) -> None:
    break_some(folder)
    said = refused("extract", folder, "out.safetensors", *LITE, cwd=tmp_path)
    assert "2 of 7 pictures cannot be read" in said
    done = call("extract", folder, "out.safetensors", *LITE, "--skip-broken", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5 of 7 pictures are there already" in done.stdout
    assert "left out, broken: 2 (a/1.jpg, c.webp)" in done.stdout
    assert "out.safetensors: 5 rows of 1280 numbers, 5 of them there before" in done.stdout
    said = refused("extract", folder, "out.safetensors", "--backbone", "efficient", cwd=tmp_path)
    assert "no backbone 'efficient'" in said
    said = refused("extract", folder, "o.safetensors", *LITE, "--device", "tpu", cwd=tmp_path)
    assert "torch cannot use device 'tpu'" in said


def killed(program: list[str], cwd: Path, when: Callable[[], bool]) -> None:
    """Start a process and kill it at once when something has come about."""
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(program, cwd=cwd, stdout=subprocess.DEVNULL, env=one_thread)
    try:
        until = time.monotonic() + 120
        while not when() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        assert process.poll() is None, "it ended before it could be killed"
    finally:
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_killed_process_loses_little_and_mixes_nothing(tmp_path: Path) -> None:
    """Really killed, twice, with a real network; the end is as if nothing had happened."""
    folder = made_folder(tmp_path / "pictures", [f"{number:03d}.png" for number in range(8)])
    for number in range(8, 80):
        shutil.copy(folder / f"{number % 8:03d}.png", folder / f"{number:03d}.png")
    out = tmp_path / "out.safetensors"
    # Parts at each batch, instead of each second: the test is as quick as the machine.
    code = "from mmalign.extract import kept; kept.EVERY = 0; from mmalign.cli import main; main()"
    program = [sys.executable, "-c", code, "extract", str(folder), str(out), *LITE, "--batch=4"]
    for parts in (1, 6):
        killed(program, tmp_path, lambda parts=parts: len(parts_of(out)) >= parts)
        assert not out.exists()
    kept = sum(len(read_features(part).names) for part in parts_of(out))
    assert 24 <= kept < 80
    done = call("extract", folder, out, *LITE, cwd=tmp_path)
    assert f"{kept} of 80 pictures are there already" in done.stdout
    file = read_features(out)
    assert file.names == tuple(f"{number:03d}.png" for number in range(80))
    # Copies of one picture, some from before each kill, some from after: other batches add
    # up in another order, by a few units in the last place.
    for number in range(8):
        same = file.features[number::8]
        assert np.allclose(same, same[0], atol=1e-4 * np.abs(same[0]).max())
    assert len(np.unique(file.features[:8].round(3), axis=0)) == 8
