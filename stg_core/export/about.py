"""What a file that predicts says of itself; read without torch, and trusted in nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stg_core.system.errors import UserError

FORMAT = 1
KEY = "stg_explorer"  # of the metadata of a file
INPUTS: Mapping[str, str] = {"image": "images", "table": "features"}  # what the input is called
THRESHOLD = 0.5  # of a probability, above which a binary task says yes
ROUNDING = 1e-4  # by which weights may miss a sum of 1
NEITHER = "This file is none that STG Explorer made: take one that `stg export-model` writes."

Kind = Literal["binary", "multiclass", "regression"]
KINDS: tuple[Kind, ...] = ("binary", "multiclass", "regression")


@dataclass(frozen=True)
class Input:
    """What goes in: raw points, since what a training makes of them is part of the file.

    kind: "image", uint8 (N, H, W, C) of levels 0 to 255, or "table", float32 (N, F); shape: of one
    point; columns: names of a row's numbers, (F,), where they are known. mean, deviation: what the
    file itself subtracts of a point and divides it by, of each channel, or number of a row; a
    missing number of a row, NaN, becomes the mean, and for each number in `gaps` the models see
    one more, 1 where that is missing. Of rows mean and deviation are empty where the training did
    not keep them: then rows come in as the training saw them.
    """

    kind: Literal["image", "table"]
    shape: tuple[int, ...]
    columns: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    gaps: tuple[int, ...] = ()

    @property
    def raw(self) -> bool:
        """Whether points come in as they are, not as a training saw them."""
        return bool(self.mean)

    @property
    def model_shape(self) -> tuple[int, ...]:
        """Of a point as the models see it: (C, H, W), or (F,) with one number for every gap."""
        if self.kind == "image":
            height, width, channels = self.shape
            return channels, height, width
        return (self.shape[0] + len(self.gaps),)

    @property
    def name(self) -> str:
        """Of the input in the file."""
        return INPUTS[self.kind]

    def check(self) -> None:
        """Raises ValueError where it cannot be."""
        if self.kind not in INPUTS or len(self.shape) != (3 if self.kind == "image" else 1):
            raise ValueError("its input cannot be")
        if not all(type(n) is int and n > 0 for n in self.shape):
            raise ValueError("its input has no such shape")
        n_raw = self.shape[-1]
        if len(self.mean) != len(self.deviation) or len(self.mean) not in (0, n_raw):
            raise ValueError("its input has not as many means as numbers")
        if (
            not np.isfinite([*self.mean, *self.deviation]).all()
            or min(self.deviation, default=1) <= 0
        ):
            raise ValueError("a mean or a deviation of its input cannot be")
        if not all(type(j) is int and 0 <= j < n_raw for j in self.gaps):
            raise ValueError("a gap is of no number")
        if len(self.columns) not in (0, self.shape[0]) or (self.kind == "image" and not self.mean):
            raise ValueError("its input is not told whole")


@dataclass(frozen=True)
class Model:
    """One of the models in a file. Of `about`, what torch needs to build it again.

    name: such as "cluster 1"; tasks: the places of those that it answers.
    """

    name: str
    tasks: tuple[int, ...]
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class About:
    """All that is known of a file that predicts.

    tasks and kinds: (T,); classes: the answers of each multi-class task, by its name; widths: how
    many columns of the output each task has, (T,), more than one of a multi-class task only; title,
    group: for people; scheme: such as "specialists"; models: the k in the file; weights: (k, T),
    of each task they sum to 1; routing: "soft" or "hard"; average: of "logits" or "probabilities";
    data: the digest of the training data; run: the key of the training that was grouped; verdict: a
    sentence; threshold: of a probability, above which a binary task says yes; units: of each
    regression, by name, mean and deviation of its training labels; scores: by measure,
    {"mean", "ci", "tasks": {name: {"score", "ci"}}} on the test points, null where it is not
    defined; made: with which version, when, by which command, and where and with what the models
    were trained; grouping: k, fuzzifier and method.
    """

    title: str
    group: str
    scheme: str
    tasks: tuple[str, ...]
    kinds: tuple[Kind, ...]
    models: tuple[Model, ...]
    weights: tuple[tuple[float, ...], ...]
    input: Input
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    routing: str = "soft"
    average: str = "logits"
    data: str = ""
    run: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    verdict: str = ""
    threshold: float = THRESHOLD
    units: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    grouping: Mapping[str, Any] = field(default_factory=dict)
    made: Mapping[str, Any] = field(default_factory=dict)

    @property
    def widths(self) -> tuple[int, ...]:
        """How many columns of the outputs are each task's, (T,)."""
        return tuple(
            len(self.classes[task]) if kind == "multiclass" else 1 for task, kind in self._each_kind
        )

    @property
    def _each_kind(self) -> list[tuple[str, str]]:
        return list(zip(self.tasks, self.kinds, strict=True))

    def _of_kind(self, kind: Kind) -> set[str]:
        return {task for task, own in self._each_kind if own == kind}

    @property
    def columns(self) -> Mapping[str, slice]:
        """Which columns of the outputs are each task's, by its name."""
        ends = np.cumsum(self.widths).tolist()
        each = zip(self.tasks, self.widths, ends, strict=True)
        return {task: slice(end - width, end) for task, width, end in each}

    @property
    def n_outputs(self) -> int:
        """O, which is T where no task is multi-class."""
        return sum(self.widths)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The weights, (k, T)."""
        return np.array(self.weights, dtype=np.float64)

    def to_text(self) -> str:
        """As a file has it."""
        plain = asdict(self)
        return json.dumps({"format": FORMAT, **plain}, allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> About:
        """The inverse of `to_text`; UserError for anything else, in a sentence that says what."""
        try:
            plain = json.loads(text)
            version = plain.pop("format")
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
            raise UserError(NEITHER) from error
        if version != FORMAT:
            raise UserError(
                f"This file has format {version!r}, and this version of STG Explorer reads format"
                f" {FORMAT}: install a newer one, or export the model again."
            )
        try:
            found = cls(**_tuples(plain))
            found._check()
        except (TypeError, ValueError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(f"What this file says of itself is damaged ({error}).") from error
        return found

    def _check(self) -> None:
        texts = (self.title, self.group, self.scheme, self.data, self.run, self.verdict)
        names = [*self.tasks, *self.input.columns, *(model.name for model in self.models)]
        names += [name for own in self.classes.values() for name in own]
        if not all(type(text) is str for text in (*texts, *names)):
            raise ValueError("a name is no text")
        if not self.tasks or len(self.kinds) != len(self.tasks):
            raise ValueError("its tasks and their kinds differ in number")
        if len({*self.tasks}) < len(self.tasks) or not {*self.kinds} <= {*KINDS}:
            raise ValueError("its tasks cannot be")
        if self.routing not in ("soft", "hard") or self.average not in ("logits", "probabilities"):
            raise ValueError("its routing or its average cannot be")
        if {*self.classes} != self._of_kind("multiclass") or any(
            len(own) < 2 for own in self.classes.values()
        ):
            raise ValueError("a multi-class task has no two classes")
        if {*self.units} != self._of_kind("regression"):
            raise ValueError("a number has no unit")
        self.input.check()
        self._check_weights()

    def _check_weights(self) -> None:
        weights, shape = self.matrix, (len(self.models), len(self.tasks))
        if weights.shape != shape or not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError("its weights are not of its models and tasks")
        if np.abs(weights.sum(axis=0) - 1).max() > ROUNDING:
            raise ValueError("the weights of a task do not sum to 1")
        if not math.isfinite(self.threshold):
            raise ValueError("its threshold is no number")
        places = range(len(self.tasks))
        for model in self.models:
            if not model.tasks or not {*model.tasks} <= {*places}:
                raise ValueError("a model answers a task that there is not")


def _tuples(plain: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of About as it has them: lists of JSON as tuples."""
    found = dict(plain)
    for name in ("tasks", "kinds"):
        found[name] = tuple(found[name])
    found["weights"] = tuple(tuple(map(float, row)) for row in found["weights"])
    found["input"] = Input(
        **_with_tuples(found["input"], ("shape", "columns", "mean", "deviation", "gaps"))
    )
    found["models"] = tuple(Model(**_with_tuples(one, ("tasks",))) for one in found["models"])
    found["classes"] = {task: tuple(names) for task, names in found["classes"].items()}
    units = found["units"].items()
    found["units"] = {task: (float(mean), float(spread)) for task, (mean, spread) in units}
    return found


def _with_tuples(plain: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {**plain, **{name: tuple(plain[name]) for name in names}}
