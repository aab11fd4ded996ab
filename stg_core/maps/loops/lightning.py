"""Logs a training of Lightning.

log = TaskLog("my run", tasks=names, labels=labels)
loader = DataLoader(Indexed(data), …)     # indices, (x, y) = batch in training_step
Trainer(…, callbacks=[TaskLogCallback(log)]).fit(model, loader)
"""

from __future__ import annotations

from typing import Any

try:
    from lightning.pytorch import Callback
except ModuleNotFoundError:  # its older name
    from pytorch_lightning import Callback

from stg_core.maps.log import TaskLog
from stg_core.maps.loops.following import Following
from stg_core.maps.loops.indexed import indices_of


class TaskLogCallback(Callback):
    """Logs the logits of every training step, and closes the log when the training has ended.

    The logits are what `training_step` returns, {"loss": …, "logits": …}, or else what the module
    returned when the step called it, `self(x)`. Training data are `Indexed`. Where the log has test
    labels, the same of `validation_step`, for validation data that are `Indexed`. Several processes
    are to be started by torchrun. Raises UserError where logits or indices are not found, and
    before the training where the epochs of the log and of the checkpoint do not go together.
    """

    def __init__(self, log: TaskLog) -> None:
        self._following = Following(log)
        self._hook: Any = None
        self._indices: Any = None

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        self._following.begin(trainer.current_epoch, trainer.world_size)
        self._watch(pl_module)

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        self._following.forget()
        self._indices = indices_of(batch)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._following.train_batch(self._indices, outputs)

    def on_validation_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        self._indices = indices_of(batch)

    def on_validation_batch_end(
        self,
        trainer: Any,
        pl_module: Any,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._following.test_batch(self._indices, outputs)

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._following.end_of_test()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self._following.end_epoch()

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._following.end()

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        if self._hook is not None:
            self._hook.remove()
        self._hook = None

    def _watch(self, module: Any) -> None:
        self.teardown(None, module, "fit")
        self._hook = module.register_forward_hook(lambda *called: self._following.saw(called[-1]))
