"""Records of the package aum (Pleiss et al. 2020): the margin of each sample at each update.

`full_aum_records.csv` has them; `aum_values.csv`, a mean for each sample, is of no use for data
maps. Of two classes the confidence is the sigmoid of the margin; of more it cannot be known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.formats.answers import Question
from stg_core.maps.formats.lines import Tell
from stg_core.maps.formats.long_table import Columns, LongLog, floats_of
from stg_core.maps.formats.numbers import Floats
from stg_core.maps.formats.spool import Spool
from stg_core.maps.recorder import sigmoid
from stg_core.system.errors import UserError

if TYPE_CHECKING:
    from stg_core.tasks.rows import Rows

FORMAT = "records of AUM (margins)"
RECORDS = ("sample_id", "num_measurements", "margin")
# The package changes the names of these over: the class may stand in either, and is a whole number.
TARGETS, OTHERS = ("target_logit", "target_val"), ("other_logit", "other_val")
ONLY_MEANS = (
    "{} has the area under the margin of each sample, one mean over all epochs: data maps need each"
    " epoch. AUMCalculator(…, compressed=False) writes full_aum_records.csv, which has them."
)


def columns_of(names: Sequence[str]) -> Columns | None:
    """Of a table of records; None for another one."""
    if not set(RECORDS) <= set(names):
        return None
    own, epoch, value = (list(names).index(name) for name in RECORDS)
    return Columns(own, -1, epoch, value, -1, "confidences")


def has_only_means(names: Sequence[str]) -> bool:
    """Whether it is the table of means that the package writes."""
    return set(names) == {"sample_id", "aum"}


@dataclass(frozen=True)
class AumLog(LongLog):
    """Tables of records, each of one task."""

    format: str = FORMAT

    @property
    def _has_labels(self) -> bool:
        return all(set(TARGETS + OTHERS) <= set(rows.names) for _, rows, _ in self.tables)

    @property
    def outputs(self) -> Any:
        """The sigmoid of a margin is the probability of the true class; with classes known it is
        told that of yes."""
        return "probabilities" if self._has_labels else "confidences"

    @property
    def questions(self) -> list[Question]:
        if self._has_labels or self.answers.outputs is not None:
            return []
        return [
            Question(
                "outputs",
                "Are the records of two classes, so that the sigmoid of a margin is the probability"
                " of the true one? Then say that they are confidences; of more it cannot be known.",
                ("confidences",),
            )
        ]

    @property
    def notes(self) -> list[str]:
        return [*super().notes, "Confidence is the sigmoid of the margin, as for two classes."]

    def _sort(self, path: Path, rows: Rows, columns: Columns, spool: Spool, tell: Tell) -> None:
        places = [columns.id, columns.epoch, columns.value]
        if self._has_labels:
            places += [rows.names.index(name) for name in TARGETS + OTHERS]
        wanted: list[Any] = [(p, "text" if i == 0 else "number") for i, p in enumerate(places)]
        name = self.name if len(self.tables) == 1 else path.stem
        done = 0
        for ids, *numbers in rows.batches(wanted):
            epochs, margins, *classes = map(floats_of, numbers)
            self._check(path, done + 2, epochs, margins)
            right = np.asarray(sigmoid(margins), np.float32)
            labels = np.full(len(right), np.nan, np.float32)
            if classes:
                labels = _labels(path, classes)
            found = right if not classes else np.where(labels == 1, right, 1 - right)
            spool.add(ids.to_pylist(), [name] * len(ids), epochs.astype(np.int64), found, labels)
            done += len(ids)
            tell(path.name, int(len(ids) / max(rows.count or 1, 1) * path.stat().st_size))

    def _check(self, path: Path, first: int, epochs: Floats, margins: Floats) -> None:
        wrong = ~np.isfinite(margins) | ~np.isfinite(epochs)
        if wrong.any():
            i = int(wrong.argmax())
            raise UserError(
                f"{path.name}, line {first + i}: the margin is {margins[i]:g} at the update"
                f" {epochs[i]:g}: both should be finite numbers."
            )


def _labels(path: Path, columns: Sequence[Floats]) -> Floats:
    """The class of each record, 0 or 1, from the two columns of which one has it."""
    target, other = _classes(columns[:2]), _classes(columns[2:])
    if target is None or other is None:
        raise UserError(
            f"{path.name} does not say the class of a record: neither {TARGETS[0]} nor"
            f" {TARGETS[1]} is of whole numbers."
        )
    most = int(max(target.max(initial=0), other.max(initial=0)))
    if most > 1 or min(target.min(initial=0), other.min(initial=0)) < 0:
        raise UserError(
            f"{path.name} is of {most + 1} classes or more: a margin says how far the true class is"
            " before the next one, and of more than two not how probable it is. Log the outputs"
            " themselves."
        )
    return target.astype(np.float32)


def _classes(columns: Sequence[Floats]) -> NDArray[np.int64] | None:
    for column in columns:
        if np.isfinite(column).all() and (column == np.rint(column)).all():
            return column.astype(np.int64)
    return None
