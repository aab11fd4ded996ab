"""What a worker does: it trains a spec in a store of its own, and tells how far it is."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stg_core.engine import courier
from stg_core.engine.courier import EpochCount, Outpost
from stg_core.results.run import Run
from stg_core.results.store import Store, without_nan
from stg_core.system.errors import UserError
from stg_core.system.threads import wanted_threads
from stg_core.training.callbacks import Callback, Progress, preparation_told_to
from stg_core.training.spec import TrainingSpec

if TYPE_CHECKING:
    from stg_core.training.callbacks import Training

TOPIC = "stg-progress"
DEVICE = {"device": 1}  # a worker offers one, so it trains one model at a time


def run_spec(store: Store, spec: TrainingSpec, callbacks: Sequence[Callback] = ()) -> Run:
    """The result of a spec: from the store, or trained now, after its checkpoint if there is one.

    Whoever else trains the same spec on this machine is waited for. Raises UserError, Cancelled.
    """
    from stg_core.tasks.data import load_task_data
    from stg_core.training.loop import train

    with store.training(spec.key):
        if run := store.get(spec):
            return run
        data = load_task_data(spec.group, preparation_told_to(callbacks))
        folder = store.work_folder(spec.key)
        start = _start_of(store, spec, callbacks)
        counted = [EpochCount(folder), *callbacks]
        return store.save(train(spec, data, folder=folder, callbacks=counted, start=start))


class _Beforehand(Callback):
    """Tells of the training that another one starts from, as a preparation of that one."""

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        self._callbacks = callbacks

    def on_epoch_end(self, training: Training) -> None:
        what = "Trains the model that it starts from, whose weights are not here"
        preparation_told_to(self._callbacks)(what, training.epoch / training.spec.epochs)

    def cancelled(self) -> bool:
        return any(callback.cancelled() for callback in self._callbacks)


def _start_of(store: Store, spec: TrainingSpec, callbacks: Sequence[Callback]) -> Path | None:
    """The file of the weights that a training begins with; None where they are to be fresh.

    From where the app has put them, else of the run in the store, which is trained where it is not
    there, and trained anew where its weights were not kept.
    """
    handed = store.work_folder(spec.key) / courier.START
    if spec.starts_from is None or handed.exists():
        return handed if handed.exists() else None
    before = [_Beforehand(callbacks)]
    run = run_spec(store, spec.starts_from, before)
    return (run if run.has_weights else _with_weights(store, run, before)).weights_file


def _with_weights(store: Store, run: Run, callbacks: Sequence[Callback]) -> Run:
    """The same run with its weights, which were not kept: it is trained anew, without data maps.

    Raises UserError where that does not give the same scores to the last bit.
    """
    from stg_core.tasks.data import load_task_data
    from stg_core.training.loop import train

    with store.training(run.id):
        run = store.run(run.id)
        if run.has_weights:
            return run
        spec = dataclasses.replace(run.spec, recorded_epochs=())
        data, folder = load_task_data(spec.group), store.work_folder(run.id)
        start = _start_of(store, spec, callbacks)
        counted = [EpochCount(folder), *callbacks]
        result = train(spec, data, folder=folder, callbacks=counted, start=start)
        shutil.rmtree(folder, ignore_errors=True)
        if without_nan(result.metrics["test"]["loss"]) != run.metrics["test"]["loss"]:
            made = run.provenance
            raise UserError(
                f"The run {run.title} was made before weights were kept, and training it anew gave"
                " other results, so that nothing can start from it. It was trained with"
                f" {made['threads']} threads (STG_THREADS) on {made['device']} with PyTorch"
                f" {made['versions']['torch']}: do the same, or delete it to have it trained here."
            )
        return store.add_weights(run, result)


def train_job(plain: Mapping[str, Any], app: str) -> str:
    """Runs in the worker: trains a spec in the worker's own store, and returns its key.

    Tells its progress as Dask events. `app` is the identity of the store that it is trained for.
    """
    from distributed import get_worker

    spec, store, worker = TrainingSpec.from_json(plain), courier.own_store(), get_worker()

    def tell(record: dict[str, Any]) -> None:
        worker.log_event(TOPIC, {"key": spec.key, "address": worker.address, **record})

    use_own_cores()
    unwanted = unwanted_here()
    callbacks: list[Callback] = [Progress(tell, unwanted)]
    if store.identity != app and not store.holds(spec.key):
        callbacks.append(Outpost(spec.key, tell))
        courier.await_checkpoint(spec, tell, unwanted)
    run_spec(store, spec, callbacks)
    courier.tidy(spec.key)
    return spec.key


def unwanted_here() -> Callable[[], bool]:
    """Says whether nobody wants what this worker is computing any more."""
    from distributed import get_worker

    worker = get_worker()
    task = worker.get_current_task()

    def unwanted() -> bool:
        known = worker.state.tasks.get(task)  # "cancelled" once nobody wants it any more
        return known is None or known.state == "cancelled"

    return unwanted


def measure_job(plain: Mapping[str, Any]) -> float:
    from stg_core.training.measuring import measure_seconds_per_epoch

    use_own_cores()
    return measure_seconds_per_epoch(TrainingSpec.from_json(plain))


def use_own_cores() -> None:
    """As many threads as there are cores for each worker of the machine; Dask gives only one.

    `STG_THREADS` says another number, which stays the same when workers come and go.
    """
    import psutil
    import torch
    from dask.system import CPU_COUNT
    from distributed import get_worker
    from distributed.utils import sync

    if wanted := wanted_threads():
        torch.set_num_threads(wanted)
        return
    worker = get_worker()
    workers = sync(worker.loop, worker.scheduler.identity)["workers"].values()
    here = sum(w["host"] == worker.ip and "device" in w["resources"] for w in workers)
    cores = psutil.cpu_count(logical=False) or CPU_COUNT
    # CPU_COUNT knows what a container or a cluster manager allows this process
    torch.set_num_threads(max(1, min(CPU_COUNT, cores // max(1, here))))
