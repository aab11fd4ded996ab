"""One picture from outside, as a model takes it: what is uploaded may be anything."""

from __future__ import annotations

import io
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from stg_core.system.errors import UserError
from stg_core.system.words import named

# Formats whose decoders run no other program; what the name ends with does not count.
FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM")
MOST_BYTES = 30 * 2**20
MOST_PIXELS = 25_000_000  # that are decoded: 100 MB with transparency
DRAFT = 1_024  # pixels of a side: a JPEG's decoder makes it up to eight times smaller, down to this
DEEP = ("I", "F")  # modes of 32 bits for each pixel
MODES = ("L", "LA", "RGB", "RGBA")  # by the number of channels


@dataclass(frozen=True)
class Picture:
    """pixels: uint8 (H, W, C); notes: what was done to it that is not expected, in sentences."""

    pixels: NDArray[np.uint8]
    notes: tuple[str, ...]


def read_picture(
    data: bytes, name: str, shape: tuple[int, ...], background: int = 255, crop: bool = True
) -> Picture:
    """The picture in a file's bytes, upright, of `shape` (H, W, C).

    crop: take its middle, as high and as wide as the shape is; else all of it, squeezed.
    background: the level, 0 to 255, that transparent parts are put on where a model sees none.
    Raises UserError, which says what to do, for what is no picture, is damaged, has more than
    MOST_BYTES or would be decoded to more than MOST_PIXELS; the last is known before decoding.
    """
    if len(data) > MOST_BYTES:
        raise UserError(
            f"{named(name)} has {len(data) / 2**20:.0f} MB, and {MOST_BYTES / 2**20:.0f} are the"
            " most: save the picture smaller."
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return _read(image, name, shape, background, crop)
    except UnidentifiedImageError:
        raise UserError(
            f"{named(name)} is no picture that can be read here: choose a PNG, JPEG, WebP, GIF, BMP"
            " or TIFF file."
        ) from None
    except Image.DecompressionBombError:
        raise _too_large(name, "far more") from None
    except UserError:
        raise
    except Exception as error:  # decoders raise anything for damaged or hostile bytes
        raise UserError(
            f"{named(name)} is damaged and cannot be read as a picture ({error}): save it again."
        ) from error


def _read(
    image: Image.Image, name: str, shape: tuple[int, ...], background: int, crop: bool
) -> Picture:
    notes = []
    width, height = image.size
    if image.format in ("JPEG", "MPO") and not image.info.get("progressive"):
        image.draft(None, (DRAFT, DRAFT))  # of a progressive one all would be decoded all the same
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(name, f"{width * height / 1e6:.0f} million ({width:,} × {height:,})")
    if image.format != "MPO" and getattr(image, "is_animated", False):
        notes.append("It has several pictures, as an animation has: the first one is taken.")
        image.seek(0)
    image.load()
    with suppress(ValueError, KeyError, TypeError, SyntaxError):  # its note on that is damaged
        image = ImageOps.exif_transpose(image)
    if image.mode == "CMYK":
        notes.append("Its colours, made for print (CMYK), were converted.")
    elif image.mode.startswith("I;16"):
        notes.append("Of its 16 bits for each pixel the upper 8 are taken.")
    image = eight_bits(image, named(name))
    mode = MODES[shape[2] - 1]
    if "A" not in mode and image.has_transparency_data:
        image = _on_background(image, background)
        shade = {0: "black", 255: "white"}.get(background, f"grey ({background})")
        notes.append(f"Its transparent parts are put on {shade}.")
    return Picture(_resized(image.convert(mode), shape, crop), tuple(notes))


def _on_background(image: Image.Image, level: int) -> Image.Image:
    opaque = Image.new("RGBA", image.size, (level, level, level, 255))
    opaque.alpha_composite(image.convert("RGBA"))
    return opaque.convert("RGB")


def _resized(image: Image.Image, shape: tuple[int, ...], crop: bool) -> NDArray[np.uint8]:
    height, width, _ = shape
    box = None
    if crop:
        scale = min(image.width / width, image.height / height)
        left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
        box = (left, top, left + scale * width, top + scale * height)
    small = image.resize((width, height), Image.Resampling.BOX, box=box, reducing_gap=None)
    return np.ascontiguousarray(small, dtype=np.uint8).reshape(shape)


def _too_large(name: str, pixels: str) -> UserError:
    return UserError(
        f"{named(name)} has {pixels} pixels, and {MOST_PIXELS // 10**6} million are the most that"
        " are decoded: save the picture smaller."
    )


def eight_bits(image: Image.Image, called: str) -> Image.Image:
    """The same with 8 bits for each level; UserError where it is not known what white is."""
    if image.mode in DEEP:
        raise UserError(
            f"{called} has 32 bits for each pixel: save it with 8 or 16, so that it is known what"
            " white is."
        )
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    return image.convert("RGB") if image.mode == "LAB" else image  # which nothing else is made of
