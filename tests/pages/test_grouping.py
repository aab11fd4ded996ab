"""Grouping: memberships, and all that follows them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from streamlit.testing.v1 import AppTest

from stg_core.engine.derived import Answer, Progress
from stg_core.grouping.choosing import stability
from stg_core.grouping.every_k import groupings_of_every_k
from stg_core.grouping.memberships import (
    TaskSpace,
    group_tasks,
    memberships_from_distances,
)
from stg_core.judging.loss_weights import loss_weights
from stg_core.maps.summary import DataMapSummary, summarise
from stg_core.results.run import Run
from stg_core.results.store import Store, write_spec
from stg_core.tasks.groups import custom_group
from stg_core.training.loop import train
from stg_core.training.spec import TrainingSpec
from tests.conftest import realistic_maps
from tests.pages.conftest import OpenApp, StandInDerived, move, picture, slider, texts

VIEWS = ("Memberships", "Clusters", "Which k?", "Distances", "Export")


def shares(app: AppTest) -> NDArray[np.float32]:
    header, values = picture(app, "memberships")
    return values.reshape(len(header["names"]), -1)


def quality(app: AppTest) -> dict[str, float]:
    header, _ = picture(app, "memberships")
    return {one["title"]: header["quality"][one["name"]] for one in header["measures"]}


def page_of(run: Run, view: str = "Memberships") -> dict[str, str]:
    return {"run": run.id, "show": view}


# ------------------------------------------------------------------------------------- the sliders


def test_grouping_follows_both_sliders(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained)
    assert not app.exception and not app.error
    k, fuzzifier = slider(app, "Clusters (k)"), slider(app, "Fuzzifier (m)")
    assert (k.values[0], k.values[-1], k.value) == ("2", "15", "3")
    assert (fuzzifier.values[0], fuzzifier.values[-1], fuzzifier.value) == ("1.01", "3.00", "2.00")
    before = quality(app)
    assert set(before) == {"Inertia", "Silhouette", "Partition coefficient", "Xie–Beni"}
    assert shares(app).shape == (15, 3)
    move(app, "k", "6")
    move(app, "fuzzifier", "1.01")
    after = quality(app)
    assert not app.exception
    assert after["Inertia"] < before["Inertia"]
    assert after["Partition coefficient"] > before["Partition coefficient"]
    assert shares(app).shape == (15, 6)


def test_the_pictures_show_the_memberships_of_the_library(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained, k="4", fuzzifier="1.7")
    expected = group_tasks(TaskSpace(trained.summary), 4, 1.7)
    np.testing.assert_allclose(shares(app), expected.memberships, atol=1e-6)
    header, _ = picture(app, "memberships")
    assert header["labels"] == expected.labels.tolist()
    assert len(set(header["colours"])) == 4


def test_the_learning_is_replayed_until_an_epoch(open_app: OpenApp) -> None:
    app = open_app("grouping", bundles=True, run="bundled:digits", until="12")
    until = slider(app, "Until epoch")
    assert (until.values, until.value) == (["6", "12", "18", "24", "30"], "12")
    summary = Store().run("bundled:digits").summary
    expected = group_tasks(TaskSpace(summary, (6, 12)), 3, 2.0).memberships
    whole = group_tasks(TaskSpace(summary), 3, 2.0).memberships
    np.testing.assert_allclose(shares(app), expected, atol=1e-6)
    (link,) = (one.proto for one in app.get("page_link") if one.proto.label.startswith("Does it"))
    assert parse_qs(link.query_string)["grouping_epochs"] == ["6", "12"]  # what is seen is trained
    assert "Stability of this k: told after the last epoch." in texts(app)
    move(app, "until", "30")
    assert not app.exception and not app.error
    np.testing.assert_allclose(shares(app), whole, atol=1e-6)
    assert np.abs(whole - expected).max() > 0.01


@pytest.mark.parametrize("k", ["2", "15"])
def test_grouping_at_the_bounds_of_k(open_app: OpenApp, trained: Run, k: str) -> None:
    app = open_app("grouping", trained, k=k)
    assert not app.exception and not app.error
    assert slider(app, "Clusters (k)").value == k


@pytest.mark.parametrize(("k", "taken"), [("1", "2"), ("16", "15"), ("many", "3")])
def test_a_k_that_cannot_be_is_replaced(
    open_app: OpenApp, trained: Run, k: str, taken: str
) -> None:
    app = open_app("grouping", trained, k=k)
    assert not app.exception and not app.error
    assert slider(app, "Clusters (k)").value == taken


@pytest.mark.parametrize("method", ["soft", "hard", "fcm", "points"])
def test_every_method(open_app: OpenApp, trained: Run, method: str) -> None:
    app = open_app("grouping", trained, method=method)
    assert not app.exception and not app.error
    assert app.selectbox(key="method").value == method
    assert slider(app, "Fuzzifier (m)").disabled == (method in ("hard", "points"))


def test_no_feature_is_an_error_in_one_sentence(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained)
    app.button_group(key="features").set_value([]).run()
    assert not app.exception
    assert "Choose features" in app.error[0].value


def test_colours_stay_when_k_moves_by_one_and_back(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained, k="4")
    before = picture(app, "memberships")[0]["colours"]
    move(app, "k", "5")
    between = picture(app, "memberships")[0]["colours"]
    assert set(before) < set(between), "one colour more, and the others as before"
    move(app, "k", "4")
    assert picture(app, "memberships")[0]["colours"] == before


def test_what_every_k_needs_is_sent_once_it_is_computed(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived]
) -> None:
    app = open_app("grouping", trained, fuzzifier="1.3")
    assert picture(app, "memberships")[0]["every"] is None
    space = TaskSpace(trained.summary)
    derived.given["every-k"] = Answer(groupings_of_every_k(space, space))
    app.run()
    sent, distances = picture(app, "sent")
    assert picture(app, "memberships")[0]["every"] == sent["of"]
    assert [one["at"] for one in sent["each"]] == list(range(2, 16))
    begin = 0
    for one in sent["each"]:
        k, expected = one["at"], group_tasks(space, one["at"], 1.3)
        own = distances[begin : begin + 15 * k].reshape(15, k).astype(np.float64)
        begin += 15 * k
        np.testing.assert_allclose(
            memberships_from_distances(own, 1.3), expected.memberships, atol=1e-5
        )
        assert one["labels"] == expected.labels.tolist()
        assert sorted(one["colours"]) == list(range(k))
        assert one["inertia"] == pytest.approx(expected.quality["inertia"])
    assert begin == len(distances)


@pytest.mark.parametrize("method", ["fcm", "points"])
def test_methods_that_no_formula_follows_ask_for_every_move(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived], method: str
) -> None:
    space = TaskSpace(trained.summary)
    derived.given["every-k"] = Answer(groupings_of_every_k(space, space))
    app = open_app("grouping", trained, method=method)
    assert picture(app, "memberships")[0]["every"] is None


# ----------------------------------------------------------------------------- the map of the tasks


def test_the_map_is_pca_until_umap_is_computed(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived]
) -> None:
    app = open_app("grouping", trained, map="umap")
    header, _ = picture(app, "memberships")
    assert header["map"] == "umap"
    assert "UMAP is being computed: this is PCA" in header["notes"]
    positions = np.arange(30.0).reshape(15, 2)
    found = {"positions": positions.tolist(), "correlation": 0.8, "note": ""}
    derived.given["layout"] = Answer(found)
    header, _ = picture(app.run(), "memberships")
    assert header["positions"] == positions.tolist()
    assert not any("being computed" in note for note in header["notes"])
    assert any("Pearson’s r = 0.80" in note for note in header["notes"])


@pytest.mark.parametrize("kind", ["", "mds", "pca"])
def test_the_map_opens_with_mds_and_says_how_true_its_distances_are(
    open_app: OpenApp, trained: Run, kind: str
) -> None:
    app = open_app("grouping", trained, **({"map": kind} if kind else {}))
    header, _ = picture(app, "memberships")
    assert header["map"] == (kind or "mds")
    on_map = pdist(np.array(header["positions"]))
    true = TaskSpace(trained.summary).distances[np.triu_indices(15, 1)]
    told = f"Distances here and true ones: Pearson’s r = {np.corrcoef(on_map, true)[0, 1]:.2f}"
    assert told in header["notes"] and told in header["alt"]["map"]


@pytest.mark.parametrize("kind", ["pca", "mds"])
def test_the_kind_of_map_is_in_the_link(open_app: OpenApp, trained: Run, kind: str) -> None:
    header, _ = picture(open_app("grouping", trained, map=kind), "memberships")
    assert header["map"] == kind
    positions = np.array(header["positions"])
    true = TaskSpace(trained.summary).distances
    near = np.abs(positions[:, None] - positions[None]).max(axis=-1) <= true + 1e-3
    assert kind == "mds" or near.all(), "a projection brings no tasks further apart"


def test_a_umap_that_failed_says_so_and_is_offered_again(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived]
) -> None:
    derived.given["layout"] = Answer(problem="Its process was ended (SIGKILL).")
    app = open_app("grouping", trained, map="umap")
    assert "UMAP failed: this is PCA" in picture(app, "memberships")[0]["notes"]
    assert "SIGKILL" in app.warning[0].value
    next(button for button in app.button if button.label == "Try again").click().run()
    assert not app.warning and not app.exception
    assert "UMAP is being computed: this is PCA" in picture(app, "memberships")[0]["notes"]


# -------------------------------------------------------------------------------------- the marks


def test_a_link_marks_its_task_in_every_picture(open_app: OpenApp, trained: Run) -> None:
    for view, component in (
        ("Memberships", "memberships"),
        ("Clusters", "clusters"),
        ("Distances", "distances"),
    ):
        app = open_app("grouping", trained, marked="Odd", **page_of(trained, view))
        assert not app.exception
        assert picture(app, component)[0]["chosen"] == "Odd"


def test_a_task_that_the_run_lacks_is_not_marked(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained, marked="Unicorn")
    assert not app.exception
    assert picture(app, "memberships")[0]["chosen"] is None


# ---------------------------------------------------------------------------------- the other views


def test_the_cards_of_the_clusters_have_the_memberships(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained, k="4", **page_of(trained, "Clusters"))
    expected = group_tasks(TaskSpace(trained.summary), 4)
    header, values = picture(app, "clusters")
    assert header["labels"] == expected.labels.tolist()
    np.testing.assert_allclose(values.reshape(15, 4), expected.memberships, atol=1e-6)


def test_which_k_is_suggested_with_a_reason_and_taken_over(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived]
) -> None:
    app = open_app("grouping", trained, k="9", **page_of(trained, "Which k?"))
    assert not app.exception
    assert "on resampled training points" in app.info[0].value
    derived.given["choose"] = Answer(asdict(stability(TaskSpace(trained.summary))))
    app.run()
    assert not app.info
    header, _ = picture(app, "choice")
    assert header["ks"] == list(range(2, 15))
    assert header["chosen"] == "9"
    titles = [measure["title"] for measure in header["measures"]]
    assert titles == ["Inertia", "Silhouette", "Partition coefficient", "Xie–Beni", "Stability"]
    assert all(measure["note"] for measure in header["measures"])
    inertia = header["measures"][0]["values"]
    assert inertia == sorted(inertia, reverse=True)
    suggested = header["suggested"]
    assert f"k = {suggested}" in texts(app)
    next(b for b in app.button if b.label == f"Take k = {suggested}").click().run()
    assert slider(app, "Clusters (k)").value == str(suggested)
    assert picture(app, "choice")[0]["chosen"] == str(suggested)


def test_a_choice_of_k_says_how_far_it_is_and_shows_what_there_is(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived]
) -> None:
    found = asdict(stability(TaskSpace(trained.summary)))
    begun = {name: values[:5] for name, values in found.items()}
    progress = Progress(5, 13, "values of k")
    derived.given["choose"] = Answer(progress=progress, so_far=begun)
    app = open_app("grouping", trained, **page_of(trained, "Which k?"))
    assert not app.exception
    (bar,) = app.get("progress")
    assert bar.proto.text == "5 of 13 values of k are done."
    assert bar.proto.value == 38
    header, _ = picture(app, "choice")
    assert header["ks"] == [2, 3, 4, 5, 6]
    assert header["suggested"] is None
    assert not [button for button in app.button if button.label.startswith("Take k")]
    derived.given["choose"] = Answer(waits=True)
    assert "waits until other results" in texts(app.run())


def test_a_choice_of_k_that_failed_is_offered_again(
    open_app: OpenApp, trained: Run, derived: type[StandInDerived]
) -> None:
    derived.given["choose"] = Answer(problem="Its process was ended (SIGKILL).")
    app = open_app("grouping", trained, **page_of(trained, "Which k?"))
    assert "was ended" in app.warning[0].value
    assert any(button.label == "Try again" for button in app.button)


def test_distances_are_those_of_the_task_vectors(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained, **page_of(trained, "Distances"))
    assert not app.exception
    header, values = picture(app, "distances")
    space = TaskSpace(trained.summary)
    shares, values = values[: -15 * 15], values[-15 * 15 :]
    np.testing.assert_allclose(values.reshape(15, 15), space.distances, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(shares.reshape(15, -1).sum(axis=1), 1, rtol=1e-6)
    assert sorted(header["order"]) == list(range(15))
    assert len(header["tree"]) == 3 * 14
    nearest = header["alt"]["distances"].split("nearest two tasks are ")[1].rstrip(".")
    first, second = (space.tasks.index(task) for task in nearest.split(" and "))
    assert space.distances[first, second] == pytest.approx(header["range"][0])


# ------------------------------------------------------------------------------------------ export


def test_the_link_of_the_export_shows_the_same(open_app: OpenApp, trained: Run) -> None:
    chosen = {"k": "5", "fuzzifier": "1.5", "method": "fcm", "map": "mds", "marked": "Odd"}
    app = open_app("grouping", trained, **chosen, **page_of(trained, "Export"))
    assert not app.exception
    told = {name: values[0] for name, values in parse_qs(urlsplit(app.code[0].value).query).items()}
    assert told["run"] == trained.id
    again = open_app("grouping", trained, **told)
    expected = group_tasks(TaskSpace(trained.summary), 5, 1.5, "fcm")
    np.testing.assert_allclose(shares(again), expected.memberships, atol=1e-6)
    header, _ = picture(again, "memberships")
    assert (header["map"], header["chosen"]) == ("mds", "Odd")


def test_code_for_ones_own_loop_has_the_weights(open_app: OpenApp, trained: Run) -> None:
    app = open_app("grouping", trained, k="2", **page_of(trained, "Export"))
    codes = [code.value for code in app.code[1:]]
    assert len(codes) == 3 and all("def predict(inputs)" in code for code in codes)
    weights = loss_weights(group_tasks(TaskSpace(trained.summary), 2, 2.0))
    assert all(f"[\n        {weights[0, 0]:.6g}, " in code for code in codes)


# ------------------------------------------------------------------------------------ empty states


@pytest.fixture
def pair(trained: Run) -> Iterator[Run]:
    """A run of two tasks beside `trained`."""
    kept = Store(trained.folder.parents[1])
    spec = TrainingSpec(custom_group("digits", ["0", "1"]), epochs=2)
    run = kept.save(train(spec, folder=kept.work_folder(spec.key)))
    yield run
    shutil.rmtree(run.folder)


@pytest.mark.parametrize("view", VIEWS)
def test_two_tasks_are_two_clusters(open_app: OpenApp, pair: Run, view: str) -> None:
    app = open_app("grouping", pair, **page_of(pair, view))
    assert not app.exception and not app.error
    assert slider(app, "Clusters (k)").values == ["2"]


def test_a_single_task_is_told_that_grouping_needs_two(
    open_app: OpenApp, trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    show_alike(monkeypatch, ("only one",))
    app = open_app("grouping", trained)
    assert not app.exception and not app.error
    assert "needs two or more" in app.info[0].value


@pytest.mark.parametrize("view", VIEWS)
def test_tasks_that_are_all_alike_are_said_to_be(
    open_app: OpenApp,
    trained: Run,
    monkeypatch: pytest.MonkeyPatch,
    derived: type[StandInDerived],
    view: str,
) -> None:
    alike = show_alike(monkeypatch, trained.spec.tasks)
    derived.given["choose"] = Answer(asdict(stability(TaskSpace(alike))))
    derived.given["layout"] = Answer(problem="UMAP has nothing to work on.")
    app = open_app("grouping", trained, **page_of(trained, view))
    assert not app.exception and not app.error
    assert "nothing tells them apart" in app.warning[0].value


def show_alike(monkeypatch: pytest.MonkeyPatch, tasks: tuple[str, ...]) -> DataMapSummary:
    """Lets every run have these tasks, all with the same data maps."""
    maps, labels = realistic_maps(1, 200, (2, 3))
    n = len(tasks)
    summary = summarise(np.repeat(maps, n, axis=2), np.repeat(labels, n, 1), tasks, (2, 3))
    monkeypatch.setattr(Run, "summary", summary)
    return summary


def test_a_run_without_data_maps_says_so(open_app: OpenApp, trained: Run, tmp_path: Path) -> None:
    kept = Store(tmp_path / "without")
    folder = kept.work_folder("copy")
    shutil.copytree(trained.folder, folder, dirs_exist_ok=True)
    (folder / "summary.npz").unlink()
    (folder / "datamaps.npy").unlink()
    write_spec(folder, trained.spec, trained.provenance)
    without = kept.keep(folder, trained.spec.key)
    app = open_app("grouping", without, bundles=True, run=without.id)
    assert not app.exception
    assert "has no data maps" in app.error[0].value
    assert without.title not in app.selectbox(key="run_choice").options
    app = open_app("grouping", without)
    assert not app.exception and "There are no runs yet" in texts(app)
