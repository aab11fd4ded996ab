"""A table trained with several seeds: what is kept of it, and what happens when asked for again."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from stg_core.affinity import seed_training
from stg_core.affinity.seed_training import Recipe, chosen_tasks, converged, train_seed_table
from stg_core.affinity.seeds import (
    SeedTable,
    halved,
    load_seed_table,
    save_seed_table,
)
from stg_core.cli.main import main
from stg_core.results import store as store_module
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData, load_task_data
from stg_core.tasks.groups import GROUPS
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec
from tests.affinity.seed_tables import blocks, planted

TASKS = ("1", "Odd", "Random")
SETTINGS = {"model": "mlp", "hidden_widths": (8,), "learning_rate": 1e-2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("seeds")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(seed_training.RECIPES, "tiny", Recipe("digits", TASKS, SETTINGS))
    monkeypatch.setattr(seed_training, "FEWEST_EPOCHS", 4)
    monkeypatch.setattr(seed_training, "MOST_EPOCHS", 4)
    monkeypatch.setattr(seed_training, "SEEDS_TO_MEASURE", 1)


@pytest.fixture(scope="module")
def tiny(folder: Path) -> SeedTable:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(seed_training.RECIPES, "tiny", Recipe("digits", TASKS, SETTINGS))
        for name, value in (("FEWEST_EPOCHS", 4), ("MOST_EPOCHS", 4), ("SEEDS_TO_MEASURE", 1)):
            patch.setattr(seed_training, name, value)
        return train_seed_table("tiny", 2, folder / "tiny.npz", lambda what: None)


def test_every_group_is_trained_with_every_seed(tiny: SeedTable) -> None:
    assert tiny.tasks == TASKS and tiny.whole_seeds == [0, 1]
    inside = np.broadcast_to(tiny.masks[None, None, :, :, None], tiny.losses.shape)
    assert (np.isfinite(tiny.losses) == inside).all()
    assert not np.allclose(tiny.losses[:, 0], tiny.losses[:, 1], equal_nan=True)
    assert tiny.provenance["epochs"]["epochs"] == tiny.spec.epochs


def test_what_is_kept_is_what_the_training_scores(tiny: SeedTable) -> None:
    row = tiny.row([0, 1])
    result = train(tiny.spec_with(1, row))
    labels = load_task_data(GROUPS["digits"]).test_labels
    n_test = len(labels)
    whole = np.array(result.metrics["test"]["loss"])
    last = tiny.losses[2, 1, row, :2]  # of each half, after the last epoch
    in_halves = tiny.counts[:2].sum(axis=2)
    assert (last * in_halves).sum(axis=1) / n_test == pytest.approx(whole[-1], rel=2e-3)
    for way in (0, 1):
        stopped = tiny.stopped[1, row, way]
        parts = tiny.part_losses[1, row, :2, way].sum(axis=1, dtype=np.float64)
        assert parts / in_halves[:, way] == pytest.approx(tiny.losses[0, 1, row, :2, way], rel=2e-3)
        assert 1 <= stopped <= tiny.spec.epochs
    chosen = tiny.chosen_losses[0, 1, row, :2].mean(axis=0)
    assert (chosen <= last[:, ::-1].mean(axis=0) + 1e-6).all()  # stopped where that half is best


def test_a_task_that_is_stopped_for_itself_is_chosen_no_worse(tiny: SeedTable) -> None:
    of_model, of_task = tiny.chosen_losses[:2]
    assert (of_task <= of_model + 1e-6)[np.isfinite(of_model)].all()


def test_asked_for_again_only_what_is_missing_is_trained(
    tiny: SeedTable, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "tiny.npz"
    table = load_seed_table(path)
    table.seconds[1, [2, 5]] = np.nan
    save_seed_table(table, folder / "again.npz", 0)
    trained = []

    def noted(spec: TrainingSpec, data: TaskData) -> object:
        trained.append((spec.seed, spec.tasks))
        return train(spec, data)

    monkeypatch.setattr(seed_training, "train", noted)
    again = train_seed_table("tiny", 2, folder / "again.npz", lambda what: None)
    assert trained == [(1, tiny.spec_of(2).tasks), (1, tiny.spec_of(5).tasks)]
    assert again.losses == pytest.approx(tiny.losses, nan_ok=True)
    more = train_seed_table("tiny", 3, folder / "again.npz", lambda what: None)
    assert more.whole_seeds == [0, 1, 2] and len(trained) == 2 + len(tiny.masks)
    assert more.losses[:, :2] == pytest.approx(tiny.losses, nan_ok=True)


def test_points_without_a_label_of_a_group_are_not_trained_on() -> None:
    gap = np.nan
    labels = np.array([[1, gap], [gap, 0], [0, 1], [gap, gap]], dtype=np.float32)
    points = np.arange(4.0)[:, None]
    data = TaskData(("a", "b"), points, labels, points, labels)
    assert data.labelled(["a"]).train_points.ravel().tolist() == [0, 2]
    assert data.labelled(["a", "b"]).train_points.ravel().tolist() == [0, 1, 2]
    assert len(data.labelled(["a"]).test_points) == 4  # which a missing label counts nowhere in


def test_halves_have_the_same_answers_and_no_point_in_common() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((400, 3)) < [0.5, 0.1, 0.02]).astype(np.float32)
    labels[rng.random((400, 3)) < 0.1] = np.nan
    spec = TrainingSpec(GROUPS["digits"], tasks=TASKS)
    found = halved(spec, labels, np.ones(3, dtype=np.float32))
    one, other = found.points
    assert sorted([*one, *other]) == list(range(400))
    positives = [(found.labels[half] == 1).sum(axis=0) for half in found.points]
    assert np.abs(positives[0] - positives[1]).max() <= 4
    assert [parts.shape for parts in found.parts] == [(len(other), 50), (len(one), 50)]


def test_no_label_of_a_single_point_is_in_a_table(tiny: SeedTable) -> None:
    n_test = len(load_task_data(GROUPS["digits"]).test_labels)
    arrays = [value for value in vars(tiny).values() if isinstance(value, np.ndarray)]
    assert all(n_test not in array.shape for array in arrays)


def test_tasks_are_chosen_by_how_often_their_rarer_answer_occurs() -> None:
    labels = np.array([[1, 1, 0, 1], [0, 1, 0, 1], [1, 1, 1, 0], [0, 0, 0, 0]], dtype=np.float32)
    labels[0, 3] = np.nan
    data = TaskData(("half", "most", "few", "gaps"), np.zeros((4, 1)), labels, labels, labels)
    assert chosen_tasks(data, 1) == ("half",)
    assert chosen_tasks(data, 3) == ("half", "most", "few")


@pytest.mark.parametrize(
    ("single", "together", "epochs"), [(3, 8, 8), (8, 3, 8), (13, 4, 13), (2, 2, 2)]
)
def test_there_are_as_many_epochs_as_both_kinds_of_models_need(
    single: int, together: int, epochs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seed_training, "FEWEST_EPOCHS", 12)
    monkeypatch.setattr(seed_training, "MOST_EPOCHS", 200)
    points = []

    def trained(spec: TrainingSpec, data: TaskData) -> object:
        points.append((len(data.train_points), len(data.test_points)))
        best = single if len(spec.tasks) == 1 else together
        losses: NDArray[np.floating] = 0.1 + 0.002 * np.abs(np.arange(1, spec.epochs + 1) - best)
        if spec.tasks == ("Random",):  # nothing learns it, and it does not count
            losses = 1 + 0.01 * np.arange(spec.epochs)
        return SimpleNamespace(
            metrics={"test": {"loss": np.repeat(losses[:, None], len(spec.tasks), axis=1).tolist()}}
        )

    monkeypatch.setattr(seed_training, "train", trained)
    data = load_task_data(GROUPS["digits"])
    found = converged(TrainingSpec(GROUPS["digits"], tasks=TASKS), data, lambda what: None)
    assert (found.single, found.together, found.epochs) == (single, together, epochs)
    n_train = len(data.train_points)
    assert set(points) == {(n_train - n_train // 5, n_train // 5)}  # no test point is looked at


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    table = planted(blocks())
    table.joint["labels"] = np.ones((5, 6, 6))
    table.found = {"table": {"n_seeds": 5}}
    save_seed_table(table, tmp_path / "some.npz")
    read = load_seed_table(tmp_path / "some.npz")
    assert read.spec == table.spec and read.found == table.found
    assert (read.joint["labels"] == 1).all()
    assert (read.part_losses == table.part_losses)[np.isfinite(table.part_losses)].all()


def test_a_table_that_is_too_large_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="MB"):
        save_seed_table(planted(blocks()), tmp_path / "large.npz", 100)
    (tmp_path / "some.npz").write_bytes(b"no table")
    with pytest.raises(UserError, match=r"damaged.*Restore assets/bundles"):
        load_seed_table(tmp_path / "some.npz")


def test_a_table_that_there_is_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There is no table 'mine' to train"):
        train_seed_table("mine", 2, tmp_path / "mine.npz", lambda what: None)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--seeds", "2"], "Name a table with --table"),
        (["--table", "tiny", "--seeds", "2", "--budget", "7"], "budgets of 2, 3, 4 only, not of 7"),
    ],
)
def test_what_the_command_cannot_do_is_said_before_anything_is_trained(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["methods", *words]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_trains_compares_and_bundles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STG_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(store_module, "BUNDLES", tmp_path / "bundles")
    words = ["methods", "--table", "tiny", "--seeds", "2", "--budget", "2", "--json"]
    assert main([*words, "--bundle"]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert answer["truth"]["n_seeds"] == 2 and "Random" in answer["truth"]["left_out"]
    assert answer["methods"]["exhaustive"]["regret"]["mean"] == 0
    assert (tmp_path / "bundles" / "tables" / "seeds" / "tiny.npz").exists()
    monkeypatch.setenv("STG_HOME", str(tmp_path / "another"))
    monkeypatch.setattr(seed_training, "train", None)  # what is bundled is not trained again
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == answer
