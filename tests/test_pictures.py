"""Pictures from files: every kind becomes upright RGB, and what is none is refused."""

import errno
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from vision import draw, made_picture

from mmalign import MmalignError, Preparation, read_picture


def saved(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)
    return path


def pixels(path: Path) -> np.ndarray:
    read = read_picture(path)
    assert read.mode == "RGB"
    return np.asarray(read).astype(int)


COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [200, 200, 200]]], np.uint8)


@pytest.mark.parametrize("suffix", ["png", "bmp", "gif", "webp"])
def test_each_format_gives_its_colours(suffix: str, tmp_path: Path) -> None:
    options = {"lossless": True} if suffix == "webp" else {}
    path = saved(tmp_path / f"a.{suffix}", Image.fromarray(COLOURS), **options)
    assert np.array_equal(pixels(path), COLOURS)


def test_jpeg_gives_its_colours_nearly(tmp_path: Path) -> None:
    flat = np.full((16, 16, 3), [200, 100, 50], np.uint8)
    path = saved(tmp_path / "a.jpg", Image.fromarray(flat), quality=95)
    assert np.abs(pixels(path) - flat).max() <= 3  # of 255: JPEG's own rounding


def test_modes_become_rgb(tmp_path: Path) -> None:
    grey = np.array([[0, 100], [200, 255]], np.uint8)
    threefold = np.stack([grey] * 3, axis=2)
    assert np.array_equal(pixels(saved(tmp_path / "l.png", Image.fromarray(grey))), threefold)
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    assert np.array_equal(pixels(saved(tmp_path / "16.png", deep)), threefold)
    palette = Image.fromarray(COLOURS).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert np.array_equal(pixels(saved(tmp_path / "p.png", palette)), COLOURS)
    one = saved(tmp_path / "1.png", Image.fromarray(np.array([[True, False]])))
    assert pixels(one).tolist() == [[[255] * 3, [0] * 3]]
    ink = Image.new("CMYK", (4, 4), (0, 255, 255, 0))  # no cyan: red
    red = pixels(saved(tmp_path / "cmyk.jpg", ink, quality=100))[0, 0]
    assert red[0] > 200
    assert max(red[1:]) < 60


def test_what_is_transparent_is_laid_over_white(tmp_path: Path) -> None:
    clear = np.array([[[255, 0, 0, 255], [255, 0, 0, 0], [0, 0, 0, 128]]], np.uint8)
    shown = pixels(saved(tmp_path / "a.png", Image.fromarray(clear)))
    assert shown.tolist() == [[[255, 0, 0], [255, 255, 255], [127, 127, 127]]]
    palette = Image.fromarray(COLOURS).convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    hidden = palette.getpixel((0, 0))
    shown = pixels(saved(tmp_path / "p.png", palette, transparency=hidden))
    assert shown[0, 0].tolist() == [255, 255, 255]
    assert shown[1, 0].tolist() == [0, 0, 255]
    both = Image.fromarray(np.array([[[9, 255], [9, 0]]], np.uint8))
    assert pixels(saved(tmp_path / "la.png", both)).tolist() == [[[9] * 3, [255] * 3]]


def test_first_frame_of_a_moving_picture(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
    path = saved(tmp_path / "a.gif", frames[0], save_all=True, append_images=frames[1:])
    assert pixels(path)[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_camera_gives_an_upright_picture(orientation: int, tmp_path: Path) -> None:
    upright = made_picture(1, (40, 24))
    turns = {
        2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE",
        6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270",
    }  # fmt: skip
    stored = upright
    if orientation in turns:
        stored = upright.transpose(Image.Transpose[turns[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path / "a.png", stored, exif=exif)
    assert np.array_equal(pixels(path), np.asarray(upright))


def png(width: int, height: int) -> bytes:
    """A PNG file that says of itself how large it is, and ends there."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0"))


BAD = {
    "empty": (b"", "no whole picture"),
    "text": (b"no picture at all", "no whole picture"),
    "unfinished": (png(50, 50), "no whole picture"),
    "bomb": (png(60_000, 60_000), "decompression bomb"),
    "large": (png(10_000, 10_000), "decompression bomb"),
    "narrow": (png(10_000, 2), "no picture"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no whole picture"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("kind", BAD)
def test_bad_file_is_refused_by_name(kind: str, strict: bool, tmp_path: Path) -> None:
    content, said = BAD[kind]
    path = tmp_path / "bad.png"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        with pytest.raises(MmalignError, match=said) as raised:
            read_picture(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert str(raised.value).count("bad.png") == 1
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "bmp"])
def test_cut_and_spoilt_files_are_refused_or_read_but_never_crash(
    suffix: str, tmp_path: Path
) -> None:
    path = saved(tmp_path / f"a.{suffix}", made_picture(0))
    whole = path.read_bytes()
    refused = 0
    for number in range(60):
        random = draw(number)
        spoilt = bytearray(whole)
        if number % 2:
            del spoilt[int(random.integers(len(whole))) :]
        else:
            for place in random.integers(len(whole), size=20):
                spoilt[place] = random.integers(256)
        path.write_bytes(spoilt)
        try:
            assert read_picture(path).mode == "RGB"
        except MmalignError:
            refused += 1
    assert refused > 20


def test_what_the_system_refuses_is_said(tmp_path: Path) -> None:
    with pytest.raises(MmalignError, match=r"gone\.png: cannot be read: No such file"):
        read_picture(tmp_path / "gone.png")
    with pytest.raises(MmalignError, match="cannot be read: Is a directory"):
        read_picture(tmp_path)


def test_unreadable_file_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(tmp_path / "a.png", made_picture(0))

    def refuse(*_: object, **__: object) -> None:  # root, as CI is, may read everything
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(MmalignError, match="cannot be read: Permission denied"):
        read_picture(path)


def test_preparation_crops_scales_and_normalises() -> None:
    flat = Image.new("RGB", (30, 20), (255, 0, 51))
    made = Preparation((4, 4), mean=(0.5, 0.25, 0.2), std=(0.5, 0.5, 2.0))(flat)
    assert made.shape == (3, 4, 4)
    assert made.dtype == np.float32
    assert np.allclose(made[:, 1, 2], [1.0, -0.5, 0.0], atol=1e-6)


def test_preparation_sees_the_middle() -> None:
    wide = np.zeros((10, 40, 3), np.uint8)
    wide[:, 15:25] = 255  # just the middle square
    seen = Preparation((10, 10), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert seen(Image.fromarray(wide)).min() == 1.0
    assert seen(Image.fromarray(wide.transpose(1, 0, 2))).min() == 1.0
    half = Preparation((5, 5), crop=0.5, mean=(0.0,) * 3, std=(1.0,) * 3)
    square = np.zeros((20, 20, 3), np.uint8)
    square[2:18, 2:18] = 255  # the crop, and what resizing mixes into its border
    assert half(Image.fromarray(square)).min() == 1.0
    assert Preparation((5, 5), 1.0, (0.0,) * 3, (1.0,) * 3)(Image.fromarray(square)).min() < 1.0


def test_preparation_of_an_oblong_input() -> None:
    seen = Preparation((10, 20), crop=1.0, mean=(0.0,) * 3, std=(1.0,) * 3)
    tall = np.zeros((40, 20, 3), np.uint8)
    tall[15:25] = 255
    assert seen(Image.fromarray(tall)).shape == (3, 10, 20)
    assert seen(Image.fromarray(tall)).min() == 1.0
