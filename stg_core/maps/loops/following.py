"""What the callbacks of all libraries share: which epochs are logged, and of which outputs."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stg_core.maps.log import LogNote, TaskLog
from stg_core.maps.outputs import as_numpy
from stg_core.system.errors import UserError
from stg_core.system.words import counted

WRAP = "wrap it, Indexed(data) of stg_core, so that every item comes with its index"
LOGITS = 'return {"loss": loss, "logits": logits} from it'


class Following:
    """Logs a training that somebody else's trainer runs.

    Where the log has test labels, the outputs of evaluation data that are `Indexed` are logged as
    those of the test points. An epoch of which the log has finished already, as after resuming
    from an older checkpoint, is not logged again.
    """

    def __init__(self, log: TaskLog) -> None:
        self.log = log
        self._epoch = 0  # that is trained, counted from 1; 0 before and after
        self._missed = 0  # epochs of the training that are not in the log
        self._called: list[Any] = []  # what the model returned in this step
        self._test: list[tuple[NDArray[Any], Any]] = []
        self._told_of_test = False

    def begin(self, finished: int, ranks: int = 1) -> None:
        """A training of so many processes begins, with so many finished epochs.

        Raises UserError where the log does not go with it.
        """
        log = self.log
        if ranks != log.ranks:
            raise UserError(
                f"The training has {counted(ranks, 'process', 'processes')}, and the log is of"
                f" {log.ranks}: start the script with torchrun, which tells the log, or say"
                f" TaskLog(…, rank=…, ranks={ranks}) in each."
            )
        if log.done and not finished:
            raise UserError(
                f"The log has {counted(log.done, 'epoch')}, and the training begins with its first:"
                " resume it from its checkpoint, say TaskLog(…, anew=True) to begin the log anew,"
                " or take another name."
            )
        if finished < log.done:
            _tell(
                f"The training goes on after epoch {finished}, and the log has {log.done}: it logs"
                f" again from epoch {log.done + 1} on."
            )
        elif finished > log.done:
            _tell(
                f"The training goes on after epoch {finished}, and the log has {log.done}: what"
                " came between is not in the log."
            )
        self._epoch = finished + 1
        self._missed = max(finished - log.done, 0)
        self._called, self._test = [], []

    @property
    def logs(self) -> bool:
        """Whether the epoch that is trained is one to log."""
        return self._epoch > 0 and self._epoch - self._missed > self.log.done

    # ----------------------------------------------------------------------------------- batches

    def saw(self, output: Any) -> None:
        """The model returned this, in a step that is not over.

        Wrapped for several processes it is called for the whole step as well, and returns the loss.
        """
        if logits_of(output) is not None:
            self._called.append(output)

    def train_batch(self, indices: Any, output: Any = None) -> None:
        """A training step is over; output: what it returned, which comes before what was seen."""
        logits = self._logits(output)
        if not self.logs:
            return
        if indices is None:
            raise UserError(f"The training data do not say which points a batch is of: {WRAP}.")
        if logits is None:
            raise UserError(f"No logits were found in a training step: {LOGITS}.")
        self.log.update(indices, logits)

    def test_batch(self, indices: Any, output: Any = None) -> None:
        """The same of evaluation data, kept until `end_of_test`; not logged without test labels."""
        logits = self._logits(output)
        if self.log.test_labels is None or not self.logs:
            return
        if self.log.ranks > 1:
            self._tell_of_test("each process evaluates a part: log them in one, with log.test")
        elif indices is None:
            self._tell_of_test(f"the evaluation data do not say which points a batch is of: {WRAP}")
        elif logits is None:
            self._tell_of_test(f"an evaluation step has none: {LOGITS}")
        else:
            rows = as_numpy(indices).astype(np.int64)
            heads = isinstance(logits, (list, tuple))
            self._test.append((rows, [*map(as_numpy, logits)] if heads else as_numpy(logits)))

    def end_of_test(self) -> bool:
        """The evaluation data are over; whether the outputs of the test points were logged."""
        parts, self._test = self._test, []
        if not parts or not self.logs or self.log.test_labels is None:
            return False
        rows = np.concatenate([rows for rows, _ in parts])
        _, first = np.unique(rows, return_index=True)  # a loader may fill its last batch up
        if len(first) != len(self.log.test_labels):
            raise UserError(
                f"The evaluation data have {len(first):,} points, and there are test labels of"
                f" {len(self.log.test_labels):,}: evaluate on all of them after an epoch, or log"
                " without test labels."
            )
        outputs = [outputs for _, outputs in parts]
        if isinstance(outputs[0], list):
            self.log.test([np.concatenate(heads)[first] for heads in zip(*outputs, strict=True)])
        else:
            self.log.test(np.concatenate(outputs)[first])
        return True

    def forget(self) -> None:
        """What was seen is of no training or evaluation that is logged."""
        self._called, self._test = [], []

    # ------------------------------------------------------------------------------------ epochs

    def end_epoch(self) -> None:
        if self.logs:
            self.log.end_epoch()
        self._epoch += 1

    def whole_epoch(self, outputs: Any) -> None:
        """The same, with the outputs of all training points at once, (N, O)."""
        self.log.epoch(outputs)
        self._epoch += 1

    def end(self) -> None:
        """The training is over: the log is finished."""
        self.forget()
        self._epoch = 0
        self.log.close()

    # ----------------------------------------------------------------------------------- outputs

    def _logits(self, output: Any) -> Any:
        """Of a step: what it returned, else what the model did; None where there are none."""
        called, self._called = self._called, []
        found = logits_of(output)
        if found is not None:
            return found
        if len(called) > 1:
            raise UserError(
                f"The model was called {len(called)} times in a step, and it is not known which of"
                f" its outputs are the logits: {LOGITS}."
            )
        return logits_of(called[0]) if called else None

    def _tell_of_test(self, why: str) -> None:
        if not self._told_of_test:
            _tell(f"The outputs of the test points are not logged: {why}.")
        self._told_of_test = True


def logits_of(output: Any) -> Any:
    """The logits in what a model or a step returned: a tensor (B, …), a list of heads, or what is
    called "logits" in it; None where there are none."""
    if isinstance(output, Mapping):
        output = output.get("logits")
    elif hasattr(output, "logits"):
        output = output.logits
    heads = output if isinstance(output, (list, tuple)) else [output]
    numbers = heads and all(getattr(head, "ndim", 0) > 0 for head in heads)
    return output if numbers else None


def _tell(sentence: str) -> None:
    warnings.warn(sentence, LogNote, stacklevel=2)
