"""What the built-in models are made of, and the multiply-adds of one input; without torch."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import pairwise

from stg_core.training.spec import HIDDEN_WIDTHS

# channels of the convolutions, then units of the dense layer
CNNS: Mapping[str, tuple[int, ...]] = {"small_cnn": (32, 64, 128, 200), "tiny_cnn": (16, 32, 64)}
# blocks of each stage
RESNETS: Mapping[str, tuple[int, ...]] = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
STAGES = (64, 128, 256, 512)  # channels of a ResNet

WIDTH_STEPS = 1_000  # to each 1 of a width that is searched for: a key does not depend on rounding


def widened(count: int, width: float) -> int:
    """Channels or units of a layer of a model that is `width` times as wide; at least 1."""
    return max(1, round(count * width))


def multiply_adds(
    model: str,
    point_shape: Sequence[int],
    n_outputs: int,
    width: float = 1.0,
    hidden_widths: Sequence[int] = HIDDEN_WIDTHS,
    branches: int = 1,
) -> int | None:
    """Multiply-adds of the convolutions and dense layers of a built-in model for one input.

    point_shape: (C, H, W) or (F,). None for a model of one's own.
    """
    if branches > 1:
        of_one = multiply_adds(model, point_shape, n_outputs, width, hidden_widths)
        return of_one and branches * of_one
    if model == "mlp":
        return _of_dense(math.prod(point_shape), hidden_widths, n_outputs, width)
    if model in CNNS:
        return _of_cnn(CNNS[model], point_shape, n_outputs, width)
    if model in RESNETS:
        return _of_resnet(RESNETS[model], point_shape, n_outputs, width)
    return None


def width_of_multiple(
    factor: float,
    model: str,
    point_shape: Sequence[int],
    n_outputs: int,
    hidden_widths: Sequence[int] = HIDDEN_WIDTHS,
) -> float | None:
    """The width whose multiply-adds are nearest to `factor` times, 1 or more, those of width 1.

    To three decimals; of two that are as near the smaller. None for a model of one's own.
    """

    def counted(step: int) -> int:
        width = step / WIDTH_STEPS
        return multiply_adds(model, point_shape, n_outputs, width, hidden_widths) or 0

    wanted, usual = factor * counted(WIDTH_STEPS), WIDTH_STEPS
    if not wanted:
        return None
    most = math.ceil((factor + 1) * WIDTH_STEPS)
    above = bisect_left(range(most), wanted, lo=usual, key=counted)
    nearest = min((max(usual, above - 1), above), key=lambda step: abs(counted(step) - wanted))
    first = bisect_left(range(nearest), counted(nearest), lo=usual, key=counted)
    return first / WIDTH_STEPS


def _of_dense(n_inputs: int, hidden: Sequence[int], n_outputs: int, width: float) -> int:
    sizes = (n_inputs, *(widened(count, width) for count in hidden), n_outputs)
    return sum(a * b for a, b in pairwise(sizes))


def _of_cnn(counts: Sequence[int], shape: Sequence[int], n_outputs: int, width: float) -> int:
    channels, rows, columns = shape
    total = 0
    for count in counts[:-1]:
        total += 9 * channels * widened(count, width) * rows * columns
        channels = widened(count, width)
        if min(rows, columns) >= 2:
            rows, columns = rows // 2, columns // 2
    return total + _of_dense(channels * rows * columns, counts[-1:], n_outputs, width)


def _of_resnet(blocks: Sequence[int], shape: Sequence[int], n_outputs: int, width: float) -> int:
    channels, rows, columns = shape
    before = widened(STAGES[0], width)
    rows, columns = _halved(rows), _halved(columns)
    total = 7 * 7 * channels * before * rows * columns
    rows, columns = _halved(rows), _halved(columns)
    for stage, (n_blocks, count) in enumerate(zip(blocks, STAGES, strict=True)):
        own = widened(count, width)
        if stage:
            rows, columns = _halved(rows), _halved(columns)
            total += before * own * rows * columns  # of the way around the first block
        total += 9 * (before + own * (2 * n_blocks - 1)) * own * rows * columns
        before = own
    return total + before * n_outputs


def _halved(side: int) -> int:
    """What a padded stride of 2 leaves of a side."""
    return (side + 1) // 2
