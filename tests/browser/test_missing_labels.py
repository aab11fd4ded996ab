"""Tasks with few labels in the pictures, as they are drawn and saved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from stg_core.maps.summary import summarise
from stg_core.results.store import Store
from stg_core.training.loop import TrainingResult
from tests.benchmarks.missing import without
from tests.browser.conftest import served, settled
from tests.browser.test_grouping import SVG, OpenPage, exported


@pytest.fixture(scope="module")
def grouping(
    digits_result: TrainingResult, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Address of the grouping of a run whose first task has an eighth of its labels."""
    folder = tmp_path_factory.mktemp("sparse")
    labels = digits_result.train_labels.astype(np.float32)
    missing = np.zeros(labels.shape, dtype=bool)
    missing[:, 0] = np.arange(len(labels)) % 8 > 0
    hidden, known = without(np.array(digits_result.datamaps), labels, missing)
    spec = digits_result.spec
    summary = summarise(hidden, known, spec.tasks, spec.recorded)
    run = Store(folder / "results").save(replace(digits_result, summary=summary))
    with served(Path(folder)) as address:
        yield f"{address}/grouping?run={run.id}&map=pca"


@pytest.mark.parametrize(
    ("view", "names"), [("Memberships", ("memberships", "map")), ("Distances", ("distances",))]
)
def test_the_mark_stands_behind_the_name_of_an_uncertain_task(
    grouping: str, open_page: OpenPage, view: str, names: tuple[str, ...]
) -> None:
    page = open_page(f"{grouping}&show={view}")
    settled(page)
    for name in names:
        picture = ElementTree.fromstring(exported(page, name, "SVG"))
        written = {element.text for element in picture.iter(f"{SVG}text")}
        assert "0 ?" in written and "1" in written and "1 ?" not in written


def test_cards_show_the_mark_and_mark_the_task(grouping: str, open_page: OpenPage) -> None:
    page = open_page(f"{grouping}&show=Clusters")
    settled(page)
    page.get_by_role("button", name="0 ?").click()
    settled(page)
    assert "marked=0" in page.url
