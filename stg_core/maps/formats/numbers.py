"""Arrays of NumPy on the disk: their headers, one part at a time, and never a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError

Floats = NDArray[np.float32]


def checked_array(path: Path) -> NDArray[Any]:
    """An .npy file of numbers, memory-mapped; UserError for objects and damaged files."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise refusal(path.name, error) from error
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        raise UserError(f"{path.name} holds no numbers.")
    return array


def refusal(name: str, error: Exception) -> UserError:
    """Why an array cannot be read."""
    if "pickle" in str(error).lower() or "object" in str(error).lower():
        return UserError(
            f"{name} holds Python objects, which could run code when they are read: save it as"
            " numbers (np.save of an array of floats)."
        )
    return UserError(f"{name} is no array of NumPy, or damaged ({error}).")
