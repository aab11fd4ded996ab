"""The Methods page, on the tables that come with the project and on those of one's own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.charts import methods as charts
from app.charts.base import number
from stg_core.affinity.many import compare_many, plan_of_many
from stg_core.affinity.methods import (
    METHODS,
    available,
    choose,
    judge,
    matrices,
    rank_correlations,
)
from stg_core.affinity.preparing import make_plan, prepared_table
from stg_core.affinity.table import bundled_table, bundled_tables, table_path
from stg_core.results import store as store_module
from stg_core.results.run import Run
from stg_core.results.store import Store
from stg_core.tasks.choices import Choices
from stg_core.tasks.data import TaskData
from stg_core.tasks.groups import GROUPS
from stg_core.tasks.sources import add_source
from stg_core.training.spec import TrainingSpec
from tests.pages.conftest import OpenApp, StandInEngine, StandInTables, move, slider, texts, titles

VIEWS = {
    "Groups": {"Groups that each method chooses"},
    "Quality and cost": {"Quality and cost"},
    "Affinities": {"TAG", "Gradient cosine", "ETAP's score", "Data-map similarity"}
    | {"True gains of pairs", "Rank correlation"},
    "Predictions": {"Said and true"},
    "Scalability": {"What more tasks cost"},
}


def scores(app: Any) -> Any:
    return next(f.value for f in app.dataframe if "Gain" in f.value).set_index("Method")


@pytest.mark.parametrize("table", sorted(bundled_tables()))
@pytest.mark.parametrize("view", VIEWS)
def test_everything_is_there_without_training_anything(
    open_app: OpenApp, table: str, view: str, engine: type[StandInEngine]
) -> None:
    app = open_app("methods", bundles=True, table=table, methods_show=view)
    assert not app.exception and not app.error
    assert titles(app) == VIEWS[view]
    assert app.selectbox(key="table").value == table
    assert engine.submitted == []


@pytest.mark.parametrize("budget", [2, 4])
def test_the_budget_chooses_other_groups(open_app: OpenApp, budget: int) -> None:
    app = open_app("methods", bundles=True, methods_show="Quality and cost", table="digits-8")
    assert slider(app, "Budget").value == "3"
    app = move(app, "budget", str(budget))
    table = bundled_table("digits-8")
    for method in available(table, budget):
        found = judge(table, choose(table, method, budget), budget)
        row = scores(app).loc[METHODS[method].title]
        assert row["Groups"] == " | ".join(", ".join(group) for group in found.groups)
        assert row["Counted"] == found.counted


def drawn(app: Any) -> dict[str, Any]:
    """Specification of the chart of quality and cost."""
    specs = [json.loads(chart.proto.spec) for chart in app.get("vega_lite_chart")]
    return next(spec for spec in specs if "Quality and cost" in str(spec["title"]))


@pytest.mark.parametrize("cost", ["measured", "counted"])
def test_what_groups_were_chosen_by_is_drawn_and_no_front(open_app: OpenApp, cost: str) -> None:
    app = open_app(
        "methods", bundles=True, table="digits-8", methods_show="Quality and cost", cost=cost
    )
    assert not app.exception
    spec = str(drawn(app))
    assert "Mean gain on test images" in spec and "Mean F1 on test images" not in spec
    assert "'line'" not in spec and "Pareto" not in texts(app)
    assert "90 % of random groupings" in texts(app) and "95 % intervals" in texts(app)
    assert re.fullmatch(r"−?\d\.\d{3} \(−?\d.* to .*\)", scores(app).loc["STG-MTL", "Gain"])
    app.button_group(key="quality").set_value("f1").run()
    assert "Mean F1 on test images" in str(drawn(app)) and "'line'" not in str(drawn(app))
    assert "95 % intervals" in texts(app) and "F1 is not what groups were chosen by" in texts(app)


@pytest.mark.parametrize("table", sorted(bundled_tables()))
def test_why_tag_and_etap_look_alike_is_said(open_app: OpenApp, table: str) -> None:
    app = open_app("methods", bundles=True, methods_show="Affinities", table=table)
    found = matrices(bundled_table(table))
    kinds = list(found)
    alike = rank_correlations(found)[kinds.index("tag"), kinds.index("etap")]
    assert f"TAG and ETAP's score (rank correlation {number(alike)})" in texts(app)
    assert "TAG to first order" in texts(app)


def test_what_similarity_says_of_gains_is_said_on_every_view(open_app: OpenApp) -> None:
    for view in VIEWS:
        app = open_app("methods", bundles=True, table="digits-8", methods_show=view)
        for name in bundled_tables():
            table = bundled_table(name)
            assert table.similarity is not None
            alike, gains, alike_pairs, pair_gains = [], [], [], []
            for mask, row in zip(table.masks, table.gains, strict=True):
                members = np.flatnonzero(mask)
                for t in members if len(members) > 1 else ():
                    if table.tasks[t] in table.left_out:
                        continue
                    others = members[members != t]
                    alike.append(table.similarity[others, t].mean())
                    gains.append(row[t])
                    if len(members) == 2:
                        alike_pairs.append(alike[-1])
                        pair_gains.append(row[t])
            groups = number(np.corrcoef(alike, gains)[0, 1], "+.2f")
            pairs = number(np.corrcoef(alike_pairs, pair_gains)[0, 1], "+.2f")
            assert f"**{groups}** on {name} ({pairs} over pairs alone)" in texts(app)


def test_where_dmtg_was_trained_is_said(open_app: OpenApp) -> None:
    for name, tried in (("digits-8", True), ("g1-6", False)):
        app = open_app("methods", bundles=True, table=name, methods_show="Quality and cost")
        assert ("DMTG" in scores(app).index) == tried
        assert ("DMTG was not tried on them." in texts(app)) != tried


def test_predictions_name_how_well_they_hold(open_app: OpenApp) -> None:
    app = open_app("methods", bundles=True, table="digits-8", methods_show="Predictions")
    for title in ("HOA", "ETAP", "MTG-Net"):
        app.selectbox(key="predicting").select(title).run()
        assert not app.exception and f"{title}, on groups that it did not train: Pearson" in texts(
            app
        )
        assert "R²" in texts(app)


def test_every_method_is_explained_with_its_source(open_app: OpenApp) -> None:
    app = open_app("methods", bundles=True, table="digits-8", methods_show="How they work")
    for method in METHODS.values():
        assert method.title in texts(app) and method.source in texts(app)


def test_a_project_without_tables_says_what_to_do(open_app: OpenApp) -> None:
    app = open_app("methods")
    assert not app.exception and "Restore assets/bundles" in app.info[0].value


def test_a_damaged_table_says_what_to_do(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "BUNDLES", tmp_path / "no-bundles")
    table_path("broken").parent.mkdir(parents=True)
    table_path("broken").write_bytes(b"half a file")
    app = open_app("methods")
    assert not app.exception and "broken.npz is damaged" in app.error[0].value


def test_names_of_methods_that_cost_and_score_alike_do_not_cover_each_other() -> None:
    rows = pd.DataFrame(
        [
            {"method": name, "cost": cost, "value": f1, "low": f1 - 0.01, "high": f1 + 0.01}
            for name, cost, f1 in (
                ("All together", 1.0, 0.52),
                ("STG-MTL", 5.0, 0.53),
                ("Gradient cosine", 5.5, 0.53),
                ("Exhaustive", 60.0, 0.54),
            )
        ]
    )
    sides = dict(zip(rows["method"], charts.sides_of_names(rows, charts.WIDE), strict=True))
    assert sides["All together"] == "above right"
    assert sides["STG-MTL"] != sides["Gradient cosine"]
    assert sides["Exhaustive"].endswith("left"), "to the right of it the picture ends"
    narrow = charts.sides_of_names(pd.concat([rows] * 3), charts.NARROW)
    assert "" in narrow, "a name without room is left to the table"


# ------------------------------------------------------------------------------ tasks of one's own


OWN = TrainingSpec(GROUPS["digits"], tasks=("0", "8", "Odd"), epochs=2)
DIGITS_TASKS = [*GROUPS["digits"].task_names]


@pytest.fixture(scope="module")
def own_table(few_digits: TaskData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Its joint run, in a store that has the table of `OWN` for a budget of one model."""
    store = Store(tmp_path_factory.mktemp("own-table"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(store.folder))
        patch.setattr("stg_core.tasks.data.load_task_data", lambda *_: few_digits)
        plan = make_plan(OWN, ["together", "alone", "random", "stg", "tag", "dmtg"], 1)
        prepared_table(store, plan, lambda _: None)
        yield store.run(OWN.key)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[TrainingSpec, tuple[str, ...], int]]:
    """What is asked for."""
    found: list[tuple[TrainingSpec, tuple[str, ...], int]] = []
    ask = StandInTables.ask

    def noted(self: StandInTables, spec: Any, methods: Any, budget: int) -> None:
        found.append((spec, tuple(methods), budget))
        ask(self, spec, methods, budget)

    monkeypatch.setattr(StandInTables, "ask", noted)
    return found


def test_the_cost_of_own_tasks_is_told_before_they_are_trained(
    open_app: OpenApp, engine: type[StandInEngine], asked: list[Any]
) -> None:
    engine.epoch = 2.0
    app = open_app("methods", bundles=True, table="own", epochs="5", models="2")
    assert not app.exception and not app.error
    assert app.multiselect[0].value == DIGITS_TASKS[:4]
    costs = app.dataframe[0].value.set_index("Method")
    assert costs.loc["HOA", "Trainings"] == 4 + 1 + 6 + 2 and costs.loc["HOA", "Here"] == 0
    assert costs.loc["HOA", "Time"] == "about 2 min 10 s"
    assert "Exhaustive" not in costs.index and "all 15 groups" in app.toggle(key="exhaustive").label
    assert re.search(r"At most \d+ trainings\*\* in all, 0 of them here", texts(app))
    app.toggle(key="exhaustive").set_value(True).run()
    assert app.dataframe[0].value.set_index("Method").loc["Exhaustive", "Trainings"] == 15
    assert "exhaustive search alone is 15 groups" in texts(app)
    next(button for button in app.button if button.label == "Train").click().run()
    ((spec, methods, budget),) = asked
    assert spec == TrainingSpec(GROUPS["digits"], tasks=tuple(DIGITS_TASKS[:4]), epochs=5)
    assert budget == 2 and set(methods) == set(METHODS) - {"superclasses"}
    assert "It waits until" in texts(app), "its progress is shown"
    assert "Train" not in [button.label for button in app.button]
    app.button(key=f"cancel {spec.key}").click().run()
    assert "Cancelled. What was trained is kept." in app.info[0].value
    assert {"Go on", "Dismiss", "Train"} <= {button.label for button in app.button}


def test_a_plan_that_takes_long_asks_first(open_app: OpenApp, asked: list[Any]) -> None:
    app = open_app("methods", table="own", groups_of_digits=DIGITS_TASKS[:12], exhaustive="true")
    assert not app.exception
    assert app.dataframe[0].value.set_index("Method").loc["Exhaustive", "Trainings"] == 4_095
    next(button for button in app.button if button.label == "Train").click().run()
    assert asked == [] and "4,095 groups" in texts(app)
    next(button for button in app.button if button.label == "Train").click()
    app.button(key="confirm groups").click().run()
    assert len(asked) == 1


def test_too_few_tasks_are_refused_in_one_sentence(open_app: OpenApp) -> None:
    app = open_app("methods", table="own", groups_of_digits=DIGITS_TASKS[:1])
    assert not app.exception
    assert "on 2 tasks or more, and 1 is chosen" in app.error[0].value
    assert "Train" not in [button.label for button in app.button]


def test_tasks_of_other_kinds_are_left_out_and_that_is_said(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STG_HOME", str(tmp_path))
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(60, 3)), columns=["x1", "x2", "height"])
    rows[["a", "b"]] = rng.integers(0, 2, (60, 2))
    rows.to_csv(tmp_path / "mine.csv", index=False)
    chosen = Choices(tasks=("a", "b", "height"), features=("x1", "x2"))
    add_source(tmp_path / "mine.csv", chosen)
    app = open_app("methods", table="own", group="mine")
    assert not app.exception and not app.error
    assert app.multiselect[0].options == ["a", "b"]
    assert "1 task of this group is left out" in texts(app)
    assert "yes-or-no tasks only" in texts(app)


@pytest.mark.parametrize("view", VIEWS)
def test_a_table_of_own_tasks_has_the_views_of_a_bundled_one(
    open_app: OpenApp, own_table: Run, view: str
) -> None:
    app = open_app("methods", own_table, table=OWN.key, methods_show=view)
    assert not app.exception and not app.error
    assert app.selectbox(key="table").value == OWN.key
    assert "0, 8, Odd\\: 15 questions" in texts(app) and "of 7 groups trained" in texts(app)
    if view == "Affinities":
        assert titles(app) == {"TAG", "Data-map similarity", "Rank correlation"}
    elif view != "Predictions":
        assert titles(app) == VIEWS[view]


def test_groups_that_another_budget_needs_can_be_trained(
    open_app: OpenApp, own_table: Run, engine: type[StandInEngine], asked: list[Any]
) -> None:
    engine.epoch = 2.0
    app = open_app("methods", own_table, table=OWN.key)
    assert slider(app, "Budget").value == "1", "the one that it was trained for"
    assert not [info for info in app.info if "Left out" in info.value]
    app = move(app, "budget", "2")
    (left_out,) = [info.value for info in app.info if "Left out" in info.value]
    assert "Random" in left_out and "it learns groups for each budget anew: DMTG." in left_out
    next(button for button in app.button if button.label.startswith("Train ")).click().run()
    ((spec, methods, budget),) = asked
    assert spec == OWN and {"random", "dmtg"} <= {*methods} and budget == 2


def test_own_tasks_that_are_trained_show_their_table(open_app: OpenApp, own_table: Run) -> None:
    chosen = {"groups_of_digits": [*OWN.tasks], "epochs": "2", "models": "1"}
    chosen["compared"] = ["All together", "TAG"]
    app = open_app("methods", own_table, table="own", **chosen)
    assert not app.exception and not app.error
    assert "All of this is trained." in texts(app)
    assert titles(app) == VIEWS["Groups"]


# ------------------------------------------------------------------------------------- many tasks


@pytest.fixture(scope="module")
def many(few_digits: TaskData, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """The joint run of all 15 tasks, in a store that has a comparison of their groups."""
    store = Store(tmp_path_factory.mktemp("many"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STG_HOME", str(store.folder))
        patch.setattr("stg_core.tasks.data.load_task_data", lambda *_: few_digits)
        plan = plan_of_many(MANY, ["stg", "labels"], 3)
        compare_many(store, plan, lambda _: None)
        yield store.run(MANY.key)


MANY = TrainingSpec(GROUPS["digits"], epochs=2)


@pytest.mark.parametrize(
    "chosen", [{"all_tasks": "true"}, {"groups_of_digits": DIGITS_TASKS[:13]}], ids=["all", "13"]
)
def test_of_more_than_twelve_tasks_the_groups_of_each_method_are_planned(
    open_app: OpenApp, engine: type[StandInEngine], asked: list[Any], chosen: dict[str, Any]
) -> None:
    engine.epoch = 2.0
    app = open_app("methods", table="own", epochs="5", many_models="4", **chosen)
    assert not app.exception and not app.error
    costs = app.dataframe[0].value.set_index("Method")
    assert costs.loc["Label correlation", "Affinity"] == 0 and costs.loc["PVI", "Affinity"] == 1
    most = 1 + 4 * 8 + 1 + 4 + (4 + 5) + 4
    assert f"At most {most} trainings" in texts(app)
    assert "at most 8 min 30 s" in texts(app)
    next(button for button in app.button if button.label == "Train").click().run()
    ((spec, methods, budget),) = asked
    assert len(spec.tasks) == (15 if "all_tasks" in chosen else 13)
    assert methods == ("stg", "labels", "errors", "pvi") and budget == 4


def test_a_comparison_of_many_tasks_is_shown_as_one_table(open_app: OpenApp, many: Run) -> None:
    app = open_app("methods", many, table=f"{MANY.key}-3")
    assert not app.exception and not app.error
    rows = app.dataframe[0].value.set_index("Method")
    assert {*rows.index} == {"STG-MTL", "Label correlation"}
    assert rows.loc["Label correlation", "Cost"] == 3 and rows.loc["STG-MTL", "Cost"] == 4
    assert re.match(r"[+−]0\.\d{3} \([+−]", str(rows.loc["STG-MTL", "− MTL"]))
    assert "Small" in texts(app) and "it is the baseline" in texts(app)


def test_many_tasks_that_are_compared_already_show_their_comparison(
    open_app: OpenApp, many: Run
) -> None:
    chosen = {"compared_many": ["STG-MTL", "Label correlation"], "many_models": "3"}
    app = open_app("methods", many, table="own", epochs="2", all_tasks="true", **chosen)
    assert not app.exception and not app.error
    assert "All of this is trained." in texts(app)
    assert {*app.dataframe[0].value["Method"]} == {"STG-MTL", "Label correlation"}


# --------------------------------------------------------------------------------------- deleting


@pytest.mark.parametrize("made", ["table", "comparison"])
def test_what_was_made_here_can_be_deleted(open_app: OpenApp, tmp_path: Path, made: str) -> None:
    folder = tmp_path / "tables"
    folder.mkdir()
    name, file = ("mine", "mine.npz") if made == "table" else ("mine-3", "mine-3.json")
    (folder / file).write_bytes(b"damaged, which is one more reason")
    app = open_app("methods", table=name)
    app.button(key="delete table").click().run()
    assert "stay among the runs" in texts(app) and (folder / file).exists()
    app.button(key="delete table").click()
    app.button(key="delete table for good").click().run()
    assert not app.exception and not (folder / file).exists()
    assert app.selectbox(key="table").value != name
    assert "delete table" not in [button.key for button in app.button]


def test_what_came_with_the_project_stays(open_app: OpenApp) -> None:
    app = open_app("methods", bundles=True, table="g1-6")
    assert not app.exception and "delete table" not in [button.key for button in app.button]
