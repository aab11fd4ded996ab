"""What the lesson says of the bundled runs is what these say."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app import model_files, state, try_points
from app.answering import Answered
from app.charts import lesson as charts
from stg_core.engine.derived import kept_choice
from stg_core.grouping import choosing
from stg_core.grouping.choosing import Choice
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.data import load_task_data
from stg_core.tasks.groups import CIFAR100_SUPERCLASSES
from stg_core.tasks.images import CLASS_NAMES
from tests.pages.conftest import ROOT

STEPS = tomllib.loads((ROOT / "assets" / "lesson.toml").read_text())["step"]


def said(step: int) -> str:
    """All texts of a step, counted from 1, with single spaces and without emphasis."""
    written = " ".join(STEPS[step - 1][part] for part in ("text", "question", "answer"))
    return " ".join(written.replace("*", "").split())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("empty"))


@cache
def run_and_space(store: Store, name: str) -> tuple[Run, TaskSpace]:
    run = store.run(f"bundled:{name}")
    return run, TaskSpace(run.summary)


def choice_of(store: Store, name: str) -> Choice:
    return kept_choice(store, *run_and_space(store, name), 2.0, "soft")


def drawn(monkeypatch: pytest.MonkeyPatch, dark: bool = False) -> dict[str, Any]:
    """What the next chart is drawn from: its specification and its data."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(charts, "dark", lambda: dark)
    monkeypatch.setattr(
        charts, "draw", lambda spec, *_, key, **data: found.update(spec=spec, **data)
    )
    return found


@pytest.mark.parametrize("dark", [False, True])
def test_a_colour_means_one_answer_whether_its_image_is_chosen_or_not(
    store: Store, monkeypatch: pytest.MonkeyPatch, dark: bool
) -> None:
    found, (run, _) = drawn(monkeypatch, dark), run_and_space(store, "g2")
    charts.answers(run.spec.group, "frog", tuple(CLASS_NAMES["cifar10"]))
    cells = found["spec"]["layer"][0]
    assert "opacity" not in cells["encoding"] and "opacity" not in cells["mark"]
    assert cells["encoding"]["color"]["field"] == "answer"
    assert len(set(cells["encoding"]["color"]["scale"]["range"])) == 3


def test_who_says_yes_to_no_image_both_and_who_to_half_of_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, (run, _) = drawn(monkeypatch), run_and_space(store, "g2")
    charts.answers(run.spec.group, "frog", tuple(CLASS_NAMES["cifar10"]))
    answers: pd.DataFrame = found["cells"].pivot(index="task", columns="image", values="answer")
    assert "fifteen" in said(1) and len(answers) == 15
    assert (answers.loc["Living being"] != answers.loc["Not living being"]).all()
    halves = answers.index[(answers == "half of them yes").all(axis=1)]
    assert set(halves) == {"Downside", "Random"}


@pytest.mark.parametrize("place", range(0, 100, 9))
def test_the_names_of_the_epochs_do_not_lie_on_each_other(
    store: Store, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    found, (run, _) = drawn(monkeypatch), run_and_space(store, "g1")
    t = run.summary.tasks.tolist().index("cat")
    hardest_first = np.argsort(run.summary.sample[-1, 0, t], kind="stable")
    charts.path(run.summary, "cat", int(hardest_first[round(place * 1999 / 99)]))
    at = np.sort(found["steps"]["name_at"])
    pixels = np.diff(at) * charts.HEIGHT * 0.85  # the rest are title and axis
    assert pixels.min() >= 20 and at[0] > 0.02 and at[-1] < 0.98, "the largest letters have 16"
    assert found["steps"]["names_from"].max() < 0.66, "the axis ends at 0.71"


def test_names_that_are_far_apart_stay_where_their_points_are() -> None:
    np.testing.assert_allclose(charts.apart(np.array([0.7, 0.2, 0.5]), 0.06), [0.7, 0.2, 0.5])


def test_confidence_is_noted_before_the_model_learns_from_the_image() -> None:
    assert "after every epoch" not in said(2)
    assert "Just before the model learns from it" in said(2)


def test_where_images_end_up_that_are_never_understood_or_that_change(store: Store) -> None:
    summary = run_and_space(store, "g1")[0].summary
    confidence, variability = summary.sample[-1, :, summary.tasks.tolist().index("cat")].astype(
        float
    )
    hardest, moved = confidence.argsort()[:10], variability.argsort()[-20:]
    assert (confidence[hardest] < 0.25).all() and (variability[hardest] < 0.25).all()
    assert abs(confidence[moved].mean() - 0.5) < 0.1 and (variability[moved] > 0.33).all()


def test_the_opposite_questions_have_nearly_the_same_data_map(store: Store) -> None:
    space = run_and_space(store, "g2")[1]
    between = space.distances[np.triu_indices(15, 1)]
    place = [space.tasks.index(task) for task in ("Living being", "Not living being")]
    assert space.distances[tuple(place)] == between.min() < 0.1 * between.mean()


def test_random_stays_near_one_half_and_is_alone_from_three_clusters_on(store: Store) -> None:
    run, space = run_and_space(store, "g2")
    r = space.tasks.index("Random")
    confidence = run.summary.sample[-1, 0, r].astype(float)
    assert np.mean(np.abs(confidence - 0.5) < 0.1) > 0.99
    means = run.summary.task_means[-1, 0]
    assert "on average, learned less well" in said(4)
    with_two = group_tasks(space, 2).labels
    its = with_two == with_two[r]
    its[r] = False
    assert its.any() and means[its].mean() < means[with_two != with_two[r]].mean()
    for k in range(3, 15):
        labels = group_tasks(space, k).labels
        assert (labels == labels[r]).sum() == 1


def test_what_the_fuzzifier_leaves_of_a_task_to_its_nearest_cluster(store: Store) -> None:
    space = run_and_space(store, "g2")[1]
    r = space.tasks.index("Random")

    def shares(fuzzifier: float) -> np.ndarray[Any, Any]:
        return -np.sort(-group_tasks(space, 3, fuzzifier).memberships, axis=1)

    assert (shares(1.01)[:, 0] > 0.999).all()
    assert "nearly even" not in said(5) and "about half" in said(5)
    others = np.delete(shares(3.0), r, axis=0)
    assert others[:, 0].mean() == pytest.approx(0.5, abs=0.03)
    assert ((others[:, 0] > 0.45) & (others[:, 0] < 0.56)).all()
    for fuzzifier in (1.01, 2.0, 3.0):
        assert group_tasks(space, 3, fuzzifier).memberships[r].max() == pytest.approx(1)


def test_inertia_always_falls(store: Store) -> None:
    choice = choice_of(store, "g1")
    inertia = [value for value in choice.measures["inertia"] if value is not None]
    assert len(inertia) == 8 and (np.diff(inertia) < 0).all()
    assert group_tasks(run_and_space(store, "g1")[1], 10).quality["inertia"] == pytest.approx(0)


def test_how_stable_the_twenty_clusters_are_and_what_is_suggested(store: Store) -> None:
    choice = choice_of(store, "g3")
    stability = [value for value in choice.measures["stability"] if value is not None]
    by_k = dict(zip(choice.ks, stability, strict=True))
    told = re.search(
        r"stability is ([\d.]+), nearly the smallest of all k, .* suggests (\d+) \(([\d.]+)\)",
        said(7),
    )
    assert told is not None
    suggested = int(told[2])
    assert suggested == choice.suggested
    assert told[1] == f"{by_k[20]:.3f}" and told[3] == f"{by_k[suggested]:.3f}"
    assert sorted(by_k, key=lambda k: by_k[k] or 0).index(20) <= 2


def test_whose_company_is_told_of_is_kept_and_how_often_it_would_be_again(store: Store) -> None:
    space = run_and_space(store, "g3")[1]
    rng = np.random.default_rng(choosing.SEED)
    squared = choosing._resampled_distances(space, rng)
    again = choosing.kmeans_labels(squared, 20, *choosing._draw(squared.shape, 20, rng))
    assert len(again) == 20
    here = group_tasks(space, 20).labels
    told = re.search(
        r"Of 20 .*?, (\d+) put whale and shark together, (\d+) the sunflower and the orange,"
        r" (\d+) all people, (\d+) all trees, and (\d+) the rocket",
        said(7),
    )
    assert told is not None
    company = (
        ("whale", "shark"),
        ("sunflower", "orange"),
        CIFAR100_SUPERCLASSES["people"],
        CIFAR100_SUPERCLASSES["trees"],
        ("rocket", "skyscraper", "cloud"),
    )
    for tasks, count in zip(company, told.groups(), strict=True):
        places = [space.tasks.index(task) for task in tasks]
        assert len(set(here[places])) == 1
        together = (again[:, places] == again[:, places[:1]]).all(axis=1).sum()
        assert abs(together - int(count)) <= 1, "k-means of other rounding may move one"
    whole = [
        name
        for name, members in CIFAR100_SUPERCLASSES.items()
        if len({here[space.tasks.index(task)] for task in members}) == 1
    ]
    assert whole == ["people", "trees"]


def test_who_of_the_specialists_can_be_trusted(store: Store) -> None:
    models = model_files.bundled("digits")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(state, "shared", lambda: SimpleNamespace(store=store))
        run = models.run
    assert run is not None and run.id == "bundled:digits"
    data = load_task_data(run.spec.group)
    asked = try_points.ask(models, data.test_points)
    wrong = try_points.answers(models, asked.each) != data.test_labels[:, None]
    together = try_points.answers(models, asked.by_scheme["specialists"]) != data.test_labels
    mtl = try_points.answers(models, asked.by_scheme["mtl"]) != data.test_labels
    digit, downside, coin = slice(13), 13, 14
    assert models.about.tasks[downside:] == ("Downside", "Random")
    assert not models.learned[coin] and models.learned[:coin].all()
    first, second, _ = wrong[..., digit].sum(axis=(0, 2))
    errors = f"specialist 1 errs in {first} of {wrong[:, 0, digit].size:,} answers"
    assert errors in said(9) and f"paid for the coin, in {second}" in said(9)
    right = (~wrong[..., downside]).sum(axis=0)
    assert f"right in {right[0]} of {len(wrong)} answers" in said(9)
    assert f"which has it all, in {right[2]}" in said(9)
    assert f"together they err in {together[:, digit].sum()} of the 4,680" in said(9)
    assert f"MTL in {mtl[:, digit].sum()}" in said(9)
    each = [Answered(models, asked.of(i)).decisions for i in range(len(wrong))]
    decided = [(i, t) for i, found in enumerate(each) for t in range(coin) if found[t].decisive]
    well = sum(not together[i, t] for i, t in decided)
    assert f"of the {len(decided)} answers for which one was decisive" in said(9)
    assert f"{well} are right" in said(9)
