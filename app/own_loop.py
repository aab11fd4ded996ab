"""A grouping's memberships as loss weights, and code that trains specialists with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from app.brought_back import FRAMEWORKS, offer_code, offer_weights
from stg_core.results.run import Run

if TYPE_CHECKING:
    from stg_core.grouping.memberships import Grouping


def offer(run: Run, grouping: Grouping) -> None:
    """For specialists in a loop of one's own, of any run."""
    from stg_core.judging.loss_weights import loss_weights
    from stg_core.judging.own_trainer import own_trainer

    st.markdown("**Loss weights** of the specialists, for your own trainer")
    with st.container(horizontal=True):
        offer_weights(grouping, run.title, run.spec.group.name, "loss weights")
    label = f"Code that trains {grouping.k} specialists in your own loop, and averages them"
    with st.expander(label, icon=":material/code:"):
        tasks = [run.spec.group.task(name) for name in grouping.tasks]
        weights = loss_weights(grouping)
        for tab, framework in zip(st.tabs([*FRAMEWORKS.values()]), FRAMEWORKS, strict=True):
            with tab:
                code = own_trainer(framework, tasks, weights, run.title)
                offer_code(code, f"specialists-{framework}.py")
