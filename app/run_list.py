"""The table of runs, and what can be done with one: open, rename, export, delete, import."""

from __future__ import annotations

import io

import pandas as pd
import streamlit as st

from app import state, widgets
from stg_core.export.folders import delete_export, kept_exports
from stg_core.results.archive import export_run, file_name, import_run
from stg_core.results.logged import LoggedRun
from stg_core.results.run import WEIGHTS, Run
from stg_core.results.store import LONGEST_TITLE
from stg_core.results.training_run import TrainingRun
from stg_core.system.words import counted

LARGEST_UPLOAD = 64  # MB: an upload is held in memory


def list_runs(runs: list[Run]) -> None:
    ids = [run.id for run in runs]
    # the key names the runs: what is ticked is a row, and rows move when runs come and go
    key = f"runs {' '.join(ids)}"
    chosen = state.kept("run")
    st.dataframe(
        pd.DataFrame(
            {
                "Run": [run.title_now for run in runs],
                **score_columns(runs),
                "Model": [None if run.spec.logged else run.spec.model for run in runs],
                "Epochs": [run.spec.epochs for run in runs],
                "When": [widgets.when(run) for run in runs],
                "Took": [took(run) for run in runs],
                "Size": [run.size for run in runs],
                "Group": [run.spec.group.title for run in runs],
                **sources(runs),
            }
        ),
        hide_index=True,
        key=key,
        on_select=lambda: tick(key, ids),
        selection_mode="single-row",
        selection_default={"selection": {"rows": [ids.index(chosen)] if chosen in ids else []}},
        placeholder="–",
        alt=f"Table of {len(runs)} runs",
        column_config={
            "Group": st.column_config.TextColumn(help="Task group."),
            "Epochs": st.column_config.NumberColumn(help="Passes over all training points."),
            **{
                name: st.column_config.NumberColumn(
                    format="%.3f",
                    help="Mean over the tasks, on the test points, after the last epoch.",
                )
                for name in score_columns(runs)
            },
            "When": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
            "Took": st.column_config.TextColumn(help="On the machine where it was trained."),
            "Size": st.column_config.NumberColumn(format="bytes", help="On this disk."),
            "Logged by": st.column_config.TextColumn(help="What trained it, outside of this app."),
        },
    )


def took(run: Run) -> str | None:
    seconds = run.provenance["seconds"]
    return widgets.duration(seconds) if seconds or not run.spec.logged else None


def sources(runs: list[Run]) -> dict[str, list[str | None]]:
    """A column for what wrote the logs, where some are."""
    found = [run.provenance["device"] if run.spec.logged else None for run in runs]
    return {"Logged by": found} if any(found) else {}


def score_columns(runs: list[Run]) -> dict[str, list[float | None]]:
    """A column for each kind of score that a run has, and F1 always."""
    names = dict.fromkeys(["F1", *(run.score_name for run in runs)])
    return {
        f"Mean {name}": [run.mean_score if run.score_name == name else None for run in runs]
        for name in names
    }


def tick(key: str, ids: list[str]) -> None:
    rows = st.session_state[key]["selection"].get("rows") or []
    chosen = ids[rows[0]] if rows else None
    # a browser that looks again may still send the tick of a run that was deleted meanwhile
    if chosen and chosen not in {run.id for run in state.shared().store.runs()}:
        return
    state.keep("run", chosen)
    st.rerun(["runs", "chosen run"])


def show_run(run: Run) -> None:
    own = "Bundled runs stay as they are; an imported copy is yours to change."
    if isinstance(run, TrainingRun):
        own = "Once it has ended."
    stays = run.bundled or isinstance(run, TrainingRun)
    st.markdown(f"**{widgets.plain(run.title)}**")
    with st.container(horizontal=True, vertical_alignment="center"):
        if run.has_data_maps:
            widgets.open_run(run.id)
        elif run.spec.logged:
            st.caption("It can be opened from its second epoch on.")
        if st.button(
            "Rename",
            key="rename",
            icon=":material/edit:",
            disabled=stays,
            help=own if stays else "Gives it a title of your own.",
        ):
            ask_for_title(run)
        st.download_button(
            "Export",
            data=lambda: exported(run),
            file_name=file_name(run),
            mime="application/zip",
            key="export",
            on_click="ignore",
            disabled=isinstance(run, TrainingRun),
            icon=":material/download:",
            help="A .zip file for another machine, with all that the pages show, as it is now."
            if run.spec.logged
            else "A .zip file for another machine, with all that the pages show. With the arrays of"
            " every point, and the weights of the model:"
            f" `python -m stg_core export {run.id} --with-arrays --with-weights`",
        )
        if st.button(
            "Delete",
            key="delete",
            icon=":material/delete:",
            disabled=run.bundled,
            help=own if run.bundled else "Asks again before it does.",
        ):
            ask_for_deletion(run)
    if not run.bundled:
        st.caption(widgets.plain(run.about_weights))


def exported(run: Run) -> bytes:
    file = io.BytesIO()
    export_run(run, file)
    return file.getvalue()


def weights_of_all() -> None:
    """What weights and exported models take, whether weights are kept, and the space back."""
    store = state.shared().store
    there = [run for run in store.runs() if run.has_weights and not run.bundled]
    exports = kept_exports(store)
    size = f"{sum(run.files[WEIGHTS]['bytes'] for run in there) / 1e6:,.1f} MB"
    size_of_exports = f"{sum(one.bytes for one in exports) / 1e6:,.1f} MB"
    st.caption(
        f"Of {counted(len(there), 'run')} the weights are here, {size}: what a model is used with,"
        f" and what warm specialists go on from. Beside them"
        f" {counted(len(exports), 'exported model')}, {size_of_exports}."
    )
    keep = st.toggle(
        "Keep the weights of trainings",
        value=store.keeps_weights,
        help="Without them a model is trained again before it can be used, or gone on from.",
    )
    with widgets.user_errors():
        if keep != store.keeps_weights:
            store.keeps_weights = keep
        if st.button(
            f"Give {size} of weights back",
            key="drop weights",
            icon=":material/delete_sweep:",
            disabled=not there,
            help="Deletes the weights of all runs. Scores, data maps and outputs stay, and so do"
            " exported models.",
        ):
            for run in there:
                store.drop_weights(run)
            st.rerun()
        if st.button(
            f"Give {size_of_exports} of exported models back",
            key="drop exports",
            icon=":material/delete_sweep:",
            disabled=not exports,
            help="Deletes all that was exported here, and is offered on Try. Files that were"
            " downloaded stay; a model can be exported again while its weights are here.",
        ):
            for one in exports:
                delete_export(one)
            st.rerun()


@st.dialog("Rename this run")
def ask_for_title(run: Run) -> None:
    title = st.text_input(
        "Title",
        value=run.own_title,
        max_chars=LONGEST_TITLE,
        placeholder=run.head.name if isinstance(run, LoggedRun) else run.spec.title,
        key=f"title {run.id}",
        help="Shown wherever this run is. Empty: "
        + ("what the log is called." if run.spec.logged else "what it was trained with."),
    )
    if st.button("Save", key="save title", type="primary"):
        with widgets.user_errors():
            state.shared().store.rename(run, title)
            st.rerun()


@st.dialog("Delete this run?")
def ask_for_deletion(run: Run) -> None:
    again = f"training it again takes {widgets.duration(run.provenance['seconds'])}"
    if isinstance(run, TrainingRun):
        again = "it can only be trained from its beginning"
    if run.spec.logged:
        again = "only what trained it can log it again"
    st.markdown(f"**{widgets.plain(run.title)}** will be gone for good, and {again}.")
    with st.container(horizontal=True):
        if st.button("Delete", key="delete for good", type="primary"):
            with widgets.user_errors():
                state.shared().store.delete(run)
                state.keep("run", None)
                st.rerun()
        if st.button("Keep", key="keep"):
            st.rerun()


@st.dialog("Import a run")
def ask_for_file() -> None:
    file = st.file_uploader(
        "A .zip file that was exported",
        type="zip",
        max_upload_size=LARGEST_UPLOAD,
        key="file",
        help=f"Up to {LARGEST_UPLOAD} MB; larger ones with `python -m stg_core import FILE`.",
    )
    if file:
        with widgets.user_errors():
            state.keep("run", import_run(state.shared().store, file).id)
            st.rerun()
