"""A file that predicts, used with numpy and onnxruntime alone.

from stg_core.export import Predictor
predictor = Predictor("specialists.onnx")
prediction = predictor.predict(images)          # uint8 (N, H, W, C), or float32 rows (N, F)
prediction.probabilities                        # (N, T): the answer
prediction.each                                 # (N, k, T): what each model says by itself
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.export.about import KEY, NEITHER, About, Input
from stg_core.system.errors import UserError
from stg_core.system.extras import of_extra
from stg_core.system.words import counted, named

Singles = NDArray[np.float32]

OUTPUTS = ("probabilities", "specialists")
LARGEST = 2**31  # bytes: no larger model is written
LARGEST_HEAD = 2**26  # characters of what a file says of itself
SILENT = 4  # a severity of onnxruntime's log, which would be printed
# A file may say that its weights are in another one: none is read beside it.
BESIDE, NOWHERE = "session.model_external_initializers_file_folder_path", "/dev/null/nowhere"


@dataclass(frozen=True)
class Prediction:
    """What the models say of N points.

    probabilities: (N, O), the weighted average: of a binary task the probability of a yes, of a
    multi-class one those of its classes side by side, of a regression the number itself, in the
    unit of its labels. each: (N, k, O), the same of each of the k models by itself; NaN where a
    model does not answer a task. O is T where no task is multi-class (see `Predictor.columns`).
    """

    probabilities: Singles
    each: Singles


class Predictor:
    """A model to take home: an ONNX file of STG Explorer.

    source: its path, or what is in it; threads: that one answer may use. Raises UserError for a
    file that is none, is damaged, or is of a newer version.
    """

    def __init__(self, source: str | Path | bytes, threads: int = 1) -> None:
        self._session = _session(source if isinstance(source, bytes) else _read(source), threads)
        found = self._session.get_modelmeta().custom_metadata_map.get(KEY, "")
        if not found or len(found) > LARGEST_HEAD:
            raise UserError(NEITHER)
        self.about = About.from_text(found)
        self._check()

    @property
    def title(self) -> str:
        return self.about.title

    @property
    def scheme(self) -> str:
        return self.about.scheme

    @property
    def tasks(self) -> tuple[str, ...]:
        return self.about.tasks

    @property
    def kinds(self) -> tuple[str, ...]:
        """ "binary", "multiclass" or "regression" of each task, (T,)."""
        return self.about.kinds

    @property
    def models(self) -> tuple[str, ...]:
        """What each model is called, (k,)."""
        return tuple(model.name for model in self.about.models)

    @property
    def weights(self) -> NDArray[np.float64]:
        """How much each model counts in the answer of each task, (k, T); a column sums to 1."""
        return self.about.matrix

    @property
    def input(self) -> Input:
        return self.about.input

    @property
    def threshold(self) -> float:
        """Of a probability, above which a binary task says yes."""
        return self.about.threshold

    def columns(self, task: str) -> slice:
        """Which columns of a prediction are a task's; UserError for one that there is not."""
        try:
            return self.about.columns[task]
        except KeyError:
            raise UserError(
                f"This model has no task {named(task)}; choose from {', '.join(self.tasks)}."
            ) from None

    def predict(self, inputs: Any) -> Prediction:
        """Answers for points (N, …) as `input` describes them; UserError for any others."""
        points = self._checked(inputs)
        try:
            found = self._session.run(list(OUTPUTS), {self.input.name: points})
        except Exception as error:  # onnxruntime's own, of many kinds
            raise UserError(f"This model cannot answer ({_short(error)}).") from error
        shape = len(points), len(self.models), self.about.n_outputs
        if found[0].shape != (shape[0], shape[2]) or found[1].shape != shape:
            raise UserError("This model answers other tasks than it says: export it again.")
        return Prediction(*found)

    def _checked(self, inputs: Any) -> NDArray[Any]:
        points, wanted = np.asarray(inputs), self.input.shape
        if points.shape[1:] != wanted or points.ndim == 0:
            size, got = (" × ".join(map(str, shape)) for shape in (wanted, points.shape))
            raise UserError(
                f"This model takes points of {size}, one after the other: an array of"
                f" (points, {', '.join(map(str, wanted))}), and not of {got or 'a single number'}."
            )
        if self.input.kind == "image":
            if points.dtype != np.uint8:
                raise UserError(
                    f"Images are levels from 0 to 255 of type uint8, and not {points.dtype}."
                )
            return np.ascontiguousarray(points)
        if points.dtype.kind not in "buif":
            raise UserError(f"Rows are numbers, and not {points.dtype}: NaN where one is missing.")
        rows = points.astype(np.float32)
        if np.isinf(rows).any():
            raise UserError("A row has an infinite number: leave it out, as NaN.")
        return np.ascontiguousarray(rows)

    def _check(self) -> None:
        """Raises UserError unless the file takes and gives what it says."""
        takes = [(one.name, one.type, one.shape[1:]) for one in self._session.get_inputs()]
        kind = "tensor(uint8)" if self.input.kind == "image" else "tensor(float)"
        gives = {one.name: one.shape for one in self._session.get_outputs()}
        expected = [self.about.n_outputs], [len(self.models), self.about.n_outputs]
        if takes != [(self.input.name, kind, [*self.input.shape])] or any(
            gives.get(name, ())[1:] != shape for name, shape in zip(OUTPUTS, expected, strict=True)
        ):
            raise UserError(
                "This file is damaged: it does not take or give what it says it does. Export the"
                " model again."
            )


def _read(path: str | Path) -> bytes:
    try:
        size = Path(path).stat().st_size
        if size > LARGEST:
            raise UserError(f"{path} has {counted(size, 'byte')}, more than any model has.")
        return Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror or error}).") from error


def _session(content: bytes, threads: int) -> Any:
    with of_extra("export"):
        import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = SILENT
    options.add_session_config_entry(BESIDE, NOWHERE)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own, of many kinds
        raise UserError(f"This file is no ONNX model, or damaged ({_short(error)}).") from error


def _short(error: Exception) -> str:
    """The first line of what a library says, not too long."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
