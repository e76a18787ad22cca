"""The feed of rows that stay on disk: every row once, what an array gives, errors passed on."""

import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same, generator, training
from test_train import SETTINGS, untrained

from mmalign import MmalignError, Session, View, opened, train_aligner
from mmalign.ahead import ahead
from mmalign.feeding import Resident
from mmalign.group import Group
from mmalign.streaming import Streamed, feed
from mmalign.together import why_apart

ROW = 4 * 8  # bytes, as a rule


def on_disk(folder, data, **views):
    """The same training rows, with the sample-level ones in files."""
    views = {**data.views, **views}
    for name, view in views.items():
        if view.level == "sample":
            np.save(folder / f"{name}.npy", view.values)
            values = opened(folder / f"{name}.npy", lacking=True)
            views[name] = replace(view, values=values)
    return replace(data, views=views)


def fed(made, batch, draw, order):
    """The rows of each window in the order in which they are fed."""
    return [rows[place] for rows, place in made.orders(batch, draw, order)]


def small(data, block=3, window=4):
    """A feed of blocks of three rows, four to a window."""
    size = 4 * sum(view.dim for view in data.views.values() if view.level == "sample")
    made = Streamed(data, "cpu", block=block * size, window=block * window * size)
    assert (made.block, made.window) == (block, window)
    return made


@pytest.mark.parametrize("batch", [1, 4, 7, 12, 13, 30, 100])
def test_an_epoch_takes_every_row_once(tmp_path, batch):
    data = on_disk(tmp_path, training())
    made, count = small(data), len(data.labels)
    order = torch.cat(fed(made, batch, "shuffle", generator(0)))
    assert sorted(order.tolist()) == list(range(count))
    given = list(made.batches(batch, "shuffle", generator(0)))
    sizes = [len(rows) for rows in torch.arange(count).split(batch)]
    assert [each.rows for each in given] == sizes
    # The numbers are those of an array, in the same order.
    held = Resident(training(), "cpu")
    for rows, each in zip(order.split(batch), given, strict=True):
        wanted = held.batch(rows)
        assert each.values.keys() == wanted.values.keys()
        for name in wanted.values:
            assert torch.equal(each.values[name], wanted.values[name])
        assert all(torch.equal(each.places[n], wanted.places[n]) for n in wanted.places)


@pytest.mark.parametrize("batch", [1, 7])
def test_processes_share_the_batches_out(tmp_path, batch):
    data = on_disk(tmp_path, training())
    for made in (small(data), Resident(training(), "cpu")):
        whole = made.batches(batch, "shuffle", generator(0))
        of_each = [made.batches(batch, "shuffle", generator(0), Group(r, 3)) for r in range(3)]
        for given, *parts in zip(whole, *of_each, strict=True):
            assert [each.count for each in parts] == [given.rows] * 3
            assert torch.equal(torch.cat([p.values["image"] for p in parts]), given.values["image"])
            rows = torch.arange(given.rows)[:, None].float()
            assert torch.equal(torch.cat([each.own(rows) for each in parts]), rows)


def test_the_seed_gives_the_order_and_the_next_epoch_another(tmp_path):
    made = small(on_disk(tmp_path, training()))
    one, other = generator(3), generator(3)
    first = torch.cat(fed(made, 4, "shuffle", one))
    assert torch.equal(first, torch.cat(fed(made, 4, "shuffle", other)))
    assert not torch.equal(first, torch.cat(fed(made, 4, "shuffle", one)))
    assert not torch.equal(first, torch.arange(len(made)))


def test_a_window_mixes_blocks_from_all_over(tmp_path):
    made = small(on_disk(tmp_path, training()))
    for window in fed(made, 4, "shuffle", generator(0)):
        assert len(window.div(3, rounding_mode="floor").unique()) <= 4
        assert (window.diff() != 1).any()


def test_blocks_are_of_the_file_whatever_the_order_of_the_rows(tmp_path):
    data = on_disk(tmp_path, training())
    place = torch.randperm(len(data.labels), generator=generator(1)).numpy()
    data = replace(
        data,
        labels=data.labels[place],
        views={n: v.take(place) if v.level == "sample" else v for n, v in data.views.items()},
    )
    made = small(data)
    for rows, _ in made.orders(4, "shuffle", generator(0)):
        in_file = data.views["image"].values.rows[rows]
        assert (np.diff(in_file) > 0).all()
        assert len(np.unique(in_file // 3)) <= 4
    given = torch.cat([each.values["image"] for each in made.batches(4, "shuffle", generator(0))])
    order = torch.cat(fed(made, 4, "shuffle", generator(0)))
    assert torch.equal(given, torch.from_numpy(data.views["image"].values[order.numpy()]))


def test_random_windows_are_drawn_anew(tmp_path):
    made = small(on_disk(tmp_path, training()))
    count = len(made)
    given = list(made.batches(7, "random", generator(0)))
    assert [each.rows for each in given] == [7] * -(-count // 7)
    order = torch.cat(fed(made, 7, "random", generator(0)))
    assert len(order) == 7 * len(given)
    assert len(order.unique()) < count
    assert [each.rows for each in made.batches(1000, "random", generator(0))] == [count]


def test_masks_and_rows_that_are_not_there(tmp_path):
    data = training()
    mask = data.labels != 0
    values = np.where(mask[:, None], data.views["image"].values, np.nan).astype(np.float32)
    data = on_disk(tmp_path, data, image=View(values, "sample", mask))
    made = small(data)
    (order,) = torch.cat(fed(made, 5, "shuffle", generator(0))).split(1000)
    for rows, each in zip(order.split(5), made.batches(5, "shuffle", generator(0)), strict=True):
        assert torch.equal(each.masks["image"], torch.from_numpy(mask)[rows])
        there = each.masks["image"]
        assert torch.equal(each.values["image"][there], torch.from_numpy(values)[rows][there])
        assert (each.values["image"][~there] == 0).all()


def test_training_is_that_of_an_array_in_the_same_order(tmp_path, monkeypatch):
    """Blocks of one row in a window of all is the order that tensors have."""

    def fit(data):
        session = Session(0)
        _, aligner, objective = untrained(session)
        train_aligner(aligner, objective, data, session, **SETTINGS | {"draw": "shuffle"})
        return aligner.state_dict()

    data = training()
    stored = on_disk(tmp_path, data)
    assert isinstance(feed(stored, "cpu"), Streamed)
    assert isinstance(feed(data, "cpu"), Resident)

    def orders(self, batch, draw, order):
        yield torch.arange(len(self)), torch.randperm(len(self), generator=order)

    monkeypatch.setattr(Streamed, "orders", orders)
    assert_same(fit(stored), fit(data))


def test_a_fit_can_be_repeated(tmp_path):
    def fit(draw):
        session = Session(0)
        data, aligner, objective = untrained(session)
        data = on_disk(tmp_path, data)
        train_aligner(aligner, objective, data, session, **SETTINGS | {"draw": draw})
        return aligner.state_dict()

    for draw in ("random", "shuffle"):
        assert_same(fit(draw), fit(draw))


def test_file_cut_off_during_an_epoch(tmp_path):
    made = small(on_disk(tmp_path, training()))
    batches = made.batches(2, "shuffle", generator(0))
    next(batches)
    with (tmp_path / "image.npy").open("r+b") as file:
        file.truncate(200)
    with pytest.raises(MmalignError, match=r"image\.npy: has changed while it was read"):
        list(batches)
    assert no_threads()


def test_row_that_is_not_finite_is_named_in_training(tmp_path):
    data = on_disk(tmp_path, training())
    values = np.load(tmp_path / "image.npy")
    values[17, 2] = np.inf
    np.save(tmp_path / "image.npy", values)
    view = replace(data.views["image"], values=opened(tmp_path / "image.npy"))
    made = small(replace(data, views={**data.views, "image": view}))
    with pytest.raises(MmalignError, match=r"image\.npy: row 17 holds NaN or infinity"):
        list(made.batches(4, "shuffle", generator(0)))


def no_threads() -> bool:
    return not any(thread.name == "mmalign-ahead" for thread in threading.enumerate())


def test_thread_ends_where_nobody_reads_on(tmp_path):
    made = small(on_disk(tmp_path, training()), block=1, window=2)
    batches = made.batches(1, "shuffle", generator(0))
    next(batches)
    assert not no_threads()
    batches.close()
    assert no_threads()


def test_no_more_is_made_than_may_wait():
    made = []

    def items():
        for item in range(10):
            made.append(item)
            yield item

    several = ahead(items(), depth=1)
    assert next(several) == 0
    time.sleep(0.3)
    assert made == [0, 1, 2]  # one waits, and one wants to
    assert list(several) == list(range(1, 10))
    assert no_threads()


def test_error_of_the_thread_is_raised_in_its_turn():
    def items():
        yield 1
        raise KeyError("no")

    several = ahead(items())
    assert next(several) == 1
    with pytest.raises(KeyError, match="no"):
        next(several)
    assert no_threads()


def test_rows_on_disk_are_not_trained_together(tmp_path):
    data = on_disk(tmp_path, training())
    assert why_apart([data, data]) == "'image' stays on disk"


BOUNDED = """
import sys
from pathlib import Path
import numpy as np, torch
from mmalign import View, opened, Training
from mmalign.scaling import fit_scaling
from mmalign.streaming import Streamed
rows = int(sys.argv[2])
view = View(opened(Path(sys.argv[1])), "sample")
view = fit_scaling(view, "standard", "image")(view)
seen = np.zeros(1, np.int64)
data = Training(("a",), np.zeros(rows, np.int64), {"image": view}, seen, seen[:0])
count = 0
for each in Streamed(data, "cpu").batches(64, "shuffle", torch.Generator().manual_seed(0)):
    count += each.rows
assert count == rows
print(next(line.split()[1] for line in open('/proc/self/status') if 'VmHWM' in line))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to ask")
def test_memory_does_not_grow_with_the_rows(tmp_path):
    """Five times the rows, 490 MB as they are read, and less than 128 MiB more."""
    peaks = []
    for rows in (12_000, 60_000):
        with (tmp_path / "x.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f2", "fortran_order": False, "shape": (rows, 2048)}
            )
            for _ in range(rows // 1500):
                file.write(np.ones((1500, 2048), np.float16).tobytes())
        done = subprocess.run(
            [sys.executable, "-c", BOUNDED, str(tmp_path / "x.npy"), str(rows)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks.append(int(done.stdout) * 1024)
    assert peaks[1] - peaks[0] < 2**27
