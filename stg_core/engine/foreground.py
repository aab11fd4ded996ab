"""Trainings that somebody waits for: here, one after the other, or at once on a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from stg_core.engine.jobs import Engine
from stg_core.engine.worker import run_spec
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.system.words import counted
from stg_core.training.callbacks import Progress
from stg_core.training.spec import TrainingSpec


def run_anywhere(store: Store, spec: TrainingSpec, tell: Callable[[dict[str, Any]], None]) -> Run:
    """The result of a spec, trained as `train_all` does; tells what Progress tells."""
    train_all(store, [spec], lambda _, record: tell(record))
    return store.run(spec.key)


def train_all(
    store: Store,
    specs: Sequence[TrainingSpec],
    tell: Callable[[TrainingSpec, dict[str, Any]], None],
) -> None:
    """Trains what the store lacks: one after the other here, or all at once on `STG_SCHEDULER`.

    Tells of each spec what Progress tells, and under "waits" why a cluster trains nothing. Whatever
    interrupts it cancels what is not done. Raises UserError when all have ended and some could not
    be trained, or the scheduler does not answer.
    """
    missing = [spec for spec in specs if store.get(spec) is None]
    if missing and os.environ.get("STG_SCHEDULER"):
        _train_on_cluster(store, missing, tell)
    else:
        for spec in missing:
            run_spec(store, spec, [Progress(partial(tell, spec))])


def _train_on_cluster(
    store: Store,
    specs: Sequence[TrainingSpec],
    tell: Callable[[TrainingSpec, dict[str, Any]], None],
) -> None:
    keys = {spec.key for spec in specs}
    engine = Engine(store, keeps_queue=False)
    try:
        engine.start()
        for spec in specs:
            engine.submit(spec)
        jobs, told, lack = engine.jobs(), dict[str, tuple[object, ...]](), ""
        while any(job.active for job in jobs):
            time.sleep(0.2)
            jobs = [job for job in engine.jobs() if job.key in keys]
            for job in reversed(jobs):
                now = job.state, job.fraction, job.message
                if job.state != "queued" and told.get(job.key) != now:
                    told[job.key] = now
                    tell(job.spec, {**vars(job), **job.metrics})
            if engine.lack != lack:
                lack = engine.lack
                tell(jobs[0].spec, {"waits": lack or "Training can begin."})
            elif engine.problem and not lack:
                raise UserError(engine.problem)
    except BaseException:
        engine.cancel(*keys)
        raise
    finally:
        engine.stop()
    failed = [job for job in jobs if job.state != "done"]
    if failed:
        of_several = f"{len(failed)} of {counted(len(specs), 'training')} failed. " * (
            len(specs) > 1
        )
        raise UserError(of_several + failed[-1].message)


def result_of(store: Store, name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns in a worker of `STG_SCHEDULER`, in turn with the trainings there."""
    engine = Engine(store, keeps_queue=False)
    try:
        return engine.result_of(function, *arguments, name=name)
    finally:
        engine.stop()
