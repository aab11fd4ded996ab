"""Snippets to take along: each trains and logs real models, with its numbers, in its library."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from torch import nn

from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.judging.brought_back import BroughtBack
from stg_core.judging.loss_weights import mark_of
from stg_core.judging.snippets import FRAMEWORKS, snippet
from stg_core.maps.log import TaskLog
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.groups import Task
from tests.judging.logging_digits import (
    N_TRAIN,
    TEST_INPUTS,
    TEST_LABELS,
    TRAIN_INPUTS,
    TRAIN_LABELS,
)

os.environ.setdefault("KERAS_BACKEND", "torch")
LIBRARIES = {"pytorch": "torch", "lightning": "lightning", "keras": "keras"}
BINARY = ("zero", "one", "odd")
MIXED = {"odd": "binary", "third": "multiclass", "size": "regression"}


def labels_of(mixed: bool) -> tuple[Sequence[str], Any, Any, Any, int]:
    """Names, kinds, labels of both splits, and how many outputs a model has."""
    if not mixed:
        own = [0, 1, 3]
        return BINARY, "binary", TRAIN_LABELS[:, own], TEST_LABELS[:, own], 3
    both = []
    for inputs, labels in ((TRAIN_INPUTS, TRAIN_LABELS), (TEST_INPUTS, TEST_LABELS)):
        ink = inputs.sum(axis=1)
        third = np.digitize(ink, [18, 21]).astype(np.float32)
        third[::5] = np.nan
        both.append(np.stack([labels[:, 3], third, ink / 20], axis=1).astype(np.float32))
    train, test = both
    return (*MIXED,), MIXED, train, test, 1 + 3 + 1


def given_for(framework: str, n_outputs: int, train_labels: Any, test_labels: Any) -> Any:
    """What the first lines of a snippet ask for."""
    given = {"train_labels": train_labels, "test_labels": test_labels}
    if framework == "keras":
        import keras

        def keras_model(size: float, warm: bool) -> Any:
            layers = [keras.Input((64,)), keras.layers.Dense(32, "relu")]
            return keras.Sequential([*layers, keras.layers.Dense(n_outputs)])

        data = {"train_inputs": TRAIN_INPUTS, "test_inputs": TEST_INPUTS}
        return given | data | {"make_model": keras_model}

    def torch_model(size: float, warm: bool) -> nn.Module:
        return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, n_outputs))

    tensors = map(torch.from_numpy, (np.arange(N_TRAIN), TRAIN_INPUTS, train_labels))
    rows = torch.utils.data.TensorDataset(*tensors)
    loader: Any = torch.utils.data.DataLoader(rows, batch_size=64, shuffle=True)
    test_inputs = torch.from_numpy(TEST_INPUTS)
    return given | {"make_model": torch_model, "loader": loader, "test_inputs": test_inputs}


def log_first_run(mixed: bool) -> None:
    """The log "my run", of outputs that grow more certain."""
    names, kinds, labels, test_labels, n_outputs = labels_of(mixed)
    rng = np.random.default_rng(0)
    with TaskLog(
        *("my run", names, labels), kinds=kinds, outputs="logits", test_labels=test_labels
    ) as log:
        for epoch in (1, 2):
            log.test(rng.normal(0, epoch, (len(test_labels), n_outputs)))
            log.epoch(rng.normal(0, epoch, (len(labels), n_outputs)))


@pytest.mark.slow
@pytest.mark.parametrize("mixed", [False, True], ids=["binary", "mixed"])
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_snippet_logs_what_is_judged(framework: str, mixed: bool, own_home: Any) -> None:
    pytest.importorskip(LIBRARIES[framework], reason=f"{LIBRARIES[framework]} is not installed")
    log_first_run(mixed)
    *_, labels, test_labels, n_outputs = labels_of(mixed)

    def back() -> BroughtBack:
        store = Store(own_home)
        run = store.run("log:my-run")
        space = TaskSpace(run.summary)
        return BroughtBack(store, run, group_tasks(space, 2, 2.0), space)

    models = back().to_train(("specialists", "longer"))
    code = snippet(framework, back().run.spec.group.tasks, models, "my run")
    compiled = compile(code.replace("lr=1e-3", "lr=1e-2"), "snippet.py", "exec")
    exec(compiled, given_for(framework, n_outputs, labels, test_labels))
    found = [one for one in back().found.values() if one.due.scheme in ("specialists", "longer")]
    assert [(one.problem, one.by_name) for one in found] == [("", False)] * 3
    assert {one.run.progress.epoch for one in found if one.run} == {2, 6}
    *_, (_, _, report) = back().report_steps(back().judged(), resamples=50)
    assert report is not None
    means = report["variants"]["logits-soft"]["measures"]["auroc"]["schemes"]
    assert means["longer"]["per_task"][0] > means["mtl"]["per_task"][0]  # that was noise


def test_the_weights_are_on_the_losses(own_home: Any) -> None:
    """A task of weight 0 is not learned, the others are."""
    log_first_run(False)
    store = Store(own_home)
    run = store.run("log:my-run")
    space = TaskSpace(run.summary)
    back = BroughtBack(store, run, group_tasks(space, 2, 2.0, "hard"), space)
    models = back.to_train(("specialists",))
    code = snippet("pytorch", run.spec.group.tasks, models, "my run").replace("lr=1e-3", "lr=1e-2")
    _, _, labels, test_labels, n_outputs = labels_of(False)
    exec(compile(code, "snippet.py", "exec"), given_for("pytorch", n_outputs, labels, test_labels))
    outputs = [
        np.array(store.run(f"log:my-run-k2-hard-specialist-{j}").logits("test"))[-1] for j in (1, 2)
    ]
    for j, due in enumerate(models):
        for t, weight in enumerate(due.weights):
            own, other = (np.abs(outputs[i][:, t]).mean() for i in (j, 1 - j))
            assert (own > other) == bool(weight)


def test_a_snippet_is_asked_for_by_its_library(own_home: Any) -> None:
    with pytest.raises(UserError, match="pytorch, lightning, keras, not for 'jax'"):
        snippet("jax", [Task("a", rule="column")], [], "my run")
    with pytest.raises(UserError, match="nothing left to train"):
        snippet("keras", [Task("a", rule="column")], [], "my run")


def test_a_mark_is_of_tasks_and_weights_in_any_order() -> None:
    mark = mark_of(("a", "b"), (0.25, 0.75))
    assert mark.startswith("loss weights ")
    assert mark == mark_of(("b", "a"), (0.75, 0.25)) == mark_of(("a", "b"), (0.25 + 1e-9, 0.75))
    assert mark not in (mark_of(("a", "b"), (0.75, 0.25)), mark_of(("a", "c"), (0.25, 0.75)))


def test_a_snippet_has_models_of_another_size_and_beginning(own_home: Any) -> None:
    """Wider by default, as a control of the specialists; warm ones where they are asked for."""
    log_first_run(False)
    store = Store(own_home)
    run = store.run("log:my-run")
    space = TaskSpace(run.summary)
    back = BroughtBack(store, run, group_tasks(space, 2, 2.0), space)
    _, _, labels, test_labels, n_outputs = labels_of(False)
    asked: dict[str, tuple[float, bool]] = {}
    for schemes in ((), ("warm", "plain_warm", "random_warm")):
        models = back.to_train(schemes)
        given = given_for("pytorch", n_outputs, labels, test_labels)
        made = Mock(side_effect=given["make_model"])
        code = snippet("pytorch", run.spec.group.tasks, models, "my run")
        exec(compile(code, "snippet.py", "exec"), {**given, "make_model": made})
        how = [call.args for call in made.call_args_list]
        asked |= dict(zip((due.name for due in models), how, strict=True))
    assert asked["my run / k2 wider"] == (2, False)
    assert asked["my run / k2 specialist 1"] == (1, False)
    warm = {name for name, (size, warm) in asked.items() if warm and size == 1}
    assert warm == {name for name in asked if "warm" in name} and len(warm) == 6
    found = BroughtBack(store, run, back.grouping, space)
    assert {"wider", "warm", "plain_warm", "random_warm"} <= {*found.whole}
