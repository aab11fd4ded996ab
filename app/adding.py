"""What is brought in behind the app's back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from stg_core.system.errors import Cancelled, UserError

T = TypeVar("T")
Tell = Callable[[str, float], None]


class Adding(Generic[T]):
    """A thread that brings something in: how far it is, and what came of it.

    message: what it is doing; share: how much of that is done, in [0, 1]; kept: what the work
    returned, once it has; problem: why it could not be kept, or "".
    """

    def __init__(self, message: str, work: Callable[[Tell], T], too_large: str) -> None:
        """work: is given what tells how far it is; too_large: said where memory is short."""
        self.message, self.share = message, 0.0
        self.kept: T | None = None
        self.problem = ""
        self._work, self._too_large = work, too_large
        self._unwanted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="adding")
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

    def _run(self) -> None:
        try:
            self.kept = self._work(self._tell)
        except UserError as error:
            self.problem = str(error)
        except Cancelled:
            self.problem = "Cancelled. Nothing was kept."
        except MemoryError:
            self.problem = self._too_large
