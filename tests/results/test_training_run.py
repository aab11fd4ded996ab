"""A run that trains can be looked at like a finished one, and ended: it shows what it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from stg_core.results.store import Store
from stg_core.results.training_run import TrainingRun
from stg_core.system.errors import Cancelled, UserError
from stg_core.tasks.groups import GROUPS
from stg_core.training.callbacks import Callback, Training
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec
from stg_core.training.work_folder import maps_kept

SPEC = TrainingSpec(
    GROUPS["digits"], tasks=("0", "1", "7", "Odd"), epochs=10, training_images=200, batch_size=100
)


class EndedIn(Callback):
    """Looks after every epoch, and cancels in the one after some."""

    def __init__(self, epoch: int, look: Callable[[int], object] = lambda epoch: None) -> None:
        self.last, self.look, self.done = epoch, look, 0

    def on_epoch_end(self, training: Training) -> None:
        self.done = training.epoch
        self.look(training.epoch)

    def cancelled(self) -> bool:
        return self.done >= self.last


def interrupted(store: Store, spec: TrainingSpec, callback: Callback) -> None:
    with store.training(spec.key), pytest.raises(Cancelled):
        train(spec, folder=store.work_folder(spec.key), callbacks=[callback])


@pytest.fixture(scope="module")
def seen(digits_home: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, list[tuple]]:
    """A training that was interrupted after five epochs, and what was seen of it after each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(digits_home))
        store, found = Store(tmp_path_factory.mktemp("home")), []

        def look(epoch: int) -> None:
            if run := Store(store.folder).training_run(SPEC.key):
                epochs = run.summary.epochs.tolist()
                found.append((epoch, run.title_now, run.live, epochs, run.mean_score))

        interrupted(store, SPEC, EndedIn(5, look))
    return store, found


def test_from_its_second_epoch_on_a_training_is_a_run_of_what_it_has(
    seen: tuple[Store, list[tuple]],
) -> None:
    store, found = seen
    assert [epoch for epoch, *_ in found] == [2, 3, 4, 5]
    assert [epochs for *_, epochs, _ in found] == [[2], [2, 3], [2, 4], [2, 4, 5]]
    assert found[-1][1] == f"{SPEC.title} (training, epoch 5 of 10)"
    assert all(live for _, _, live, *_ in found)
    assert all(isinstance(score, float) for *_, score in found)
    run = store.run(SPEC.key[:6])
    assert isinstance(run, TrainingRun) and not run.live and not run.ended
    assert run.title_now.endswith("(stopped, epoch 5 of 10)")
    assert run.id in [each.id for each in store.runs()]


def test_what_it_had_after_each_of_the_last_epochs_is_known(
    seen: tuple[Store, list[tuple]],
) -> None:
    run = seen[0].training_run(SPEC.key)
    assert run is not None and run.last_epochs == (2, 3, 4, 5)
    assert [run.maps_after(e) for e in (1, 2, 3, 4)] == [(), (2,), (2, 3), (2, 4)]
    assert run.summary_of(run.maps_after(3)).epochs.tolist() == [2, 3]


def test_data_maps_of_epochs_that_are_neither_recorded_nor_late_go() -> None:
    assert maps_kept(SPEC, 9) == (2, 4, 6, 7, 8, 9)
    assert maps_kept(SPEC, 1) == () and maps_kept(dataclasses.replace(SPEC, seed=1), 2) == (2,)
    assert maps_kept(dataclasses.replace(SPEC, recorded_epochs=()), 9) == ()


def test_ended_early_it_is_to_the_last_bit_a_training_of_so_many_epochs(
    digits_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STG_HOME", str(digits_home))
    store = Store(tmp_path)
    interrupted(store, SPEC, EndedIn(5))
    spec = store.end_training(SPEC.key)
    assert spec == dataclasses.replace(SPEC, epochs=5, recorded_epochs=(2, 4, 5))
    assert not store.work_folder(SPEC.key).exists()
    epochs = EndedIn(0)
    run = store.save(train(spec, folder=store.work_folder(spec.key), callbacks=[epochs]))
    assert epochs.done == 0, "nothing is trained again"
    alone = train(spec)
    maps, logits = run.datamaps(), run.test_logits()
    assert maps is not None and logits is not None and alone.datamaps is not None
    assert np.array_equal(maps, alone.datamaps, equal_nan=True)
    assert np.array_equal(logits, alone.test_logits)
    assert np.array_equal(run.logits("train"), alone.train_logits)
    assert run.metrics["test"]["f1"] == alone.metrics["test"]["f1"]
    weights = safetensors.numpy.load_file(run.weights_file)
    assert all(np.array_equal(weights[name], value) for name, value in alone.weights.items())
    left = [path.name for path in (tmp_path / "work").iterdir() if path.suffix != ".lock"]
    assert left == []


def test_a_training_without_two_epochs_cannot_be_ended(
    digits_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STG_HOME", str(digits_home))
    store = Store(tmp_path)
    interrupted(store, SPEC, EndedIn(1))
    assert store.training_run(SPEC.key) is None
    with pytest.raises(UserError, match="not two epochs yet"):
        store.end_training(SPEC.key)


def test_an_interrupted_training_is_deleted_and_keeps_its_title_until_it_ends(
    digits_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STG_HOME", str(digits_home))
    store = Store(tmp_path)
    interrupted(store, SPEC, EndedIn(2))
    run = store.run(SPEC.key)
    with pytest.raises(UserError, match="can be renamed once it has"):
        store.rename(run, "Mine")
    with pytest.raises(UserError, match="has not ended"):
        run.kept()
    with store.training(SPEC.key), pytest.raises(UserError, match="is going on"):
        store.delete(run)
    store.delete(run)
    assert not store.work_folder(SPEC.key).exists()
    assert run.id not in [each.id for each in store.runs()]


def test_a_damaged_or_half_written_training_is_none(tmp_path: Path) -> None:
    store = Store(tmp_path)
    folder = store.work_folder("0123456789abcdef")
    folder.mkdir(parents=True)
    for content in ("", "{}", "[]", '{"spec": {}, "epoch": 2, "maps": [7], "test": {}}'):
        (folder / "progress.json").write_text(content)
        assert store.training_run(folder.name) is None
        assert all(run.bundled for run in store.runs())
