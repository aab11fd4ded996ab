"""The Methods page, on tables whose groups were trained with several seeds."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from app import truths
from app.charts.base import number
from stg_core.affinity.seed_methods import BUDGETS
from stg_core.affinity.seeds import (
    bundled_seed_tables,
    load_seed_table,
    seed_table_path,
)
from stg_core.affinity.truth import (
    foretold,
    kept_methods,
    kept_truth,
    sentences,
    table_truth,
)
from stg_core.results import store as store_module
from tests.affinity.seed_tables import bundle_two
from tests.pages.conftest import OpenApp, StandInEngine, move, slider, texts, titles


@pytest.fixture(scope="module")
def planted_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    with pytest.MonkeyPatch.context() as patch:
        bundle_two(folder, patch)
    return folder


@pytest.fixture
def two_tables(planted_tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are all that is bundled."""
    shutil.copytree(planted_tables, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(store_module, "BUNDLES", tmp_path / "no-bundles")


def row_of(app: Any, method: str) -> Any:
    return (
        next(f.value for f in app.dataframe if "Regret" in f.value).set_index("Method").loc[method]
    )


def test_a_table_with_several_seeds_comes_first(open_app: OpenApp, two_tables: None) -> None:
    app = open_app("methods")
    assert not app.exception and app.selectbox(key="table").value == "seeds-mine-4"
    assert titles(app) == {"Better than random groups?"}
    assert "each trained with 5 seeds" in texts(app)


@pytest.mark.parametrize("budget", BUDGETS)
def test_methods_have_gain_regret_and_cost_within_a_budget(
    open_app: OpenApp, two_tables: None, budget: int
) -> None:
    app = open_app("methods", table="seeds-yeast-6")
    assert slider(app, "Budget").value == "3"
    app = move(app, "truth_budget", str(budget))
    table = load_seed_table(seed_table_path("yeast-6"))
    for one in kept_methods(table, budget):
        row = row_of(app, one.title)
        assert row["Cost"] == one.cost
        assert row["Regret"].startswith(f"{number(100 * one.regret.mean, '+.1f')} % (")
    for told in sentences(kept_truth(table), kept_methods(table, budget)):
        assert told in texts(app)


def test_what_foretells_pairs_is_said_over_all_tables(open_app: OpenApp, two_tables: None) -> None:
    app = open_app("methods")
    features = next(f.value for f in app.dataframe if "Feature" in f.value)
    assert features.set_index("Feature").loc["Label correlation", "yeast-6"] == "1.00"
    assert "A ridge regression on all features reaches" in texts(app)


@pytest.mark.parametrize("name", sorted(bundled_seed_tables()))
def test_bundled_tables_are_shown_without_training_anything(
    open_app: OpenApp, name: str, engine: type[StandInEngine]
) -> None:
    app = open_app("methods", bundles=True, table=f"{truths.PREFIX}{name}")
    assert not app.exception and not app.error
    assert titles(app) == {"Better than random groups?"}
    assert "What foretells the own part of a pair?" in [one.value for one in app.header]
    assert engine.submitted == []


def parts_of(whole: object, place: str = "") -> Iterator[tuple[str, object]]:
    """Every value in dictionaries and lists, with where it stands."""
    if isinstance(whole, dict | list | tuple):
        for key, part in whole.items() if isinstance(whole, dict) else enumerate(whole):
            yield from parts_of(part, f"{place}/{key}")
    else:
        yield place, whole


@pytest.mark.parametrize("name", sorted(bundled_seed_tables()))
def test_what_a_bundled_table_tells_follows_from_what_it_holds(name: str) -> None:
    table = load_seed_table(seed_table_path(name))
    kept, found = (dict(parts_of(asdict(one))) for one in (kept_truth(table), table_truth(table)))
    assert kept.keys() == found.keys()
    for part, value in kept.items():
        if isinstance(value, float):  # processors round sums differently
            value = pytest.approx(value, rel=1e-9, nan_ok=True)
        assert found[part] == value, part
    exhaustive = {one.method: one for one in kept_methods(table, 3)}["exhaustive"]
    assert exhaustive.regret.mean == 0 and exhaustive.cost > len(table.masks) / 3
    assert seed_table_path(name).stat().st_size <= 10_000_000
    assert foretold({name: table}) is None
