"""The values of one row of a table, begun from another row and changed by hand."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from stg_core.export.about import Input
from stg_core.system.words import counted

PIECE = re.compile(r"pieces of (?P<column>.*) 1")  # the first number that a text was hashed into
HEIGHT = 330  # pixels


def row_by_hand(
    given: Input, begun: NDArray[np.floating], text: str, key: str
) -> NDArray[np.float32]:
    """The raw values (F,) that the visitor gives; begun: from those of a row, NaN where unknown.

    text: of that row, of which the hashed numbers are made anew; key: tells rows apart.
    """
    names = list(given.columns) or [f"number {j + 1}" for j in range(given.shape[0])]
    hashed = next((j for j, name in enumerate(names) if PIECE.fullmatch(name)), len(names))
    found = np.array(begun, dtype=np.float32)
    if hashed < len(names):
        found[hashed:] = _of_text(names[hashed], text, key, len(names) - hashed)
    if not hashed:
        return found
    if not given.raw:
        st.caption(
            "These models take numbers as the training saw them: in standard deviations from the"
            " mean of the training rows."
        )
    table = st.data_editor(
        pd.DataFrame({"feature": names[:hashed], "value": found[:hashed].astype(np.float64)}),
        disabled=["feature"],
        hide_index=True,
        height=min(HEIGHT, 35 * hashed + 40),
        key=f"row {key}",
        column_config={
            "value": st.column_config.NumberColumn(
                help="An empty cell is a missing number: the mean of the training rows takes its"
                " place."
            )
        },
    )
    found[:hashed] = pd.to_numeric(table["value"], errors="coerce").to_numpy(np.float32)
    return found


def _of_text(first: str, text: str, key: str, n_numbers: int) -> NDArray[np.float32]:
    """The numbers that a text is hashed into, as when the data set was added."""
    from stg_core.tasks.tables import PIECES, hashed_pieces

    matched = PIECE.fullmatch(first)
    assert matched is not None and n_numbers == PIECES
    written = st.text_area(
        f"Text ({matched['column']})",
        text,
        key=f"text {key}",
        help=f"It is hashed into {counted(PIECES, 'number')}, as the rows of the training were.",
    )
    return hashed_pieces([written])[0]
