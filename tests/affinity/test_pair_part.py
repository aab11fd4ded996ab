"""What of a gain is the pair's own, and what foretells it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from stg_core.affinity.pair_part import foretell, own_part, pair_gains, relation
from tests.affinity.seed_tables import blocks, planted

Floats = NDArray[np.float64]


def matrix(n: int, seed: int) -> Floats:
    return np.random.default_rng(seed).normal(size=(n, n))


def off(found: Floats) -> Floats:
    return np.asarray(found[~np.eye(len(found), dtype=bool)])


def test_the_gains_of_pairs_are_those_of_the_table() -> None:
    effect = matrix(4, 0) / 10
    table = planted(effect)
    found = pair_gains(table, table.gains()[0, ..., 0])
    assert off(found) == pytest.approx(off(effect), abs=1e-6)
    assert np.isnan(np.diag(found)).all()


def test_what_belongs_to_the_tasks_is_no_own_part() -> None:
    target, source = matrix(6, 1)[:2]
    assert off(own_part(target + source[:, None])) == pytest.approx(0, abs=1e-12)


def test_the_own_part_is_what_was_put_in_beside_the_effects_of_tasks() -> None:
    own = own_part(matrix(6, 2))
    effects = 5 * matrix(6, 3)[0] + 7 * matrix(6, 4)[0][:, None]
    assert off(own_part(own + effects)) == pytest.approx(off(own))


def test_entries_that_are_not_known_stay_so_and_do_no_harm() -> None:
    gains = matrix(6, 5)[0] + matrix(6, 6)[0][:, None]
    gains[0, 1] = np.nan
    found = own_part(gains)
    assert np.isnan(found[0, 1])
    assert np.nanmax(np.abs(found)) == pytest.approx(0, abs=1e-12)


def test_an_affinity_that_says_the_own_part_is_related_to_it_and_noise_is_not() -> None:
    own = matrix(8, 7)
    said = own + 0.3 * matrix(8, 8) + 10 * matrix(8, 9)[0]  # the effects of tasks do not matter
    strong = relation(said, own)
    assert strong is not None
    assert strong[0] > 0.9 and strong[1] < 0.01
    opposite = relation(-said, own)
    assert opposite is not None
    assert opposite == pytest.approx((-strong[0], strong[1]))
    p = [found[1] for s in range(20) if (found := relation(matrix(8, 100 + s), own))]
    assert len(p) == 20 and 0.2 < np.mean(p) < 0.8


def test_an_affinity_without_own_part_is_not_related_to_anything() -> None:
    assert relation(np.ones((6, 6)) + matrix(6, 10)[0], matrix(6, 11)) is None
    assert relation(np.full((6, 6), np.nan), matrix(6, 11)) is None


def test_what_foretells_pairs_in_some_tables_is_found_in_another() -> None:
    true = {name: matrix(8, seed) for seed, name in enumerate("abcd")}
    features = {
        name: {"told": -(gains**3) + matrix(8, 50 + i)[0], "noise": matrix(8, 60 + i)}
        for i, (name, gains) in enumerate(true.items())
    }
    found = foretell(features, true)
    assert found is not None
    for name in true:
        assert found.ridge[name][0] > 0.8 and found.ridge[name][1] < 0.01
        assert found.best[name][0] == "told" and found.best[name][1] > 0.8  # its sign is learned
        assert found.single["told"][name] < -0.8 and abs(found.single["noise"][name]) < 0.4


def test_noise_foretells_nothing() -> None:
    true = {name: matrix(8, seed) for seed, name in enumerate("abcd")}
    features = {
        name: {f"noise {j}": matrix(8, 70 + 10 * i + j) for j in range(5)}
        for i, name in enumerate(true)
    }
    found = foretell(features, true)
    assert found is not None
    assert np.mean([r for r, _ in found.ridge.values()]) < 0.1
    assert min(p for _, p in found.ridge.values()) > 0.01


def test_a_feature_that_a_table_does_not_have_counts_for_nothing_there() -> None:
    true = {name: matrix(8, seed) for seed, name in enumerate("abc")}
    features = {name: {"told": gains} for name, gains in true.items()}
    features["c"] = {}
    found = foretell(features, true)
    assert found is not None
    assert np.isnan(found.single["told"]["c"]) and np.isnan(found.ridge["c"][0])
    assert found.ridge["a"][0] > 0.9


def test_one_table_alone_foretells_nothing() -> None:
    assert foretell({"a": {"told": blocks()}}, {"a": blocks()}) is None
