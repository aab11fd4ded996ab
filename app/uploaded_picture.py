"""A picture that is uploaded or taken, made into what a model sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.images import as_picture
from app.parameters import Flag, in_url
from app.words import plain
from stg_core.export.about import Input
from stg_core.tasks.pictures import FORMATS, MOST_BYTES, MOST_PIXELS, read_picture

BRIGHT = 128  # the mean level of an edge, from which on it is no dark background
SHOWN = 112  # pixels of the screen


@dataclass(frozen=True)
class Expected:
    """What a model's images look like: dark says whether their background is; about, in words."""

    dark: bool = False
    about: str = ""


# What is not seen by the shape of the input.
DIGITS = Expected(
    dark=True,
    about="The models saw single handwritten digits, light on dark, of 8 × 8 pixels: let one digit"
    " fill the picture.",
)
CIFAR = Expected(
    about="The models saw photos of 32 × 32 pixels that show one thing, and no other kinds of"
    " things than these tasks ask about."
)
EXPECTED = {"digits": DIGITS, "cifar10": CIFAR, "cifar100": CIFAR}


def chosen_picture(given: Input, dataset: str, camera: bool) -> NDArray[np.uint8] | None:
    """The picture of an uploader or the camera, (H, W, C); None where there is none yet.

    Raises UserError for what cannot be read as one, which says what to do.
    """
    expected = EXPECTED.get(dataset, Expected())
    st.caption(expected.about or f"The models take images of {_size(given)} pixels.")
    if camera:
        file = st.camera_input(
            "Take a picture", key="try_camera", help="It stays on the machine that runs the app."
        )
    else:
        file = st.file_uploader(
            "A picture",
            key="try_upload",
            max_upload_size=MOST_BYTES // 2**20,
            help=f"{', '.join(FORMATS)}, at most {MOST_BYTES // 2**20} MB and"
            f" {MOST_PIXELS // 10**6} million pixels. It stays on the machine that runs the app.",
        )
    if file is None:
        return None
    crop, inverted, turned = _changes()
    name = "the camera" if camera else file.name
    background = 0 if expected.dark else 255
    found = read_picture(file.getvalue(), name, given.shape, background, crop)
    for note in found.notes:
        st.caption(plain(note))
    pixels = 255 - found.pixels if inverted else found.pixels
    if expected.dark and edge(pixels) > BRIGHT:
        st.info(
            "Its edge is bright, and these digits are light on dark: turn light into dark.",
            icon=":material/invert_colors:",
        )
    return pixels[::-1] if turned else pixels


def _changes() -> tuple[bool, bool, bool]:
    """Crop, light into dark, upside down."""
    with st.container(horizontal=True):
        squeezed = st.toggle(
            "All of it",
            **in_url("try_whole", Flag()),
            help="Else its middle is taken, as high and as wide as the model's images are; all of"
            " it is squeezed into them.",
        )
        inverted = st.toggle(
            "Light into dark",
            **in_url("try_inverted", Flag()),
            help="Turns what is light dark and the other way round: for ink on paper, where models"
            " saw light on dark.",
        )
        turned = st.toggle(
            "Upside down",
            **in_url("try_turned", Flag()),
            help="Turns it over: see what the tasks say to it then.",
        )
    return not squeezed, inverted, turned


def edge(pixels: NDArray[np.uint8]) -> float:
    """The mean level of the outermost pixels of an image (H, W, C)."""
    around = [pixels[0], pixels[-1], pixels[1:-1, 0], pixels[1:-1, -1]]
    return float(np.concatenate([part.reshape(-1) for part in around]).mean())


def show_seen(pixels: NDArray[np.uint8], what: str) -> None:
    """What the model sees, (H, W, C), with whole pixels of the screen for each of its own."""
    times = max(SHOWN // max(pixels.shape[:2]), 1)
    large = as_picture(pixels).repeat(times, 0).repeat(times, 1)
    height, width, channels = pixels.shape
    st.image(
        large.squeeze(-1) if large.shape[-1] == 1 else large,
        caption=f"What the models see: {width} × {height}{', grey' * (channels == 1)}",
        alt=f"{what}, as the models see it",
        width=large.shape[1],
    )


def _size(given: Input) -> str:
    return f"{given.shape[1]} × {given.shape[0]}"
