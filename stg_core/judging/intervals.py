"""95 % intervals of what was measured on some points with a few seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from stg_core.judging.ensembles import Floats

LEVEL = 0.975  # of either end
ENDS = (100 * (1 - LEVEL), 100 * LEVEL)  # percentiles
ROUNDING = 1e-9  # of an interval's width: what is narrower is no spread of resamples
LEAST_SHARE = 1e-6  # of the seeds in a variance: below it, its quantiles are those of a normal


def interval(seeds: NDArray[Any], drawn: NDArray[Any]) -> Floats:
    """The 95 % interval of a mean over seeds, (2, …), NaN where it is not defined.

    seeds (S, …): a measure on all points with each seed; drawn (S, B, …): the same on B resamples
    of the points, the same ones for all seeds and, of a difference, for both schemes.

    With one seed it is that of the points: the percentiles of the resamples about their mean. With
    several, seeds and points are two crossed levels, of which points are resampled, and of seeds,
    few as they are, the variance is taken: a resample of 3 seeds has ten outcomes and is too narrow
    by √((S − 1) / S). The variance of the mean is

        V = V_points + V_seeds,   V_seeds = s² / S,   V_points = max(V_B − v / S, 0)

    where s² is the variance between seeds (of S − 1 degrees of freedom), V_B the variance of the
    resampled means over seeds and v the mean variance between seeds of what resampling adds to
    them: that part of s² is due to points, and would count twice. The percentiles about their mean
    are stretched by t √V / (z √V_B), t from `quantile`. In simulations with 3, 5 and 10 seeds, and
    variances of points from none to a hundred times that of seeds and back, the intervals cover the
    truth in 93 to 97 % of cases; with 2 seeds in 91 to 98 %, and they are very wide, which is what
    2 seeds tell.
    """
    n_seeds, *shape = seeds.shape
    columns = ~np.isnan(drawn.reshape(n_seeds, len(drawn[0]), -1)).all(axis=(0, 1))
    found = np.full((2, len(columns)), np.nan)
    seeds = seeds.reshape(n_seeds, -1)[:, columns]
    drawn = drawn.reshape(n_seeds, len(drawn[0]), -1)[..., columns]
    of_mean = drawn.mean(axis=0)  # (B, …)
    # the same numbers, and NumPy finds them column by column where there may be gaps
    percentile = np.nanpercentile if np.isnan(of_mean).any() else np.percentile
    reach = percentile(of_mean, ENDS, axis=0) - np.nanmean(of_mean, axis=0)
    if n_seeds > 1:
        reach = _stretched(reach, seeds, drawn)
    found[:, columns] = seeds.mean(axis=0) + reach
    return found.reshape(2, *shape)


def _stretched(reach: Floats, seeds: NDArray[Any], drawn: NDArray[Any]) -> Floats:
    """Percentiles of resampled points about their mean, (2, M), as wide as seeds make them."""
    n_seeds = len(seeds)
    resampled = np.nanvar(drawn.mean(axis=0), axis=0)
    added = np.nanmean((drawn - seeds[:, None]).var(axis=0, ddof=1), axis=0)
    of_points = (resampled - added / n_seeds).clip(0)
    whole = half_width(of_points, seeds.var(axis=0, ddof=1) / n_seeds, n_seeds)
    alone = half_width(resampled, np.zeros_like(resampled), 1)
    same = alone <= ROUNDING * whole  # whichever points are drawn
    either = np.array([[-1.0], [1.0]])
    return np.where(same, either * whole, reach * whole / np.where(same, 1, alone))


def half_width(points: Floats, seeds: Floats, n_seeds: int) -> Floats:
    """Half the width of a symmetric interval, from the two parts of the variance of a mean."""
    total = points + seeds
    share = seeds / np.where(total > 0, total, 1)
    return np.asarray(quantile(share, n_seeds) * np.sqrt(total))


def quantile(share: Floats, n_seeds: int) -> Floats:
    """How many standard errors an interval reaches; share: that of the seeds in the variance.

    That of the points is known well, that of few seeds badly: a Behrens-Fisher problem. Welch's
    (1947) t of (S − 1) / share² degrees of freedom is a little too short (92.7 % at worst with
    3 seeds), Cochran's (1964), the mean of the normal and of Student's quantile weighted by the
    shares, a little too long (97.1 %): this is their mean. With one seed, the normal quantile.
    """
    normal = ndtri(LEVEL)
    if n_seeds == 1:
        return np.full_like(share, normal)
    welch = stdtrit((n_seeds - 1) / np.maximum(share, LEAST_SHARE) ** 2, LEVEL)
    cochran = normal * (1 - share) + stdtrit(n_seeds - 1, LEVEL) * share
    return np.asarray((welch + cochran) / 2)
