"""ETAP: gains of any group from affinities and a few trained groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import SplineTransformer

from stg_core.affinity import etap
from stg_core.affinity.etap import RESIDUAL_ALPHAS, EtapPredictor, scores, training_groups
from stg_core.affinity.selection import all_groups, mean_over_others, select_groups
from stg_core.system.errors import UserError

N_TASKS = 7
MASKS = all_groups(N_TASKS)
ALONE = MASKS.sum(axis=1) == 1
OWN = np.linspace(-0.3, 0.3, N_TASKS)  # what each task gains in any group


def affinities(seed: int = 0, n_tasks: int = N_TASKS) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n_tasks, n_tasks))


def planted(own: float = 0.0, noise: float = 0.01, seed: int = 0) -> np.ndarray:
    """Gains (R, n) that rise with the affinity, level off and fall again, and differ by task."""
    feature = mean_over_others(affinities(seed), MASKS)
    gains = 0.1 * np.exp(-((feature - 0.4) ** 2) / 0.3) + own * OWN
    gains += np.random.default_rng(seed + 1).normal(0, noise, gains.shape)
    return np.where(MASKS, np.where(ALONE[:, None], 0, gains), np.nan)


def held_out(rows: np.ndarray) -> np.ndarray:
    return np.setdiff1d(np.arange(len(MASKS)), rows)


def fitted(
    gains: np.ndarray, size: int = 40, residual: str = "all"
) -> tuple[EtapPredictor, np.ndarray]:
    rows = training_groups(MASKS, size, 0)
    return EtapPredictor(residual).fit(affinities(), MASKS[rows], gains[rows]), held_out(rows)


# -------------------------------------------------------------------------------- what is predicted


def test_a_gain_that_is_not_linear_in_the_affinity_is_recovered_on_groups_not_trained() -> None:
    gains = planted()
    predictor, rest = fitted(gains)
    found = scores(gains[rest], predictor.predict(MASKS[rest]), MASKS[rest])
    line = scores(gains[rest], predictor.line_gains(MASKS[rest]), MASKS[rest])
    assert found["r2"] > 0.85 and found["pearson"] > 0.9
    assert line["r2"] < found["r2"] - 0.2


@pytest.mark.parametrize("residual", ["all", "members"])
def test_what_a_task_gains_in_any_group_is_learned_by_the_last_step(residual: str) -> None:
    gains = planted(own=1.0)
    predictor, rest = fitted(gains, residual=residual)
    found = scores(gains[rest], predictor.predict(MASKS[rest]), MASKS[rest])
    before = scores(gains[rest], predictor.spline_gains(MASKS[rest]), MASKS[rest])
    assert found["r2"] > 0.9 > 0.5 > before["r2"]
    without, _ = fitted(gains, residual="none")
    assert np.array_equal(without.predict(MASKS), predictor.spline_gains(MASKS), equal_nan=True)


def test_residuals_of_members_only_are_not_shrunk() -> None:
    gains = planted(own=1.0, noise=0)
    errors = {}
    for residual in ("all", "members"):
        predictor, _ = fitted(gains, 10, residual)
        errors[residual] = np.nanmean((predictor.predict(MASKS) - gains) ** 2)
    assert errors["members"] < errors["all"]


def test_affinities_that_harm_are_turned_round_by_the_line() -> None:
    feature = mean_over_others(affinities(), MASKS)
    gains = np.where(MASKS, 0.2 - 0.5 * feature, np.nan)
    predictor = EtapPredictor().fit(affinities(), MASKS[~ALONE], gains[~ALONE])
    assert predictor.slope_ == pytest.approx(-0.5) and predictor.intercept_ == pytest.approx(0.2)
    several = predictor.line_gains(MASKS[~ALONE])
    np.testing.assert_allclose(several, gains[~ALONE], atol=1e-12)


def test_groups_to_choose_from_are_in_the_unit_of_the_groups_learned_from() -> None:
    """The same map for trained and other groups: else groups are chosen by noise."""
    gains = planted()
    predictor, rest = fitted(gains)
    large = EtapPredictor().fit(1e4 * affinities(), MASKS[~ALONE][::3], gains[~ALONE][::3])
    small = EtapPredictor().fit(1e-4 * affinities(), MASKS[~ALONE][::3], gains[~ALONE][::3])
    np.testing.assert_allclose(large.predict(MASKS), small.predict(MASKS), rtol=1e-6, atol=1e-8)
    predicted = predictor.predict(MASKS[rest])
    assert np.nanmin(gains) - 0.05 < np.nanmin(predicted)
    assert np.nanmax(predicted) < np.nanmax(gains) + 0.05


def test_a_task_alone_gains_nothing_and_others_than_members_have_no_value() -> None:
    predictor, _ = fitted(planted(own=1.0))
    predicted = predictor.predict(MASKS)
    assert np.array_equal(np.isnan(predicted), ~MASKS)
    assert (predicted[ALONE][MASKS[ALONE]] == 0).all()
    chosen = select_groups(MASKS, predicted, np.ones(len(MASKS)), 3, maximise=True)
    assert chosen.exact and chosen.score > 0


@settings(max_examples=5)
@given(st.integers(0, 1000))
def test_each_group_is_predicted_by_itself_and_always_the_same(seed: int) -> None:
    gains = planted(own=0.5)
    rows = np.random.default_rng(seed).permutation(training_groups(MASKS, 12, seed))
    predictor = EtapPredictor().fit(affinities(), MASKS[rows], gains[rows])
    again = EtapPredictor().fit(affinities(), MASKS[rows], gains[rows])
    predicted = predictor.predict(MASKS)
    assert np.array_equal(again.predict(MASKS), predicted, equal_nan=True)
    order = np.random.default_rng(seed).permutation(len(MASKS))
    np.testing.assert_allclose(predictor.predict(MASKS[order]), predicted[order], atol=1e-12)


# ---------------------------------------------------------------------------- tables that are small


@pytest.mark.parametrize("size", [1, 2, 3, 5])
@pytest.mark.parametrize("residual", etap.RESIDUALS)
def test_a_few_trained_groups_are_enough_to_begin(size: int, residual: str) -> None:
    masks = all_groups(3)
    rows = np.array([6, 3, 4, 5, 0])[:size]
    gains = np.where(masks, 0.1, np.nan)
    predictor = EtapPredictor(residual).fit(affinities(0, 3), masks[rows], gains[rows])
    several = masks.sum(axis=1) > 1
    predicted = predictor.predict(masks)[several]
    assert predicted[masks[several]] == pytest.approx(0.1)
    assert predictor.n_samples_ == masks[rows][masks[rows].sum(axis=1) > 1].sum()


def test_equal_affinities_predict_the_mean_gain() -> None:
    masks = all_groups(4)
    gains = np.where(masks, np.arange(15)[:, None] / 10, np.nan)
    predictor = EtapPredictor("none").fit(np.ones((4, 4)), masks[[10, 14]], gains[[10, 14]])
    assert predictor.slope_ == 0 and predictor.degree_ is None
    mean = (3 * 1.0 + 4 * 1.4) / 7
    predicted = predictor.predict(masks)[4:]
    assert predicted[masks[4:]] == pytest.approx(mean)


def test_a_missing_gain_counts_nowhere() -> None:
    gains = planted()
    rows = training_groups(MASKS, 30, 0)
    mask, gap = MASKS[rows], gains[rows].copy()
    task = int(np.flatnonzero(mask[3])[0])
    gap[3, task] = np.nan
    predictor = EtapPredictor().fit(affinities(), mask, gap)
    assert predictor.n_samples_ == mask.sum() - 1
    assert np.isfinite(predictor.predict(MASKS)[MASKS]).all()


def test_what_cannot_be_learned_from_is_refused() -> None:
    gains = planted()
    with pytest.raises(UserError, match="train at least one"):
        EtapPredictor().fit(affinities(), MASKS[:5], gains[:5])
    with pytest.raises(UserError, match="do not fit"):
        EtapPredictor().fit(affinities(), MASKS, gains[:5])
    with pytest.raises(UserError, match="does not fit"):
        EtapPredictor().fit(affinities(n_tasks=3), MASKS, gains)
    with pytest.raises(UserError, match="not finite"):
        EtapPredictor().fit(np.where(np.eye(7)[::-1], np.nan, 1.0), MASKS, gains)
    with pytest.raises(UserError, match="no residual 'xgboost'"):
        EtapPredictor("xgboost")


# ---------------------------------------------------------------------------------- against sklearn


@pytest.mark.parametrize(("n_samples", "folds"), [(40, 5), (37, 5), (23, 10), (4, 4)])
def test_ridge_errors_are_those_of_scikit_learns_grid_search(n_samples: int, folds: int) -> None:
    rng = np.random.default_rng(0)
    design, labels = rng.normal(size=(n_samples, 6)), rng.normal(size=(n_samples, 3))
    grid = {"alpha": RESIDUAL_ALPHAS}
    search = GridSearchCV(Ridge(), grid, cv=KFold(folds), scoring="neg_mean_squared_error")
    expected = -search.fit(design, labels).cv_results_["mean_test_score"]
    found = etap._fold_errors(design, labels, RESIDUAL_ALPHAS, folds)
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    ridge, theirs = etap._ridge(design, labels, 0.3), Ridge(0.3).fit(design, labels)
    np.testing.assert_allclose(ridge.predict(design), theirs.predict(design), atol=1e-10)


def test_the_spline_is_the_pipeline_of_the_authors_at_the_chosen_setting() -> None:
    predictor = EtapPredictor("none").fit(affinities(), MASKS[~ALONE][::4], planted()[~ALONE][::4])
    masks, gains = MASKS[~ALONE][::4], planted()[~ALONE][::4]
    feature = mean_over_others(affinities(), masks)
    line = (predictor.slope_ * feature + predictor.intercept_)[masks][:, None]
    assert predictor.n_knots_ and predictor.degree_ and predictor.alpha_
    pipeline = make_pipeline(
        SplineTransformer(predictor.n_knots_, predictor.degree_), Ridge(predictor.alpha_)
    )
    expected = pipeline.fit(line, gains[masks]).predict(line)
    np.testing.assert_allclose(predictor.predict(masks)[masks], expected, atol=1e-8)


# ------------------------------------------------------------------------ what to train, and scores


@given(st.integers(2, 6), st.integers(0, 1000), st.data())
def test_the_groups_to_train_are_random_and_contain_that_of_all_tasks(
    n_tasks: int, seed: int, data: st.DataObject
) -> None:
    masks = all_groups(n_tasks)
    size = data.draw(st.integers(1, len(masks) - n_tasks))
    rows = training_groups(masks, size, seed)
    assert len(set(rows.tolist())) == size and sorted(rows) == rows.tolist()
    assert masks[rows].all(axis=1).sum() == 1
    assert (masks[rows].sum(axis=1) > 1).all()
    assert np.array_equal(rows, training_groups(masks, size, seed))


def test_other_seeds_draw_other_groups_and_too_many_are_refused() -> None:
    drawn = {tuple(training_groups(MASKS, 10, seed)) for seed in range(20)}
    assert len(drawn) == 20
    with pytest.raises(UserError, match="1 to 120 of these groups"):
        training_groups(MASKS, 121, 0)
    with pytest.raises(UserError, match="all tasks is not among"):
        training_groups(MASKS[:-1], 5, 0)


def test_scores_are_of_members_of_groups_of_two_or_more() -> None:
    masks = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=bool)
    true = np.array([[9, 9, 9], [0.1, 0.2, 9], [9, 0.3, 0.4], [np.nan, 0.5, 0.6]])
    predicted = np.where(masks, true, -5.0)
    predicted[0, 0] = 77
    assert scores(true, predicted, masks) == pytest.approx({"r2": 1, "pearson": 1, "samples": 6})
    mean = np.full(true.shape, 0.35)
    found = scores(true, mean, masks)
    assert found["r2"] == pytest.approx(0) and np.isnan(found["pearson"])
    assert scores(true, -true, masks)["pearson"] == pytest.approx(-1)
    assert np.isnan(scores(true[:1], true[:1], masks[:1])["r2"])
