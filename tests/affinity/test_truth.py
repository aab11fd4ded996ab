"""What tables with several seeds say of the methods, on tables whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stg_core.affinity.methods import METHODS
from stg_core.affinity.seed_methods import (
    choice_of,
    chosen_by,
    learned_tasks,
    note_choices,
    seen,
    titles,
    ways,
)
from stg_core.affinity.seeds import SeedTable, load_seed_table, seed_table_path
from stg_core.affinity.truth import (
    MethodTruth,
    better_than_random,
    estimated,
    kept_methods,
    kept_truth,
    method_truths,
    note_truths,
    pairs,
    random_routings,
    reliability,
    scores,
    sentences,
    spearman_brown,
    table_truth,
)
from tests.affinity.seed_tables import blocks, planted

Floats = NDArray[np.float64]


def with_methods(table: SeedTable, told: Floats, budget: int = 2) -> dict[str, MethodTruth]:
    """What the methods come to, "labels" of which says an affinity to choose by."""
    table.joint["labels"] = np.stack([told] * table.n_seeds)
    note_choices(table, [budget], lambda what: None)
    return {one.method: one for one in method_truths(table, budget)}


# ----------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    ("of_seeds", "of_points", "of_both"), [(1, 0, 0), (0, 1, 0), (0.3, 1, 0), (0.3, 0.3, 1)]
)
def test_93_to_97_of_100_intervals_hold_the_truth(
    of_seeds: float, of_points: float, of_both: float
) -> None:
    """of_both: how far the points that a seed does well on are its own."""
    rng, held, n_parts, n_seeds = np.random.default_rng(0), [], 50, 5
    counts = rng.multinomial(n_parts, np.full(n_parts, 1 / n_parts), 400) / n_parts
    for _ in range(1_000):
        parts = rng.normal(0, of_points * n_parts**0.5, n_parts)[:, None]
        parts = parts + rng.normal(0, of_both * n_parts**0.5, (n_parts, n_seeds))
        seeds = rng.normal(0, of_seeds, n_seeds)
        found = estimated(seeds + parts.mean(axis=0), counts @ parts + seeds)
        held.append(found.low <= 0 <= found.high)
    assert 0.93 <= np.mean(held) <= 0.97


def test_one_seed_has_no_interval_over_seeds() -> None:
    assert np.isnan(estimated(np.array([0.3])).low)
    over_points = estimated(np.array([0.3]), np.array([[0.2], [0.4], [0.3]]))
    assert over_points.low < 0.3 < over_points.high


# -------------------------------------------------------------------------------------- choices


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits-8", "tox21-8", "yeast-8"])
def test_what_bundled_tables_keep_as_chosen_is_what_is_chosen_of_them_today(name: str) -> None:
    table = load_seed_table(seed_table_path(name))
    for method in titles(table):
        chosen = [choice_of(table, method, *way, 3).routing for way in ways(table)]
        kept = chosen_by(table, method, 3)
        assert np.array_equal(np.reshape(chosen, kept.shape), kept), method


# -------------------------------------------------------------------------------------- scores


def test_a_score_is_the_mean_gain_of_the_tasks_in_the_groups_that_serve_them() -> None:
    table = planted(blocks())
    groups = [table.row([0, 1, 2]), table.row([3, 4])]
    routing = np.array([groups[0]] * 3 + [groups[1]] * 2 + [table.row([5])])
    found = scores(table, np.broadcast_to(routing, (5, 2, 6)))
    assert found.seeds == pytest.approx(5 * 0.3 / 6, abs=1e-6)
    assert found.drawn == pytest.approx(5 * 0.3 / 6, abs=1e-3)


def test_planted_groups_are_found_by_what_tells_them_and_have_no_regret() -> None:
    table = planted(blocks(), of_seeds=0.02)
    found = with_methods(table, blocks())
    told, chance = found["labels"], found["random"]
    assert told.score.mean == pytest.approx(0.3, abs=0.02)
    assert abs(told.regret.mean) < 0.02
    assert told.over_random.sign == 1 and chance.regret.sign == 1
    assert told.rank and told.rank.high < 2  # it shares the first two ranks with HOA
    assert found["together"].regret.sign == 1
    assert told.told and told.told.mean > 0.9
    assert {METHODS["hoa"].title, "Label correlation"} <= {*better_than_random([*found.values()])}


def test_what_tells_nothing_is_not_better_than_random_groups() -> None:
    table = planted(blocks(), of_seeds=0.02)
    wrong = np.random.default_rng(3).permutation(blocks().ravel()).reshape(6, 6)
    assert with_methods(table, wrong)["labels"].title not in better_than_random(
        [*with_methods(table, wrong).values()]
    )


def test_of_noise_alone_no_method_is_better_and_a_choice_by_it_is_no_gain() -> None:
    """Exhaustive search finds the luckiest groups, and scored on the same points it would gain."""
    table = planted(np.zeros((6, 6)), of_seeds=0.05)
    rng = np.random.default_rng(5)
    luck = rng.normal(0, 0.05, table.chosen_losses.shape).astype(np.float32)
    table.chosen_losses += luck * (table.masks.sum(axis=1) > 1)[:, None, None]
    table.losses += (
        rng.normal(0, 0.05, table.losses.shape).astype(np.float32)
        * (table.masks.sum(axis=1) > 1)[:, None, None]
    )
    found = with_methods(table, blocks())
    assert better_than_random([*found.values()]) == []


def test_a_choice_costs_what_it_trained() -> None:
    found = with_methods(planted(blocks()), blocks())
    assert found["together"].cost == 1 and found["alone"].cost == 6
    assert found["labels"].cost == 2  # needs no model to choose by
    assert found["exhaustive"].cost == 63 and found["hoa"].cost == 21 + 2


def test_random_groups_are_the_mean_of_many() -> None:
    table = planted(blocks())
    one_by_one = [scores(table, routing).seeds for routing in random_routings(table, 2)[:20]]
    assert np.ptp(np.array(one_by_one)) > 0.1
    together = scores(table, random_routings(table, 2)[:20])
    assert together.seeds == pytest.approx(np.mean(one_by_one, axis=0))


def test_coins_count_in_no_mean() -> None:
    effect = blocks()
    effect[:, 5] = -9  # whatever happens to it
    table = planted(effect, coins=[5])
    assert learned_tasks(table).tolist() == [True] * 5 + [False]
    everything = np.full((5, 2, 6), table.together)
    without = planted(effect[:5, :5])
    assert scores(table, everything).seeds == pytest.approx(
        (effect[:, :5].sum(axis=0) - 0.3).sum() / 5 / 5, abs=1e-6
    )
    assert table_truth(table).left_out == ("task 5",)
    assert len(without.tasks) == pairs(table).count - 5 == 5


def test_a_choice_sees_only_the_half_that_is_chosen_on() -> None:
    table = planted(blocks())
    table.chosen_losses[0, :, table.row([0, 1]), 0, 0] = 0.5
    assert seen(table, 0, 0).gains[table.row([0, 1]), 0] == pytest.approx(0.5)
    assert seen(table, 0, 1).gains[table.row([0, 1]), 0] == pytest.approx(0.3)
    assert table.gains()[0, table.row([0, 1]), 0] == pytest.approx(0.3)


def test_what_is_not_known_is_not_compared() -> None:
    table = planted(blocks())
    table.joint["datamaps"] = np.full((5, 6, 6), np.nan)  # tasks that share no points
    assert "datamaps" not in titles(table) and "tag" not in titles(table)


# ---------------------------------------------------------------------------------- reliability


def test_the_reliability_is_that_of_the_signal_in_the_noise() -> None:
    rng = np.random.default_rng(1)
    true, noise = rng.normal(size=4_000), rng.normal(size=(6, 2, 4_000))
    found = reliability(true + noise)
    of_three = 1 / (1 + 1 / 3 / 2)  # variance of the signal over that of a mean of 3 seeds
    assert found.half == pytest.approx(of_three, abs=0.01)
    assert found.full == pytest.approx(1 / (1 + 1 / 6 / 2), abs=0.01)
    assert found.points == pytest.approx(1 / (1 + 1 / 3), abs=0.01)


def test_noise_is_not_reliable_and_what_the_points_share_is_not_on_others() -> None:
    rng = np.random.default_rng(2)
    luck = rng.normal(size=(1, 2, 4_000))  # of the test points, the same with every seed
    found = reliability(luck + 0.1 * rng.normal(size=(5, 2, 4_000)))
    assert found.half > 0.95 and abs(found.points) < 0.05
    assert abs(reliability(rng.normal(size=(5, 2, 4_000))).half) < 0.05
    assert np.isnan(reliability(luck).half)


def test_spearman_and_brown() -> None:
    assert spearman_brown(0.5, 2) == pytest.approx(2 / 3)
    assert spearman_brown(-0.2, 2) == -0.2


# ----------------------------------------------------------------------------- pairs, and words


def test_where_every_pair_gains_there_is_nothing_to_group() -> None:
    effect = np.full((6, 6), 0.2) + np.random.default_rng(0).normal(0, 0.02, (6, 6))
    table = planted(effect, of_seeds=0.01)
    found = pairs(table)
    assert found.all_gain and found.gaining == found.count == 15 and found.losing == 0
    truths = with_methods(table, effect)
    told = " ".join(sentences(table_truth(table), [*truths.values()]))
    assert "there is nothing to group" in told


def test_the_auroc_of_all_together_is_held_against_that_of_single_models() -> None:
    table = planted(blocks())
    table.auroc[:, table.together] = [[0.82]] * 6
    table.auroc[:, table.together, 0] += np.linspace(-0.01, 0.01, 5)[:, None]
    found = table_truth(table)
    assert found.auroc_alone == pytest.approx(0.8)
    assert found.auroc_gain.mean == pytest.approx(0.02) and found.auroc_gain.sign == 1


def test_that_more_epochs_might_be_better_is_said() -> None:
    table = planted(blocks())
    found = [*with_methods(table, blocks()).values()]
    assert "more epochs" not in " ".join(sentences(table_truth(table), found))
    table.stopped[:, :20] = table.spec.epochs
    told = " ".join(sentences(table_truth(table), found))
    assert "32 % of the models are best after the last epoch" in told


def test_where_pairs_harm_each_other_that_is_counted() -> None:
    table = planted(blocks(), of_seeds=0.02)
    found = pairs(table)
    assert (found.positive, found.gaining, found.losing) == (6, 6, 9)
    truths = with_methods(table, blocks())
    told = " ".join(sentences(table_truth(table), [*truths.values()]))
    assert "6 of 15 pairs gain" in told and "nothing to group" not in told
    better = better_than_random([*truths.values()])
    assert f"random groups beyond the noise of seeds and points: {', '.join(better)}." in told


def test_the_own_part_of_planted_blocks_is_reliable_and_told() -> None:
    table = planted(blocks() + np.arange(6) / 10, of_seeds=0.02)
    reading = table_truth(table).readings["model"]
    assert reading.own.half > 0.95 and 0 < reading.own_share < 1
    own = with_methods(table, blocks())["labels"].own
    assert own and own["model"][0] > 0.95


def test_without_any_own_part_there_is_nothing_to_tell() -> None:
    table = planted(np.broadcast_to(np.arange(6) / 10, (6, 6)), of_seeds=0.02)
    assert abs(table_truth(table).readings["model"].own.half) < 0.5


def test_what_a_table_tells_is_read_as_it_was_kept() -> None:
    table = planted(blocks(), of_seeds=0.02)
    found = with_methods(table, blocks())
    note_truths(table, [2])
    assert kept_methods(table, 2) == [*found.values()]
    assert kept_truth(table) == table_truth(table)
