"""Runs that are read while they go on: each data map is a file, summarised by who looks first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.summary import DataMapSummary, joined, summarise_tasks
from stg_core.results.run import Run
from stg_core.system.errors import UserError
from stg_core.system.files import atomic
from stg_core.system.words import named
from stg_core.training.work_folder import LOOKED_BACK


@dataclass(frozen=True)
class GrowingRun(Run):
    """A run with one file for the data maps of each epoch, maps-<e>.npy (2, T, N) float16.

    Its spec is that of a run that has ended after its last epoch so far.
    """

    @property
    def called(self) -> str:
        """Such as "The log “my run”", at the beginning of a sentence."""
        return f"The run {named(self.title)}"

    @property
    def beginning(self) -> str:
        """What to do about one of its files that is damaged."""
        return "begin it anew"

    def maps_after(self, epoch: int) -> tuple[int, ...]:
        """The recorded epochs that it had after an earlier one; () where those are not known."""
        return tuple(e for e in self.spec.recorded if e <= epoch)

    @property
    def last_epochs(self) -> tuple[int, ...]:
        """The epochs, ascending, after which it is known what it was: a few to the last one."""
        return self.spec.recorded[-LOOKED_BACK - 1 :]

    @cached_property
    def summary(self) -> DataMapSummary:
        """Of all its recorded epochs; each is summarised once, by whoever first looks at it."""
        self.require_data_maps()
        return self.summary_of(self.spec.recorded)

    def summary_of(self, epochs: Sequence[int]) -> DataMapSummary:
        """Of some epochs whose data maps are there."""
        with self._as_it_was():
            return joined([self._summary_of(epoch) for epoch in epochs])

    def datamaps(self) -> NDArray[np.float16] | None:
        """Data maps (E, 2, T, N) float16 of the recorded epochs."""
        with self._as_it_was():
            return np.stack([self.array(f"maps-{epoch}") for epoch in self.spec.recorded])

    def array(self, name: str) -> NDArray[Any]:
        """Such as "labels" or "maps-4", memory-mapped; raises OSError or ValueError."""
        path = self.folder / f"{name}.npy"
        found: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        return found

    @contextmanager
    def _as_it_was(self) -> Iterator[None]:
        """A sentence where an array is gone or damaged."""
        try:
            yield
        except OSError as error:  # it went on meanwhile, and has dropped some of its epochs
            raise UserError(f"{self.called} has just gone on: look at it again.") from error
        except (ValueError, EOFError) as error:
            raise UserError(
                f"A file of {self.called[0].lower()}{self.called[1:]} is damaged ({error}):"
                f" {self.beginning}."
            ) from error

    def _summary_of(self, epoch: int) -> DataMapSummary:
        path = self.folder / f"summary-{epoch}.npz"
        try:
            found = DataMapSummary.load(path.read_bytes())
            if found.as_now:
                return found
        except (OSError, UserError):
            pass  # nobody has looked at it yet
        maps, labels = np.asarray(self.array(f"maps-{epoch}"))[None], self.array("labels")
        tasks = [self.spec.group.task(name) for name in self.spec.tasks]
        found = summarise_tasks(maps, np.asarray(labels), tasks, (epoch,))
        try:
            with atomic(path) as file:
                found.save(file)
        except OSError:
            pass  # it is no less true where it cannot be kept
        return found
