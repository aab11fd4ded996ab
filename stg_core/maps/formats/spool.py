"""Rows in any order, sorted by their epoch on the disk: memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.formats.numbers import Floats
from stg_core.maps.log_folder import told

ROW = np.dtype([("point", "<i4"), ("task", "<i4"), ("value", "<f4"), ("label", "<f4")])
ROWS = 2**20  # that are read at once


class Spool:
    """A file for each epoch, below a folder of its own; 16 bytes for each row.

    places, tasks: indices of points and tasks by name, in the order in which they came.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.places: dict[str, int] = {}
        self.tasks: dict[str, int] = {}
        self.epochs: list[int] = []
        with told():
            folder.mkdir()

    def add(
        self,
        ids: Sequence[str],
        tasks: Sequence[str],
        epochs: NDArray[np.int64],
        values: Floats,
        labels: Floats,
    ) -> None:
        """Adds rows (B,)."""
        rows = np.empty(len(ids), ROW)
        rows["point"] = [self.places.setdefault(name, len(self.places)) for name in ids]
        rows["task"] = [self.tasks.setdefault(name, len(self.tasks)) for name in tasks]
        rows["value"], rows["label"] = values, labels
        order = np.argsort(epochs, kind="stable")
        found, first = np.unique(epochs[order], return_index=True)
        for epoch, part in zip(found.tolist(), np.split(rows[order], first[1:]), strict=True):
            with told(), open(self._folder / str(epoch), "ab") as file:
                file.write(part.tobytes())
        self.epochs = sorted({*self.epochs, *found.tolist()})

    def rows(self, epoch: int) -> Iterator[NDArray[np.void]]:
        """The rows of an epoch, some at a time."""
        with told(), open(self._folder / str(epoch), "rb") as file:
            while len(rows := np.fromfile(file, ROW, ROWS)):
                yield rows

    def labels(self) -> Floats:
        """Of all points and tasks, (N, T), NaN where no row has one; the last where they differ."""
        found = np.full((len(self.places), len(self.tasks)), np.nan, np.float32)
        for epoch in self.epochs:
            for rows in self.rows(epoch):
                known = rows[~np.isnan(rows["label"])]
                found[known["point"], known["task"]] = known["label"]
        return found
