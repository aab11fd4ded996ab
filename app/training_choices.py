"""What to train, chosen on the page: a task group, a model, and how; and how long it will take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import streamlit as st

from app import state, widgets
from app.parameters import Flag, Number, OneOf, SeveralOf, Text, in_url
from stg_core.maps.recorder import default_recorded_epochs
from stg_core.system.errors import UserError
from stg_core.system.extras import lacking_to_train
from stg_core.system.words import counted
from stg_core.tasks.datasets import data_set_of, data_sets, find_group
from stg_core.tasks.groups import GROUPS, TaskGroup, custom_group
from stg_core.tasks.images import CLASS_NAMES, DATASET_TITLES
from stg_core.training.spec import (
    AUGMENTATIONS,
    BUILT_IN_MODELS,
    DROPOUT,
    HIDDEN_WIDTHS,
    TrainingSpec,
    default_epochs,
    default_model,
)

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

CUSTOM = "custom"
FIRST_GROUP = next(iter(GROUPS))
LONGEST_MODEL, LONGEST_LIST, LONGEST_UNIONS = 200, 1_000, 10_000  # characters in the URL


def titles() -> dict[str, str]:
    """Of all that can be chosen, by name: built-in groups, own data sets, own questions."""
    built_in = {name: group.title for name, group in GROUPS.items()}
    own = {found.name: found.group.title for found in data_sets()}
    return built_in | own | {CUSTOM: "Questions of my own"}


def chosen_group() -> str:
    """The name of the task group that is chosen below."""
    return state.kept("group", OneOf([*titles()])) or FIRST_GROUP


def choose_button(name: str) -> None:
    """A button that puts a task group into the settings; it says where that is so already."""
    chosen = name == chosen_group()
    st.button(
        "Chosen" if chosen else "Choose",
        key=f"choose {name}",
        icon=":material/check:" if chosen else None,
        disabled=chosen,
        on_click=choose_group,
        args=(name,),
        help="Puts this group into the settings below.",
    )


def choose_group(name: str) -> None:
    state.keep("group", name, default=FIRST_GROUP)


def choose_spec() -> TrainingSpec:
    columns = st.columns([5, 3, 2, 2])
    with columns[0]:
        name = choose_name_of_group()
    group = choose_custom_group() if name == CUSTOM else find_group(name)
    settings = choose_settings(columns[1:], group)
    with st.expander("More settings", icon=":material/tune:"):
        more = choose_more(settings["epochs"], group)
    return TrainingSpec(group, **settings, **more)


def choose_name_of_group() -> str:
    return widgets.titled_choice(
        "Task group",
        titles(),
        key="group",
        help="One of the built-in groups, a data set of yours, or tasks of your own.",
    )


def choose_settings(columns: Sequence[DeltaGenerator], group: TaskGroup) -> dict[str, Any]:
    """Model, epochs and seed, in three columns."""
    suited = default_model(group)
    models = [suited] if group.has_rows else [*BUILT_IN_MODELS]
    model = columns[0].selectbox(
        "Model",
        models,
        index=models.index(suited),
        accept_new_options=True,
        **in_url(f"model_{group.dataset}", Text(LONGEST_MODEL)),
        help="The backbone. For one of your own, write module:name, such as my_models:tiny_vit.",
    )
    epochs = columns[1].number_input(
        "Epochs",
        min_value=2,
        max_value=1000,
        value=default_epochs(group),
        **in_url("epochs_of_rows" if group.has_rows else "epochs", Number(2, 1000)),
        help="Passes over all training points; data maps need at least 2.",
    )
    seed = columns[2].number_input(
        "Seed",
        min_value=0,
        max_value=2**31 - 1,
        value=0,
        **in_url("seed", Number(0, 2**31 - 1)),
        help="The same choices with the same seed give the same result.",
    )
    return {"model": model or suited, "epochs": int(epochs), "seed": int(seed)}


def choose_more(epochs: int, group: TaskGroup) -> dict[str, Any]:
    columns = st.columns(4)
    recorded = columns[0].text_input(
        "Recorded epochs",
        **in_url("recorded_epochs", Text(LONGEST_LIST)),
        placeholder=", ".join(map(str, default_recorded_epochs(epochs))),
        help="After these epochs the data maps are kept as they are then: numbers from 2 to the"
        " last, with commas. Empty: five spread evenly.",
    )
    with columns[1]:
        of_points = choose_layers() if group.has_rows else choose_augmentation()
    batch_size = columns[2].number_input(
        "Batch size",
        min_value=2,
        max_value=4096,
        value=256,
        **in_url("batch_size", Number(2, 4096)),
        help="Points between two steps of the optimiser.",
    )
    learning_rate = columns[3].number_input(
        "Learning rate",
        min_value=1e-6,
        max_value=1.0,
        value=1e-3,
        step=1e-4,
        format="%g",
        **in_url("learning_rate", Number(1e-6, 1.0, fraction=True)),
        help="Length of a step of the optimiser (Adam).",
    )
    single_task_models = st.toggle(
        "One model per task",
        **in_url("single_task_models", Flag()),
        help="Trains a model for each task alone instead of one for all; it takes as many times"
        " longer as there are tasks.",
    )
    return {
        "recorded_epochs": read_epochs(recorded or ""),
        "batch_size": int(batch_size),
        "learning_rate": float(learning_rate),
        "single_task_models": single_task_models,
        **of_points,
    }


def choose_augmentation() -> dict[str, Any]:
    augmentation = st.selectbox(
        "Augmentation",
        AUGMENTATIONS,
        **in_url("augmentation", OneOf(AUGMENTATIONS)),
        help="Random changes to the images in every epoch: moved by up to an eighth, mirrored.",
    )
    return {"augmentation": augmentation}


def choose_layers() -> dict[str, Any]:
    """Of the model of rows."""
    widths = st.text_input(
        "Hidden widths",
        **in_url("hidden_widths", Text(LONGEST_LIST)),
        placeholder=", ".join(map(str, HIDDEN_WIDTHS)),
        help="Units of each hidden layer, with commas between them.",
    )
    dropout = st.number_input(
        "Dropout",
        min_value=0.0,
        max_value=0.9,
        value=DROPOUT,
        step=0.1,
        **in_url("dropout", Number(0.0, 0.9, fraction=True)),
        help="Share of the hidden units that is switched off at random in training.",
    )
    return {"hidden_widths": read_widths(widths or ""), "dropout": float(dropout)}


def read_widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip()) or HIDDEN_WIDTHS
    except ValueError:
        raise UserError(f"Write hidden widths as 256, 128; “{text}” is not a list.") from None


def read_epochs(text: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in text.split(",") if part.strip()) or None
    except ValueError:
        raise UserError(f"Write recorded epochs as 2, 4, 6; “{text}” is not a list.") from None


def choose_custom_group() -> TaskGroup:
    columns = st.columns([2, 4, 4])
    with columns[0]:
        dataset = widgets.titled_choice(
            "Data set",
            {name: DATASET_TITLES.get(name, name) for name in CLASS_NAMES},
            key="dataset",
            help="The images that the tasks are about.",
        )
    classes = columns[1].multiselect(
        "Classes",
        CLASS_NAMES[dataset],
        default=CLASS_NAMES[dataset][:4],
        **in_url(f"classes_{dataset}", SeveralOf(CLASS_NAMES[dataset])),
        help="Each becomes a task: this class, or another one.",
    )
    unions = columns[2].text_area(
        "Unions",
        **in_url(f"unions_{dataset}", Text(LONGEST_UNIONS, lines=True)),
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


@st.cache_data(show_spinner=False, max_entries=32)
def lacking(digest: str, tasks: tuple[str, ...], _group: TaskGroup) -> list[str]:
    """Which tasks lack labels or an answer in a split, in sentences."""
    from stg_core.tasks.checks import before_training

    return before_training(data_set_of(_group), tasks)


def speed_of(spec: TrainingSpec) -> float | None:
    """Seconds of an epoch, None while it is measured; the number of tasks hardly changes it."""
    from stg_core.judging.plan import recorded_speed

    shared = state.shared()
    recorded = recorded_speed(shared.store)(spec)
    return shared.engine.seconds_per_epoch(spec) if recorded is None else recorded


def is_being_measured(spec: TrainingSpec) -> bool:
    """Whether its speed is not known yet, and will be."""
    return not lacking_to_train() and speed_of(spec) is None


def not_known_yet() -> str:
    """What stands in the place of a duration that is not known."""
    return "not known here" if lacking_to_train() else "measuring…"


def expected_duration(spec: TrainingSpec) -> None:
    """In a fragment that looks again only until the measurement is there."""
    if spec.group.is_own:
        for sentence in lacking(spec.group.digest, spec.tasks, spec.group):
            st.caption(f":material/warning: {widgets.plain(sentence)}")
    if state.shared().store.holds(spec.key):
        tasks = counted(len(spec.tasks), "task")
        st.caption(f"{tasks}. This run is here already: it is not trained again.")
        return
    if why_not := lacking_to_train():
        st.caption(widgets.plain(why_not))
        return
    known = state.shared().engine.seconds_per_epoch(spec) is not None
    st.fragment(show_duration, run_every=None if known else 1.0)(spec)


def show_duration(spec: TrainingSpec) -> None:
    with widgets.user_errors():
        engine, tasks = state.shared().engine, counted(len(spec.tasks), "task")
        seconds = engine.seconds_per_epoch(spec)
        rough = ", roughly: a training is going on" if engine.busy else ""
        whole = None if seconds is None else widgets.duration(seconds * spec.epochs)
        shown = f"about {whole}{rough}" if whole else "measuring…"
        st.caption(f"{tasks}. Expected duration on this machine: {shown}")
