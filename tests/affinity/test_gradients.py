"""Affinities from one joint training: what TAG, ETAP's score and gradient cosine promise."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from stg_core.affinity.gradients import AffinityRecorder, head_parameters
from stg_core.affinity.joint import affinity_of, counted_cost, datamap_similarity
from stg_core.affinity.settings import METHODS
from stg_core.cli.main import main
from stg_core.grouping.memberships import TaskSpace
from stg_core.results.store import Store
from stg_core.system.errors import Cancelled, UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.training import loop as training_module
from stg_core.training.callbacks import Callback, Training
from stg_core.training.heads import Heads
from stg_core.training.inputs import autocast
from stg_core.training.loop import TrainingResult, train
from stg_core.training.models import build, register
from stg_core.training.scores import task_losses
from stg_core.training.spec import TrainingSpec

DIGITS = GROUPS["digits"]
TASKS = ("0", "7", "Odd", "Random")


@register("one_weight")
def one_weight(image_shape: tuple[int, int, int], n_tasks: int) -> nn.Module:
    """One shared weight w, at 0, and heads 2, −1, 2, −1, …: task t answers head[t] · w · pixel."""
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(1, 1, bias=False), nn.Linear(1, n_tasks, bias=False)
    )
    with torch.no_grad():
        shared, heads = net.parameters()
        shared.zero_()
        heads.copy_(torch.tensor([2.0, -1.0]).repeat(n_tasks)[:n_tasks, None])
    return net


class Fickle(nn.Module):
    """Draws the more random numbers, the more of its shared weights are positive."""

    def __init__(self, pixels: int, n_tasks: int) -> None:
        super().__init__()
        self.shared, self.heads = nn.Linear(pixels, 8), nn.Linear(8, n_tasks)

    def forward(self, images: Tensor) -> Tensor:
        draws = torch.rand(1 + int((self.shared.weight > 0).sum()))
        logits: Tensor = self.heads(self.shared(images.flatten(1)) + draws[-1])
        return logits


@register("fickle")
def fickle(image_shape: tuple[int, int, int], n_tasks: int) -> nn.Module:
    return Fickle(math.prod(image_shape), n_tasks)


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


@pytest.fixture
def full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without bf16, so that rounding does not hide a difference."""
    monkeypatch.setattr(training_module, "choose_device", lambda _: (torch.device("cpu"), "fp32"))


def spec_of(**settings: Any) -> TrainingSpec:
    return TrainingSpec(DIGITS, **{"tasks": TASKS, "epochs": 3, "batch_size": 64, **settings})


# --------------------------------------------------------------------------------- one step


def recorded(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    batches: Sequence[tuple[Tensor, Tensor]],
    methods: Sequence[str] = METHODS,
    update: str = "gradient",
) -> dict[str, np.ndarray]:
    """Affinities over batches (images, targets), all recorded, without an update in between."""
    n_tasks = batches[0][1].shape[1]
    training = Training(
        spec=spec_of(tasks=DIGITS.task_names[:n_tasks], epochs=1),
        device=torch.device("cpu"),
        precision="fp32",
        model=model,
        optimizer=optimizer,
        points=batches[0][0],
        labels=batches[0][1],
        heads=Heads(DIGITS.tasks[:n_tasks], np.zeros((1, n_tasks), np.float32)),
        recorder=None,
        steps_per_epoch=len(batches),
        metrics={},
        epoch=1,
    )
    recorder = AffinityRecorder(methods, every=1, update=update)
    for images, targets in batches:
        training.step += 1
        recorder.on_batch_start(training)
        losses = training.heads.losses(model(images), targets)
        recorder.on_losses(training, images, targets, losses)
    return recorder.affinity


def by_hand(
    targets: Sequence[Sequence[float]] = ((1.0, 1.0),), update: str = "gradient", **settings: Any
) -> dict[str, np.ndarray]:
    """Of `one_weight` with learning rate 1; for each of `targets` a batch of one pixel of value 1.

    At w = 0 both probabilities are 1/2 and both losses log 2. With the labels 1, the gradients by w
    are −2/2 and 1/2.
    """
    model = build("one_weight", (1, 1, 1), 2)
    optimizer = settings.get("optimizer", torch.optim.SGD)(model.parameters(), lr=1.0)
    pixel = torch.ones(1, 1, 1, 1)
    return recorded(
        model, optimizer, [(pixel, torch.tensor([labels])) for labels in targets], update=update
    )


def loss_at(logit: float) -> float:
    """Of the label 1."""
    return math.log(1 + math.exp(-logit))


@pytest.mark.parametrize("update", ["gradient", "optimiser"])
def test_tag_and_etap_of_two_tasks_worked_out_by_hand(update: str) -> None:
    found = by_hand(update=update)
    # w becomes 1 by the first task's gradient and −1/2 by the second's; the logits are 2w and −w
    after = [[loss_at(2), loss_at(-1)], [loss_at(-1), loss_at(0.5)]]
    assert found["tag"] == pytest.approx(1 - np.array(after) / math.log(2), abs=1e-6)
    # products of the gradients −1 and 1/2
    assert found["etap"] == pytest.approx(
        np.array([[1, -0.5], [-0.5, 0.25]]) / math.log(2), abs=1e-6
    )
    assert found["cosine"] == pytest.approx(np.array([[1, -1], [-1, 1]]), abs=1e-6)


def test_adams_first_update_worked_out_by_hand() -> None:
    found = by_hand(update="optimiser", optimizer=torch.optim.Adam)
    # Adam's first step is the learning rate against the sign of the gradient: to w = 1 and w = −1
    after = [[loss_at(2), loss_at(-1)], [loss_at(-2), loss_at(1)]]
    assert found["tag"] == pytest.approx(1 - np.array(after) / math.log(2), abs=1e-6)
    assert found["etap"] == pytest.approx(np.array([[1, -0.5], [-1, 0.5]]) / math.log(2), abs=1e-6)


def test_a_source_that_helps_is_positive_in_its_row() -> None:
    """affinity[source, target]: the row trains, and the column feels it."""
    found = by_hand(update="optimiser", optimizer=torch.optim.Adam)
    for method in ("tag", "etap"):
        assert found[method][0, 0] > 0 > found[method][0, 1]
        assert found[method][0, 1] != pytest.approx(found[method][1, 0], abs=0.1)


def test_affinities_are_means_over_the_recorded_steps() -> None:
    apart = [by_hand([labels]) for labels in ((1.0, 1.0), (1.0, 0.0))]
    together = by_hand([(1.0, 1.0), (1.0, 0.0)])
    for method in METHODS:
        mean = (apart[0][method] + apart[1][method]) / 2
        assert together[method] == pytest.approx(mean, abs=1e-6)


def test_missing_labels_count_nowhere() -> None:
    nan = math.nan
    complete = by_hand([(1.0, 1.0)])
    alone = by_hand([(1.0, nan)])
    mixed = by_hand([(1.0, nan), (1.0, 1.0), (nan, nan)])
    for method in METHODS:
        assert alone[method][0, 0] == pytest.approx(complete[method][0, 0], abs=1e-6)
        assert np.isnan(alone[method]).tolist() == [[False, True], [True, True]]
        assert mixed[method] == pytest.approx(complete[method], abs=1e-6)


def real_batch(data: TaskData, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    images = torch.tensor(data.train_points[:64]).permute(0, 3, 1, 2).to(dtype) / 8 - 1
    return images, torch.tensor(data.train_labels[:64, :4]).to(dtype)


def test_the_first_order_score_approaches_tag_as_the_step_shrinks(data: TaskData) -> None:
    def gap(learning_rate: float) -> float:
        torch.manual_seed(0)
        model = build("tiny_cnn", (1, 8, 8), 4).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
        found = recorded(model, optimizer, [real_batch(data, torch.float64)], ("tag", "etap"))
        return float(np.abs(found["tag"] - found["etap"]).max() / np.abs(found["tag"]).max())

    gaps = [gap(learning_rate) for learning_rate in (1e-2, 1e-3, 1e-4)]
    assert gaps[2] < 1e-3
    assert gaps[0] > 3 * gaps[1] > 9 * gaps[2]


def test_the_cosine_looks_at_weights_and_not_at_biases(data: TaskData) -> None:
    torch.manual_seed(0)
    model = build("tiny_cnn", (1, 8, 8), 4).eval()
    images, targets = real_batch(data)
    losses = task_losses(model(images), targets, torch.ones(4))
    weights = [p for p in list(model.parameters())[:-2] if p.ndim > 1]
    rows = [
        torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights, retain_graph=True)])
        for loss in losses
    ]
    expected = torch.nn.functional.cosine_similarity(
        torch.stack(rows)[:, None], torch.stack(rows), dim=2
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    found = recorded(model, optimizer, [(images, targets)], ("cosine",))["cosine"]
    assert found == pytest.approx(expected.numpy(), abs=1e-5)


# ------------------------------------------------------------------------------------ the heads


def test_the_heads_are_the_last_layer_with_one_output_per_task() -> None:
    for name, shape in (("small_cnn", (3, 32, 32)), ("resnet18", (3, 32, 32))):
        model = build(name, shape, 7)
        sizes = [p.shape[0] for p in head_parameters(model, 7)]
        assert sizes == [7] * len(sizes) and sizes


def test_a_backbone_of_your_own_tells_which_are_its_heads() -> None:
    model = nn.Sequential(nn.Linear(2, 4), nn.Linear(4, 3))
    with pytest.raises(UserError, match="attribute `heads`"):
        head_parameters(model, 5)
    model.heads = model[0]
    assert [id(p) for p in head_parameters(model, 5)] == [id(p) for p in model[0].parameters()]


# ---------------------------------------------------------------------------- during a training


class Naive(Callback):
    """TAG as one would write it down: a copy of model and optimiser for every source and step."""

    def __init__(self, update: str) -> None:
        self.update, self.steps = update, list[np.ndarray]()

    def on_batch_start(self, training: Training) -> None:
        self.model = copy.deepcopy(training.model)
        self.drawn = torch.get_rng_state()

    def on_losses(
        self, training: Training, images: Tensor, targets: Tensor, losses: Tensor
    ) -> bool:
        self.steps.append(
            np.array([self.row(training, images, targets, i) for i in range(len(losses))])
        )
        return False

    def row(self, training: Training, images: Tensor, targets: Tensor, source: int) -> np.ndarray:
        model = copy.deepcopy(self.model)
        before = self.losses(training, model, images, targets)
        before[source].backward()
        *shared, weight, bias = model.parameters()
        weight.grad = bias.grad = None
        if self.update == "optimiser":
            optimizer = torch.optim.Adam(model.parameters(), lr=training.spec.learning_rate)
            optimizer.load_state_dict(copy.deepcopy(training.optimizer.state_dict()))
            optimizer.step()
        else:
            with torch.no_grad():
                for parameter in shared:
                    assert parameter.grad is not None
                    parameter.sub_(training.spec.learning_rate * parameter.grad)
        after = self.losses(training, model, images, targets)
        return (1 - after / before).detach().numpy()

    def losses(
        self, training: Training, model: nn.Module, images: Tensor, targets: Tensor
    ) -> Tensor:
        now = torch.get_rng_state()
        torch.set_rng_state(self.drawn)
        with autocast(training.device, training.precision):
            logits = model(images)
        torch.set_rng_state(now)
        return training.heads.losses(logits.float(), targets)


@pytest.mark.parametrize("update", ["optimiser", "gradient"])
def test_tag_is_what_copies_of_the_whole_model_give(
    update: str, data: TaskData, full_precision: None
) -> None:
    naive, recorder = Naive(update), AffinityRecorder(("tag", "etap"), every=1, update=update)
    spec = spec_of(epochs=2, augmentation="shift", learning_rate=0.003)
    train(spec, data, callbacks=[naive, recorder])
    expected = np.array(naive.steps)
    assert np.abs(expected).max() > 1e-3 and recorder.recorded_steps == len(expected) == 12
    assert recorder.affinity["tag"] == pytest.approx(expected.mean(0), abs=1e-5)
    by_epoch = expected.reshape(2, 6, 4, 4).mean(1)
    assert recorder.history["tag"] == pytest.approx(by_epoch, abs=1e-5)


@pytest.mark.parametrize(
    ("model", "update"),
    [("tiny_cnn", "optimiser"), ("tiny_cnn", "gradient"), ("fickle", "optimiser")],
)
def test_recording_leaves_the_statistics_and_the_random_numbers_of_the_training_alone(
    model: str, update: str, data: TaskData
) -> None:
    # steps too short to change a weight: all that is left is what is drawn, and batch norm
    spec = spec_of(model=model, augmentation="shift+flip", learning_rate=1e-30)
    recorder = AffinityRecorder(METHODS, every=2, update=update)
    alone, recorded = train(spec, data), train(spec, data, callbacks=[recorder])
    assert alone.metrics["loss"] == recorded.metrics["loss"]
    assert np.array_equal(alone.test_logits, recorded.test_logits)
    assert alone.model is not None and recorded.model is not None
    for mine, other in zip(alone.model.buffers(), recorded.model.buffers(), strict=True):
        assert torch.equal(mine, other)
    assert recorder.recorded_steps == 9 and np.isfinite(recorder.affinity["cosine"]).all()


class Joint(Callback):
    """Differentiates the weighted loss as a training without a recorder does."""

    def __init__(self) -> None:
        self.off: list[float] = []

    def on_losses(
        self, training: Training, images: Tensor, targets: Tensor, losses: Tensor
    ) -> bool:
        loss = losses @ torch.tensor(training.spec.task_weights)
        parameters = list(training.model.parameters())
        self.expected = torch.autograd.grad(loss, parameters, retain_graph=True)
        return False

    def on_batch_end(self, training: Training) -> None:
        pairs = zip(training.model.parameters(), self.expected, strict=True)
        self.off += [
            float((p.grad - g).abs().max() / g.abs().max()) for p, g in pairs if p.grad is not None
        ]


@pytest.mark.parametrize("methods", [("tag",), ("cosine", "etap")])
def test_the_training_goes_on_with_its_usual_gradient(
    methods: tuple[str, ...], data: TaskData, full_precision: None
) -> None:
    joint, spec = Joint(), spec_of(augmentation="shift", task_weights=(1, 2, 0.5, 0))
    train(spec, data, callbacks=[joint, AffinityRecorder(methods, every=2)])
    n_parameters = len(list(build(spec.model, (1, 8, 8), 4).parameters()))
    assert len(joint.off) == 18 * n_parameters and max(joint.off) < 1e-4


def test_only_every_so_many_steps_are_recorded_and_an_epoch_without_any_is_empty(
    data: TaskData,
) -> None:
    recorder = AffinityRecorder(("cosine",), every=10)
    train(spec_of(), data, callbacks=[recorder])  # three epochs of 6 steps
    assert (recorder.steps, recorder.recorded_steps) == (18, 1)
    empty = np.isnan(recorder.history["cosine"]).all((1, 2))
    assert empty.tolist() == [True, False, True]
    assert recorder.affinity["cosine"] == pytest.approx(recorder.history["cosine"][1])


def test_a_training_of_too_few_steps_records_nothing_and_says_so(data: TaskData) -> None:
    with pytest.raises(UserError, match="has 18 steps"):
        train(spec_of(), data, callbacks=[AffinityRecorder(every=19)])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"methods": ("pcgrad",)}, "no affinity 'pcgrad'"),
        ({"methods": ()}, "at least one affinity"),
        ({"methods": ("tag", "transfer")}, "ask for it alone"),
        ({"every": 0}, "At least 1"),
        ({"update": "momentum"}, "no update 'momentum'"),
    ],
)
def test_settings_that_there_are_not_are_refused(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        AffinityRecorder(**settings)


# ------------------------------------------------------------------------------------ kept results


class StopAfter(Callback):
    """Cancels in the epoch after one; tells which epochs were trained."""

    def __init__(self, epoch: int = 1_000) -> None:
        self.epoch, self.seen, self.stopped = epoch, list[int](), False

    def on_batch_end(self, training: Training) -> None:
        self.stopped = training.epoch > self.epoch

    def on_epoch_end(self, training: Training) -> None:
        self.seen.append(training.epoch)

    def cancelled(self) -> bool:
        return self.stopped


def test_an_affinity_is_measured_once(tmp_path: Path) -> None:
    store, watching = Store(tmp_path), StopAfter()
    first = affinity_of(store, spec_of(), METHODS, every=4, callbacks=[watching])
    again = affinity_of(store, spec_of(recorded_epochs=(2,)), METHODS, 4, callbacks=[watching])
    assert watching.seen == [1, 2, 3]
    assert (first.seconds, first.cost, first.tasks) == (again.seconds, again.cost, again.tasks)
    for method in METHODS:
        assert np.array_equal(first.affinity[method], again.affinity[method], equal_nan=True)
        assert np.array_equal(first.history[method], again.history[method], equal_nan=True)
    assert list((tmp_path / "runs").iterdir()) == []


def test_an_interrupted_recording_goes_on_after_its_last_whole_epoch(tmp_path: Path) -> None:
    whole = affinity_of(Store(tmp_path / "whole"), spec_of(), every=4)
    store, later = Store(tmp_path / "interrupted"), StopAfter()
    with pytest.raises(Cancelled):
        affinity_of(store, spec_of(), every=4, callbacks=[StopAfter(2)])
    assert affinity_of(store, spec_of(), every=4, callbacks=[later]).recorded_steps > 0
    resumed = affinity_of(store, spec_of(), every=4)
    assert later.seen == [3]
    assert resumed.recorded_steps == whole.recorded_steps
    assert np.array_equal(resumed.history["tag"], whole.history["tag"])


def test_the_cost_is_counted_from_the_recorded_steps(tmp_path: Path) -> None:
    found = affinity_of(Store(tmp_path), spec_of(), ("tag", "cosine"), every=3)
    share = found.recorded_steps / found.steps
    assert share == pytest.approx(1 / 3, abs=0.01)
    # a recorded step has 5 forward and 4 backward passes: as many as 13 / 3 ordinary steps
    assert found.counted_cost == pytest.approx(1 - share + share * 13 / 3)
    assert found.cost > 1 and found.seconds > 0
    # and of the first-order methods only the backward passes
    assert counted_cost(("etap", "cosine"), 10, 1.0) == pytest.approx(21 / 3)


def test_single_tasks_have_no_affinity(tmp_path: Path) -> None:
    for spec in (spec_of(tasks=("0",)), spec_of(single_task_models=True)):
        with pytest.raises(UserError, match="at least 2 tasks together"):
            affinity_of(Store(tmp_path), spec)


def test_alike_data_maps_are_alike_tasks(digits_result: TrainingResult) -> None:
    assert digits_result.summary is not None
    space = TaskSpace(digits_result.summary)
    similarity = datamap_similarity(space)
    apart = ~np.eye(15, dtype=bool)
    assert np.diag(similarity) == pytest.approx(np.ones(15))
    assert similarity[apart].mean() == pytest.approx(0, abs=1e-9)
    order = np.argsort(space.distances[apart])
    assert (np.diff(similarity[apart][order]) <= 0).all()
    assert np.array_equal(similarity, similarity.T)


# --------------------------------------------------------------------------------- command line


def last_json(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.mark.parametrize(
    "method", ["tag", "cosine", "etap", pytest.param("gradtag", marks=pytest.mark.slow), "datamaps"]
)
def test_the_command_prints_tasks_affinity_seconds_and_cost(
    method: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["affinity", "--group", "digits", "--epochs", "2", "--every", "4", "--method", method]
    assert main([*words, "--json"]) == 0
    answer = last_json(capsys)
    assert answer["tasks"] == list(DIGITS.task_names)
    affinity = np.array(answer["affinity"], float)
    assert affinity.shape == (15, 15) and np.isfinite(affinity).all()
    assert answer["method"] == method and answer["seconds"] > 0 and answer["cost"] >= 1
    if method in ("tag", "etap"):
        assert (affinity.diagonal() > 0).all()
    if method != "datamaps":
        assert np.array(answer["history"], float).shape == (2, 15, 15)
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("0 ") and "ordinary trainings" in lines[-1]


def test_the_command_says_what_cannot_be(capsys: pytest.CaptureFixture[str]) -> None:
    words = "affinity --group digits --epochs 2"
    assert main([*words.split(), "--every", "100"]) == 2
    assert "none" in capsys.readouterr().err
    assert main([*words.split(), "--single-task-models"]) == 2
    assert "together in one model" in capsys.readouterr().err
