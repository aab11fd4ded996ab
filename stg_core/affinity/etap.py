"""ETAP: what tasks gain in any group, from affinities and the gains of a few trained groups.

Ayman, Mukhopadhyay & Laszka 2026. The affinity of a group for a task goes through a line, a spline
and a ridge regression on who is in the group; each step learns what the one before left over.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from sklearn.metrics import r2_score
from sklearn.preprocessing import SplineTransformer
from threadpoolctl import threadpool_limits

from stg_core.affinity.selection import Bools, Floats, Integers, mean_over_others
from stg_core.system.errors import UserError

DEGREES = range(2, 7)
FEWEST_KNOTS, KNOTS_ABOVE_ROOT = 2, 9
SPLINE_ALPHAS = np.concatenate(
    [np.arange(1, 6) / 1_000, np.arange(1, 11) / 100, np.arange(2, 11) / 10]
)
SPLINE_FOLDS = 10
RESIDUAL_ALPHAS = np.logspace(-6, 2, 20)
RESIDUAL_FOLDS = 5
RESIDUALS = ("all", "members", "none")
SAME = 1e-12  # features that differ by less, relative to their size, are one


class EtapPredictor:
    """Predicts gains (R, n) of groups; an estimator in the manner of scikit-learn.

    residual: whom the last step learns from. "all": a task that is not in a group counts with a
    residual of 0, as in the authors' code, which shrinks the correction; "members": only groups
    with the task; "none": no last step.

    After `fit`: affinity_ (n, n); slope_, intercept_ of the line; degree_, n_knots_ and alpha_ of
    the spline (None where all affinities are equal: the prediction is their mean gain);
    residual_alpha_ (n,), None without a last step; n_samples_, pairs of group and member learned
    from.
    """

    def __init__(self, residual: str = "all") -> None:
        if residual not in RESIDUALS:
            raise UserError(f"There is no residual {residual!r}; choose from {RESIDUALS}.")
        self.residual = residual

    def fit(self, affinity: Floats, masks: Bools, gains: Floats) -> Self:
        """Learns from affinity[source, target] (n, n) and trained groups, masks and gains (R, n).

        Single tasks among the groups are left out, since their gain is 0 by definition; NaN in a
        mask is a missing gain. A hundred groups of ten tasks take some seconds. Raises UserError
        where no gain is left to learn from, or shapes do not fit.
        """
        masks, gains = np.asarray(masks, np.bool_), np.asarray(gains, np.float64)
        if masks.shape != gains.shape:
            raise UserError(f"Gains {gains.shape} do not fit the groups {masks.shape}.")
        several = masks.sum(axis=1) > 1
        masks, gains = masks[several], gains[several]
        known = masks & np.isfinite(gains)
        if not known.any():
            raise UserError("ETAP learns from groups of two tasks or more; train at least one.")
        self.affinity_ = np.array(affinity, dtype=np.float64)
        feature = mean_over_others(self.affinity_, masks)
        self.n_samples_ = int(known.sum())
        with threadpool_limits(1):  # thousands of small matrices, over which threads would wait
            self._fit_line(feature[known], gains[known])
            self._fit_spline(self._on_line(feature[known]), gains[known])
            self._fit_residual(masks, np.where(known, gains - self._on_spline(feature), 0), known)
        return self

    def predict(self, masks: Bools) -> Floats:
        """Gains (R, n): 0 for a task alone, NaN outside the mask."""
        masks = np.asarray(masks, np.bool_)
        gains = self.spline_gains(masks)
        if self._corrections:
            gains += self._corrected(masks)
        return _of_members(gains, masks)

    def spline_gains(self, masks: Bools) -> Floats:
        """What `predict` gives before its last step."""
        feature = mean_over_others(self.affinity_, masks)
        return _of_members(self._on_spline(feature), masks)

    def line_gains(self, masks: Bools) -> Floats:
        """What the line alone gives: affinities in the unit of gains."""
        return _of_members(self._on_line(mean_over_others(self.affinity_, masks)), masks)

    def _fit_line(self, feature: Floats, gains: Floats) -> None:
        """Least squares; the mean gain where the affinities do not differ."""
        centred = feature - feature.mean()
        differs = np.ptp(feature) > SAME * np.abs(feature).max()
        self.slope_ = float(centred @ gains / (centred @ centred)) if differs else 0.0
        self.intercept_ = float(gains.mean() - self.slope_ * feature.mean())

    def _on_line(self, feature: Floats) -> Floats:
        return self.slope_ * feature + self.intercept_

    def _fit_spline(self, feature: Floats, gains: Floats) -> None:
        """The grid of the authors' code, by the mean squared error of 10 folds, unshuffled.

        The knots span all features, not those of a fold's training part, so that a design serves
        all folds and all alphas; no gain leaks by that.
        """
        self.degree_ = self.n_knots_ = self.alpha_ = None
        self._spline: tuple[SplineTransformer, _Ridge] | None = None
        if np.ptp(feature) <= SAME * np.abs(feature).max():
            return
        column, labels = feature[:, None], gains[:, None]
        most_knots = int(np.sqrt(len(feature))) + KNOTS_ABOVE_ROOT
        least = np.inf
        for degree in DEGREES:
            for n_knots in range(FEWEST_KNOTS, most_knots + 1):
                spline = SplineTransformer(n_knots, degree, extrapolation="constant").fit(column)
                design = spline.transform(column)
                errors = _fold_errors(design, labels, SPLINE_ALPHAS, SPLINE_FOLDS)
                if errors.min() < least:
                    least, alpha = errors.min(), float(SPLINE_ALPHAS[errors.argmin()])
                    self.degree_, self.n_knots_, self.alpha_ = degree, n_knots, alpha
                    self._spline = spline, _ridge(design, labels, alpha)

    def _on_spline(self, feature: Floats) -> Floats:
        """The line and the spline, for features of any shape."""
        on_line = self._on_line(feature)
        if self._spline is None:
            return on_line
        spline, ridge = self._spline
        return ridge.predict(spline.transform(on_line.reshape(-1, 1))).reshape(feature.shape)

    def _fit_residual(self, masks: Bools, residuals: Floats, known: Bools) -> None:
        """Ridges on who is in the group; one alpha for all tasks, or each its own for "members"."""
        self.residual_alpha_: Floats | None = None
        self._corrections: list[_Ridge] = []
        if self.residual == "none" or len(masks) < 2:
            return
        design, n_tasks = masks.astype(np.float64), masks.shape[1]
        if self.residual == "all":
            alpha = _best_alpha(design, residuals)
            self._corrections = [_ridge(design, residuals, alpha)]
            self.residual_alpha_ = np.full(n_tasks, alpha)
            return
        self.residual_alpha_ = np.empty(n_tasks)
        for t in range(n_tasks):
            rows, own = design[known[:, t]], residuals[known[:, t], t : t + 1]
            self.residual_alpha_[t] = _best_alpha(rows, own)
            self._corrections.append(_ridge(rows, own, self.residual_alpha_[t]))

    def _corrected(self, masks: Bools) -> Floats:
        return np.hstack([ridge.predict(masks.astype(np.float64)) for ridge in self._corrections])


def _of_members(gains: Floats, masks: Bools) -> Floats:
    """0 for a task alone, and NaN outside the mask."""
    masks = np.asarray(masks, np.bool_)
    alone = masks.sum(axis=1, keepdims=True) == 1
    return np.where(masks, np.where(alone, 0.0, gains), np.nan)


# --------------------------------------------------------------------------------- ridge regression


@dataclass(frozen=True)
class _Ridge:
    """weights (p, q), intercept (q,)."""

    weights: Floats
    intercept: Floats

    def predict(self, design: Floats) -> Floats:
        return np.asarray(design @ self.weights + self.intercept)


def _ridge(design: Floats, labels: Floats, alpha: float) -> _Ridge:
    """Ridge regression of labels (N, q) on a design (N, p); the intercept is not shrunk."""
    means, level = _means(design), _means(labels)
    centred = design - means
    gram = centred.T @ centred + alpha * np.eye(design.shape[1])
    weights = np.linalg.solve(gram, centred.T @ (labels - level))
    return _Ridge(np.asarray(weights, np.float64), level - means @ weights)


def _best_alpha(design: Floats, labels: Floats) -> float:
    """Of `RESIDUAL_ALPHAS`, by the error of 5 folds; the largest where there are no two samples."""
    if len(design) < 2:
        return float(RESIDUAL_ALPHAS[-1])
    errors = _fold_errors(design, labels, RESIDUAL_ALPHAS, RESIDUAL_FOLDS)
    return float(RESIDUAL_ALPHAS[errors.argmin()])


def _fold_errors(design: Floats, labels: Floats, alphas: Floats, n_folds: int) -> Floats:
    """Mean squared errors (A,) of ridge regressions, mean over folds of consecutive samples.

    One eigendecomposition per fold gives all alphas; a fold's Gram matrix is that of all samples
    less that of those left out.
    """
    folds = np.array_split(np.arange(len(design)), min(n_folds, len(design)))
    gram, products = design.T @ design, design.T @ labels
    sums, levels = design.sum(axis=0), labels.sum(axis=0)
    errors = np.zeros(len(alphas))
    for fold in folds:
        left, known = design[fold], labels[fold]
        n_others = len(design) - len(fold)
        means, level = (sums - left.sum(axis=0)) / n_others, (levels - known.sum(axis=0)) / n_others
        spread = gram - left.T @ left - n_others * np.outer(means, means)
        covariance = products - left.T @ known - n_others * np.outer(means, level)
        lengths, axes = np.linalg.eigh(spread)
        shrunk = (axes.T @ covariance) / (lengths.clip(0) + alphas[:, None])[:, :, None]
        predicted = ((left - means) @ axes) @ shrunk + level
        errors += ((predicted - known) ** 2).mean(axis=(1, 2))
    return errors / len(folds)


def _means(numbers: Floats) -> Floats:
    return np.asarray(numbers.mean(axis=0))


# ------------------------------------------------------------------------ what to train, and scores


def training_groups(masks: Bools, size: int, seed: int) -> Integers:
    """Rows, ascending, of `size` groups to train: random, but with the group of all tasks.

    masks (R, n): the candidates; single tasks among them are never drawn. Raises UserError where
    the group of all tasks is not among them, or there are fewer candidates.
    """
    masks = np.asarray(masks, np.bool_)
    sizes = masks.sum(axis=1)
    candidates = np.flatnonzero((sizes > 1) & (sizes < masks.shape[1]))
    whole = np.flatnonzero(sizes == masks.shape[1])[:1]
    if not len(whole):
        raise UserError("The group of all tasks is not among the candidates; add it.")
    if not 1 <= size <= len(candidates) + 1:
        raise UserError(
            f"ETAP can train 1 to {len(candidates) + 1} of these groups (those of two tasks or"
            f" more), not {size}."
        )
    drawn = np.random.default_rng(seed).choice(candidates, size - 1, replace=False)
    return np.sort(np.concatenate([whole, drawn]))


def scores(true: Floats, predicted: Floats, masks: Bools) -> dict[str, float]:
    """How well gains (R, n) of groups are predicted: "r2", "pearson", and "samples", the number.

    Over the members of all groups of two tasks or more (Ayman et al. 2026); what is NaN in either
    is left out. R² is 1 at best and 0 for their mean; where fewer than two samples are left, or
    all are equal, what is not defined is NaN.
    """
    masks = np.asarray(masks, np.bool_)
    counted = masks & (masks.sum(axis=1, keepdims=True) > 1)
    counted &= np.isfinite(true) & np.isfinite(predicted)
    x, y = np.asarray(true)[counted], np.asarray(predicted)[counted]
    varies = len(x) > 1 and np.ptp(x) > 0
    r2 = float(r2_score(x, y)) if varies else np.nan
    pearson = float(np.corrcoef(x, y)[0, 1]) if varies and np.ptp(y) > 0 else np.nan
    return {"r2": r2, "pearson": pearson, "samples": len(x)}
