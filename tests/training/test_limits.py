"""Whatever can be trained can be exported, imported and shown; the rest is refused before."""

from __future__ import annotations

import dataclasses
import io
import itertools
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stg_core.maps.summary import DataMapSummary, summarise, summary_bytes
from stg_core.results.archive import export_run, import_run
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import Task, TaskGroup, custom_group
from stg_core.training.limits import MOST_TASKS, check_limits, largest_files
from stg_core.training.loop import TrainingResult, train
from stg_core.training.spec import TrainingSpec

SHOWN = [
    "Café\u00a0noir",
    "x" * 200,
    "👩\u200d🚀",
    "Möbel, (all)",
    "=1+1",
    "名前",
    "a\u2009b",
    "-",
    "'",
]
HIDDEN = [
    "",
    "   ",
    "\u00a0",
    "x" * 201,
    "a\nb",
    "a\tb",
    "\x1b[2J",
    "a\u202eb",
    "a\u2028b",
    "\ud800",
]


def spec_of(*names: str) -> TrainingSpec:
    group = TaskGroup(
        "mine", "digits", tuple(Task(name, (str(i % 9),)) for i, name in enumerate(names))
    )
    return TrainingSpec(group, epochs=2)


@pytest.mark.parametrize("name", HIDDEN)
def test_a_name_that_cannot_be_shown_is_refused_before_anything_is_trained(
    name: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="name"):
        custom_group("digits", ["1"], {name: ["2", "3"]})
    with pytest.raises(UserError, match="name"):
        train(spec_of("1", name), folder=tmp_path / "work")
    assert not (tmp_path / "work").exists()


def result_of(spec: TrainingSpec, n_points: int = 12) -> TrainingResult:
    """What a training of the spec might leave, without the training."""
    rng, t, e = np.random.default_rng(0), len(spec.tasks), len(spec.recorded)
    maps = rng.random((e, 2, t, n_points)).astype(np.float16)
    labels = rng.integers(0, 2, (n_points, t)).astype(np.int8)
    each = [[0.5] * t] * spec.epochs
    once = [1.0] * spec.epochs
    scores = {name: each for name in ("loss", "f1", "accuracy", "balanced_accuracy")}
    times = ("loss", "seconds", "images_per_second", "evaluation_seconds")
    logits = np.zeros((len(spec.logit_epochs), n_points, t), np.float16)
    return TrainingResult(
        spec=spec,
        metrics={**dict.fromkeys(times, once), "train": scores, "test": scores},
        test_logits=logits,
        train_logits=logits,
        test_labels=labels,
        train_labels=labels,
        datamaps=maps,
        summary=summarise(maps, labels.astype(np.float32), spec.tasks, spec.recorded),
        provenance={
            **{"device": "cpu", "precision": "fp32", "threads": 1},
            **{"seconds": 1.0, "images": "0" * 32},
        },
    )


def taken_back(spec: TrainingSpec) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run = Store(Path(folder) / "here").save(result_of(spec))
        file = io.BytesIO()
        export_run(run, file)
        taken = import_run(Store(Path(folder) / "there"), file)
        assert taken.spec == spec and taken.title == run.title
        for field in dataclasses.fields(DataMapSummary):
            a, b = (getattr(r.summary, field.name) for r in (run, taken))
            assert np.array_equal(a, b)


@pytest.mark.parametrize("name", SHOWN)
def test_names_of_all_kinds_go_out_and_come_in_again(name: str) -> None:
    taken_back(spec_of("1", name))


names = st.text(min_size=1, max_size=220)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(names, min_size=2, max_size=4, unique=True))
def test_whatever_may_be_trained_can_be_exported_and_imported(chosen: list[str]) -> None:
    spec = spec_of(*chosen)
    try:
        check_limits(spec)
    except UserError:
        return
    taken_back(spec)


def many(count: int) -> TrainingSpec:
    pairs = itertools.islice(itertools.cycle(itertools.combinations("0123456789", 2)), count)
    tasks = tuple(Task(f"task {i}", pair) for i, pair in enumerate(pairs))
    return TrainingSpec(TaskGroup("many", "digits", tasks), epochs=4)


def test_a_group_that_could_not_be_imported_is_not_trained(tmp_path: Path) -> None:
    images = np.zeros((4, 8, 8, 1), np.uint8)
    spec = many(MOST_TASKS + 1)
    labels = np.zeros((4, len(spec.tasks)), np.float32)
    with pytest.raises(UserError, match="2,000 at most"):
        train(spec, TaskData(spec.tasks, images, labels, images, labels), folder=tmp_path / "work")
    check_limits(many(MOST_TASKS))


def test_more_data_maps_than_a_page_can_hold_are_refused_with_how_many_it_can() -> None:
    spec = dataclasses.replace(many(MOST_TASKS), epochs=40, recorded_epochs=tuple(range(2, 40)))
    with pytest.raises(UserError, match=r"record (\d+) epochs at most") as error:
        check_limits(spec)
    most = int(str(error.value).split("record ")[1].split(" ")[0])
    check_limits(dataclasses.replace(spec, recorded_epochs=tuple(range(2, 2 + most))))


@pytest.mark.slow
def test_a_thousand_tasks_go_out_and_come_in_again() -> None:
    taken_back(dataclasses.replace(many(1_000), epochs=2, recorded_epochs=(2,)))


@pytest.mark.parametrize(("n_tasks", "n_points"), [(1, 5), (7, 3_000), (40, 200)])
def test_the_limits_of_files_hold_those_of_real_results(n_tasks: int, n_points: int) -> None:
    spec = many(n_tasks)
    result = result_of(spec, n_points)
    assert result.summary is not None
    arrays = sum(
        getattr(result.summary, field.name).nbytes for field in dataclasses.fields(DataMapSummary)
    )
    assert arrays <= summary_bytes(n_tasks, len(spec.recorded)) <= 40 * arrays + 2**22
    worst = json.dumps(
        {
            "seconds": [-1.2345678901234567e-300] * 4,
            "f1": [[-1.2345678901234567e-300] * n_tasks] * 4,
        },
        indent=1,
    )
    assert len(worst) < largest_files(spec)["metrics.json"]
