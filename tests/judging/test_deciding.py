"""Who decided an answer, and what hard routing would have said."""

from __future__ import annotations

import numpy as np
import pytest

from stg_core.judging.deciding import answer_to, averaged, decision
from stg_core.judging.ensembles import Answers, ensemble_output
from stg_core.tasks.groups import Task

NAN = float("nan")


@pytest.mark.parametrize("average", ["logits", "probabilities"])
def test_the_average_is_that_of_the_ensembles(average: str) -> None:
    tasks = [Task("a"), Task("b", kind="multiclass", values=("x", "y", "z"))]
    logits = np.random.default_rng(0).normal(0, 2, (3, 1, 4)).astype(np.float16)
    weights = np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
    served = [range(2)] * 3
    output = ensemble_output(list(logits), served, weights, average, Answers.of(tasks))[0]
    each = logits[:, 0].astype(np.float64)
    yes = 1 / (1 + np.exp(-each[:, :1]))
    powers = np.exp(each[:, 1:])
    classes = powers / powers.sum(axis=1, keepdims=True)
    binary = averaged(yes, weights[0], "binary", average)
    several = averaged(classes, weights[1], "multiclass", average)
    if average == "probabilities":
        assert binary[0] == pytest.approx(output[0] + 0.5, abs=1e-3)
        assert several == pytest.approx(output[1:], abs=1e-3)
    else:
        assert np.log(binary / (1 - binary)) == pytest.approx(output[:1], abs=1e-3)
        assert several == pytest.approx(np.exp(output[1:]) / np.exp(output[1:]).sum(), abs=1e-3)


def test_who_turns_the_answer_is_decisive() -> None:
    found = decision([[0.9], [0.4], [0.45]], [0.5, 0.3, 0.2], "binary", "probabilities")
    assert found.said[0] == pytest.approx(0.66)
    assert found.decisive == (0,) and found.strongest == 0 and not found.alone
    assert found.without[0, 0] == pytest.approx((0.3 * 0.4 + 0.2 * 0.45) / 0.5)


def test_of_several_who_turn_it_the_largest_move_comes_first() -> None:
    found = decision([[0.6], [0.7], [0.1]], [0.3, 0.4, 0.3], "binary", "probabilities")
    assert found.said[0] == pytest.approx(0.49)
    assert found.decisive == (2,)
    balanced = decision([[0.55], [0.95], [0.07]], [0.4, 0.3, 0.3], "binary", "probabilities")
    assert balanced.said[0] == pytest.approx(0.526)
    assert balanced.decisive == (1,)
    three = decision([[0.8], [0.8], [0.0]], [0.35, 0.3, 0.35], "binary", "probabilities")
    assert three.said[0] == pytest.approx(0.52) and three.decisive == (0, 1)


def test_where_all_agree_nobody_is_decisive_but_one_moves_it_most() -> None:
    found = decision([[0.99], [0.7]], [0.5, 0.5], "binary")
    assert found.decisive == ()
    assert found.moves[found.moves_most] == found.moves.max() > 0


def test_the_strongest_may_be_outvoted_and_hard_routing_then_says_another_thing() -> None:
    found = decision([[0.3], [0.9], [0.9]], [0.4, 0.3, 0.3], "binary", "probabilities")
    assert answer_to(found.said, "binary") == 1 and answer_to(found.hard, "binary") == 0
    assert found.strongest == 0 and found.hard[0] == 0.3
    assert found.decisive == (), "of the two that agree, one is enough"


def test_hard_routing_takes_the_first_of_equal_weights() -> None:
    assert decision([[0.1], [0.9]], [0.5, 0.5], "binary").strongest == 0


def test_one_who_answers_alone() -> None:
    found = decision([[0.2], [0.9], [NAN]], [0.0, 1.0, 0.0], "binary")
    assert found.said[0] == pytest.approx(0.9) and found.alone and found.moves_most == 1
    assert np.isnan(found.without[1, 0]) and found.without[0, 0] == pytest.approx(0.9)
    assert found.decisive == ()


def test_sure_to_the_last_bit_is_no_infinity() -> None:
    found = decision([[1.0], [0.0]], [0.5, 0.5], "binary")
    assert found.said[0] == pytest.approx(0.5) and np.isfinite(found.moves).all()


def test_classes() -> None:
    each = [[0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.4, 0.5, 0.1]]
    found = decision(each, [0.4, 0.4, 0.2], "multiclass", "probabilities")
    assert answer_to(found.said, "multiclass") == 0 and answer_to(found.hard, "multiclass") == 0
    assert found.decisive == (0, 2), "without either of them the second has its way"


def test_a_number_is_moved_by_everybody_and_turned_by_nobody() -> None:
    found = decision([[10.0], [20.0]], [0.75, 0.25], "regression")
    assert found.said[0] == 12.5 and found.hard[0] == 10
    assert found.decisive == () and found.moves_most == 0
    assert found.moves.tolist() == [7.5, 2.5]


def test_the_threshold_is_the_models_own() -> None:
    found = decision([[0.4], [0.1]], [0.5, 0.5], "binary", "probabilities", threshold=0.2)
    assert answer_to(found.said, "binary", 0.2) == 1 and found.decisive == (0,)
