"""The models that come with the project predict as well as they say, and take little room."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from stg_core.export import Predictor
from stg_core.results.store import BUNDLES, MODELS
from stg_core.tasks.data import TaskData

FILES = sorted((BUNDLES / MODELS).glob("*.onnx"))


def test_they_take_at_most_20_mb() -> None:
    assert sum(path.stat().st_size for path in FILES) <= 20e6


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_is_what_its_name_says_and_where_it_comes_from(path: Path) -> None:
    predictor = Predictor(path)
    group, scheme = path.stem.split("-")
    assert (predictor.about.group, predictor.scheme) == (group, scheme)
    made = predictor.about.made
    assert made["command"].startswith(f"python -m stg_core export-model {predictor.about.run}")
    assert made["trained"]["images"] == predictor.about.data
    assert {"torch", "numpy"} <= {*made["trained"]["versions"]}


@pytest.mark.parametrize("scheme", ["mtl", "specialists", "plain"])
def test_those_of_digits_score_as_they_say(scheme: str, digits_data: TaskData) -> None:
    predictor = Predictor(BUNDLES / MODELS / f"digits-{scheme}.onnx")
    assert predictor.about.data == digits_data.digest
    found = predictor.predict(digits_data.test_points).probabilities
    scores = [roc_auc_score(digits_data.test_labels[:, t], found[:, t]) for t in range(15)]
    judged = predictor.about.scores["auroc"]["tasks"]
    expected = [judged[task]["score"] for task in predictor.tasks]
    *learned, coin = scores
    assert learned == pytest.approx(expected[:-1], abs=1e-3) and np.mean(learned) > 0.99
    assert coin == pytest.approx(expected[-1], abs=5e-3)  # judged by logits in half precision
