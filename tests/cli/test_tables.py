"""What the command line tells of tables whose groups were trained with several seeds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from stg_core.affinity.seed_training import RECIPES
from stg_core.affinity.seeds import load_seed_table, seed_table_path
from stg_core.affinity.truth import foretelling, foretelling_sentence, kept_methods
from stg_core.cli.main import main
from stg_core.results import store as store_module
from tests.affinity.seed_tables import bundle_two


@pytest.fixture(autouse=True, scope="module")
def two_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        bundle_two(tmp_path_factory.mktemp("two"), patch)
        yield


def test_what_foretells_pairs_is_told_over_all_tables(capsys: pytest.CaptureFixture[str]) -> None:
    tables = {name: load_seed_table(seed_table_path(name)) for name in ("mine-4", "yeast-6")}
    assert main(["methods", "--pairs"]) == 0
    told = capsys.readouterr().out
    found = foretelling(tables)
    assert found and told.rstrip().endswith(foretelling_sentence(found))
    assert told.split()[:3] == ["stopped", "mine-4", "yeast-6"]
    assert f"{found['model'].single['labels']['yeast-6']:.2f}" in told


def test_that_takes_two_tables(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(store_module, "BUNDLES", tmp_path)
    assert main(["methods", "--pairs"]) == 2
    assert "takes two tables with several seeds" in capsys.readouterr().err


def test_a_method_is_told_with_its_rank_and_what_it_says_of_groups_and_pairs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPES, "yeast-6", RECIPES["yeast-8"])  # names that can be asked for
    assert main(["methods", "--table", "yeast-6", "--seeds", "5"]) == 0
    told, err = capsys.readouterr()
    assert "DMTG is not among the methods. The data set “planted” is not on this machine" in err
    for one in kept_methods(load_seed_table(seed_table_path("yeast-6")), 3):
        rows = [line for line in told.splitlines() if line.startswith(f"{one.title:32}")]
        assert len(rows) == 2
        assert one.rank is None or f"{one.rank.mean:.0f} (" in rows[1]
        assert one.told is None or f"{one.told.mean:.2f} (" in rows[1]
