"""From a notebook to the app: what `.open()` opens."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from stg_core.grouping.one_call import group
from tests.browser.conftest import served

pytestmark = pytest.mark.browser


def test_the_app_that_runs_shows_the_grouping_of_the_notebook(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_page: Callable[..., Page]
) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (300, 4))
    rise = np.sqrt(np.arange(1, 13))[:, None, None] * np.array([2.0, 2.0, 0.2, 0.2])
    logits = rise * (2 * labels - 1) + rng.normal(0, 0.6, (12, 300, 4))
    result = group(logits, labels, tasks=["cat", "dog", "coin", "die"], k=2, fuzzifier=1.5)
    monkeypatch.setenv("STG_HOME", str(tmp_path / "results"))
    with served(tmp_path) as address:
        opened = result.open("from a notebook", browser=False)
        assert opened.startswith(f"{address}/grouping?"), "another app was started"
        page = open_page(opened)
        picture = page.locator("figure.memberships .stage")
        expect(picture).to_have_attribute("aria-label", re.compile("4 tasks in 2 clusters"))
        told = picture.get_attribute("aria-label") or ""
        shown = re.findall(r"cluster \d: ([^;.]+)", told)
        assert [set(members.split(", ")) for members in shown] == [*map(set, result.clusters)]
        expect(page.get_by_role("status").filter(has_text="1.50")).to_be_visible()
        expect(page.get_by_role("definition").nth(1)).to_have_text(
            f"{result.quality['silhouette']:.3f}"
        )
        expect(page.get_by_label("Run", exact=True)).to_have_value(re.compile("from a notebook"))
