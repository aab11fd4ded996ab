"""What it takes to use the weights of a model: kept beside them, without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from stg_core.system.errors import UserError
from stg_core.training.spec import TrainingSpec

Precision = Literal["float16", "float32"]
PRECISIONS: tuple[Precision, ...] = ("float16", "float32")
MOST_CHANGED = 1e-4  # of the answers on the test points, by keeping weights in half precision


@dataclass(frozen=True)
class Usage:
    """How raw points become answers of a model.

    model: its name; shape: of a raw point, (H, W, C) of an image of levels 0 to 255, (F,) of a row;
    mean, deviation: what is subtracted of a point and what it is divided by, of each channel, or of
    each raw number of a row; of rows both are empty where that is not known, and then they are to
    come in as the training saw them. gaps: the raw numbers that have a feature which is 1 where
    they are missing, behind all others. units: of each regression, by name, mean and deviation of
    its training labels. precision: of the weights; changed: how many of `answers` on the test
    points are others with weights of half precision.
    """

    model: str
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    gaps: tuple[int, ...]
    units: Mapping[str, tuple[float, float]]
    precision: Precision
    changed: int
    answers: int

    @property
    def of_images(self) -> bool:
        return len(self.shape) == 3

    @property
    def model_shape(self) -> tuple[int, ...]:
        """Of a point as the model sees it: (C, H, W), or (F,) with a feature for every gap."""
        if self.of_images:
            height, width, channels = self.shape
            return channels, height, width
        return (self.shape[0] + len(self.gaps),)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of(cls, spec: TrainingSpec, provenance: Mapping[str, Any]) -> Usage | None:
        """As it was kept with a run; None where it was not.

        Raises UserError for what is not of that spec: it may come from elsewhere.
        """
        plain = provenance.get("usage")
        if plain is None:
            return None
        try:
            fields: dict[str, Any] = {
                name: tuple(v) if isinstance(v, list) else v for name, v in plain.items()
            }
            found = cls(**fields)
            found._check(spec)
        except (TypeError, ValueError, AttributeError) as error:
            raise UserError(f"How its weights are used cannot be read ({error}).") from error
        return found

    def _check(self, spec: TrainingSpec) -> None:
        numbers = [*self.mean, *self.deviation, *(x for unit in self.units.values() for x in unit)]
        if not all(type(x) in (int, float) and math.isfinite(x) for x in numbers):
            raise ValueError("a number is none")
        n_raw = self.shape[-1]
        if not all(type(n) is int and n > 0 for n in self.shape) or len(self.shape) not in (1, 3):
            raise ValueError("its points have no such shape")
        if len(self.mean) != len(self.deviation) or len(self.mean) not in (0, n_raw):
            raise ValueError("it has not as many means as numbers")
        if not all(type(j) is int and 0 <= j < n_raw for j in self.gaps):
            raise ValueError("a gap is of no number")
        if not all(d > 0 for d in self.deviation) or self.precision not in PRECISIONS:
            raise ValueError("a deviation or a precision cannot be")
        regressions = {t for t in spec.tasks if spec.group.task(t).kind == "regression"}
        if self.model != spec.model or set(self.units) != regressions:
            raise ValueError("it is of another model")
        if not all(len(unit) == 2 for unit in self.units.values()):
            raise ValueError("a unit is none")
