"""A gallery of small images, of which one is chosen; Streamlit's own cannot be clicked."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from app.glances import as_url
from app.task_pictures import FOLDER

CSS = """
.gallery { display: flex; flex-wrap: wrap; gap: .3rem; }
button { width: 3.1rem; height: 3.1rem; padding: .2rem; cursor: pointer; background: none;
  border: 1px solid var(--st-border-color); border-radius: 4px; }
button:hover { border-color: var(--st-text-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
button[aria-checked="true"] { border-color: var(--st-primary-color);
  box-shadow: 0 0 0 2px var(--st-primary-color); }
img { width: 100%; height: 100%; image-rendering: pixelated; display: block; }
"""

_gallery = st.components.v2.component(
    "stg_explorer.gallery",
    html='<div class="gallery" role="radiogroup"></div>',
    css=CSS,
    js="\n".join(
        path.read_text() for path in (FOLDER / "hand.js", Path(__file__).with_suffix(".js"))
    ),
)


@functools.lru_cache(maxsize=500)
def _url(pixels: bytes, shape: tuple[int, ...]) -> str:
    """Kept, since all of a gallery's images are told again with every choice."""
    return as_url(np.frombuffer(pixels, dtype=np.uint8).reshape(shape))


def gallery(
    label: str,
    images: Sequence[tuple[int, NDArray[np.uint8], str]],
    chosen: int,
    on_choose: Callable[[int], None],
    key: str,
) -> None:
    """Images (H, W, C), each with its number and what it is called; told the number of a choice."""

    def told() -> None:
        number = st.session_state[key]["chosen"]
        if number in [at for at, _, _ in images]:
            on_choose(int(number))

    _gallery(
        key=key,
        data={
            "label": label,
            "chosen": chosen,
            "pictures": [
                {"at": at, "image": _url(image.tobytes(), image.shape), "name": name}
                for at, image, name in images
            ],
        },
        on_chosen_change=told,
    )
