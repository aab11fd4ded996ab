"""Study: many groupings judged alike. Where does it pay?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import streamlit as st

from app import widgets
from app.charts import study as charts
from app.charts.base import number
from app.parameters import OneOf, in_url
from app.studies import rows_of, studies
from app.tables import as_csv
from stg_core.judging.comparing import (
    AXES,
    BEST,
    Compared,
    binned,
    compared,
    measures_of,
    value_of,
    values_of,
)
from stg_core.judging.findings import findings
from stg_core.judging.study_table import CELL, Row, read_plan
from stg_core.judging.verdict import MEASURE_NAMES, SCHEME_NAMES
from stg_core.system.words import counted

ALL = "all of them"
FIRST_AXES = ("k", "group")
SIGNS = {1: "better", 0: "cannot be told", -1: "worse"}
AXIS = "What of a cell the fields of the heatmap stand for."
ABOUT_COLUMNS = {
    "Compared with": "The best control is the one with the highest mean of those that cost no more"
    " to train.",
    "Difference": "With its 95 % interval, over test points and seeds.",
    "Against every control": "better: the interval lies above 0 against all that cost no more;"
    " worse: below 0 against at least one.",
    "Cost": "Of training, grouping included: 1 is one training of one model of all tasks.",
}
ABOUT_MARKS = (
    "Blue: better; orange: worse. ▲ and ▼: the 95 % interval lies above 0, or below; where a field"
    " holds several cells, of how many."
)


def choose_study() -> Path | None:
    left, right = st.columns([4, 6], vertical_alignment="bottom")
    left.title("Study")
    folders = studies()
    if not folders:
        return None
    titles = {name: read_plan(folder).title for name, folder in folders.items()}
    with right:
        name = widgets.titled_choice(
            "Study",
            titles,
            key="study",
            help="Those that came with the project, and those that were run on this machine.",
        )
    return folders[name]


# ---------------------------------------------------------------------------------- what is shown


def choose_measure(rows: Sequence[Row]) -> str:
    titles = {name: _capital(MEASURE_NAMES[name]) for name in measures_of(rows)}
    return widgets.titled_choice(
        "Measure",
        titles,
        key="study_measure",
        help="The first one decides. AUROC and average precision depend on no threshold.",
    )


def choose_schemes(rows: Sequence[Row]) -> tuple[str, str]:
    """A scheme, and what it is compared with."""
    tried = list(dict.fromkeys(row["scheme"] for row in rows if row["scheme"]))
    first = sorted(tried, key=lambda name: name != "specialists")
    titles = {name: _capital(SCHEME_NAMES[name]) for name in first}
    left, right = st.columns(2)
    with left:
        scheme = widgets.titled_choice(
            "Scheme", titles, key="study_scheme", help="Whose score is compared."
        )
    others = {BEST: "The best control at equal cost"}
    others |= {name: title for name, title in titles.items() if name != scheme}
    with right:
        other = widgets.titled_choice(
            "Compared with",
            others,
            key="study_other",
            help="The best control at equal cost is the one with the highest mean of those that"
            " were tried and cost no more to train.",
        )
    return scheme, other


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def choose_axes(cells: Sequence[Compared]) -> tuple[str, str, list[Compared]]:
    """Two axes, and the cells that have what is chosen of the others."""
    x_place, y_place, rest_place = st.columns([3, 3, 2], vertical_alignment="bottom")
    with x_place:
        x = widgets.titled_choice("Across", _first(AXES, FIRST_AXES[0]), key="across", help=AXIS)
    left = {axis: title for axis, title in AXES.items() if axis != x}
    with y_place:
        y = widgets.titled_choice("Down", _first(left, FIRST_AXES[1]), key="down", help=AXIS)
    with rest_place.popover("Only some cells", icon=":material/filter_alt:", width="stretch"):
        for axis in AXES:
            cells = only(cells, axis)
    return x, y, list(cells)


def _first(titles: Mapping[str, str], name: str) -> dict[str, str]:
    """With one of them in front, which is the default."""
    return {key: titles[key] for key in sorted(titles, key=lambda key: key != name)}


def only(cells: Sequence[Compared], axis: str) -> Sequence[Compared]:
    values = values_of(cells, axis)
    if len(values) < 2:
        return cells
    chosen = st.selectbox(
        AXES[axis], [ALL, *values], **in_url(f"only_{axis}", OneOf([ALL, *values]))
    )
    return [one for one in cells if chosen in (ALL, value_of(one.cell, axis))]


def table(cells: Sequence[Compared], measure: str, scheme: str) -> pd.DataFrame:
    """A row per cell, as people read it."""
    title, who = MEASURE_NAMES[measure], _capital(SCHEME_NAMES[scheme])
    return pd.DataFrame(
        [
            {
                "Group": one.cell["group"],
                "Tasks": one.cell["tasks"],
                "Points": one.cell["points"],
                "k": one.cell["k"],
                "m": value_of(one.cell, "fuzzifier"),
                f"{who}, {title}": number(one.mean, ".4f"),
                "Compared with": SCHEME_NAMES[one.other],
                f"Its {title}": number(one.other_mean, ".4f"),
                "Difference": f"{number(one.difference, '+.4f')} ({number(one.low, '+.4f')} to"
                f" {number(one.high, '+.4f')})",
                "Against every control": SIGNS[one.of_all] if one.controls else "none was tried",
                "Cost": number(one.cost, ".1f"),
                "Its cost": number(one.other_cost, ".1f"),
            }
            for one in cells
        ]
    )


def not_run(folder: Path, rows: Sequence[Row]) -> None:
    """Which cells were not run and why, and how many are still to come."""
    reasons = Counter((row["group"], row["not_run"]) for row in rows if row["not_run"])
    judged = {tuple(row[name] for name in CELL) for row in rows if not row["not_run"]}
    missing = len(read_plan(folder).cells) - len(judged)
    to_come = missing - sum(reasons.values())
    with st.expander(
        f"Not run: {counted(missing, 'cell')}", icon=":material/block:", expanded=True
    ):
        for (group, reason), count in reasons.items():
            st.markdown(
                f"**{counted(count, 'cell')} of {widgets.plain(group)}**: {widgets.plain(reason)}"
            )
        if to_come > 0:
            st.markdown(f"**{counted(to_come, 'cell')}** of the plan still to come.")
        if not reasons and to_come <= 0:
            st.markdown("All cells of the plan were run.")


def downloads(folder: Path, rows: Sequence[Row]) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "CSV",
            data=lambda: as_csv(pd.DataFrame(rows)),
            file_name=f"study-{folder.name}.csv",
            mime="text/csv",
            on_click="ignore",
            icon=":material/download:",
            help="The whole study: a row per cell, variant, scheme and measure.",
        )
        st.download_button(
            "Plan",
            data=lambda: read_plan(folder).text.encode(),
            file_name=f"{folder.name}.toml",
            mime="application/toml",
            on_click="ignore",
            icon=":material/download:",
            help="What was asked: run it again, or change it, with python -m stg_core study.",
        )


@st.fragment
def explore(folder: Path, rows: Sequence[Row]) -> None:
    """In a fragment: a choice moves these pictures, and nothing else runs again."""
    with widgets.user_errors():
        if measures_of(rows):
            compare(rows)
        else:
            st.info("No cell of this study could be judged.")
        not_run(folder, rows)
        downloads(folder, rows)


def compare(rows: Sequence[Row]) -> None:
    first = st.container()
    left, right = st.columns([1, 2], vertical_alignment="bottom")
    with left:
        measure = choose_measure(rows)
    with right:
        scheme, other = choose_schemes(rows)
    first.markdown(widgets.plain(findings(rows, measure, scheme)))
    x, y, cells = choose_axes(compared(rows, measure, scheme, other))
    if not cells:
        st.info("No cell of this study has both: compare with another scheme.")
        return
    against = "the best control at equal cost" if other == BEST else SCHEME_NAMES[other]
    charts.heatmap(
        binned(cells, x, y),
        values_of(cells, x),
        values_of(cells, y),
        (AXES[x], AXES[y]),
        MEASURE_NAMES[measure],
        f"{SCHEME_NAMES[scheme]} minus {against}",
    )
    st.caption(ABOUT_MARKS)
    frame = table(cells, measure, scheme)
    st.dataframe(
        frame,
        hide_index=True,
        placeholder="–",
        alt=f"Table of {counted(len(frame), 'cell')} with their differences",
        column_config={
            name: st.column_config.TextColumn(help=about) for name, about in ABOUT_COLUMNS.items()
        },
    )


folder = choose_study()
st.caption(
    "Many groupings, judged in the same way: does it pay to train specialists by data maps, against"
    " what the same money buys otherwise? Where, and by how much?"
)
if folder is None:
    st.info("No study came with this project, and none was run here.")
    st.code("python -m stg_core study assets/studies/default.toml", language=None)
else:
    with widgets.user_errors():
        explore(folder, rows_of(folder))
