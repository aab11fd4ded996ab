"""What an address says, and what was chosen since."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest


def page_with_a_choice() -> None:
    import streamlit as st

    from app import state

    state.read_url()
    st.button("Choose b", on_click=lambda: state.keep("run", "b"))
    st.button("Choose none", on_click=lambda: state.keep("run", None))
    st.write(state.kept("run"))


@pytest.fixture
def app() -> AppTest:
    app = AppTest.from_function(page_with_a_choice)
    app.query_params["run"] = "a"
    return app.run()


def chosen(app: AppTest) -> str:
    return app.markdown[0].value


@pytest.mark.parametrize("button, choice", [(0, "b"), (1, "`None`")])
def test_a_browser_that_has_not_heard_of_a_choice_does_not_undo_it(
    app: AppTest, button: int, choice: str
) -> None:
    app.button[button].click().run()
    assert chosen(app) == choice
    app.query_params["run"] = "a"  # as a page sends it that looks again every second
    app.run()
    assert chosen(app) == choice
    assert app.query_params.get("run") == ("b" if choice == "b" else None)


def test_a_link_to_what_was_chosen_before_is_followed(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.button[0].click().run()
    monkeypatch.setattr("app.state.BELATED", 0.0)  # as if it were long ago
    app.query_params["run"] = "a"
    app.run()
    assert chosen(app) == "a"


def test_any_other_link_is_followed_at_once(app: AppTest) -> None:
    app.button[0].click().run()
    app.query_params["run"] = "c"
    app.run()
    assert chosen(app) == "c"
