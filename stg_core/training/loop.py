"""`train(spec)`: the only training loop, for every kind of run.

The whole data set lives on the device, a batch is a list of indices, and callbacks see every batch
and every epoch. Randomness has no state: what happens in epoch e depends on (seed, e) only, so a
run resumed from its checkpoint is bit-identical to one that was never interrupted.
"""

from __future__ import annotations

import dataclasses
import io
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from stg_core.maps.recorder import DataMapRecorder
from stg_core.maps.summary import DataMapSummary, summarise_tasks
from stg_core.system.errors import Cancelled, UserError
from stg_core.system.files import SlabWriter, atomic
from stg_core.system.memory import freed_memory_kept
from stg_core.system.threads import wanted_threads
from stg_core.tasks.data import TaskData, checked, load_task_data
from stg_core.training.branches import Branches, parameters_of
from stg_core.training.callbacks import Callback, Training
from stg_core.training.heads import Heads
from stg_core.training.inputs import Normalisation, augment, autocast, choose_device, device_name
from stg_core.training.limits import check_limits
from stg_core.training.models import build
from stg_core.training.peak import check_fits, out_of_memory_told, peak_bytes
from stg_core.training.scores import empty_metrics, merged_metrics
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import clock_of
from stg_core.training.usage import MOST_CHANGED, Usage
from stg_core.training.work_folder import WorkFolder, arrays_after, logits_kept, maps_kept

CHECKPOINT = "checkpoint.pt"
EVALUATION_BATCH = 1_000
RECORDED_AT_ONCE = 2**14  # points: more would need much memory for a moment
MEASURED_TRAINING_POINTS = 10_000
CHECK_EVERY = 25  # steps between looks at the loss: each look makes a GPU wait


@dataclass(frozen=True)
class TrainingResult:
    """What a finished training leaves.

    metrics            per epoch: see `Training.metrics`
    test_logits        outputs (see `Heads`) of each of `spec.logit_epochs`, (E', N_test, O) float16
    train_logits       the same of the measured training points, (E', N_measured, O) float16
    test_labels        1, 0 or, where it is missing, -1, (N_test, T) int8; with tasks of other kinds
                       float32, NaN where one is missing, those of a regression scaled
    train_labels       the same of the measured training points, (N_measured, T)
    datamaps           (E, 2, T, N) float16, memory-mapped; None without recorded epochs
    summary            the DataMapSummary of `datamaps`; None without recorded epochs
    provenance         device, precision, threads, seconds, digest of the data as "images", and
                       as "usage" how the model is used (see `Usage`)
    model              the trained network; of merged single-task models a ModuleList of them
    """

    spec: TrainingSpec
    metrics: dict[str, Any]
    test_logits: NDArray[np.float16]
    train_logits: NDArray[np.float16]
    test_labels: NDArray[np.int8] | NDArray[np.float32]
    train_labels: NDArray[np.int8] | NDArray[np.float32]
    datamaps: NDArray[np.float16] | None
    summary: DataMapSummary | None
    provenance: dict[str, Any]
    model: nn.Module | None = None

    @property
    def weights(self) -> dict[str, NDArray[Any]]:
        """All that the model has learned, by name, in the precision in which it is kept."""
        half = self.provenance["usage"]["precision"] == "float16"
        state = self.model.state_dict() if self.model is not None else {}
        return {
            name: _kept(value, half).cpu().contiguous().numpy() for name, value in state.items()
        }


def train(
    spec: TrainingSpec,
    data: TaskData | None = None,
    *,
    folder: Path | None = None,
    callbacks: Sequence[Callback] = (),
    device: str | None = None,
    start: Path | None = None,
) -> TrainingResult:
    """Trains what the spec says and returns its result.

    `data` defaults to the points and labels of the spec's group. `folder` keeps the checkpoint and
    the large arrays; called again with the same folder, the training goes on after its last whole
    epoch. `device` ("cpu", "cuda", "mps") and precision are chosen automatically. Raises Cancelled
    when a callback says so, and UserError when the labels are not those of the tasks (see
    `tasks.data.checked`), the loss is not finite or the result could not be kept (see `limits`).
    The number of threads is torch's own, or `STG_THREADS`. `start` is a file of the weights that a
    spec with `starts_from` begins with; without one, that training is done first.
    """
    check_limits(spec)
    data = checked(data or load_task_data(spec.group), spec.group, spec.tasks)
    if spec.single_task_models:
        return _train_single_task_models(spec, data, folder, callbacks, device)
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="stg-") as temporary:
            result = train(
                *(spec, data),
                folder=Path(temporary),
                callbacks=callbacks,
                device=device,
                start=start,
            )
            maps = None if result.datamaps is None else np.array(result.datamaps)
            return dataclasses.replace(result, datamaps=maps)
    folder.mkdir(parents=True, exist_ok=True)
    if spec.starts_from is not None and start is None:
        before = train(spec.starts_from, data, folder=folder / "start", device=device)
        start = folder / "start" / "model.safetensors"
        safetensors.numpy.save_file(before.weights, start)
    data = data.sample(spec.training_images)
    with torch.random.fork_rng(), freed_memory_kept(), said_threads(), out_of_memory_told():
        return _Run(spec, data, folder, callbacks, device, start).run()


@contextmanager
def said_threads() -> Iterator[None]:
    """Within it torch uses as many threads as `STG_THREADS` says, if it says a number."""
    before = torch.get_num_threads()
    torch.set_num_threads(wanted_threads() or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Run:
    """The parts of one call of `train`, kept together while it lasts."""

    def __init__(
        self,
        spec: TrainingSpec,
        data: TaskData,
        folder: Path,
        callbacks: Sequence[Callback],
        device: str | None,
        start: Path | None,
    ) -> None:
        self.spec, self.data, self.folder, self.callbacks = spec, data, folder, callbacks
        chosen, precision = choose_device(device)
        torch.manual_seed(_derived_seed(spec.seed, 0))
        tasks = [spec.group.task(name) for name in spec.tasks]
        self.heads = Heads(tasks, data.train_labels, chosen)
        model = build(
            spec.model,
            point_shape(data.train_points),
            self.heads.n_outputs,
            spec.branches,
            widths=self.heads.widths,
            hidden_widths=spec.hidden_widths,
            dropout=spec.dropout,
            width=spec.width,
        )
        if start is not None:
            model.load_state_dict(weights_in(start))
        n_points, n_tasks = data.train_labels.shape
        steps = len(_batch_bounds(n_points, spec.batch_size))
        check_fits(chosen, lambda: peak_bytes(model, data, self.heads.n_outputs, spec.batch_size))
        model = model.to(chosen).to(memory_format=torch.channels_last)
        self.training = Training(
            spec=spec,
            device=chosen,
            precision=precision,
            model=model,
            optimizer=torch.optim.Adam(
                parameters_of(model, spec.epochs * steps), lr=spec.learning_rate, fused=True
            ),
            points=torch.tensor(data.train_points, device=chosen),
            labels=torch.tensor(self.heads.scaled(data.train_labels), device=chosen),
            heads=self.heads,
            recorder=DataMapRecorder(n_points, n_tasks, chosen) if spec.recorded else None,
            steps_per_epoch=steps,
            metrics=empty_metrics(),
        )
        # of every point in the forward pass of this epoch: data maps take them all at once
        self.outputs = torch.empty(n_points if spec.recorded else 0, self.heads.n_outputs)
        self.outputs = self.outputs.to(chosen)
        self.clock = clock_of(chosen)
        self.test_points = torch.tensor(data.test_points, device=chosen)
        self.test_labels = torch.tensor(self.heads.scaled(data.test_labels), device=chosen)
        self.normalise = Normalisation(self.training.points)
        self.answered: Tensor | None = None  # the outputs for the test points, after the last epoch
        self.task_weights = torch.tensor(spec.task_weights, device=chosen)
        self.measured = torch.tensor(_measured_points(n_points), device=chosen)
        self.work = WorkFolder(folder)

    def run(self) -> TrainingResult:
        training = self.training
        self.work.drop_unfinished()
        self.resume()
        if training.recorder and not self.work.has_all(["labels"]):
            self.work.write("labels", self.data.train_labels)
        started = time.perf_counter() - training.seconds
        while training.epoch < self.spec.epochs:
            training.epoch += 1
            self.run_epoch()
            self.keep(self.evaluate())
            self.keep_map()
            training.seconds = time.perf_counter() - started
            self.checkpoint()
            self.show()
            for callback in self.callbacks:
                callback.on_epoch_end(training)
        return self.result()

    # ------------------------------------------------------------------------------ one epoch

    def run_epoch(self) -> None:
        training, spec = self.training, self.spec
        training.model.train()
        if isinstance(training.model, Branches):
            training.model.cool(training.epoch, spec.epochs)
        torch.manual_seed(_derived_seed(spec.seed, training.epoch))
        order = torch.randperm(len(training.points)).to(training.device)
        losses = torch.zeros(training.steps_per_epoch, device=training.device)
        started, began = time.perf_counter(), self.clock()
        for step, (start, stop) in enumerate(_batch_bounds(len(order), spec.batch_size)):
            training.step = step + 1
            losses[step] = self.run_batch(order[start:stop])
            if training.step % CHECK_EVERY == 0 or training.step == training.steps_per_epoch:
                self.check_finite(losses[: training.step])
            for callback in self.callbacks:
                callback.on_batch_end(training)
            if any(callback.cancelled() for callback in self.callbacks):
                raise Cancelled
        self.record()
        seconds = time.perf_counter() - started
        training.metrics["loss"].append(losses.mean().item())
        training.metrics["seconds"].append(seconds)
        training.metrics["own_seconds"].append(self.clock() - began)
        training.metrics["images_per_second"].append(len(order) / seconds)

    def run_batch(self, indices: Tensor) -> Tensor:
        training = self.training
        points = self.normalise(training.points.index_select(0, indices))
        if self.spec.augmentation != "none":
            points = augment(points, flip="flip" in self.spec.augmentation)
        targets = training.labels.index_select(0, indices)
        for callback in self.callbacks:
            callback.on_batch_start(training)
        with autocast(training.device, training.precision):
            logits = training.model(points)
        logits = logits.float()
        losses = self.heads.losses(logits, targets, self.heads.complete)
        loss = losses @ self.task_weights
        training.optimizer.zero_grad()
        differentiated = [c.on_losses(training, points, targets, losses) for c in self.callbacks]
        if not any(differentiated):
            loss.backward()  # type: ignore[no-untyped-call]
        training.optimizer.step()
        if training.recorder:
            self.outputs.index_copy_(0, indices, logits.detach())
        return loss.detach()

    def record(self) -> None:
        """Adds the epoch's confidences to the data maps."""
        recorder = self.training.recorder
        if recorder is None:
            return
        for start in range(0, len(self.outputs), RECORDED_AT_ONCE):
            rows = slice(start, start + RECORDED_AT_ONCE)
            found = self.heads.confidence(self.outputs[rows], self.training.labels[rows])
            recorder.update(rows, found)

    def check_finite(self, losses: Tensor) -> None:
        wrong = (~losses.isfinite()).nonzero()
        if len(wrong):
            raise UserError(
                f"The loss is not finite at epoch {self.training.epoch}, step {int(wrong[0]) + 1}."
                f" Try a lower learning rate than {self.spec.learning_rate:g},"
                " a larger batch, or another seed; the last whole epoch is kept."
            )

    def evaluate(self) -> dict[str, Tensor]:
        """Adds the epoch's scores to the metrics; returns the outputs of each split, (N, O)."""
        training = self.training
        logits = {}
        started, began = time.perf_counter(), self.clock()
        sample = training.points[self.measured], training.labels[self.measured]
        for split, (points, labels) in {
            "train": sample,
            "test": (self.test_points, self.test_labels),
        }.items():
            logits[split] = self.predict(points)
            self.answered = logits[split]
            scores = self.heads.scores(logits[split], labels)
            scores["loss"] = self.heads.losses(logits[split], labels)
            for name, values in scores.items():
                training.metrics[split].setdefault(name, []).append(values.tolist())
        if isinstance(training.model, Branches):
            training.metrics.setdefault("branches", []).append(training.model.chosen.tolist())
        training.metrics["evaluation_seconds"].append(time.perf_counter() - started)
        training.metrics["own_evaluation_seconds"].append(self.clock() - began)
        return logits

    @torch.inference_mode()
    def predict(self, points: Tensor) -> Tensor:
        training = self.training
        training.model.eval()
        parts = []
        for batch in torch.split(points, EVALUATION_BATCH):
            with autocast(training.device, training.precision):
                parts.append(training.model(self.normalise(batch)).float())
        return torch.cat(parts)

    # ------------------------------------------------------------------- what outlives the epoch

    def keep(self, logits: dict[str, Tensor]) -> None:
        epoch = self.training.epoch
        if epoch in logits_kept(self.spec):
            for split, values in logits.items():
                self.work.write(f"{split}-{epoch}", values.half().cpu().numpy())

    def keep_map(self) -> None:
        recorder, epoch = self.training.recorder, self.training.epoch
        if recorder and epoch in maps_kept(self.spec, epoch):
            self.work.write_map(epoch, recorder.snapshot().cpu().numpy())

    def show(self) -> None:
        """Tells whoever reads the folder while it trains how far it is."""
        if self.training.recorder:
            test = self.training.metrics["test"]
            last = {name: scores[-1] for name, scores in test.items()}
            self.work.write_progress(self.spec, self.training.epoch, last, self.provenance())

    def checkpoint(self) -> None:
        training = self.training
        state = {
            "epoch": training.epoch,
            "seconds": training.seconds,
            "metrics": training.metrics,
            "model": training.model.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "recorder": training.recorder.state if training.recorder else None,
            "callbacks": {type(c).__name__: s for c in self.callbacks if (s := c.state())},
        }
        buffer = io.BytesIO()  # torch reports a full disk in its own way, a plain write as OSError
        torch.save(state, buffer)
        with atomic(self.folder / CHECKPOINT) as file:
            file.write(buffer.getbuffer())

    def resume(self) -> None:
        path, training = self.folder / CHECKPOINT, self.training
        if not path.exists():
            return
        try:
            state = torch.load(path, map_location=training.device, weights_only=True)
        except Exception:  # torch raises many kinds for a damaged file: start from the beginning
            path.unlink()
            return
        if state.get("logit_epochs") == self.spec.logit_epochs:  # of an earlier version
            with suppress(OSError, ValueError):
                self.work.take_apart(state["epoch"], self.spec.logit_epochs, self.spec.recorded)
        if state["epoch"] > self.spec.epochs or not self.work.has_all(
            arrays_after(self.spec, state["epoch"])
        ):
            return  # of a longer training, or from when other arrays were kept: not to be had again
        training.epoch, training.seconds = state["epoch"], state["seconds"]
        training.metrics = {**empty_metrics(), **state["metrics"]}
        training.model.load_state_dict(state["model"])
        training.optimizer.load_state_dict(state["optimizer"])
        if training.recorder:
            training.recorder.state = state["recorder"]
        for callback in self.callbacks:
            if kept := state.get("callbacks", {}).get(type(callback).__name__):
                callback.restore(kept)

    def result(self) -> TrainingResult:
        training, spec = self.training, self.spec
        maps = self.recorded_maps()
        labels = self.data.train_labels
        return TrainingResult(
            spec=spec,
            metrics=training.metrics,
            test_logits=self.kept_logits("test"),
            train_logits=self.kept_logits("train"),
            test_labels=self.kept_labels(self.data.test_labels),
            train_labels=self.kept_labels(labels[self.measured.cpu().numpy()]),
            datamaps=maps,
            summary=None if maps is None else summarised(maps, labels, spec),
            provenance={**self.provenance(), "usage": self.usage().to_json()},
            model=training.model,
        )

    def recorded_maps(self) -> NDArray[np.float16] | None:
        """Those of all recorded epochs, (E, 2, T, N), memory-mapped."""
        recorded, labels = self.spec.recorded, self.data.train_labels
        if not recorded:
            return None
        shape = len(recorded), 2, *labels.T.shape
        whole = SlabWriter(self.folder / "datamaps.npy", shape, "<f2")
        for i, epoch in enumerate(recorded):
            whole.write(i, self.work.array(f"maps-{epoch}"))
        return whole.read()

    def kept_logits(self, split: str) -> NDArray[np.float16]:
        return np.stack([self.work.array(f"{split}-{epoch}") for epoch in self.spec.logit_epochs])

    def provenance(self) -> dict[str, Any]:
        return {
            "device": device_name(self.training.device),
            "precision": self.training.precision,
            "threads": torch.get_num_threads(),
            "seconds": self.training.seconds,
            "images": self.data.digest,
        }

    def usage(self) -> Usage:
        changed, answers = self.changed_by_halving()
        shape = self.data.train_points.shape[1:]
        normalised: Mapping[str, Any] = self.normalise.to_json()
        if not normalised and self.data.scaling:
            normalised = self.data.scaling
            shape = (len(normalised["mean"]),)
        return Usage(
            model=self.spec.model,
            shape=shape,
            mean=tuple(normalised.get("mean", ())),
            deviation=tuple(normalised.get("deviation", ())),
            gaps=tuple(normalised.get("gaps", ())),
            units={self.spec.tasks[t]: unit for t, unit in self.heads.units().items()},
            precision="float16" if changed <= MOST_CHANGED * answers else "float32",
            changed=changed,
            answers=answers,
        )

    def changed_by_halving(self) -> tuple[int, int]:
        """How many answers on the test points weights of half precision change, and of how many."""
        model = self.training.model
        exact = self.predict(self.test_points) if self.answered is None else self.answered
        whole = {name: value.clone() for name, value in model.state_dict().items()}
        model.load_state_dict({name: _kept(value, True) for name, value in whole.items()})
        changed = self.heads.changed(exact, self.predict(self.test_points))
        model.load_state_dict(whole)
        return changed, len(exact) * len(self.spec.tasks)

    def kept_labels(self, labels: NDArray[np.float32]) -> NDArray[np.int8] | NDArray[np.float32]:
        return compact_labels(labels) if self.heads.all_binary else self.heads.scaled(labels)


def _train_single_task_models(
    spec: TrainingSpec,
    data: TaskData,
    folder: Path | None,
    callbacks: Sequence[Callback],
    device: str | None,
) -> TrainingResult:
    """One training per task, and their results side by side as if from one."""
    parts = [
        train(
            spec.for_task(task),
            data,
            folder=folder / f"task-{t}" if folder else None,
            callbacks=callbacks,
            device=device,
        )
        for t, task in enumerate(spec.tasks)
    ]
    maps = summary = None
    if spec.recorded:
        maps = np.concatenate([p.datamaps for p in parts if p.datamaps is not None], axis=2)
        summary = summarised(maps, data.sample(spec.training_images).train_labels, spec)
    seconds = sum(part.provenance["seconds"] for part in parts)
    usage = _merged_usage([part.provenance["usage"] for part in parts])
    return TrainingResult(
        spec=spec,
        metrics=merged_metrics([part.metrics for part in parts]),
        test_logits=np.concatenate([part.test_logits for part in parts], axis=2),
        train_logits=np.concatenate([part.train_logits for part in parts], axis=2),
        test_labels=_side_by_side([part.test_labels for part in parts]),
        train_labels=_side_by_side([part.train_labels for part in parts]),
        datamaps=maps,
        summary=summary,
        provenance={**parts[0].provenance, "seconds": seconds, "usage": usage},
        model=nn.ModuleList(part.model for part in parts if part.model is not None),
    )


# ------------------------------------------------------------------------------------ the pieces


def weights_in(path: Path) -> dict[str, Tensor]:
    """Kept weights by name; raises UserError where they cannot be read."""
    try:
        return safetensors.torch.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise UserError(f"The weights to start from cannot be read ({error}).") from error


def _kept(value: Tensor, half: bool) -> Tensor:
    """A weight in the precision in which it is kept; whole numbers stay what they are."""
    if not value.is_floating_point():
        return value
    return value.half() if half else value.float()


def _merged_usage(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """How models of single tasks are used together; in half precision where each of them can be."""
    halves = all(part["precision"] == "float16" for part in parts)
    return {
        **parts[0],
        "units": {task: unit for part in parts for task, unit in part["units"].items()},
        "precision": "float16" if halves else "float32",
        "changed": sum(part["changed"] for part in parts),
        "answers": sum(part["answers"] for part in parts),
    }


def _side_by_side(
    labels: Sequence[NDArray[np.int8] | NDArray[np.float32]],
) -> NDArray[np.int8] | NDArray[np.float32]:
    """Kept labels (N, 1) of single tasks as those of one training (N, T)."""
    if all(column.dtype == np.int8 for column in labels):
        return np.concatenate(labels, axis=1).astype(np.int8)
    columns = [
        np.where(column < 0, np.nan, column) if column.dtype == np.int8 else column
        for column in labels
    ]
    return np.concatenate(columns, axis=1).astype(np.float32)


def _batch_bounds(n_points: int, batch_size: int) -> list[tuple[int, int]]:
    """Start and stop of every batch; a lone last point joins the batch before it.

    Batch normalisation cannot train on a single point.
    """
    starts = list(range(0, n_points, batch_size))
    if len(starts) > 1 and n_points - starts[-1] == 1:
        starts.pop()
    return list(zip(starts, [*starts[1:], n_points], strict=True))


def point_shape(points: NDArray[Any]) -> tuple[int, ...]:
    """Of a point as a model sees it: (C, H, W) of images (N, H, W, C), (F,) of rows (N, F)."""
    if points.ndim == 2:
        return points.shape[1:]
    height, width, channels = points.shape[1:]
    return channels, height, width


def summarised(
    maps: NDArray[np.float16], labels: NDArray[np.float32], spec: TrainingSpec
) -> DataMapSummary:
    """The summary of data maps (E, 2, T, N) of a spec's tasks and recorded epochs."""
    tasks = [spec.group.task(name) for name in spec.tasks]
    return summarise_tasks(maps, labels, tasks, spec.recorded)


def compact_labels(labels: NDArray[np.float32]) -> NDArray[np.int8]:
    """Labels (N, T) as 1, 0 and, where they are missing, -1."""
    return np.where(np.isnan(labels), -1, labels).astype(np.int8)


def _measured_points(n_points: int) -> NDArray[np.int64]:
    """The fixed training points that the scores on training images are computed on."""
    order = np.random.default_rng(0).permutation(n_points)
    return np.sort(order[:MEASURED_TRAINING_POINTS])


def _derived_seed(seed: int, epoch: int) -> int:
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
