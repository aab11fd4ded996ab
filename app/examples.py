"""Real images of classes: on the cards of the task groups and in the lesson."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from PIL import Image

from app.state import ROOT
from app.widgets import plain
from stg_core.system.errors import UserError
from stg_core.tasks.groups import TaskGroup
from stg_core.tasks.images import CLASS_NAMES, example_images

COLUMNS, ROWS = 5, 2
CELL, GAP = 64, 6  # pixels


def contact_sheet(group: TaskGroup) -> bytes | None:
    """Ten images of a group as one PNG; None where they cannot be had at once.

    Where they should be there and are not, says so in its place.
    """
    try:
        return _contact_sheet(group.dataset, group.flips_images)
    except UserError as error:
        st.warning(plain(str(error)), icon=":material/broken_image:")
    except LookupError:
        pass
    return None


@st.cache_resource(show_spinner=False)
def _contact_sheet(dataset: str, flips: bool) -> bytes:
    sheet = Image.new("RGBA", (COLUMNS * (CELL + GAP) - GAP, ROWS * (CELL + GAP) - GAP))
    names = CLASS_NAMES[dataset]
    for i, image in enumerate(_examples(dataset, names[:: len(names) // (COLUMNS * ROWS)])):
        turned = image[::-1] if flips and i % 2 else image  # as the group turns half of them
        row, column = divmod(i, COLUMNS)
        large = Image.fromarray(turned.squeeze()).resize((CELL, CELL), Image.Resampling.BICUBIC)
        sheet.paste(large, (column * (CELL + GAP), row * (CELL + GAP)))
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def class_images(dataset: str, names: Sequence[str] | None = None) -> NDArray[np.uint8] | None:
    """An image of each class (n, H, W, C), or of some; None where they cannot be had at once."""
    try:
        return _examples(dataset, tuple(CLASS_NAMES[dataset] if names is None else names))
    except LookupError:
        return None


@st.cache_resource(show_spinner=False)
def _examples(dataset: str, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """An image of each class (n, H, W, C); LookupError, not cached, where there are none yet."""
    images = example_images(dataset, names)
    if images is None and dataset == "digits":
        images = _digits()[[CLASS_NAMES[dataset].index(name) for name in names]]
    if images is None:
        raise LookupError(dataset)
    return images


def _digits() -> NDArray[np.uint8]:
    """Ten of scikit-learn's digits, kept as a picture: the library takes a second to import."""
    with Image.open(ROOT / "assets" / "digits.png") as row:
        return np.stack(np.split(np.asarray(row), 10, axis=1))
