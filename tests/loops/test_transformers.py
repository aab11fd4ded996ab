"""Real trainings of the Hugging Face Trainer, logged by its callback."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from stg_core import Indexed, TaskLog, UserError
from stg_core.maps.log import LogNote
from tests.loops.digits import (
    LABELS,
    NAMES,
    PIXELS,
    TEST_LABELS,
    TEST_PIXELS,
    Batches,
    loss_of,
    maps_of,
    network,
    plainly_logged,
    points_of,
    run_of,
)

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
pytest.importorskip("accelerate", reason="accelerate is not installed")
from stg_core.maps.loops.transformers import TaskLogCallback  # noqa: E402

EPOCHS, BATCH = 4, 100


class Digits(torch.nn.Module):
    """Keeps which pixels it answered in training mode, and what."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()
        self.seen: list[tuple[np.ndarray, torch.Tensor]] = []

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.body(pixels)
        if self.training:
            self.seen.append((points_of(pixels.numpy()), logits.detach().clone()))
        return {"loss": loss_of(logits, labels), "logits": logits}

    def epochs(self, rows: int = len(PIXELS)) -> list[Batches]:
        """The batches that it saw, as epochs of so many rows."""
        batches = len(self.seen) * rows // sum(len(points) for points, _ in self.seen)
        return [self.seen[i : i + batches] for i in range(0, len(self.seen), batches)]


def items(x: np.ndarray = PIXELS, y: np.ndarray = LABELS) -> list[dict[str, np.ndarray]]:
    return [{"pixels": a, "labels": b} for a, b in zip(x, y, strict=True)]


def new_log(name: str = "theirs", **options: Any) -> TaskLog:
    return TaskLog(name, NAMES, LABELS, **options)


def trainer_of(
    log: TaskLog,
    folder: Path,
    model: torch.nn.Module | None = None,
    train: Any = None,
    evaluation: Any = None,
    callbacks: tuple[Any, ...] = (),
    **options: Any,
) -> Any:
    arguments = transformers.TrainingArguments(
        str(folder),
        **{
            "num_train_epochs": EPOCHS,
            "per_device_train_batch_size": BATCH,
            "learning_rate": 1e-2,
            "save_strategy": "no",
            "remove_unused_columns": False,
            **options,
        },
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    return transformers.Trainer(
        model or Digits(),
        arguments,
        train_dataset=Indexed(items()) if train is None else train,
        eval_dataset=evaluation,
        callbacks=[TaskLogCallback(log), *callbacks],
    )


class Stop(Exception):
    """Something that ends a training."""


class StopAfter(transformers.TrainerCallback):  # type: ignore[name-defined, misc]
    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.steps:
            raise Stop


def test_every_answer_is_logged_for_its_own_point(tmp_path: Path) -> None:
    log, model = new_log(), Digits()
    trainer_of(log, tmp_path, model).train()
    assert [int(i) for i in model.seen[0][0]] != list(range(BATCH))  # it shuffles
    plain = plainly_logged("plain", model.epochs())
    theirs = run_of(log)
    assert theirs.spec.recorded_epochs == (2, 3, 4) and theirs.progress.finished
    np.testing.assert_array_equal(maps_of(theirs), maps_of(plain))


def test_accumulated_gradients_and_evaluation_within_an_epoch_change_no_row(tmp_path: Path) -> None:
    log, model = new_log(), Digits()
    trainer_of(
        log,
        tmp_path,
        model,
        evaluation=items(TEST_PIXELS, TEST_LABELS),
        gradient_accumulation_steps=2,
        eval_strategy="steps",
        eval_steps=1,
    ).train()
    assert run_of(log).progress.rows == (600,) * EPOCHS
    plain = plainly_logged("plain", model.epochs())
    np.testing.assert_array_equal(maps_of(run_of(log)), maps_of(plain))


def test_it_is_in_the_app_while_it_trains(tmp_path: Path) -> None:
    log, seen = new_log(), []

    class Look(transformers.TrainerCallback):  # type: ignore[name-defined, misc]
        def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            seen.append((run_of(log).live, run_of(log).has_data_maps, log.done))

    trainer_of(log, tmp_path, callbacks=(Look(),)).train()
    assert seen == [(True, False, 0), (True, False, 1), (True, True, 2), (True, True, 3)]
    assert not run_of(log).live


def test_indexed_evaluation_data_are_the_test_points(tmp_path: Path) -> None:
    log, model = new_log(test_labels=TEST_LABELS), Digits()
    evaluation = Indexed(items(TEST_PIXELS, TEST_LABELS))
    trainer = trainer_of(log, tmp_path, model, evaluation=evaluation, eval_strategy="epoch")
    trainer.train()
    run = run_of(log)
    logits = run.test_logits()
    assert logits is not None and run.logit_epochs == (1, 2, 3, 4)
    after = model.body(torch.from_numpy(TEST_PIXELS)).detach().numpy()
    np.testing.assert_allclose(logits[-1], after, rtol=1e-2, atol=1e-2)
    assert run.progress.rows == (600,) * EPOCHS
    assert trainer.evaluate()["eval_loss"] > 0  # afterwards, too, the index is taken out


def test_evaluation_before_the_training_is_of_no_epoch(tmp_path: Path) -> None:
    log = new_log(test_labels=TEST_LABELS)
    evaluation = Indexed(items(TEST_PIXELS, TEST_LABELS))
    trainer = trainer_of(log, tmp_path, evaluation=evaluation, eval_on_start=True)
    trainer.evaluate()
    trainer.train()
    assert run_of(log).progress.logits == ()


def test_the_library_s_own_model_and_tokens_are_logged(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=17,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        num_labels=len(NAMES),
        problem_type="multi_label_classification",
    )
    tokens = (PIXELS * 16).astype(np.int64)
    data = [{"input_ids": t, "labels": y} for t, y in zip(tokens, LABELS, strict=True)]
    log = new_log()
    model = transformers.BertForSequenceClassification(config)
    trainer_of(log, tmp_path, model, train=Indexed(data), num_train_epochs=2, bf16=True).train()
    run = run_of(log)
    assert run.progress.rows == (600, 600) and not np.isnan(maps_of(run)[:, 0]).any()


def test_removed_columns_are_refused_before_the_training(tmp_path: Path) -> None:
    trainer = trainer_of(new_log(), tmp_path, remove_unused_columns=True)
    with pytest.raises(UserError, match="remove_unused_columns=False"):
        trainer.train()


def test_several_gpus_in_one_process_are_refused(tmp_path: Path) -> None:
    trainer = trainer_of(new_log(), tmp_path)
    trainer.args._n_gpu = 2
    callback = trainer.callback_handler.callbacks[-1]
    callback = next(c for c in trainer.callback_handler.callbacks if type(c) is TaskLogCallback)
    with pytest.raises(UserError, match="One process drives 2 GPUs"):
        callback.on_train_begin(trainer.args, trainer.state, trainer.control, model=trainer.model)


def test_data_that_are_not_indexed_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"which points a batch is of: wrap it, Indexed\(data\)"):
        trainer_of(new_log(), tmp_path, train=items()).train()


def test_a_model_without_logits_is_refused(tmp_path: Path) -> None:
    class Silent(Digits):
        def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": super().forward(pixels, labels)["loss"]}

    with pytest.raises(UserError, match="No logits were found in a training step"):
        trainer_of(new_log(), tmp_path, Silent()).train()


@pytest.mark.parametrize("steps", [13, 15], ids=["of-an-epoch", "within-an-epoch"])
def test_a_training_that_was_killed_goes_on_from_its_checkpoint(tmp_path: Path, steps: int) -> None:
    whole = new_log("whole")
    trainer_of(whole, tmp_path / "whole").train()
    with pytest.raises(Stop):
        trainer_of(
            new_log(), tmp_path, callbacks=(StopAfter(steps),), save_strategy="epoch"
        ).train()
    with pytest.warns(LogNote, match="goes on after epoch 2"):
        log = new_log()
    trainer_of(log, tmp_path).train(resume_from_checkpoint=True)
    assert log.done == EPOCHS and run_of(log).progress.rows == (600,) * EPOCHS
    np.testing.assert_array_equal(maps_of(run_of(log)), maps_of(run_of(whole)))


def test_a_training_that_begins_again_does_not_mix_with_what_was_logged(tmp_path: Path) -> None:
    with pytest.raises(Stop):
        trainer_of(new_log(), tmp_path, callbacks=(StopAfter(13),)).train()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LogNote)
        log = new_log()
    with pytest.raises(UserError, match="The log has 2 epochs, and the training begins with its"):
        trainer_of(log, tmp_path).train()
