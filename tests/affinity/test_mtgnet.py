"""MTG-Net: gains of any group from trained groups, and which groups it asks to train."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stg_core.affinity.etap import scores, training_groups
from stg_core.affinity.mtgnet import MtgNet, active_learning, next_rows
from stg_core.affinity.selection import all_groups, mean_over_others, select_groups
from stg_core.system.errors import UserError

N_TASKS = 6
MASKS = all_groups(N_TASKS)
ALONE = MASKS.sum(axis=1) == 1


def planted(seed: int = 0, scale: float = 0.1) -> np.ndarray:
    """Gains (R, n) that depend on the other members, more on some and less on others."""
    rng = np.random.default_rng(seed)
    gains = np.tanh(2 * mean_over_others(rng.normal(size=(N_TASKS, N_TASKS)), MASKS))
    gains = scale * (gains + rng.normal(0, 0.1, gains.shape))
    return np.where(MASKS, np.where(ALONE[:, None], 0, gains), np.nan)


GAINS = planted()
TRAINED = np.concatenate([np.arange(N_TASKS), training_groups(MASKS, 30, 0)])
HELD_OUT = np.setdiff1d(np.arange(len(MASKS)), TRAINED)


@pytest.fixture(scope="module")
def model() -> MtgNet:
    return MtgNet().fit(MASKS[TRAINED], GAINS[TRAINED])


# -------------------------------------------------------------------------------- what is predicted


def test_it_beats_the_mean_of_all_and_of_each_task_on_groups_not_trained(model: MtgNet) -> None:
    truth, masks = GAINS[HELD_OUT], MASKS[HELD_OUT]
    several = TRAINED[N_TASKS:]
    of_tasks = np.where(masks, np.nanmean(GAINS[several], axis=0), np.nan)
    of_all = np.where(masks, np.nanmean(GAINS[several]), np.nan)
    found, by_task, by_all = (
        scores(truth, predicted, masks)["r2"]
        for predicted in (model.predict(masks), of_tasks, of_all)
    )
    assert found > 0.4
    assert found > by_task + 0.1 and found > by_all + 0.1


def test_a_task_alone_gains_nothing_and_others_than_members_have_no_value(model: MtgNet) -> None:
    predicted = model.predict(MASKS)
    assert np.array_equal(np.isnan(predicted), ~MASKS)
    assert (predicted[ALONE][MASKS[ALONE]] == 0).all()
    chosen = select_groups(MASKS, predicted, np.ones(len(MASKS)), 3, maximise=True)
    assert chosen.exact and chosen.score > 0


def test_each_group_is_predicted_by_itself(model: MtgNet) -> None:
    whole = model.predict(MASKS)
    for row in (8, 20, 40):
        assert model.predict(MASKS[[row]])[0] == pytest.approx(whole[row], abs=1e-6, nan_ok=True)


def test_the_order_of_the_groups_does_not_matter(model: MtgNet) -> None:
    order = np.random.default_rng(0).permutation(len(TRAINED))
    other = MtgNet().fit(MASKS[TRAINED[order]], GAINS[TRAINED[order]])
    predicted = model.predict(MASKS)
    assert np.array_equal(other.predict(MASKS), predicted, equal_nan=True)
    rows = np.random.default_rng(1).permutation(len(MASKS))
    np.testing.assert_allclose(model.predict(MASKS[rows]), predicted[rows], atol=1e-6)


def test_the_seed_alone_decides_and_torch_is_left_as_it_was(model: MtgNet) -> None:
    torch.manual_seed(7)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    again = MtgNet().fit(MASKS[TRAINED], GAINS[TRAINED])
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads
    assert np.array_equal(again.predict(MASKS), model.predict(MASKS), equal_nan=True)
    other = MtgNet(seed=1).fit(MASKS[TRAINED], GAINS[TRAINED])
    assert not np.allclose(other.predict(MASKS), model.predict(MASKS), equal_nan=True)


def test_gains_in_percent_are_learned_as_well_as_shares(model: MtgNet) -> None:
    percent = MtgNet().fit(MASKS[TRAINED], 100 * GAINS[TRAINED])
    np.testing.assert_allclose(
        percent.predict(MASKS), 100 * model.predict(MASKS), rtol=0.05, atol=1
    )


def test_a_gain_of_zero_is_learned_and_a_missing_one_counts_nowhere() -> None:
    masks = MASKS[~ALONE]
    zero = MtgNet().fit(masks, np.zeros(masks.shape))
    assert np.nanmax(np.abs(zero.predict(masks))) < 0.2
    gap = np.where(masks, 0.5, np.nan)
    gap[::2] = np.nan
    holes = MtgNet().fit(masks, gap)
    without = MtgNet().fit(masks[1::2], gap[1::2])
    np.testing.assert_allclose(holes.predict(masks), without.predict(masks), atol=0.05)
    assert holes.predict(masks)[masks] == pytest.approx(0.5, abs=0.1)


def test_what_cannot_be_learned_from_is_refused() -> None:
    with pytest.raises(UserError, match="train at least one"):
        MtgNet().fit(MASKS[:0], GAINS[:0])
    with pytest.raises(UserError, match="do not fit"):
        MtgNet().fit(MASKS, GAINS[:3])


# ---------------------------------------------------------------------------------- active sampling


@settings(max_examples=50)
@given(st.integers(0, 20), st.integers(0, 1000), st.integers(0, 57))
def test_a_turn_asks_for_the_extreme_unlabelled_groups_of_its_task(
    turn: int, seed: int, n_labelled: int
) -> None:
    rng = np.random.default_rng(seed)
    predicted = np.where(MASKS, rng.normal(size=MASKS.shape), np.nan)
    labelled = rng.choice(np.flatnonzero(~ALONE), n_labelled, replace=False).tolist()
    asked = next_rows(MASKS, predicted, labelled, turn)
    task = turn % N_TASKS
    unlabelled = [
        row for row in np.flatnonzero(MASKS[:, task] & ~ALONE).tolist() if row not in labelled
    ]
    by_size = sorted(unlabelled, key=lambda row: -abs(predicted[row, task]))
    assert asked.tolist() == by_size[: 1 if turn < N_TASKS else N_TASKS]


def test_no_group_is_asked_for_twice_nor_a_task_alone() -> None:
    asked: list[int] = []

    def train(rows: np.ndarray) -> np.ndarray:
        asked.extend(rows.tolist())
        return GAINS[rows]

    sampled = active_learning(train, MASKS)
    assert asked == sampled.rows and len(set(asked)) == len(asked) == 1 + N_TASKS * 5 // 2
    assert asked[0] == len(MASKS) - 1  # the group of all tasks
    assert not ALONE[asked].any()
    assert np.array_equal(sampled.gains, GAINS[asked], equal_nan=True)
    for turn, row in itertools.islice(enumerate(asked[1:]), N_TASKS):
        assert MASKS[row, turn]  # one group for each task in turn


def test_what_is_asked_for_is_repeatable_and_what_is_learned_is_the_last_model() -> None:
    one, other = (active_learning(lambda rows: GAINS[rows], MASKS, 4, seed=3) for _ in range(2))
    assert one.rows == other.rows and len(one.rows) == 5
    assert np.array_equal(one.model.predict(MASKS), other.model.predict(MASKS), equal_nan=True)
    rows = [*range(N_TASKS), *one.rows]
    afresh = MtgNet(seed=3).fit(MASKS[rows], np.where(ALONE[:, None], 0, GAINS)[rows])
    assert np.array_equal(afresh.predict(MASKS), one.model.predict(MASKS), equal_nan=True)


def test_sampling_ends_when_every_group_is_trained() -> None:
    masks = all_groups(3)
    gains = np.where(masks, 0.1, np.nan)
    sampled = active_learning(lambda rows: gains[rows], masks, added=50)
    assert sorted(sampled.rows) == [3, 4, 5, 6]
    assert active_learning(lambda rows: gains[rows], masks, added=0).rows == [6]
    with pytest.raises(UserError, match="all tasks is not among"):
        active_learning(lambda rows: gains[rows], masks[:-1])
