"""A person takes a snippet along, runs it, and sees what came back judged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import keep_screenshot as screenshot
from tests.browser.conftest import served, settled
from tests.judging.logging_digits import NAMES, log_training, run_snippet

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def place(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Address of an app that has the log "my run", and whose results this process logs to."""
    folder = tmp_path_factory.mktemp("app")
    monkeypatch.setenv("STG_HOME", str(folder / "results"))
    log_training("my run")
    with served(folder) as address:
        yield address


def test_what_is_taken_along_comes_back_judged(
    place: str, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    page = open_page(f"{place}/specialists?run=log:my-run&k=2")
    settled(page)
    expect(page.get_by_text("Not judged yet, for the specialists")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="npy").click()
    download.value.save_as(tmp_path / "weights.npy")
    weights = np.load(tmp_path / "weights.npy", allow_pickle=False)
    assert weights.shape == (len(NAMES), 2) and np.allclose(weights.sum(axis=1), 1, atol=1e-5)

    code = page.get_by_test_id("stCode").first.locator("code").inner_text()
    assert f"{weights[0, 0]:.6g}" in code
    screenshot(page, "specialists-taken-along")
    run_snippet(code)
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("Does the grouping pay?")).to_be_visible()
    expect(page.get_by_text("Wider model, missing")).to_be_visible()
    expect(page.get_by_text("Longer model, missing")).to_have_count(0)
    screenshot(page, "specialists-brought-back")
