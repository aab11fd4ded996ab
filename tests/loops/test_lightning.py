"""Real trainings of Lightning, logged by its callback."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from stg_core import Indexed, TaskLog, UserError
from stg_core.maps.log import LogNote
from tests.loops.digits import (
    LABELS,
    NAMES,
    PIXELS,
    TEST_LABELS,
    TEST_PIXELS,
    loss_of,
    maps_of,
    network,
    plainly_logged,
    points_of,
    run_of,
    trained_plainly,
)

pl = pytest.importorskip("lightning.pytorch", reason="Lightning is not installed")
from stg_core.maps.loops.lightning import TaskLogCallback  # noqa: E402

EPOCHS, BATCH = 4, 100


class Digits(pl.LightningModule):  # type: ignore[name-defined, misc]
    """Calls itself for its outputs, and returns the loss; keeps which pixels it answered, and
    what."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.body.register_forward_hook(self.keep)
        self.seen: list[tuple[np.ndarray, torch.Tensor]] = []

    def keep(self, module: Any, args: Any, logits: torch.Tensor) -> None:
        if self.training:
            self.seen.append((points_of(args[0].numpy()), logits.detach().clone()))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)

    def training_step(self, batch: Any, number: int) -> Any:
        _, (x, y) = batch
        return loss_of(self(x), y)

    def validation_step(self, batch: Any, number: int) -> Any:
        _, (x, y) = batch
        loss_of(self(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.5)


class Returning(Digits):
    """Calls a part of itself, and returns its logits."""

    def training_step(self, batch: Any, number: int) -> Any:
        _, (x, y) = batch
        logits = self.body(x)
        return {"loss": loss_of(logits, y), "logits": logits}


def pairs(x: np.ndarray = PIXELS, y: np.ndarray = LABELS) -> list[Any]:
    return list(zip(x, y, strict=True))


def loader(data: Any = None, seed: int | None = None) -> Any:
    data = Indexed(pairs()) if data is None else data
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    return DataLoader(data, batch_size=BATCH, shuffle=seed is not None, generator=generator)


def fit(
    log: TaskLog,
    train: Any = None,
    test: Any = None,
    model: Any = None,
    ckpt_path: str | None = None,
    callbacks: tuple[Any, ...] = (),
    **options: Any,
) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        trainer = pl.Trainer(
            **{"max_epochs": EPOCHS, "enable_checkpointing": False, **options},
            accelerator="cpu",
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[TaskLogCallback(log), *callbacks],
        )
        trainer.fit(model or Digits(), train or loader(), test, ckpt_path=ckpt_path)


def new_log(name: str = "theirs", **options: Any) -> TaskLog:
    return TaskLog(name, NAMES, LABELS, **options)


class Stop(Exception):
    """Something that ends a training."""


class StopIn(pl.Callback):  # type: ignore[name-defined, misc]
    def __init__(self, epoch: int) -> None:
        self.epoch = epoch  # counted from 1

    def on_train_batch_end(self, trainer: Any, *more: Any) -> None:
        if trainer.current_epoch + 1 == self.epoch:
            raise Stop


@pytest.mark.parametrize("model", [Digits, Returning], ids=["by-the-hook", "as-returned"])
def test_every_answer_is_logged_for_its_own_point(model: type[Any]) -> None:
    log, module = new_log(), model()
    fit(log, loader(seed=3), model=module)
    assert [int(i) for i in module.seen[0][0]] != list(range(BATCH))  # it is shuffled
    batches = len(PIXELS) // BATCH
    epochs = [module.seen[i : i + batches] for i in range(0, EPOCHS * batches, batches)]
    theirs, plain = run_of(log), plainly_logged("plain", epochs)
    assert theirs.spec.recorded_epochs == plain.spec.recorded_epochs == (2, 3, 4)
    np.testing.assert_array_equal(maps_of(theirs), maps_of(plain))


def test_the_log_is_that_of_a_plain_loop() -> None:
    log = new_log()
    fit(log)
    plain = trained_plainly("plain", EPOCHS, BATCH)
    np.testing.assert_array_equal(maps_of(run_of(log)), maps_of(plain))


def test_it_is_in_the_app_while_it_trains() -> None:
    log, seen = new_log(), []

    class Look(pl.Callback):  # type: ignore[name-defined, misc]
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            run = run_of(log)
            seen.append((run.live, run.has_data_maps, log.done))

    fit(log, callbacks=(Look(),))
    assert seen == [(True, False, 0), (True, False, 1), (True, True, 2), (True, True, 3)]
    assert not run_of(log).live and run_of(log).progress.finished


def test_accumulated_gradients_change_no_row() -> None:
    log = new_log()
    fit(log, accumulate_grad_batches=3)
    assert run_of(log).progress.rows == (600,) * EPOCHS


def test_validation_is_not_logged_as_training() -> None:
    log, quiet = new_log(), new_log("without validation")
    fit(log, test=loader(pairs(TEST_PIXELS, TEST_LABELS)), model=Unindexed())
    fit(quiet)
    np.testing.assert_array_equal(maps_of(run_of(log)), maps_of(run_of(quiet)))
    assert not run_of(log).progress.logits


class Unindexed(Digits):
    def validation_step(self, batch: Any, number: int) -> Any:
        x, y = batch
        loss_of(self(x), y)


def test_indexed_validation_data_are_the_test_points() -> None:
    log, model = new_log(test_labels=TEST_LABELS), Digits()
    fit(log, test=loader(Indexed(pairs(TEST_PIXELS, TEST_LABELS))), model=model)
    run = run_of(log)
    assert run.logit_epochs == (1, 2, 3, 4)
    logits = run.test_logits()
    assert logits is not None
    after = model.eval()(torch.from_numpy(TEST_PIXELS)).detach().numpy().astype(np.float16)
    np.testing.assert_allclose(logits[-1], after, rtol=1e-2, atol=1e-2)
    assert np.abs(logits[0] - logits[-1]).max() > 0.5


def test_shuffled_test_points_are_put_in_their_order() -> None:
    ordered, shuffled = new_log(test_labels=TEST_LABELS), new_log("b", test_labels=TEST_LABELS)
    data = Indexed(pairs(TEST_PIXELS, TEST_LABELS))
    fit(ordered, test=loader(data))
    fit(shuffled, test=loader(data, seed=1))
    a, b = run_of(ordered).test_logits(), run_of(shuffled).test_logits()
    assert a is not None and b is not None
    np.testing.assert_allclose(a, b, atol=1e-2)


def test_test_labels_without_indexed_validation_data_are_told() -> None:
    log = new_log(test_labels=TEST_LABELS)
    with pytest.warns(LogNote, match="The outputs of the test points are not logged: the eval"):
        fit(log, test=loader(pairs(TEST_PIXELS, TEST_LABELS)), model=Unindexed())
    assert run_of(log).has_data_maps


def test_data_that_are_not_indexed_are_refused() -> None:
    class Plain(Digits):
        def training_step(self, batch: Any, number: int) -> Any:
            return loss_of(self(batch[0]), batch[1])

    with pytest.raises(UserError, match=r"which points a batch is of: wrap it, Indexed\(data\)"):
        fit(new_log(), loader(pairs()), model=Plain())


def test_a_step_without_logits_is_refused() -> None:
    class Silent(Digits):
        def training_step(self, batch: Any, number: int) -> Any:
            _, (x, y) = batch
            return loss_of(self.body(x), y)

    with pytest.raises(UserError, match="No logits were found in a training step: return"):
        fit(new_log(), model=Silent())


def test_a_model_that_is_called_twice_is_asked_which_logits() -> None:
    class Twice(Digits):
        def training_step(self, batch: Any, number: int) -> Any:
            _, (x, y) = batch
            return loss_of(self(x) + self(x), y)

    with pytest.raises(UserError, match="called 2 times in a step"):
        fit(new_log(), model=Twice())


def test_a_training_that_was_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    keep = pl.callbacks.ModelCheckpoint(tmp_path, save_last=True)
    with pytest.raises(Stop):
        fit(new_log(), callbacks=(keep, StopIn(3)), enable_checkpointing=True)
    with pytest.warns(LogNote, match="goes on after epoch 2"):
        log = new_log()
    fit(log, ckpt_path=str(tmp_path / "last.ckpt"))
    assert log.done == EPOCHS and run_of(log).progress.finished
    whole = trained_plainly("whole", EPOCHS, BATCH)
    np.testing.assert_array_equal(maps_of(run_of(log)), maps_of(whole))


def test_an_older_checkpoint_logs_no_epoch_twice(tmp_path: Path) -> None:
    keep = pl.callbacks.ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    with pytest.raises(Stop):
        fit(new_log(), callbacks=(keep, StopIn(4)), enable_checkpointing=True)
    log = new_log()
    assert log.done == 3
    with pytest.warns(LogNote, match="goes on after epoch 1, and the log has 3"):
        fit(log, ckpt_path=str(tmp_path / "epoch=0.ckpt"))
    assert run_of(log).progress.rows == (600,) * EPOCHS
    whole = trained_plainly("whole", EPOCHS, BATCH)
    np.testing.assert_array_equal(maps_of(run_of(log)), maps_of(whole))


def test_a_checkpoint_that_is_ahead_of_the_log_is_told(tmp_path: Path) -> None:
    keep = pl.callbacks.ModelCheckpoint(tmp_path, save_last=True)
    with pytest.raises(Stop):
        fit(new_log("lost"), callbacks=(keep, StopIn(3)), enable_checkpointing=True)
    log = new_log("found")
    with pytest.warns(LogNote, match="what came between is not in the log"):
        fit(log, ckpt_path=str(tmp_path / "last.ckpt"))
    assert log.done == EPOCHS - 2


def test_a_training_that_begins_again_does_not_mix_with_what_was_logged() -> None:
    with pytest.raises(Stop):
        fit(new_log(), callbacks=(StopIn(3),))
    with pytest.raises(UserError, match="The log has 2 epochs, and the training begins with its"):
        fit(new_log())
    fit(new_log(anew=True))


def test_several_processes_have_to_be_told_to_the_log() -> None:
    with pytest.raises(UserError, match="1 process, and the log is of 2: start the script with t"):
        fit(TaskLog("theirs", NAMES, LABELS, rank=0, ranks=2))
