"""What the points of a log are: rows of a table, or images of a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stg_core.maps.log_folder import told
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import named

if TYPE_CHECKING:
    import pandas as pd

TABLE, IMAGES = "points.parquet", "points.json"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp")


def keep_points(log: Path, what: Any, n_points: int) -> dict[str, Any]:
    """Keeps what N points are in the folder of a log; what its head says of them.

    what: a data frame, or whatever pandas makes one of, of N rows; a CSV or Parquet file of N rows;
    or a folder of N images, which are taken in the order of their names and stay where they are.
    Raises UserError for another number of them, and for what cannot be read.
    """
    if isinstance(what, (str, Path)):
        path = Path(what).expanduser().resolve()
        if path.is_dir():
            return _keep_images(log, path, n_points)
        what = _read_table(path)
    import pandas as pd

    try:
        table = what if isinstance(what, pd.DataFrame) else pd.DataFrame(what)
    except ValueError as error:
        raise UserError(f"What the points are cannot be read as a table ({error}).") from error
    if len(table) != n_points:
        raise UserError(
            f"There are {len(table):,} rows that say what a point is, and {n_points:,} points: give"
            " a row for each, in the order of the labels."
        )
    table = table.set_axis([str(column) for column in table.columns], axis=1)
    try:
        with told(), atomic(log / TABLE) as file:
            table.reset_index(drop=True).to_parquet(file)
    except (ValueError, TypeError) as error:  # a column of things that are neither text nor number
        raise UserError(f"What the points are cannot be kept as a table ({error}).") from error
    return {"kind": "table", "columns": list(table.columns)}


def points_table(log: Path) -> pd.DataFrame:
    """The table that `keep_points` kept; raises UserError where it cannot be read."""
    return _read_table(log / TABLE)


def image_of_point(log: Path, points: Mapping[str, Any], index: int) -> Path:
    """The file of a point's image."""
    names = json.loads((log / IMAGES).read_bytes())
    return Path(points["folder"], names[index])


def _keep_images(log: Path, folder: Path, n_points: int) -> dict[str, Any]:
    names = sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
    )
    if len(names) != n_points:
        raise UserError(
            f"The folder {named(folder.name)} has {len(names):,} images, and there are"
            f" {n_points:,} points: it should have one for each, in the order of their names."
        )
    with told(), atomic(log / IMAGES) as file:
        file.write(json.dumps(names).encode())
    return {"kind": "images", "folder": str(folder)}


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd

    try:
        if path.suffix.lower() == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep=None, engine="python", dtype_backend="numpy_nullable")
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} cannot be read as a table ({error}).") from error
