"""What was asked for, noted in the store, so that a restarted app goes on with it."""

from __future__ import annotations

import time
from typing import Any

from stg_core.results.store import Store

PREFIX = "job:"
KEPT_JOBS = 20  # that have ended


class JobNotes:
    """A plain record per job: "spec", "owner", "state" ("queued" until it has ended), "message".

    problem: why the last note could not be written, for people: that costs the note, not the job.
    """

    def __init__(self, store: Store) -> None:
        self.store, self.problem = store, ""

    def all(self) -> list[tuple[str, dict[str, Any]]]:
        """Key and record of each, in the order in which they were noted."""
        cache = self.store.cache
        keys = [key for key in cache if key.startswith(PREFIX)]
        found = [(key.removeprefix(PREFIX), cache.get(key)) for key in keys]
        kept = [(key, record) for key, record in found if record is not None]
        return sorted(kept, key=lambda pair: float(pair[1]["asked"]))

    def write(self, key: str, record: dict[str, Any]) -> None:
        try:
            self.store.cache[PREFIX + key] = {**record, "asked": time.time()}
        except Exception as error:
            self.problem = f"The queue cannot be saved: {error}"

    def delete(self, key: str) -> None:
        try:
            self.store.cache.delete(PREFIX + key)
        except Exception as error:
            self.problem = f"The queue cannot be saved: {error}"

    def forget_old(self) -> None:
        """Deletes all that have ended but the last ones."""
        try:
            ended = [key for key, record in self.all() if record["state"] != "queued"]
        except Exception as error:
            self.problem = f"The queue cannot be saved: {error}"
            return
        for key in ended[:-KEPT_JOBS]:
            self.delete(key)
