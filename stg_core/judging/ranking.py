"""AUROC and average precision on many draws of the same points: one pass in the order of scores."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

try:
    import numba
except ModuleNotFoundError:  # a light installation, where the same takes some 25 times as long
    numba = None  # type: ignore[assignment]

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def ranked(
    scores: NDArray[Any],
    positive: NDArray[np.bool_],
    times: NDArray[np.uint8],
    positives: Floats,
    negatives: Floats,
) -> tuple[Floats, Floats]:
    """AUROC and average precision of one question on each of B draws, (B,) each.

    scores, positive (N,): of the points, higher is more likely a yes; times (N, B): how often each
    point is in each draw; positives, negatives (B,): how many of both those are. AUROC is the share
    of pairs of a yes and a no in the right order, of which ties count half (Mann and Whitney 1947);
    average precision the sum over thresholds of the precision there times the recall gained there,
    as in scikit-learn. Both are NaN without a yes, AUROC also without a no.
    """
    if not len(scores):
        return np.full_like(positives, np.nan), np.full_like(positives, np.nan)
    order = np.argsort(-scores)
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1], True])
    pairs, precisions = _sums(order, starts, positive, times, negatives)
    with np.errstate(invalid="ignore", divide="ignore"):
        return pairs / (positives * negatives), precisions / positives


def _sums_by_rows(
    order: Integers,
    starts: Integers,
    positive: NDArray[np.bool_],
    times: NDArray[np.uint8],
    negatives: Floats,
) -> tuple[Floats, Floats]:
    """What `_sums` says, without numba."""
    n_draws = times.shape[1]
    yes, no = np.zeros(n_draws, np.float32), np.zeros(n_draws, np.float32)
    pairs, precisions = np.zeros(n_draws), np.zeros(n_draws)
    for begin, end in pairwise(starts):
        tied = order[begin:end]
        right = positive[tied]
        own_no = times[tied[~right]].sum(axis=0, dtype=np.float32)
        if right.any():
            own_yes = times[tied[right]].sum(axis=0, dtype=np.float32)
            pairs += own_yes * (negatives - no - 0.5 * own_no)
            yes += own_yes
            precisions += own_yes * yes / np.maximum(yes + no + own_no, np.float32(1))
        no += own_no
    return pairs, precisions


def _compiled(function: Callable[..., Any]) -> Any:
    """Machine code, kept for the next process where there is a place for it; or the slower way."""
    if numba is None:
        return _sums_by_rows
    try:
        return numba.njit(nogil=True, cache=True)(function)
    except RuntimeError:  # neither the code's folder nor the user's own can be written to
        return numba.njit(nogil=True)(function)


@_compiled
def _sums(
    order: Integers,
    starts: Integers,
    positive: NDArray[np.bool_],
    times: NDArray[np.uint8],
    negatives: Floats,
) -> Any:  # pragma: no cover
    """Pairs in the right order, and the sum of precisions at the positives, (B,) each.

    order: of the points, the highest score first; starts: where the points of each score begin.
    The inner loops go over the draws, which lie side by side, so that they become vectors.
    """
    n_draws = times.shape[1]
    yes, no = np.zeros(n_draws, np.float32), np.zeros(n_draws, np.float32)
    own_yes, own_no = np.zeros(n_draws, np.float32), np.zeros(n_draws, np.float32)
    pairs, precisions = np.zeros(n_draws), np.zeros(n_draws)
    for g in range(len(starts) - 1):
        tied = range(starts[g], starts[g + 1])
        some = False
        for place in tied:
            some |= positive[order[place]]
        if not some:
            for place in tied:
                i = order[place]
                for b in range(n_draws):
                    no[b] += np.float32(times[i, b])
            continue
        own_yes[:], own_no[:] = 0, 0
        for place in tied:
            i = order[place]
            if positive[i]:
                for b in range(n_draws):
                    own_yes[b] += np.float32(times[i, b])
            else:
                for b in range(n_draws):
                    own_no[b] += np.float32(times[i, b])
        for b in range(n_draws):
            pairs[b] += own_yes[b] * (negatives[b] - no[b] - 0.5 * own_no[b])
            yes[b] += own_yes[b]
            no[b] += own_no[b]
            precisions[b] += own_yes[b] * yes[b] / max(yes[b] + no[b], np.float32(1))
    return pairs, precisions
