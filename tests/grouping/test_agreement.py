"""A grouping against a reference: scores that are scikit-learn's, and the bar of chance."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from stg_core.cli.main import main
from stg_core.grouping.agreement import (
    MAX_REFERENCE_BYTES,
    SCORES,
    Reference,
    _coherence,
    _values,
    agreement_with,
    built_in_reference,
    read_reference,
    score_labels,
    scores_by_k,
)
from stg_core.grouping.memberships import Grouping, TaskSpace, group_tasks
from stg_core.results.store import Store
from stg_core.system.errors import UserError
from stg_core.tasks.groups import CIFAR100_SUPERCLASSES, GROUPS, custom_group

TASKS = ("cat", "dog", "ship", "truck", "Random")


def reference_of(labels: list[Any]) -> Reference:
    names = [None if label is None else f"label {label:02}" for label in labels]
    return Reference("test", tuple(f"task {t}" for t in range(len(labels))), tuple(names))


def grouping_of(reference: Reference, labels: list[int], memberships: Any = None) -> Grouping:
    k = max(labels) + 1
    rows = np.eye(k)[labels] if memberships is None else np.array(memberships)
    return Grouping(reference.tasks, k, 2.0, "soft", rows, np.array(labels), {})


def scikit_learns(known: Any, found: Any) -> dict[str, float]:
    table = metrics.cluster.contingency_matrix(known, found)
    return {
        "adjusted_rand_index": metrics.adjusted_rand_score(known, found),
        "adjusted_mutual_information": metrics.adjusted_mutual_info_score(known, found),
        "homogeneity": metrics.homogeneity_score(known, found),
        "completeness": metrics.completeness_score(known, found),
        "purity": table.max(axis=0).sum() / table.sum(),
    }


@cache
def g3_space() -> TaskSpace:
    return TaskSpace(Store().run("bundled:g3").summary)


@cache
def superclasses() -> Reference:
    reference = built_in_reference(GROUPS["g3"], g3_space().tasks)
    assert reference is not None
    return reference


# ------------------------------------------------------------------------------------ properties


@st.composite
def partitions(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Labels and clusters of 2 to 30 tasks, with two different labels at least."""
    n = draw(st.integers(2, 30))
    labels = draw(
        st.lists(st.integers(0, 6), min_size=n, max_size=n).filter(lambda x: len({*x}) > 1)
    )
    return labels, draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))


@given(partitions())
def test_scores_are_those_of_scikit_learn(both: tuple[list[int], list[int]]) -> None:
    labels, clusters = both
    scores = score_labels(reference_of(labels), np.array(clusters))
    assert tuple(scores) == SCORES
    assert {n: s.value for n, s in scores.items()} == pytest.approx(
        scikit_learns(labels, clusters), abs=1e-9
    )


@given(partitions(), st.integers(0, 1000))
def test_scores_of_relabellings_are_those_of_scikit_learn_too(
    both: tuple[list[int], list[int]], seed: int
) -> None:
    labels, clusters = (np.unique(x, return_inverse=True)[1] for x in both)
    relabelled = np.random.default_rng(seed).permuted(np.tile(clusters, (3, 1)), axis=1)
    values = _values(labels, relabelled)
    for i, found in enumerate(relabelled):
        expected = scikit_learns(labels, found)
        assert {n: v[i] for n, v in values.items()} == pytest.approx(expected, abs=1e-9)


@given(partitions(), st.permutations(range(9)))
def test_the_numbers_of_the_clusters_do_not_matter(
    both: tuple[list[int], list[int]], numbers: list[int]
) -> None:
    reference = reference_of(both[0])
    before = score_labels(reference, np.array(both[1]))
    after = score_labels(reference, np.array(numbers)[both[1]])
    for name in SCORES:
        a, b = before[name], after[name]
        assert (a.value, a.p_value) == pytest.approx((b.value, b.p_value), abs=1e-9)
        assert (a.chance_mean, a.chance_low, a.chance_high) == pytest.approx(
            (b.chance_mean, b.chance_low, b.chance_high), abs=1e-9
        )


@given(partitions())
def test_a_grouping_that_is_the_reference_scores_one(both: tuple[list[int], list[int]]) -> None:
    scores = score_labels(reference_of(both[0]), np.array(both[0]))
    assert [score.value for score in scores.values()] == pytest.approx([1.0] * len(SCORES))


@given(partitions())
def test_p_values_and_histograms_count_all_relabellings(both: tuple[list[int], list[int]]) -> None:
    for score in score_labels(reference_of(both[0]), np.array(both[1])).values():
        assert 1 / 1001 <= score.p_value <= 1
        assert score.histogram.sum() == 1000
        assert len(score.edges) == len(score.histogram) + 1
        assert score.edges[0] <= score.chance_low <= score.chance_high <= score.edges[-1]


@given(partitions())
def test_a_task_without_a_label_changes_no_score(both: tuple[list[int], list[int]]) -> None:
    labels, clusters = both
    without = score_labels(reference_of(labels), np.array(clusters))
    more = score_labels(reference_of([*labels, None]), np.array([*clusters, 9]))
    for name in SCORES:
        assert more[name].value == without[name].value
        assert more[name].p_value == without[name].p_value


def test_a_planted_structure_is_far_from_chance_and_a_random_one_is_not() -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat(np.arange(10), 6)
    planted = np.where(rng.random(60) < 0.3, rng.integers(0, 10, 60), labels)
    reference = reference_of(labels.tolist())
    assert {s.p_value for s in score_labels(reference, planted).values()} == {1 / 1001}
    p_values = [
        [s.p_value for s in score_labels(reference, rng.integers(0, 10, 60)).values()]
        for _ in range(100)
    ]
    assert np.all(np.mean(p_values, axis=0) > 0.4)
    assert np.all(np.mean(np.array(p_values) <= 0.05, axis=0) < 0.15)


def test_chance_is_that_of_all_permutations_and_ties_count_as_high() -> None:
    # of the 24 ways to deal out two pairs, 8 give the pairs of the labels: index 1, else −1/2
    score = score_labels(reference_of([0, 0, 1, 1]), np.array([0, 0, 1, 1]))["adjusted_rand_index"]
    assert score.p_value == pytest.approx(1 / 3, abs=0.05)
    assert score.chance_mean == pytest.approx(0, abs=0.08)
    assert (score.chance_low, score.chance_high) == (-0.5, 1)
    lone = score_labels(reference_of([0, 0, 1, 1]), np.array([0, 0, 0, 0]))
    assert {s.p_value for s in lone.values()} == {1}


def test_adjusted_scores_are_zero_by_chance_and_the_others_are_not() -> None:
    scores = score_labels(superclasses(), group_tasks(g3_space(), 20).labels)
    assert scores["adjusted_rand_index"].chance_mean == pytest.approx(0, abs=0.005)
    assert scores["adjusted_mutual_information"].chance_mean == pytest.approx(0, abs=0.005)
    assert scores["homogeneity"].chance_mean > 0.4 and scores["purity"].chance_mean > 0.2


# --------------------------------------------------------------------------- labels and clusters


def test_the_table_is_in_the_order_of_the_best_assignment() -> None:
    reference = reference_of([0, 0, 0, 1, 1, 1, 1, 2, 2, None])
    found = agreement_with(reference, grouping_of(reference, [2, 2, 0, 0, 0, 0, 0, 0, 0, 1]))
    assert found.rows == ("label 01", "label 00", "label 02")
    assert found.columns == (0, 2, 1)
    np.testing.assert_array_equal(found.table, [[4, 0, 0], [1, 2, 0], [2, 0, 0]])
    assert found.assigned == (0, 2, None)


def test_labels_are_kept_whole_or_split_and_clusters_merge_them() -> None:
    reference = reference_of([0, 0, 1, 1, 1, 2, 2, 3, 3, None])
    found = agreement_with(reference, grouping_of(reference, [0, 0, 1, 2, 2, 2, 2, 3, 3, 3]))
    assert [(p.label, p.cluster) for p in found.whole] == [
        ("label 00", 0),
        ("label 02", 2),
        ("label 03", 3),
    ]
    assert found.alone == ("label 00",)  # label 03 shares its cluster with a task without a label
    assert [[(p.cluster, p.tasks) for p in own] for own in found.split] == [
        [(2, ("task 3", "task 4")), (1, ("task 2",))]
    ]
    assert [[(p.cluster, p.label) for p in held] for held in found.merged] == [
        [(2, "label 01"), (2, "label 02")]
    ]


@given(partitions())
def test_every_label_is_whole_or_split_and_no_task_is_lost(
    both: tuple[list[int], list[int]],
) -> None:
    reference = reference_of(both[0])
    found = agreement_with(reference, grouping_of(reference, both[1]))
    split = [own[0].label for own in found.split]
    assert sorted([part.label for part in found.whole] + split) == sorted(reference.distinct)
    parts = [*found.whole, *(part for own in found.split for part in own)]
    assert sorted(t for part in parts for t in part.tasks) == sorted(reference.tasks)
    assert found.table.sum() == len(reference.tasks)
    assert sorted(found.columns) == list(range(max(both[1]) + 1))
    taken = [cluster for cluster in found.assigned if cluster is not None]
    assert len(set(taken)) == len(taken)
    assert all(found.table[i, i] > 0 for i in range(len(taken)))


def test_coherence_is_the_mean_overlap_of_pairs_and_orders_the_panels() -> None:
    rows = [[0.5, 0.5], [1, 0], [0, 1], [0.9, 0.1], [0.9, 0.1], [0.3, 0.7]]
    reference = reference_of([0, 0, 0, 1, 1, 2])
    panels = agreement_with(reference, grouping_of(reference, [0, 0, 1, 0, 0, 1], rows)).panels
    assert [panel.label for panel in panels] == ["label 01", "label 00", "label 02"]
    assert panels[0].coherence == pytest.approx(1)
    assert panels[1].coherence == pytest.approx((0.5 + 0.5 + 0) / 3)
    assert panels[2].coherence is None
    assert panels[1].tasks == ("task 0", "task 1", "task 2")
    np.testing.assert_array_equal(panels[1].memberships, rows[:3])


# -------------------------------------------------------------------------------- bundled results


def test_g3_keeps_people_and_trees_whole_far_above_chance() -> None:
    found = agreement_with(superclasses(), group_tasks(g3_space(), 20))
    assert {"people", "trees"} <= {part.label for part in found.whole}
    assert {score.p_value for score in found.scores.values()} == {1 / 1001}
    assert len(found.panels) == 20 and found.panels[0].label in ("people", "trees")


def test_scores_run_from_k_2_to_40_or_to_the_number_of_tasks() -> None:
    by_k = dict(scores_by_k(superclasses(), g3_space()))
    assert list(by_k) == list(range(2, 41))
    alone = score_labels(superclasses(), group_tasks(g3_space(), 20).labels)
    assert by_k[20]["purity"].value == alone["purity"].value
    space = TaskSpace(Store().run("bundled:g2").summary)
    reference = built_in_reference(GROUPS["g2"], space.tasks)
    assert reference is not None
    by_k = dict(scores_by_k(reference, space, method="fcm", largest=40))
    assert list(by_k) == list(range(2, 16))


# ------------------------------------------------------------------------------------- references


def test_g1_and_g2_are_held_against_living_or_not_and_g3_against_the_superclasses() -> None:
    g1 = built_in_reference(GROUPS["g1"], GROUPS["g1"].task_names)
    assert g1 is not None and g1.labels.count("living") == 6 and not g1.left_out
    g2 = built_in_reference(GROUPS["g2"], GROUPS["g2"].task_names)
    assert g2 is not None and g2.labels[:10] == g1.labels
    assert g2.left_out == GROUPS["g2"].task_names[10:]
    assert superclasses().distinct == tuple(sorted(CIFAR100_SUPERCLASSES))


def test_a_group_without_known_labels_has_no_built_in_reference() -> None:
    alike = custom_group("cifar10", ["cat", "dog"], {"Any": ["ship", "cat"]})
    unions = custom_group("cifar100", ["boy"], {"two": ["girl", "rose"]})
    for group in (GROUPS["digits"], alike, unions):
        assert built_in_reference(group, group.task_names) is None
    some = built_in_reference(GROUPS["g1"], ["ship", "cat"])
    assert some is not None and some.labels == ("not living", "living")


@pytest.mark.parametrize(
    "content",
    [
        "task,label\ncat,pet\ndog,pet\nship,vehicle\n",
        "cat,pet\ndog,pet\nship,vehicle",
        "\ufeffTask;Label\r\ncat;pet\r\ndog;pet\r\nship;vehicle\r\n",
        '"cat" , "pet"\n\n"dog", "pet"\n"ship",vehicle,,\n',
        '"task";"label"\n"cat";"pet"\n"dog";"pet"\n"ship";"vehicle"\n',
        "cat\tpet\rdog\tpet\rship\tvehicle\r",
        b"\xef\xbb\xbfcat,pet\ndog,pet\nship,vehicle\n,\n",
        "cat,pet\ndog,pet\nship,vehicle\ntruck,\nRandom\n",
    ],
)
def test_a_reference_is_read_from_the_csv_that_people_have(content: str | bytes) -> None:
    reference = read_reference(content, TASKS)
    assert reference.labels == ("pet", "pet", "vehicle", None, None)
    assert reference.left_out == ("truck", "Random")


def test_names_with_delimiters_and_quotes_are_read() -> None:
    tasks = ("cats; dogs", 'the "big" one, too', "task")
    content = '"cats; dogs",a\n"the ""big"" one, too","b;c"\ntask,a\n'
    assert read_reference(content, tasks).labels == ("a", "b;c", "a")
    semicolons = '"cats; dogs";a\nthe "big" one, too;b,c\n'
    assert read_reference(semicolons, tasks).labels == ("a", "b,c", None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("task,label\ncat,pet\ndgo,pet\n", "Line 3: there is no task 'dgo'; is 'dog' meant"),
        ("cat,pet\nunicorn,pet\n", "Line 2: there is no task 'unicorn'; tasks are 'cat'"),
        ("cat,pet\n\ndog,pet\ncat,animal\n", "Line 4: the task 'cat' stands there twice"),
        ("cat,pet\n,pet\n", r"Line 2 \('pet'\) has no task or no label"),
        ("cat,pet,small\ndog,pet\n", "Line 1 is not a task and a label"),
        ('cat,pet\n"dog,pet\nship,vehicle\n', "Line 2 is not a task and a label"),
        ("<!doctype html>\n<p>cat</p>\n", "Line 1 .* has no task or no label"),
        ('{"cat": "pet"}', "Line 1 .* has no task or no label"),
        ("task,label\ncat,pet\n", "labels for two tasks or more, and has 1"),
        ("", "labels for two tasks or more, and has 0"),
        ("cat,\ndog,\nship\n", "labels for two tasks or more, and has 0"),
        ("cat,\ncat,pet\n", "Line 2: the task 'cat' stands there twice"),
        ("cat,pet\ndog,pet\n", "All tasks of the reference have the label 'pet'"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", "not a text in UTF-8"),
        ("cat,pet\ndog,hund\n".encode("utf-16"), "not a text in UTF-8"),
        ("cat,pet\x00\ndog,animal\n", "not a text in UTF-8"),
        (b"x" * (MAX_REFERENCE_BYTES + 1), "longer than 200,000 bytes"),
        ("x" * (MAX_REFERENCE_BYTES - 1), "Line 1 is not CSV"),
        ("cat,pet\n" * 20_000, "Line 2: the task 'cat' stands there twice"),
    ],
)
def test_what_is_no_reference_is_refused_in_a_sentence(content: str | bytes, words: str) -> None:
    with pytest.raises(UserError, match=words) as refused:
        read_reference(content, TASKS)
    assert len(str(refused.value)) < 300


@given(st.one_of(st.text(), st.binary()))
def test_nothing_that_is_uploaded_breaks_the_reader(content: str | bytes) -> None:
    with pytest.raises(UserError):
        read_reference(content, TASKS)


def test_a_reference_of_other_tasks_is_refused() -> None:
    reference = reference_of([0, 1, 1])
    grouping = grouping_of(reference_of([0, 1, 1, 2]), [0, 1, 1, 0])
    with pytest.raises(UserError, match="other tasks"):
        agreement_with(reference, grouping)
    with pytest.raises(UserError, match="other tasks"):
        next(scores_by_k(reference, g3_space()))


# ------------------------------------------------------------------------------- the command line


def answer_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert main(["agreement", *words, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def test_the_command_tells_all_that_the_library_finds(capsys: pytest.CaptureFixture[str]) -> None:
    answer = answer_of(capsys, "bundled:g2", "--k", "3", "--fuzzifier", "1.5", "--every-k")
    assert answer["left_out"] == list(GROUPS["g2"].task_names[10:])
    assert set(answer["scores"]) == set(SCORES)
    rand = answer["scores"]["adjusted_rand_index"]
    assert rand["value"] == 1 and 0 < rand["p_value"] < 0.05 and sum(rand["histogram"]) == 1000
    assert sorted(map(sum, answer["table"])) == [4, 6]
    assert [part["label"] for part in answer["whole"]] == ["living", "not living"]
    assert list(answer["scores_by_k"]) == [str(k) for k in range(2, 16)]
    assert main(["agreement", "bundled:g2", "--k", "3"]) == 0
    told = capsys.readouterr().out
    assert "kept whole: living, with others" in told and "having no label: Living being" in told


def test_the_command_takes_a_reference_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("task;label\nairplane;flies\nbird;flies\nship;swims\nfrog;swims\n", "utf-8-sig")
    answer = answer_of(capsys, "bundled:g1", "--k", "2", "--reference", str(file))
    assert answer["reference"]["name"] == "your labels"
    assert sorted(answer["rows"]) == ["flies", "swims"] and len(answer["left_out"]) == 6
    assert len(answer["split"]) == 2 and len(answer["merged"]) == 2


def test_what_the_user_can_mend_is_said_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing, wrong = tmp_path / "missing.csv", tmp_path / "wrong.csv"
    wrong.write_text("airplane,flies\nbrid,flies\n")
    for file, sentence in [(missing, "Cannot read"), (wrong, "is 'bird' meant")]:
        assert main(["agreement", "bundled:g1", "--k", "2", "--reference", str(file)]) == 2
        captured = capsys.readouterr()
        assert sentence in captured.err and not captured.out


def test_without_known_labels_the_command_asks_for_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["extract", "--group", "digits", "--epochs", "2", "--json"]) == 0
    run = json.loads(capsys.readouterr().out.splitlines()[-1])["run"]
    assert main(["agreement", run, "--k", "3"]) == 2
    assert "--reference FILE.csv" in capsys.readouterr().err


def test_coherence_is_the_mean_over_all_pairs_of_the_tasks_of_a_label() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(4), size=30)
    pairs = [np.minimum(shares[a], shares[b]).sum() for a in range(30) for b in range(a)]
    assert _coherence(shares) == pytest.approx(np.mean(pairs))
