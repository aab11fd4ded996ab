"""Tables for people's spreadsheets."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stg_core.system.spreadsheets import as_text


def as_csv(frame: pd.DataFrame, index: bool = False) -> bytes:
    """A table as CSV that a spreadsheet reads as it is: no garbled umlauts, no formulas."""
    plain = frame.rename(columns=_cell)
    for name in plain.select_dtypes(exclude="number"):
        plain[name] = plain[name].map(_cell)
    if index:
        plain.index = plain.index.map(_cell)
        plain = plain.rename_axis(_cell(frame.index.name))
    return plain.to_csv(index=index).encode("utf-8-sig")  # by its mark Excel knows the encoding


def _cell(value: Any) -> Any:
    return as_text(value) if isinstance(value, str) else value
