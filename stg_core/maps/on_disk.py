"""Data maps that lie on disk as arrays of NumPy's, with the labels they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.outputs import sizes
from stg_core.maps.summary import MAX_VARIABILITY
from stg_core.system.errors import UserError

LOOKED_AT = 32  # tasks of each epoch whose values are checked: all would be read twice
SLACK = 1e-3  # half precision rounds


@dataclass(frozen=True)
class MapsOnDisk:
    """maps (E, 2, T, N) and labels (N, T), memory-mapped; epochs (E,); tasks (T,): their names."""

    maps: NDArray[np.float16]
    labels: NDArray[np.float32]
    epochs: tuple[int, ...]
    tasks: tuple[str, ...]


def read_maps(
    maps: Path, labels: Path, epochs: Sequence[int] | None = None, names: Path | None = None
) -> MapsOnDisk:
    """Opens both, and reads neither; epochs are by default 2, 3 and so on.

    Raises UserError for what is no such file, for shapes that do not fit, and for values that no
    data map has.
    """
    found, answers = _opened(maps), _opened(labels)
    if found.ndim != 4 or found.shape[1] != 2 or 0 in found.shape:
        raise UserError(
            f"{maps} is {sizes(found.shape)} and should be (E, 2, T, N): of E recorded epochs the"
            " confidence and the variability of N points for T tasks."
        )
    n_epochs, _, n_tasks, n_points = found.shape
    if answers.shape != (n_points, n_tasks):
        raise UserError(
            f"{labels} is {sizes(answers.shape)} and should be ({n_points}, {n_tasks}): a row for"
            f" each of the {n_points:,} points of {maps}, a column for each task."
        )
    chosen = tuple(range(2, n_epochs + 2) if epochs is None else epochs)
    if len(chosen) != n_epochs or list(chosen) != sorted({*chosen}) or chosen[0] < 2:
        raise UserError(
            f"{maps} has data maps of {n_epochs} epochs: name as many, from 2 on and rising."
        )
    require_in_range(np.moveaxis(found[:, :, :LOOKED_AT], 1, 0), str(maps))
    return MapsOnDisk(found, answers, chosen, _names(names, n_tasks))


def _opened(path: Path) -> NDArray[np.floating]:
    array: NDArray[np.floating] | None = None
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror or error}.") from None
    except (ValueError, EOFError):
        pass  # said below
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        raise UserError(f"{path} is no array of numbers: write one with np.save.")
    return array


def require_in_range(maps: NDArray[np.floating], of: str) -> None:
    """Raises UserError unless confidence and variability, (2, …), lie where those of a data map do.

    of: what they are of, at the beginning of the sentence.
    """
    for name, top, values in zip(
        ("confidence", "variability"), (1.0, MAX_VARIABILITY), maps, strict=True
    ):
        known = values[~np.isnan(values)]
        if len(known) and not (known.min() >= -SLACK and known.max() <= top + SLACK):
            raise UserError(
                f"{of} has a {name} of {known.min():.4g} to {known.max():.4g}, which lies from 0 to"
                f" {top:.2g}: give confidence and variability, in this order."
            )


def _names(path: Path | None, n_tasks: int) -> tuple[str, ...]:
    if path is None:
        return tuple(f"task {t + 1}" for t in range(n_tasks))
    try:
        names = tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"Cannot read {path}: {error}.") from None
    if len(names) != n_tasks or len({*names}) < n_tasks or "" in names:
        raise UserError(f"{path} should have {n_tasks} lines, a name of its own on each.")
    return names
