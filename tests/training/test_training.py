"""Training: what a run does with every point, and that nothing interrupts it for good."""

from __future__ import annotations

import dataclasses
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn import metrics as sklearn_metrics
from torch import nn

from stg_core.system.errors import Cancelled, UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS, Task
from stg_core.training import loop as training
from stg_core.training import models
from stg_core.training.callbacks import Callback, Training
from stg_core.training.heads import Heads
from stg_core.training.inputs import Normalisation
from stg_core.training.loop import TrainingResult, train
from stg_core.training.scores import TIMES, task_losses, task_scores
from stg_core.training.spec import TrainingSpec

DIGITS = GROUPS["digits"]
TASKS = ("0", "7", "Odd", "Random")
TIMINGS = ("images_per_second", *TIMES)


@pytest.fixture(scope="session")
def data(digits_data: TaskData) -> TaskData:
    """The first 330 training and 100 test images: many runs of it take no time."""
    return dataclasses.replace(
        digits_data,
        train_points=digits_data.train_points[::4][:330],
        train_labels=digits_data.train_labels[::4][:330],
        test_points=digits_data.test_points[::3][:100],
        test_labels=digits_data.test_labels[::3][:100],
    )


def spec_of(**settings: Any) -> TrainingSpec:
    return TrainingSpec(DIGITS, **{"tasks": TASKS, "epochs": 4, "batch_size": 64, **settings})


def shortened(data: TaskData, n_points: int) -> TaskData:
    return dataclasses.replace(
        data, train_points=data.train_points[:n_points], train_labels=data.train_labels[:n_points]
    )


def with_labels(data: TaskData, labels: np.ndarray) -> TaskData:
    return dataclasses.replace(data, train_labels=labels)


class StopAt(Callback):
    """Cancels in an epoch, after a step."""

    def __init__(self, epoch: int, step: int) -> None:
        self.place, self.reached = (epoch, step), False

    def on_batch_end(self, training: Training) -> None:
        self.reached = (training.epoch, training.step) == self.place

    def cancelled(self) -> bool:
        return self.reached


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The indices of every batch that is trained on, in order."""
    seen: list[torch.Tensor] = []

    run_batch = training._Run.run_batch

    def watched(run: Any, indices: torch.Tensor) -> torch.Tensor:
        seen.append(indices.clone())
        return run_batch(run, indices)

    monkeypatch.setattr(training._Run, "run_batch", watched)
    return seen


def assert_identical(a: TrainingResult, b: TrainingResult) -> None:
    """Everything but the clock is equal to the last bit."""
    for name in a.metrics:
        if name not in TIMINGS:
            assert a.metrics[name] == b.metrics[name], name
    for name in ("test_logits", "train_logits", "test_labels", "train_labels"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
    assert a.datamaps is not None and b.datamaps is not None
    assert a.summary is not None and b.summary is not None
    assert np.array_equal(a.datamaps, b.datamaps)
    for field in dataclasses.fields(a.summary):
        assert np.array_equal(getattr(a.summary, field.name), getattr(b.summary, field.name))
    assert a.model is not None and b.model is not None
    weights = b.model.state_dict()
    for name, value in a.model.state_dict().items():
        assert torch.equal(value, weights[name]), name


# --------------------------------------------------------------------------- what an epoch trains


@pytest.mark.parametrize(
    ("n_points", "batch_size", "sizes"),
    [
        (330, 64, [64, 64, 64, 64, 64, 10]),
        (320, 64, [64] * 5),
        (50, 64, [50]),
        (129, 64, [64, 65]),
    ],
)
def test_every_training_point_is_used_exactly_once_an_epoch(
    n_points: int,
    batch_size: int,
    sizes: list[int],
    data: TaskData,
    batches: list[torch.Tensor],
) -> None:
    train(spec_of(batch_size=batch_size, epochs=2), shortened(data, n_points))
    assert [len(batch) for batch in batches] == sizes * 2
    orders = torch.cat(batches).view(2, n_points)
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(n_points))
    assert not torch.equal(orders[0], orders[1])


def test_the_same_seed_gives_the_same_training_and_another_seed_another(data: TaskData) -> None:
    first = train(spec_of(), data)
    torch.rand(3)
    assert_identical(first, train(spec_of(), data))
    other = train(spec_of(seed=1), data)
    assert first.metrics["loss"] != other.metrics["loss"]


def test_training_leaves_the_caller_s_random_numbers_alone(data: TaskData) -> None:
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    train(spec_of(epochs=1), data)
    assert torch.equal(torch.rand(4), expected)


def test_the_model_learns_the_digits_and_not_the_coin_flips(digits_result: TrainingResult) -> None:
    loss = digits_result.metrics["loss"]
    assert loss == sorted(loss, reverse=True)
    f1 = dict(zip(digits_result.spec.tasks, digits_result.metrics["test"]["f1"][-1], strict=True))
    assert np.mean([f1[str(digit)] for digit in range(10)]) > 0.5
    accuracies = digits_result.metrics["test"]["balanced_accuracy"][-1]
    assert abs(accuracies[digits_result.spec.tasks.index("Random")] - 0.5) < 0.1


def test_images_are_normalised_per_channel() -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 200, (50, 8, 8, 3), dtype=np.uint8)
    images[..., 1] //= 4
    normalised = Normalisation(torch.tensor(images))(torch.tensor(images))
    assert normalised.shape == (50, 3, 8, 8)
    assert torch.allclose(normalised.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(normalised.var((0, 2, 3), correction=0), torch.ones(3), atol=1e-3)


def test_images_of_one_colour_do_not_break_the_normalisation() -> None:
    images = torch.full((4, 8, 8, 1), 7, dtype=torch.uint8)
    assert Normalisation(images)(images).isfinite().all()


def test_the_loss_is_the_weighted_cross_entropy_of_each_task() -> None:
    logits, targets = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([[1.0, 0], [0, 1]])
    weights = torch.tensor([9.0, 2.0])
    p = logits.sigmoid()
    positive, negative = -p.log() * weights * targets, -(1 - p).log() * (1 - targets)
    losses = task_losses(logits, targets, weights)
    assert torch.allclose(losses, (positive + negative).mean(0))


def test_the_training_loss_is_the_sum_over_tasks_times_their_weights(data: TaskData) -> None:
    settings = {"epochs": 1, "batch_size": 512, "recorded_epochs": ()}
    one = train(spec_of(**settings), data)
    double = train(spec_of(**settings, task_weights=(2.0,) * 4), data)
    alone = [
        train(spec_of(**settings, task_weights=np.eye(4)[t]), data).metrics["loss"][0]
        for t in range(4)
    ]
    assert double.metrics["loss"][0] == pytest.approx(2 * one.metrics["loss"][0], rel=1e-5)
    assert one.metrics["loss"][0] == pytest.approx(sum(alone), rel=1e-5)


def test_a_task_of_weight_zero_leaves_its_output_as_it_was(data: TaskData) -> None:
    heads = []

    class Watch(Callback):
        def on_batch_end(self, training: Training) -> None:
            assert isinstance(training.model, nn.Sequential)
            weight = training.model[-1].weight
            assert isinstance(weight, torch.Tensor)
            heads.append(weight.detach().clone())

    train(spec_of(task_weights=(1, 0, 1, 0.5), epochs=2), data, callbacks=[Watch()])
    assert torch.equal(heads[0][1], heads[-1][1])
    for t in (0, 2, 3):
        assert not torch.equal(heads[0][t], heads[-1][t])


# ------------------------------------------------------------------------------- missing labels


def test_a_missing_label_adds_nothing_to_the_loss() -> None:
    logits = torch.randn(6, 2, generator=torch.Generator().manual_seed(0), requires_grad=True)
    targets = torch.tensor([[1.0, 0], [0, 1], [1, 1], [0, 0], [torch.nan, 1], [torch.nan, 0]])
    weights = torch.tensor([3.0, 1.0])
    losses = task_losses(logits, targets, weights)
    assert torch.allclose(losses[0], task_losses(logits[:4], targets[:4], weights)[0])
    losses.sum().backward()
    assert logits.grad is not None
    assert torch.equal(logits.grad[4:, 0], torch.zeros(2))
    assert (logits.grad[:, 1] != 0).all()


def test_a_batch_without_any_label_of_a_task_has_no_loss_for_it() -> None:
    targets = torch.tensor([[torch.nan, 1.0], [torch.nan, 0.0]])
    losses = task_losses(torch.ones(2, 2), targets, torch.ones(2))
    assert losses[0] == 0
    assert losses[1] > 0


def test_a_training_with_missing_labels_has_no_data_map_there(data: TaskData) -> None:
    labels = data.train_labels.copy()
    column = data.tasks.index("7")
    labels[::3, column] = np.nan
    result = train(spec_of(), with_labels(data, labels))
    assert result.datamaps is not None
    missing = np.isnan(labels[:, column])
    t = TASKS.index("7")
    assert np.isnan(result.datamaps[:, :, t, missing]).all()
    assert np.isfinite(result.datamaps[:, :, t, ~missing]).all()
    assert np.isfinite(np.delete(result.datamaps, t, axis=2)).all()
    assert np.isfinite(result.metrics["loss"]).all()


# ------------------------------------------------------------------------------------- the scores


def test_scores_agree_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(300, 5)), (rng.random((300, 5)) < 0.3).astype(np.float64)
    targets[rng.random((300, 5)) < 0.1] = np.nan
    scores = task_scores(torch.tensor(logits), torch.tensor(targets))
    for t in range(5):
        known = ~np.isnan(targets[:, t])
        truth, predicted = targets[known, t], logits[known, t] > 0
        for name, reference in (
            ("f1", sklearn_metrics.f1_score),
            ("accuracy", sklearn_metrics.accuracy_score),
            ("balanced_accuracy", sklearn_metrics.balanced_accuracy_score),
        ):
            assert scores[name][t].item() == pytest.approx(reference(truth, predicted))


@pytest.mark.parametrize("targets", [[1, 1, 0, 0], [np.nan, 1, 0, 0]])
@pytest.mark.parametrize("logits", [[-1, -1, -1, -1], [-1, -1, 2, 2]])
def test_f1_is_zero_where_there_are_no_true_positives(
    targets: list[float], logits: list[float]
) -> None:
    scores = task_scores(torch.tensor([logits]).float().T, torch.tensor([targets]).float().T)
    assert scores["f1"].tolist() == [0]


@pytest.mark.parametrize("logits", [[-1, -1, -1, -1], [-1, -1, 2, 2]])
def test_f1_is_not_defined_where_no_label_is_positive(logits: list[float]) -> None:
    scores = task_scores(torch.tensor([logits]).float().T, torch.zeros(4, 1))
    assert scores["f1"].isnan().tolist() == [True]
    assert not scores["accuracy"].isnan().any()


def test_scores_are_of_the_test_set_and_of_a_sample_of_the_training_images(
    digits_result: TrainingResult, digits_data: TaskData
) -> None:
    metrics = digits_result.metrics
    for split in ("train", "test"):
        for name in ("loss", "f1", "accuracy", "balanced_accuracy"):
            assert np.array(metrics[split][name]).shape == (4, 15)
    for name in ("loss", *TIMINGS):
        assert len(metrics[name]) == 4
    assert min(metrics["images_per_second"]) > 0
    # float16 may round a logit near 0 to 0.
    again = task_scores(
        torch.tensor(digits_result.test_logits[-1]), torch.tensor(digits_data.test_labels)
    )
    assert np.allclose(again["accuracy"], metrics["test"]["accuracy"][-1], atol=0.01)


def test_training_scores_use_a_fixed_sample_of_at_most_ten_thousand_images() -> None:
    sample = training._measured_points(50_000)
    assert len(np.unique(sample)) == 10_000
    assert np.array_equal(sample, training._measured_points(50_000))
    assert np.array_equal(training._measured_points(30), np.arange(30))


# -------------------------------------------------------------------------------- what is kept


def test_a_result_says_what_it_was_made_with(digits_result: TrainingResult) -> None:
    made = digits_result.provenance
    assert made["device"]
    assert made["precision"] in ("fp32", "bf16")
    assert made["threads"] == torch.get_num_threads()
    assert made["seconds"] > 0
    assert made["images"]


@pytest.mark.parametrize(("capable", "precision"), [(True, "bf16"), (False, "fp32")])
def test_half_precision_is_used_and_recorded_where_the_processor_has_it(
    capable: bool, precision: str, data: TaskData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": capable})
    kinds = []

    class Watch(Callback):
        def on_batch_end(self, training: Training) -> None:
            kinds.append(training.precision)

    result = train(spec_of(epochs=2), data, device="cpu", callbacks=[Watch()])
    assert result.provenance["precision"] == precision
    assert result.provenance["device"] == "cpu"
    assert set(kinds) == {precision}
    assert np.isfinite(result.metrics["loss"]).all()


@pytest.mark.parametrize("recorded", [(2, 3), ()])
def test_logits_are_kept_of_every_epoch_whatever_is_recorded(
    recorded: tuple[int, ...], data: TaskData
) -> None:
    result = train(spec_of(recorded_epochs=recorded), data)
    assert result.spec.logit_epochs == (1, 2, 3, 4)
    for logits, count in ((result.test_logits, 100), (result.train_logits, 330)):
        assert (logits.shape, logits.dtype) == ((4, count, 4), np.float16)
        assert np.isfinite(logits).all()
        assert len({epoch.tobytes() for epoch in logits}) == 4


def test_scores_follow_from_the_kept_logits_and_labels(data: TaskData) -> None:
    labels = data.train_labels.copy()
    labels[::7, data.tasks.index("Odd")] = np.nan
    result = train(spec_of(), with_labels(data, labels))
    for split, logits, kept in (
        ("test", result.test_logits, result.test_labels),
        ("train", result.train_logits, result.train_labels),
    ):
        assert kept.dtype == np.int8
        targets = np.where(kept < 0, np.nan, kept)
        for e in range(4):
            scores = task_scores(torch.tensor(logits[e]), torch.tensor(targets))
            for name, values in scores.items():
                assert values.tolist() == result.metrics[split][name][e]
    assert (result.train_labels == -1).sum() == len(labels[::7])


def test_of_a_long_training_twenty_epochs_are_kept_and_the_last(data: TaskData) -> None:
    spec = spec_of(epochs=50, recorded_epochs=())
    assert len(spec.logit_epochs) == 20
    assert spec.logit_epochs[-1] == 50
    assert set(np.diff(spec.logit_epochs)) == {2, 3}


def test_a_checkpoint_of_a_version_that_kept_fewer_logits_starts_anew(
    data: TaskData, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        train(spec_of(), data, folder=tmp_path, callbacks=[StopAt(3, 1)])
    (tmp_path / "train-1.npy").unlink()
    assert_identical(train(spec_of(), data, folder=tmp_path), train(spec_of(), data))


def test_data_maps_are_half_precision_of_every_recorded_epoch(data: TaskData) -> None:
    result = train(spec_of(recorded_epochs=(2, 4)), data)
    assert result.datamaps is not None and result.summary is not None
    assert (result.datamaps.shape, result.datamaps.dtype) == ((2, 2, 4, 330), np.float16)
    assert result.summary.epochs.tolist() == [2, 4]
    assert result.summary.tasks.tolist() == list(TASKS)


def test_without_recorded_epochs_there_are_no_data_maps(data: TaskData) -> None:
    result = train(spec_of(recorded_epochs=()), data)
    assert result.datamaps is None
    assert result.summary is None


def test_data_maps_come_from_the_forward_pass_that_is_trained_on(
    data: TaskData, batches: list[torch.Tensor]
) -> None:
    outputs: list[np.ndarray] = []

    class Watch(Callback):
        def on_batch_start(self, training: Training) -> None:
            if not outputs and not training.model._forward_hooks:
                training.model.register_forward_hook(self.passed)

        def passed(self, model: torch.nn.Module, _: Any, logits: torch.Tensor) -> None:
            if model.training:
                outputs.append(logits.detach().float().numpy())

    result = train(spec_of(epochs=3), data, callbacks=[Watch()])
    assert result.datamaps is not None and len(outputs) == len(batches) == 3 * 6
    seen, labels = np.full((3, 330, 4), np.nan), data.select(spec_of().tasks).train_labels
    for step, (indices, logits) in enumerate(zip(batches, outputs, strict=True)):
        said = 1 / (1 + np.exp(-logits.astype(np.float64)))
        seen[step // 6, indices] = 1 - np.abs(labels[indices] - said)
    assert np.isfinite(seen).all()
    assert np.allclose(result.datamaps[1, 0], seen.mean(0).T, atol=1e-3)
    assert np.allclose(result.datamaps[1, 1], seen.std(0, ddof=1).T, atol=1e-3)


# ------------------------------------------------------------------- interrupted and gone on with


def test_a_cancelled_training_says_so_at_once(data: TaskData) -> None:
    stop = StopAt(2, 3)
    steps = []

    class Count(Callback):
        def on_batch_end(self, training: Training) -> None:
            steps.append((training.epoch, training.step))

    with pytest.raises(Cancelled):
        train(spec_of(), data, callbacks=[Count(), stop])
    assert steps[-1] == (2, 3)


@pytest.mark.parametrize("augmentation", ["none", "shift+flip"])
@pytest.mark.parametrize("place", [(1, 2), (3, 1), (4, 6)])
def test_a_resumed_training_is_bit_identical_to_an_uninterrupted_one(
    place: tuple[int, int], augmentation: str, data: TaskData, tmp_path: Path
) -> None:
    spec = spec_of(augmentation=augmentation)
    with pytest.raises(Cancelled):
        train(spec, data, folder=tmp_path / "run", callbacks=[StopAt(*place)])
    resumed = train(spec, data, folder=tmp_path / "run")
    assert_identical(resumed, train(spec, data, folder=tmp_path / "whole"))


def test_a_resumed_training_repeats_no_finished_epoch(
    data: TaskData, tmp_path: Path, batches: list[torch.Tensor]
) -> None:
    with pytest.raises(Cancelled):
        train(spec_of(), data, folder=tmp_path, callbacks=[StopAt(3, 2)])
    batches.clear()
    train(spec_of(), data, folder=tmp_path)
    assert len(batches) == 2 * 6


def test_a_finished_training_is_not_trained_again(
    data: TaskData, tmp_path: Path, batches: list[torch.Tensor]
) -> None:
    first = train(spec_of(), data, folder=tmp_path)
    batches.clear()
    assert_identical(train(spec_of(), data, folder=tmp_path), first)
    assert batches == []


KILLED = """
import sys, time
from pathlib import Path
import torch
from stg_core.training.callbacks import Callback
from stg_core.training.spec import TrainingSpec
from stg_core.tasks.groups import GROUPS
from stg_core.training.loop import train

class Stand(Callback):
    def on_batch_end(self, training):
        if (training.epoch, training.step) == (3, 2):
            print("in epoch 3", flush=True)
            time.sleep(600)

torch.set_num_threads(int(sys.argv[2]))
train(TrainingSpec(GROUPS["digits"], epochs=4), folder=Path(sys.argv[1]), callbacks=[Stand()])
"""


def test_a_training_killed_by_the_system_goes_on_as_if_nothing_had_been(
    digits_result: TrainingResult, digits_data: TaskData, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(folder), str(torch.get_num_threads())],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == "in epoch 3\n"
        process.kill()
        process.wait()
    epochs = []

    class Watch(Callback):
        def on_epoch_end(self, training: Training) -> None:
            epochs.append(training.epoch)

    resumed = train(digits_result.spec, digits_data, folder=folder, callbacks=[Watch()])
    assert epochs == [3, 4]
    assert_identical(resumed, digits_result)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_starts_the_training_from_the_beginning(
    content: bytes | None, data: TaskData, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        train(spec_of(), data, folder=tmp_path, callbacks=[StopAt(3, 1)])
    checkpoint = tmp_path / training.CHECKPOINT
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert_identical(train(spec_of(), data, folder=tmp_path), train(spec_of(), data))


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(
    data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saves = iter([torch.save])

    def fail(state: object, file: Any) -> None:
        if (save := next(saves, None)) is not None:
            return save(state, file)
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", fail)
        with pytest.raises(OSError, match="No space"):
            train(spec_of(), data, folder=tmp_path)
    assert not list(tmp_path.glob(".*"))
    assert_identical(train(spec_of(), data, folder=tmp_path), train(spec_of(), data))


# ------------------------------------------------------------------------------ a loss gone wrong


def test_a_learning_rate_far_too_high_stops_with_advice(data: TaskData) -> None:
    with pytest.raises(UserError) as caught:
        train(spec_of(learning_rate=1e30), data)
    message = str(caught.value)
    assert "not finite at epoch 1, step" in message
    assert "lower learning rate than 1e+30" in message


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step(
    data: TaskData, tmp_path: Path
) -> None:
    class Breaks(nn.Module):
        def __init__(self, n_tasks: int) -> None:
            super().__init__()
            self.linear, self.batches = nn.Linear(64, n_tasks), 0

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.linear(images.flatten(1))
            self.batches += self.training
            return logits * torch.nan if self.batches == 9 else logits

    @models.register("breaks")
    def breaks(image_shape: Any, n_tasks: int) -> nn.Module:
        return Breaks(n_tasks)

    ended = []

    class Watch(Callback):
        def on_epoch_end(self, training: Training) -> None:
            ended.append(training.epoch)

    with pytest.raises(UserError, match="epoch 2, step 3"):
        train(spec_of(model="breaks"), data, folder=tmp_path, callbacks=[Watch()])
    assert ended == [1]
    state = torch.load(tmp_path / training.CHECKPOINT, weights_only=True)
    assert state["epoch"] == 1


# ------------------------------------------------------------------------------------- callbacks


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries go their own way")
def test_a_training_asks_the_system_for_little_memory_once_it_runs() -> None:
    import resource

    class Pages(Callback):
        def on_epoch_end(self, training: Training) -> None:
            counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)

    counts: list[int] = []
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)
    labels = rng.integers(0, 2, (256, 4)).astype(np.float32)
    spec = spec_of(model="small_cnn", batch_size=128)
    train(spec, TaskData(TASKS, images, labels, images, labels), callbacks=[Pages()])
    of_one_batch = 128 * 64 * 32 * 32 * 2 // resource.getpagesize()  # after the first convolution
    assert np.diff(counts).min() < of_one_batch  # other threads of these tests ask too


def test_callbacks_see_every_batch_and_every_epoch_with_its_metrics(data: TaskData) -> None:
    events: list[tuple[str, int, int]] = []

    class Watch(Callback):
        def on_batch_end(self, training: Training) -> None:
            events.append(("batch", training.epoch, training.step))

        def on_epoch_end(self, training: Training) -> None:
            events.append(("epoch", training.epoch, len(training.metrics["loss"])))

    train(spec_of(epochs=2), data, callbacks=[Watch()])
    expected = []
    for epoch in (1, 2):
        expected += [("batch", epoch, step) for step in range(1, 7)] + [("epoch", epoch, epoch)]
    assert events == expected


# ---------------------------------------------------------------------------------------- models


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "small_cnn"])
def test_backbones_give_one_output_per_task(name: str) -> None:
    for shape in ((3, 32, 32), (1, 8, 8)):
        model = models.build(name, shape, 7).eval()
        assert model(torch.zeros(2, *shape)).shape == (2, 7)


def test_backbones_are_what_they_are_said_to_be() -> None:
    resnet = models.build("resnet18", (3, 32, 32), 10)
    assert isinstance(resnet.fc, nn.Linear)
    assert resnet.fc.bias is None
    assert parameters(resnet) == 11_176_512 + 10 * 512
    assert parameters(models.build("small_cnn", (3, 32, 32), 10)) == pytest.approx(5e5, rel=0.1)
    small = [type(layer) for layer in models.build("small_cnn", (3, 32, 32), 10).modules()]
    assert (small.count(nn.Conv2d), small.count(nn.Linear)) == (3, 2)
    assert {nn.BatchNorm2d, nn.BatchNorm1d, nn.Dropout} <= set(small)


@pytest.mark.parametrize("name", ["resnet18", "small_cnn", "tiny_cnn", "mlp"])
def test_a_width_widens_every_layer_but_the_outputs(name: str) -> None:
    layers = {
        width: [
            layer.weight.shape[0]
            for layer in models.build(name, (3, 32, 32), 7, width=width).modules()
            if isinstance(layer, (nn.Conv2d, nn.Linear))
        ]
        for width in (1, 1.5)
    }
    *usual, outputs = layers[1]
    assert layers[1.5] == [*(round(1.5 * count) for count in usual), outputs]
    assert outputs == 7


def test_width_1_is_the_model_as_it_ever_was() -> None:
    """Otherwise a run that is trained again would not be what it was."""
    sums = {}
    for name in ("resnet18", "small_cnn", "tiny_cnn", "mlp"):
        torch.manual_seed(3)
        weights = models.build(name, (1, 8, 8), 5, width=1.0).parameters()
        sums[name] = sum(weight.detach().double().abs().sum().item() for weight in weights)
    before = {
        "resnet18": 224601.34996832648,
        "small_cnn": 3723.675419947067,
        "tiny_cnn": 710.3465076675177,
        "mlp": 2100.805275904928,
    }
    assert sums == pytest.approx(before, rel=1e-9)


def test_a_model_without_a_width_refuses_one(data: TaskData) -> None:
    @models.register("own narrow")
    def own(shape: Sequence[int], n_outputs: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(shape)), n_outputs))

    with pytest.raises(UserError, match="own narrow has no width to choose"):
        train(spec_of(model="own narrow", width=2), data)


def test_a_model_of_one_s_own_may_take_a_width(data: TaskData) -> None:
    @models.register("own wide")
    def own(shape: Sequence[int], n_outputs: int, width: float) -> nn.Module:
        hidden = round(8 * width)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden), nn.Linear(hidden, n_outputs))

    model = train(spec_of(model="own wide", width=2, epochs=1), data).model
    assert model is not None
    assert parameters(model) == 65 * 16 + 17 * 4


def test_an_own_model_is_trained_after_one_decorator(data: TaskData) -> None:
    @models.register("own linear")
    def own(image_shape: Sequence[int], n_tasks: int) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(int(np.prod(image_shape)), n_tasks))

    result = train(spec_of(model="own linear"), data)
    assert result.model is not None
    assert parameters(result.model) == 65 * 4
    assert result.metrics["loss"][-1] < result.metrics["loss"][0]


def test_an_own_model_is_found_in_its_own_module(
    data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_models_for_digits.py").write_text(
        "from torch import nn\n"
        "from stg_core.training.models import register\n"
        "@register('flat')\n"
        "def flat(shape, n_tasks):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, n_tasks, bias=False))\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    result = train(spec_of(model="my_models_for_digits:flat", epochs=2), data)
    assert result.model is not None
    assert parameters(result.model) == 64 * 4


def test_an_unknown_model_is_answered_with_what_to_do(data: TaskData) -> None:
    with pytest.raises(UserError, match=r"no model 'resnet5'.*resnet18"):
        train(spec_of(model="resnet5"), data)
    with pytest.raises(UserError, match=r"'no_such_module'.*PYTHONPATH"):
        train(spec_of(model="no_such_module:net"), data)


# ------------------------------------------------------------------------- one model for each task


def test_single_task_models_are_trained_alone_and_merged(data: TaskData, tmp_path: Path) -> None:
    spec = spec_of(single_task_models=True, tasks=("0", "Odd"))
    merged = train(spec, data, folder=tmp_path)
    alone = [train(spec.for_task(task), data) for task in spec.tasks]
    assert merged.datamaps is not None
    assert merged.summary is not None
    assert merged.summary.tasks.tolist() == ["0", "Odd"]
    for t, one in enumerate(alone):
        assert one.datamaps is not None
        assert np.array_equal(merged.datamaps[:, :, t], one.datamaps[:, :, 0])
        for name in ("test_logits", "train_logits", "test_labels", "train_labels"):
            assert np.array_equal(getattr(merged, name)[..., t], getattr(one, name)[..., 0])
        for split in ("train", "test"):
            for name, values in merged.metrics[split].items():
                column = [epoch[t] for epoch in values]
                assert column == [epoch[0] for epoch in one.metrics[split][name]]
    losses = np.sum([one.metrics["loss"] for one in alone], axis=0)
    assert np.allclose(merged.metrics["loss"], losses)
    assert len(merged.metrics["images_per_second"]) == 4


def test_interrupted_single_task_models_go_on_where_they_were(
    data: TaskData, tmp_path: Path, batches: list[torch.Tensor]
) -> None:
    spec = spec_of(single_task_models=True, tasks=("0", "Odd"))
    whole = train(spec, data)

    class StopInSecond(StopAt):
        def on_batch_end(self, training: Training) -> None:
            super().on_batch_end(training)
            self.reached &= training.spec.tasks == ("Odd",)

    with pytest.raises(Cancelled):
        train(spec, data, folder=tmp_path, callbacks=[StopInSecond(2, 1)])
    batches.clear()
    resumed = train(spec, data, folder=tmp_path)
    assert len(batches) == 3 * 6
    assert whole.datamaps is not None and resumed.datamaps is not None
    assert np.array_equal(whole.datamaps, resumed.datamaps)
    assert np.array_equal(whole.test_logits, resumed.test_logits)


def test_a_training_on_a_sample_keeps_the_data_maps_of_its_images(digits_data: TaskData) -> None:
    spec = TrainingSpec(GROUPS["digits"], epochs=2, training_images=200)
    result = train(spec, digits_data)
    assert result.datamaps is not None and result.datamaps.shape[-1] == 200
    assert spec.key != TrainingSpec(GROUPS["digits"], epochs=2).key
    assert TrainingSpec.from_json(spec.to_json()) == spec


# ------------------------------------------------------------------- from the weights of another


JOINT = spec_of(epochs=2)


def weights_of(result: TrainingResult) -> dict[str, torch.Tensor]:
    assert result.model is not None
    return {name: value.clone() for name, value in result.model.state_dict().items()}


def test_a_training_begins_with_the_weights_of_what_it_starts_from(data: TaskData) -> None:
    first: list[dict[str, torch.Tensor]] = []

    class Watch(Callback):
        def on_batch_start(self, training: Training) -> None:
            if not first:
                first.append({k: v.clone() for k, v in training.model.state_dict().items()})

    warm = spec_of(epochs=1, seed=7, recorded_epochs=(), starts_from=JOINT)
    after = weights_of(train(warm, data, callbacks=[Watch()]))
    joint = {name: torch.tensor(value) for name, value in train(JOINT, data).weights.items()}
    assert all(torch.equal(first[0][name], value) for name, value in joint.items())
    assert not all(torch.equal(after[name], value) for name, value in joint.items())


@pytest.mark.parametrize("place", [(1, 2), (3, 1)])
def test_a_training_from_other_weights_resumes_bit_identically(
    place: tuple[int, int], data: TaskData, tmp_path: Path
) -> None:
    warm = spec_of(seed=7, starts_from=JOINT)
    with pytest.raises(Cancelled):
        train(warm, data, folder=tmp_path / "run", callbacks=[StopAt(*place)])
    resumed = train(warm, data, folder=tmp_path / "run")
    assert_identical(resumed, train(warm, data, folder=tmp_path / "whole"))


def test_weights_that_cannot_be_read_are_said_to_be(data: TaskData, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(UserError, match="weights to start from cannot be read"):
        train(spec_of(starts_from=JOINT), data, start=tmp_path / "model.safetensors")


# ------------------------------------------------------------------------ how weights are kept


@models.register("far_too_large")
def far_too_large(point_shape: tuple[int, ...], n_outputs: int) -> nn.Module:
    """Its weights have no half precision; what comes out is as small as ever."""
    first = nn.Linear(math.prod(point_shape), 4)
    nn.init.uniform_(first.weight, 1e5, 2e5)
    return nn.Sequential(nn.Flatten(), first, nn.LayerNorm(4), nn.Linear(4, n_outputs))


def test_weights_stay_in_single_precision_where_half_would_change_answers(data: TaskData) -> None:
    result = train(spec_of(model="far_too_large"), data)
    usage = result.provenance["usage"]
    assert usage["precision"] == "float32" and usage["changed"] > 1e-4 * usage["answers"]
    assert result.model is not None
    for name, value in result.model.state_dict().items():
        assert np.array_equal(result.weights[name], value.numpy()), name


def test_models_of_single_tasks_are_all_kept(data: TaskData) -> None:
    together = train(spec_of(single_task_models=True), data)
    alone = [train(spec_of().for_task(task), data) for task in together.spec.tasks]
    for t, one in enumerate(alone):
        for name, value in one.weights.items():
            # all are kept as exactly as the one that needs it most
            assert np.array_equal(together.weights[f"{t}.{name}"].astype(value.dtype), value)
    answers = [one.provenance["usage"]["answers"] for one in alone]
    assert together.provenance["usage"]["answers"] == sum(answers)


@pytest.mark.parametrize(("moved", "changed"), [(0.0005, 0), (0.002, 1), (float("nan"), 1)])
def test_an_answer_that_is_a_number_changes_when_it_is_further_off(
    moved: float, changed: int
) -> None:
    heads = Heads([Task("n", kind="regression")], np.array([[0.0], [1.0]], dtype=np.float32))
    before = torch.tensor([[0.3], [-0.1]])
    assert heads.changed(before, before + torch.tensor([[0.0], [moved]])) == changed


def test_an_answer_of_yes_or_no_or_a_class_changes_with_its_side() -> None:
    tasks = [Task("b"), Task("c", kind="multiclass", values=("x", "y", "z"))]
    heads = Heads(tasks, np.array([[0, 2], [1, 0]], dtype=np.float32))
    before = torch.tensor([[0.1, 1.0, 2.0, 0.0], [-0.1, 1.0, 0.0, 0.0]])
    after = torch.tensor([[-0.1, 1.0, 1.5, 0.0], [-0.2, 0.0, 1.0, 0.0]])
    assert heads.changed(before, after) == 2
    assert heads.changed(before, before * torch.inf) == 4
