"""A data set that is being kept, behind the app's back."""

from __future__ import annotations

import threading
from pathlib import Path

from stg_core.system.errors import Cancelled, UserError
from stg_core.tasks.choices import Choices
from stg_core.tasks.datasets import DataSet
from stg_core.tasks.sources import add_source


class Adding:
    """A thread that keeps a source as a data set: how far it is, and what came of it.

    message: what it is doing; share: how much of that is done, in [0, 1]; kept: the data set, once
    it is; problem: why it could not be kept, or "".
    """

    def __init__(self, path: Path, choices: Choices) -> None:
        self.path, self.choices = path, choices
        self.message, self.share = f"Reading {path.name}", 0.0
        self.kept: DataSet | None = None
        self.problem = ""
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True, name="adding")
        self._thread.start()

    @property
    def going_on(self) -> bool:
        return self._thread.is_alive()

    def cancel(self) -> None:
        """Ends it at its next step; nothing is kept."""
        self._unwanted.set()

    def _tell(self, what: str, share: float) -> None:
        if self._unwanted.is_set():
            raise Cancelled
        self.message, self.share = what, min(max(share, 0.0), 1.0)

    def _work(self) -> None:
        try:
            self.kept = add_source(self.path, self.choices, self._tell)
        except UserError as error:
            self.problem = str(error)
        except Cancelled:
            self.problem = "Cancelled. Nothing was kept."
        except MemoryError:
            self.problem = (
                "There is not enough memory for this source: keep it as CSV or Parquet, which are"
                " read in parts, and add it with python -m stg_core add FILE."
            )
