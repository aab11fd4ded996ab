"""The models of a plan to take home: made and checked in the background, then to be downloaded."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from app import state, widgets
from app.charts.specialists import scheme_title
from app.model_files import key_of_export
from app.widgets import Chosen
from stg_core.engine.derived import Answer
from stg_core.judging.plan import ROUTED, words_of
from stg_core.judging.verdict import MEASURE_NAMES
from stg_core.results.run import Run
from stg_core.system.words import counted

if TYPE_CHECKING:
    from stg_core.engine.derived import Question
    from stg_core.judging.plan import Plan

FIRST = "specialists"
LABELS = {  # of the files in an export: what they are called, and for what
    "model.onnx": ("ONNX", "All models, their weights and the normalisation in one file."),
    "model.safetensors": ("PyTorch", "For stg_core.export.load, to predict or to go on training."),
    "README.md": (
        "Model card",
        "Data, tasks, scores and limits, in the layout of Hugging Face.",
    ),
}


def offer(run: Run, chosen: Chosen, plan: Plan, variant: str) -> None:
    """Which models, and once they are asked for, their files; variant: as chosen above."""
    with st.expander("Take it home: one file that predicts", icon=":material/download:"):
        st.caption(
            "Raw images or rows go in, the answer and what each model says by itself come out:"
            " onnxruntime and NumPy are all it takes. It is checked on the test points before."
        )
        schemes, words = list(plan.schemes), words_of(plan.spec)
        with st.container(horizontal=True, vertical_alignment="bottom"):
            scheme = st.selectbox(
                "Models",
                schemes,
                index=schemes.index(FIRST) if FIRST in schemes else 0,
                format_func=lambda name: scheme_title(name, words),
                key="taken scheme",
                width=260,
            )
            average, routing = variant.split("-")
            wanted = scheme, routing if scheme in ROUTED else "soft", average
            grouping = plan.grouping
            place = (
                run.id,
                grouping.k,
                grouping.fuzzifier,
                grouping.method,
                plan.warm_share,
                *wanted,
            )
            if st.button("Make the file", key="take home", icon=":material/deployed_code:"):
                st.session_state["taken home"] = place
        if st.session_state.get("taken home") == place:
            _show(run, chosen, plan, *wanted)


def _show(run: Run, chosen: Chosen, plan: Plan, scheme: str, routing: str, average: str) -> None:
    from stg_core.export.kept import export_question
    from stg_core.export.making import Wanted, trained_plan

    store = state.shared().store
    wanted = Wanted(scheme, routing, average, plan.seeds[0], plan.schemes, plan.warm_share)
    of_seed = trained_plan(store, run, chosen.space, plan.grouping, wanted)
    question = export_question(store, run, chosen.space, of_seed, wanted)

    def ask() -> Answer[dict[str, Any]]:
        return state.shared().derived.get(question)

    answer = ask()
    if answer.value:
        _downloads(question, answer.value)
    elif answer.pending:
        st.info("The file is being made, and checked.", icon=":material/hourglass_empty:")
    widgets.wait_for(answer, ask)


def _downloads(question: Question, told: dict[str, Any]) -> None:
    from stg_core.export.kept import folder_of

    folder = folder_of(state.shared().store, question)
    if not all((folder / name).is_file() for name in LABELS):
        st.warning(
            "The files are no longer in the folder of results: make them again.",
            icon=":material/warning:",
        )
        st.button("Make them again", on_click=partial(state.shared().derived.forget, question))
        return
    name = f"{told['scheme']}-{folder.name[:6]}"
    with st.container(horizontal=True):
        for file, (label, about) in LABELS.items():
            st.download_button(
                f"{label}, {told['bytes'][file] / 1e6:.2f} MB" if file != "README.md" else label,
                data=(folder / file).read_bytes,
                file_name=f"{name}{(folder / file).suffix}",
                mime="text/markdown" if file == "README.md" else "application/octet-stream",
                on_click="ignore",
                icon=":material/download:",
                help=about,
            )
    st.page_link(
        state.TRY,
        label="Try it",
        icon=":material/photo_camera:",
        query_params={"models_of": key} if (key := key_of_export(folder.name)) else {},
    )
    st.caption(widgets.plain(about_check(told)))
    st.dataframe(
        pd.DataFrame(
            {
                "Served": name,
                "Models asked": one["models"],
                "MB": one["bytes"] / 1e6,
                "ms for one point": one["one"],
                "ms for each of many": one["many"],
            }
            for name, one in told["serving"].items()
        ),
        hide_index=True,
        alt="Table of how large the files are, and how long an answer takes",
        column_config={
            "MB": st.column_config.NumberColumn(format="%.2f"),
            "ms for one point": st.column_config.NumberColumn(format="%.2f"),
            "ms for each of many": st.column_config.NumberColumn(
                format="%.3f", help="256 points at once; medians on one thread, in turns."
            ),
        },
    )


def about_check(told: dict[str, Any]) -> str:
    """What the check found, in two sentences."""
    check = told["check"]
    name, both = next(iter(check["scores"].items()))
    return (
        f"Checked on {counted(check['points'], 'test point')}: onnxruntime and PyTorch differ by"
        f" {check['difference']:.1g} at most. The mean {MEASURE_NAMES[name]} of the file is"
        f" {both['file']:.4f}, and {both['judged']:.4f} was judged, of seed {told['seed']}."
    )
