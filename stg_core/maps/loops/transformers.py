"""Logs a training of the Hugging Face Trainer.

log = TaskLog("my run", tasks=names, labels=labels)
args = TrainingArguments(…, remove_unused_columns=False)
Trainer(model, args, train_dataset=Indexed(data), callbacks=[TaskLogCallback(log)]).train()
"""

from __future__ import annotations

from typing import Any

from transformers import TrainerCallback

from stg_core.maps.log import TaskLog
from stg_core.maps.loops.following import Following
from stg_core.maps.loops.indexed import POINT
from stg_core.system.errors import UserError


class TaskLogCallback(TrainerCallback):
    """Logs the logits of every training step, and closes the log when the training has ended.

    The logits are those of the model's answer, `output.logits`. Training data are `Indexed` and
    their items dictionaries; the index is taken out before the model sees a batch. Evaluation is
    not logged as training; where the log has test labels, the evaluation data that are `Indexed`
    are the test points. Several processes are to be started by torchrun. Raises UserError where
    logits or indices are not found, and before the training for what cannot be logged.
    """

    def __init__(self, log: TaskLog) -> None:
        self._following = Following(log)
        self._model: Any = None
        self._hooks: list[Any] = []
        self._indices: Any = None
        self._begun = self._due = False

    def on_init_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._watch(kwargs["model"])

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if args.remove_unused_columns:
            raise UserError(
                "The Trainer drops the indices of the points, as the model does not take them: say"
                " TrainingArguments(…, remove_unused_columns=False)."
            )
        if args.n_gpu > 1:
            raise UserError(
                f"One process drives {args.n_gpu} GPUs, and which of them answered about which"
                " point is not known: start the script with torchrun, a process for each GPU."
            )
        self._watch(kwargs["model"])
        self._begun = self._due = False

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if not self._begun:
            self._following.begin(int(state.epoch or 0), args.world_size)
            self._begun = True
        self._end_epoch_if_due()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._due = True
        if not control.should_evaluate:
            self._end_epoch_if_due()

    def on_evaluate(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self._following.end_of_test():
            self._end_epoch_if_due()

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end_epoch_if_due()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._end_epoch_if_due()
        self._following.end()

    def _end_epoch_if_due(self) -> None:
        """An epoch ends after its evaluation, whose outputs are its own."""
        if self._due:
            self._following.end_epoch()
        self._due = False

    # ------------------------------------------------------------------------------ of the model

    def _watch(self, model: Any) -> None:
        """Also before and after the training: the model never takes an index."""
        if model is None or model is self._model:
            return
        for hook in self._hooks:
            hook.remove()
        self._model = model
        self._hooks = [
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after),
        ]

    def _before(self, model: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        self._indices = kwargs.get(POINT)
        return args, {key: value for key, value in kwargs.items() if key != POINT}

    def _after(self, model: Any, args: Any, output: Any) -> None:
        if model.training:
            self._following.train_batch(self._indices, output)
        else:
            self._following.test_batch(self._indices, output)
