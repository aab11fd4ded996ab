"""Affinities from one joint training of all tasks: trained once, then kept.

What happens inside a step is in `gradients` and `transfer`, what is told by the trained model in
`gradtag`; nothing here needs torch once the result is kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from stg_core.affinity.outputs import alike
from stg_core.affinity.settings import (
    EVERY,
    GRADTAG_DIRECTIONS,
    GRADTAG_POINTS,
    checked_methods,
)
from stg_core.engine import courier
from stg_core.engine.foreground import result_of
from stg_core.engine.worker import unwanted_here, use_own_cores
from stg_core.results.store import Store, without_nan
from stg_core.system.errors import UserError
from stg_core.training.callbacks import Progress, preparation_told_to
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import clock_of, total_seconds

if TYPE_CHECKING:
    from stg_core.grouping.memberships import TaskSpace
    from stg_core.tasks.data import TaskData
    from stg_core.training.callbacks import Callback

Floats = NDArray[np.float64]

FORMAT = 2  # of what is kept, and of the methods behind it


@dataclass(frozen=True)
class AffinityResult:
    """What one joint training told of its T tasks.

    affinity           by method, (T, T): mean over the recorded steps, NaN where none told
    history            by method, (E, T, T): the same of every epoch
    steps, recorded_steps  of the training, and those of them that were recorded (of "gradtag": 0)
    seconds            of the training, its evaluations and the recording, by `clock_of`
    cost               the same in trainings: `seconds` over those without the recording
    counted_cost       the cost by formula: see `counted_cost`
    """

    tasks: tuple[str, ...]
    every: int
    update: str
    affinity: dict[str, Floats]
    history: dict[str, Floats]
    steps: int
    recorded_steps: int
    seconds: float
    cost: float
    counted_cost: float

    def to_json(self) -> dict[str, Any]:
        """As plain JSON; NaN is null."""
        return dict(without_nan(dataclasses.asdict(self)))

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> AffinityResult:
        """The inverse of `to_json`."""
        matrices = {
            name: {method: np.array(values, float) for method, values in plain[name].items()}
            for name in ("affinity", "history")
        }
        return cls(**{**plain, "tasks": tuple(plain["tasks"]), **matrices})


def affinity_of(
    store: Store,
    spec: TrainingSpec,
    methods: Sequence[str] = ("tag",),
    every: int = EVERY,
    update: str = "optimiser",
    callbacks: Sequence[Callback] = (),
) -> AffinityResult:
    """Affinities from the joint training of a spec: kept in the store, or trained now.

    methods: any of "tag", "cosine" and "etap", from the same gradients, or "transfer" or "gradtag"
    alone; every: steps from one recorded step to the next; update: "optimiser" or "gradient" (see
    `StepRecorder`), both of no matter for "gradtag", which looks at the trained model. The
    training itself is not kept, because its times include the recording. Interrupted, it goes on
    after its last whole epoch. With `STG_SCHEDULER` a worker trains, which calls no callbacks.
    Raises UserError for settings that record nothing, and Cancelled.
    """
    methods = checked_methods(methods, every, update)
    if spec.single_task_models or len(spec.tasks) < 2:
        raise UserError("Affinities come from training at least 2 tasks together in one model.")
    key = _key(spec, methods, every, update)
    with store.training(key):
        kept = store.cache.get(key)
        if kept is None:
            kept = _recorded(store, key, spec, (methods, every, update), callbacks)
            store.cache[key] = kept
    return AffinityResult.from_json(kept)


def knows_affinity(
    store: Store,
    spec: TrainingSpec,
    methods: Sequence[str] = ("tag",),
    every: int = EVERY,
    update: str = "optimiser",
) -> bool:
    """Whether `affinity_of` would train nothing."""
    return _key(spec, checked_methods(methods, every, update), every, update) in store.cache


def counted_cost(methods: Sequence[str], n_tasks: int, share: float) -> float:
    """Ordinary trainings that a recorded one costs, with `share` of its steps recorded.

    A recorded step has one forward pass, one backward pass per task and, for TAG, one more forward
    pass per task, for the transfer gain one per task and per pair. A backward pass counts as two
    forward passes, so an ordinary step as three. For Grad-TAG the share is that of `gradtag_share`.
    """
    if "gradtag" in methods:
        return 1 + share
    passes = 2 * n_tasks
    if "tag" in methods:
        passes += n_tasks
    if "transfer" in methods:
        passes += n_tasks * (n_tasks + 1) // 2
    return 1 - share + share * (1 + passes) / 3


def gradtag_share(points: int, epochs: int) -> float:
    """Passes of Grad-TAG through a model, over the steps of its training, point by point.

    A direction counts as an ordinary step: three forward passes, where it takes one to three.
    """
    return GRADTAG_DIRECTIONS * min(points, GRADTAG_POINTS) / (points * epochs)


def datamap_similarity(space: TaskSpace) -> Floats:
    """How alike the data maps of two tasks are, (T, T), as an affinity: higher groups together.

    See `alike`. Symmetric; its order is that of the distances that grouping sees.
    Raises UserError where a task has no training label, and so no data map.
    """
    if space.left_out:
        raise UserError(
            f"No training point has a label for {', '.join(space.left_out)}: choose tasks that have"
            " labels."
        )
    return alike(space.distances)


def _key(spec: TrainingSpec, methods: tuple[str, ...], every: int, update: str) -> str:
    text = json.dumps([FORMAT, _without_data_maps(spec).key, methods, every, update])
    return f"affinity-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _without_data_maps(spec: TrainingSpec) -> TrainingSpec:
    """They would change nothing."""
    return dataclasses.replace(spec, recorded_epochs=())


Settings = tuple[tuple[str, ...], int, str]  # methods, every, update


def _recorded(
    store: Store,
    key: str,
    spec: TrainingSpec,
    settings: Settings,
    callbacks: Sequence[Callback],
) -> dict[str, Any]:
    """The result as plain JSON: trained here, or by a worker of `STG_SCHEDULER`."""
    if os.environ.get("STG_SCHEDULER"):
        plain = result_of(store, key, affinity_job, spec.to_json(), settings, key)
        return dict(plain)
    return _measure(spec, settings, store.work_folder(key), callbacks).to_json()


def affinity_job(plain: Mapping[str, Any], settings: Settings, key: str) -> dict[str, Any]:
    """Runs in a worker: records, with a checkpoint in the worker's own store."""
    methods, every, update = settings
    use_own_cores()
    watch = Progress(lambda _: None, unwanted_here())
    folder = courier.own_store().work_folder(key)
    settings = tuple(methods), every, update
    return _measure(TrainingSpec.from_json(plain), settings, folder, [watch]).to_json()


def _measure(
    spec: TrainingSpec, settings: Settings, folder: Path, callbacks: Sequence[Callback]
) -> AffinityResult:
    from stg_core.tasks.data import load_task_data

    measure = _from_trained_model if settings[0] == ("gradtag",) else _from_steps
    data = load_task_data(spec.group, preparation_told_to(callbacks))
    found = measure(_without_data_maps(spec), data, settings, folder, callbacks)
    shutil.rmtree(folder, ignore_errors=True)
    return found


def _from_steps(
    spec: TrainingSpec,
    data: TaskData,
    settings: Settings,
    folder: Path,
    callbacks: Sequence[Callback],
) -> AffinityResult:
    from stg_core.affinity.gradients import AffinityRecorder
    from stg_core.affinity.transfer import TransferRecorder
    from stg_core.training.loop import train

    methods, every, update = settings
    recorder = (
        TransferRecorder(every, update)
        if methods == ("transfer",)
        else AffinityRecorder(methods, every, update)
    )
    metrics = train(spec, data, folder=folder, callbacks=[recorder, *callbacks]).metrics
    seconds = total_seconds(metrics)
    share = recorder.recorded_steps / recorder.steps
    return AffinityResult(
        tasks=spec.tasks,
        every=every,
        update=update,
        affinity=recorder.affinity,
        history=recorder.history,
        steps=recorder.steps,
        recorded_steps=recorder.recorded_steps,
        seconds=seconds,
        cost=seconds / (seconds - recorder.seconds),
        counted_cost=counted_cost(methods, len(spec.tasks), share),
    )


def _from_trained_model(
    spec: TrainingSpec,
    data: TaskData,
    settings: Settings,
    folder: Path,
    callbacks: Sequence[Callback],
) -> AffinityResult:
    from stg_core.affinity.gradtag import device_of, fine_tuning_of
    from stg_core.training.loop import said_threads, train

    result = train(spec, data, folder=folder, callbacks=callbacks)
    assert result.model is not None
    clock, training = clock_of(device_of(result.model)), total_seconds(result.metrics)
    started = clock()
    with said_threads():
        affinity = fine_tuning_of(result.model, spec, data).affinity(spec.seed)
    seconds = clock() - started
    history = np.full((spec.epochs, *affinity.shape), np.nan)
    history[-1] = affinity
    points = spec.training_images or len(data.train_labels)
    _, every, update = settings
    return AffinityResult(
        tasks=spec.tasks,
        every=every,
        update=update,
        affinity={"gradtag": affinity},
        history={"gradtag": history},
        steps=spec.epochs * -(-points // spec.batch_size),
        recorded_steps=0,
        seconds=training + seconds,
        cost=1 + seconds / training,
        counted_cost=counted_cost(["gradtag"], len(spec.tasks), gradtag_share(points, spec.epochs)),
    )
