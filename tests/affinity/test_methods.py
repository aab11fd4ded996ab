"""Ways to choose groups, compared on one table: what they choose, its true score, and its cost."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import f1_score

from stg_core.affinity.branched import branched_spec
from stg_core.affinity.methods import (
    AFFINITY_OF,
    METHODS,
    Judged,
    available,
    beaten,
    chance,
    choose,
    counted_trainings,
    joint_cost,
    judge,
    matrices,
    prepare,
    rank_correlations,
    similarity_and_gains,
)
from stg_core.affinity.outputs import affinity_from
from stg_core.affinity.table import (
    BUILT_IN,
    GroupTable,
    begin_table,
    bundled_table,
    bundled_tables,
    load_table,
    save_table,
    table_path,
)
from stg_core.cli.main import main
from stg_core.results import store as store_module
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.training.spec import TrainingSpec
from stg_core.training.speed import total_seconds

TASKS = ("1", "Odd", "Small", "Not small")
SPEC = TrainingSpec(GROUPS["digits"], tasks=TASKS, epochs=3)
OF_CIFAR = TrainingSpec(GROUPS["g1"], epochs=10)
BUDGETS = (1, 2, 3, 4)


@pytest.fixture(scope="module")
def kept(few_digits: TaskData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stg_core.tasks.data.load_task_data", lambda *_: few_digits)
        yield Store(tmp_path_factory.mktemp("groups"))


@pytest.fixture(scope="module")
def table(kept: Store) -> GroupTable:
    """All 15 groups of four tasks of the digits, really trained, and what every method learned."""
    begun = begin_table(SPEC, kept, lambda _: None)
    prepare(begun, kept, tuple(METHODS), 0, lambda _: None, BUDGETS)
    return begun


def judged(table: GroupTable, budget: int) -> dict[str, Judged]:
    return {m: judge(table, choose(table, m, budget), budget) for m in available(table)}


def test_every_group_is_one_training_of_its_tasks_alone(table: GroupTable, kept: Store) -> None:
    assert table.known.all() and len(table.masks) == 15
    row = table.row([1, 3])
    assert table.spec_of(row).tasks == ("Odd", "Not small")
    metrics = kept.run(table.spec_of(row).key).metrics["test"]
    assert table.losses[row, [1, 3]].tolist() == metrics["loss"][-1]
    assert table.f1[row, [1, 3]].tolist() == metrics["f1"][-1]
    assert np.isnan(table.losses[row, [0, 2]]).all()


def test_a_gain_is_the_share_of_the_loss_alone_that_is_saved(table: GroupTable) -> None:
    pair, alone = table.row([0, 2]), table.row([2])
    expected = (table.losses[alone, 2] - table.losses[pair, 2]) / table.losses[alone, 2]
    assert table.gains[pair, 2] == pytest.approx(expected)
    assert np.diag(table.gains[table.alone]).tolist() == [0, 0, 0, 0]


def test_every_method_but_superclasses_is_there_for_the_digits(table: GroupTable) -> None:
    assert set(available(table)) == set(METHODS) - {"superclasses"}
    assert BUILT_IN["g1-6"].tasks == ("airplane", "cat", "dog", "horse", "ship", "truck")


@pytest.mark.parametrize("budget", BUDGETS)
def test_exhaustive_search_finds_the_best_set_and_no_other_method_beats_it(
    table: GroupTable, budget: int
) -> None:
    best = max(
        np.where(table.masks[list(rows)], table.gains[list(rows)], -np.inf).max(axis=0).mean()
        for count in range(1, budget + 1)
        for rows in combinations(range(len(table.masks)), count)
    )
    found = judged(table, budget)
    assert found["exhaustive"].score == pytest.approx(best)
    within = [one for one in found.values() if one.within_budget]
    assert max(one.score for one in within) == found["exhaustive"].score
    assert all(len(one.groups) <= budget for one in within)


def test_every_task_is_served_by_a_chosen_group_that_has_it(table: GroupTable) -> None:
    for budget in BUDGETS:
        for one in judged(table, budget).values():
            for task, place in zip(TASKS, one.served_by, strict=True):
                assert task in one.groups[place]


def test_all_alone_gains_nothing_and_exceeds_a_small_budget(table: GroupTable) -> None:
    alone = judged(table, 2)["alone"]
    assert alone.score == 0 and alone.counted == 4 and not alone.within_budget
    together = judged(table, 2)["together"]
    assert together.groups == (TASKS,) and together.cost == together.counted == 1


def test_stg_groups_are_the_clusters_of_the_data_maps(table: GroupTable) -> None:
    groups = choose(table, "stg", 2).groups
    labels = table.clusters[2]
    assert {frozenset(np.flatnonzero(table.masks[row])) for row in groups} == {
        frozenset(np.flatnonzero(labels == j)) for j in (0, 1)
    }


def test_labels_alone_put_a_task_and_its_opposite_together(table: GroupTable, kept: Store) -> None:
    """ "Small" and "Not small", of which neither method is told what they mean."""
    run = kept.run(table.spec.key)
    for method in ("labels", "errors"):
        assert np.array_equal(table.outputs[method], affinity_from(run, method))
        groups = judged(table, 2)[method].groups
        assert any({"Small", "Not small"} <= {*group} for group in groups)
    assert judged(table, 2)["labels"].counted == 2, "it needs no model"


@pytest.mark.parametrize("budget", BUDGETS)
def test_dmtg_groups_are_the_branches_that_tasks_chose_within_the_budget(
    table: GroupTable, kept: Store, budget: int
) -> None:
    found = judged(table, budget)["dmtg"]
    together = [[one == other for other in found.served_by] for one in found.served_by]
    if budget == 1:
        assert found.groups == (TASKS,) and found.counted == found.cost == 1, "without a choice"
        return
    run = kept.run(branched_spec(table.spec, budget).key)
    chosen = run.metrics["branches"][-1]
    assert together == [[one == other for other in chosen] for one in chosen]
    assert run.spec.branches == budget and found.counted == budget + len(found.groups)
    rows = {*choose(table, "dmtg", budget).groups}
    unit = table.seconds[table.together]
    own = (total_seconds(run.metrics) + sum(table.seconds[row] for row in rows)) / unit
    assert found.cost == pytest.approx(own)


def test_dmtg_says_nothing_of_a_budget_that_it_was_not_trained_for(table: GroupTable) -> None:
    fewer = replace(table, branched={2: table.branched[2]})
    assert "dmtg" in available(fewer) and "dmtg" in available(fewer, 2)
    assert "dmtg" not in available(fewer, 3)
    with pytest.raises(UserError, match="nothing of the method dmtg"):
        choose(fewer, "dmtg", 3)
    assert choose(table, "dmtg", 9).groups == choose(table, "dmtg", 4).groups, "of four tasks"


def test_surrogates_foretell_the_mean_gain_beside_each_other_task(table: GroupTable) -> None:
    rows = [row for row in table.searched["surrogates"].tolist() if row not in table.alone]
    assert (table.masks[rows].sum(axis=1) == 2).all() and len(rows) == 6
    every = table.row([0, 1, 2, 3])
    beside = [table.gains[table.row([0, other]), 0] for other in (1, 2, 3)]
    assert table.predicted["surrogates"][every, 0] == pytest.approx(np.mean(beside))


def test_bundled_tables_have_nothing_of_later_methods_and_are_as_readable() -> None:
    for name in ("digits-8", "g1-6"):
        later = {"labels", "errors", "pvi", "surrogates"}
        assert not later & {*available(bundled_table(name))}
        with pytest.raises(UserError, match="nothing of the method labels"):
            choose(bundled_table(name), "labels", 2)


def test_the_luck_of_a_coin_is_in_no_mean_and_in_no_choice() -> None:
    table = bundled_table("digits-8")
    assert table.left_out == ("Random",) and not bundled_table("g1-6").left_out
    coin = table.tasks.index("Random")
    lucky = {name: getattr(table, name).copy() for name in ("losses", "part_losses", "f1")}
    other = np.flatnonzero(table.masks[:, coin])[3]
    for values in lucky.values():
        values[other, coin] *= 0.01
    for method in ("hoa", "exhaustive", "stg"):
        with_luck = judged(replace(table, **lucky), 3)[method]
        assert with_luck == judged(table, 3)[method]
        rows = [table.row([table.tasks.index(t) for t in group]) for group in with_luck.groups]
        gains = [table.gains[rows[j], t] for t, j in enumerate(with_luck.served_by) if t != coin]
        assert with_luck.score == pytest.approx(np.mean(gains))


def test_the_f1_is_that_of_the_models_that_serve_the_tasks(table: GroupTable, kept: Store) -> None:
    choice = choose(table, "tag", 2)
    expected = []
    for t, row in enumerate(choice.routing.tolist()):
        run = kept.run(table.spec_of(row).key)
        column = run.spec.tasks.index(TASKS[t])
        said = run.logits("test")[-1][:, column] > 0
        expected.append(f1_score(run.labels("test")[:, column], said))
    found = judge(table, choice, 2)
    assert found.mean_f1 == pytest.approx(np.mean(expected), abs=1e-6)
    assert found.f1_interval[0] < found.mean_f1 < found.f1_interval[1]


def test_what_is_counted_is_what_the_formula_says(table: GroupTable) -> None:
    """Less what was trained on the way and is chosen in the end: it is trained once."""
    every = table.affinities["tag"].every
    for method, one in judged(table, 3).items():
        if method == "alone":
            assert one.counted == counted_trainings(method, 4, 3)
            continue
        choice = choose(table, method, 3)
        again = {*choice.searched.tolist()} & {*choice.groups}
        of_joint = ("stg", "errors", "pvi", *AFFINITY_OF)
        if method in of_joint and table.together in choice.groups:
            again.add(table.together)
        if method == "etap":
            again.add(table.together)  # which is in the joint training and among its groups
        fewer = 3 - len(choice.groups) if method not in ("together", "exhaustive") else 0
        expected = counted_trainings(method, 4, 3, every) - fewer
        if method == "gradtag":  # whose formula is for 50,000 points and 10 epochs
            expected += joint_cost(table.spec, method) - joint_cost(OF_CIFAR, method)
        if method not in ("together", "exhaustive"):
            expected -= len(again)
        assert one.counted == pytest.approx(expected), method


def test_the_cost_is_measured_in_trainings_of_all_tasks(table: GroupTable) -> None:
    found = judged(table, 2)
    unit = table.seconds[table.together]
    assert found["exhaustive"].cost == pytest.approx(table.seconds.sum() / unit)
    tag = choose(table, "tag", 2)
    own = sum(table.seconds[row] for row in tag.groups if row != table.together) / unit
    assert found["tag"].cost == pytest.approx(own + table.affinities["tag"].cost)


def test_trainings_for_ten_tasks_by_hand() -> None:
    expected = {
        "together": 1,
        "alone": 10,
        "random": 3,
        "stg": 4,
        "labels": 3,
        "errors": 4,
        "pvi": 4,
        "surrogates": 10 + 20 + 3,
        "tag": 1 + 28 / 30 + 3,
        "cosine": 1 + 18 / 30 + 3,
        "transfer": 1 + 146 / 60 + 3,
        "gradtag": 1 + 100 * 2_000 / 500_000 + 3,
        "dmtg": 3 + 3,
        "hoa": 45 + 10 + 3,
        "etap": 1 + 18 / 30 + 10 + 10 + 3,
        "mtgnet": 45 + 10 + 1 + 3,
        "exhaustive": 1023,
    }
    found = {method: counted_trainings(method, 10, 3) for method in expected}
    assert found == pytest.approx(expected)


def test_random_groups_are_as_many_as_allowed_and_the_same_for_a_seed(table: GroupTable) -> None:
    for seed in range(5):
        assert len(choose(table, "random", 3, seed).groups) == 3
    assert choose(table, "random", 2, 1).groups == choose(table, "random", 2, 1).groups


def test_affinities_are_compared_with_what_pairs_truly_gain(table: GroupTable) -> None:
    found = matrices(table)
    others = ["datamaps", "labels", "errors", "pvi"]
    assert list(found) == ["tag", "transfer", "gradtag", "cosine", "etap", *others, "gains"]
    pair = table.row([0, 1])
    assert found["gains"][0, 1] == table.gains[pair, 1]
    by_epoch = [matrices(table, epoch)["tag"] for epoch in (1, 2, 3)]
    assert np.allclose(np.mean(by_epoch, axis=0), found["tag"])
    for by_target in (False, True):
        correlations = rank_correlations(found, by_target)
        assert np.allclose(np.diag(correlations), 1) and np.allclose(correlations, correlations.T)


def test_a_shift_of_a_target_changes_nothing_among_its_sources() -> None:
    rng = np.random.default_rng(0)
    one = rng.normal(size=(4, 4))
    other = one + np.array([0, 5, -9, 3])
    np.fill_diagonal(other, 100)
    assert rank_correlations({"one": one, "other": other}, by_target=True)[0, 1] > 0.999
    assert rank_correlations({"one": one, "other": other})[0, 1] < 0.9


def test_predictions_are_judged_on_groups_that_were_not_trained(table: GroupTable) -> None:
    found = judged(table, 2)
    assert found["hoa"].pearson is not None and found["hoa"].r2 is not None
    assert found["tag"].r2 is None  # it says affinities, which have another unit
    assert found["exhaustive"].pearson is None  # nothing is held out
    assert found["together"].pearson is None


@pytest.mark.parametrize("measure", ["gain", "f1"])
@pytest.mark.parametrize("name", sorted(bundled_tables()))
def test_only_what_is_beyond_the_noise_beats_a_method(name: str, measure: str) -> None:
    table = bundled_table(name)
    found = judged(table, 3)
    worse = dict(zip(found, beaten(table, list(found.values()), measure), strict=True))

    def told(one: Judged) -> tuple[float, tuple[float, float]]:
        of = {"gain": (one.score, one.gain_interval), "f1": (one.mean_f1, one.f1_interval)}
        return of[measure]

    for method, one in found.items():
        value, (_, high) = told(one)
        rivals = [told(other) for other in found.values() if other.cost <= one.cost]
        if any(low > high for _, (low, _) in rivals):
            assert worse[method], "intervals that do not even meet"
        if all(other <= value for other, _ in rivals):
            assert not worse[method]


def test_a_method_that_cannot_be_told_from_a_cheaper_one_is_not_beaten() -> None:
    table = bundled_table("g1-6")
    found = judged(table, 3)
    by_f1 = dict(zip(found, beaten(table, list(found.values()), "f1"), strict=True))
    assert by_f1["mtgnet"] and not by_f1["stg"]
    pair = [judge(table, choose(table, name, 3), 3) for name in ("together", "superclasses")]
    assert pair[0].cost < pair[1].cost and pair[0].score > pair[1].score
    assert beaten(table, pair) == [False, False]


def test_an_interval_of_a_gain_is_of_the_losses_of_single_images(
    table: GroupTable, kept: Store
) -> None:
    """Against a bootstrap over the images themselves, with losses by hand."""
    choice = choose(table, "stg", 2)
    losses: dict[str, list[np.ndarray]] = {"alone": [], "served": []}
    for t in range(len(TASKS)):
        for name, row in (("alone", table.alone[t]), ("served", choice.routing[t])):
            run = kept.run(table.spec_of(int(row)).key)
            column = run.spec.tasks.index(TASKS[t])
            logits = run.logits("test")[-1][:, column].astype(float)
            yes = run.labels("test")[:, column] == 1
            sure = 1 / (1 + np.exp(-logits))
            weighted = -np.where(yes, table.pos_weight[t] * np.log(sure), np.log(1 - sure))
            assert weighted.mean() == pytest.approx(table.losses[row, t], rel=0.01)
            losses[name].append(weighted)
    rng = np.random.default_rng(1)
    n = len(table.labels)
    draws = [rng.integers(0, n, n) for _ in range(1_000)]
    alone, served = (np.array(losses[name]) for name in ("alone", "served"))
    drawn = [np.mean(1 - served[:, i].mean(axis=1) / alone[:, i].mean(axis=1)) for i in draws]
    found = judge(table, choice, 2)
    low, high = found.gain_interval
    assert low < found.score < high
    assert high - low == pytest.approx(np.subtract(*np.percentile(drawn, (97.5, 2.5))), rel=0.25)
    assert judge(table, choose(table, "alone", 2), 2).gain_interval == (0, 0)


def test_no_method_within_the_budget_gains_more_than_the_exhaustive_one() -> None:
    for name in bundled_tables():
        for budget in (2, 3, 4):
            found = judged(bundled_table(name), budget)
            within = [one.score for one in found.values() if one.within_budget]
            assert found["exhaustive"].score == max(within)


def test_chance_is_what_random_groupings_come_to(table: GroupTable) -> None:
    tasks = np.arange(len(TASKS))
    expected = chance(table, 2, draws=40)
    routings = [choose(table, "random", 2, seed).routing for seed in range(40)]
    gains = [table.gains[routing, tasks].mean() for routing in routings]
    assert expected is not None
    assert expected.gain == pytest.approx(np.percentile(gains, (5, 95)))
    assert expected.f1[0] <= expected.f1[1] <= 1
    unknown = dataclasses.replace(table, seconds=np.full_like(table.seconds, np.nan))
    assert chance(unknown, 2) is None


def test_a_table_is_the_same_after_it_was_written_and_read(
    table: GroupTable, tmp_path: Path
) -> None:
    save_table(table, tmp_path / "some.npz")
    read = load_table(tmp_path / "some.npz")
    for budget in BUDGETS:
        assert judged(read, budget) == judged(table, budget)
    assert read.tasks == TASKS and read.provenance == table.provenance


def test_a_damaged_table_is_refused_with_what_to_do(tmp_path: Path, table: GroupTable) -> None:
    for content in (b"", b"something else", b"PK\x03\x04"):
        (tmp_path / "some.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"some\.npz is damaged.*Restore assets/bundles"):
            load_table(tmp_path / "some.npz")
    np.savez(tmp_path / "pickled.npz", about=np.array([{"spec": 1}], dtype=object))
    with pytest.raises(UserError, match="is damaged"):
        load_table(tmp_path / "pickled.npz")


def test_what_cannot_be_compared_is_said(table: GroupTable, kept: Store) -> None:
    with pytest.raises(UserError, match="no method 'magic'"):
        choose(table, "magic", 2)
    with pytest.raises(UserError, match="budget is 0"):
        choose(table, "tag", 0)
    with pytest.raises(UserError, match="nothing of the method superclasses"):
        choose(table, "superclasses", 2)
    with pytest.raises(UserError, match="there are 15"):
        begin_table(TrainingSpec(GROUPS["digits"]), kept, lambda _: None)


def test_the_command_tells_groups_score_and_cost_of_every_method(
    table: GroupTable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(store_module, "BUNDLES", tmp_path)
    save_table(table, table_path("digits-4"))
    assert main(["methods", "--table", "digits-4", "--budget", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["tasks"] == list(TASKS) and answer["budget"] == 3
    assert set(answer["methods"]) == set(available(table))
    for told in answer["methods"].values():
        assert {"groups", "score", "cost", "counted", "mean_f1"} <= set(told)
    assert main(["methods", "--table", "digits-4", "--budget", "2"]) == 0
    assert "exhaustive" in capsys.readouterr().out
    assert main(["methods", "--table", "nothing"]) == 2
    assert "choose from digits-4" in capsys.readouterr().err
    assert main(["methods"]) == 2
    assert bundled_table("digits-4").tasks == TASKS


@pytest.mark.parametrize(("name", "expected"), [("digits-8", -0.320), ("g1-6", 0.053)])
def test_the_readme_says_how_little_similarity_tells_of_gains(name: str, expected: float) -> None:
    told = similarity_and_gains(bundled_table(name))
    assert told is not None and told[0] == pytest.approx(expected, abs=0.001)
    readme = (store_module.BUNDLES.parents[1] / "README.md").read_text()
    assert f"{told[0]:+.2f}".replace("-", "−") in " ".join(readme.split())


def test_similarity_that_is_not_known_says_nothing(table: GroupTable) -> None:
    assert similarity_and_gains(replace(table, similarity=None)) is None


def test_the_command_trains_what_the_methods_of_own_tasks_need_and_no_more(
    own_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["methods", "--group", "digits", "--tasks", "0,1,Random", "--epochs", "2"]
    assert main([*words, "--methods", "stg,tag", "--budget", "2", "--json"]) == 0
    out = capsys.readouterr()
    answer = json.loads(out.out.splitlines()[-1])
    assert set(answer["methods"]) == {"stg", "tag"}
    trained = [run for run in Store(own_home).runs() if not run.bundled]
    assert len(trained) < 2**3 - 1
