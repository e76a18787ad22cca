"""What a backbone must do: a float32 row for each picture, of that picture alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mmalign.arrays import Floats
from mmalign.component import plain
from mmalign.errors import MmalignError
from mmalign.testing.trial import Trial, globals_kept

if TYPE_CHECKING:
    from PIL import Image

SIZES = ((40, 60), (300, 200), (1, 1), (17, 400), (256, 256))  # width and height
# Sums in another order differ in float32 by some units in the last place of the largest
# term, and a network adds up tens of thousands of them.
TOLERANCE = 1e-4


def picture(width: int, height: int) -> Image.Image:
    """Seeded coloured noise, smooth as photographs are."""
    from PIL import Image

    draw = np.random.default_rng([width, height])
    rough = Image.fromarray(draw.integers(0, 256, size=(5, 5, 3)).astype(np.uint8))
    return rough.resize((width, height), Image.Resampling.BICUBIC)


def batch(trial: Trial) -> Floats:
    """All pictures, prepared."""
    made = [trial.extractor.prepare(picture(*size)) for size in SIZES]
    one_shape(trial, {each.shape for each in made})
    return np.stack(made)


def one_shape(trial: Trial, shapes: set[tuple[int, ...]]) -> None:
    """Require that prepared pictures make a batch."""
    trial.require(
        len(shapes) == 1, f"prepare() gives several shapes, {sorted(shapes)}; crop or resize"
    )


def says_what_it_depends_on(trial: Trial) -> None:
    """``facts`` is a mapping, and the same for each loading."""
    facts = trial.extractor.facts
    trial.require(
        isinstance(facts, Mapping) and all(isinstance(key, str) for key in facts),
        f"its extractor's facts must be a mapping of texts to JSON values, not {facts!r}",
    )
    trial.require(
        plain(facts) == plain(trial.component.extractor("cpu").facts),
        f"its extractor's facts differ between two loadings ({facts}); nothing could resume",
    )


def prepares_every_picture(trial: Trial) -> None:
    """Pictures of any size become float32 of one shape, and are left as they are."""
    shapes = set()
    for size in SIZES:
        given = picture(*size)
        made = trial.extractor.prepare(given)
        trial.require(
            isinstance(made, np.ndarray) and made.dtype == np.float32,
            "prepare() must return a float32 array; end with .astype(np.float32)",
        )
        trial.require(
            bool(np.isfinite(made).all()), f"prepare() gives NaN or infinity for {size} pixels"
        )
        trial.require(
            given.tobytes() == picture(*size).tobytes(), "prepare() changes the picture; copy it"
        )
        shapes.add(made.shape)
    one_shape(trial, shapes)


def gives_one_row_each(trial: Trial) -> None:
    """A finite float32 row for each picture, and different ones for different pictures."""
    given = batch(trial)
    before = given.copy()
    rows = trial.extractor(given)
    trial.require(
        isinstance(rows, np.ndarray) and rows.dtype == np.float32,
        "an extractor must return a float32 array; end with .astype(np.float32)",
    )
    trial.require(
        rows.ndim == 2 and len(rows) == len(SIZES) and rows.shape[1] > 0,
        f"gives {rows.shape} for {len(SIZES)} pictures; (rows, dim) is needed",
    )
    trial.require(bool(np.isfinite(rows).all()), "gives NaN or infinity")
    trial.require(
        len(np.unique(rows, axis=0)) > 1, "gives every picture the same row; it sees nothing"
    )
    trial.require(np.array_equal(given, before), "changes the batch in place; work on a copy")


def gives_the_same_again(trial: Trial) -> None:
    """The same bits each time, by a newly loaded network too; the process is left as it was."""
    import torch

    given = batch(trial)
    before = torch.get_rng_state()
    # Another state than the one that a seed set by earlier calls would have left.
    torch.manual_seed(20_250_717)
    try:
        with globals_kept(trial, "loading it or calling it"):
            first = trial.extractor(given)
            again = trial.extractor(given)
            anew = trial.component.extractor("cpu")(given)
    finally:
        torch.set_rng_state(before)
    trial.require(
        np.array_equal(first, again), "gives other numbers the second time; it must draw nothing"
    )
    trial.require(
        np.array_equal(first, anew), "gives other numbers when loaded again; fix its weights"
    )


def regards_each_picture_alone(trial: Trial) -> None:
    """A picture has the same features whatever else is in its batch."""
    given = batch(trial)
    together = trial.extractor(given)
    alone = np.concatenate([trial.extractor(given[row : row + 1]) for row in range(len(given))])
    scale = float(np.abs(together).max()) or 1.0
    with np.errstate(invalid="ignore"):  # infinities are another check's to find
        off = float(np.abs(together - alone).max()) / scale
    trial.require(
        off <= TOLERANCE,
        f"gives a picture other features in a batch than alone, by {off:.1g} of the largest; batch"
        " normalisation must be in evaluation mode",
    )


def refuses_another_device(trial: Trial) -> None:
    """A device that there is not is the user's mistake, and is said in one message."""
    try:
        trial.component.extractor("no-such-device")
    except MmalignError:
        return
    except Exception as error:
        trial.require(
            False, f"raises {type(error).__name__} for an unknown device; raise MmalignError"
        )
    trial.require(False, "takes the device 'no-such-device'; raise MmalignError for unknown ones")


CHECKS = (
    says_what_it_depends_on,
    prepares_every_picture,
    gives_one_row_each,
    gives_the_same_again,
    regards_each_picture_alone,
    refuses_another_device,
)
