"""The Methods page, on the tables that come with the project."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from app.charts import methods as charts
from app.charts.base import number
from stg_core.affinity.methods import (
    METHODS,
    available,
    choose,
    judge,
    matrices,
    rank_correlations,
)
from stg_core.affinity.table import bundled_table, bundled_tables, table_path
from stg_core.results import store as store_module
from tests.pages.conftest import OpenApp, StandInEngine, move, slider, texts, titles

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
    for method in available(table):
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
    app = open_app("methods", bundles=True, methods_show="Quality and cost", cost=cost)
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
        app = open_app("methods", bundles=True, methods_show=view)
        for name in bundled_tables():
            table = bundled_table(name)
            assert table.similarity is not None
            alike, gains, alike_pairs, pair_gains = [], [], [], []
            for mask, row in zip(table.masks, table.gains, strict=True):
                members = np.flatnonzero(mask)
                for t in members if len(members) > 1 else ():
                    others = members[members != t]
                    alike.append(table.similarity[others, t].mean())
                    gains.append(row[t])
                    if len(members) == 2:
                        alike_pairs.append(alike[-1])
                        pair_gains.append(row[t])
            groups = number(np.corrcoef(alike, gains)[0, 1], "+.2f")
            pairs = number(np.corrcoef(alike_pairs, pair_gains)[0, 1], "+.2f")
            assert f"**{groups}** on {name} ({pairs} over pairs alone)" in texts(app)


def test_predictions_name_how_well_they_hold(open_app: OpenApp) -> None:
    app = open_app("methods", bundles=True, methods_show="Predictions")
    for title in ("HOA", "ETAP", "MTG-Net"):
        app.selectbox(key="predicting").select(title).run()
        assert not app.exception and f"{title}, on groups that it did not train: Pearson" in texts(
            app
        )
        assert "R²" in texts(app)


def test_every_method_is_explained_with_its_source(open_app: OpenApp) -> None:
    app = open_app("methods", bundles=True, methods_show="How they work")
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
