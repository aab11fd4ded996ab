"""Real trainings of Keras, logged by its callback, on two of its backends."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stg_core import TaskLog, UserError
from tests.loops.digits import (
    LABELS,
    NAMES,
    PIXELS,
    TEST_LABELS,
    TEST_PIXELS,
    maps_of,
    run_of,
)

os.environ.setdefault("KERAS_BACKEND", "torch")  # it is asked for once, when it is imported
keras = pytest.importorskip("keras", reason="Keras is not installed")
from stg_core.maps.loops.keras import TaskLogCallback  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, BATCH = 4, 100


def model_of(*, heads: bool = False, named: bool = False) -> Any:
    keras.utils.set_random_seed(0)
    x = keras.Input((64,))
    inner = keras.layers.Dense(16, activation="relu")(x)
    inner = keras.layers.Dropout(0.2)(inner)
    loss: Any = keras.losses.BinaryCrossentropy(from_logits=True)
    outputs: Any = keras.layers.Dense(len(NAMES))(inner)
    if named:
        outputs = {name: keras.layers.Dense(1)(inner) for name in reversed(NAMES)}
        loss = dict.fromkeys(outputs, loss)
    elif heads:
        outputs = [keras.layers.Dense(1)(inner) for _ in NAMES]
        loss = [loss] * len(NAMES)
    model = keras.Model(x, outputs)
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss=loss)
    return model


def fit(model: Any, y: Any, *callbacks: Any, **options: Any) -> None:
    options = {"epochs": EPOCHS, "batch_size": BATCH, "verbose": 0, **options}
    model.fit(PIXELS, y, callbacks=list(callbacks), **options)


class Stop(Exception):
    """Something that ends a training."""


class StopIn(keras.callbacks.Callback):  # type: ignore[name-defined, misc]
    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch  # counted from 1

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch + 1 == self.epoch:
            raise Stop


def new_log(name: str = "theirs", **options: Any) -> TaskLog:
    return TaskLog(name, NAMES, LABELS, **options)


def test_the_log_is_what_the_model_answers_after_each_epoch() -> None:
    log, plain = new_log(), new_log("plain")

    class Keep(keras.callbacks.Callback):  # type: ignore[name-defined, misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            plain.epoch(self.model(PIXELS, training=False))

    fit(model_of(), LABELS, TaskLogCallback(log, PIXELS), Keep())
    assert run_of(log).progress.finished and run_of(log).spec.recorded_epochs == (2, 3, 4)
    np.testing.assert_allclose(maps_of(run_of(log)), maps_of(run_of(plain)), atol=1e-3)


def test_it_is_in_the_app_while_it_trains() -> None:
    log, seen = new_log(), []

    class Look(keras.callbacks.Callback):  # type: ignore[name-defined, misc]
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            seen.append((run_of(log).live, run_of(log).has_data_maps, log.done))

    fit(model_of(), LABELS, TaskLogCallback(log, PIXELS), Look())
    assert seen == [(True, False, 0), (True, False, 1), (True, True, 2), (True, True, 3)]
    assert not run_of(log).live


def test_heads_by_name_are_put_in_the_order_of_the_tasks() -> None:
    log, plain = new_log(), new_log("plain")
    y = {name: LABELS[:, [t]] for t, name in enumerate(NAMES)}

    class Keep(keras.callbacks.Callback):  # type: ignore[name-defined, misc]
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            heads = self.model(PIXELS, training=False)
            plain.epoch(np.concatenate([heads[name].detach().numpy() for name in NAMES], axis=1))

    fit(model_of(named=True), y, TaskLogCallback(log, PIXELS), Keep(), epochs=2)
    np.testing.assert_allclose(maps_of(run_of(log)), maps_of(run_of(plain)), atol=1e-3)


def test_heads_of_other_names_are_refused() -> None:
    x = keras.Input((64,))
    model = keras.Model(x, {"another": keras.layers.Dense(1)(x)})
    model.compile(loss="mse")
    with pytest.raises(UserError, match="no output “is 0”"):
        fit(model, {"another": LABELS[:, [0]]}, TaskLogCallback(new_log(), PIXELS))


def test_a_list_of_heads_is_one_for_each_task() -> None:
    log = new_log()
    y = [LABELS[:, [t]] for t in range(len(NAMES))]
    fit(model_of(heads=True), y, TaskLogCallback(log, PIXELS), epochs=2)
    assert run_of(log).progress.rows == (600, 600)


def test_test_points_are_logged() -> None:
    log, model = new_log(test_labels=TEST_LABELS), model_of()
    fit(model, LABELS, TaskLogCallback(log, PIXELS, test=TEST_PIXELS))
    run = run_of(log)
    logits = run.test_logits()
    assert logits is not None and run.logit_epochs == (1, 2, 3, 4)
    expected = model.predict(TEST_PIXELS, verbose=0)
    np.testing.assert_allclose(logits[-1], expected, rtol=1e-2, atol=1e-2)


def test_a_data_set_in_batches_does_as_well() -> None:
    class InBatches(keras.utils.PyDataset):  # type: ignore[name-defined, misc]
        def __len__(self) -> int:
            return 6

        def __getitem__(self, batch: int) -> Any:
            own = slice(batch * BATCH, (batch + 1) * BATCH)
            return PIXELS[own], LABELS[own]

    arrays, batches = new_log("arrays"), new_log("batches")
    for log, x in ((arrays, PIXELS), (batches, InBatches())):
        fit(model_of(), LABELS, TaskLogCallback(log, x), epochs=2)
    np.testing.assert_allclose(maps_of(run_of(arrays)), maps_of(run_of(batches)), atol=1e-3)


def test_a_training_that_goes_on_says_so_to_its_log() -> None:
    model = model_of()
    log = new_log()
    with pytest.raises(Stop):
        fit(model, LABELS, TaskLogCallback(log, PIXELS), StopIn(3))
    assert log.done == 2
    log = new_log()
    with pytest.raises(UserError, match="The log has 2 epochs, and the training begins with its"):
        fit(model, LABELS, TaskLogCallback(log, PIXELS))
    fit(model, LABELS, TaskLogCallback(log, PIXELS), initial_epoch=2)
    assert log.done == EPOCHS


def test_other_points_than_those_of_the_labels_are_refused() -> None:
    with pytest.raises(UserError, match="200 rows of outputs and 600 points"):
        fit(model_of(), LABELS, TaskLogCallback(new_log(), TEST_PIXELS))


def test_test_points_without_labels_are_refused() -> None:
    with pytest.raises(UserError, match="Test points need labels"):
        TaskLogCallback(new_log(), PIXELS, test=TEST_PIXELS)


JAX = """
import json
import keras
import numpy as np
from stg_core.maps.loops.keras import TaskLogCallback
from tests.loops.digits import LABELS, PIXELS, maps_of, run_of
from tests.loops.test_keras import fit, model_of, new_log

class Keep(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        plain.epoch(self.model.predict(PIXELS, verbose=0))

log, plain = new_log(), new_log("plain")
fit(model_of(), LABELS, TaskLogCallback(log, PIXELS), Keep())
same = np.abs(maps_of(run_of(log)) - maps_of(run_of(plain))).max()
moved = np.abs(np.diff(maps_of(run_of(log))[:, 0], axis=0)).max()
print(json.dumps([keras.backend.backend(), float(same), float(moved)]))
"""


@pytest.mark.slow
def test_the_same_callback_logs_on_jax(tmp_path: Path) -> None:
    pytest.importorskip("jax", reason="JAX is not installed")
    environment = {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT)}
    answer = subprocess.run(
        [sys.executable, "-c", JAX], env=environment, capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stderr
    backend, difference, moved = json.loads(answer.stdout.splitlines()[-1])
    assert backend == "jax" and difference == 0 and moved > 0.05
