"""What people are told of clusters that follow prevalence."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from stg_core.grouping.memberships import Grouping, TaskSpace, group_tasks
from stg_core.grouping.prevalence import explained_prevalence
from stg_core.maps.labels import prevalence
from stg_core.maps.summary import DataMapSummary
from stg_core.results.store import Store


@pytest.fixture(scope="module")
def summary() -> DataMapSummary:
    return Store().run("bundled:g3").summary


@pytest.fixture(scope="module")
def grouping(summary: DataMapSummary) -> Grouping:
    return group_tasks(TaskSpace(summary), 3, 2.0, "soft")


def with_prevalence(summary: DataMapSummary, shares: np.ndarray) -> DataMapSummary:
    counts = np.rint(shares * int(summary.n_points)).astype(np.int32)
    return dataclasses.replace(summary, positives=counts)


def test_clusters_of_like_prevalence_are_said_to_follow_it(
    summary: DataMapSummary, grouping: Grouping
) -> None:
    follows = with_prevalence(summary, 0.1 + 0.2 * grouping.labels)
    found = explained_prevalence(follows, grouping)
    assert found and found.share == pytest.approx(1) and found.high < 0.2
    assert "explain 100% of how the prevalence of the 100 yes-or-no tasks varies; random" in str(
        found
    )


def test_the_share_is_that_of_an_analysis_of_variance(
    summary: DataMapSummary, grouping: Grouping
) -> None:
    drawn = with_prevalence(summary, np.random.default_rng(0).uniform(0.1, 0.9, 100))
    values = prevalence(drawn)
    between = sum(
        (grouping.labels == j).sum() * (values[grouping.labels == j].mean() - values.mean()) ** 2
        for j in range(3)
    )
    found = explained_prevalence(drawn, grouping)
    assert found and found.share == pytest.approx(between / ((values - values.mean()) ** 2).sum())
    assert found.low <= found.share <= found.high
    assert "no more than random ones" in str(found)


def test_tasks_of_one_prevalence_or_without_any_say_nothing(
    summary: DataMapSummary, grouping: Grouping
) -> None:
    assert explained_prevalence(summary, grouping) is None  # a hundred classes, all as frequent
    others = dataclasses.replace(summary, positives=np.full(100, -1, dtype=np.int32))
    assert explained_prevalence(others, grouping) is None
