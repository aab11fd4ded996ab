"""What may take long, done one after the other, behind the app's back."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Errands:
    """A queue of things to do, and the thread that does them."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._runner: threading.Thread | None = None
        self._lock = threading.Lock()

    def add(self, act: Callable[[], None]) -> None:
        self._waiting.put(act)
        with self._lock:
            if self._runner is None:
                self._runner = threading.Thread(target=self._run, daemon=True, name="errands")
                self._runner.start()

    def _run(self) -> None:
        while True:
            act = self._waiting.get()
            try:
                act()
            except Exception:
                logger.exception("What a training left could not be brought here.")
