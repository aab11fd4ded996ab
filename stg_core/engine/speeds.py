"""How long an epoch takes here: remembered from trainings, else measured in a worker."""

from __future__ import annotations

import threading
from collections.abc import Callable

from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import seconds_per_epoch


class Speeds:
    """Answers at once with what is known, and has the rest measured in the background.

    measure: the seconds per epoch of a spec in a worker, asked for under a name; it may take long,
    and raises UserError where that cannot be measured.
    """

    def __init__(self, store: Store, measure: Callable[[TrainingSpec, str], float]) -> None:
        self.store, self._measure = store, measure
        self._measuring: set[str] = set()
        self._problems: dict[str, str] = {}  # by question: why there is no answer

    def of(self, spec: TrainingSpec) -> float | None:
        """Seconds per epoch; None while it is measured. Raises UserError where it cannot be."""
        question = _question(spec)
        if question in self._problems:
            raise UserError(self._problems[question])
        known = self.store.cache.get(question)
        if known is None and question not in self._measuring:
            self._measuring.add(question)
            threading.Thread(
                target=self._find, args=(spec, question), daemon=True, name="engine-speed"
            ).start()
        return None if known is None else float(known)

    def remember(self, spec: TrainingSpec) -> None:
        """What a finished training tells of the next one like it."""
        run = self.store.get(spec)
        seconds = seconds_per_epoch(run.metrics) if run else None
        if seconds is not None:
            self._keep(_question(spec), seconds)

    def ask_again(self) -> None:
        """Forgets what could not be measured, so that the next question measures it."""
        self._problems.clear()

    def _find(self, spec: TrainingSpec, question: str) -> None:
        try:
            self._keep(question, self._measure(spec, question))
        except UserError as error:
            self._problems[question] = str(error)
        finally:
            self._measuring.discard(question)

    def _keep(self, question: str, seconds: float) -> None:
        try:
            self.store.cache[question] = seconds
        except Exception:
            self._problems[question] = "It was measured, but could not be kept: the disk is full."


def _question(spec: TrainingSpec) -> str:
    """What the speed of a training depends on, as a key of the cache."""
    parts = [spec.model, spec.group.dataset, len(spec.tasks), spec.batch_size, spec.augmentation]
    parts += [spec.training_images] * bool(spec.training_images)
    parts += [f"width {spec.width:g}"] * (spec.width != 1)
    return ":".join(["seconds", *map(str, parts), *(["separate"] * spec.single_task_models)])
