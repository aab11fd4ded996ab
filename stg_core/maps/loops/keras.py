"""Logs a training of Keras 3, on any of its backends.

log = TaskLog("my run", tasks=names, labels=labels)
model.fit(x, y, callbacks=[TaskLogCallback(log, x)])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from stg_core.maps.log import TaskLog
from stg_core.maps.loops.following import Following
from stg_core.system.errors import UserError
from stg_core.system.words import named


class TaskLogCallback(keras.callbacks.Callback):
    """Logs what the model answers about all training points after every epoch.

    Keras keeps a step's outputs to itself, so that the points are predicted once more: a forward
    pass over all of them for each epoch, without dropout and with the weights that the epoch ended
    with. It and the log took 17 % of an epoch of a dense network and 33 % of a convolutional one
    (2,000 images, 20 tasks, backend torch on one thread). Closes the log when the training has
    ended.

    x: the training points in the order of the labels, as `model.predict` takes them; not shuffled.
    test: the test points likewise, where the log has test labels. A model with several outputs
    gives a list of heads in the order of the tasks, or a dictionary by their names.
    """

    def __init__(self, log: TaskLog, x: Any, test: Any = None, batch_size: int = 256) -> None:
        super().__init__()
        if test is not None and log.test_labels is None:
            raise UserError("Test points need labels: TaskLog(…, test_labels=labels).")
        self._following = Following(log)
        self._x, self._test, self._batch_size = x, test, batch_size
        self._begun = False

    def on_train_begin(self, logs: Any = None) -> None:
        self._begun = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if not self._begun:
            self._following.begin(epoch)
        self._begun = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        following = self._following
        if not following.logs:
            following.end_epoch()
            return
        if self._test is not None:
            following.log.test(self._predicted(self._test))
        following.whole_epoch(self._predicted(self._x))

    def on_train_end(self, logs: Any = None) -> None:
        self._following.end()

    def _predicted(self, x: Any) -> Any:
        """(N, O), or a list of heads."""
        whole = isinstance(x, keras.utils.PyDataset) or hasattr(x, "element_spec")  # has batches
        size = None if whole else self._batch_size
        found = self.model.predict(x, batch_size=size, verbose=0)
        if not isinstance(found, Mapping):
            return found
        names = self._following.log.tasks
        if missing := [name for name in names if name not in found]:
            raise UserError(
                f"The model has no output {named(missing[0])}: its outputs are to have the names of"
                " the tasks."
            )
        return [found[name] for name in names]
