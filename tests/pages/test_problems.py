"""A grouping that says nothing is called so on every page that groups, and nothing is trained."""

from __future__ import annotations

import pytest

from app.widgets import plain
from stg_core.grouping.memberships import TaskSpace, group_tasks
from stg_core.results.run import Run
from tests.pages.conftest import OpenApp


@pytest.mark.parametrize("page", ["grouping", "agreement", "specialists"])
def test_a_page_says_what_is_wrong_with_a_grouping(
    page: str, open_app: OpenApp, trained: Run
) -> None:
    problem = group_tasks(TaskSpace(trained.summary), 14, method="points").problem
    assert "empty" in problem
    app = open_app(page, trained, k="14", method="points")
    assert [warning.value for warning in app.warning] == [plain(problem)]
    assert not app.exception and not app.error
    assert not [button for button in app.button if button.key == "train"]
    links = [link.proto.label for link in app.get("page_link")]
    assert not [label for label in links if label.startswith("Does it pay?")]
    sound = open_app(page, trained, k="2", method="soft")
    assert not sound.warning
