"""Memberships in the browser are the library's: the scripts that ship, on the same numbers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, Page

from app.task_pictures import FOLDER
from stg_core.grouping.agreement import Reference, agreement_with
from stg_core.grouping.memberships import (
    Grouping,
    TaskSpace,
    group_tasks,
    memberships_from_distances,
)
from stg_core.grouping.problems import coinciding
from stg_core.maps.summary import summarise
from tests.conftest import realistic_maps

pytestmark = pytest.mark.browser
FUZZIFIERS = (1.01, 1.05, 1.4, 2.0, 2.99, 3.0)
EXACT = 1e-6


@pytest.fixture(scope="module")
def formula(context: BrowserContext) -> Iterator[Page]:
    """A page that has nothing but the formula."""
    page = context.new_page()
    page.add_script_tag(content=(FOLDER / "formula.js").read_text())
    yield page
    page.close()


def distances(kind: str, n_tasks: int, k: int) -> NDArray[np.float32]:
    """(T, k), as the browser gets them."""
    rng = np.random.default_rng(k)
    found = rng.gamma(4.0, 40.0, (n_tasks, k))
    if kind == "zero":
        found[np.arange(n_tasks), np.arange(n_tasks) % k] = 0.0
        found[0] = 0.0
    elif kind == "ties":
        found[:, 1:] = found[:, :1]
    elif kind == "nearly ties":
        found = 100 + rng.normal(0, 1e-3, (n_tasks, k))
    elif kind == "tiny and huge":
        found *= 10.0 ** rng.integers(-30, 30, (n_tasks, k))
    return found.astype(np.float32)


@pytest.mark.parametrize("kind", ["ordinary", "zero", "ties", "nearly ties", "tiny and huge"])
def test_memberships_are_those_of_the_library(formula: Page, kind: str) -> None:
    for k in (1, 2, 7, 40):
        given = distances(kind, 25, k)
        found = formula.evaluate(
            """(told) => {
              const [d, k, all] = JSON.parse(told), distances = Float32Array.from(d);
              return JSON.stringify(all.map((m) => [...membershipsFrom(distances, k, m)]));
            }""",
            json.dumps([given.ravel().tolist(), k, FUZZIFIERS]),
        )
        for m, shares in zip(FUZZIFIERS, json.loads(found), strict=True):
            expected = memberships_from_distances(given.astype(np.float64), m)
            np.testing.assert_allclose(np.reshape(shares, (25, k)), expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("method", ["soft", "hard"])
def test_quality_and_order_are_those_of_the_library(formula: Page, method: str) -> None:
    maps, labels = realistic_maps(12, 400, (2, 3))
    space = TaskSpace(summarise(maps, labels, tuple("abcdefghijkl"), (2, 3)))
    for k in (2, 5, 12):
        clusters = space.kmeans(k)
        for m in FUZZIFIERS:
            expected = group_tasks(space, k, m, method)
            found: dict[str, Any] = formula.evaluate(
                """([distances, labels, k, m, separation, method]) => {
                  const shares = method === "hard" ? hardMemberships(labels, k)
                    : membershipsFrom(distances, k, m);
                  return {
                    shares: [...shares], order: byCluster(shares, labels, k),
                    partition: partitionCoefficient(shares, k),
                    xieBeni: xieBeni(shares, distances, k, m, separation),
                  };
                }""",
                [
                    clusters.distances.ravel().tolist(),
                    clusters.labels.tolist(),
                    *(k, m, clusters.separation, method),
                ],
            )
            shares = np.reshape(found["shares"], (12, k))
            np.testing.assert_allclose(shares, expected.memberships, rtol=0, atol=EXACT)
            assert found["partition"] == pytest.approx(expected.quality["partition_coefficient"])
            if not expected.problem:
                assert found["xieBeni"] == pytest.approx(expected.quality["xie_beni"])
            assert (np.diff(expected.labels[found["order"]]) >= 0).all(), "by cluster"
            for cluster in range(k):
                own = [task for task in found["order"] if expected.labels[task] == cluster]
                assert (np.diff(shares[own].max(axis=1)) <= 0).all(), "the surest first"


def test_coherence_is_that_of_the_library(formula: Page) -> None:
    rng = np.random.default_rng(0)
    tasks = tuple("abcdefg")
    reference = Reference("by hand", tasks, ("x", "y", "x", "z", "x", "y", None))
    shares = rng.dirichlet(np.ones(3), 7)
    given = Grouping(tasks, 3, 2.0, "soft", shares, shares.argmax(axis=1), {})
    for panel in agreement_with(reference, given).panels:
        own = [tasks.index(task) for task in panel.tasks]
        told = formula.evaluate(
            "([own, shares, k]) => coherence(own, shares, k)", [own, shares.ravel().tolist(), 3]
        )
        assert told == (panel.coherence and pytest.approx(panel.coherence, abs=EXACT))


def test_clusters_that_coincide_are_those_of_the_library(formula: Page) -> None:
    rng = np.random.default_rng(0)
    for k in (2, 4, 9):
        shares = rng.dirichlet(np.ones(k), 20)
        alike = shares.copy()
        alike[:, k - 1] = alike[:, 0] * 1.004
        for given in (shares, alike, np.full((20, k), 1 / k), np.eye(k)[rng.integers(0, k, 20)]):
            expected = bool((coinciding(given) != np.arange(k)).any())
            told = formula.evaluate(
                "([shares, k]) => someCoincide(Float64Array.from(shares), k)",
                [given.ravel().tolist(), k],
            )
            assert told == expected
