"""Multiply-adds, counted without torch, are those that torch does."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from stg_core.training.costs import multiply_adds, width_of_multiple
from stg_core.training.models import build
from stg_core.training.spec import BUILT_IN_MODELS

IMAGES = [(3, 32, 32), (1, 8, 8), (1, 28, 28), (3, 33, 17)]


def measured(model: str, shape: tuple[int, ...], n_outputs: int, **options: Any) -> int:
    """Those of one input, as torch counts them; a flop is half a multiply-add."""
    with torch.device("meta"):
        network = build(model, shape, n_outputs, **options).eval()
        points = torch.empty(1, *shape)
    with FlopCounterMode(display=False) as counter:
        network(points)
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("width", [0.3, 1.0, 1.73, 3.0])
@pytest.mark.parametrize("shape", IMAGES)
@pytest.mark.parametrize("model", BUILT_IN_MODELS)
def test_counted_multiply_adds_are_those_of_the_model(
    model: str, shape: tuple[int, ...], width: float
) -> None:
    assert multiply_adds(model, shape, 7, width) == measured(model, shape, 7, width=width)


@pytest.mark.parametrize("branches", [1, 2, 5])
@pytest.mark.parametrize("model", BUILT_IN_MODELS)
def test_as_many_branches_cost_as_much_as_so_many_models(model: str, branches: int) -> None:
    counted = multiply_adds(model, (3, 32, 32), 7, branches=branches)
    assert counted == measured(model, (3, 32, 32), 7, branches=branches)
    assert counted == branches * (multiply_adds(model, (3, 32, 32), 7) or 0)


@pytest.mark.parametrize("hidden", [(256, 128), (40,), ()])
def test_rows_are_counted_with_their_hidden_widths(hidden: tuple[int, ...]) -> None:
    counted = multiply_adds("mlp", (103,), 14, 1.5, hidden)
    assert counted == measured("mlp", (103,), 14, width=1.5, hidden_widths=hidden)


@given(st.sampled_from(BUILT_IN_MODELS), st.floats(1, 20))
def test_a_width_is_found_for_every_multiple_of_the_cost(model: str, factor: float) -> None:
    def counted(width: float) -> int:
        return multiply_adds(model, (3, 32, 32), 10, width) or 0

    width = width_of_multiple(factor, model, (3, 32, 32), 10)
    assert width is not None
    assert counted(width) == pytest.approx(factor * counted(1), rel=0.02)
    error = abs(counted(width) - factor * counted(1))
    assert error <= min(abs(counted(width + d) - factor * counted(1)) for d in (-0.05, 0.05))


def test_once_the_cost_is_the_usual_width() -> None:
    assert {width_of_multiple(1, model, (1, 8, 8), 15) for model in BUILT_IN_MODELS} == {1.0}
    assert width_of_multiple(3, "mlp", (20,), 5, ()) == 1.0, "it has nothing to widen"


def test_a_model_of_one_s_own_is_not_counted() -> None:
    assert multiply_adds("my_models:tiny_vit", (3, 32, 32), 10) is None
    assert width_of_multiple(2, "my_models:tiny_vit", (3, 32, 32), 10) is None
