"""The examples, run as a user runs them on a fresh clone, each with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from stg_core import Store, TaskSpace, group_tasks
from stg_core.maps.log_folder import MOST_MAPS, kept_epochs
from stg_core.results.logged import LoggedRun

ROOT = Path(__file__).resolve().parents[2]
NAMES = (*(f"is {d}" for d in range(10)), "even", "above 4")
SHORT_NAMES = (*"0123456789", "even", "above 4")
SCRIPTS = [
    ("plain_pytorch", "log:digits-plain-pytorch", ()),
    ("scikit_learn", "log:digits-scikit-learn", ()),
    pytest.param(
        *("lightning_script", "log:digits-lightning", ("lightning",)), marks=pytest.mark.slow
    ),
    pytest.param(
        *("huggingface_trainer", "log:digits-trainer", ("transformers", "accelerate")),
        marks=pytest.mark.slow,
    ),
    pytest.param(*("keras_script", "log:digits-keras", ("keras",)), marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("script", "run_id", "libraries"), SCRIPTS)
def test_an_example_leaves_its_run(script: str, run_id: str, libraries: tuple[str, ...]) -> None:
    for library in libraries:
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed")
    for _ in range(2):  # a second time, it begins anew
        answer = subprocess.run(
            [sys.executable, "-m", f"examples.{script}"],
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
        )
        assert answer.returncode == 0, answer.stderr
    run = Store().run(run_id)
    assert isinstance(run, LoggedRun)
    epochs = run.progress.epoch
    assert run.progress.finished and epochs == (30 if script == "plain_pytorch" else 8)
    assert not run.live and run.spec.recorded_epochs == kept_epochs(epochs, MOST_MAPS)
    assert run.spec.group.task_names == (SHORT_NAMES if script == "plain_pytorch" else NAMES)
    assert set(run.progress.rows) == {run.head.n_points}
    maps = run.datamaps()
    assert maps is not None and not np.isnan(maps).any()
    assert np.diff(maps[:, 0].mean(axis=(1, 2))).min() > 0  # it learns, epoch by epoch
    assert run.keeps_logits == bool(libraries)  # these evaluate on test points
    memberships = group_tasks(TaskSpace(run.summary), 3, 2.0).memberships
    assert np.allclose(memberships.sum(axis=1), 1)


def test_the_plain_example_is_fifteen_lines() -> None:
    about, *lines = (ROOT / "examples" / "plain_pytorch.py").read_text().splitlines()
    assert about.endswith('"""') and len([line for line in lines if line.strip()]) <= 15
