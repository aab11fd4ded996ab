"""The code for one's own loop: it trains what the weights say, and averages with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from stg_core.judging.own_trainer import own_trainer
from stg_core.judging.snippets import FRAMEWORKS
from stg_core.system.errors import UserError
from stg_core.tasks.groups import Task
from tests.judging.logging_digits import TEST_INPUTS, TRAIN_INPUTS
from tests.judging.test_snippets import LIBRARIES, given_for, labels_of

WEIGHTS = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])


def tasks_of(mixed: bool) -> list[Task]:
    names, kinds, *_ = labels_of(mixed)
    if not mixed:
        return [Task(name, rule="column") for name in names]
    values = {"multiclass": ("a", "b", "c")}
    return [
        Task(name, rule="column", kind=kinds[name], values=values.get(kinds[name], ()))
        for name in names
    ]


def given_without_log(framework: str, n_outputs: int, labels: Any, test_labels: Any) -> Any:
    given = given_for(framework, n_outputs, labels, test_labels)
    make = given["make_model"]
    given |= {"make_model": lambda: make(1.0, False), "epochs": 3}
    if framework != "keras":
        rows = torch.utils.data.TensorDataset(*map(torch.from_numpy, (TRAIN_INPUTS, labels)))
        given["loader"] = torch.utils.data.DataLoader(rows, batch_size=64, shuffle=True)
    return given


@pytest.mark.parametrize("mixed", [False, True], ids=["binary", "mixed"])
@pytest.mark.parametrize(
    "framework",
    ["pytorch", *(pytest.param(one, marks=pytest.mark.slow) for one in FRAMEWORKS[1:])],
)
def test_it_trains_the_specialists_and_averages_them(framework: str, mixed: bool) -> None:
    pytest.importorskip(LIBRARIES[framework], reason=f"{LIBRARIES[framework]} is not installed")
    *_, labels, test_labels, n_outputs = labels_of(mixed)
    code = own_trainer(framework, tasks_of(mixed), WEIGHTS, "my run")
    assert "stg_core" not in code
    space = given_without_log(framework, n_outputs, labels, test_labels)
    exec(compile(code.replace("lr=1e-3", "lr=1e-2"), "own.py", "exec"), space)
    inputs = TEST_INPUTS if framework == "keras" else torch.from_numpy(TEST_INPUTS)
    found = np.asarray(space["predict"](inputs))
    with torch.no_grad():
        each = np.stack([np.asarray(model(inputs)) for model in space["specialists"]])
    widths = [1, 3, 1] if mixed else [1, 1, 1]
    shares = np.repeat(WEIGHTS.T, widths, axis=1)
    np.testing.assert_allclose(found, (each * shares[:, None]).sum(axis=0), atol=1e-4)
    # a specialist learns what it has weight for: the first the first task, the second the last
    assert np.abs(each[0][:, 0]).mean() > np.abs(each[1][:, 0]).mean()
    yes = test_labels[:, 0] == 1
    assert found[yes, 0].mean() > found[test_labels[:, 0] == 0, 0].mean()


def test_it_is_asked_for_by_its_library() -> None:
    with pytest.raises(UserError, match="pytorch, lightning, keras, not for 'jax'"):
        own_trainer("jax", tasks_of(False), WEIGHTS, "my run")
