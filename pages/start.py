"""Start: what this is, a training, its progress, and all runs."""

import pandas as pd
import streamlit as st

from app import state, widgets
from stg_core.datasets import CLASS_NAMES
from stg_core.errors import UserError
from stg_core.spec import BUILT_IN_MODELS, TrainingSpec, default_model
from stg_core.tasks import GROUPS, TaskGroup, custom_group

ABOUT_GROUPS = {
    "digits": "Ten handwritten digits and five more tasks, in 1,797 small images that come along.",
    "g1": "The ten classes of CIFAR-10.",
    "g2": "The ten classes of CIFAR-10, three unions of them, upside-down images and coin flips.",
    "g3": "The hundred classes of CIFAR-100.",
    "custom": "Classes of a data set, and named unions of classes.",
}


# ------------------------------------------------------------------------------ what to train


def choose_spec() -> TrainingSpec:
    name = st.selectbox(
        "Task group",
        [*GROUPS, "custom"],
        key="group",
        bind="query-params",
        help="The binary tasks that one model learns together.",
    )
    st.caption(ABOUT_GROUPS[name])
    group = choose_custom_group() if name == "custom" else GROUPS[name]
    suited = default_model(group.dataset)
    model = st.selectbox(
        "Model",
        BUILT_IN_MODELS,
        index=BUILT_IN_MODELS.index(suited),
        accept_new_options=True,
        key=f"model_{group.dataset}",
        bind="query-params",
        help="The backbone. For one of your own, write module:name, such as my_models:tiny_vit.",
    )
    left, right = st.columns(2)
    epochs = left.number_input(
        "Epochs",
        min_value=2,
        max_value=1000,
        value=10,
        key="epochs",
        bind="query-params",
        help="Passes over all training images; data maps need at least 2.",
    )
    seed = right.number_input(
        "Seed",
        min_value=0,
        max_value=2**31 - 1,
        value=0,
        key="seed",
        bind="query-params",
        help="The same choices with the same seed give the same result.",
    )
    return TrainingSpec(group, model=model or suited, epochs=int(epochs), seed=int(seed))


def choose_custom_group() -> TaskGroup:
    dataset = st.selectbox("Data set", list(CLASS_NAMES), key="dataset", bind="query-params")
    classes = st.multiselect(
        "Classes",
        CLASS_NAMES[dataset],
        default=CLASS_NAMES[dataset][:4],
        key=f"classes_{dataset}",
        bind="query-params",
        help="Each becomes a task: this class, or another one.",
    )
    unions = st.text_area(
        "Unions",
        key=f"unions_{dataset}",
        bind="query-params",
        placeholder=f"Mine = {CLASS_NAMES[dataset][0]}, {CLASS_NAMES[dataset][1]}",
        help="One task a line: its name, an equals sign, and the classes that are positive.",
    )
    return custom_group(dataset, classes, read_unions(unions or ""))


def read_unions(text: str) -> dict[str, list[str]]:
    unions = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, equals, members = line.partition("=")
        if not equals or not name.strip():
            raise UserError(f"Write a union as “name = class, class”; “{line}” is not one.")
        unions[name.strip()] = [c.strip() for c in members.split(",") if c.strip()]
    return unions


def expected_duration(spec: TrainingSpec) -> None:
    """In a fragment that looks again only until the measurement is there."""
    with widgets.user_errors():
        known = state.shared().engine.seconds_per_epoch(spec) is not None
        st.fragment(show_duration, run_every=None if known else 1.0)(spec)


def show_duration(spec: TrainingSpec) -> None:
    with widgets.user_errors():
        seconds = state.shared().engine.seconds_per_epoch(spec)
        whole = None if seconds is None else widgets.duration(seconds * spec.epochs)
        shown = f"about {whole}" if whole else "measuring…"
        st.caption(f"{len(spec.tasks)} tasks. Expected duration on this machine: {shown}")


# -------------------------------------------------------------------------------- all runs


def list_runs() -> None:
    runs = state.shared().store.runs()
    if not runs:
        st.caption("None yet: the first one takes a minute with the task group digits.")
        return
    table = pd.DataFrame(
        {
            "Run": [run.title for run in runs],
            "Tasks": [len(run.spec.tasks) for run in runs],
            "Epochs": [run.spec.epochs for run in runs],
            "Mean F1": [run.mean_f1 for run in runs],
            "When": [widgets.when(run) for run in runs],
            "Took": [took(run.provenance.get("seconds")) for run in runs],
        }
    )
    chosen = st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        key="runs",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Mean F1": st.column_config.NumberColumn(
                format="%.3f", help="Mean over the tasks, on the test images, after the last epoch."
            ),
            "When": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm"),
        },
    )
    rows = chosen["selection"].get("rows") or []
    if rows and rows[0] < len(runs):
        st.markdown(f"Open **{runs[rows[0]].title}** on:")
        widgets.open_run(runs[rows[0]].id)
    else:
        st.caption("Tick a run to open it.")


def took(seconds: float | None) -> str:
    return "–" if seconds is None else widgets.duration(seconds)


# ------------------------------------------------------------------------------- the page

st.title("Which tasks belong together?")
st.markdown(
    "A model that learns several tasks at once does better when they suit each other. "
    "STG Explorer trains one model on all tasks and keeps how confident it was of every training"
    " image, epoch by epoch: these *data maps* show which tasks are learned alike. "
    "Tasks with similar data maps form soft groups, and each group gets a specialist of its own."
)
st.image(
    str(state.ROOT / "assets" / "four_steps.svg"),
    width="stretch",
    alt="Four steps: train one model on all tasks; keep its data maps; group the tasks whose data"
    " maps look alike; train one specialist for each group.",
)

setup, progress = st.columns([2, 3], gap="large")
with setup:
    st.header("Train a model")
    with widgets.user_errors():
        spec = choose_spec()
        expected_duration(spec)
        if st.button("Run", type="primary", icon=":material/play_arrow:"):
            state.shared().engine.submit(spec)
with progress:
    st.header("Progress")
    widgets.progress_panel()

st.header("Runs")
with widgets.user_errors():
    list_runs()
for sentence in state.shared().store.damaged:
    st.warning(sentence, icon=":material/warning:")
