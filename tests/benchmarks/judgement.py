"""What it takes to judge: an ensemble of many specialists, and a whole plan of the digits."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from unittest import mock

import numpy as np
from threadpoolctl import threadpool_limits

from stg_core.engine.derived import kept_report
from stg_core.engine.jobs import Engine
from stg_core.engine.worker import run_spec
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.ensembles import Resampling, Truth, halves
from stg_core.judging.evaluation import Kept, course, ending
from stg_core.judging.plan import SCHEMES, Ensemble, make_plan
from stg_core.results.store import Store
from stg_core.tasks.groups import GROUPS
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import total_seconds

SPECIALISTS, TASKS, IMAGES, EPOCHS = 20, 100, 10_000, 10


def seconds_of_evaluations(repetitions: int) -> dict[str, list[float]]:
    """Of an ensemble of 20 specialists for 100 tasks, on 10,000 test and 10,000 training images.

    "measures": all of them after the last epoch, on 1,000 resamples; "epochs": F1 with its band
    after each of 10 epochs, for both splits, and all measures of two halves of the test images, by
    which the best epoch is told.
    """
    rng = np.random.default_rng(0)
    labels = (rng.integers(0, TASKS, (2, IMAGES))[..., None] == np.arange(TASKS)).astype(np.int8)
    shape = EPOCHS, IMAGES, TASKS
    models = [
        rng.standard_normal(shape, dtype=np.float32).astype("<f2") for _ in range(SPECIALISTS)
    ]
    truth = {"test": Truth(labels[0]), "train": Truth(labels[1])}
    kept = Kept(
        {"test": models, "train": models},
        [range(TASKS)] * SPECIALISTS,
        rng.dirichlet(np.ones(SPECIALISTS), TASKS),
    )
    resampling, half = Resampling(truth["test"]), halves(truth["test"])
    works: dict[str, Callable[[], object]] = {
        "measures": lambda: ending(kept, truth, resampling),
        "epochs": lambda: course(kept, truth, half, np.ones(TASKS, dtype=bool)),
    }
    taken: dict[str, list[float]] = {name: [] for name in works}
    with threadpool_limits(1):  # as in what computes judgements
        for _ in range(repetitions + 1):
            for name, work in works.items():
                started = time.perf_counter()
                work()
                taken[name].append(time.perf_counter() - started)
    return {name: times[1:] for name, times in taken.items()}


def seconds_of_digits_plan() -> tuple[float, float]:
    """From submission to verdict, k = 3 with all schemes but STL; and of one such training alone.

    The engine is warm, as it is in an app that has trained the run that is grouped.
    """
    with tempfile.TemporaryDirectory() as folder:
        home = {"STG_HOME": str(Path(folder) / "home"), "STG_DATA": str(Path(folder) / "data")}
        with mock.patch.dict(os.environ, home):
            store = Store()
            engine = Engine(store)
            try:
                spec = TrainingSpec(GROUPS["digits"])
                _all_done(engine, [spec])
                run = store.run(spec.key)
                space = TaskSpace(run.summary)
                plan = make_plan(spec, group_tasks(space, 3, 2.0), space)
                started = time.perf_counter()
                _all_done(engine, plan.missing(store))
                kept_report(store, run, space, plan)
                return time.perf_counter() - started, float(run.provenance["seconds"])
            finally:
                engine.stop()


def costs_on_digits(seeds: int) -> dict[str, tuple[float, list[float]]]:
    """Of every scheme, k = 3: its training cost as counted, and as measured with each seed.

    Measured are own processor seconds, evaluation included, over those of MTL.
    """
    found: dict[str, tuple[float, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = {"STG_HOME": str(Path(folder) / "home"), "STG_DATA": str(Path(folder) / "data")}
        with mock.patch.dict(os.environ, home):
            store = Store()
            spec = TrainingSpec(GROUPS["digits"])
            space = TaskSpace(run_spec(store, spec).summary)
            schemes = [scheme for scheme in SCHEMES if scheme != "superclass"]
            grouping = group_tasks(space, 3, 2.0)
            for seed in range(1, seeds + 1):
                plan = make_plan(spec, grouping, space, schemes, (seed,))
                taken = {
                    one.key: total_seconds(run_spec(store, one).metrics) for one in plan.trainings
                }
                mtl = _seconds_of(plan.ensembles[0], taken)
                for ensemble in plan.ensembles:
                    measured = _seconds_of(ensemble, taken) / mtl
                    measured += ensemble.scheme == "specialists"  # its data maps are of one MTL
                    counted = ensemble.training_cost, list[float]()
                    found.setdefault(ensemble.scheme, counted)[1].append(measured)
    return found


def _seconds_of(ensemble: Ensemble, taken: Mapping[str, float]) -> float:
    return sum(taken[spec.key] for spec in ensemble.trainings)


def _all_done(engine: Engine, specs: list[TrainingSpec] | tuple[TrainingSpec, ...]) -> None:
    for spec in specs:
        engine.submit(spec)
    while any(job.active for job in engine.jobs()):
        time.sleep(0.02)
