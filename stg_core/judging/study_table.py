"""The results of a study as one table, and where the tables of studies are kept.

A folder of a study holds `plan.toml`, `study.parquet` and `study.csv`. A row is of one cell,
variant (average, routing), scheme and measure; a cell that could not be has one row, which says
why under `not_run`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from stg_core.judging.plan import SCHEMES
from stg_core.judging.study import Cell, Study, study_of
from stg_core.results import store as store_module
from stg_core.results.store import STUDIES, Store
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.tasks.data import counts_and_shape
from stg_core.training.spec import TrainingSpec

Row = Mapping[str, Any]  # what is empty is None

PLAN, PARQUET, CSV = "plan.toml", "study.parquet", "study.csv"
CELL = (
    *("group", "tasks", "points", "of_tasks", "of_points"),
    *("model", "epochs", "k", "method", "fuzzifier"),
)
VARIANT = ("average", "routing")


def minus(other: str) -> tuple[str, str, str]:
    """The columns of the difference to a scheme, and of the ends of its interval."""
    return f"minus_{other}", f"minus_{other}_low", f"minus_{other}_high"


COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("group", "model", "method", *VARIANT, "scheme", "measure"), "string"),
    **dict.fromkeys(("tasks", "points", "epochs", "k", "seeds"), "Int64"),
    **dict.fromkeys(("of_tasks", "of_points", "fuzzifier"), "Float64"),
    **dict.fromkeys(("mean", "low", "high"), "Float64"),
    **{name: "Float64" for other in SCHEMES for name in minus(other)},
    **dict.fromkeys(("training_cost", "serving_cost", "seconds"), "Float64"),
    **dict.fromkeys(("left_out", "run", "not_run"), "string"),
}
"""Types by column. tasks, points: how many; of_tasks, of_points: the same as shares of the group's.
fuzzifier: none where the method is hard. mean, low, high: a measure with its 95 % interval;
minus_<scheme>…: the scheme of the row minus that one. training_cost, serving_cost: in MTL trainings
and models; seconds: of its trainings. left_out: tasks that no scheme learns. run: whose data maps
are grouped."""
NOTHING: dict[str, Any] = dict.fromkeys(COLUMNS)


# ------------------------------------------------------------------------------------------- rows


def rows_of(cell: Cell, spec: TrainingSpec, report: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rows of a cell that was judged; report: of `report_steps`, version 2."""
    for average in cell.average:
        for routing in cell.routing:
            variant = report["variants"][f"{average}-{routing}"]
            for measure in report["measures"]:
                found = variant["measures"][measure]
                differences = _both_ways(found["differences"])
                for scheme in report["schemes"]:
                    row = _place(cell, spec) | {"average": average, "routing": routing}
                    row |= {"scheme": scheme, "measure": measure}
                    row |= _with_ends(("mean", "low", "high"), found["schemes"][scheme])
                    for other in report["schemes"]:
                        if other != scheme:
                            row |= _with_ends(minus(other), differences[scheme, other])
                    costs = report["costs"][scheme]
                    row |= {f"{what}_cost": costs[what] for what in ("training", "serving")}
                    row |= {"seconds": costs["seconds"], "run": report["run"]}
                    yield NOTHING | row | {"left_out": ", ".join(report["left_out"])}


def row_not_run(cell: Cell, reason: str) -> dict[str, Any]:
    """The row of a cell that could not be; what is not known of it is empty."""
    try:
        place = _place(cell, cell.spec())
    except UserError:
        place = {"group": cell.group, "model": cell.model or None, "epochs": cell.epochs or None}
        counts = {"tasks": cell.tasks, "points": cell.training_images}
        place |= {name: n for name, n in counts.items() if isinstance(n, int)}
        place |= _clusters(cell)
    return NOTHING | place | {"not_run": reason}


def _place(cell: Cell, spec: TrainingSpec) -> dict[str, Any]:
    n_points = counts_and_shape(spec.group)[0]
    tasks, points = len(spec.tasks), spec.training_images or n_points
    return {
        "group": cell.group,
        "tasks": tasks,
        "points": points,
        "of_tasks": tasks / len(spec.group.tasks),
        "of_points": points / n_points,
        "model": spec.model,
        "epochs": spec.epochs,
        **_clusters(cell),
    }


def _clusters(cell: Cell) -> dict[str, Any]:
    fuzzifier = cell.m if cell.method == "soft" else None
    told = {"k": cell.k, "method": cell.method, "fuzzifier": fuzzifier}
    return told | {"seeds": len(cell.seeds)}


def _with_ends(names: Sequence[str], found: Mapping[str, Any]) -> dict[str, Any]:
    return dict(zip(names, (found["mean"], *found["ci"]), strict=True))


def _both_ways(differences: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, Any]]:
    def turned(value: float | None) -> float | None:
        return None if value is None else -value

    found: dict[tuple[str, str], dict[str, Any]] = {}
    for one in differences:
        a, b, (low, high) = one["scheme"], one["other"], one["ci"]
        found[a, b] = {"mean": one["mean"], "ci": [low, high]}
        found[b, a] = {"mean": turned(one["mean"]), "ci": [turned(high), turned(low)]}
    return found


# ----------------------------------------------------------------------------------------- folders


def write_study(folder: Path, study: Study, rows: Sequence[Row]) -> None:
    """Keeps the plan of a study with its table so far; each file is whole at any time."""
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype(dict(COLUMNS))
    folder.mkdir(parents=True, exist_ok=True)
    with atomic(folder / PLAN) as file:
        file.write(study.text.encode())
    with atomic(folder / PARQUET) as file:
        table.to_parquet(file, index=False)
    with atomic(folder / CSV) as file:
        table.to_csv(file, index=False)


def read_plan(folder: Path) -> Study:
    """The plan that was run into a folder; its name is the folder's."""
    try:
        return study_of((folder / PLAN).read_text(encoding="utf-8"), folder.name)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"The plan of the study {folder.name} cannot be read ({error}).") from error


def read_rows(folder: Path) -> list[Row]:
    """The rows of a study, with None for what is empty; UserError where there are none to read."""
    import pyarrow
    import pyarrow.parquet

    try:
        table = pyarrow.parquet.read_table(folder / PARQUET)
        for column in COLUMNS.keys() - {*table.column_names}:
            table = table.append_column(column, pyarrow.nulls(len(table)))
        rows: list[Row] = table.select([*COLUMNS]).to_pylist()
        return rows
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(
            f"The table of the study {folder.name} cannot be read ({error}). Run it again: what was"
            " trained for it is not trained again."
        ) from error


def bundled_studies() -> dict[str, Path]:
    """The folders of the studies that come with the project, by name."""
    return _studies_in(store_module.BUNDLES / STUDIES)


def kept_studies(store: Store) -> dict[str, Path]:
    """The folders of the studies that were run here, by name."""
    return _studies_in(store.folder / STUDIES)


def _studies_in(folder: Path) -> dict[str, Path]:
    return {path.parent.name: path.parent for path in sorted(folder.glob(f"*/{PARQUET}"))}
