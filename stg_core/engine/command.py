"""A command of the command line that the app has run in the background."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import IO

from stg_core.results.store import Store
from stg_core.system.guard import environment


class Command:
    """A command of the command line, on the results of a store, in a process of low priority."""

    def __init__(
        self, store: Store, words: Sequence[str], more: Mapping[str, str] | None = None
    ) -> None:
        """more: environment variables beside those that this process has."""
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115, read when it ends
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stg_core", *words, "--json"],
            env={**environment(), **(more or {}), "STG_HOME": str(store.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
        )

    def problem(self) -> str | None:
        """None while it runs; then empty, or what went wrong."""
        code = self._process.poll()
        if code is None:
            return None
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self._errors.close()
        if code == 0:
            return ""
        if code == 2 and lines:
            return lines[-1].removeprefix("stg_core: ")
        if code < 0:
            return f"Its process was ended ({signal.Signals(-code).name})."
        return f"It failed unexpectedly ({lines[-1] if lines else f'exit code {code}'})."

    def wait(self) -> str:
        """Waits until it ends: empty, or what went wrong."""
        self._process.wait()
        return self.problem() or ""

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._errors.close()
