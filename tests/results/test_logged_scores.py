"""The scores of a logged run are those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from stg_core.tasks.groups import Task
from stg_core.training.metrics import scores_of_logits as scores_of


def test_f1_of_yes_or_no_tasks_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 4)) < 0.3).astype(np.float32)
    labels[:10, 1], labels[:, 2] = np.nan, 0
    logits = rng.normal(size=(80, 4)).astype(np.float16)
    logits[:, 3] = -1  # never said
    tasks = tuple(Task(name, rule="column") for name in "abcd")
    found = scores_of(logits, labels, tasks)
    for t in (0, 1, 3):
        known = ~np.isnan(labels[:, t])
        expected = f1_score(labels[known, t] == 1, logits[known, t] > 0, zero_division=0)
        assert found[t] == pytest.approx(expected)
    assert found[2] is None and found[3] == 0
