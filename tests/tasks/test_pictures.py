"""What is uploaded as a picture: of any kind, damaged, or made to do harm."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from stg_core.system.errors import UserError
from stg_core.tasks import pictures
from stg_core.tasks.pictures import MOST_BYTES, read_picture

SHAPE = (32, 32, 3)


def saved(image: Image.Image, kind: str, **how: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def read(data: bytes, shape: tuple[int, ...] = SHAPE, **how: Any) -> pictures.Picture:
    found = read_picture(data, "upload", shape, **how)
    assert found.pixels.shape == shape and found.pixels.dtype == np.uint8
    return found


def png_of_size(width: int, height: int) -> bytes:
    """A PNG of some hundred bytes that says it is of this size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 99)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


# ---------------------------------------------------------------------------- the right answer


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("RGB", (200, 10, 60), "PNG", (200, 10, 60)),
        ("L", 90, "PNG", (90, 90, 90)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("P", 7, "GIF", None),
        ("CMYK", (0, 255, 255, 0), "TIFF", (255, 0, 0)),
        ("I;16", 0xC812, "PNG", (200, 200, 200)),
        ("LA", (0, 0), "PNG", (255, 255, 255)),
        ("RGBA", (200, 10, 60, 0), "PNG", (255, 255, 255)),
        ("RGBA", (200, 10, 60, 255), "WEBP", (200, 10, 60)),
    ],
)
def test_every_kind_of_colour(mode: str, colour: Any, kind: str, expected: Any) -> None:
    how = {"lossless": True} if kind == "WEBP" else {}
    pixels = read(saved(Image.new(mode, (50, 40), colour), kind, **how)).pixels
    assert (pixels == pixels[0, 0]).all()
    assert expected is None or tuple(pixels[0, 0].tolist()) == expected


def test_colours_of_print_become_grey() -> None:
    for mode, colour, kind in (("LAB", (200, 128, 128), "TIFF"), ("CMYK", (0, 0, 0, 50), "JPEG")):
        pixels = read(saved(Image.new(mode, (9, 9), colour), kind), (8, 8, 1)).pixels
        assert 190 < pixels.mean() < 210


def test_a_single_pixel_is_a_picture_too() -> None:
    pixels = read(saved(Image.new("RGB", (1, 1), (200, 10, 60)), "PNG")).pixels
    assert (pixels == (200, 10, 60)).all()


def test_what_was_done_to_it_is_said() -> None:
    clear = Image.new("RGBA", (9, 9), (0, 0, 0, 0))
    assert read(saved(clear, "PNG")).notes == ("Its transparent parts are put on white.",)
    on_black = read(saved(clear, "PNG"), background=0)
    assert on_black.notes == ("Its transparent parts are put on black.",)
    assert not on_black.pixels.any()
    assert "CMYK" in read(saved(Image.new("CMYK", (9, 9)), "JPEG")).notes[0]
    assert "upper 8" in read(saved(Image.new("I;16", (9, 9)), "TIFF")).notes[0]
    assert read(saved(Image.new("RGB", (9, 9)), "BMP")).notes == ()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_of_an_animation_the_first_picture_is_taken(kind: str) -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("#fff", "#000", "#777")]
    found = read(saved(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert (found.pixels > 250).all()
    assert "the first one is taken" in found.notes[0]


def test_a_palette_with_transparency_and_a_model_that_sees_it() -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30] * 256)
    data = saved(image, "PNG", transparency=0)
    assert (read(data).pixels == 255).all()
    assert not read(data, (4, 4, 4)).pixels[..., 3].any()


def test_a_phone_on_its_side() -> None:
    image = Image.new("RGB", (40, 40), "#000")
    image.paste("#fff", (0, 0, 40, 20))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter, clockwise
    pixels = read(saved(image, "PNG", exif=exif)).pixels
    assert (pixels[:, 16:] == 255).all() and not pixels[:, :16].any()


def test_the_middle_or_all_of_it() -> None:
    image = Image.new("RGB", (120, 40), "#000")
    image.paste("#fff", (40, 0, 80, 40))
    assert (read(saved(image, "PNG")).pixels == 255).all()
    squeezed = read(saved(image, "PNG"), (6, 6, 3), crop=False).pixels
    assert squeezed[0, :, 0].tolist() == [0, 0, 255, 255, 0, 0]


def test_fewer_pixels_than_the_model_sees() -> None:
    assert (read(saved(Image.new("L", (1, 1), 77), "PNG"), (8, 8, 1)).pixels == 77).all()


def test_a_jpeg_of_a_hundred_megapixels_is_decoded_smaller() -> None:
    data = saved(Image.new("RGB", (10_000, 10_000), "#fff"), "JPEG")
    assert (read(data).pixels == 255).all()


# ------------------------------------------------------------------------------- a sentence


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "no picture that can be read"),
        (b"just some text, " * 99, "no picture that can be read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no picture that can be read"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "choose a PNG, JPEG, WebP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no picture that can be read"),
        (png_of_size(10_000, 10_000), "100 million (10,000 × 10,000) pixels"),
        (png_of_size(60_000, 60_000), "far more pixels, and 25 million are the most"),
        (b"\0" * (MOST_BYTES + 1), "30 are the most"),
        (saved(Image.effect_noise((64, 64), 50), "PNG")[:900], "is damaged"),
        (png_of_size(10, 10), "is damaged"),
        (saved(Image.new("F", (9, 9)), "TIFF"), "32 bits for each pixel"),
    ],
)
def test_what_cannot_be_read_gets_a_sentence(data: bytes, sentence: str) -> None:
    with pytest.raises(UserError) as told:
        read(data)
    assert sentence in str(told.value) and "upload" in str(told.value)


def test_a_large_progressive_jpeg_is_not_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1_000_000)
    monkeypatch.setattr(pictures, "DRAFT", 64)
    image = Image.new("RGB", (2_000, 2_000))
    assert read(saved(image, "JPEG")).pixels.shape == SHAPE
    with pytest.raises(UserError, match="4 million"):
        read(saved(image, "JPEG", progressive=True))


def test_damaged_bytes_never_end_the_page(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (24, 24, 3), np.uint8))
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM"):
        whole = np.frombuffer(saved(noise, kind), np.uint8)
        for _ in range(40):
            damaged = whole.copy()
            damaged[rng.integers(0, len(whole), 6)] = rng.integers(0, 256, 6)
            try:
                read(damaged.tobytes())
            except UserError as error:
                assert str(error)
