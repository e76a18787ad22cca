"""Pictures from files as a backbone may take them: RGB, upright, of a sane size."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from mmalign.errors import MmalignError

if TYPE_CHECKING:
    from PIL import Image

    from mmalign.arrays import Floats

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "WEBP")
NARROWEST = 200  # the longer side of a picture is at most so many times the shorter

Channels: TypeAlias = tuple[float, float, float]
IMAGENET_MEAN: Channels = (0.485, 0.456, 0.406)
IMAGENET_STD: Channels = (0.229, 0.224, 0.225)


def needs_pillow() -> None:
    """Raise MmalignError, naming the extras, where Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError:
        raise MmalignError(
            "reading pictures needs Pillow, which comes with each of the extras 'vision',"
            " 'efficientnet' and 'onnx': pip install 'mmalign[vision]'"
        ) from None


def read_picture(path: Path, content: bytes | None = None) -> Image.Image:
    """The picture in a file as RGB, turned as its EXIF orientation says.

    Where ``content`` is given, the file's bytes, ``path`` only names it in a message.
    The first frame of a moving picture is taken. Grey, palette and CMYK pictures are
    converted, 16 bits a channel become 8, and what is transparent is laid over white.
    Raises MmalignError for a file that is no whole picture, that unpacks to more pixels
    than Pillow's limit against decompression bombs, or whose sides are over 1 to 200.
    """
    needs_pillow()
    from PIL import Image, ImageOps

    try:
        # By content, whatever the suffix says; some of Pillow's other formats run programs.
        file = path if content is None else io.BytesIO(content)
        with Image.open(file, formats=FORMATS) as opened:
            _check_size(opened.size, Image.MAX_IMAGE_PIXELS)
            return _as_rgb(ImageOps.exif_transpose(opened))
    except MmalignError as error:
        raise MmalignError(f"{path}: {error}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise MmalignError(f"{path}: {_too_large(Image.MAX_IMAGE_PIXELS)}") from None
    except OSError as error:
        if error.errno is not None:  # the system's: not there, not allowed
            raise MmalignError(f"{path}: cannot be read: {error.strerror}") from None
        raise MmalignError(f"{path}: no whole picture: {_said(error, path)}") from None
    # A decoder raises whatever it likes for a broken file: SyntaxError, struct.error, ...
    except Exception as error:
        raise MmalignError(f"{path}: no whole picture: {_said(error, path)}") from None


def _said(error: Exception, path: Path) -> str:
    """What a decoder said, on one line and without the path, which stands before it."""
    said = " ".join(str(error).split()).replace(f" {str(path)!r}", "")
    said = said.partition(" <_io.BytesIO")[0]
    return said or type(error).__name__


def _too_large(limit: int | None) -> str:
    return (
        f"unpacks to more than {limit or 0:,} pixels, which a decompression bomb does; make it"
        " smaller if it is none"
    )


def _check_size(size: tuple[int, int], limit: int | None) -> None:
    """Refuse a bomb by what the file says of itself, before anything is unpacked."""
    width, height = size
    if limit is not None and width * height > limit:
        raise MmalignError(_too_large(limit))
    if max(size) > NARROWEST * min(size):
        raise MmalignError(
            f"{width} x {height} pixels: sides of over 1 to {NARROWEST} are no picture"
        )


def _as_rgb(image: Image.Image) -> Image.Image:
    """Any mode as RGB, 8 bits a channel."""
    import numpy as np
    from PIL import Image

    image.load()
    if image.mode.startswith("I"):  # 16 bits, or 32 that hold 16: convert() would cut them off
        grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535) // 257
        return Image.fromarray(grey.astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        laid = image.convert("RGBA")
        ground = Image.new("RGBA", laid.size, "white")
        return Image.alpha_composite(ground, laid).convert("RGB")
    return image.convert("RGB")


@dataclass(frozen=True)
class Preparation:
    """The usual way from a picture to a network's input: crop, resize, normalise.

    The central square of ``crop`` times the shorter side is resized to ``size`` (height,
    width) with Pillow's antialiasing. Numbers are scaled to [0, 1], and ``mean`` is taken
    off and divided by ``std``, by channel.
    """

    size: tuple[int, int] = (224, 224)
    crop: float = 0.875
    mean: Channels = IMAGENET_MEAN
    std: Channels = IMAGENET_STD
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"

    def __call__(self, picture: Image.Image) -> Floats:
        """The picture as (3, height, width) float32."""
        import numpy as np
        from PIL import Image

        height, width = self.size
        # The largest box of the wanted shape in the picture: a square for a square input.
        scale = self.crop * min(picture.width / width, picture.height / height)
        left, top = (picture.width - scale * width) / 2, (picture.height - scale * height) / 2
        box = (left, top, left + scale * width, top + scale * height)
        resampling = Image.Resampling[self.interpolation.upper()]
        # Cropped while resizing: what is outside the box is never made, however long a side.
        shown = picture.resize((width, height), resampling, box=box)
        values: Floats = np.asarray(shown).astype(np.float32)
        values /= 255
        values -= np.array(self.mean, np.float32)
        values /= np.array(self.std, np.float32)
        return np.ascontiguousarray(values.transpose(2, 0, 1))
